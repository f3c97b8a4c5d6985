"""Direct preference optimisation through TRL's DPOTrainer."""

from typing import Any

import torch
from datasets import Dataset
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from studio.models.loading import LoadedModel
from studio.runs.methods import DpoSpec
from studio.runs.spec import RunSpec
from studio.training.job import ExampleSet, Lesson
from studio.training.trainer import (
    PairsInPasses,
    Setup,
    StudioTrainer,
    on_one_device,
    quiet,
    trainer_options,
)

_ANSWERS = "sft"  # TRL's name for the loss of the better answers


class PairTrainer(PairsInPasses, StudioTrainer, DPOTrainer):
    """TRL's trainer, with the model as it began as what the tuned one is compared with."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._chosen_weights = dict(zip(self.loss_types, self.loss_weights, strict=True))

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """What is learned of the better answers beside is a mean over their tokens: of several processes each counts
        by the tokens it has."""
        if self.ranks.several and _ANSWERS in self._chosen_weights:
            tokens = int(inputs["completion_mask"][: len(inputs["completion_mask"]) // 2, 1:].sum())
            share = tokens * self.ranks.size / self.ranks.total(tokens)[0]
            weights = {**self._chosen_weights, _ANSWERS: self._chosen_weights[_ANSWERS] * share}
            self.loss_weights = list(weights.values())
        return super().compute_loss(model, inputs, *args, **kwargs)


class DpoTrainer(PairTrainer):
    """What is learned of the better answers beside is a mean over their tokens: of the whole step, or of all
    validation rows. TRL takes it of each batch; here a batch counts by its share of the tokens."""

    loss_weights: list[float]
    _tokens_per_row = _validation_tokens_per_row = 0.0

    def __init__(self, *, sft_weight: float, **options: Any) -> None:
        super().__init__(**options)
        self._sft_weight = sft_weight
        if rows := options["eval_dataset"]:
            self._validation_tokens_per_row = sum(map(len, rows["chosen_ids"])) / len(rows)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        batches, items = super().get_batch_samples(*args, **kwargs)
        masks = [_better(batch) for batch in batches]
        self._tokens_per_row = sum(int(mask.sum()) for mask in masks) / max(1, sum(map(len, masks)))
        return batches, items

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if self._sft_weight:
            mask = _better(inputs)
            tokens_per_row = self._tokens_per_row if self.model.training else self._validation_tokens_per_row
            self.loss_weights[1] = self._sft_weight * float(mask.sum()) / len(mask) / tokens_per_row
        return super().compute_loss(model, inputs, *args, **kwargs)


def _better(inputs: Any) -> torch.Tensor:
    """Which tokens of a batch are those of the better answers, (pairs, tokens)."""
    return inputs["completion_mask"].chunk(2)[0]


def arranged(examples: ExampleSet, spec: RunSpec, loaded: LoadedModel) -> ExampleSet:
    """One by one, as they are."""
    return examples


def make_trainer(setup: Setup) -> DpoTrainer:
    method = setup.spec.method
    assert isinstance(method, DpoSpec)
    losses: dict[str, float] = {method.loss: 1.0}
    if method.sft_weight:
        losses[_ANSWERS] = method.sft_weight
    config = DPOConfig(
        **trainer_options(setup), beta=method.beta, loss_type=list(losses), loss_weights=list(losses.values())
    )
    return pair_trainer(DpoTrainer, setup, config, sft_weight=method.sft_weight)


def pair_trainer(kind: type[PairTrainer], setup: Setup, config: DPOConfig, **options: Any) -> Any:
    """A trainer of pairs."""
    examples = setup.examples
    return quiet(
        kind(
            **setup.common(),
            **setup.passes(),
            ref_model=setup.reference,
            args=on_one_device(config),
            train_dataset=pairs(examples.train),
            eval_dataset=pairs(examples.validation) if examples.validation else None,
            **options,
        )
    )


def pairs(lessons: tuple[Lesson, ...]) -> Dataset:
    """Tokenised pairs as DPOTrainer takes them: what both sides begin with, and how each goes on."""
    rows = []
    for lesson in lessons:
        chosen, rejected = lesson.sides
        shared = min(chosen.prompt_tokens, rejected.prompt_tokens)
        while chosen.ids[:shared] != rejected.ids[:shared]:
            shared -= 1
        rows.append((chosen.ids[:shared], chosen.ids[shared:], rejected.ids[shared:]))
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    return Dataset.from_dict({name: [list(row[i]) for row in rows] for i, name in enumerate(names)})
