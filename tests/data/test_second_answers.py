"""Rows with one answer are offered to be read as preference pairs where another column holds a second one."""

from typing import Any

import pytest

from studio.data.formats import convert, recognise
from studio.data.mapping import Mapping
from studio.data.records import Preference
from studio.data.second_answers import as_pairs
from studio.data.tables import Column, Row


def table(rows: list[dict[str, Any]]) -> tuple[list[Column], list[Row]]:
    return [Column(name, "text") for name in rows[0]], [Row(i, row) for i, row in enumerate(rows, 1)]


@pytest.mark.parametrize("second", ["old_answer", "response_b", "Rejected", "悪い回答", "前の返信"])
def test_a_second_answer_makes_pairs(second: str) -> None:
    columns, rows = table([{"question": f"{i}?", "answer": f"yes {i}", second: f"no {i}"} for i in range(4)])
    mapping = recognise(columns, rows)
    assert mapping is not None
    assert mapping.dataset_type == "prompt_completion"
    pairs = as_pairs(mapping, columns, rows)
    assert pairs is not None
    record = convert(rows[0], pairs)
    assert isinstance(record, Preference)
    assert (record.chosen[0].content, record.rejected[0].content) == ("yes 0", "no 0")


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("notes", ["a", "b", "c"]),  # not named as answers are
        ("answer_type", ["a", "b", "c"]),
        ("answer_id", ["a", "b", "c"]),
        ("response_model", ["gpt", "gpt", "gpt"]),  # nothing of its own
        ("old_answer", ["yes 0", "yes 1", "yes 2"]),  # the same answer
        ("old_answer", [None, "", "no"]),
    ],
)
def test_what_is_no_second_answer(name: str, cells: list[str | None]) -> None:
    columns, rows = table([{"question": f"{i}?", "answer": f"yes {i}", name: cell} for i, cell in enumerate(cells)])
    assert as_pairs(Mapping(prompt="question", answer="answer"), columns, rows) is None


def test_pairs_that_were_read_as_answers_can_be_read_as_pairs_again() -> None:
    columns, rows = table([{"prompt": f"{i}?", "rejected": f"no {i}", "chosen": f"yes {i}"} for i in range(4)])
    pairs = as_pairs(Mapping(prompt="prompt", answer="rejected"), columns, rows)
    assert pairs is not None
    assert (pairs.chosen, pairs.rejected) == ("chosen", "rejected")
    assert as_pairs(pairs, columns, rows) is None
    assert as_pairs(Mapping(layout="text", text="chosen"), columns, rows) is None
