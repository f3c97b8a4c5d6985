"""The rewards of an answer, as small functions of its text.

Each gives 0 to 1, or None where it cannot judge.
"""

import json
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import regex
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import validator_for
from referencing import Registry

from studio.data.languages import language_of
from studio.errors import TrainingError
from studio.runs.rewards import (
    ContainsReward,
    ExactReward,
    JsonReward,
    LanguageReward,
    LengthReward,
    ModelReward,
    RegexReward,
    Reward,
)

# An expression that backtracks without end is stopped after this long in one answer.
_SECONDS = 1.0

Judge = Callable[[str, str | None], float | None]
"""From an answer and the one that was expected, where there is one, to the reward."""


def judge(reward: Reward) -> Judge:
    """The function of a reward that needs no model."""
    match reward:
        case JsonReward(json_schema=schema):
            fits = json_judge(json.loads(schema) if schema.strip() else None)
            return lambda answer, _: fits(answer)
        case ContainsReward(text=text, ignore_case=ignore_case):
            return lambda answer, _: contains(answer, text, ignore_case=ignore_case)
        case RegexReward(pattern=pattern):
            return lambda answer, _: found(answer, pattern)
        case LengthReward(low=low, high=high):
            return lambda answer, _: length_between(answer, low, high)
        case ExactReward(ignore_case=ignore_case):
            return lambda answer, expected: exact(answer, expected, ignore_case=ignore_case)
        case LanguageReward(language=language):
            return lambda answer, _: float(language_of(answer) == language)
        case ModelReward():
            raise ValueError("a reward model judges by itself")


def json_judge(schema: Mapping[str, Any] | None = None) -> Callable[[str], float]:
    """1 for one JSON value and nothing else; with a schema, for one that fits it."""
    validator = (
        None if schema is None else validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())
    )

    def fits(answer: str) -> float:
        try:
            value = json.loads(answer, parse_constant=_no_json)
            if validator is not None:
                validator.validate(value)
        except (ValueError, RecursionError, ValidationError):
            return 0.0
        return 1.0

    return fits


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is Python's, not JSON's")


def contains(answer: str, text: str, *, ignore_case: bool = True) -> float:
    """Whether the text stands in the answer, full-width and half-width forms being the same."""
    return float(_plain(text, ignore_case) in _plain(answer, ignore_case))


def found(answer: str, pattern: str, seconds: float = _SECONDS) -> float:
    """Whether the regular expression is found. Raises TrainingError when it takes too long."""
    try:
        return float(regex.search(pattern, answer, timeout=seconds) is not None)
    except TimeoutError:
        raise TrainingError("error.train.slow_pattern", pattern=pattern, seconds=f"{seconds:g}") from None


def length_between(answer: str, low: int, high: int) -> float:
    """1 between the bounds, in characters; below, the share of `low` that is there; above, less by the share of `high`
    that is too much, and 0 from twice `high` on. A slope: where all answers are too long the shorter ones are better.
    """
    length = len(answer.strip())
    if length < low:
        return length / low
    return max(0.0, 1 - max(0, length - high) / high)


def exact(answer: str, expected: str | None, *, ignore_case: bool = True) -> float | None:
    """Whether it is the expected answer; None where none is expected."""
    if expected is None:
        return None
    return float(_plain(answer, ignore_case) == _plain(expected, ignore_case))


def _plain(text: str, ignore_case: bool) -> str:
    """One way to write what looks the same: NFKC, single spaces, none at the ends."""
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    return text.casefold() if ignore_case else text
