"""Which device computes, and in which numbers, on machines that are described and on this one."""

from pathlib import Path

import pytest
import torch

from studio.models.device import Accelerator, Machine, choose_device, detect_device, this_machine

CPU = Machine("x86 CPU, 8 threads", 16_000_000_000, bfloat16=False)
FAST_CPU = Machine("x86 CPU, 8 threads", 16_000_000_000, bfloat16=True)
GPU = Machine("x86 CPU", 64_000_000_000, True, Accelerator("A GPU", 24_000_000_000, bfloat16=True))
OLD_GPU = Machine("x86 CPU", 64_000_000_000, True, Accelerator("An old GPU", 8_000_000_000, bfloat16=False))
APPLE = Machine("arm64", 32_000_000_000, bfloat16=False, metal=True)
CPU_INFO = Path("/proc/cpuinfo")
SMALL, LARGE = 3_000_000, 135_000_000


@pytest.mark.parametrize(
    ("machine", "kind", "memory", "small", "large"),
    [
        (CPU, "cpu", 16_000_000_000, "float32", "float32"),
        (FAST_CPU, "cpu", 16_000_000_000, "float32", "bfloat16"),
        (GPU, "cuda", 24_000_000_000, "bfloat16", "bfloat16"),
        (OLD_GPU, "cuda", 8_000_000_000, "float32", "float32"),
        (APPLE, "mps", 32_000_000_000, "float32", "float32"),
    ],
    ids=["cpu", "fast-cpu", "cuda", "old-cuda", "apple"],
)
def test_the_fastest_device_in_the_numbers_it_computes_well(
    machine: Machine, kind: str, memory: int, small: str, large: str
) -> None:
    device = choose_device(machine)
    assert (device.kind, device.memory_bytes) == (kind, memory)
    assert (device.numbers("auto", SMALL), device.numbers("auto", LARGE)) == (small, large)
    for asked in ("float32", "bfloat16"):
        assert device.numbers(asked, SMALL) == device.numbers(asked, LARGE) == asked


def test_this_machine_computes_in_the_numbers_that_are_chosen() -> None:
    device = detect_device()
    assert device == choose_device(this_machine())
    assert device.memory_bytes > 0
    assert device.name
    assert torch.zeros(1, dtype=getattr(torch, device.dtype), device=device.kind).isfinite().all()


@pytest.mark.skipif(not CPU_INFO.is_file(), reason="this system describes its processor elsewhere")
def test_a_processor_with_bfloat16_is_known() -> None:
    flags = CPU_INFO.read_text(encoding="utf-8").split()
    assert this_machine().bfloat16 == bool({"avx512_bf16", "amx_bf16"} & set(flags))
