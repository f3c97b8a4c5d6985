"""What a model card tells of a run, gathered from the record; nothing is looked for that was not looked for before."""

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from studio import __version__
from studio.backend.datasets import Datasets
from studio.backend.export_answers import Answered
from studio.backend.report import Report, Reports, with_interval
from studio.backend.residence import Adapter
from studio.backend.versions import Version
from studio.data.checks import Finding
from studio.errors import InputError
from studio.evaluation.intervals import Difference, verdict_word, wilson
from studio.evaluation.metrics import Metric
from studio.evaluation.verdict import ExamResult, exam_title, group_title, safety_title, shown_figure
from studio.messages import LANGUAGES, translate
from studio.runs.events import Ended, Event, Metrics, Notice, RunState, Stamped, Started
from studio.runs.spec import ADAPTER_FOLDER, RunSpec
from studio.runs.store import Store

if TYPE_CHECKING:
    from studio.export.facts import CardFacts, DataFacts, Evaluated, Figure, RunFacts, Score, Told, TrainingFacts

# Findings of what a model should not learn by heart.
_PERSONAL = frozenset({"secret", "email", "phone", "card", "personal_id", "address"})
_ADAPTER_CONFIG = "adapter_config.json"


def ended_time(store: Store, run: str) -> float:
    """When the run last reported something, or was made: seconds since the epoch."""
    state = store.outlines().get(run)
    return (state and state.last_time) or store.run(run).created


def card_facts(store: Store, datasets: Datasets, reports: Reports, adapter: Adapter, found: Answered) -> "CardFacts":
    from studio.export.facts import CardFacts

    config = adapter.folder / _ADAPTER_CONFIG
    return CardFacts(
        name=adapter.name,
        base=found.identity,
        full=adapter.full,
        dtype=str(found.expected.dtype).removeprefix("torch."),
        stops=found.expected.stops,
        weights_sha256=found.sha256,
        vocabulary=found.vocabulary,
        studio_version=__version__,
        adapter_config=json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {},
        run=run_facts(store, datasets, reports, adapter.run, adapter.step) if adapter.run else None,
    )


def run_facts(store: Store, datasets: Datasets, reports: Reports, run: str, step: int | None) -> "RunFacts":
    """Of a run's result, or of one of its checkpoints."""
    from studio.export.facts import RunFacts

    stamped = list(store.events(run))
    state, events = RunState().fold(stamped), [one.event for one in stamped]
    spec, started = store.run(run).spec, state.started
    assert started is not None
    ended = state.ended if step is None else None
    taken = (ended.best_step or ended.step) if ended else step or 0
    losses = {made.step: made.validation_loss for made in state.checkpoints}
    accuracies = dict(state.curves.get("validation_accuracy", ()))
    return RunFacts(
        id=run,
        spec=spec,
        step=taken,
        data=_data(datasets, spec, started),
        training=_training(store, spec, started, state, stamped),
        loss_before=state.validation_loss_before,
        loss_after=ended.validation_loss if ended else losses.get(taken),
        accuracy_after=accuracies.get(taken),
        notices=tuple((e.key, e.values) for e in _notices(events) if e.key.startswith("notice.model.")),
        evaluation=_evaluated(reports, run, step),
    )


# Data


def _data(datasets: Datasets, spec: RunSpec, started: Started) -> "DataFacts":
    from studio.export.facts import DataFacts

    version = datasets.version(spec.data.version)
    lineage = datasets.lineage(version.id)
    found = findings_of(datasets, version, spec)
    recipe = datasets.recipe(version.id)
    return DataFacts(
        name=version.name,
        version=version.number,
        fingerprint=version.fingerprint,
        rows=version.rows,
        train_rows=started.train_rows,
        validation_rows=started.validation_rows,
        imported=lineage[0].rows,
        findings=None if found is None else _told(found),
        personal=None if found is None else _told([one for one in found if one.key.split(".")[1] in _PERSONAL]),
        steps=cleaned_steps(lineage),
        recipe_sha256=hashlib.sha256(recipe.to_yaml().encode()).hexdigest() if recipe.steps else None,
        languages=datasets.languages(version.id, *scan_of(datasets, version, spec)) if found is not None else (),
        mixed=any(one.mix is not None for one in lineage),
    )


def findings_of(datasets: Datasets, version: Version, spec: RunSpec | None = None) -> tuple[Finding, ...] | None:
    """What the checks found in a version, if they were made: for the model and length of a run, or as the Data tab
    makes them."""
    if version.mapping is None:
        return None
    asked = scan_of(datasets, version, spec)
    return datasets.findings(version.id, *asked) if datasets.scanned(version.id, *asked) else None


def scan_of(datasets: Datasets, version: Version, spec: RunSpec | None = None) -> tuple[str | None, int]:
    """The model and longest length that a scan was made for, the run's own first."""
    own: list[tuple[str | None, int]] = [] if spec is None else [(spec.model.source, spec.data.max_length)]
    asked: list[tuple[str | None, int]] = [*own, ("starter", 256), (None, 256)]
    return next((one for one in asked if datasets.scanned(version.id, *one)), asked[0])


def cleaned_steps(lineage: Sequence[Version]) -> "Told":
    """What each step of cleaning did, in order."""
    steps = [step for version in lineage if version.report for step in version.report.steps]
    return {one: tuple(step.message(one) for step in steps) for one in LANGUAGES}


def _told(findings: Sequence[Finding]) -> "Told":
    return {one: tuple(finding.message(one) for finding in findings) for one in LANGUAGES}


# Training


def _training(
    store: Store, spec: RunSpec, started: Started, state: RunState, stamped: Sequence[Stamped]
) -> "TrainingFacts":
    from studio.export.facts import TrainingFacts

    events = [one.event for one in stamped]
    rows = {e.key: int(e.values.get("rows", 0)) for e in _notices(events) if e.key.startswith("notice.train.")}
    memory = [value for _, value in state.curves.get("memory_bytes", ())]
    return TrainingFacts(
        device=started.device,
        numbers=started.how[0] if started.how else "float32",
        seconds=training_seconds(stamped),
        total_steps=started.total_steps,
        trainable_parameters=started.trainable_parameters,
        losses=dict(state.curves.get("loss", ())),
        memory_bytes=max(memory, default=None),
        skipped=rows.get("notice.train.skipped", 0),
        lost=rows.get("notice.train.lost", 0),
        truncated=rows.get("notice.train.truncated", 0),
        parent=_parent(store, spec, started),
    )


def training_seconds(stamped: Sequence[Stamped]) -> float:
    """Of all legs: from each beginning to the last that was reported before the next, or the end."""
    total, began, last = 0.0, None, 0.0
    for one in stamped:
        if isinstance(one.event, Started):
            total += 0.0 if began is None else last - began
            began = one.time
        if isinstance(one.event, Started | Metrics | Ended):
            last = one.time
    return total + (0.0 if began is None else last - began)


def _parent(store: Store, spec: RunSpec, started: Started) -> tuple[str, str] | None:
    from studio.export.names import name_of

    parent = spec.model.parent
    if not parent:
        return None
    known = parent in store.cursors()
    name = (
        name_of(spec.model.adapter_folder) if parent == ADAPTER_FOLDER else store.run(parent).name if known else parent
    )
    return name, started.sources.get(parent, "")


def _notices(events: Sequence[Event]) -> list[Notice]:
    return [event for event in events if isinstance(event, Notice)]


# Evaluation


def _evaluated(reports: Reports, run: str, step: int | None) -> "Evaluated | None":
    """None where it was not evaluated, or no longer can be: its data may be gone."""
    from studio.export.facts import Evaluated

    try:
        report = reports.report(run, step)
    except InputError:
        return None
    if report is None or report.verdict is None:
        return None
    verdict = report.verdict
    return Evaluated(
        rows=verdict.rows,
        decision={one: translate(f"ui.verdict.{verdict.decision}", one) for one in LANGUAGES},
        reasons={one: tuple(reason.message(one) for reason in verdict.reasons) for one in LANGUAGES},
        figures={one: tuple(figure for figure, _ in _figures(report, one)) for one in LANGUAGES},
        worse={
            one: tuple(_worse(figure, one) for figure, worse in _figures(report, one) if worse) for one in LANGUAGES
        },
        not_asked={one: _not_asked(report, one) for one in LANGUAGES},
        scores=_scores(report),
    )


def _figures(report: Report, language: str) -> "list[tuple[Figure, bool]]":
    """Of the task, of safety, then of the exams; and whether it was shown to be worse."""
    found: list[tuple[Figure, bool]] = []
    titled = [
        *((one, one.metric.title(language)) for one in report.lines),
        *((one, safety_title(one.metric, language)) for one in report.safety),
    ]
    for line, title in titled:
        measured = line.measured(0, 1)
        before, after = (with_interval(figure, line.metric) for figure in line.figures[:2])
        change = _change(measured.change, line.metric)
        found.append(((title, before, after, change), measured.word == "worse"))
    for exam in report.exams:
        for result in exam.results[0]:
            worse = verdict_word(result.change, "higher") == "worse"
            before, after = (_share(part, result.change.rows) for part in (result.before, result.after))
            found.append(((_exam_title(result, language), before, after, _change(result.change, None)), worse))
    return found


def _share(value: float, rows: int) -> str:
    low, high = wilson(value, rows)
    return f"{value:.1%} ({low:.1%}–{high:.1%})"


def _change(change: Difference, metric: Metric | None) -> str:
    """What differs, with its interval; of shares in percentage points."""
    parts = (change.value, change.low, change.high)
    if metric is None or metric.scale == "share":
        value, low, high = (f"{100 * part:+.1f}" for part in parts)
        return f"{value} pt ({low} … {high})".replace("-", "−")
    shown = (shown_figure(part, metric) for part in parts)
    value, low, high = (text if text.startswith("-") else f"+{text}" for text in shown)
    return f"{value} ({low} … {high})".replace("-", "−")


def _worse(figure: "Figure", language: str) -> str:
    name, before, after, change = figure
    return translate("ui.export.card.regressions.worse", language, name=name, before=before, after=after, change=change)


def _not_asked(report: Report, language: str) -> tuple[str, ...]:
    missing = {"exams": not report.exams, "safety": not report.safety}
    return tuple(
        translate(f"ui.export.card.regressions.not_asked.{one}", language) for one, no in missing.items() if no
    )


def _exam_title(result: ExamResult, language: str) -> str:
    return f"{exam_title(result.exam, language)}: {group_title(result.group, language)}"


def _scores(report: Report) -> "tuple[Score, ...]":
    """The tuned model's figures: shares of 1 as they are."""
    from studio.export.facts import Score

    task = [
        Score(line.metric.name, line.metric.title("en"), report.task.title, line.figures[1].value)
        for line in report.lines
        if line.metric.better != "neither"
    ]
    exams = [
        Score("accuracy", "Right answers", _exam_title(result, "en"), result.after)
        for exam in report.exams
        for result in exam.results[0]
    ]
    return (*task, *exams)
