"""Whether an answer says what was expected."""

import json
from fractions import Fraction
from pathlib import Path

import pytest

from studio.data.records import ToolCall
from studio.evaluation.matching import contains, exact, number, same_language
from studio.evaluation.numerals import last_number
from tests.evaluation.rows import answer, question


@pytest.mark.parametrize(
    ("expected", "given", "right"),
    [
        ("Paris", " paris\n", 1),
        ("Paris", "Paris.", 0),
        ("ＡＢＣ　１２", "abc 12", 1),
        ("ｶﾞｲﾄﾞ", "ガイド", 1),
        ("東京", "東京都", 0),
        ("Straße", "STRASSE", 1),
        ("Paris", "", 0),
        ("None", "None", 1),
    ],
)
def test_exact(expected: str, given: str, right: float) -> None:
    assert exact(question(expected), answer(given)) == right


@pytest.mark.parametrize(
    ("expected", "given", "right"),
    [
        ("4", "The answer is 4.", 1),
        ("4", "It is 42.", 0),
        ("4", "3.4 in all", 0),
        ("4", "4.5 in all", 0),
        ("4", "42, or rather 4", 1),
        ("cat", "concatenate", 0),
        ("cat", "A CAT sat", 1),
        ("東京", "答えは東京です。", 1),
        ("７", "7個です", 1),
        ("(a)", "f(a)b", 1),
        ("Paris", "", 0),
    ],
)
def test_contains(expected: str, given: str, right: float) -> None:
    assert contains(question(expected), answer(given)) == right


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$1,234.50", Fraction("1234.5")),
        ("12 and then 1,2", 2),
        ("−５ 度", -5),
        ("10-5", 5),
        ("x = -3.", -3),
        ("-$5", -5),
        ("about 1.5e3", 1500),
        ("3/4", Fraction(3, 4)),
        ("0/0", 0),
        ("１２３円", 123),
        ("1億2,000万人", 120_000_000),
        ("3万5千円", 35_000),
        ("1.5万", 15_000),
        ("三百二十円です", 320),
        ("約三千二百万円", 32_000_000),
        ("二〇二四年", 2024),
        ("四十二", 42),
        ("<<12/60=0.2>>0.2 ... #### 10\n", 10),
        ("#### 7 apples, 3 left", 3),
        ("2 ####", 2),
        ("5" * 40, int("5" * 40)),
    ],
)
def test_the_last_number(text: str, value: Fraction) -> None:
    found = last_number(text)
    assert found is not None
    assert found[0] == value


@pytest.mark.parametrize("text", ["", "no number", "十分です。", "一番良い方法", "万一のとき", "5" * 41, "nan", "∞"])
def test_no_number(text: str) -> None:
    assert last_number(text) is None


@pytest.mark.parametrize(
    ("expected", "given", "right"),
    [
        ("42", "It is 42.0 in all.", 1),
        ("1,234.50", "1234.5", 1),
        ("50 %", "50", 1),
        ("50%", "0.5", 1),
        ("50%", "５０パーセントです", 1),
        ("0.5", "5%", 0),
        ("二十円", "20円です", 1),
        ("42", "", 0),
        ("42", "forty-two", 0),
    ],
)
def test_number(expected: str, given: str, right: float) -> None:
    assert number(question(expected), answer(given)) == right


def test_nothing_is_said_where_nothing_of_the_kind_is_expected() -> None:
    call = question(calls=[ToolCall("f", {"x": 1})])
    assert [metric(call, answer("1")) for metric in (exact, contains, number, same_language)] == [None] * 4
    assert [metric(question(" "), answer("1")) for metric in (exact, contains, number)] == [None] * 3
    assert number(question("no number"), answer("1")) is None


def test_the_sums_of_gsm8k(shared: Path) -> None:
    lines = (shared / "data/gsm8k_train_500.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [question(json.loads(line)["answer"]) for line in lines]
    finals = [row.text.rpartition("#### ")[2] for row in rows]
    assert [number(row, answer(f"So it is ${final}.")) for row, final in zip(rows, finals, strict=True)] == [1] * 500
    assert [number(row, answer(f"It is {final}1")) for row, final in zip(rows, finals, strict=True)] == [0] * 500


@pytest.mark.parametrize(
    ("expected", "given", "value"),
    [
        ("これは日本語の文です。", "はい、そうです。", 1),
        ("これは日本語の文です。", "This is the answer to it.", 0),
        ("This is the answer to it.", "これは日本語の文です。", 0),
        ("This is the answer to it.", "Sure", None),
        ("This is the answer to it.", "", None),
        ("This is the answer to it.", "xq " * 30, 0),
        ("xq", "This is the answer to it.", None),
    ],
)
def test_the_language(expected: str, given: str, value: float | None) -> None:
    assert same_language(question(expected), answer(given)) == value
