"""What can be exported of a run, told beforehand: each target with its size and time, or why it cannot be.

Nothing is loaded for it.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Union

from studio.backend.residence import Adapter
from studio.errors import ExportError, StudioError
from studio.runs.exports import NUMBERS, ExportSpec

if TYPE_CHECKING:
    from studio.models.catalog import ModelFiles

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# Tokenizer, card and settings, and the scores of the proof.
_SMALL_BYTES = 30_000_000
# Seconds of this machine: a process that imports PyTorch, a token of a small model, and what a gigabyte takes to be
# read once, to be multiplied with, and to be written.
_PROCESS, _TOKEN, _PER_GB_READ, _PER_GB_TOKEN, _PER_GB_WRITTEN = 9.0, 0.012, 1.5, 0.12, 4.0
_PER_GB_SQUEEZED = 60.0
_ANSWER_TOKENS = 48


@dataclass(frozen=True, slots=True)
class Absent:
    """A base model of the Hub that is not on this machine any more, and can be fetched again: so many `parameters` it
    has by the record."""

    parameters: int

    @property
    def bytes(self) -> int:
        """Of its files, about: the Hub has most models in 16 bits."""
        return 2 * self.parameters


Base = Union["ModelFiles", Absent]


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to export. `bytes` it will have, `room_bytes` of disk are needed meanwhile, `seconds` it will take,
    about. `refusal`: why it cannot be. `window`: llama.cpp looks farther back than this many tokens, which the model
    does not in all or some layers; 0 where both do the same. `fetched_bytes`: about so much is fetched from the Hub
    first, which is in no other figure; what stands in the way of an export may then show only after that."""

    spec: ExportSpec
    bytes: int = 0
    room_bytes: int = 0
    seconds: float = 0.0
    refusal: StudioError | None = None
    window: int = 0
    fetched_bytes: int = 0


def offers(
    adapter: Adapter, base: Base | StudioError, prompts: int, pace: float = 1.0, rows_bytes: int = 0
) -> tuple[Offer, ...]:
    """Every target in every kind of numbers. `base`: that model, or what is wrong with it. `pace`: how long exports
    took here before, as a multiple of what was told. `rows_bytes`: of the training rows, where they go along."""
    return tuple(
        offer(
            adapter,
            base,
            ExportSpec(target=target, numbers=numbers, prompts=prompts, rows=rows_bytes > 0),
            pace,
            rows_bytes,
        )
        for target, every in NUMBERS.items()
        for numbers in every
    )


def offer(
    adapter: Adapter, base: Base | StudioError, spec: ExportSpec, pace: float = 1.0, rows_bytes: int = 0
) -> Offer:
    """One of them."""
    try:
        if isinstance(base, StudioError):
            raise base
        size, scratch = _sizes(adapter, base, spec)
        window = _window(base, spec)
    except StudioError as error:
        return Offer(spec, refusal=error)
    rows = rows_bytes if spec.rows else 0
    return Offer(
        spec,
        size + rows,
        size + scratch + rows + (rows if spec.target == "adapter" else 0) + _SMALL_BYTES,  # once more in the zip
        pace * _seconds(base, spec, size, scratch),
        window=window,
        fetched_bytes=base.bytes if isinstance(base, Absent) else 0,
    )


def _sizes(adapter: Adapter, base: Base, spec: ExportSpec) -> tuple[int, int]:
    """Bytes of what is written, and of what lies beside it meanwhile. Raises StudioError: it cannot be written."""
    if adapter.full and not adapter.run and spec.target == "adapter":
        raise ExportError("error.export.is_model", model=adapter.name)
    own = sum(path.stat().st_size for path in adapter.folder.glob("*.safetensors"))
    if not own:
        raise ExportError("error.adapter.missing", folder=str(adapter.folder))
    parameters = base.parameters if isinstance(base, Absent) else _parameters(base)
    match spec.target:
        case "adapter":
            return own, own  # the zip beside its files
        case "merged":
            return parameters * _BYTES[spec.kind], 0
        case "gguf":
            return _gguf_sizes(base, spec.kind, parameters)
        case "gguf-adapter":
            size = _gguf_adapter_bytes(adapter, base, spec.kind, own)
            whole, _ = _gguf_sizes(base, "F16", parameters)
            return size, whole


def _window(base: Base, spec: ExportSpec) -> int:
    from studio.export.gguf_look import window_of

    return 0 if isinstance(base, Absent) or not spec.target.startswith("gguf") else window_of(base.folder)


def _parameters(files: "ModelFiles") -> int:
    from studio.models.folder import count_parameters

    return count_parameters(files.folder, files.weights)


def _gguf_sizes(base: Base, kind: str, parameters: int) -> tuple[int, int]:
    from studio.export.gguf_look import look_at_gguf, usual_bytes
    from studio.export.llama_cpp_kinds import BY_LLAMA_CPP, has_llama_cpp, kinds_here

    plan = None if isinstance(base, Absent) else look_at_gguf(base.folder)
    if refused := kinds_here()[kind]:
        raise refused
    if not has_llama_cpp():  # nothing is given out unproven
        raise ExportError("error.gguf.proof_needs_llama_cpp")
    if plan is None:
        whole = usual_bytes(parameters, "F32") if kind in BY_LLAMA_CPP else 0
        size, wide = usual_bytes(parameters, kind), usual_bytes(parameters, "F16")
    else:
        whole, size, wide = plan.scratch(kind), plan.sizes[kind], plan.sizes["F16"]
    # What costs most may have to be in 16 bits.
    return size, parameters * 4 + whole + (wide - size if kind == "Q8_0" else 0)


def _gguf_adapter_bytes(adapter: Adapter, base: Base, kind: str, own: int) -> int:
    """Raises ExportError where llama.cpp has no such adapter: told with what can be exported in its place."""
    from studio.export.gguf_adapter import look_at_gguf_adapter
    from studio.export.gguf_look import usual_bytes

    if adapter.full:
        raise ExportError("error.export.no_adapter", run=adapter.name)
    if isinstance(base, Absent):
        return usual_bytes(own // 4, kind)  # adapters are kept in 32 bits
    return look_at_gguf_adapter(base.folder, adapter.folder).size(kind)


def _seconds(base: Base, spec: ExportSpec, size: int, scratch: int) -> float:
    """The run answers here, the files are written, and another program loads them and answers the same."""
    held = (base.bytes if isinstance(base, Absent) else _held_bytes(base)) / 1e9
    answers = spec.prompts * _ANSWER_TOKENS * (_TOKEN + held * _PER_GB_TOKEN)
    written = (size + scratch) / 1e9 * (_PER_GB_SQUEEZED if spec.target == "adapter" else _PER_GB_WRITTEN)
    return _PROCESS + 2 * answers + 3 * held * _PER_GB_READ + written


def _held_bytes(files: "ModelFiles") -> int:
    return sum((files.folder / name).stat().st_size for name in files.weights)


def pace_of(told: Sequence[tuple[float, float]]) -> float:
    """How long exports took as a multiple of what was told, by the newest few (told, took); 1 where there are none."""
    ratios = sorted(_ratios(told))
    return ratios[len(ratios) // 2] if ratios else 1.0


def _ratios(told: Sequence[tuple[float, float]]) -> Iterator[float]:
    for expected, took in told:
        if expected > 0 and took > 0:
            yield min(10.0, max(0.1, took / expected))


def free_bytes(folder: Path) -> int:
    """Of the disk that a folder, which need not exist yet, lies on."""
    place = folder
    while not os.path.isdir(place) and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free
