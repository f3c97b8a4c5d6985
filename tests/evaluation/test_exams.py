"""Exams: the starter's own, and files that users bring."""

from pathlib import Path
from typing import Any

import pytest

from studio.errors import DataError
from studio.evaluation.exams import Exam, read_exam


def test_a_right_answer_holds_the_key() -> None:
    (asked,) = read_exam("x", [(1, {"question": "日本の首都は?", "answer": "東京"})]).questions
    assert asked.right("それは東京です。")
    assert not asked.right("京都です。")
    (asked,) = read_exam("x", [(1, {"question": "Of France?", "answer": "Paris"})]).questions
    assert asked.right("it is ＰＡＲＩＳ.")


ROWS: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
    ({"question": "q", "choices": ["a", "bb", "c"], "answer": "bb"}, "bb", ("a", "bb", "c")),
    ({"question": "q", "choices": ["red", "blue"], "answer": "B"}, "blue", ("red", "blue")),
    ({"question": "q", "choices": ["red", "blue"], "answer": 1}, "blue", ("red", "blue")),
    ({"question": "q", "choice0": "x", "choice1": "y", "label": 0}, "x", ("x", "y")),
    ({"question": "q", "choice1": "x", "choice2": "y", "label": 2}, "y", ("x", "y")),
    ({"question": "q", "A": "x", "B": "y", "C": "z", "answer": "C"}, "z", ("x", "y", "z")),
    ({"question": "q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "A"}, "x", ("x", "y")),
    ({"prompt": "q", "answer": "free"}, "free", ()),
]


@pytest.mark.parametrize(("row", "key", "choices"), ROWS)
def test_layouts(row: dict[str, Any], key: str, choices: tuple[str, ...]) -> None:
    (asked,) = read_exam("x", [(1, row)]).questions
    assert (asked.key, asked.choices, asked.question.text) == (key, choices, key)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"text": "q", "answer": "a"}, "error.exam.columns"),
        ({"question": "q"}, "error.exam.columns"),
        ({"question": " ", "answer": "a"}, "error.exam.blank"),
        ({"question": "q", "choices": ["a", "A"], "answer": "a"}, "error.exam.choices"),
        ({"question": "q", "choices": ["a", "b"], "answer": "c"}, "error.exam.no_choice"),
        ({"question": "q", "choices": ["a", "b"], "answer": 7}, "error.exam.no_choice"),
    ],
)
def test_what_is_wrong_is_told(row: dict[str, Any], error: str) -> None:
    with pytest.raises(DataError) as told:
        read_exam("mine.csv", [(3, row)])
    assert told.value.key == error
    assert "mine.csv" in told.value.message("en")
    assert "mine.csv" in told.value.message("ja")
    with pytest.raises(DataError) as told:
        read_exam("mine.csv", [])
    assert told.value.key == "error.exam.empty"


def test_a_real_file(shared: Path) -> None:
    import json

    lines = (shared / "data" / "jcommonsenseqa_valid.json").read_text(encoding="utf-8").splitlines()
    exam: Exam = read_exam("jcommonsenseqa", enumerate(map(json.loads, lines)))
    assert len(exam.questions) == 1119
    assert all(len(one.choices) == 5 and one.key in one.choices for one in exam.questions)
