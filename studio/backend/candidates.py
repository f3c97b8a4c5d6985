"""What can stand in a column of Compare: results of runs and their checkpoints, and where each of them lies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from studio.backend.residence import Adapter, Weights
from studio.errors import InputError
from studio.runs.contestants import Contestant
from studio.runs.events import Checkpoint, RunState
from studio.runs.spec import ModelSpec
from studio.runs.store import RunRecord, Store


@dataclass(frozen=True, slots=True)
class Candidate:
    """What can stand beside its base: a run's result (`step` None) or one of its checkpoints, an adapter or, `full`, a
    whole model. `base` is the name of its base, `model` how it is loaded.

    `adapter_sha256` is the recorded hash of its weights file; None for a checkpoint, whose hash is told when it runs.
    What was made elsewhere is of no run (""): the adapter in `folder`, or a model as it is.
    """

    run: str
    name: str
    step: int | None
    adapter_sha256: str | None
    base: str
    validation_loss: float | None = None
    full: bool = False
    validation_reward: float | None = None
    model: ModelSpec = field(default_factory=ModelSpec)
    folder: str = ""

    @property
    def contestant(self) -> Contestant:
        return Contestant(base=self.model, run=self.run, step=self.step, folder=self.folder)


def candidates(store: Store) -> tuple[Candidate, ...]:
    """Newest run first; of each run its result, then its checkpoints from the last to the first."""
    outlines = store.outlines()
    return tuple(
        candidate
        for record in store.runs()
        if record.spec.method.writes
        for candidate in _candidates(record, outlines.get(record.id, RunState()))
    )


def _candidates(record: RunRecord, state: RunState) -> Iterator[Candidate]:
    if state.started is None:
        return
    run, name, base = record.id, record.name, state.started.base_name
    full, model = record.spec.tuner.kind == "full", _base_of(record.spec.model)
    if state.ended is not None and state.ended.adapter is not None:
        loss, reward = state.ended.validation_loss, state.ended.validation_reward
        yield Candidate(run, name, None, state.ended.adapter_sha256, base, loss, full, reward, model)
    for checkpoint in reversed(state.checkpoints):
        loss, reward = checkpoint.validation_loss, checkpoint.validation_reward
        yield Candidate(run, name, checkpoint.step, None, base, loss, full, reward, model)


def find_adapter(store: Store, run: str, step: int | None = None) -> Adapter:
    """The adapter of a step; None: the run's result, or its newest checkpoint as long as there is none.

    Raises InputError when the run has no such adapter, or is a reward model, which answers nothing.
    """
    record = store.run(run)
    model = _base_of(record.spec.model)
    if not record.spec.method.writes:
        raise InputError("error.run.scores", run=record.name)
    full = record.spec.tuner.kind == "full"
    state = store.outlines([run]).get(run, RunState())
    started = state.started
    kept = state.ended.adapter if state.ended else None
    if step is None and kept is not None and state.ended is not None and started is not None:
        folder = store.run_folder(run) / kept
        return Adapter(run, record.name, None, folder, state.ended.adapter_sha256, model, started, full)
    checkpoint = _checkpoint(state.checkpoints, step)
    if checkpoint is None or started is None:
        key = "error.run.no_adapter" if step is None else "error.run.no_checkpoint"
        raise InputError(key, run=record.name, step=step)
    folder = store.run_folder(run) / checkpoint.path
    return Adapter(run, record.name, checkpoint.step, folder, None, model, started, full)


def find_weights(store: Store, contestant: Contestant) -> Weights:
    """What computes a contestant's answers. Raises InputError as `find_adapter` does, and when the contestant's base is
    not that of its run."""
    base = _base_of(contestant.base)
    if contestant.run:
        adapter = find_adapter(store, contestant.run, contestant.step)
        if adapter.model.source != base.source:
            values = {"run": adapter.name, "base": adapter.model.source, "other": base.source}
            raise InputError("error.compare.other_base", **values)
        return Weights(adapter.model, adapter)
    if contestant.folder:
        folder = Path(contestant.folder.strip()).expanduser()
        return Weights(base, Adapter("", folder.name, None, folder, None, base, None, full=False))
    return Weights(base)


def _base_of(model: ModelSpec) -> ModelSpec:
    """Without what a run went on from, which is part of its own adapter."""
    return model.model_copy(update={"adapter": "", "adapter_step": 0, "adapter_folder": ""})


def _checkpoint(checkpoints: Sequence[Checkpoint], step: int | None) -> Checkpoint | None:
    if step is None:
        return checkpoints[-1] if checkpoints else None
    return next((c for c in checkpoints if c.step == step), None)
