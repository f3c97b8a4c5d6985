"""The plan nearest to one that does not fit into memory: what changes the result least is tried first."""

from collections.abc import Iterator
from typing import Any

from studio.models.device import Device
from studio.runs.methods import RolloutSpec
from studio.runs.spec import LoraSpec, RunSpec, with_changes
from studio.runs.unfit import Changes
from studio.training.memory import Memory
from studio.training.ranks import ALONE, Ranks

_SHORTEST = 32


def nearest_fit(
    spec: RunSpec, memory: Memory, device: Device, rows: int, room: int, ranks: Ranks = ALONE
) -> Changes | None:
    """The settings to change so that each process of the run takes at most `room` bytes; None where nothing helps."""
    for changes in _gentler(spec, memory, device, rows, ranks):
        if memory.needed_bytes(with_changes(spec, changes), device, rows, ranks) <= room:
            return {path: value for path, value in changes.items() if value != _setting(spec, path)}
    return None


def _gentler(spec: RunSpec, memory: Memory, device: Device, rows: int, ranks: Ranks) -> Iterator[Changes]:
    """First fewer rows at a time and as many more batches in a step, which learns the same; then gradient
    checkpointing, which takes time alone; then a base in 4 bits, which is a little less exact; shorter rows, which
    lose text, last."""
    training = spec.training
    together = training.batch_size * training.accumulation
    sizes = [
        n for n in range(training.batch_size, spec.method.least_rows - 1, -1) if together % n == n % ranks.size == 0
    ]
    batches = [{"training.batch_size": n, "training.accumulation": together // n} for n in sizes]
    yield from (batch for batch in batches[1:] if batch["training.batch_size"] < rows)
    saving: Changes = {"training.gradient_checkpointing": True}
    for batch in batches:
        yield batch | saving
    # bitsandbytes has no kernels for Apple's accelerator, and what it makes of weights cannot be divided.
    able = device.kind != "mps" and ranks.shards == 1
    if isinstance(spec.tuner, LoraSpec) and spec.tuner.quantisation == "none" and able:
        saving = saving | {"tuner.quantisation": "nf4"}
        for batch in batches:
            yield batch | saving
    if isinstance(spec.method, RolloutSpec):
        return  # a question that is cut is not asked at all
    length = min(spec.data.max_length, memory.side_tokens) // 2
    while length >= _SHORTEST:
        yield batches[-1] | saving | {"data.max_length": length}
        length //= 2


def _setting(spec: RunSpec, path: str) -> Any:
    value: Any = spec
    for name in path.split("."):
        value = getattr(value, name)
    return value
