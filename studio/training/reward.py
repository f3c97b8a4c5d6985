"""A reward model through TRL's RewardTrainer: a score for each answer, higher for the better one of a pair."""

from dataclasses import replace
from typing import Any

from datasets import Dataset
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from studio.models.loading import LoadedModel
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


class ScoreTrainer(PairsInPasses, StudioTrainer, RewardTrainer):
    """TRL's trainer, which notes the points of either side as well."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        found: Any = super().compute_loss(model, inputs, True, num_items_in_batch)
        loss, outputs = found
        metrics = self._metrics["train" if self.model.training else "eval"]
        sides = outputs.logits.detach().float().squeeze(-1).chunk(2)
        for name, scores in zip(("chosen", "rejected"), sides, strict=True):
            of_all: Any = self.accelerator.gather(scores)
            metrics[f"rewards/{name}"].append(float(of_all.mean()))
        return (loss, outputs) if return_outputs else loss


def arranged(examples: ExampleSet, spec: RunSpec, loaded: LoadedModel) -> ExampleSet:
    """One by one, as they are; none is answered on the way, for a reward model writes nothing."""
    return replace(examples, shown=())


def make_trainer(setup: Setup) -> ScoreTrainer:
    examples = setup.examples
    return quiet(
        ScoreTrainer(
            **setup.common(),
            **setup.passes(),
            args=on_one_device(RewardConfig(**trainer_options(setup))),
            train_dataset=whole_pairs(examples.train),
            eval_dataset=whole_pairs(examples.validation) if examples.validation else None,
        )
    )


def whole_pairs(lessons: tuple[Lesson, ...]) -> Dataset:
    """Tokenised pairs as RewardTrainer takes them: the whole chat with either answer."""
    names = ("chosen_ids", "rejected_ids")
    return Dataset.from_dict({name: [list(row.sides[i].ids) for row in lessons] for i, name in enumerate(names)})
