"""Reports a run while it trains: numbers, samples, checkpoints; and ends it when asked or when it goes wrong."""

import math
import re
import shutil
import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from studio.errors import TrainingError
from studio.models.device import memory_used_bytes
from studio.models.generation import sample_answers
from studio.runs.events import Checkpoint, Metrics, Sample
from studio.runs.methods import RolloutSpec
from studio.runs.spec import TrainingSpec
from studio.runs.stop import Stop
from studio.runs.store import disk_full, sync_folder
from studio.training.checkpoints import forget_training_state
from studio.training.job import Shown, TrainingJob
from studio.training.lora import Clock
from studio.training.ranks import ALONE, Ranks

# A sample may grow half as long again as the longest expected answer, up to this.
_SAMPLE_TOKENS = 24
# An evaluation that a stop is waiting for is given up after this long.
_STOP_WAIT_SECONDS = 10.0
# Long runs are saved this often even where no evaluation is due, so that no kill costs more.
_SAVE_SECONDS = 600.0


class EvaluationGivenUp(Exception):
    """Raised inside an evaluation that is to end unfinished; caught around it."""


class Reporter(TrainerCallback):
    """Turns the Trainer's calls into events.

    `checkpoints` are those of the whole run; new ones are added. One is reported only after its files are synced.
    A checkpoint that was not validated is there to be resumed from and never counts as the best.
    Of several processes (`ranks`) each has its own; the first one reports, and decides when the run ends.
    """

    def __init__(
        self,
        job: TrainingJob,
        stop: Stop,
        tokenizer: Any,
        shown: tuple[Shown, ...],
        clock: Clock,
        *,
        checkpoints: list[Checkpoint],
        interval: int,
        validates: bool,
        checkpoint_bytes: int,
        ranks: Ranks = ALONE,
    ) -> None:
        self.job = job
        self.ranks = ranks
        self.stop = stop
        self.tokenizer = tokenizer
        self.shown = shown
        self.sample_tokens = sample_tokens(tokenizer, shown)
        self.clock = clock
        self.interval = interval
        self.validates = validates
        self.checkpoint_bytes = checkpoint_bytes
        self.checkpoints = checkpoints
        self.ended_by: str = "end"
        self._validation: dict[str, Any] = {}
        self._samples: list[Sample] = []
        self._stop_seen: float | None = None
        self._began = self._last_time = self._last_save = time.monotonic()
        self._last_tokens = 0.0

    @property
    def training(self) -> TrainingSpec:
        return self.job.spec.training

    # Steps

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        self._began = self._last_time = self._last_save = time.monotonic()
        if not self.validates and state.global_step == 0:
            self._write_samples(0, model)
            self._report_samples()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        self.clock.step, self.clock.part = state.global_step, 0
        if isinstance(self.job.spec.method, RolloutSpec):
            self._check_finite(state.global_step, model)  # no answer can be drawn from weights that are no numbers

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.clock.part += 1

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        scheduled = state.global_step % self.interval == 0 or state.global_step >= state.max_steps
        self._validation = {}
        asked, due = self.ranks.agreed((self.stop.asked, time.monotonic() - self._last_save > _SAVE_SECONDS))
        if state.global_step >= state.max_steps:
            self._end(control, "end", evaluate=self.validates)
        elif asked == "leave":
            self._end(control, "leave", evaluate=False)
        elif asked == "stop":
            self._end(control, "stop", evaluate=self.validates)
        elif due:
            control.should_save = True
        if control.should_save:
            self._check_room()
            self._check_finite(state.global_step, model)
            if not self.validates and scheduled and asked != "leave":
                self._write_samples(state.global_step, model)

    def _end(self, control: TrainerControl, by: str, *, evaluate: bool) -> None:
        self.ended_by = by
        control.should_training_stop = control.should_save = True
        control.should_evaluate = evaluate

    def _check_room(self) -> None:
        needed = self.checkpoint_bytes + self.job.settings.min_free_bytes
        if shutil.disk_usage(self.job.folder).free < needed:
            raise disk_full(self.job.folder, needed)

    def _check_finite(self, step: int, model: Any) -> None:
        """A checkpoint must be good to go on from. Its loss was finite, but the step after it need not have been."""
        for parameter in model.parameters():
            if parameter.requires_grad and not torch.isfinite(parameter).all():
                raise self._not_finite("weights", step)

    def _not_finite(self, name: str, step: int) -> TrainingError:
        last = self.checkpoints[-1].step if self.checkpoints else 0
        key = f"error.train.not_finite.{name}" if last else f"error.train.not_finite_early.{name}"
        rate = self.training.learning_rate
        return TrainingError(key, step=step, checkpoint=last, learning_rate=rate, lower=rate / 10)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        state.log_history.clear()  # the record holds the numbers; here they would be saved with every checkpoint
        if not logs or "loss" not in logs:
            return
        for name in ("loss", "grad_norm"):
            if not math.isfinite(logs[name]):
                raise self._not_finite(name, state.global_step)
        now = time.monotonic()
        tokens = logs["num_tokens"]
        values = {
            "loss": logs["loss"],
            "learning_rate": logs["learning_rate"],
            "grad_norm": logs["grad_norm"],
            "epoch": logs["epoch"],
            "tokens_per_second": (tokens - self._last_tokens) / max(now - self._last_time, 1e-6),
            "memory_bytes": float(memory_used_bytes()),
            "seconds": now - self._began,
        }
        self._last_time, self._last_tokens = now, tokens
        self.job.report(Metrics(step=state.global_step, values={**values, **_of_method(logs)}))

    # Evaluation

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        asked = self.stop.asked
        if asked != "no":
            self._stop_seen = self._stop_seen or time.monotonic()
        waited = self._stop_seen is not None and time.monotonic() - self._stop_seen > _STOP_WAIT_SECONDS
        if self.ranks.agreed(asked == "leave" or waited):
            raise EvaluationGivenUp

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        model: Any = None,
        **_: Any,
    ) -> None:
        self._last_time = time.monotonic()  # evaluating is no training either
        metrics = metrics or {}
        judged_by = self.job.spec.method.judged_by
        values = _of_method(metrics, "eval_")
        if judged_by == "loss":
            values = {"loss": metrics["eval_loss"], **values}
            if not math.isfinite(values["loss"]):
                raise self._not_finite("loss", state.global_step)
        values = {f"validation_{name}": value for name, value in values.items()}
        judged = f"validation_{judged_by}"
        self._validation = {judged: values[judged]} if judged in values else {}
        self.job.report(Metrics(step=state.global_step, values=values))
        self._write_samples(state.global_step, model)
        self._report_samples()
        planned = [c for c in self.checkpoints if c.step % self.interval == 0]
        now = Checkpoint(step=state.global_step, path="", **self._validation)
        costs = measured_costs([*planned, now]) if state.global_step else []
        if self.ended_by == "end" and without_progress(costs, self.training.patience):
            if state.global_step < state.max_steps:
                self.job.notice("notice.train.early_stop", step=state.global_step, patience=self.training.patience)
            control.should_training_stop = control.should_save = True

    def _write_samples(self, step: int, model: Any) -> None:
        began = time.monotonic()
        asked = self.ranks.agreed(self.stop.asked)
        if (self.ranks.first or self.ranks.sharded) and asked == "no":
            answers = sample_answers(model, self.tokenizer, [row.ids for row in self.shown], self.sample_tokens)
            self._samples = [
                Sample(step=step, prompt=row.prompt, text=text, expected=row.expected)
                for row, text in zip(self.shown, answers, strict=True)
            ]
        self._last_time += time.monotonic() - began  # no training: it must not count as slow tokens

    def _report_samples(self) -> None:
        if self._samples:
            self.job.report(*self._samples)
            self._samples = []

    # Checkpoints

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        folder = self.job.folder / f"checkpoint-{state.global_step}"
        checkpoint = Checkpoint(step=state.global_step, path=folder.name, **self._validation)
        if self.ranks.first:  # the others have written nothing
            sync_folder(folder)
        self.job.report(*self._samples, checkpoint)
        self._samples = []
        self.checkpoints.append(checkpoint)
        forget_training_state(self.job.folder, self.checkpoints)
        self._last_time = self._last_save = time.monotonic()


# What TRL logs of a method, and what it is called in the record.
_METHOD_NUMBERS = {
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "rewards/accuracies": "accuracy",
    "rewards/margins": "margin",
    "accuracy": "accuracy",
    "token_accuracy": "token_accuracy",
    "margin": "margin",
    "kl": "kl",
    "reward": "reward",
    "reward_std": "reward_std",
    "completions/mean_length": "completion_tokens",
    "completions/clipped_ratio": "clipped_share",
}
# Of each reward of a run, by its place among them.
_ONE_REWARD = re.compile(r"rewards/(\d+_[a-z]+)/mean")


def _of_method(logs: dict[str, float], prefix: str = "") -> dict[str, float]:
    """The method's own numbers; those that are not finite (a batch without thumbs down) are left out."""
    own = {key.removeprefix(prefix): value for key, value in logs.items() if key.startswith(prefix)}
    found = {name: own[key] for key, name in _METHOD_NUMBERS.items() if key in own}
    each = {f"reward_{one[1]}": value for key, value in own.items() if (one := _ONE_REWARD.fullmatch(key))}
    if each:
        found |= {"entropy": own["entropy"], **(each if len(each) > 1 else {})}
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


def sample_tokens(tokenizer: Any, shown: Sequence[Shown]) -> int:
    """How long the samples may grow: enough to see the answer come, little enough not to slow the run."""
    longest = max((len(tokenizer(row.expected, add_special_tokens=False)["input_ids"]) for row in shown), default=0)
    return min(_SAMPLE_TOKENS, longest * 3 // 2 + 4)


def measured_costs(checkpoints: Sequence[Checkpoint]) -> list[float]:
    """What the best checkpoint has least of, of those that were validated, in order."""
    return [c.cost for c in checkpoints if c.cost is not None]


def without_progress(costs: Sequence[float], patience: int) -> bool:
    """Whether the last `patience` evaluations brought nothing below the best before them. 0 never gives up."""
    if not patience or len(costs) <= patience:
        return False
    return min(costs[-patience:]) >= min(costs[:-patience])
