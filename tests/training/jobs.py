"""Small runs on tiny models, recorded in memory: what the tests of training start from."""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from studio.data.records import Conversation, Message
from studio.data.splits import SplitSpec
from studio.runs.events import Checkpoint, Ended, Event, RunState, Stamped
from studio.runs.sources import Source
from studio.runs.spec import DataSpec, LoraSpec, ModelSpec, RunSpec, TrainingSpec, with_changes
from studio.runs.stop import Stop
from studio.settings import Settings
from studio.training.job import TrainingJob


def conversations(count: int, *, answer: Callable[[int], str] = lambda i: f"{i * 7} it is") -> list[Any]:
    """Rows by id, each asking for a number."""
    return [(i, Conversation((Message("user", f"what about {i}?"),), answer(i))) for i in range(1, count + 1)]


def tiny_spec(model: Path, **changes: object) -> RunSpec:
    """Six short steps in two epochs with validation and dropout; `changes` are dotted paths with `__` for dots."""
    spec = RunSpec(
        model=ModelSpec(source=str(model)),
        data=DataSpec(max_length=64, split=SplitSpec(validation_share=0.2)),
        training=TrainingSpec(epochs=2, batch_size=2, accumulation=2, evaluations=3, learning_rate=0.01),
        tuner=LoraSpec(rank=2, alpha=4, dropout=0.1),
    )
    return with_changes(spec, {path.replace("__", "."): value for path, value in changes.items()})


def tiny_lora(**changes: object) -> LoraSpec:
    """The adapter of a tiny run."""
    tuner = tiny_spec(Path(), **changes).tuner
    assert isinstance(tuner, LoraSpec)
    return tuner


class Killed(BaseException):
    """Stands for the death of the process: no handler of ordinary errors sees it."""


class Recording:
    """A run with its record in memory. `dies_at`: the process dies instead of recording the n-th event (from 1)."""

    def __init__(
        self,
        spec: RunSpec,
        folder: Path,
        rows: Sequence[Any] | None = None,
        sources: Sequence[Source] = (),
        **settings: Any,
    ) -> None:
        self.spec = spec
        self.folder = folder
        self.rows = conversations(12) if rows is None else rows
        self.sources = {source.run: source for source in sources}
        self.settings = Settings(workspace=folder, **settings)
        self.events: list[Event] = []
        self.watcher: Callable[[Event], None] = lambda event: None
        self.dies_at: int | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def state(self) -> RunState:
        return RunState().fold(Stamped(i, float(i), e) for i, e in enumerate(self.events, 1))

    def append(self, *events: Event) -> None:
        if self.dies_at is not None and len(self.events) + len(events) >= self.dies_at:
            raise Killed
        self.events.extend(events)
        for event in events:
            self.watcher(event)

    def run(self, stop: Stop | None = None) -> Ended | None:
        """Train, or go on with what the record holds."""
        from studio.training.train import train

        return train(self.job(), stop or Stop())

    def job(self) -> TrainingJob:
        """The run as it is given to training."""
        state = self.state
        return TrainingJob(
            spec=self.spec,
            settings=self.settings,
            folder=self.folder,
            rows=self.rows,
            skipped=0,
            history=state.checkpoints,
            append=self.append,
            started=state.started,
            sources=self.sources,
            told_training=state.last_step("loss"),
            told_validation=state.last_step("validation_loss", "validation_reward"),
        )

    def weights(self, name: str = "adapter") -> bytes:
        return (self.folder / name / "adapter_model.safetensors").read_bytes()

    def result(self) -> bytes:
        """The weights that were kept, whatever they are."""
        (file,) = (self.folder / self.of(Ended)[-1].adapter).glob("*.safetensors")
        return file.read_bytes()

    def losses(self) -> list[tuple[int, float]]:
        return self.state.curves["loss"]

    def of(self, kind: type[Any]) -> list[Any]:
        return [e for e in self.events if isinstance(e, kind)]


def assert_equal(again: Recording, whole: Recording) -> None:
    """Bit for bit, but for the time and memory they took: what was kept, every number, optimiser and schedule."""
    assert again.result() == whole.result()
    times = {"seconds", "tokens_per_second", "memory_bytes"}
    for name in whole.state.curves.keys() - times:
        assert again.state.curves[name] == whole.state.curves[name], name
    assert again.state.samples == whole.state.samples
    assert again.state.checkpoints == whole.state.checkpoints
    last = whole.state.checkpoints[-1].path
    for name in ("optimizer.pt", "scheduler.pt"):
        theirs, ours = (torch.load(run.folder / last / name, weights_only=True) for run in (whole, again))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def assert_resumes(spec: RunSpec, rows: list[Any], folder: Path, sources: Sequence[Source] = ()) -> Recording:
    """Gone on with from what a process killed in the middle leaves, it is the run that nobody killed; returns that one.

    What is left is copied when a step after the first checkpoint is recorded, while the run goes on to its end.
    `tests/training/test_resume.py` lets runs die.
    """
    whole, killed = (Recording(spec, folder / name, rows, sources) for name in ("whole", "killed"))

    def leave(event: Event) -> None:
        if whole.of(Checkpoint) and not isinstance(event, Checkpoint) and not killed.events:
            shutil.copytree(whole.folder, killed.folder, dirs_exist_ok=True)
            killed.events.extend(whole.events)

    whole.watcher = leave
    whole.run()
    assert not killed.of(Ended)
    killed.run()
    assert_equal(killed, whole)
    return whole


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    """Until something holds; fails loudly when it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
