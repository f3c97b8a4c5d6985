"""What to try next, from the verdict's reasons and the settings of the run."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from studio.evaluation.verdict import Evidence, Verdict
from studio.messages import translate
from studio.runs.spec import RunSpec

REPLAY, REPLAY_MUCH, MUCH = 0.2, 0.5, 0.3
"""Share of general data: a fifth keeps most of what a model knew (tests/benchmarks/replay.py), half of it is for those
that lost so much of an exam (tests/benchmarks/verdict.py)."""
_FEW_TRAINED = 300


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to try: a sentence key and its values. `changes`: settings of a new run by their paths; `replay`: the
    share of general data to mix in."""

    key: str
    values: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    replay: float = 0.0

    def message(self, language: str = "en") -> str:
        return translate(self.key, language, **self.values)


def advise(verdict: Verdict, spec: RunSpec, evidence: Evidence, *, train_rows: int, replays: bool) -> tuple[Step, ...]:
    """The most promising first; nothing where there is nothing to mend. `train_rows`: rows the run learned from;
    `replays`: general data was mixed in."""
    keys = {reason.key for reason in verdict.reasons if reason.level in ("bad", "care")}
    found: list[Step] = []
    if "ui.verdict.fit" in keys:
        found.append(Step("ui.advice.belong"))
    if "ui.verdict.exams.forgot" in keys:
        found += _against_forgetting(spec, evidence, replays)
    if keys & {"ui.verdict.task.unclear", "ui.verdict.task.worse"} and "ui.verdict.fit" not in keys:
        found += _for_more(evidence, train_rows, keys, verdict)
    if keys & {"ui.verdict.prompt.unclear", "ui.verdict.prompt.worse"}:
        found.append(Step("ui.advice.prompt"))
    if "ui.verdict.exams.none" in keys or "ui.verdict.exams.unclear" in keys:
        found.append(Step("ui.advice.exam"))
    if "ui.verdict.form.worse" in keys:
        found.append(Step("ui.advice.form"))
    if "ui.verdict.data.validation" in keys:
        found.append(Step("ui.advice.test_split"))
    elif "ui.verdict.data.few" in keys:
        found.append(Step("ui.advice.test_rows", {"least": verdict.rules.least_rows}))
    return tuple({step.key: step for step in found}.values())


def _against_forgetting(spec: RunSpec, evidence: Evidence, replays: bool) -> Iterator[Step]:
    rate, epochs = spec.training.learning_rate, spec.training.epochs
    lower = float(f"{rate / 4:.2g}")
    rates = {"rate": f"{lower:g}", "before": f"{rate:g}"}
    changes = {"training.learning_rate": lower}
    if replays:
        yield Step("ui.advice.rate", rates, changes)
    else:
        lost = max((-exam.change.value for exam in evidence.exams), default=0)
        share = REPLAY_MUCH if lost >= MUCH else REPLAY
        yield Step("ui.advice.replay", {"share": f"{share:.0%}", **rates}, changes, share)
    if epochs > 1:
        fewer = max(1.0, round(epochs / 2))
        yield Step("ui.advice.epochs", {"epochs": f"{fewer:g}", "before": f"{epochs:g}"}, {"training.epochs": fewer})


def _for_more(evidence: Evidence, train_rows: int, keys: set[str], verdict: Verdict) -> Iterator[Step]:
    few_tested = "ui.verdict.task.unclear" in keys and evidence.rows < 4 * verdict.rules.least_rows
    if few_tested:
        yield Step("ui.advice.test_rows", {"least": 4 * verdict.rules.least_rows})
    if train_rows < _FEW_TRAINED:
        yield Step("ui.advice.data", {"rows": train_rows})
    yield Step("ui.advice.longer")
