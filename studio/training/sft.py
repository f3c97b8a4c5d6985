"""Supervised fine-tuning through TRL's SFTTrainer."""

from typing import Any

import torch
from datasets import Dataset
from peft.helpers import disable_input_dtype_casting
from transformers.trainer_utils import EvalLoopOutput
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer
from trl.trainer.utils import add_fused_lm_head

from studio.models.loading import LoadedModel
from studio.runs.spec import RunSpec
from studio.training.head import is_plain, summed_loss
from studio.training.job import ExampleSet, Lesson
from studio.training.lora import Clock
from studio.training.passes import divided
from studio.training.ranks import SharedTokens
from studio.training.trainer import Setup, StudioTrainer, on_one_device, quiet, trainer_options
from studio.training.tuned import base_of


class LikelihoodTrainer(StudioTrainer, SFTTrainer):
    """TRL's trainer with one definition of loss: negative log-likelihood per trained token, in nats.

    On a CPU the rows of a batch are computed in passes of about equal length, and the output layer scores only what is
    learned; TRL's own scores every token there. Not where processes share a batch: they wait for each other at every
    pass, and only for gradients of what the whole model computes. Of TRL's fused output layer, which is taken
    elsewhere, only the loss is asked for and which tokens are right: the entropy that is logged beside it costs a few
    per cent of a step.
    """

    model: Any
    shared = SharedTokens
    _nll = 0.0
    # Of the step, or of the evaluation: trained tokens, and those of them that the model would have put first.
    _tokens: Any = 0
    _right: Any = 0

    def __init__(self, *, clock: Clock, in_passes: bool, **options: Any) -> None:
        super().__init__(**options)
        self._clock = clock
        self._in_passes = in_passes
        base = base_of(self.model)
        self._plain_head = in_passes and is_plain(base)
        if not self._plain_head:
            add_fused_lm_head(base, outputs=("log_probs", "is_top1"))

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """A sum over passes: each loss is already a share of the whole step's."""
        assert num_items_in_batch is not None
        losses = []
        with disable_input_dtype_casting(self.model):  # autocast casts, and only where it must
            for part in divided(inputs) if self._in_passes else [inputs]:
                losses.append(super().training_step(model, part, num_items_in_batch))
                self._clock.part += 1
        return torch.stack(losses).sum()

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Per trained token, of the whole step where its tokens are known. Never with outputs."""
        if self.model.training:
            self._total_train_tokens += int(self.ranks.total(int(inputs["attention_mask"].sum()))[0])
        self._metrics["train" if self.model.training else "eval"]["num_tokens"] = [self._total_train_tokens]
        if not self._plain_head:
            output = model(**inputs, use_cache=False, fused_lm_head=True, num_items_in_batch=num_items_in_batch)
            self._count(output.is_top1.sum(), output.label_mask.sum())
            loss = output.loss
            # The tokens of all processes were counted, and the mean of their gradients is taken.
            return loss if num_items_in_batch is None else loss * self.ranks.size
        labels = inputs["labels"]
        base = base_of(self.model)
        with self.accelerator.autocast():
            # Rows are padded on the right, where no earlier token looks: a mask would change nothing.
            hidden = base.base_model(input_ids=inputs["input_ids"], use_cache=False).last_hidden_state
        loss, right = summed_loss(hidden, base.get_output_embeddings(), labels)
        tokens = (labels[:, 1:] != -100).sum()
        self._count(right, tokens)
        return loss / (tokens if num_items_in_batch is None else num_items_in_batch)

    def _count(self, right: torch.Tensor, tokens: torch.Tensor) -> None:
        self._right, self._tokens = self._right + right, self._tokens + tokens

    def _counted(self) -> tuple[float, float]:
        """Right and trained tokens since it was asked last, over all processes."""
        right, tokens = self.ranks.total(int(self._right), int(self._tokens))
        self._right = self._tokens = 0
        return right, tokens

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:  # of a step
            right, tokens = self._counted()
            logs["token_accuracy"] = right / tokens
        super().log(logs, start_time)

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> Any:
        result = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        tokens = int((inputs["labels"][:, 1:] != -100).sum())
        if tokens:
            self._nll += float(result[0]) * tokens
        return result

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        """The loss is the mean over all trained tokens, whatever the batches; Trainer's own is a mean of means."""
        self._nll = 0.0
        self._counted()
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        assert output.metrics is not None
        right, tokens = self._counted()
        (nll,) = self.ranks.total(self._nll)
        output.metrics[f"{metric_key_prefix}_loss"] = nll / tokens
        output.metrics[f"{metric_key_prefix}_token_accuracy"] = right / tokens
        return output


def arranged(examples: ExampleSet, spec: RunSpec, loaded: LoadedModel) -> ExampleSet:
    """One by one, as they are."""
    return examples


def make_trainer(setup: Setup) -> LikelihoodTrainer:
    examples = setup.examples
    return quiet(
        LikelihoodTrainer(
            **setup.common(),
            **setup.passes(),
            args=sft_config(setup),
            train_dataset=to_dataset(examples.train),
            eval_dataset=to_dataset(by_length(examples.validation)) if examples.validation else None,
        )
    )


def sft_config(setup: Setup) -> SFTConfig:
    """TRL's settings of a run."""
    return on_one_device(SFTConfig(**trainer_options(setup), dataset_kwargs={"skip_prepare_dataset": True}))


def by_length(lessons: tuple[Lesson, ...]) -> tuple[Lesson, ...]:
    """In order of length, so that batches need the least padding."""
    return tuple(sorted(lessons, key=lambda lesson: lesson.tokens))


def to_dataset(lessons: tuple[Lesson, ...]) -> Dataset:
    """Tokenised rows as SFTTrainer takes them."""
    sides = [lesson.sides[0] for lesson in lessons]
    return Dataset.from_dict({"input_ids": [list(e.ids) for e in sides], "labels": [list(e.labels) for e in sides]})
