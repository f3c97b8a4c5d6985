"""Supervised fine-tuning through TRL's SFTTrainer."""

from typing import Any

from datasets import Dataset
from transformers.trainer_utils import EvalLoopOutput
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer
from trl.trainer.utils import add_fused_lm_head

from studio.models.loading import LoadedModel
from studio.runs.spec import RunSpec
from studio.training.job import ExampleSet, Lesson
from studio.training.trainer import Setup, StudioTrainer, on_one_device, quiet, trainer_options


class LikelihoodTrainer(StudioTrainer, SFTTrainer):
    """TRL's trainer with one definition of validation loss.

    Of the fused output head only the loss is asked for: the entropy and accuracy that TRL logs beside it cost a few
    per cent of a step on a CPU, and nobody looks at them.
    """

    model: Any
    _nll = 0.0
    _tokens = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        add_fused_lm_head(self.model.get_base_model())

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Negative log-likelihood per trained token, in nats; of the whole step where its tokens are known."""
        output = model(**inputs, use_cache=False, fused_lm_head=True, num_items_in_batch=num_items_in_batch)
        if self.model.training:
            self._total_train_tokens += int(inputs["attention_mask"].sum())
        self._metrics["train" if self.model.training else "eval"]["num_tokens"] = [self._total_train_tokens]
        return (output.loss, output) if return_outputs else output.loss

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> Any:
        result = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        tokens = int((inputs["labels"][:, 1:] != -100).sum())
        self._nll += float(result[0]) * tokens
        self._tokens += tokens
        return result

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        """The loss is the mean over all trained tokens, whatever the batches; Trainer's own is a mean of means."""
        self._nll, self._tokens = 0.0, 0
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        assert output.metrics is not None
        output.metrics[f"{metric_key_prefix}_loss"] = self._nll / self._tokens
        return output


def arranged(examples: ExampleSet, spec: RunSpec, loaded: LoadedModel) -> ExampleSet:
    """One by one, as they are."""
    return examples


def make_trainer(setup: Setup) -> LikelihoodTrainer:
    examples = setup.examples
    return quiet(
        LikelihoodTrainer(
            **setup.common(),
            args=sft_config(setup),
            train_dataset=to_dataset(examples.train),
            eval_dataset=to_dataset(examples.validation) if examples.validation else None,
        )
    )


def sft_config(setup: Setup) -> SFTConfig:
    """TRL's settings of a run."""
    return on_one_device(SFTConfig(**trainer_options(setup), dataset_kwargs={"skip_prepare_dataset": True}))


def to_dataset(lessons: tuple[Lesson, ...]) -> Dataset:
    """Tokenised rows as SFTTrainer takes them."""
    sides = [lesson.sides[0] for lesson in lessons]
    return Dataset.from_dict({"input_ids": [list(e.ids) for e in sides], "labels": [list(e.labels) for e in sides]})
