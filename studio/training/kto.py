"""Kahneman-Tversky optimisation through TRL's KTOTrainer."""

from typing import Any

from datasets import Dataset
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference, KTOTrainer

from studio.models.loading import LoadedModel
from studio.runs.methods import KtoSpec
from studio.runs.spec import RunSpec
from studio.training.job import ExampleSet, Lesson
from studio.training.ranks import Shared
from studio.training.trainer import Setup, StudioTrainer, WeighedSteps, on_one_device, quiet, trainer_options


class MismatchingCollator(DataCollatorForUnpairedPreference):
    """Each question gets the answer of the row before it as well: from these the divergence from the base model is
    estimated (section 4.1 of the paper)."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        return super().torch_call(mismatched(examples))


def mismatched(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the answers of the rows before them, unless they have such already."""
    if "KL_completion_ids" in examples[0]:
        return examples
    shifted = [examples[-1], *examples[:-1]]
    pairs = zip(examples, shifted, strict=True)
    return [{**own, "KL_completion_ids": other["completion_ids"]} for own, other in pairs]


class MismatchedFirst(Shared):
    """The rows of a whole batch are mismatched before they are shared."""

    def __call__(self, rows: list[Any]) -> dict[str, Any]:
        return super().__call__(mismatched(rows))


class RatingTrainer(WeighedSteps, StudioTrainer, KTOTrainer):
    """TRL's trainer, with the model as it began as what the tuned one is compared with, and rows in another order each
    pass.

    TRL pairs each question with a neighbour's answer before training, and therefore keeps the order; here the batch
    pairs them when it is made.
    """

    shared = MismatchedFirst

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.args.train_sampling_strategy = "random"


def arranged(examples: ExampleSet, spec: RunSpec, loaded: LoadedModel) -> ExampleSet:
    """One by one, as they are."""
    return examples


def make_trainer(setup: Setup) -> RatingTrainer:
    method, examples = setup.spec.method, setup.examples
    assert isinstance(method, KtoSpec)
    config = KTOConfig(
        **trainer_options(setup),
        beta=method.beta,
        desirable_weight=method.liked_weight,
        undesirable_weight=method.disliked_weight,
        train_sampling_strategy="sequential",
    )
    return quiet(
        RatingTrainer(
            **setup.common(),
            ref_model=setup.reference,
            args=on_one_device(config),
            train_dataset=ratings(examples.train),
            eval_dataset=ratings(examples.validation) if examples.validation else None,
            data_collator=MismatchingCollator(pad_token_id=setup.tokenizer.pad_token_id),
        )
    )


def ratings(lessons: tuple[Lesson, ...]) -> Dataset:
    """Tokenised answers and their thumbs as KTOTrainer takes them."""
    sides = [lesson.sides[0] for lesson in lessons]
    return Dataset.from_dict(
        {
            "prompt_ids": [list(side.ids[: side.prompt_tokens]) for side in sides],
            "completion_ids": [list(side.ids[side.prompt_tokens :]) for side in sides],
            "label": [lesson.liked for lesson in lessons],
        }
    )
