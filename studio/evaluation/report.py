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
    """A metric of each contestant, over the rows that it says something about for all of them: the figure, and what
    differs from the first contestant (None for the first itself). `values`: of each contestant, by row; `terms`: the
    numbers whose mean the figure is."""

    metric: Metric
    figures: tuple[Interval, ...]
    changes: tuple[Difference | None, ...]
    values: tuple[dict[int, float], ...]
    terms: tuple[tuple[float, ...], ...]

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
    every = [{q.row: metric.value(q, given[q.row]) for q in questions} for given in answers]
    asked = [q for q in questions if all(of[q.row] is not None for of in every)]
    if not asked:
        return None
    rows = {q.row for q in asked}
    values = tuple({row: value for row, value in of.items() if value is not None and row in rows} for of in every)
    found = [metric.terms(asked, [given[q.row] for q in asked]) for given in answers]
    terms = tuple(tuple(value for value in of if value is not None) for of in found)
    figures = tuple(f for of in terms if (f := mean_interval(of, metric.right_wrong, metric.ends)))
    changes = (None, *(_paired(metric, terms[0], of) for of in terms[1:]))
    return Line(metric, figures, changes, values, terms)


def difference(of: Line, before: int, after: int) -> Difference:
    """Between two contestants, row by row."""
    return _paired(of.metric, of.terms[before], of.terms[after])


def _paired(metric: Metric, before: Sequence[float], after: Sequence[float]) -> Difference:
    found = paired(before, after, metric.right_wrong, metric.ends)
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
        first = [float(asked[row].passed(before[row])) for row in both]
        second = [float(asked[row].passed(after[row])) for row in both]
        change = paired(first, second, True)
        if change is not None:
            found.append(ExamResult(exam.name, group, sum(first) / len(both), sum(second) / len(both), change))
    return tuple(found)
