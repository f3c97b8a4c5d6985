"""Two whole models answering in one batch: the base, and one whose weights were all trained."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch.nn import functional

from studio.models.generation import BASE


@dataclass(frozen=True, slots=True)
class BesideOutput:
    """`logits` of all rows in their order, filled up with zeros where the models know unequally many tokens;
    `past_key_values` of each model, to be given back."""

    logits: torch.Tensor
    past_key_values: tuple[Any, Any]


class Beside:
    """Called as a PEFT model is, with the name of the model that each row runs through; `BASE` for the base."""

    def __init__(self, base: Any, tuned: Any) -> None:
        self._models = (base, tuned)
        self.config, self.generation_config = tuned.config, tuned.generation_config
        self.device, self.dtype = tuned.device, tuned.dtype
        self._takes_positions = "position_ids" in inspect.signature(tuned.forward).parameters

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
