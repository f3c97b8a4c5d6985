"""Numbers of a run for TensorBoard, Trackio and Weights & Biases, by the callbacks of transformers.

These are the callbacks that `report_to` of a TrainingArguments stands for. They are made here, for `report_to` alone
lets each choose its folder and name from the process's environment, sends arguments with paths of this machine, and
begins anew where a run is resumed.
"""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback, TrackioCallback, WandbCallback

from studio.errors import StudioError, TrainingError
from studio.models.loading import first_line
from studio.runs.trackers import (
    NAMES,
    PROJECT,
    TENSORBOARD_FOLDER,
    Tracker,
    check_trackers,
    wandb_project,
)
from studio.training.job import TrainingJob


@contextlib.contextmanager
def tracked(job: TrainingJob) -> Iterator[tuple[TrainerCallback, ...]]:
    """The callbacks that the run asks for; what they hold open is closed in the end, however the run ends.

    Raises InputError when one cannot be used, TrainingError when one fails.
    """
    chosen = tuple(dict.fromkeys(job.spec.training.report_to))
    check_trackers(chosen, offline=job.settings.offline)
    with contextlib.ExitStack() as stack:
        yield tuple(_MAKERS[tracker](job, stack) for tracker in chosen)


class _EachStepOnce(TrainerCallback):
    """Laid over a callback: what was told before the run was resumed is not told again. A resumed run repeats the
    steps after its checkpoint, with the same numbers. (Of a process that dies between telling and recording, one number
    may be told twice or never.)"""

    job: TrainingJob

    def on_log(self, args: Any, state: Any, control: Any, *more: Any, **named: Any) -> None:
        evaluated = any(name.startswith("eval_") for name in named["logs"])
        told = self.job.told_validation if evaluated else self.job.told_training
        if state.global_step > told:
            super().on_log(args, state, control, *more, **named)


class _TensorBoard(_EachStepOnce, TensorBoardCallback):
    """Without the arguments and the configuration of the model; the settings of the run stand there once."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.job.told_training < 0 and self.tb_writer is not None:
            indented = "    " + self.job.spec.to_yaml().replace("\n", "\n    ")  # a block of code in Markdown
            self.tb_writer.add_text("settings", indented)


class _Trackio(_EachStepOnce, TrackioCallback):
    """The run is begun beforehand."""

    def setup(self, args: Any, state: Any, model: Any, **_: Any) -> None:
        self._initialized = True

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """It is finished afterwards."""


class _Wandb(_EachStepOnce, WandbCallback):
    """The run is begun beforehand. No weights are sent."""

    def setup(self, args: Any, state: Any, model: Any, **_: Any) -> None:
        self._initialized = True

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """It is finished afterwards."""

    def on_save(self, *_: Any, **__: Any) -> None:
        """Checkpoints stay here."""


def _tensorboard(job: TrainingJob, stack: contextlib.ExitStack) -> TrainerCallback:
    from torch.utils.tensorboard import SummaryWriter

    writer = stack.enter_context(contextlib.closing(SummaryWriter(log_dir=str(job.folder / TENSORBOARD_FOLDER))))
    return _with_job(_TensorBoard(writer), job)


def _trackio(job: TrainingJob, stack: contextlib.ExitStack) -> TrainerCallback:
    import trackio

    # What it prints would mix with what the studio's commands answer.
    with _told_failure("trackio"), contextlib.redirect_stdout(sys.stderr):
        trackio.init(
            project=PROJECT, name=_name(job), config=_config(job), resume="allow", embed=False,
            auto_log_cpu=False, auto_log_gpu=False,
        )  # fmt: skip

    def finish() -> None:
        with contextlib.redirect_stdout(sys.stderr):
            trackio.finish()

    stack.callback(finish)
    return _with_job(_Trackio(), job)


def _wandb(job: TrainingJob, stack: contextlib.ExitStack) -> TrainerCallback:
    import wandb

    with _told_failure("wandb"):
        run = wandb.init(
            project=wandb_project(),
            id=job.folder.name,
            name=_name(job),
            dir=str(job.folder),
            config=_config(job),
            resume="allow",
            mode="offline" if job.settings.offline else None,  # None: as the user's shell or `wandb offline` has it
            # The numbers and the settings alone: not what is printed, no code, nothing about this machine.
            settings=wandb.Settings(
                console="off", silent=True, disable_git=True, disable_code=True, x_disable_meta=True,
                x_disable_stats=True, x_save_requirements=False,
            ),
        )  # fmt: skip
    stack.callback(run.finish)
    run.define_metric("train/global_step")
    run.define_metric("*", step_metric="train/global_step", step_sync=True)
    if not run.offline and run.url:
        job.notice("notice.tracker.wandb_url", url=run.url)
    return _with_job(_Wandb(), job)


_MAKERS = {"tensorboard": _tensorboard, "trackio": _trackio, "wandb": _wandb}


def _with_job(callback: Any, job: TrainingJob) -> TrainerCallback:
    callback.job = job
    return callback


def _name(job: TrainingJob) -> str:
    """That of the run, and of its id what tells it from others of the same name."""
    return f"{job.name} {job.folder.name[-6:]}".strip()


def _config(job: TrainingJob) -> dict[str, Any]:
    """The settings of the run, without paths of this machine."""
    values = job.spec.model_dump(mode="json")
    source = Path(values["model"]["source"]).expanduser()
    if source.is_dir():
        values["model"]["source"] = source.absolute().name
    return values


@contextlib.contextmanager
def _told_failure(tracker: Tracker) -> Iterator[None]:
    """What a library raises when it cannot begin a run, as an error that names it."""
    try:
        yield
    except (StudioError, OSError):
        raise
    except Exception as error:
        raise TrainingError("error.tracker.failed", tracker=NAMES[tracker], reason=first_line(error)) from error
