"""Where a model computes, and in which numbers."""

import platform
from dataclasses import dataclass
from typing import Literal

import psutil
import torch

Numbers = Literal["float32", "bfloat16"]
# On a CPU a smaller model gains little from bfloat16: much of its time goes into the calls, not the products.
SMALL = 50_000_000


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
        return "float32" if self.kind == "cpu" and parameters < SMALL else self.dtype


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A GPU. `bfloat16`: it has instructions for it, rather than emulating them."""

    name: str
    memory_bytes: int
    bfloat16: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to compute with. `bfloat16`: the CPU has instructions for it. `metal`: Apple's GPU, which shares
    the memory of the machine."""

    cpu: str
    memory_bytes: int
    bfloat16: bool
    cuda: Accelerator | None = None
    metal: bool = False


def choose_device(machine: Machine) -> Device:
    """The fastest device of the machine. It computes in bfloat16 where it has instructions for it; Apple's GPU, on
    which not every operation of training knows it, in float32."""
    if machine.cuda is not None:
        numbers: Numbers = "bfloat16" if machine.cuda.bfloat16 else "float32"
        return Device("cuda", machine.cuda.name, machine.cuda.memory_bytes, numbers)
    if machine.metal:
        return Device("mps", f"Apple {machine.cpu}", machine.memory_bytes, "float32")
    return Device("cpu", machine.cpu, machine.memory_bytes, "bfloat16" if machine.bfloat16 else "float32")


def this_machine() -> Machine:
    """As PyTorch sees it."""
    can, cuda = torch.cpu.get_capabilities(), None
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        cuda = Accelerator(properties.name, properties.total_memory, bfloat16)
    metal = torch.backends.mps.is_available()
    return Machine(
        cpu=platform.machine() if metal else _cpu_name(),
        memory_bytes=psutil.virtual_memory().total,
        bfloat16=bool(can.get("avx512_bf16") or can.get("amx_bf16")),
        cuda=cuda,
        metal=metal,
    )


def detect_device() -> Device:
    """The fastest device at hand."""
    return choose_device(this_machine())


def memory_used_bytes() -> int:
    """What this process holds: its resident memory, and on CUDA the tensors on the device instead."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.memory_allocated()
    return psutil.Process().memory_info().rss


def _cpu_name() -> str:
    return f"{platform.processor() or platform.machine()} CPU, {psutil.cpu_count(logical=True)} threads"
