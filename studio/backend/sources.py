"""Runs that build on other runs: which they may be, and where their results lie."""

from studio.data.chat_templates import ChatTemplate, resolved
from studio.errors import InputError
from studio.runs.events import Checkpoint, RunState
from studio.runs.methods import CptSpec
from studio.runs.sources import Source
from studio.runs.spec import FullSpec, RunSpec, TunerSpec
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
    """What the run builds on, by the ids of the runs. Raises InputError when one is not there, of another kind, or has
    no result yet."""
    outlines = store.outlines(spec.built_on) if spec.built_on else {}
    return {
        run: _source(store, _checked(store, spec, run), outlines.get(run, RunState()), _step(spec, run))
        for run in spec.built_on
    }


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
        raise InputError("error.source.other_tokens", run=record.name, **facts)
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


def _source(store: Store, record: RunRecord, state: RunState, step: int) -> Source:
    if step:
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
    return Source(record.id, record.name, folder, sha256, state.started.base_fingerprint, record.spec.model)
