"""What a model should still be able to do after it was tuned: exams of general questions, each right or wrong.

A question is answered freely, and right where the answer holds the key; or it has choices, and the answer is the one
that the model finds likeliest, per byte of its text (`acc_norm` of lm-eval, https://github.com/EleutherAI/lm-evaluation-harness),
so that long choices are not at a disadvantage.
"""

import hashlib
import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.data.records import Message
from studio.errors import DataError
from studio.evaluation.questions import Answer, Question

STARTER_EXAM = "starter"
"""The name of the starter's own."""
LM_EVAL = "lm-eval:"
"""Before the name of a task of lm-eval."""
_MOST_CHOICES = 26


@dataclass(frozen=True, slots=True)
class ExamQuestion:
    """`key`: what a right answer holds; of `choices` the right one. `group`: what it is about."""

    question: Question
    key: str
    group: str
    choices: tuple[str, ...] = ()

    def right(self, answer: str) -> bool:
        """Letter case, width and spaces aside."""
        key, given = _plain(self.key), _plain(answer)
        return key == given if self.choices else key in given

    def passed(self, answer: Answer) -> bool:
        """As whoever asked has found; else by the key."""
        return self.right(answer.text) if answer.right is None else answer.right


@dataclass(frozen=True, slots=True)
class Exam:
    """`version`: a hash of all that is asked and expected, so that results of another version are never mixed in."""

    name: str
    questions: tuple[ExamQuestion, ...]

    @property
    def version(self) -> str:
        asked = [
            [[(m.role, m.content) for m in one.question.prompt], one.question.text, one.key, one.choices]
            for one in self.questions
        ]
        return hashlib.sha256(json.dumps([self.name, asked], ensure_ascii=False).encode()).hexdigest()[:16]

    @property
    def groups(self) -> dict[str, list[int]]:
        """Rows of the questions of each group."""
        found: dict[str, list[int]] = defaultdict(list)
        for one in self.questions:
            found[one.group].append(one.question.row)
        return dict(found)


def read_exam(name: str, rows: Iterable[tuple[int, Mapping[str, Any]]]) -> Exam:
    """A user's own questions, from the rows of a table with their numbers: `question` and `answer`; or with choices,
    in one column `choices` (a list) or in several (`choice0`, `choice1` ...; `A`, `B` ...), and `answer` or `label` is
    the right one's text, letter or number. A column `group` or `category` or `subject` says what a question is about.

    Raises DataError: which columns are missing, or which row is wrong and how.
    """
    found = [_exam_question(name, number, dict(row)) for number, row in rows]
    if not found:
        raise DataError("error.exam.empty", file=name)
    return Exam(name, tuple(found))


def _exam_question(name: str, number: int, row: Mapping[str, Any]) -> ExamQuestion:
    cells = {str(column).strip().lower(): cell for column, cell in row.items()}
    text = _cell(cells, ("question", "prompt", "instruction"))
    right = _cell(cells, ("answer", "label", "answerkey", "target"))
    if text is None or right is None:
        missing = "question" if text is None else "answer"
        raise DataError("error.exam.columns", file=name, missing=missing, columns=", ".join(row))
    if not str(text).strip() or not str(right).strip():
        raise DataError("error.exam.blank", file=name, row=number)
    group = str(_cell(cells, ("group", "category", "subject", "topic")) or "")
    choices = _choices(cells)
    if not choices:
        return ExamQuestion(exam_question(number, str(text), str(right)), str(right), group)
    if len(choices) > _MOST_CHOICES or len(set(map(_plain, choices))) < len(choices):
        raise DataError("error.exam.choices", file=name, row=number)
    key = _right_choice(right, choices, cells)
    if key is None:
        raise DataError("error.exam.no_choice", file=name, row=number, answer=str(right)[:80])
    return ExamQuestion(exam_question(number, str(text), key), key, group, choices)


def _cell(cells: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((cells[name] for name in names if cells.get(name) is not None), None)


def _choices(cells: Mapping[str, Any]) -> tuple[str, ...]:
    listed = cells.get("choices", cells.get("options"))
    if isinstance(listed, Mapping):  # ARC's layout: {"text": [...], "label": [...]}
        listed = listed.get("text")
    if isinstance(listed, Sequence) and not isinstance(listed, str):
        return tuple(str(choice) for choice in listed)
    for names in ([f"choice{i}" for i in range(_MOST_CHOICES)], [f"choice{i}" for i in range(1, _MOST_CHOICES)],
                  [f"option{i}" for i in range(1, _MOST_CHOICES)], list("abcdefghij")):  # fmt: skip
        given = [str(cells[name]) for name in names if cells.get(name) not in (None, "")]
        if len(given) > 1 and names[0] in cells:
            return tuple(given)
    return ()


def _right_choice(right: Any, choices: Sequence[str], cells: Mapping[str, Any]) -> str | None:
    """A choice's own text; else its letter; else its number: from 0, or from 1 where the columns are so counted."""
    text = _plain(str(right))
    for choice in choices:
        if _plain(choice) == text:
            return choice
    if len(text) == 1 and text.isalpha() and text.isascii():
        place = ord(text) - ord("a")
    elif text.removesuffix(".0").isdigit():
        counted_from_1 = ("choice1" in cells and "choice0" not in cells) or "option1" in cells
        place = int(text.removesuffix(".0")) - counted_from_1
    else:
        return None
    return choices[place] if 0 <= place < len(choices) else None


def exam_question(row: int, text: str, answer: str) -> Question:
    """A question that is asked without anything before it."""
    return Question(row, (Message("user", text),), Message("assistant", answer))


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
