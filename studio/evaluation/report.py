"""Answers of several contestants to the same questions, as figures with intervals."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from studio.evaluation.exams import Exam
from studio.evaluation.intervals import Difference, Interval, mean_interval, paired
from studio.evaluation.metrics import Metric
from studio.evaluation.questions import Answer, Question
from studio.evaluation.verdict import ExamResult, Measured

Answers = Mapping[int, Answer]
"""By the row of the question."""
_SHIFTS = 3


@dataclass(frozen=True, slots=True)
class Line:
    """A metric of each contestant: the mean over the rows that it says something about for all of them, the figure of
    the whole set, and what differs from the first contestant (None for the first itself). `values`: of each contestant,
    by row."""

    metric: Metric
    figures: tuple[Interval, ...]
    overall: tuple[float | None, ...]
    changes: tuple[Difference | None, ...]
    values: tuple[dict[int, float], ...]

    def measured(self, before: int, after: int) -> Measured:
        """The change from one contestant to another."""
        change = self.changes[after] if before == 0 and after else None
        found = change or difference(self, before, after)
        return Measured(self.metric, self.figures[before].value, self.figures[after].value, found)


def answered(questions: Sequence[Question], answers: Sequence[Answers]) -> list[Question]:
    """The questions that every contestant has answered."""
    return [question for question in questions if all(question.row in given for given in answers)]


def line(metric: Metric, questions: Sequence[Question], answers: Sequence[Answers]) -> Line | None:
    """None where the metric says nothing about any row. All questions must be answered by all."""
    values = [{q.row: metric.value(q, given[q.row]) for q in questions} for given in answers]
    rows = [q.row for q in questions if all(of[q.row] is not None for of in values)]
    if not rows:
        return None
    known = tuple({row: value for row in rows if (value := of[row]) is not None} for of in values)
    figures = [mean_interval(list(of.values()), metric.right_wrong, metric.ends) for of in known]
    overall = [metric.overall(questions, [given[q.row] for q in questions]) for given in answers]
    made = Line(metric, tuple(f for f in figures if f), tuple(overall), (None,) * len(answers), known)
    changes = (None, *(difference(made, 0, place) for place in range(1, len(answers))))
    return Line(metric, made.figures, made.overall, changes, known)


def difference(of: Line, before: int, after: int) -> Difference:
    """Between two contestants, row by row."""
    first, second = of.values[before], of.values[after]
    found = paired(list(first.values()), [second[row] for row in first], of.metric.right_wrong, of.metric.ends)
    assert found is not None, "a line has rows"
    return found


def fit(metric: Metric, questions: Sequence[Question], answers: Answers) -> Difference | None:
    """By how much answers are better for their own question than for others: what a model does that answers all
    questions alike, or learned from answers that belonged to other questions, is 0. Each answer is held against a few
    other rows, chosen with a seed. None where the metric does not look at the answer, or there is one row only."""
    if metric.better != "higher" or len(questions) < 2:
        return None
    order = list(questions)
    random.Random(0).shuffle(order)
    shifts = range(1, min(_SHIFTS, len(order) - 1) + 1)
    own, other = [], []
    for place, question in enumerate(order):
        answer = answers[question.row]
        here = metric.value(question, answer)
        there = [metric.value(order[(place + shift) % len(order)], answer) for shift in shifts]
        known = [value for value in there if value is not None]
        if here is not None and known:
            own.append(here)
            other.append(sum(known) / len(known))
    return paired(other, own, False, metric.ends)


def exam_results(exam: Exam, before: Answers, after: Answers) -> tuple[ExamResult, ...]:
    """Of each group of an exam, of the questions that both have answered."""
    asked = {one.question.row: one for one in exam.questions}
    found = []
    for group, rows in exam.groups.items():
        both = [row for row in rows if row in before and row in after]
        first = [float(asked[row].right(before[row].text)) for row in both]
        second = [float(asked[row].right(after[row].text)) for row in both]
        change = paired(first, second, True)
        if change is not None:
            found.append(ExamResult(exam.name, group, sum(first) / len(both), sum(second) / len(both), change))
    return tuple(found)
