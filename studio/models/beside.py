"""Several models answering in one batch: the base with its adapters, and others beside it, whose weights were all
trained or whose adapter is of a kind that PEFT does not mix with others in a batch."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch.nn import functional

from studio.models.generation import BASE, inner


@dataclass(frozen=True, slots=True)
class BesideOutput:
    """`logits` of all rows in their order, filled up with zeros where the models know unequally many tokens;
    `past_key_values` of each model, to be given back."""

    logits: torch.Tensor
    past_key_values: tuple[Any, ...]


def mixes(model: PeftModel, name: str) -> bool:
    """Whether rows of a batch can each run through this adapter or another; not with DoRA (peft/tuners/lora/layer.py,
    `_check_forward_args`)."""
    return not getattr(model.peft_config[name], "use_dora", False)


class OneAdapter:
    """A PEFT model as one of its adapters makes it. Nobody else may call the model meanwhile."""

    def __init__(self, model: PeftModel, name: str) -> None:
        self.peft, self._name = model, name
        self.config, self.generation_config = model.config, model.generation_config
        self.device, self.dtype = model.device, model.dtype
        self.forward = model.get_base_model().forward

    def __call__(self, **inputs: Any) -> Any:
        if self.peft.active_adapters != [self._name]:
            self.peft.set_adapter(self._name, inference_mode=True)
        return self.peft(**inputs)


class Beside:
    """Called as a PEFT model is, with the name of the adapter that each row runs through; `BASE` for the base alone.

    `apart`: the models of those names that are computed each by itself. All other names are adapters of the base.
    `base` gives it as it is now: PEFT puts an adapter into the very layers of a model, from then on to be told by name.
    """

    def __init__(self, base: Callable[[], Any], apart: Mapping[str, Any]) -> None:
        self._models = (base, *((lambda model=model: model) for model in apart.values()))
        self._places = {name: number for number, name in enumerate(apart, 1)}
        last = self._models[-1]()
        self.config, self.generation_config = last.config, last.generation_config
        self.device, self.dtype = last.device, last.dtype
        self._takes_positions = "position_ids" in inspect.signature(inner(last).forward).parameters

    def of(self, name: str) -> Any:
        """The model that computes the rows of this name."""
        return self._models[self._places.get(name, 0)]()

    def __call__(self, **inputs: Any) -> BesideOutput:
        return self.forward(**inputs)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        adapter_names: Sequence[str],
        past_key_values: Sequence[Any] = (),
        use_cache: bool = True,
    ) -> BesideOutput:
        logits: list[Any] = [None] * len(adapter_names)
        caches: list[Any] = [None] * len(self._models)
        for number, current in enumerate(self._models):
            model = current()
            rows = [row for row, name in enumerate(adapter_names) if self._places.get(name, 0) == number]
            if not rows:
                continue
            inputs: dict[str, Any] = {"input_ids": input_ids[rows], "attention_mask": attention_mask[rows]}
            if self._takes_positions:
                inputs["position_ids"] = position_ids[rows]
            if isinstance(model, PeftModel):
                inputs["adapter_names"] = [adapter_names[row] for row in rows]
            past = past_key_values[number] if past_key_values else None
            output = model(**inputs, past_key_values=past, use_cache=use_cache)
            caches[number] = output.past_key_values
            for row, scores in zip(rows, output.logits, strict=True):
                logits[row] = scores
        widest = max(scores.shape[-1] for scores in logits)
        alike = [functional.pad(scores, (0, widest - scores.shape[-1])) for scores in logits]
        return BesideOutput(torch.stack(alike), tuple(caches))


@contextmanager
def alone(model: Any, name: str) -> Iterator[Any]:
    """Of what takes the name of an adapter for each row, the transformers model that computes the rows of this name:
    for whole answers in one call. Nobody else may call the model meanwhile."""
    found = model.of(name) if isinstance(model, Beside) else model
    found = found.peft if isinstance(found, OneAdapter) else found
    if not isinstance(found, PeftModel):
        yield found
    elif name == BASE:
        with found.disable_adapter():
            yield found.get_base_model()
    else:
        found.set_adapter(name, inference_mode=True)
        yield found.get_base_model()
