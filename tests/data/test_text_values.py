"""Only what keeps a row from being read becomes text."""

from typing import Any

import pytest

from studio.data.formats import convert
from studio.data.mapping import Mapping
from studio.data.problems import RowProblem
from studio.data.tables import Row
from studio.data.text_values import with_text_values

PAIR = Mapping(prompt="q", input="i", answer="a")
TURNS = Mapping(turns="t", label="l")
ASKED = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("mapping", "before", "after"),
    [
        (PAIR, {"q": 3, "i": True, "a": 0.5}, {"q": "3", "i": "true", "a": "0.5"}),
        (PAIR, {"q": "x", "i": None, "a": {"犬": [1]}}, {"q": "x", "i": None, "a": '{"犬": [1]}'}),
        (PAIR, {"q": "x", "i": 3, "a": ["y", "z"], "n": 5}, {"q": "x", "i": "3", "a": ["y", "z"], "n": 5}),
        (PAIR, {"q": "x", "i": "", "a": [1, 2]}, {"q": "x", "i": "", "a": "[1, 2]"}),
        (
            TURNS,
            {"t": [ASKED, {"role": "assistant", "content": 5}], "l": True},
            {"t": [ASKED, {"role": "assistant", "content": "5"}], "l": True},
        ),
        (
            Mapping(prompt="q", chosen="c", rejected="r"),
            {"q": "x", "c": [{"role": "assistant", "content": False}], "r": 3},
            {"q": "x", "c": [{"role": "assistant", "content": "false"}], "r": "3"},
        ),
        (Mapping(text="t"), {"t": 12}, {"t": "12"}),
    ],
)
def test_values_become_text(mapping: Mapping, before: dict[str, Any], after: dict[str, Any]) -> None:
    changed = with_text_values(Row(1, before), mapping)
    assert changed.values == after
    assert not isinstance(convert(changed, mapping), RowProblem)
    assert with_text_values(changed, mapping) is changed


def test_other_problems_stay() -> None:
    row = Row(1, {"t": [ASKED], "l": True})
    assert with_text_values(row, TURNS) is row
