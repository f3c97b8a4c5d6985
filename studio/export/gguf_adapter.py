"""A LoRA adapter of PEFT as a GGUF file of its own, which llama.cpp puts on a GGUF file of the base model."""

import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.errors import ExportError, Stopped
from studio.export.gguf_look import gguf_names
from studio.export.gguf_model import read_numbers
from studio.export.gguf_shapes import ModelConfig, Shape, shape_of
from studio.export.llama_cpp_kinds import need_gguf
from studio.models.adapter_folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from studio.models.folder import read_config, read_header, read_json

_PART = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<part>[AB])\.weight")
_OWN = ".base_layer.weight"  # of an embedding or output layer, PEFT writes the base model's weights down, too
_NEW_TOKENS = "new_tokens.json"


@dataclass(frozen=True, slots=True)
class GgufAdapterPlan:
    """`layers`: layers of the base model by their names in GGUF. `tensors`: the header of the adapter's weights."""

    folder: Path
    architecture: str
    config: ModelConfig
    shape: Shape
    settings: dict[str, Any]
    layers: dict[str, str]
    tensors: dict[str, dict[str, Any]]

    def size(self, kind: str) -> int:
        """Bytes of the file, nearly."""
        numbers = sum(math.prod(entry["shape"]) for entry in self.tensors.values())
        return numbers * (2 if kind == "F16" else 4) + 96 * len(self.tensors)


def look_at_gguf_adapter(base: Path, folder: Path) -> GgufAdapterPlan:
    """What becomes of the adapter in `folder`, of the model in `base`, of which only `config.json` is read.

    Raises ExportError when such a file cannot hold the adapter; ModelError when one of both is not whole.
    """
    config = ModelConfig(read_config(base), base)
    shape = shape_of(config)
    settings, tensors = check_adapter(folder)
    beside = {tensor: tensors.pop(tensor) for tensor in tuple(tensors) if tensor.endswith(_OWN)}
    if any(entry["shape"][0] != config.integer("vocab_size") for entry in beside.values()):
        raise ExportError("error.gguf.adapter_tokens", folder=str(folder))
    names = gguf_names(config, shape)
    layers = {}
    for layer in dict.fromkeys(_part(folder, tensor)[0] for tensor in tensors):
        name = names.get_name(f"{layer}.weight", (".weight",))
        own = name != "output.weight" or not config.tied or shape.own_output
        if name is None or not own or {f"{layer}.A", f"{layer}.B"} - {_key(folder, tensor) for tensor in tensors}:
            raise ExportError("error.gguf.adapter_layer", layer=layer, folder=str(folder))
        layers[name] = layer
    return GgufAdapterPlan(folder, shape.name, config, shape, settings, layers, tensors)


def write_gguf_adapter(
    base: Path,
    folder: Path,
    target: Path,
    kind: str,
    *,
    name: str,
    stopping: Callable[[], bool] = lambda: False,
) -> GgufAdapterPlan:
    """Write the adapter in `folder` to the file `target`, as numbers of a kind (`F16`, `F32`).

    llama.cpp has one alpha for all layers and divides it by the rank of each; where PEFT scales a layer otherwise, by
    the root of the rank (rsLoRA, arXiv:2312.03732) or an alpha of its own, the rest goes into its second matrix.
    """
    import gguf

    plan = look_at_gguf_adapter(base, folder)
    scales = dict(_scales(plan))
    alpha = next((scale for scale in scales.values() if scale), 1.0)
    writer = gguf.GGUFWriter(None, plan.architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name(name)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if kind == "F32" else gguf.LlamaFileType.MOSTLY_F16)
    for gguf_name, layer in plan.layers.items():
        if stopping():
            raise Stopped("error.stopped")
        first, second = (_matrix(plan, layer, part) for part in "AB")
        rows = plan.shape.rows(layer, len(second), plan.config)
        if rows is not None:
            second = second[rows]
        if scales[layer] != alpha:
            second = second * np.float32(scales[layer] / alpha)
        for ending, matrix in (("lora_a", first), ("lora_b", second)):
            numbers = matrix.astype(np.float16) if kind == "F16" else matrix
            writer.add_tensor(f"{gguf_name}.{ending}", np.ascontiguousarray(numbers))
    try:
        writer.write_header_to_file(target)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.flush()
        for opened in writer.fout or []:
            os.fsync(opened.fileno())
    finally:
        writer.close()
    return plan


def check_adapter(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """An adapter's settings and the header of its weights, which are two matrices a layer and no more. Raises
    ExportError when there are others, which no GGUF file can hold whatever the base model is."""
    need_gguf()
    settings = read_json(folder, ADAPTER_CONFIG)
    tensors = {name: entry for name, entry in read_header(folder / ADAPTER_WEIGHTS).items() if name != "__metadata__"}
    if settings.get("peft_type") != "LORA":
        raise ExportError("error.gguf.adapter_kind", kind=str(settings.get("peft_type")), folder=str(folder))
    if settings.get("use_dora") or any("lora_magnitude_vector" in name for name in tensors):
        raise ExportError("error.gguf.adapter_dora", folder=str(folder))
    new = settings.get("trainable_token_indices") or settings.get("modules_to_save")
    if new or (folder / _NEW_TOKENS).is_file():
        raise ExportError("error.gguf.adapter_tokens", folder=str(folder))
    for tensor in tensors:
        if not tensor.endswith(_OWN):
            _part(folder, tensor)
    return settings, tensors


def _part(folder: Path, tensor: str) -> tuple[str, str]:
    found = _PART.fullmatch(tensor)
    if found is None:
        raise ExportError("error.gguf.adapter_layer", layer=tensor, folder=str(folder))
    return found["layer"], found["part"]


def _key(folder: Path, tensor: str) -> str:
    return ".".join(_part(folder, tensor))


def _scales(plan: GgufAdapterPlan) -> Iterator[tuple[str, float]]:
    """Every layer with its scale times its rank: the alpha by which llama.cpp comes to PEFT's scale."""
    from peft.utils.other import get_pattern_key

    alphas = plan.settings.get("alpha_pattern") or {}
    for layer in plan.layers.values():
        rank = plan.tensors[f"base_model.model.{layer}.lora_A.weight"]["shape"][0]
        alpha = float(alphas.get(get_pattern_key(list(alphas), layer), plan.settings.get("lora_alpha", 8)))
        yield layer, alpha * math.sqrt(rank) if plan.settings.get("use_rslora") else alpha


def _matrix(plan: GgufAdapterPlan, layer: str, part: str) -> NDArray[np.float32]:
    entry = plan.tensors[f"base_model.model.{layer}.lora_{part}.weight"]
    file = plan.folder / ADAPTER_WEIGHTS
    return read_numbers(file, entry["data_offsets"][0], entry["dtype"], math.prod(entry["shape"])).reshape(
        entry["shape"]
    )
