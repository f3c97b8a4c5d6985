"""Tables that no layout fits are offered a template that works on every row."""

from pathlib import Path
from typing import Any

import pytest

from studio.data.formats import convert, mapping_problems
from studio.data.records import Conversation
from studio.data.suggestions import starting_template, suggest_templates
from studio.data.tables import Column, Row, Table, write_table
from studio.messages import translate


def table_of(folder: Path, rows: list[dict[str, Any]]) -> tuple[Table, list[Row]]:
    write_table([Row(i, row) for i, row in enumerate(rows, 1)], folder / "t.parquet")
    table = Table(folder / "t.parquet")
    return table, list(table.read())


@pytest.mark.parametrize(
    ("rows", "prompt", "answers"),
    [
        (
            [{"question": "Q", "A": "x", "B": "y", "C": "z", "answer": right} for right in "BCA"],
            "Q\nA. x\nB. y\nC. z",
            ["y", "z", "x"],
        ),
        (
            [{"question": "Q", "option_1": "x", "option_2": "y", "label": right} for right in ("2", "1")],
            "Q\n1. x\n2. y",
            ["y", "x"],
        ),
        (
            [{"question": "Q", "choices": ["x", "y", "z"], "answer": right} for right in (2, 0)],
            "Q\n0. x\n1. y\n2. z",
            ["z", "x"],
        ),
        (
            [{"問題": "Q", "選択肢": ["x", "y"], "正解": right} for right in "BA"],
            "Q\nA. x\nB. y",
            ["y", "x"],
        ),
    ],
)
def test_multiple_choice(tmp_path: Path, rows: list[dict[str, Any]], prompt: str, answers: list[str]) -> None:
    table, found = table_of(tmp_path, rows)
    offered = suggest_templates(table.columns, found)
    assert [item.key for item in offered] == ["ui.data.suggest.multiple_choice"]
    mapping_problems(offered[0].mapping, table.columns)
    made = [convert(row, offered[0].mapping) for row in found]
    assert all(isinstance(item, Conversation) for item in made)
    assert [item.answer for item in made if isinstance(item, Conversation)] == answers
    assert {item.prompt[-1].content for item in made if isinstance(item, Conversation)} == {prompt}


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Q", "a1": "x", "a2": "y"},
        {"question": "Q", "label": 1},
        {"question": "Q", "label": 1, "count1": 3, "count2": 4},
        {"question": "Q", "choices": ["x"], "answer": 0},
        {"question": "Q", "choices": ["x", "y"], "answer": "x"},
        {"question": "Q", "choices": ["x", "y"], "answer": 2},
        {"q": "Q", "function": "f"},
        {"text": "x", "spans": []},
    ],
)
def test_nothing_is_offered_where_nothing_fits(tmp_path: Path, row: dict[str, Any]) -> None:
    table, found = table_of(tmp_path, [row])
    assert suggest_templates(table.columns, found) == ()


def test_the_instruction_is_in_the_language_of_the_data(tmp_path: Path) -> None:
    for text, language in (("My name is Ann.", "en"), ("私の名前は花子です。", "ja")):
        table, found = table_of(tmp_path, [{"full_text": text, "masked": "X"}])
        (item,) = suggest_templates(table.columns, found)
        assert item.mapping.system_template == translate("ui.data.suggest.mask.system", language)
        assert all(translate(item.key, told) for told in ("en", "ja"))


def test_something_to_begin_with() -> None:
    columns = [Column("a b", "text"), Column("n", "integer"), Column("x{y", "text"), Column("z[0]", "text")]
    assert starting_template(columns) == "a b: {a b}"
