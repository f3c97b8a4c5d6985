"""The model that a run trains: the base with an adapter on it, or all of its weights."""

import copy
from collections.abc import Sequence
from typing import Any, Literal

from peft import PeftModel
from transformers import PreTrainedModel

from studio.models.loading import AdapterFile
from studio.runs.adapter_shape import AdapterShape
from studio.runs.spec import FullSpec, RunSpec
from studio.training.lora import Clock, add_adapter, without_dropout


def tuned_model(
    model: PreTrainedModel,
    spec: RunSpec,
    clock: Clock,
    parent: AdapterFile | None = None,
    new_ids: Sequence[int] = (),
    given: AdapterShape | None = None,
) -> Any:
    """`model` with the weights that the run trains, those of `parent` if there is one, and the embeddings of the tokens
    `new_ids`. The base model's own dropout is off. `given`: the shape of an adapter that was made elsewhere."""
    if not isinstance(spec.tuner, FullSpec):
        parts: dict[str, Any] = {"parent": parent, "new_ids": new_ids, "given": given}
        return add_adapter(model, spec.tuner, spec.training.seed, clock, scores=not spec.method.writes, **parts)
    without_dropout(model)
    return model.requires_grad_(True)


def held_in(spec: RunSpec) -> Literal["auto", "float32", "bfloat16"]:
    """The numbers the weights are loaded in. Those that are trained are held in float32, whatever is computed in:
    bfloat16 would lose small steps."""
    return "float32" if isinstance(spec.tuner, FullSpec) else spec.model.precision


def base_of(model: Any) -> Any:
    """The model without PEFT around it."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def counted_weights(model: Any) -> tuple[int, int]:
    """How many numbers are trained, and how many the base model has."""
    if isinstance(model, PeftModel):
        trainable, both = model.get_nb_trainable_parameters()
        return trainable, both - trainable
    every = sum(parameter.numel() for parameter in model.parameters())
    return every, every


def new_bytes(model: Any, spec: RunSpec) -> int:
    """What training adds to the weights that are held already: gradients and AdamW's two moments in float32 for each
    that is trained, and a copy where a preference is compared with the model as it was."""
    trained, every = counted_weights(model)
    copied = isinstance(spec.tuner, FullSpec) and spec.method.learns in ("pairs", "ratings")
    return trained * 12 + (every * 4 if copied else 0)


def reference_of(model: Any) -> PreTrainedModel | None:
    """What a preference compares the model with: a frozen copy of it as it is. None: an adapter is switched off for
    that."""
    return None if isinstance(model, PeftModel) else copy.deepcopy(model).requires_grad_(False).eval()
