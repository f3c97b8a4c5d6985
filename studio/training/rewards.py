"""The rewards of an answer, as small functions of its text.

Each gives 0 to 1, or None where it cannot judge.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import regex
from jsonschema.exceptions import ValidationError

from studio.data.json_text import read_json, schema_validator
from studio.data.languages import language_of
from studio.data.plain_text import plain_text
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
    validator = None if schema is None else schema_validator(schema)

    def fits(answer: str) -> float:
        try:
            value = read_json(answer)
            if validator is not None:
                validator.validate(value)
        except (ValueError, RecursionError, ValidationError):
            return 0.0
        return 1.0

    return fits


def contains(answer: str, text: str, *, ignore_case: bool = True) -> float:
    """Whether the text stands in the answer, full-width and half-width forms being the same."""
    return float(plain_text(text, ignore_case=ignore_case) in plain_text(answer, ignore_case=ignore_case))


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
    return float(plain_text(answer, ignore_case=ignore_case) == plain_text(expected, ignore_case=ignore_case))
