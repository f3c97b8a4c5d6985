"""torch's threads must not burn the cores that the page needs."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from studio.models.device import Device
from studio.training.threads import threads_for


@pytest.mark.parametrize(("own", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_asleep_unless_the_user_says_otherwise(own: str | None, expected: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | (
        {"OMP_WAIT_POLICY": own} if own else {}
    )
    code = "import studio, sys, os; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == expected


@pytest.mark.parametrize(
    ("kind", "parameters", "expected"), [("cpu", 5_000_000, 1), ("cpu", 135_000_000, 2), ("cuda", 5_000_000, 2)]
)
def test_a_small_model_is_trained_on_one_core(kind: Any, parameters: int, expected: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threads_for(parameters, Device(kind, "", 1, "float32")):
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
