"""A few real kills; `python -m tests.faults.kills --kills 30` does many."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks its processes")
def test_killed_runs_resume_exactly() -> None:
    command = [sys.executable, "-m", "tests.faults.kills", "--kills", "2", "--seed", "3"]
    place = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "kills 2, workspace opened 2, record told the truth 2" in done.stdout
