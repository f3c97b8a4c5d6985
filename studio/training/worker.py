"""What each worker of a cluster does: it trains its share of a run."""

import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio.data.records import Record
from studio.data.splits import Split
from studio.errors import FaultError, StudioError
from studio.models.catalog import find_files
from studio.runs.events import Checkpoint, Event, Started
from studio.runs.sources import Source
from studio.runs.spec import STARTER, RunSpec
from studio.runs.stop import Stop
from studio.settings import Settings
from studio.training.desk import fetch, send
from studio.training.job import TrainingJob

_ASK_SECONDS = 0.2
MODEL = "model"
"""The name by which the base model is offered to workers; runs that are built on have their own."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A run as it goes to the workers. `model`: the fingerprint of the base model, whose files are offered; None: every
    node has it from the Hub. `history` ends with the checkpoint that is gone on from, which is offered too. `sharded`:
    the model is divided among them."""

    spec: RunSpec
    rows: tuple[tuple[int, Record], ...]
    skipped: int
    history: tuple[Checkpoint, ...]
    started: Started | None
    parts: Split | None
    sources: Mapping[str, Source]
    model: str | None
    offline: bool
    sharded: bool


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a run came."""

    step: int
    stopped: bool


@dataclass(frozen=True, slots=True)
class Left:
    """A run was left with a checkpoint, to be gone on with another time."""


def work(config: Mapping[str, Any]) -> None:
    """Ray Train runs it in each worker, torch's processes connected. `config`: the `desk`, and the `parcel` there."""
    import ray

    desk: Any = config["desk"]
    parcel: Any = ray.get(config["parcel"])
    try:
        from torch import distributed

        from studio.training.ranks import Ranks
        from studio.training.train import learn
    except ImportError as error:
        told = FaultError("error.cluster.package", detail=str(error))
        ray.get(desk.report.remote(told))
        raise told from error
    ranks = Ranks(distributed.get_rank(), distributed.get_world_size(), parcel.sharded)
    stop = Stop()
    # Ray's own folder: what a killed worker leaves there goes with it.
    with tempfile.TemporaryDirectory(prefix="studio-run-", dir=Path.cwd()) as folder:
        try:
            job = _unpacked(parcel, desk, Path(folder), reports=ranks.first)
            with _following(stop, desk) if ranks.first else _alone():
                learned = learn(job, stop, ranks)
        except StudioError as error:
            ray.get(desk.report.remote(error))
            raise
        if ranks.first:
            ray.get(desk.report.remote(Left() if learned is None else Reached(learned.step, learned.stopped)))


def _unpacked(parcel: Parcel, desk: Any, folder: Path, *, reports: bool) -> TrainingJob:
    """The run as this worker sees it, in a folder of its own."""
    import ray

    def report(*events: Event) -> None:
        for event in events:
            if isinstance(event, Checkpoint):
                send(desk, run / event.path)
        ray.get(desk.report.remote(*events))

    run = folder / "run"
    run.mkdir()
    if parcel.history:
        last = parcel.history[-1].path
        fetch(desk, last, run / last)
    settings = Settings(workspace=folder, offline=parcel.offline)
    spec, settings = _with_model(parcel, settings, desk, folder)
    sources = {
        name: replace(source, folder=fetch(desk, name, folder / name)) for name, source in parcel.sources.items()
    }
    return TrainingJob(
        spec=spec,
        settings=settings,
        folder=run,
        rows=list(parcel.rows),
        skipped=parcel.skipped,
        history=parcel.history,
        append=report if reports else _nothing,
        started=parcel.started,
        parts=parcel.parts,
        sources=sources,
    )


def _with_model(parcel: Parcel, settings: Settings, desk: Any, folder: Path) -> tuple[RunSpec, Settings]:
    """The settings by which the base model is found: where it lies on this node too, or is copied to."""
    source = parcel.spec.model.source
    if parcel.model is None or _is_here(source, settings, parcel.model):
        return parcel.spec, settings
    if source == STARTER:
        fetch(desk, MODEL, folder / "assets" / settings.starter.name)
        return parcel.spec, replace(settings, assets=folder / "assets")
    copied = fetch(desk, MODEL, folder / MODEL / Path(source).name)
    model = parcel.spec.model.model_copy(update={"source": str(copied)})
    return parcel.spec.model_copy(update={"model": model}), settings


def _is_here(source: str, settings: Settings, fingerprint: str) -> bool:
    try:
        return find_files(source, settings).fingerprint() == fingerprint
    except StudioError:
        return False


def _nothing(*_: Event) -> None:
    """The first worker reports for all."""


@contextmanager
def _following(stop: Stop, desk: Any) -> Iterator[None]:
    """`stop` is asked for as soon as the run's machine does."""
    import ray

    done = threading.Event()

    def follow() -> None:
        while not done.wait(_ASK_SECONDS):
            asked = ray.get(desk.asked.remote())
            if asked == "stop":
                stop.stop()
            elif asked == "leave":
                stop.leave()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _alone() -> Iterator[None]:
    yield
