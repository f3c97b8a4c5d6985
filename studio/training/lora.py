"""The LoRA adapter of a spec, and the random numbers of a run.

A run's random numbers are its own. The adapter's first weights and every dropout mask come from generators seeded
by (seed, step, layer), never from the process's global generator: a chat beside the training cannot change a run,
and a resumed run needs no random state to go on exactly as it would have.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.tuners.trainable_tokens import TrainableTokensLayer
from peft.utils.other import TrainableTokensWrapper
from torch import nn

from studio.errors import ModelError
from studio.models.adapter_folder import peft_config
from studio.models.loading import SCORE, AdapterFile, first_line
from studio.models.new_tokens import embedding_layers
from studio.models.shape import shape_of
from studio.runs.adapter_shape import AdapterShape
from studio.runs.spec import LoraSpec

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

_ADAPTER = "default"
_TOKENS = ".token_adapter."  # in the names of the embeddings of new tokens


def lora_config(
    spec: LoraSpec,
    model: "PreTrainedModel",
    *,
    scores: bool = False,
    new_ids: Sequence[int] = (),
    given: AdapterShape | None = None,
) -> LoraConfig:
    """PEFT's configuration for `model`, whatever its architecture. `scores`: the layer that scores is trained whole and
    kept with the adapter. `new_ids`: so are the embeddings of these tokens. `given`: the shape of an adapter that was
    made elsewhere, which is kept.

    Raises ModelError if no layer can be adapted, or new tokens cannot be trained.
    """
    shape = shape_of(model)
    if given is not None:
        return peft_config(
            given,
            task_type="SEQ_CLS" if scores else "CAUSAL_LM",
            modules_to_save=[SCORE] if scores else None,
            lora_dropout=spec.dropout,
            fan_in_fan_out=any(layer.transposed for layer in shape.layers),
        )
    chosen = shape.adapted(spec.targets)
    names = [layer.name for layer in chosen]
    if not names:
        raise ModelError("error.model.no_layers", targets=spec.targets, model=type(model).__name__)
    return LoraConfig(
        task_type="SEQ_CLS" if scores else "CAUSAL_LM",
        modules_to_save=[SCORE] if scores else None,
        trainable_token_indices=_token_layers(model, new_ids) if new_ids else None,
        r=spec.rank,
        lora_alpha=spec.alpha,  # type: ignore[arg-type]  # PEFT divides it; a fraction is fine
        lora_dropout=spec.dropout,
        use_rslora=spec.variant == "rslora",
        use_dora=spec.variant == "dora",
        target_modules=_suffixes(names, [name for name, _ in model.named_modules()]),
        fan_in_fan_out=any(layer.transposed for layer in chosen),
        bias="none",
    )


def _token_layers(model: "PreTrainedModel", ids: Sequence[int]) -> dict[str, list[int]]:
    """Where PEFT trains the rows of these tokens; an output that is the embedding itself follows it. PEFT 0.21 forgets
    the bias of an output layer whose rows it trains."""
    layers = embedding_layers(model)
    if any(getattr(layer, "bias", None) is not None for layer in layers.values()):
        raise ModelError("error.model.new_tokens_bias", model=type(model).__name__)
    return {name: list(ids) for name in layers}


def _mend_token_layers(model: "PeftModel") -> None:
    """What PEFT 0.21 forgets of the layers that train the rows of new tokens, and others ask them for: the bias of an
    output layer, which has none, and whether inputs are cast, which they never are."""
    for module in model.modules():
        if isinstance(module, TrainableTokensLayer):
            module.cast_input_dtype_enabled = False  # type: ignore[assignment]  # what PEFT's own helper sets
        elif isinstance(module, TrainableTokensWrapper) and isinstance(module.original_module, nn.Linear):
            module.register_parameter("bias", None)


def _suffixes(names: list[str], every: Sequence[str]) -> list[str]:
    """The shortest endings that name just these of all modules, so that the adapter's configuration stays readable."""
    wanted = set(names)
    for depth in (1, 2):
        endings = {".".join(name.split(".")[-depth:]) for name in names}
        hit = {name for name in every if any(name == e or name.endswith(f".{e}") for e in endings)}
        if hit == wanted:
            return sorted(endings)
    return sorted(names)


@dataclass(slots=True)
class Clock:
    """Where a run is: what its dropout masks depend on. `part` is the batch within an accumulated step, `rank` the
    process of several."""

    step: int = 0
    part: int = 0
    rank: int = 0


class SeededDropout(nn.Module):
    """Dropout (Srivastava et al. 2014) whose mask is a function of seed, step, part and `place` alone.

    Computed again for the same step, as gradient checkpointing does, the mask is the same.
    """

    def __init__(self, share: float, seed: int, place: int, clock: Clock) -> None:
        super().__init__()
        self.share, self.seed, self.place, self.clock = share, seed, place, clock

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        seed = mixed(self.seed, self.place, self.clock.step, self.clock.part) + self.clock.rank
        generator = torch.Generator(device=x.device).manual_seed(seed)
        keep = torch.empty_like(x).bernoulli_(1 - self.share, generator=generator)
        return x * keep.div_(1 - self.share)

    def extra_repr(self) -> str:
        return f"share={self.share}"


def add_adapter(
    model: "PreTrainedModel",
    spec: LoraSpec,
    seed: int,
    clock: Clock,
    *,
    scores: bool = False,
    parent: AdapterFile | None = None,
    new_ids: Sequence[int] = (),
    given: AdapterShape | None = None,
) -> "PeftModel":
    """`model` with a fresh adapter: A as PEFT draws it (Kaiming), B zero; or with the weights of `parent`. The base
    model's own dropout is off, so that the spec's is the only one. `scores`: its layer that scores is fresh. `new_ids`:
    the tokens whose embeddings are trained. `given`: the adapter's shape where it was made elsewhere.

    Raises ModelError when `parent` is an adapter of another shape.
    """
    config = lora_config(spec, model, scores=scores, new_ids=new_ids, given=given)
    without_dropout(model)
    try:
        adapted = cast("PeftModel", get_peft_model(model, config))
    except ValueError as error:
        if parent is None or given is None:
            raise
        raise ModelError("error.adapter.does_not_fit", folder=str(parent.folder), reason=first_line(error)) from error
    _mend_token_layers(adapted)
    layers: list[Any] = [module for module in adapted.modules() if isinstance(module, LoraLayer)]
    for place, layer in enumerate(layers):
        weight = layer.lora_A[_ADAPTER].weight
        drawn = torch.empty(weight.shape, dtype=torch.float32)
        generator = torch.Generator().manual_seed(mixed(seed, place, 0, 0))
        nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator)
        with torch.no_grad():
            weight.copy_(drawn)
        if spec.dropout:
            layer.lora_dropout[_ADAPTER] = SeededDropout(spec.dropout, seed, place, clock)
    if scores:
        _draw_score(adapted.get_base_model(), mixed(seed, len(layers), 0, 0))
    if parent is not None:
        _take_over(adapted, parent)
    return adapted


def _take_over(adapted: "PeftModel", parent: AdapterFile) -> None:
    # The layer that scores is no part of what is taken over, but PEFT wants it named; and where there is one, there is
    # no output layer for new tokens.
    weights: dict[str, Any] = get_peft_model_state_dict(adapted)
    own = {name: tensor for name, tensor in weights.items() if ".lora_" not in name and _TOKENS not in name}
    theirs = {name: tensor for name, tensor in parent.tensors.items() if _TOKENS not in name or name in weights}
    try:
        result: Any = set_peft_model_state_dict(adapted, theirs | own, adapter_name=_ADAPTER)
    except RuntimeError as error:
        reason = first_line(error)
    else:
        wrong = [key for key in result.missing_keys if f".{_ADAPTER}." in key and ".lora_" in key]
        reason = next(iter((*wrong, *result.unexpected_keys)), "")
    if reason:
        raise ModelError("error.adapter.does_not_fit", folder=str(parent.folder), reason=reason)


def _draw_score(model: Any, seed: int) -> None:
    """Its first weights: variance 1 / (inputs + 1), as in Stiennon et al. 2020 (arXiv:2009.01325, appendix B.1). In
    float32 like the adapter."""
    layer = model.get_submodule(SCORE).modules_to_save[_ADAPTER].float()
    drawn = torch.empty(layer.weight.shape)
    drawn.normal_(std=(layer.in_features + 1) ** -0.5, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        layer.weight.copy_(drawn)


def without_dropout(model: "PreTrainedModel") -> None:
    """Take out the dropout that the model was made with."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif "attention_dropout" in vars(module):
            module.attention_dropout = 0.0  # type: ignore[assignment]  # a number that attention reads at each call


def mixed(*numbers: int) -> int:
    """One 63-bit seed of several numbers, by the multiply-and-shift steps of SplitMix64 (Steele et al. 2014)."""
    mask = (1 << 64) - 1
    value = 0
    for number in numbers:
        value = (value + number + 0x9E3779B97F4A7C15) & mask
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
        value ^= value >> 31
    return value >> 1
