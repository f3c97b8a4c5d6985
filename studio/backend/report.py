"""What came of an evaluation: every figure with its interval, the rows, and the verdict."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from studio.backend.evaluations import Entrant, Evaluations, Taken
from studio.backend.question_sets import QuestionSet
from studio.evaluation.advice import Step, advise
from studio.evaluation.choice import check_metrics, primary, suited
from studio.evaluation.classes import Confusion, confusion
from studio.evaluation.intervals import Interval
from studio.evaluation.judge import Opinion, Opinions, summary
from studio.evaluation.metrics import Metric, make_metrics
from studio.evaluation.plan import EvaluationPlan, JudgeSpec
from studio.evaluation.questions import Question
from studio.evaluation.report import Line, answered, exam_results, fit, line
from studio.evaluation.safety import SAFETY_METRICS
from studio.evaluation.verdict import (
    Evidence,
    ExamResult,
    Verdict,
    decide,
    shown_figure,
)

_KEPT = 4
# Metrics of the form of an answer: measured whatever the task is.
FORM = ("json_valid", "json_schema", "language", "stopped", "repetition", "refusal_kept")


@dataclass(frozen=True, slots=True)
class RowResult:
    """A row of the task: what was asked, expected and answered by each entrant, and the primary metric of each.
    `change`: that of the tuned model less that of the base, above 0 where it got better."""

    row: int
    prompt: str
    expected: str
    answers: tuple[str, ...]
    values: tuple[float | None, ...]
    change: float


@dataclass(frozen=True, slots=True)
class ExamReport:
    """The results of each entrant but the base, against the base."""

    asked: QuestionSet
    results: tuple[tuple[ExamResult, ...], ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """Whose opinion of how many rows; of `silent` ones there is none, and they are asked about with the next
    evaluation."""

    judge: JudgeSpec
    rows: int
    opinions: Opinions
    silent: int

    def lines(self) -> tuple[tuple[str, dict[str, int], str], ...]:
        """What is told of it: name, values of its sentence, figure."""
        found, rate = self.opinions, self.opinions.win_rate
        counts = {"tuned": found.right, "base": found.left, "tie": found.tie, "none": found.no_answer}
        shown = "–" if rate is None else f"{rate.value:.1%} ({rate.low:.1%}–{rate.high:.1%})"
        return (
            ("rate", {}, shown),
            *((key, {"disagreed": found.disagreed} if key == "tie" else {}, f"{n}") for key, n in counts.items()),
            *((("silent", {}, f"{self.silent}"),) if self.silent else ()),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """`entrants` have answered the rows of the task; `missing` others have not. `lines`: the metrics of the task, then
    those of form; `primary` is the one the verdict goes by. `verdict` is None as long as something it needs was not
    asked. `judged`: another model's opinion, None where none was asked; the verdict does not go by it.
    `cautions`: sentence keys with values, of adapters that may not belong to their base. `safety`:
    refusals of what is to be refused, and of what is not; of these lines the entrants are those of the report."""

    plan: EvaluationPlan
    entrants: tuple[Entrant, ...]
    missing: int
    task: QuestionSet
    taken: tuple[Taken, ...]
    lines: tuple[Line, ...]
    primary: str
    rows: tuple[RowResult, ...]
    confusions: tuple[Confusion, ...]
    exams: tuple[ExamReport, ...]
    verdict: Verdict | None
    advice: tuple[Step, ...]
    judged: "Judged | None" = None
    cautions: tuple[tuple[str, dict[str, Any]], ...] = ()
    safety: tuple[Line, ...] = ()

    def line(self, metric: str) -> Line | None:
        return next((one for one in self.lines if one.metric.name == metric), None)


class Reports:
    """Makes reports; the last ones are kept, for their figures take a while."""

    def __init__(self, evaluations: Evaluations) -> None:
        self._evaluations = evaluations
        self._made: OrderedDict[tuple[object, ...], Report] = OrderedDict()

    def report(self, run: str, step: int | None = None, plan: EvaluationPlan | None = None) -> Report | None:
        """None as long as base and tuned model have not both answered the rows of the task. Raises InputError: the plan
        cannot be, such as a metric that does not fit the data."""
        evaluations = self._evaluations
        plan = plan or evaluations.plan(run)
        task = evaluations.questions.task(run, plan)
        wanted = evaluations.entrants(run, step, plan)
        found = [(entrant, evaluations.taken(run, entrant.contestant, task)) for entrant in wanted]
        entrants = tuple(entrant for entrant, taken in found if taken is not None)
        taken = tuple(taken for _, taken in found if taken is not None)
        if {"base", "tuned"} - {entrant.role for entrant in entrants}:
            return None
        exams = evaluations.questions.exams(plan)
        tests = tuple(
            Examined(one, tuple(evaluations.taken(run, e.contestant, one) for e in entrants)) for one in exams
        )
        opinions = evaluations.opinions(plan, task, taken[0], taken[1])
        evaluated = [one and one.evaluation for one in (*taken, *(t for test in tests for t in test.taken))]
        key = (run, step, plan, len(wanted), opinions, *evaluated)
        if key not in self._made:
            made = _make(evaluations, run, plan, len(wanted), task, entrants, taken, tests)
            self._made[key] = replace(made, judged=_judged(plan, *opinions))
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return self._made[key]


@dataclass(frozen=True, slots=True)
class Examined:
    """What each entrant said to an exam; None of those that were not asked."""

    asked: QuestionSet
    taken: tuple[Taken | None, ...]


def _make(
    evaluations: Evaluations, run: str, plan: EvaluationPlan, wanted: int, task: QuestionSet,
    entrants: tuple[Entrant, ...], taken: tuple[Taken, ...], tests: Sequence[Examined],
) -> Report:  # fmt: skip
    questions = answered(task.questions, [one.answers for one in taken])
    names = plan.metrics or tuple(one.name for one in suited(questions))
    check_metrics(names, questions, plan.json_schema)
    lines = _lines(names, questions, taken, plan)
    first = primary([one.metric.name for one in lines if one.metric.name in names])
    reports = tuple(one for test in tests if test.asked.exam and (one := _exam(test)) is not None)
    safety = tuple(one for test in tests if test.asked.exam is None for one in _safety(test))
    evidence = _evidence(evaluations, run, plan, entrants, questions, taken, lines, first, reports, safety)
    verdict = decide(evidence, plan.rules) if all(map(_done, tests)) else None
    return Report(
        plan=plan,
        entrants=entrants,
        missing=wanted - len(entrants),
        task=task,
        taken=taken,
        lines=lines,
        primary=first,
        rows=_rows(questions, taken, next(one for one in lines if one.metric.name == first)),
        confusions=tuple(confusion(questions, [one.answers[q.row] for q in questions]) for one in taken)
        if "label" in names
        else (),
        exams=reports,
        verdict=verdict,
        advice=() if verdict is None else _advice(evaluations, run, verdict, evidence),
        cautions=evaluations.cautions(run, entrants),
        safety=safety,
    )


def _judged(plan: EvaluationPlan, rows: int, opinions: tuple[Opinion, ...]) -> Judged | None:
    if plan.judge is None or not opinions:
        return None
    return Judged(plan.judge, rows, summary(opinions), rows - len(opinions))


def _advice(evaluations: Evaluations, run: str, verdict: Verdict, evidence: Evidence) -> tuple[Step, ...]:
    spec = evaluations.run_spec(run)
    train_rows, _, _ = evaluations.rows(run)
    return advise(verdict, spec, evidence, train_rows=train_rows, replays=evaluations.replays(run))


def _lines(
    names: Sequence[str], questions: Sequence[Question], taken: Sequence[Taken], plan: EvaluationPlan
) -> tuple[Line, ...]:
    every = dict.fromkeys((*names, *(name for name in FORM if name != "json_schema" or plan.json_schema)))
    answers = [one.answers for one in taken]
    made = (line(metric, questions, answers) for metric in make_metrics(tuple(every), questions, plan.json_schema))
    return tuple(one for one in made if one is not None)


def _exam(test: Examined) -> ExamReport | None:
    """None where base or tuned model were not asked."""
    base, *others = test.taken
    exam = test.asked.exam
    assert exam is not None, "an exam is told from the rows of the task"
    if base is None or others[0] is None:
        return None
    results = tuple(exam_results(exam, base.answers, one.answers) if one else () for one in others)
    return ExamReport(test.asked, results)


def _done(test: Examined) -> bool:
    """Whether base and tuned model were asked."""
    return test.taken[0] is not None and test.taken[1] is not None


def _safety(test: Examined) -> tuple[Line, ...]:
    """Of those that were asked, as far as they follow on base and tuned model; none where these were not asked."""
    given = [one.answers for one in takewhile(bool, test.taken) if one is not None]
    if not _done(test):
        return ()
    questions = answered(test.asked.questions, given)
    made = (line(metric, questions, given) for metric in make_metrics(SAFETY_METRICS, questions))
    return tuple(one for one in made if one is not None)


def _evidence(
    evaluations: Evaluations, run: str, plan: EvaluationPlan, entrants: Sequence[Entrant],
    questions: Sequence[Question], taken: Sequence[Taken], lines: Sequence[Line], first: str,
    exams: Sequence[ExamReport], safety: Sequence[Line],
) -> Evidence:  # fmt: skip
    main = next(one for one in lines if one.metric.name == first)
    places = {entrant.role: place for place, entrant in enumerate(entrants)}
    tuned = places["tuned"]
    prompted = places.get("base_prompt")
    return Evidence(
        rows=len(questions),
        task=main.measured(places["base"], tuned),
        fit=fit(main.metric, questions, taken[tuned].answers),
        exams=tuple(result for exam in exams for result in exam.results[tuned - 1]),
        form=tuple(one.measured(places["base"], tuned) for one in lines if one.metric.name in FORM),
        safety=tuple(one.measured(places["base"], tuned) for one in safety),
        prompt=None if prompted is None else main.measured(prompted, tuned),
        validation=plan.side == "validation" and plan.version in ("", evaluations.run_spec(run).data.version),
        caveats=evaluations.caveats(run),
    )


def _rows(questions: Sequence[Question], taken: Sequence[Taken], main: Line) -> tuple[RowResult, ...]:
    found = []
    sign = -1 if main.metric.better == "lower" else 1
    for question in questions:
        answers = tuple(one.answers[question.row].text for one in taken)
        values = tuple(of.get(question.row) for of in main.values)
        before, after = values[:2]
        change = 0.0 if before is None or after is None else sign * (after - before)
        prompt = question.prompt[-1].text if question.prompt else ""
        found.append(RowResult(question.row, prompt, question.text, answers, values, change))
    return tuple(found)


def with_interval(figure: Interval, metric: Metric) -> str:
    """A figure as people read it, its 95 % interval in brackets."""
    value, low, high = (shown_figure(part, metric) for part in (figure.value, figure.low, figure.high))
    return f"{value} ({low}–{high})"
