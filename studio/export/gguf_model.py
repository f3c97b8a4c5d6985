"""A model as one GGUF file, written tensor by tensor, so that it is never held whole."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from studio.errors import Stopped
from studio.export.gguf_look import GgufPlan, GgufTensor, chosen_kind, look_at_gguf
from studio.export.gguf_shapes import Facts
from studio.export.llama_cpp_kinds import BY_LLAMA_CPP, kinds_here, need_gguf, quantize

if TYPE_CHECKING:
    from gguf import GGUFWriter

_STRIPPING = (
    "phi-3",
    "phi3",
)  # in a model's name, they have llama.cpp's special tokens take the white space behind them


@dataclass(frozen=True, slots=True)
class GgufReport:
    """`kinds`: how many tensors were written in which numbers. `kept`: so many are in more bits than was asked for: as
    their rows are no whole number of blocks, or to be `mixed`. `padded`: rows of the embedding that belong to no token.
    `window`: see `GgufPlan`. `unsaid_stops`: tokens that end an answer, which the file has no place for."""

    file: Path
    kind: str
    size: int
    kinds: dict[str, int]
    kept: int
    padded: int
    window: int
    unsaid_stops: tuple[str, ...]


def write_gguf(
    folder: Path,
    target: Path,
    kind: str,
    *,
    name: str,
    stops: Sequence[int] = (),
    mixed: bool = False,
    tell: Callable[[float], None] = lambda share: None,
    stopping: Callable[[], bool] = lambda: False,
) -> GgufReport:
    """Write the model in `folder` to the file `target`, which bears `name` in it. `stops`: tokens that end an answer
    beside those that the folder names. `mixed`: of Q8_0, what costs most in 16 bits. `tell` gets the share that is
    done.

    Raises ExportError when it cannot be held or written so, Stopped when `stopping` says so; what was written by then
    is the caller's to remove, as is a second file beside it.
    """
    need_gguf()
    why_not = kinds_here().get(kind)
    if why_not is not None:
        raise why_not
    plan = look_at_gguf(folder, stops)
    if kind not in BY_LLAMA_CPP:
        kinds, kept = _write(plan, target, kind, name, tell, stopping, mixed=mixed)
    else:
        whole = target.with_suffix(".whole.gguf")
        _write(plan, whole, plan.exact_kind, name, lambda share: tell(share / 2), stopping)
        quantize(whole, target, kind, plan.sizes[kind], lambda share: tell(0.5 + share / 2), stopping)
        whole.unlink()
        kinds = _kinds_in(target)
        kept = sum(count for each, count in kinds.items() if each in ("F16", "Q5_0", "Q5_1", "Q8_0"))
    tell(1.0)
    return GgufReport(
        target,
        kind,
        target.stat().st_size,
        kinds,
        kept,
        plan.tokenizer.padded,
        plan.window,
        plan.tokenizer.unsaid_stops,
    )


def _write(
    plan: GgufPlan,
    target: Path,
    kind: str,
    name: str,
    tell: Callable[[float], None],
    stopping: Callable[[], bool],
    *,
    mixed: bool = False,
) -> tuple[dict[str, int], int]:
    """The file, and how many tensors are in which numbers, and how many of them in more bits than was asked."""
    import gguf

    writer = gguf.GGUFWriter(None, plan.architecture)
    _write_facts(writer, plan, kind, name)
    kinds: dict[str, int] = {}
    kept = 0
    for tensor in plan.tensors:
        chosen = chosen_kind(tensor, kind, plan.tensors, mixed=mixed)
        kinds[chosen] = kinds.get(chosen, 0) + 1
        kept += chosen == "F16" and kind != "F16"
        numbers = gguf.GGMLQuantizationType[chosen]
        block, size = gguf.GGML_QUANT_SIZES[numbers]
        # Shapes of bytes are turned into shapes of numbers by the writer, so the type is told as one of numbers.
        writer.add_tensor_info(
            tensor.name, tensor.shape, np.dtype(np.float32), tensor.numbers // block * size, raw_dtype=numbers
        )
    extra = plan.shape.extra(plan.config)
    whole = sum(tensor.numbers for tensor in plan.tensors)
    done = 0
    try:
        writer.write_header_to_file(target)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in plan.tensors:
            if stopping():
                raise Stopped("error.stopped")
            numbers = gguf.GGMLQuantizationType[chosen_kind(tensor, kind, plan.tensors, mixed=mixed)]
            values = read_tensor(plan, tensor) if tensor.source else extra[tensor.name]
            writer.write_tensor_data(gguf.quants.quantize(values, numbers))
            done += tensor.numbers
            tell(done / whole)
        writer.flush()
        for opened in writer.fout or []:
            os.fsync(opened.fileno())
    finally:
        writer.close()
    return kinds, kept


def read_tensor(plan: GgufPlan, tensor: GgufTensor) -> NDArray[np.float32]:
    """A tensor out of its file, in 32 bits, as llama.cpp wants it."""
    values = read_numbers(plan.folder / tensor.file, tensor.start, tensor.dtype, tensor.numbers)
    if tensor.source.endswith(plan.shape.turned):
        values = values.reshape(tensor.shape[::-1]).T
    return arrange(plan, tensor, values.reshape(tensor.shape))


def read_numbers(file: Path, start: int, dtype: str, count: int) -> NDArray[np.float32]:
    """So many numbers of a safetensors file, from a byte of its data on."""
    with file.open("rb") as opened:
        opened.seek(int.from_bytes(opened.read(8), "little") + 8 + start)
        raw = opened.read(count * (4 if dtype == "F32" else 2))
    if dtype != "BF16":
        return np.frombuffer(raw, np.float16 if dtype == "F16" else np.float32).astype(np.float32, copy=False)
    wide = np.frombuffer(raw, np.uint16).astype(np.uint32)
    wide <<= 16  # they are the upper half
    return wide.view(np.float32)


def arrange(plan: GgufPlan, tensor: GgufTensor, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows in llama.cpp's order, norms whole."""
    rows = plan.shape.rows(tensor.source.rpartition(".")[0], tensor.shape[0], plan.config)
    if rows is not None:
        values = values[rows]
    if plan.shape.shifted and tensor.source.endswith("norm.weight"):
        values = values + np.float32(1)
    return np.ascontiguousarray(values)


def _write_facts(writer: "GGUFWriter", plan: GgufPlan, kind: str, name: str) -> None:
    """What the file says of the model and its tokenizer."""
    import gguf

    tokenizer = plan.tokenizer
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(_named(name, tokenizer.strips))
    add_facts(writer, plan.architecture, plan.shape.facts(plan.config))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    types = {"F32": "ALL_F32"}
    writer.add_file_type(gguf.LlamaFileType[types.get(kind, f"MOSTLY_{kind}")])
    writer.add_tokenizer_model(tokenizer.model)
    writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list(tokenizer.tokens)
    writer.add_token_types(tokenizer.types)
    if tokenizer.model == "llama":
        writer.add_token_scores(tokenizer.scores)
        writer.add_add_space_prefix(tokenizer.space_first)
    else:
        writer.add_token_merges(tokenizer.merges)
    keys = {"unk": "unknown", "pad": "padding"}
    for short, i in tokenizer.special.items():
        writer.add_uint32(f"tokenizer.ggml.{keys.get(short, short)}_token_id", i)
    writer.add_add_bos_token(tokenizer.adds_bos)
    writer.add_add_eos_token(tokenizer.adds_eos)
    if tokenizer.template is not None:
        writer.add_chat_template(tokenizer.template)


def add_facts(writer: "GGUFWriter", architecture: str, facts: Facts) -> None:
    """Each as its kind of value."""
    for key, value in facts.items():
        key = f"{architecture}.{key}"
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)


def _named(name: str, strips: bool) -> str:
    """The model's name, so that llama.cpp, which reads how tokens strip out of it, reads what is so."""
    said = any(word in name.lower() for word in _STRIPPING)
    if strips and not said:
        return f"{name} (phi-3)"
    if said and not strips:
        for word in _STRIPPING:
            at = name.lower().find(word)
            name = name if at < 0 else f"{name[:at]}phi 3{name[at + len(word) :]}"
    return name


def _kinds_in(file: Path) -> dict[str, int]:
    import gguf

    kinds: dict[str, int] = {}
    for tensor in gguf.GGUFReader(file).tensors:
        kinds[tensor.tensor_type.name] = kinds.get(tensor.tensor_type.name, 0) + 1
    return kinds
