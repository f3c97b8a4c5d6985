"""One model of a base and what was tuned of it, as Transformers loads it: safetensors in parts, tokenizer, settings.

Every layer is merged in float32 by PEFT itself and then written in the numbers that were asked for, one layer after the
other: in memory there is never more than one copy of the model.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig
from transformers.pytorch_utils import Conv1D

from studio.errors import Stopped
from studio.models.catalog import ModelFiles
from studio.models.folder import CONFIG, read_header, read_json
from studio.models.loading import LoadedModel, attach_adapter, load_stored, quiet_transformers, read_adapter
from studio.models.new_tokens import read_new_tokens, with_new_tokens
from studio.models.shape import shape_of

Tell = Callable[[float], None]
Stopping = Callable[[], bool]
SHARD_BYTES = 4_000_000_000
_GENERATION = "generation_config.json"
_NAME = "merged"
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
# The share of the work that each part takes, roughly.
_LOADED, _MERGED = 0.3, 0.7


def stored_numbers(folder: Path, weights: tuple[str, ...]) -> torch.dtype:
    """What most of the weights in these files are written in; float32 where that is another kind of numbers."""
    sizes: dict[str, int] = {}
    for name in weights:
        for tensor, entry in read_header(folder / name).items():
            if tensor != "__metadata__":
                begin, end = entry["data_offsets"]
                sizes[entry["dtype"]] = sizes.get(entry["dtype"], 0) + end - begin
    return _DTYPES.get(max(sizes, key=lambda kind: sizes[kind], default=""), torch.float32)


def merge(
    files: ModelFiles,
    adapter: Path | None,
    tokenizer: Any,
    target: Path,
    numbers: str,
    *,
    stops: tuple[int, ...],
    held: str | None = None,
    tell: Tell = lambda share: None,
    stopping: Stopping = lambda: False,
) -> float | None:
    """Write the model at `files` with the adapter merged into it, or as it is, to the folder `target`, in `numbers`
    (`float32`, `bfloat16` or `float16`). `tokenizer`: the base's own; `stops`: the tokens that end an answer.

    `held`: the numbers that were computed in where the run held the base in 4 bits (QLoRA). The adapter was tuned to
    what those 4 bits stand for, so it is merged into that, and the `weight_error` of a Proof is returned. Raises
    StudioError, Stopped soon after `stopping` says so.
    """
    kept = getattr(torch, numbers)
    stored = kept if kept == torch.float32 else stored_numbers(files.folder, files.weights)
    loaded = LoadedModel(load_stored(files, stored), tokenizer, files.identity(), ())
    layers = [layer.name for layer in shape_of(loaded.model).layers if layer.four_bits] if held else []
    model: Any = loaded.model
    error = None
    tell(_LOADED)
    if adapter is not None:
        loaded = with_new_tokens(loaded, read_new_tokens(adapter))
        model = attach_adapter(loaded.model, read_adapter(adapter), _NAME)
        if held:
            error = _as_held(model.get_base_model(), layers, getattr(torch, held), stopping)
        untied = _untie(model)
        _merge_layers(model, kept, lambda share: tell(_LOADED + (_MERGED - _LOADED) * share), stopping)
        with quiet_transformers():
            model = model.merge_and_unload()  # what is no layer of LoRA's: the embeddings of new tokens
        if untied:
            model.config.tie_word_embeddings = False
    _check(stopping)
    for weight in (*model.parameters(), *model.buffers()):
        if weight.is_floating_point():
            weight.data = weight.data.to(kept)
    tell(_MERGED)
    _save(model, files.folder, target, stops, loaded.tokenizer.pad_token_id)
    tell(1.0)
    return error


def _merge_layers(model: Any, kept: torch.dtype, tell: Tell, stopping: Stopping) -> None:
    from peft.tuners.lora import LoraLayer

    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)]
    for number, (name, layer) in enumerate(layers, 1):
        _check(stopping)
        base: Any = layer.get_base_layer()
        own = base.weight.data
        base.weight.data = own.float()
        layer.merge(adapter_names=[_NAME])  # type: ignore[reportCallIssue]  # every kind of layer has it
        # Into the place where it was, if it is wide enough: pieces of memory that are taken anew, one for each layer,
        # would not all be given back.
        if own.dtype != torch.float32 and own.element_size() == kept.itemsize:
            own = own.view(kept)
        keeps = own.dtype in (kept, torch.float32)
        base.weight.data = own.copy_(base.weight.data) if keeps else base.weight.data.to(kept)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, base)
        tell(number / len(layers))


def _untie(model: Any) -> bool:
    """Gives embedding and output layer weights of their own, where they are one and the adapter is on one of them.
    Returns whether they are two that were one. (With an adapter on the output PEFT may have saved its weights.)"""
    from peft.tuners.lora import LoraLayer

    inner = model.get_base_model()
    embedding, head = inner.get_input_embeddings(), inner.get_output_embeddings()
    if head is None or not inner.config.tie_word_embeddings:
        return False
    weights, tuned = [], [isinstance(layer, LoraLayer) for layer in (embedding, head)]
    for layer, is_tuned in zip((embedding, head), tuned, strict=True):
        weights.append(layer.get_base_layer() if is_tuned else layer)
    if any(tuned) and weights[0].weight is weights[1].weight:
        weights[1].weight = nn.Parameter(weights[1].weight.data.clone(), requires_grad=False)
    return any(tuned)


def _as_held(model: Any, layers: list[str], computed: torch.dtype, stopping: Stopping) -> float:
    """Puts in place of each layer's weights what 4 bits of them stand for; returns how far off that is."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    off = size = 0.0
    for name in layers:
        _check(stopping)
        layer = model.get_submodule(name)
        base = layer.get_base_layer() if hasattr(layer, "get_base_layer") else layer
        turned = isinstance(base, Conv1D)  # transformers' quantiser reads these the other way round
        own = (base.weight.data.T if turned else base.weight.data).to(computed).contiguous()
        # The options that weights are loaded with in 4 bits (`studio.models.loading`).
        packed, state = quantize_4bit(own, compress_statistics=True, quant_type="nf4")
        meant = dequantize_4bit(packed, state).reshape(own.shape)
        off += float((meant.float() - own.float()).abs().sum())
        size += float(own.float().abs().sum())
        base.weight.data.copy_(meant.T if turned else meant)
    return off / size if size else 0.0


def _save(model: Any, base: Path, target: Path, stops: tuple[int, ...], pad: object) -> None:
    """The model's files. Its settings for answers are those of the base, but for where they end."""
    model.generation_config = GenerationConfig()
    with quiet_transformers():
        model.save_pretrained(target, max_shard_size=SHARD_BYTES)
    settings = read_json(base, _GENERATION) if (base / _GENERATION).is_file() else {}
    settings |= {"eos_token_id": list(stops), "pad_token_id": pad}
    _write_json(target / _GENERATION, settings)
    config = read_json(target, CONFIG)
    _write_json(target / CONFIG, {key: value for key, value in config.items() if key != "_name_or_path"})


def _write_json(file: Path, values: object) -> None:
    file.write_text(json.dumps(values, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _check(stopping: Stopping) -> None:
    if stopping():
        raise Stopped("error.stopped")
