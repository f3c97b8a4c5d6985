"""Find and replace ends, twice is once, and no expression hangs."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.data.find_replace import finder, replacer
from studio.data.recipe import ReplaceStep, TextTest
from studio.errors import DataError

LETTERS = st.text(alphabet="aAbｂ東 .", max_size=12)


def step(find: str, replace_with: str = "", **values: Any) -> ReplaceStep:
    return ReplaceStep(fix="replace", find=find, replace_with=replace_with, **values)


@pytest.mark.parametrize(
    ("made", "before", "after"),
    [
        (step("Acme", "Acme Inc."), "Acme and acme", "Acme Inc. and Acme Inc."),
        (step("Acme", "Acme Inc.", match_case=True), "Acme, acme, Acme Inc.", "Acme Inc., acme, Acme Inc."),
        (step("colour", "colours"), "colour colours", "colours colours"),
        (step("a.c", "x"), "abc a.c", "abc x"),
        (step("a.c", "x", regex=True), "abc a.c", "x x"),
        (step(r"(\d+) yen", r"¥\1", regex=True), "30 yen, 5 yen", "¥30, ¥5"),
        (step(r"\s+", " ", regex=True), "a  b \n c", "a b c"),
        (step("  ", " "), "a      b", "a b"),
        (step("東京", ""), "東京都東京", "都"),
        (step("$", r"\1"), "5 $", r"5 \1"),
        (step("(c)", "©"), "(C) 2026", "© 2026"),
        (step(r"\p{Han}+", "漢", regex=True), "日本と漢", "漢と漢"),
    ],
)
def test_what_is_replaced(made: ReplaceStep, before: str, after: str) -> None:
    replace = replacer(made)
    assert replace(before) == after
    assert replace(after) == after


@given(LETTERS.filter(bool), LETTERS, LETTERS, st.booleans())
@settings(max_examples=300, deadline=None)
def test_twice_is_once(find: str, new: str, text: str, match_case: bool) -> None:
    replace = replacer(step(find, new, match_case=match_case))
    try:
        once = replace(text)
    except DataError:  # told as endless: nothing was changed
        return
    assert replace(once) == once


def test_an_endless_replacement_is_told() -> None:
    with pytest.raises(DataError) as caught:
        replacer(step("(.)", r"\1\1", regex=True))("abc")
    assert caught.value.key == "error.clean.endless"


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){25}$"])
def test_an_expression_that_hangs_is_stopped(pattern: str) -> None:
    text = "a" * 5_000 + "b"
    start = time.monotonic()
    for call in (
        replacer(step(pattern, "x", regex=True), seconds=0.2),
        finder(TextTest(by="text", find=pattern, regex=True), seconds=0.2),
    ):
        with pytest.raises(DataError) as caught:
            call(text)
        assert caught.value.key == "error.clean.slow_pattern"
        assert pattern in caught.value.message("ja")
    assert time.monotonic() - start < 5


def test_finding() -> None:
    assert finder(TextTest(by="text", find="TOKYO"))("in Tokyo")
    assert not finder(TextTest(by="text", find="TOKYO", match_case=True))("in Tokyo")
    assert finder(TextTest(by="text", find="東京"))("大東京都")
    assert not finder(TextTest(by="text", find="a.c"))("abc")
