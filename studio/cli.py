"""What each command does: one call of the backend, its result as values and as text.

`runs` and `chat` only read the workspace and `data check` leaves it alone, so they work beside an open studio.
"""

import argparse
import gc
import json
import logging
import os
import shlex
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from studio.backend.datasets import Version
from studio.backend.studio import Studio
from studio.command_line import Outcome
from studio.data.checks import Finding
from studio.data.cluster import on_cluster
from studio.data.export_file import check_ending, export_table
from studio.data.mixing import MixSpec
from studio.data.recipe import CleanSpec
from studio.data.scan_workers import BOTH_CORES
from studio.data.splits import SplitSpec
from studio.errors import DataError, FaultError, InputError, SpecError, Stopped, StudioError
from studio.evaluation.exams import LM_EVAL
from studio.evaluation.plan import BUILT_IN, EvaluationPlan, make_plan
from studio.messages import translate
from studio.report_text import report_text, report_values
from studio.runs.cluster import ClusterSpec, parse_cluster
from studio.runs.coach import Note, coach
from studio.runs.events import Ended, RunState
from studio.runs.presets import find_preset
from studio.runs.reference import settings_reference
from studio.runs.remedies import diagnose
from studio.runs.spec import STARTER, RunSpec, load_spec, with_changes
from studio.runs.ways import Change
from studio.settings import read_settings
from studio.text_table import printable, text_table

log = logging.getLogger("studio")
_POLL_SECONDS = 0.25
_PORT = 7860
_JUDGE_KEY = "STUDIO_JUDGE_KEY"


def open_page(options: argparse.Namespace) -> Outcome:
    """`studio`: show the page until interrupted."""
    with _studio(options, worker=True) as studio:
        gc.disable()  # imports leave hardly any garbage, and looking for it is a tenth of the start-up time
        from studio.ui.app import serve

        gc.enable()

        browser = not options.no_browser
        try:
            serve(studio, _PORT if options.port is None else options.port, browser)
        except InputError as error:
            if options.port is not None or error.key != "error.port.in_use":
                raise
            serve(studio, 0, browser)
    return Outcome()


def run(options: argparse.Namespace) -> Outcome:
    """`studio run`: train, from a spec file or from data and a preset."""
    with _studio(options) as studio:
        version = _open_data(studio, options.data) if options.data else None
        cluster = _cluster(options)
        make = lambda: _make_spec(options, studio, version)  # noqa: E731
        try:
            record = studio.start(make, options.name, cluster=cluster)
        except InputError as error:
            raise _Refused(error, _ways_out(studio, make)) from None
        spec = record.spec
        cautions = [translate(key, options.language, **values) for key, values in studio.cautions(spec)]
        for caution in cautions:
            print(caution, file=sys.stderr)
        return _train(studio, record.id, options.language, cautions)


def resume(options: argparse.Namespace) -> Outcome:
    """`studio resume RUN`: go on from the last checkpoint."""
    with _studio(options) as studio:
        studio.runner.resume(options.run)
        return _train(studio, options.run, options.language)


def runs(options: argparse.Namespace) -> Outcome:
    """`studio runs`: the history, newest first."""
    with _studio(options, read_only=True) as studio:
        history = studio.runner.runs()
    rows = [
        {
            "run": item.record.id,
            "name": item.record.name,
            "created": datetime.fromtimestamp(item.record.created, UTC).isoformat(timespec="seconds"),
            "status": item.state.status,
            "steps": item.state.step,
            "total_steps": item.state.total_steps,
            "method": item.record.spec.method.kind,
            "model": item.record.spec.model.source,
            "data": item.dataset_name,
            **_losses(item.state),
            "notes": item.record.notes,
        }
        for item in history
    ]
    return Outcome({"runs": rows}, _runs_text(rows, options.language))


def settings(options: argparse.Namespace) -> Outcome:
    """`studio settings`: the reference of all settings."""
    text = settings_reference(options.language)
    return Outcome({"settings": text}, text)


def export(options: argparse.Namespace) -> Outcome:
    """`studio export RUN --to DIR_OR_ZIP`: the adapter with its card, loaded back and compared before it is given."""
    with _studio(options) as studio, _export_bar(options.language) as progress:
        made = studio.exports.write(options.run, options.to, options.step, progress)
    values = {
        "run": options.run,
        "path": str(made.path),
        "bytes": made.bytes,
        "sha256": made.sha256,
        "proof": {
            "passed": made.proof.passed,
            "prompts": made.proof.prompts,
            "equal": made.proof.equal,
            "max_score_difference": made.proof.max_score_difference,
        },
    }
    return Outcome(values, translate("cli.export.done", options.language, path=made.path))


def chat(options: argparse.Namespace) -> Outcome:
    """`studio chat RUN --prompt TEXT`: the base model's answer and the tuned one's."""
    with _studio(options, read_only=True) as studio:
        from studio.backend.compare import Column, CompareRequest
        from studio.data.records import Message

        turns = (Message("user", options.prompt),)
        request = CompareRequest(
            columns=tuple(Column(who, turns) for who in studio.compare.beside_base(options.run, options.step)),
            system=options.system,
            temperature=options.temperature,
            top_p=options.top_p,
            max_new_tokens=options.max_tokens,
            seed=options.seed,
        )
        *_, last = studio.compare.stream(request)
    base, tuned = last.columns
    values = {
        "run": options.run,
        "prompt": options.prompt,
        "base": base.text,
        "tuned": tuned.text,
        "base_model": base.name,
        "tuned_model": tuned.name,
        "adapter_sha256": tuned.adapter_sha256,
        "base_tokens": base.tokens,
        "tuned_tokens": tuned.tokens,
        "seconds": max(base.seconds, tuned.seconds),
        "identical": tuned.identical,
    }
    columns = [printable(f"[{column.name}]\n{column.text}") for column in (base, tuned)]
    warning = [translate("cli.chat.identical", options.language)] if tuned.identical else []
    return Outcome(values, "\n\n".join([*columns, *warning]))


def evaluate(options: argparse.Namespace) -> Outcome:
    """`studio evaluate RUN`: base and tuned model answer the same rows; figures, verdict, and what to try next."""
    run, step, language = options.run, options.step, options.language
    asked_to_stop = threading.Event()
    with _studio(options) as studio:
        plan = _evaluation_plan(options, studio)
        try:
            with (
                _stopping(asked_to_stop.set, translate("cli.evaluate.stopping", language)),
                _bar("ui.evaluate.going", language) as progress,
            ):
                key = os.environ.get(_JUDGE_KEY, "")
                studio.evaluations.evaluate(run, step, plan, progress, asked_to_stop.is_set, key)
        except Stopped:
            raise Stopped("cli.evaluate.stopped") from None
        studio.evaluations.set_plan(run, plan)
        report = studio.reports.report(run, step, plan)
    assert report is not None, "all were asked"
    return Outcome(report_values(run, step, report, language), report_text(report, language))


def check(options: argparse.Namespace) -> Outcome:
    """`studio data check FILE`: its layout, its rows, and what would spoil training. Nothing is kept."""
    with _passing_studio(options.cluster) as studio:
        version = _readable(studio, options.file)
        findings = studio.datasets.findings(version.id, _source(options.model), options.max_length)
    layout = version.mapping.layout if version.mapping else ""
    notes = [translate(note.key, options.language, **note.values) for note in version.notes]
    found = [_told(item, options.language) for item in findings]
    values = {
        "file": str(options.file),
        "format": version.kind,
        "encoding": version.encoding,
        "layout": layout,
        "columns": {column.name: column.type for column in version.columns},
        "rows": version.rows,
        "notes": notes,
        "findings": found,
    }
    head = translate("cli.check.head", options.language, file=version.name, rows=version.rows, layout=layout)
    told = [f"- {item['message']}" for item in found] or [translate("cli.check.clean", options.language)]
    return Outcome(values, "\n".join([head, *notes, *told]))


def import_data(options: argparse.Namespace) -> Outcome:
    """`studio data import FILE`: a new data set of the workspace, from a file, an archive or a folder."""
    with _studio(options) as studio:
        version = studio.datasets.import_file(_existing_data(options.file), encoding=options.encoding)
    layout = version.mapping.layout if version.mapping else "-"
    values = {"version": version.id, "name": version.name, "rows": version.rows, "layout": layout}
    notes = [translate(note.key, options.language, **note.values) for note in version.notes]
    done = translate(
        "cli.import.done", options.language, file=version.name, rows=version.rows, layout=layout, version=version.id
    )
    return Outcome({**values, "notes": notes}, "\n".join([done, *notes]))


def clean(options: argparse.Namespace) -> Outcome:
    """`studio data clean FILE --recipe RECIPE.yaml --to OUT`: the cleaned rows as a file."""
    check_ending(options.to)
    recipe = CleanSpec.from_yaml(_text_of(options.recipe), options.recipe.name)
    with _passing_studio(options.cluster) as studio, _bar("cli.clean.about", options.language) as progress:
        version = _readable(studio, options.file)
        cleaned = studio.datasets.clean(version.id, recipe, progress)
        export_table(studio.datasets.table(cleaned.id), options.to)
    report = cleaned.report if cleaned.id != version.id else None
    steps = [] if report is None else report.steps
    values = {
        "file": str(options.file),
        "path": str(options.to),
        "rows_before": version.rows,
        "rows_after": cleaned.rows,
        "steps": [step.model_dump() for step in steps],
    }
    done = translate("cli.clean.done", options.language, before=version.rows, after=cleaned.rows, path=options.to)
    return Outcome(values, "\n".join([*(f"- {step.message(options.language)}" for step in steps), done]))


def split(options: argparse.Namespace) -> Outcome:
    """`studio data split FILE --to DIR`: train, validation and test rows as files of their own."""
    spec = SplitSpec(
        validation_share=options.validation,
        test_share=options.test,
        seed=options.seed,
        stratify=options.stratify,
        group_near_duplicates=options.group_near_duplicates,
    )
    with _passing_studio() as studio:
        version = _readable(studio, options.file)
        parts = studio.datasets.split(version.id, spec)
        table = studio.datasets.table(version.id)
        counts = {}
        for name in ("train", "validation", "test"):
            chosen = {int(row) for row in getattr(parts, name)}
            if chosen:
                path = options.to / f"{name}.{options.format}"
                export_table(table, path, (row for row in table.read() if row.id in chosen))
            counts[name] = len(chosen)
    left = version.rows - sum(counts.values())
    return Outcome(
        {"file": str(options.file), "path": str(options.to), **counts, "unusable": left},
        translate("cli.split.done", options.language, path=options.to, **counts),
    )


def mix(options: argparse.Namespace) -> Outcome:
    """`studio data mix SPEC.yaml --to OUT`: a mixture as a file; tasks that are held out as another beside it."""
    to: Path | None = None if options.plan else options.to
    if to is not None:
        check_ending(to)
    elif not options.plan:
        raise InputError("error.cli.required", command="studio data mix", names="--to")
    spec = MixSpec.from_yaml(_text_of(options.spec), options.spec.name)
    with _passing_studio() as studio, _bar("cli.mix.about", options.language) as progress:
        spec = _with_versions(studio, spec, options.spec.parent)
        planned = studio.mixtures.plan(spec)
        written: dict[str, str] = {}
        if to is not None:
            made = studio.mixtures.make(spec, progress=progress)
            export_table(studio.datasets.table(made.version.id), to)
            written["path"] = str(to)
            if made.held_out is not None:
                apart = to.with_name(f"{to.stem}.held_out{to.suffix}")
                export_table(studio.datasets.table(made.held_out.id), apart)
                written["held_out"] = str(apart)
    parts = [asdict(part) for part in planned.parts]
    lines = [
        translate(
            "cli.mix.part_held_out" if part.held_out else "cli.mix.part",
            options.language, task=part.task, rows=part.rows, source=part.source, share=f"{part.share:.0%}",
        )
        for part in planned.parts
    ]  # fmt: skip
    if written:
        lines.append(translate("cli.mix.done", options.language, rows=planned.rows, path=to))
    return Outcome({"rows": planned.rows, "tokens": planned.tokens, "parts": parts, **written}, "\n".join(lines))


def _with_versions(studio: Studio, spec: MixSpec, folder: Path) -> MixSpec:
    """The spec with its files opened: versions in their place."""
    opened: dict[str, str] = {}

    def version(name: str) -> str:
        if name not in opened:
            opened[name] = studio.datasets.import_file(_existing_data(str(folder / Path(name).expanduser()))).id
        return opened[name]

    parts = tuple(part.model_copy(update={"data": version(part.data)}) for part in spec.parts)
    replay = spec.replay
    if replay is not None and replay.data != STARTER:
        replay = replay.model_copy(update={"data": version(replay.data)})
    return spec.model_copy(update={"parts": parts, "replay": replay})


COMMANDS: dict[str, Callable[[argparse.Namespace], Outcome]] = {
    "open": open_page,
    "run": run,
    "resume": resume,
    "runs": runs,
    "settings": settings,
    "export": export,
    "chat": chat,
    "evaluate": evaluate,
    "import": import_data,
    "check": check,
    "clean": clean,
    "split": split,
    "mix": mix,
}


# What they share


@contextmanager
def _studio(options: argparse.Namespace, *, read_only: bool = False, worker: bool = False) -> Iterator[Studio]:
    """The workspace, opened. A bug inside goes to its log with one plain line to the user."""
    settings = read_settings(options.workspace)
    _quiet_libraries()
    with Studio(settings, read_only=read_only, worker=worker) as studio:
        try:
            yield studio
        except StudioError:
            raise
        except Exception as error:
            if read_only:
                raise
            log.exception("the command failed")
            raise FaultError("error.bug", log=str(settings.workspace / "logs" / "studio.log")) from error


@contextmanager
def _passing_studio(cluster: str | None = None) -> Iterator[Studio]:
    """A studio whose workspace is gone afterwards. `cluster`: the address of one that is to check and clean."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="studio-data-")))
        _quiet_libraries()
        spread = stack.enter_context(on_cluster(cluster)) if cluster else BOTH_CORES
        yield stack.enter_context(Studio(read_settings(folder), worker=False, spread=spread))


def _readable(studio: Studio, name: str) -> Version:
    """A file whose columns are understood."""
    version = studio.datasets.import_file(_existing_data(name))
    if version.mapping is None:
        columns = ", ".join(column.name for column in version.columns)
        raise DataError("error.cli.no_layout", file=version.name, columns=columns)
    return version


def _text_of(path: Path) -> str:
    try:
        return _existing_file(str(path)).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError("error.cli.not_text", file=str(path)) from None


@contextmanager
def _bar(key: str, language: str) -> Iterator[Callable[[float], None]]:
    from tqdm import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}"
    with tqdm(total=1.0, file=sys.stderr, bar_format=form, desc=translate(key, language)) as bar:

        def tell(share: float) -> None:
            bar.update(share - bar.n)

        yield tell


def _quiet_libraries() -> None:
    """Bars and deprecations of libraries are no news to who types commands (`python -W` still shows them)."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _existing_file(name: str) -> Path:
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        raise InputError("error.cli.no_file", file=name)
    return path


def _existing_data(name: str) -> Path:
    """A data file, or a folder of them."""
    path = Path(name).expanduser().absolute()
    return path if path.is_dir() else _existing_file(name)


def _open_data(studio: Studio, name: str) -> Version:
    """A file, or the name of a sample data set."""
    if not Path(name).expanduser().exists() and name in {card.name for card in studio.datasets.samples()}:
        return studio.datasets.open_sample(name)
    return studio.datasets.import_file(_existing_data(name))


def _evaluation_plan(options: argparse.Namespace, studio: Studio) -> EvaluationPlan:
    """How the run was evaluated last, with what is asked for now. Files become data sets of the workspace."""
    known = {version.id for version in studio.datasets.versions()}

    def version(name: str, open_file: Callable[[str], str]) -> str:
        return name if name in known else open_file(str(_existing_file(name)))

    values = studio.evaluations.plan(options.run).model_dump()
    given = {name: getattr(options, name) for name in ("side", "rows", "exam_rows", "system", "shots")}
    values |= {name: value for name, value in given.items() if value is not None}
    if options.data is not None:
        values["version"] = version(options.data, lambda file: studio.datasets.import_file(Path(file)).id)
        values["side"] = options.side or "all"
    if options.exam or options.no_exam:
        bring = studio.evaluations.import_exam
        values["exams"] = [
            name if name in BUILT_IN or name.startswith(LM_EVAL) else version(name, bring) for name in options.exam
        ]
    if options.other:
        values["others"] = [{"source": _source(name)} for name in options.other]
    if options.adapter:
        values["adapters"] = [_source(folder) for folder in options.adapter]
    if options.metric:
        values["metrics"] = options.metric
    if options.schema is not None:
        values["json_schema"] = _text_of(options.schema)
    if options.judge is not None:
        model = options.judge if options.judge_address or not options.judge else _source(options.judge)
        waits = {} if options.judge_seconds is None else {"seconds": options.judge_seconds}
        values["judge"] = {"model": model, "address": options.judge_address or "", **waits} if model else None
    elif options.judge_address or options.judge_seconds:
        raise InputError("error.cli.required", command="studio evaluate", names="--judge")
    return make_plan(values)


def _source(model: str) -> str:
    """A folder's full path, so that the run can be resumed from anywhere; other names stay."""
    folder = Path(model).expanduser()
    return str(folder.absolute()) if folder.is_dir() else model


def _make_spec(options: argparse.Namespace, studio: Studio, version: Version | None) -> RunSpec:
    changes = {path: _value(path, text) for path, text in options.changes}
    method = options.method or changes.get("method.kind")
    tuner = "full" if changes.get("tuner.kind") == "full" else "lora"
    if options.spec is not None:
        spec = load_spec(_text_of(options.spec), options.spec.name)
        named = {"method.kind": method, "model.source": options.model}
        spec = with_changes(spec, {path: value for path, value in named.items() if value})
        if options.preset:
            studio.models.look(spec.model.source)
            width = studio.models.width(spec.model.source)
            spec = find_preset(studio.settings.presets, options.preset).apply(spec, width)
    elif version is None:
        raise InputError("error.cli.no_data")
    else:
        model = options.model or STARTER
        studio.models.look(model)
        spec = studio.default_spec(version.id, options.preset or "quick-look", model, method, tuner)
    chosen: dict[str, Any] = {}
    if version is not None:
        chosen |= {"data.version": version.id, "data.mapping": None}
    if options.model:
        chosen["model.source"] = options.model
    spec = with_changes(spec, _adapter_settings(changes, studio) | chosen | changes)
    if not spec.data.version:
        raise InputError("error.cli.no_data")
    places = {"model.source": spec.model.source, "model.adapter_folder": spec.model.adapter_folder}
    return with_changes(spec, {path: _source(place) for path, place in places.items() if place})


class _Refused(InputError):
    """A run that was refused, told with what to add to the command."""

    def __init__(self, error: InputError, ways: Sequence[Sequence[str]]) -> None:
        super().__init__(error.key, **error.values)
        self._error = error
        self._ways = ways

    def message(self, language: str = "en") -> str:
        either = translate("cli.run.or", language)
        lines = [f"  {f' {either} '.join(options)}" for options in self._ways]
        head = [translate("cli.run.ways", language)] if lines else []
        return "\n".join([self._error.message(language), *head, *lines])


def _ways_out(studio: Studio, make: Callable[[], RunSpec]) -> list[list[str]]:
    """For each problem that other settings mend, the options that say so, one of which is enough."""
    try:
        asked: RunSpec | SpecError = make()
    except SpecError as error:
        asked = error
    except InputError:
        return []  # nothing is known of a run that cannot be put together
    found = (problem.ways for problem in studio.problems(asked) if problem.ways)
    return [[" ".join(_option(*change) for change in way.items()) for way in ways] for ways in found]


def _option(path: str, value: Any) -> str:
    if path == "method.kind":
        return f"--method {value}"
    if isinstance(value, dict):
        value = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, width=10_000).strip()
    return f"--set {shlex.quote(f'{path}={value}')}"


def _adapter_settings(changes: Mapping[str, Any], studio: Studio) -> dict[str, Any]:
    """What an adapter that is named asks of the settings; nothing where it cannot be used, which is told later."""
    try:
        folder = changes.get("model.adapter_folder")
        return studio.adapter_settings(str(folder)) if folder else {}
    except InputError:
        return {}


def _cluster(options: argparse.Namespace) -> ClusterSpec | None:
    """Where to train. Raises InputError when workers or shards are asked for and no cluster."""
    if options.cluster is None:
        if options.workers is not None or options.shard:
            raise InputError("error.cli.no_cluster")
        return None
    workers = {} if options.workers is None else {"workers": options.workers}
    return parse_cluster({"address": options.cluster, **workers, "sharding": "full" if options.shard else "none"})


def _value(path: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError("error.cli.value", command="studio run", name=f"--set {path}", value=text) from None


# Training in the shell


def _train(studio: Studio, name: str, language: str, cautions: Sequence[str] = ()) -> Outcome:
    """Train a queued run with a bar on standard error; Ctrl-C stops it as the page's button does. `cautions` were told
    before."""
    with _stopping(studio.runner.interrupt, translate("cli.train.stopping", language)):
        training = _in_background(lambda: studio.runner.run_now(name))
        _show(studio, name, training, language)
    ended = training.result()
    state = studio.runner.state(name)
    folder = studio.store.run_folder(name)
    values: dict[str, Any] = {
        "run": name,
        "name": studio.runner.record(name).name,
        "status": ended.status,
        "steps": ended.step,
        "total_steps": state.total_steps,
        **_losses(state),
        "seconds": round(ended.seconds, 3),
        "adapter": str(folder / ended.adapter) if ended.adapter else None,
        "adapter_sha256": ended.adapter_sha256,
        "notices": [
            translate(key, language, **found)
            for key, found in (
                *((notice.key, notice.values) for notice in state.notices),
                *studio.runner.where_to_look(name),
            )
        ],
        "cautions": list(cautions),
        "notes": [_note(note, language) for note in coach(state, studio.runner.record(name).spec)],
    }
    if ended.status == "failed" and ended.key:
        values |= {"error": translate(ended.key, language, **ended.values), "key": ended.key}
        values |= _remedies(state, studio.runner.record(name).spec)
    code = 0 if ended.status == "done" else 2 if ended.wrong_input else 1
    return Outcome(values, _train_text(values, ended, language), code=code)


def _train_text(values: dict[str, Any], ended: Ended, language: str) -> str:
    names = ("run", "steps", "total_steps", "loss_before", "loss_after", "adapter")
    shown = {name: _number(values[name]) for name in names}
    notices = [notice for notice in values["notices"] if notice not in values["cautions"]]
    lines = [*notices, translate(f"cli.train.{ended.status}", language, **shown)]
    lines += [translate("cli.train.note", language, step=one["step"], note=one["message"]) for one in values["notes"]]
    if values.get("remedies"):
        told = " ".join(f"--set {path}={json.dumps(value)}" for path, value in values["remedies"][0].items())
        cause = translate(f"diagnosis.{values['cause']}", language)
        lines.append(translate("cli.train.cause", language, cause=cause, settings=told))
    if ended.adapter:
        lines.append(translate("cli.train.next", language, run=values["run"]))
    return "\n".join(lines)


def _note(note: Note, language: str) -> dict[str, Any]:
    """A note of the coach, with the first settings that it would change."""
    return {
        "rule": note.rule,
        "metric": note.metric,
        "step": note.step,
        "message": translate(note.key, language, **note.values),
        "settings": next((dict(way.settings) for way in note.ways if isinstance(way, Change)), {}),
    }


def _remedies(state: RunState, spec: RunSpec) -> dict[str, Any]:
    """Why it failed, where that is known, and the settings that may mend it, the best first."""
    if (found := diagnose(state, spec)) is None:
        return {"cause": None, "remedies": []}
    changes = [way for way in found.ways if isinstance(way, Change) and way.settings and not way.step]
    return {"cause": found.cause, "remedies": [dict(way.settings) for way in changes]}


def _losses(state: RunState) -> dict[str, float | str | None]:
    """Loss before and after: of the validation rows, or of the training rows where there are none."""
    if state.validation_loss_before is not None:
        measured = [c.validation_loss for c in state.checkpoints if c.validation_loss is not None]
        last = measured[-1] if measured else None
        after = state.ended.validation_loss if state.ended else None
        return {
            "loss_before": state.validation_loss_before,
            "loss_after": last if after is None else after,
            "loss_of": "validation",
        }
    points = state.curves.get("loss", [])
    ends = (points[0][1], points[-1][1]) if points else (None, None)
    return {"loss_before": ends[0], "loss_after": ends[1], "loss_of": "training"}


def _in_background(work: Callable[[], Ended]) -> Future[Ended]:
    """Work in a thread that does not keep the process alive."""
    future: Future[Ended] = Future()

    def body() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # handed to whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=body, name="studio-training", daemon=True).start()
    return future


def _show(studio: Studio, name: str, training: Future[Ended], language: str) -> None:
    from tqdm import tqdm

    with tqdm(desc=translate("cli.train.preparing", language), unit=translate("cli.train.unit", language),
              file=sys.stderr, total=0, mininterval=0.2) as bar:  # fmt: skip
        running = True
        while running:
            running = bool(wait([training], timeout=_POLL_SECONDS).not_done)
            state = studio.runner.state(name)
            if state.started is None:
                continue
            if not bar.total:
                bar.set_description(studio.runner.record(name).name, refresh=False)
                bar.reset(state.total_steps)
                bar.initial = state.started.from_step
            if state.step == bar.n and not sys.stderr.isatty():
                continue  # a log file gets a line per step, not one per look
            bar.n = state.step
            losses = {key: state.latest(key) for key in ("loss", "validation_loss")}
            shown = {translate(f"cli.train.{k}", language): f"{v:.3f}" for k, v in losses.items() if v is not None}
            bar.set_postfix(shown, refresh=False)
            bar.refresh()


@contextmanager
def _stopping(stop: Callable[[], None], told: str) -> Iterator[None]:
    """The first Ctrl-C lets the work save what it has and end; the second leaves at once, as a crash would."""
    asked = False

    def handle(*_: object) -> None:
        nonlocal asked
        if asked:
            os._exit(1)
        asked = True
        print("\n" + told, file=sys.stderr, flush=True)
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _export_bar(language: str) -> Iterator[Callable[[float, str], None]]:
    from tqdm import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}"
    with tqdm(total=1.0, file=sys.stderr, bar_format=form, desc=translate("cli.export.bar", language)) as bar:

        def tell(share: float, key: str) -> None:
            bar.set_description(translate(key, language), refresh=False)
            bar.update(share - bar.n)

        yield tell


# Text


def _told(item: Finding, language: str) -> dict[str, Any]:
    return {
        "kind": item.key.removeprefix("finding."),
        "severity": item.severity,
        "message": item.message(language),
        "count": item.count,
        "rows": list(item.examples),
        "fix": item.fix,
    }


def _runs_text(rows: list[dict[str, Any]], language: str) -> str:
    if not rows:
        return translate("cli.runs.none", language)
    names = ("run", "name", "status", "steps", "loss_before", "loss_after", "data", "method", "model")
    head = [translate(f"cli.runs.{name}", language) for name in names]
    return text_table([head, *([_cell(row, name, language) for name in names] for row in rows)])


def _cell(row: dict[str, Any], name: str, language: str) -> str:
    value = row[name]
    if name == "steps":
        return f"{value}/{row['total_steps']}"
    if name == "status":
        return translate(f"cli.status.{value}", language)
    return printable(_number(value))


def _number(value: Any) -> str:
    """A loss with four decimals, a dash for what is not known."""
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
