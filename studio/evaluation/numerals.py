"""The number that an answer comes to: the last one of its text.

Read are digits of any width with a sign, thousands separators (1,234.50), a decimal point, a fraction (3/4), powers of
ten (1e5) and a percent sign; the Japanese multipliers 千 万 億 兆 behind digits (1億2,000万 = 120000000); and numerals
in kanji where the text holds no digits and either is nothing else or has a counter behind them (三百二十円,
二〇二四年): elsewhere 一 and its like are parts of words (一番, 万一). Not read: a decimal comma (1,5 is two numbers),
numbers in words, numerals of more than 40 digits.
"""

import unicodedata
from fractions import Fraction

import regex

_DIGITS = r"(?:\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)|\d{1,40})(?:\.\d{1,40})?|\.\d{1,40}"
_NUMBER = regex.compile(
    rf"(?<!\d)(?P<minus>(?<![\w)]\s?)-\s?)?[$€£¥]?(?P<digits>{_DIGITS})(?!\d)"
    r"(?:[eE](?P<power>[+-]?\d{1,2})(?![\w.])|(?P<over>/\d{1,40})(?![/\d]))?"
    r"(?P<kanji>[千万億兆](?:(?:\d[\d,]{0,30})?[千万億兆]|\d[\d,]{0,30}(?=[円人個年本枚台件]|$))*)?"
    r"(?P<percent>\s?%|\s?percent\b|\s?パーセント)?"
)
_FINAL = "####"  # GSM8K ends its answers with this mark and the number (Cobbe et al. 2021, arXiv 2110.14168)
_SMALL = {"十": 10, "百": 100, "千": 1000}
_LARGE = {"万": 10**4, "億": 10**8, "兆": 10**12}
_KANJI = {mark: value for value, mark in enumerate("〇一二三四五六七八九")} | {"零": 0}
_COUNTERS = (
    "円|人|個|つ|本|枚|回|歳|才|年|月|日|時|分|秒|週|匹|台|冊|点|度|名|頭|羽|通|件|箱|杯|割|倍|階|ページ|キロ|グラム|メートル"
    "|センチ|リットル|パーセント|%|ドル|番目|セット"
)
_NUMERALS = "〇零一二三四五六七八九十百千万億兆"
_COUNTED = regex.compile(rf"(?<![{_NUMERALS}])(?P<kanji>[{_NUMERALS}]{{1,20}})(?:{_COUNTERS})")
_ENOUGH = regex.compile("十分(?![間後前])")  # "enough" far more often than ten minutes


def last_number(text: str) -> tuple[Fraction, bool] | None:
    """The last number of the text, behind GSM8K's `####` where that stands, and whether it is a percentage; None where
    the text holds none."""
    text = unicodedata.normalize("NFKC", text).replace("\u2212", "-")
    if _FINAL in text and (found := _last(text.rpartition(_FINAL)[2])) is not None:
        return found
    return _last(text)


def same_number(one: tuple[Fraction, bool], other: tuple[Fraction, bool]) -> bool:
    """Whether they are equal: 50 % is 50, and 0.5 as well."""
    (first, percent), (second, other_percent) = one, other
    if percent == other_percent:
        return first == second
    return first == second or (first / 100 == second if percent else second / 100 == first)


def _last(text: str) -> tuple[Fraction, bool] | None:
    numbers = [*_NUMBER.finditer(text)]
    if not numbers:
        return _last_kanji(text)
    found = numbers[-1]
    value = Fraction(found["digits"].replace(",", ""))
    if found["power"]:
        value *= Fraction(10) ** int(found["power"])
    if found["over"]:
        below = int(found["over"][1:])
        value = value / below if below else value
    if found["kanji"]:
        value = _multiplied(found["digits"].replace(",", "") + found["kanji"].replace(",", ""))
    return (-value if found["minus"] else value), bool(found["percent"])


def _multiplied(text: str) -> Fraction:
    """1億2000万, 3万5千, 1.5万."""
    total, part, digits = Fraction(0), Fraction(0), ""
    for mark in text:
        if mark in _LARGE:
            total += (part + Fraction(digits or (0 if part else 1))) * _LARGE[mark]
            part, digits = Fraction(0), ""
        elif mark in _SMALL:
            part += Fraction(digits or 1) * _SMALL[mark]
            digits = ""
        else:
            digits += mark
    return total + part + Fraction(digits or 0)


def _last_kanji(text: str) -> tuple[Fraction, bool] | None:
    whole = text.strip().rstrip("。.")
    if whole and len(whole) <= 20 and all(mark in _NUMERALS for mark in whole):
        return _kanji_value(whole), False
    counted = [*_COUNTED.finditer(_ENOUGH.sub("", text))]
    if not counted:
        return None
    found = counted[-1]
    return _kanji_value(found["kanji"]), found[0].endswith(("パーセント", "%"))


def _kanji_value(text: str) -> Fraction:
    """三百二十 and 二〇二四 alike."""
    return _multiplied("".join(str(_KANJI[mark]) if mark in _KANJI else mark for mark in text))
