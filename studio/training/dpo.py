"""Direct preference optimisation through TRL's DPOTrainer."""

from typing import Any

from datasets import Dataset
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from studio.models.loading import LoadedModel
from studio.runs.methods import DpoSpec
from studio.runs.spec import RunSpec
from studio.training.job import ExampleSet, Lesson
from studio.training.trainer import Setup, StudioTrainer, WeighedEvaluation, on_one_device, quiet, trainer_options
from studio.training.tuned import reference_of

_ANSWERS = "sft"  # TRL's name for the loss of the better answers


class PairTrainer(WeighedEvaluation, StudioTrainer, DPOTrainer):
    """TRL's trainer, with the model as it began as what the tuned one is compared with."""

    def __init__(self, **options: Any) -> None:
        super().__init__(ref_model=reference_of(options["model"]), **options)
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


def arranged(examples: ExampleSet, spec: RunSpec, loaded: LoadedModel) -> ExampleSet:
    """One by one, as they are."""
    return examples


def make_trainer(setup: Setup) -> PairTrainer:
    method = setup.spec.method
    assert isinstance(method, DpoSpec)
    losses: dict[str, float] = {method.loss: 1.0}
    if method.sft_weight:
        losses[_ANSWERS] = method.sft_weight
    config = DPOConfig(
        **trainer_options(setup), beta=method.beta, loss_type=list(losses), loss_weights=list(losses.values())
    )
    return pair_trainer(PairTrainer, setup, config)


def pair_trainer(kind: type[PairTrainer], setup: Setup, config: DPOConfig, **options: Any) -> Any:
    """A trainer of pairs."""
    examples = setup.examples
    return quiet(
        kind(
            **setup.common(),
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
