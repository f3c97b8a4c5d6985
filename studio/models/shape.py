"""What a model is made of, told from its configuration alone: its layers, how large they are, what an adapter reaches.

The model is built on PyTorch's meta device, where tensors have shapes but hold no numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.pytorch_utils import Conv1D

from studio.errors import ModelError
from studio.models.folder import CONFIG
from studio.models.loading import LOADING, SCORE, first_line, quiet_transformers
from studio.runs.spec import LoraSpec, TunerSpec

Part = Literal["embeddings", "attention", "mixer", "mlp", "experts", "other", "head"]
PARTS: tuple[Part, ...] = ("embeddings", "attention", "mixer", "mlp", "experts", "other", "head")
"""`mixer`: what stands in the place of attention in recurrent models; `experts`: the layers a router chooses from, kept
as one tensor; `other`: norms, biases, routers."""

# Layers of recurrent models whose weights are read past the layer, by fused kernels or by plain code: an adapter on
# them would do nothing, and no 4-bit weights can stand there. PEFT refuses the first of them
# (peft/tuners/tuners_utils.py, `_check_lora_target_modules_mamba`).
_READ_PAST = {
    "mamba": ("out_proj", "dt_proj"),
    "falcon_mamba": ("out_proj", "dt_proj"),
    "mamba2": ("out_proj",),
    "falcon_h1": ("out_proj",),
    "nemotron_h": ("out_proj",),
    "jamba": ("dt_proj",),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer. `transposed`: its weight is stored as inputs x outputs (GPT-2's Conv1D). `four_bits`:
    bitsandbytes can keep it in 4 bits."""

    name: str
    part: Part
    inputs: int
    outputs: int
    transposed: bool
    four_bits: bool

    @property
    def least_side(self) -> int:
        return min(self.inputs, self.outputs)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """`layers` are the linear layers but the output's, in order; on those named in `blocked` no adapter can be put.
    `numbers` counts each part's weights, tied ones once. `tied`: the output layer is the embedding. `embedded` are the
    rows of the embedding, one for each token. `given`: the ranks of an adapter that is gone on with, by its layers."""

    name: str
    layers: tuple[Layer, ...]
    blocked: frozenset[str]
    numbers: dict[Part, int]
    blocks: int
    width: int
    embedded: int
    tied: bool
    given: Mapping[str, int] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        return sum(self.numbers.values())

    def adapted(self, targets: Literal["all-linear", "attention", "adapter"]) -> tuple[Layer, ...]:
        """The layers that get an adapter: of those that nobody named none of a single output, such as the gate of a
        shared expert, which an adapter of any rank could simply replace."""
        free = [layer for layer in self.layers if layer.name not in self.blocked]
        match targets:
            case "all-linear":
                return tuple(layer for layer in free if layer.least_side > 1)
            case "attention":
                return tuple(layer for layer in free if layer.part == "attention" and layer.least_side > 1)
            case "adapter":
                return tuple(layer for layer in free if layer.name in self.given)

    def left_out(self, targets: Literal["all-linear", "attention", "adapter"]) -> tuple[Layer, ...]:
        """The layers that `targets` means and that get no adapter, for their single output."""
        single = (layer for layer in self.layers if layer.name not in self.blocked and layer.least_side == 1)
        return tuple(
            layer for layer in single if targets == "all-linear" or (targets, layer.part) == ("attention",) * 2
        )

    def trained(self, tuner: TunerSpec, *, scores: bool = False) -> dict[Part, int]:
        """How many numbers of each part are trained. Of an adapter: rank x (inputs + outputs) for each layer, with DoRA
        also the outputs. `scores`: the layer that scores is trained in place of the output."""
        found: dict[Part, int] = dict.fromkeys(PARTS, 0)
        if not isinstance(tuner, LoraSpec):
            return found | self.numbers
        for layer in self.adapted(tuner.targets):
            lengths = layer.outputs if tuner.variant == "dora" else 0
            rank = self.given[layer.name] if tuner.targets == "adapter" else tuner.rank
            found[layer.part] += rank * (layer.inputs + layer.outputs) + lengths
        if scores:
            found["head"] = self.width
        return found

    def in_four_bits(self) -> dict[Part, int]:
        """How many weights of each part bitsandbytes can keep in 4 bits."""
        found: dict[Part, int] = dict.fromkeys(PARTS, 0)
        for layer in self.layers:
            if layer.four_bits:
                found[layer.part] += layer.inputs * layer.outputs
        return found


def shape_of(model: Any) -> ModelShape:
    """The shape of a model, with its weights or without."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    modules = dict(model.named_modules())
    linear = {
        name: module
        for name, module in modules.items()
        if isinstance(module, nn.Linear | Conv1D) and module is not head and name != SCORE
    }
    read_past = _READ_PAST.get(model.config.model_type, ())
    config = model.config.get_text_config()
    numbers: dict[Part, int] = dict.fromkeys(PARTS, 0)
    for name, parameter in model.named_parameters():
        owner = modules[name.rpartition(".")[0]]
        numbers[_part(name, owner, parameter, owner is head or owner is modules.get(SCORE))] += parameter.numel()
    return ModelShape(
        name=type(model).__name__,
        layers=tuple(_layer(name, module, four_bits=not read_past) for name, module in linear.items()),
        blocked=frozenset(name for name in linear if name.rpartition(".")[2] in read_past),
        numbers=numbers,
        blocks=int(config.num_hidden_layers),
        width=int(config.hidden_size),
        embedded=int(embedding.weight.shape[0]),
        tied=head is not None and head.weight is embedding.weight,
    )


def _layer(name: str, module: Any, *, four_bits: bool) -> Layer:
    if isinstance(module, Conv1D):
        inputs, outputs = module.weight.shape
        return Layer(name, _place(name), inputs, outputs, True, four_bits)
    # A class of the model's own that inherits from Linear is left as it is by transformers' quantiser.
    plain = type(module) is nn.Linear
    return Layer(name, _place(name), module.in_features, module.out_features, False, four_bits and plain)


def _part(name: str, owner: Any, parameter: torch.Tensor, is_head: bool) -> Part:
    if is_head:
        return "head"
    if isinstance(owner, nn.Embedding):
        return "embeddings"
    if parameter.dim() == 3 and "expert" in name:
        return "experts"
    return _place(name) if parameter.dim() == 2 and isinstance(owner, nn.Linear | Conv1D) else "other"


def _place(name: str) -> Part:
    if "attn" in name or "attention" in name:
        return "attention"
    return "mixer" if "mixer" in name or "mamba" in name else "mlp"


def read_shape(folder: Path, *, scores: bool = False) -> ModelShape:
    """The shape of the model in a folder. With `scores` that of the model that scores, made of it.

    Raises ModelError when transformers knows no such model, or the configuration cannot be.
    """
    file = folder / CONFIG
    return _read_shape(folder, file.stat().st_mtime_ns, scores)


@lru_cache(maxsize=16)
def _read_shape(folder: Path, _: int, scores: bool) -> ModelShape:
    kind: Any = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    try:
        with LOADING, quiet_transformers(), torch.device("meta"):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            if scores:
                config.num_labels = 1
            # Said outright, or the default of all threads would be another for a moment.
            model = kind.from_config(config, dtype=torch.float32, trust_remote_code=False)
        return shape_of(model)
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError, StrictDataclassError
    ) as error:  # fmt: skip
        # A configuration can hold any value, and transformers checks few of them itself.
        raise ModelError("error.model.unreadable", folder=str(folder), reason=first_line(error)) from error
