"""Reports a run while it trains: numbers, samples, checkpoints; and stops it when asked or when it goes wrong."""

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from studio.data.formats import Conversation
from studio.errors import TrainingError
from studio.models.generation import sample_answers
from studio.runs.events import Checkpoint, Metrics, Sample
from studio.runs.spec import TrainingSpec
from studio.runs.store import disk_full, sync_folder
from studio.training.job import Stop, TrainingJob

_SAMPLE_TOKENS = 48
# Only the newest checkpoints can be resumed from; the older ones keep their adapter, to be compared.
_RESUMABLE = 2
_RESUME_FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth")


class Reporter(TrainerCallback):
    """Turns the Trainer's calls into events.

    `checkpoints` are those of the whole run so far. A checkpoint is reported only after its files are synced.
    """

    def __init__(
        self, job: TrainingJob, stop: Stop, tokenizer: Any, prompts: tuple[Conversation, ...],
        *, validates: bool, checkpoint_bytes: int
    ) -> None:
        self.job = job
        self.stop = stop
        self.tokenizer = tokenizer
        self.prompts = prompts
        self.validates = validates
        self.checkpoint_bytes = checkpoint_bytes
        self.checkpoints = list(job.history)
        self.stopped = False
        self.validation_loss: float | None = None
        self._process = psutil.Process()
        self._began = self._last_time = time.monotonic()
        self._last_tokens = 0.0

    @property
    def training(self) -> TrainingSpec:
        return self.job.spec.training

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._began = self._last_time = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            self._finish(control)
        elif self.stop.is_set():
            self.stopped = True
            self._finish(control)
        if control.should_save:
            free = shutil.disk_usage(self.job.folder).free
            needed = self.checkpoint_bytes + self.job.settings.min_free_bytes
            if free < needed:
                raise disk_full(self.job.folder, needed)

    def _finish(self, control: TrainerControl) -> None:
        control.should_training_stop = control.should_save = True
        control.should_evaluate = self.validates

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        for name in ("loss", "grad_norm"):
            if not math.isfinite(logs.get(name, 0.0)):
                last = self.checkpoints[-1].step if self.checkpoints else 0
                raise TrainingError(f"error.train.not_finite.{name}", step=state.global_step, checkpoint=last)
        now = time.monotonic()
        tokens = logs.get("num_tokens", 0.0)
        values = {
            "loss": logs["loss"],
            "learning_rate": logs["learning_rate"],
            "grad_norm": logs.get("grad_norm", 0.0),
            "epoch": logs.get("epoch", 0.0),
            "tokens_per_second": (tokens - self._last_tokens) / max(now - self._last_time, 1e-6),
            "memory_bytes": float(self._process.memory_info().rss),
            "seconds": now - self._began,
        }
        self._last_time, self._last_tokens = now, tokens
        self.job.report(Metrics(step=state.global_step, values=values))

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        model: Any = None,
        **_: Any,
    ) -> None:
        loss = (metrics or {}).get("eval_loss")
        if loss is not None and not math.isfinite(loss):
            last = self.checkpoints[-1].step if self.checkpoints else 0
            raise TrainingError("error.train.not_finite.loss", step=state.global_step, checkpoint=last)
        if loss is not None:
            self.validation_loss = loss
            self.job.report(Metrics(step=state.global_step, values={"validation_loss": loss}))
        self._sample(state.global_step, model)
        if self._without_progress(loss):
            self.job.notice("notice.train.early_stop", step=state.global_step, patience=self.training.patience)
            control.should_training_stop = control.should_save = True

    def _sample(self, step: int, model: Any) -> None:
        answers = sample_answers(model, self.tokenizer, [c.prompt for c in self.prompts], _SAMPLE_TOKENS)
        shown = zip(self.prompts, answers, strict=True)
        self.job.report(
            *(Sample(step=step, prompt=c.prompt[-1].content, text=text, expected=c.answer) for c, text in shown)
        )
        # Evaluating and sampling take time that is no training: it must not count as slow tokens.
        self._last_time = time.monotonic()

    def _without_progress(self, loss: float | None) -> bool:
        losses = [c.validation_loss for c in self.checkpoints if c.validation_loss is not None]
        if not self.training.patience or loss is None or len(losses) < self.training.patience:
            return False
        recent = [*losses[len(losses) - self.training.patience + 1 :], loss]
        earlier = losses[: len(losses) - self.training.patience + 1]
        return min(recent) >= min(earlier)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        folder = self.job.folder / f"checkpoint-{state.global_step}"
        sync_folder(folder)
        checkpoint = Checkpoint(step=state.global_step, path=folder.name, validation_loss=self.validation_loss)
        self.job.report(checkpoint)
        self.checkpoints.append(checkpoint)
        for old in self.checkpoints[:-_RESUMABLE]:
            for name in _RESUME_FILES:
                (self.job.folder / old.path / name).unlink(missing_ok=True)
        if not self.validates:
            self._sample(state.global_step, model)
        self._last_time = time.monotonic()


def sweep(folder: Path, known: list[Checkpoint], remove: Callable[[Path], None] = shutil.rmtree) -> None:
    """Remove what a killed process left half done: checkpoints the record does not know, temporary folders."""
    names = {c.path for c in known}
    for path in folder.iterdir():
        unfinished = path.name.startswith("checkpoint-") and path.name not in names
        if path.is_dir() and (unfinished or path.name.endswith(".partial")):
            remove(path)
