"""Rewards: what an answer is praised for when a model learns by trying (RLOO, GRPO).

All but `model` are computed from the answer's text and are 0 to 1; a run adds them up by their weights.
"""

from typing import Annotated, Literal, get_args

import regex
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from studio.data.json_text import BadSchema, read_schema
from studio.data.languages import LANGUAGES

RUN_ID = r"^[A-Za-z0-9_-]+$"


class _Reward(BaseModel):
    """`weight`: how much it counts; below 0 it is a penalty."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: Annotated[float, Field(ge=-100, le=100)] = 1.0


def _schema(text: str) -> str:
    """A JSON schema as it was written, known to be one and to stand alone: nothing is fetched."""
    if not text.strip():
        return ""
    try:
        read_schema(text)
    except BadSchema as error:
        raise PydanticCustomError("bad_schema", "bad schema", {"reason": str(error)}) from None
    return text


def _expression(text: str) -> str:
    try:
        regex.compile(text)
    except (regex.error, RecursionError, OverflowError) as error:
        raise PydanticCustomError("bad_regex", "bad expression", {"reason": str(error)}) from None
    return text


class JsonReward(_Reward):
    """1 for an answer that is JSON and, where one is given, fits the schema (https://json-schema.org); else 0."""

    kind: Literal["json"] = "json"
    json_schema: Annotated[str, Field(max_length=100_000), AfterValidator(_schema)] = ""


class ContainsReward(_Reward):
    """1 for an answer in which the text stands; else 0."""

    kind: Literal["contains"] = "contains"
    text: Annotated[str, Field(min_length=1, max_length=10_000)] = "."
    ignore_case: bool = True


class RegexReward(_Reward):
    """1 for an answer in which the regular expression is found; else 0. `^` and `$` tie it to the whole answer."""

    kind: Literal["regex"] = "regex"
    pattern: Annotated[str, Field(min_length=1, max_length=10_000), AfterValidator(_expression)] = r"\S"


class LengthReward(_Reward):
    """1 for an answer of `low` to `high` characters; the less, the further away it is."""

    kind: Literal["length"] = "length"
    low: Annotated[int, Field(ge=0, le=1_000_000, json_schema_extra={"unit": "characters"})] = 1
    high: Annotated[int, Field(ge=1, le=1_000_000, json_schema_extra={"unit": "characters"})] = 200

    @model_validator(mode="after")
    def _in_order(self) -> "LengthReward":
        if self.low > self.high:
            raise PydanticCustomError("low_above_high", "low above high")
        return self


class ExactReward(_Reward):
    """1 for the very answer that the row has, but for spaces at its ends and how characters are encoded; else 0. Rows
    without an answer are not judged by it."""

    kind: Literal["exact"] = "exact"
    ignore_case: bool = True


class LanguageReward(_Reward):
    """1 for an answer in the language (ISO 639-1); else 0. Few words tell no language."""

    kind: Literal["language"] = "language"
    language: Literal[LANGUAGES[1:]] = "en"  # type: ignore[valid-type]  # the codes are known when this runs


class ModelReward(_Reward):
    """What a reward model thinks of the answer: a run of the method `reward`, by its id. Any number; the better answer
    of a pair gets about 1 more than the worse one (`training/scorer.py`)."""

    kind: Literal["model"] = "model"
    run: Annotated[str, Field(pattern=RUN_ID, max_length=64)]


Reward = Annotated[
    JsonReward | ContainsReward | RegexReward | LengthReward | ExactReward | LanguageReward | ModelReward,
    Field(discriminator="kind"),
]
REWARDS: dict[str, type[_Reward]] = {kind.model_fields["kind"].default: kind for kind in get_args(get_args(Reward)[0])}
