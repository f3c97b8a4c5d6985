"""Where a model computes, and in which numbers."""

import platform
from dataclasses import dataclass
from typing import Literal

import psutil
import torch

Numbers = Literal["float32", "bfloat16"]
# On a CPU a smaller model gains little from bfloat16: much of its time goes into the calls, not the products.
_SMALL = 50_000_000


@dataclass(frozen=True, slots=True)
class Device:
    """`memory_bytes` is all there is: of the machine on a CPU, of the accelerator elsewhere. `dtype`: the numbers it
    computes large models in."""

    kind: Literal["cpu", "cuda", "mps"]
    name: str
    memory_bytes: int
    dtype: Numbers

    def numbers(self, precision: Literal["auto", "float32", "bfloat16"], parameters: int) -> Numbers:
        """What a model of this size is computed in."""
        if precision != "auto":
            return precision
        return "float32" if self.kind == "cpu" and parameters < _SMALL else self.dtype


def detect_device() -> Device:
    """The fastest device at hand. A CPU computes in bfloat16 where it has instructions for it."""
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        dtype = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
        return Device("cuda", properties.name, properties.total_memory, dtype)
    memory = psutil.virtual_memory().total
    if torch.backends.mps.is_available():
        return Device("mps", f"Apple {platform.machine()}", memory, "float32")
    can = torch.cpu.get_capabilities()
    fast = can.get("avx512_bf16") or can.get("amx_bf16")
    return Device("cpu", _cpu_name(), memory, "bfloat16" if fast else "float32")


def memory_used_bytes() -> int:
    """What this process holds: its resident memory, and on CUDA the tensors on the device instead."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.memory_allocated()
    return psutil.Process().memory_info().rss


def _cpu_name() -> str:
    return f"{platform.processor() or platform.machine()} CPU, {psutil.cpu_count(logical=True)} threads"
