"""Two models answering in one batch: the base, and one whose weights were all trained, or whose adapter is of a kind
that PEFT does not mix with others in a batch."""

import inspect
from collections.abc import Sequence
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
    past_key_values: tuple[Any, Any]


def mixes(model: PeftModel, name: str) -> bool:
    """Whether rows of a batch can each run through this adapter or another; not with DoRA (peft/tuners/lora/layer.py,
    `_check_forward_args`)."""
    return not getattr(model.peft_config[name], "use_dora", False)


class OneAdapter:
    """A PEFT model as one of its adapters makes it. Nobody else may call the model meanwhile."""

    def __init__(self, model: PeftModel, name: str) -> None:
        self._model, self._name = model, name
        self.config, self.generation_config = model.config, model.generation_config
        self.device, self.dtype = model.device, model.dtype
        self.forward = model.get_base_model().forward

    def __call__(self, **inputs: Any) -> Any:
        if self._model.active_adapters != [self._name]:
            self._model.set_adapter(self._name, inference_mode=True)
        return self._model(**inputs)


class Beside:
    """Called as a PEFT model is, with the name of the model that each row runs through; `BASE` for the base."""

    def __init__(self, base: Any, tuned: Any) -> None:
        self._models = (base, tuned)
        self.config, self.generation_config = tuned.config, tuned.generation_config
        self.device, self.dtype = tuned.device, tuned.dtype
        self._takes_positions = "position_ids" in inspect.signature(inner(tuned).forward).parameters

    def __call__(self, **inputs: Any) -> BesideOutput:
        return self.forward(**inputs)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        adapter_names: Sequence[str],
        past_key_values: tuple[Any, Any] = (None, None),
        use_cache: bool = True,
    ) -> BesideOutput:
        logits: list[Any] = [None] * len(adapter_names)
        caches: list[Any] = []
        for number, model in enumerate(self._models):
            rows = [row for row, name in enumerate(adapter_names) if (name != BASE) == bool(number)]
            if not rows:
                caches.append(None)
                continue
            inputs: dict[str, Any] = {"input_ids": input_ids[rows], "attention_mask": attention_mask[rows]}
            if self._takes_positions:
                inputs["position_ids"] = position_ids[rows]
            if isinstance(model, PeftModel):  # adapters of other runs are on it
                inputs["adapter_names"] = [BASE] * len(rows)
            output = model(**inputs, past_key_values=past_key_values[number], use_cache=use_cache)
            caches.append(output.past_key_values)
            for row, scores in zip(rows, output.logits, strict=True):
                logits[row] = scores
        widest = max(scores.shape[-1] for scores in logits)
        alike = [functional.pad(scores, (0, widest - scores.shape[-1])) for scores in logits]
        return BesideOutput(torch.stack(alike), (caches[0], caches[1]))
