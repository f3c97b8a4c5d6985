"""What a run builds on: which runs that may be, and where their results lie; or an adapter that was made elsewhere."""

from dataclasses import replace
from pathlib import Path

from studio.data.chat_templates import ChatTemplate, resolved
from studio.errors import InputError
from studio.models.adapter_folder import AdapterFacts, look_at_adapter, read_adapter_shape
from studio.runs.events import Checkpoint, RunState
from studio.runs.methods import CptSpec
from studio.runs.sources import Source
from studio.runs.spec import ADAPTER_FOLDER, FullSpec, LoraSpec, RunSpec, TunerSpec
from studio.runs.store import RunRecord, Store

# An adapter can only be gone on with as the very thing it is.
_SHAPE = ("variant", "rank", "alpha", "targets")


def check_source(store: Store, spec: RunSpec, run: str) -> None:
    """Raises InputError when a run that this one builds on is not there, or is not of the kind that is needed. It need
    not have ended yet: it may stand in the queue before this one. A checkpoint that is named must be there already."""
    record = _checked(store, spec, run)
    if step := _step(spec, run):
        _checkpoint(record, store.outlines([run])[run], step)


def find_sources(store: Store, spec: RunSpec) -> dict[str, Source]:
    """What the run builds on, by the ids of the runs, and ADAPTER_FOLDER. Raises InputError when one is not there, of
    another kind, or has no result yet."""
    outlines = store.outlines(spec.built_on) if spec.built_on else {}
    found = {
        run: _source(store, spec, _checked(store, spec, run), outlines.get(run, RunState())) for run in spec.built_on
    }
    if spec.model.adapter_folder:
        found[ADAPTER_FOLDER] = _from_folder(spec)
    return found


def look_at_folder(spec: RunSpec) -> AdapterFacts:
    """The adapter that was made elsewhere; also when it needs other settings, that is one of its problems."""
    found = look_at_adapter(Path(spec.model.adapter_folder.strip()))
    wanted = found.shape.settings if found.shape else {}
    own = spec.tuner.model_dump()
    if other := {name: value for name, value in wanted.items() if own.get(name) != value}:
        told = (f"tuner.{name} {f'{value:g}' if name == 'alpha' else value}" for name, value in other.items())
        settings = ", ".join(told)
        problem = InputError("error.adapter_folder.settings", folder=str(found.folder), settings=settings)
        return replace(found, problems=(*found.problems, problem))
    return found


def given_ranks(store: Store, spec: RunSpec) -> dict[str, int]:
    """The ranks of the adapter that is gone on with, by its layers, where these are left as they are. Raises InputError
    when it is not there."""
    if not isinstance(spec.tuner, LoraSpec) or spec.tuner.targets != "adapter":
        return {}
    found = look_at_adapter(find_sources(store, spec)[spec.model.parent].folder)
    return {name: layer.rank for name, layer in (found.layers or {}).items()}


def _from_folder(spec: RunSpec) -> Source:
    found = look_at_folder(spec)
    if found.problems:
        raise found.problems[0]
    return Source(ADAPTER_FOLDER, found.folder.name, found.folder, None, None, spec.model, found.shape)


def check_template(store: Store, spec: RunSpec, run: str, *, own: bool) -> None:
    """Raises InputError when a run that is built on read conversations in another form than this one would; `own`: the
    model brings a chat template."""
    try:
        record = store.run(run)
    except InputError:
        return  # told already
    theirs, ours = _template(store, record.spec), spec.model.chat_template
    if theirs is not None and resolved(theirs, own) != resolved(ours, own):
        facts = {"theirs": resolved(theirs, own), "ours": resolved(ours, own), "setting": theirs}
        raise InputError("error.source.other_template", run=record.name, **facts)


def _template(store: Store, spec: RunSpec) -> ChatTemplate | None:
    """The chat template that the model has learned to read; None while it has read documents alone."""
    while spec.method.learns == "text":
        if not spec.model.adapter:
            return None
        try:
            spec = store.run(spec.model.adapter).spec
        except InputError:
            return None
    return spec.model.chat_template


def _step(spec: RunSpec, run: str) -> int:
    """Which checkpoint of the run is built on; 0: its result."""
    return spec.model.adapter_step if run == spec.model.adapter else 0


def _checked(store: Store, spec: RunSpec, run: str) -> RunRecord:
    try:
        record = store.run(run)
    except InputError:
        raise InputError("error.source.missing", run=run) from None
    if record.spec.model.source != spec.model.source and run != spec.model.adapter:
        facts = {"base": record.spec.model.source, "model": spec.model.source}
        raise InputError("error.source.other_judge", run=record.name, **facts)
    if record.spec.model.source != spec.model.source:
        raise InputError(
            "error.source.other_base", run=record.name, base=record.spec.model.source, model=spec.model.source
        )
    if run in spec.method.reward_runs and _vocabulary(store, record.spec) != _vocabulary(store, spec):
        raise InputError("error.source.other_tokens", run=record.name)
    if run in spec.method.reward_runs and record.spec.method.kind != "reward":
        raise InputError("error.source.no_reward_model", run=record.name)
    if run == spec.model.adapter:
        if not record.spec.method.writes:
            raise InputError("error.source.scores", run=record.name)
        if isinstance(record.spec.tuner, FullSpec):
            raise InputError("error.source.full", run=record.name)
        wanted = [name for name in _SHAPE if _of(record.spec.tuner, name) != _of(spec.tuner, name)]
        if wanted:
            settings = ", ".join(f"tuner.{name} {_of(record.spec.tuner, name)}" for name in wanted)
            raise InputError("error.source.other_adapter", run=record.name, settings=settings)
    return record


def _vocabulary(store: Store, spec: RunSpec) -> str:
    """Whose new tokens a run has: the first of its chain may have given the vocabulary some. Empty: nobody's."""
    run = spec.model.adapter
    while run:
        try:
            spec = store.run(run).spec
        except InputError:
            return ""
        if isinstance(spec.method, CptSpec) and spec.method.new_tokens:
            return run
        run = spec.model.adapter
    return ""


def _of(tuner: TunerSpec, name: str) -> object:
    return tuner.model_dump()[name]


def _checkpoint(record: RunRecord, state: RunState, step: int) -> Checkpoint:
    found = next((checkpoint for checkpoint in state.checkpoints if checkpoint.step == step), None)
    if found is None:
        known = ", ".join(str(checkpoint.step) for checkpoint in state.checkpoints) or "–"
        raise InputError("error.source.no_checkpoint", run=record.name, step=step, known=known)
    return found


def _source(store: Store, spec: RunSpec, record: RunRecord, state: RunState) -> Source:
    if step := _step(spec, record.id):
        path, sha256 = _checkpoint(record, state, step).path, None
    elif state.ended is not None and state.ended.adapter is not None:
        path, sha256 = state.ended.adapter, state.ended.adapter_sha256
    else:
        raise InputError("error.source.unfinished", run=record.name)
    if state.started is None:
        raise InputError("error.source.unfinished", run=record.name)
    folder = store.run_folder(record.id) / path
    if not folder.is_dir():
        raise InputError("error.source.missing", run=record.name)
    goes_on = record.id == spec.model.adapter and isinstance(spec.tuner, LoraSpec) and spec.tuner.targets == "adapter"
    given = read_adapter_shape(folder) if goes_on else None
    base = state.started.base_fingerprint
    margin = None if record.spec.method.writes else _margin(store, record.id)
    return Source(record.id, record.name, folder, sha256, base, record.spec.model, given, margin)


def _margin(store: Store, run: str) -> float | None:
    """Of the weights that were kept; None where none was told."""
    state = RunState().fold(store.events(run))
    assert state.ended is not None
    told = dict(state.curves.get("validation_margin", ()))
    return told.get(state.ended.best_step or state.ended.step, state.latest("margin"))
