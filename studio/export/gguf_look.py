"""A model folder, looked at before it is written as GGUF: whether it can be, under which name, and how big it gets.

Reads `config.json`, the tokenizer and the headers of the weights; nothing is loaded.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.errors import ExportError
from studio.export.gguf_shapes import ModelConfig, Shape, shape_of
from studio.export.gguf_tokenizer import GgufTokenizer, read_gguf_tokenizer
from studio.export.llama_cpp_kinds import BY_LLAMA_CPP, need_gguf
from studio.models.folder import read_config, read_header, weight_files
from studio.runs.exports import NUMBERS

if TYPE_CHECKING:
    from gguf import TensorNameMap

_EMBEDDING, _OUTPUT, _POSITIONS = "token_embd.weight", "output.weight", "position_embd.weight"
# Bytes of a block and numbers in it (`gguf.constants.GGML_QUANT_SIZES`), which needs no library to be told.
_BLOCKS = {
    "F32": (4, 1),
    "F16": (2, 1),
    "BF16": (2, 1),
    "Q8_0": (34, 32),
    "Q5_1": (24, 32),
    "Q5_0": (22, 32),
    "Q4_0": (18, 32),
    "Q6_K": (210, 256),
    "Q5_K": (176, 256),
    "Q4_K": (144, 256),
}
_BY_NAME = {"Q6_K": "Q6_K", "Q5_K_M": "Q5_K", "Q4_K_M": "Q4_K"}
_ALIGNMENT = 32
# Beside what gives the scores, the layers where fewer bits cost most.
_COSTLY = ("attn_v", "ffn_down")


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A tensor as it will be written: `shape` as in Python, rows before columns. `source`: its name in the weights, in
    `file` from byte `start` of its data on, of the safetensors type `dtype`; "" where no file holds it."""

    name: str
    shape: tuple[int, ...]
    source: str
    file: str = ""
    start: int = 0
    dtype: str = "F32"

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class GgufPlan:
    """`sizes`: bytes of the file by kind of numbers; nearly, where llama.cpp chooses. `window`: the model looks back
    that far, llama.cpp farther; 0 where both are one."""

    folder: Path
    architecture: str
    config: ModelConfig
    shape: Shape
    tensors: tuple[GgufTensor, ...]
    tokenizer: GgufTokenizer
    sizes: Mapping[str, int]
    window: int

    @property
    def exact_kind(self) -> str:
        """The kind that keeps the weights as they are, or in 16 bits those of 32."""
        dtypes = {tensor.dtype for tensor in self.tensors if tensor.source and len(tensor.shape) > 1}
        return dtypes.pop() if len(dtypes) == 1 and dtypes <= {"BF16", "F16"} else "F32"

    def scratch(self, kind: str) -> int:
        """Bytes of what lies beside the file while it is written."""
        return self.sizes[self.exact_kind] if kind in BY_LLAMA_CPP else 0


def look_at_gguf(folder: Path, stops: Sequence[int] = ()) -> GgufPlan:
    """What becomes of a model folder. `stops`: tokens that end an answer beside those that the folder names. Raises
    ExportError, or ModelError when it is no whole model folder."""
    config = ModelConfig(read_config(folder), folder)
    shape = shape_of(config)
    tensors = _tensors(config, shape)
    embedding = next(tensor for tensor in tensors if tensor.name == _EMBEDDING)
    tokenizer = read_gguf_tokenizer(folder, embedding.shape[0], stops)
    shape.facts(config)  # raises on a setting that cannot be written
    words = sum(len(token.encode()) + 16 for token in tokenizer.tokens) + sum(len(m) + 8 for m in tokenizer.merges)
    sizes = {
        kind: words + sum(_bytes(tensor, chosen_kind(tensor, kind, tensors)) + _ALIGNMENT for tensor in tensors)
        for kind in NUMBERS["gguf"]
    }
    return GgufPlan(folder, shape.name, config, shape, tensors, tokenizer, sizes, _window(config, shape))


def usual_bytes(numbers: int, kind: str) -> int:
    """About so many bytes a model takes in a kind of numbers, where no more is known of it than how many there are."""
    size, count = _BLOCKS[_BY_NAME.get(kind, kind)]
    return numbers * size // count


def window_of(folder: Path) -> int:
    """As `window` of its `GgufPlan`. Raises ExportError where it cannot be written as GGUF."""
    config = ModelConfig(read_config(folder), folder)
    return _window(config, shape_of(config))


def chosen_kind(tensor: GgufTensor, kind: str, tensors: tuple[GgufTensor, ...], *, mixed: bool = False) -> str:
    """The numbers a tensor is written in, in a file of a kind; of kinds that llama.cpp writes, those it usually takes.

    Norms and biases stay whole. What gives the scores of the next token is written in 8 bits where the rest is in
    fewer, since it costs most there. A row that is no whole number of blocks goes into 16 bits, and of Q8_0 that is
    `mixed` so does all that costs most.
    """
    if len(tensor.shape) < 2 or tensor.name == _POSITIONS:
        return "F32"
    last = _OUTPUT if any(other.name == _OUTPUT for other in tensors) else _EMBEDDING
    costly = tensor.name == last or any(part in tensor.name for part in _COSTLY)
    if mixed and costly and kind == "Q8_0":
        return "F16"
    if kind in BY_LLAMA_CPP:
        wide = "Q6_K" if costly else _BY_NAME[kind]
        return {"Q6_K": "Q8_0", "Q5_K": "Q5_1", "Q4_K": "Q5_0"}[wide] if tensor.shape[-1] % 256 else wide
    if kind in ("Q5_0", "Q4_0") and tensor.name == last:
        kind = "Q8_0"
    return "F16" if tensor.shape[-1] % _BLOCKS[kind][1] else kind


def _bytes(tensor: GgufTensor, kind: str) -> int:
    size, count = _BLOCKS[kind]
    return tensor.numbers // count * size


def gguf_names(config: ModelConfig, shape: Shape) -> "TensorNameMap":
    """GGUF's names of a model's tensors. Raises ExportError when its library is not installed."""
    need_gguf()
    import gguf

    kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    return gguf.get_tensor_name_map(kinds[shape.name], config.layers)


def _tensors(config: ModelConfig, shape: Shape) -> tuple[GgufTensor, ...]:
    """All tensors under their names in GGUF, the embedding first. Raises ExportError on one that has none."""
    names = gguf_names(config, shape)
    found: dict[str, GgufTensor] = {}
    for file in weight_files(config.folder):
        path = config.folder / file
        header = read_header(path)
        for source, entry in header.items():
            if source == "__metadata__" or source.endswith(shape.skipped):
                continue
            name = names.get_name(source, (".weight", ".bias"))
            if name == _OUTPUT and config.tied:
                continue  # the embedding over again
            if name is None or name in found or entry["dtype"] not in ("F32", "F16", "BF16"):
                raise ExportError("error.gguf.tensor", tensor=source, dtype=entry["dtype"], file=str(path))
            size = tuple(reversed(entry["shape"]) if source.endswith(shape.turned) else entry["shape"])
            found[name] = GgufTensor(name, size, source, file, entry["data_offsets"][0], entry["dtype"])
    if _EMBEDDING not in found:
        raise ExportError("error.gguf.no_embedding", folder=str(config.folder))
    embedding = found.pop(_EMBEDDING)
    first = [embedding]
    if shape.own_output and config.tied:
        first.append(
            GgufTensor(_OUTPUT, embedding.shape, embedding.source, embedding.file, embedding.start, embedding.dtype)
        )
    extra = [GgufTensor(name, values.shape, "") for name, values in shape.extra(config).items()]
    return (*first, *found.values(), *extra)


def _window(config: ModelConfig, shape: Shape) -> int:
    """How far the model looks back in all or some layers, if llama.cpp does not keep to it and texts can be longer."""
    window = config.values.get("sliding_window")
    used = config.values.get("use_sliding_window", True)
    return window if isinstance(window, int) and used and not shape.window and window < config.context else 0
