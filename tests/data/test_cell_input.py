"""What is typed into a cell keeps the type of its column, and comes back as it was shown."""

from typing import Any

import pytest

from studio.data.cell_input import CellError, cell_text, typed_cell
from studio.data.tables import Column

KEPT = [
    ("text", " 12 \n", " 12 \n"), ("text", "", None), ("integer", "12", 12), ("integer", " -3 ", -3),
    ("integer", "", None), ("number", "1.5", 1.5), ("number", "2", 2), ("boolean", "true", True),
    ("list", '["a", 1]', ["a", 1]), ("object", '{"a": null}', {"a": None}), ("mixed", "5", 5),
    ("mixed", "five", "five"), ("mixed", "[1]", [1]),
    ("mixed", '"quoted"', '"quoted"'), ("mixed", "null", None), ("empty", "new", "new"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "value"), KEPT)
def test_it_keeps_the_type(kind: str, text: str, value: Any) -> None:
    made = typed_cell(text, Column("c", kind))
    assert (made, type(made)) == (value, type(value))


WRONG = [
    ("integer", "1.5"), ("integer", "five"), ("integer", "true"), ("integer", '"1"'), ("number", "NaN"),
    ("number", "1,5"), ("number", "true"), ("boolean", "1"), ("boolean", "ja"), ("list", "{}"), ("list", "[1"),
    ("object", "[]"), ("object", "{a: 1}"), ("mixed", "[1"), ("list", "[" * 100_000), ("number", "Infinity"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), WRONG)
def test_what_does_not_fit_is_told_with_its_column(kind: str, text: str) -> None:
    with pytest.raises(CellError, match="`stars`") as caught:
        typed_cell(text, Column("stars", kind))
    assert caught.value.column == "stars"


def test_what_was_text_stays_text() -> None:
    assert typed_cell("12", Column("c", "mixed"), "eleven") == "12"
    assert typed_cell("", Column("c", "text"), "x") == ""


@pytest.mark.parametrize("value", [1, 1.5, True, [1, {"a": "海"}], {"a": [None]}])
def test_shown_and_read_again_it_is_the_same(value: Any) -> None:
    assert typed_cell(cell_text(value), Column("c", "mixed"), value) == value


def test_nothing_and_text_are_shown_as_they_are() -> None:
    assert (cell_text(None), cell_text('a "b"\n'), cell_text(["海"])) == ("", 'a "b"\n', '[\n  "海"\n]')
