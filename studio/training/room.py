"""Whether a model's weights fit at all: judged by their number, for loading them to find out could take the machine
down."""

from collections.abc import Iterator
from importlib.util import find_spec

from studio.errors import ModelError
from studio.models.catalog import ModelFiles
from studio.models.device import Device
from studio.models.folder import count_parameters
from studio.models.shape import read_shape
from studio.runs.rates import FULL_RATE
from studio.runs.spec import FullSpec, LoraSpec, RunSpec, with_changes
from studio.runs.unfit import Changes, Unfit
from studio.settings import Settings
from studio.training.memory import FOUR_BITS, MEMORY_SHARE, available_bytes
from studio.training.ranks import ALONE, Ranks
from studio.training.tuned import held_in


def check_room(files: ModelFiles, spec: RunSpec, device: Device, settings: Settings, ranks: Ranks = ALONE) -> None:
    """Raises UnfitError where the weights alone do not fit, or what training all of them needs; with the gentlest other
    settings by which they would."""
    parameters = count_parameters(files.folder, files.weights)
    available = available_bytes(device, settings)
    room = int(available * MEMORY_SHARE)
    needed = weight_bytes(spec, parameters, 0, device) // ranks.shards
    if spec.tuner.quantisation == "none" and needed <= room:
        return
    packed = _packed(files, spec)
    needed = weight_bytes(spec, parameters, packed, device) // ranks.shards
    if needed <= room:
        return
    nearest, least = None, needed
    for changes in _lighter(spec, packed, device, ranks):
        size = weight_bytes(with_changes(spec, changes), parameters, packed, device) // ranks.shards
        least = min(least, size)
        if nearest is None and size <= room:
            nearest = changes
    raise Unfit(needed, available, nearest, files.name, least).error()


def weight_bytes(spec: RunSpec, parameters: int, packed: int, device: Device) -> int:
    """What the weights take in memory; where all are trained, with gradients and AdamW's two moments. `packed`: how
    many of them can be kept in 4 bits."""
    if isinstance(spec.tuner, FullSpec):
        return parameters * 16
    size = 2 if device.numbers(held_in(spec), parameters) == "bfloat16" else 4
    if spec.tuner.quantisation == "nf4":
        return int(packed * FOUR_BITS) + (parameters - packed) * size
    return parameters * size


def _packed(files: ModelFiles, spec: RunSpec) -> int:
    """How many weights can be kept in 4 bits."""
    try:
        return sum(read_shape(files.folder, scores=not spec.method.writes).in_four_bits().values())
    except ModelError:  # told where the model is loaded
        return 0


def _lighter(spec: RunSpec, packed: int, device: Device, ranks: Ranks) -> Iterator[Changes]:
    """What takes less room, the gentlest first: an adapter in place of all weights, half as long numbers, a base in 4
    bits, both."""
    first: Changes = {}
    if isinstance(spec.tuner, FullSpec):
        rate = min(1.0, float(f"{spec.training.learning_rate * FULL_RATE:g}"))
        first = {"tuner.kind": "lora", "training.learning_rate": rate}
        yield first
    plain = isinstance(spec.tuner, LoraSpec) and spec.tuner.quantisation == "nf4"
    short: Changes = (
        {"model.precision": "bfloat16"} if spec.model.precision != "bfloat16" and device.kind != "mps" else {}
    )
    four: Changes = {"tuner.quantisation": "nf4"} if _can_pack(packed, device, ranks) and not plain else {}
    for changes in (short, four, short | four):
        if changes:
            yield first | changes


def _can_pack(packed: int, device: Device, ranks: Ranks) -> bool:
    """bitsandbytes has no kernels for Apple's accelerator, and what it makes of weights cannot be divided."""
    return packed > 0 and device.kind != "mps" and ranks.shards == 1 and find_spec("bitsandbytes") is not None
