"""Where a model computes, and in which numbers."""

import platform
from dataclasses import dataclass
from typing import Literal

import psutil
import torch


@dataclass(frozen=True, slots=True)
class Device:
    """`memory_bytes` is all there is: of the machine on a CPU, of the accelerator elsewhere."""

    kind: Literal["cpu", "cuda", "mps"]
    name: str
    memory_bytes: int
    dtype: Literal["float32", "bfloat16"]

    @property
    def torch_dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.dtype == "bfloat16" else torch.float32


def detect_device() -> Device:
    """The fastest device at hand. A CPU computes in float32, where bfloat16 is often slower and always coarser."""
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        dtype = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
        return Device("cuda", properties.name, properties.total_memory, dtype)
    memory = psutil.virtual_memory().total
    if torch.backends.mps.is_available():
        return Device("mps", f"Apple {platform.machine()}", memory, "float32")
    return Device("cpu", _cpu_name(), memory, "float32")


def memory_used_bytes() -> int:
    """What this process holds: its resident memory, and on CUDA the tensors on the device instead."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.memory_allocated()
    return psutil.Process().memory_info().rss


def _cpu_name() -> str:
    return f"{platform.processor() or platform.machine()} CPU, {psutil.cpu_count(logical=True)} threads"
