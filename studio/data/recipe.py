"""A recipe of fixes: ordered steps that can be saved as YAML and used on other data."""

from typing import Annotated, Any, Literal, Self, get_args

import regex
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from studio.data.spec_files import load_yaml_mapping, spec_error
from studio.errors import InputError

# What goes on within one row: nothing but that row decides.
TextFix = Literal[
    "repair_text", "strip_control", "strip_html", "escape_special_tokens", "mask_secrets", "mask_emails",
    "mask_phones", "mask_cards", "mask_ids", "mask_addresses",
]  # fmt: skip
RowFix = Literal[
    "drop_blank", "drop_unusable", "drop_bad_roles", "drop_bad_tool_calls", "drop_unreadable", "drop_boilerplate",
    "drop_equal_pair",
]  # fmt: skip
# What only the other rows tell.
TableFix = Literal[
    "drop_bad_json", "drop_cut_off", "drop_language_switch", "drop_unbalanced_length", "drop_length_outliers",
    "drop_conflicts", "drop_leaks", "drop_duplicates",
]  # fmt: skip
LengthFix = Literal["drop_lost", "drop_too_long", "drop_refused"]
HandFix = Literal["edit_rows", "add_rows", "exclude_rows", "restore_rows"]
Fix = Literal[
    "to_text", "trim_turns", TextFix, RowFix, TableFix, "drop_near_duplicates", LengthFix, "replace", "filter", HandFix
]

TEXT_FIXES: tuple[TextFix, ...] = get_args(TextFix)
ROW_FIXES: tuple[RowFix, ...] = get_args(RowFix)
TABLE_FIXES: tuple[TableFix, ...] = get_args(TableFix)
LENGTH_FIXES: tuple[LengthFix, ...] = get_args(LengthFix)
HAND_FIXES: tuple[HandFix, ...] = get_args(HandFix)
# Those that need no more than their name, in an order that is good for all of them together: texts are made whole
# first, then rows dropped, those that others decide last.
FIXES: tuple[Fix, ...] = (
    "to_text", "trim_turns", *TEXT_FIXES, *ROW_FIXES, *TABLE_FIXES, "drop_near_duplicates", *LENGTH_FIXES,
)  # fmt: skip
# Longest pattern of `replace` and `filter`, in characters.
_PATTERN_LENGTH = 10_000
_REGEX_SECONDS = 1.0


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlainStep(_Part):
    """A fix that needs no more than its name."""

    fix: Literal["to_text", "trim_turns", TextFix, RowFix, TableFix]


class NearStep(_Part):
    """Of rows that say nearly the same only the first stays. `threshold`: share of what they have in common."""

    fix: Literal["drop_near_duplicates"]
    threshold: Annotated[float, Field(ge=0.5, le=1)] = 0.8


class LengthStep(_Part):
    """Drop rows by their length in the tokens of a model."""

    fix: LengthFix
    model: Annotated[str, Field(min_length=1, max_length=1000)] = "starter"
    max_length: Annotated[int, Field(ge=1, le=131_072)] = 256


class _Pattern(_Part):
    """A text or regular expression to look for. `columns` None: those the model sees."""

    find: Annotated[str, Field(min_length=1, max_length=_PATTERN_LENGTH)]
    regex: bool = False
    match_case: bool = False
    columns: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        _check_pattern(self, "")
        return self

    @property
    def pattern(self) -> str:
        """As a regular expression of the `regex` package."""
        return self.find if self.regex else regex.escape(self.find, special_only=True)

    @property
    def flags(self) -> int:
        return regex.V0 if self.match_case else regex.V0 | regex.IGNORECASE


def _check_pattern(pattern: _Pattern, replacement: str) -> None:
    """Raises an error of pydantic when the expression does not compile, or names groups it does not have."""
    try:
        regex.compile(pattern.pattern, pattern.flags)
        if pattern.regex and replacement:
            # Matches the empty text, so that the replacement is filled in once.
            regex.sub(f"(?:{pattern.pattern})|", replacement, "", flags=pattern.flags, timeout=_REGEX_SECONDS)
    except (regex.error, IndexError, TimeoutError, RecursionError, OverflowError) as error:
        raise PydanticCustomError("bad_regex", "{reason}", {"reason": str(error)[:200]}) from None


class ReplaceStep(_Pattern):
    """Find and replace, over and over until nothing changes, so that doing it twice is doing it once.

    What is already there in the form that `replace_with` gives stays: "Acme" becomes "Acme Inc." once. With `regex`,
    `replace_with` may name groups as `\\1`.
    """

    fix: Literal["replace"]
    replace_with: Annotated[str, Field(max_length=_PATTERN_LENGTH)] = ""

    @model_validator(mode="after")
    def _fills_in(self) -> Self:
        _check_pattern(self, self.replace_with)
        return self


class TextTest(_Pattern):
    """Rows in which something stands."""

    by: Literal["text"]


class LengthTest(_Part):
    """Rows whose length in characters is from `least` to `most`."""

    by: Literal["length"]
    part: Literal["prompt", "answer", "all"] = "all"
    least: Annotated[int, Field(ge=0)] = 0
    most: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.most is not None and self.most < self.least:
            raise PydanticCustomError("least_above_most", "least above most")
        return self


class LanguageTest(_Part):
    """Rows in one of these languages (ISO 639-1)."""

    by: Literal["language"]
    languages: Annotated[tuple[str, ...], Field(min_length=1)]


class FindingTest(_Part):
    """Rows of a finding, named as in its key without `finding.`, such as `duplicate`."""

    by: Literal["finding"]
    finding: Annotated[str, Field(pattern=r"^[a-z_]+$")]

    @field_validator("finding", mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return value.removeprefix("finding.") if isinstance(value, str) else value


Test = Annotated[TextTest | LengthTest | LanguageTest | FindingTest, Field(discriminator="by")]


class FilterStep(_Part):
    """Keep only the rows that a test picks, or drop them."""

    fix: Literal["filter"]
    action: Literal["keep", "drop"]
    where: Test


class _HandStep(_Part):
    """What was done by hand. `data`: fingerprint of the table it was done in; on any other it is refused."""

    data: Annotated[str, Field(min_length=1, max_length=100)]


class EditStep(_HandStep):
    """New values of single cells: row id -> column -> value."""

    fix: Literal["edit_rows"]
    rows: Annotated[dict[int, dict[str, Any]], Field(min_length=1)]


class AddStep(_HandStep):
    """New rows at the end, each column -> value."""

    fix: Literal["add_rows"]
    rows: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]


class ExcludeStep(_HandStep):
    """Drop these rows."""

    fix: Literal["exclude_rows"]
    rows: Annotated[tuple[int, ...], Field(min_length=1)]


class RestoreStep(_HandStep):
    """Bring back rows that an earlier version still had."""

    fix: Literal["restore_rows"]
    rows: Annotated[tuple[int, ...], Field(min_length=1)]


Step = Annotated[
    PlainStep | NearStep | LengthStep | ReplaceStep | FilterStep | EditStep | AddStep | ExcludeStep | RestoreStep,
    Field(discriminator="fix"),
]
HandStep = EditStep | AddStep | ExcludeStep | RestoreStep
_STEP: TypeAdapter[Step] = TypeAdapter(Step)
_TAGS = frozenset({*FIXES, *HAND_FIXES, "replace", "filter", "text", "length", "language", "finding"})


class CleanSpec(_Part):
    """A recipe: steps in order. In YAML a step that needs no more than its name may be just that name."""

    steps: tuple[Step, ...]

    @field_validator("steps", mode="before")
    @classmethod
    def _named(cls, steps: Any) -> Any:
        if not isinstance(steps, list | tuple):
            return steps
        return [{"fix": step} if isinstance(step, str) else step for step in steps]

    def to_yaml(self) -> str:
        """The recipe as YAML; what has its usual value is left out."""
        steps = [step.model_dump(mode="json", exclude_defaults=True) for step in self.steps]
        values = {"steps": [{"fix": step.pop("fix"), **step} for step in steps]}
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)

    @classmethod
    def from_yaml(cls, text: str, name: str) -> Self:
        """Raises SpecError that tells every problem with its path; `name` is told in errors."""
        try:
            return cls.model_validate(load_yaml_mapping(text, name))
        except ValidationError as error:
            raise spec_error(error, _TAGS) from None

    @property
    def by_hand(self) -> tuple[HandStep, ...]:
        """The steps that hold for one table only."""
        return tuple(step for step in self.steps if isinstance(step, HandStep))

    def with_step(self, step: Step) -> Self:
        """With one more step. A fix of FIXES goes before those that are better done after it; all else to the end."""
        if step in self.steps:
            return self
        place = len(self.steps)
        if step.fix in FIXES:
            rank = FIXES.index(step.fix)
            later = (i for i, known in enumerate(self.steps) if known.fix in FIXES and FIXES.index(known.fix) > rank)
            place = next(later, place)
        return self.model_copy(update={"steps": (*self.steps[:place], step, *self.steps[place:])})

    def without(self, place: int) -> Self:
        """Without the step at this place, from 0."""
        return self.model_copy(update={"steps": (*self.steps[:place], *self.steps[place + 1 :])})

    def moved(self, place: int, by: int) -> Self:
        """With the step at this place so much later (or earlier), at most to an end."""
        steps = list(self.steps)
        steps.insert(min(max(place + by, 0), len(steps) - 1), steps.pop(place))
        return self.model_copy(update={"steps": tuple(steps)})

    def reusable(self) -> Self:
        """The recipe without what was done by hand, for other data."""
        return self.model_copy(update={"steps": tuple(s for s in self.steps if not isinstance(s, HandStep))})


def make_step(fix: str, **values: Any) -> Step:
    """A step by the name of its fix. Raises InputError for an unknown name, SpecError for values that do not fit."""
    known = (*FIXES, "replace", "filter", *HAND_FIXES)
    if fix not in known:
        raise InputError("error.fix.unknown", fix=fix, known=", ".join(known))
    try:
        return _STEP.validate_python({"fix": fix, **values})
    except ValidationError as error:
        raise spec_error(error, {fix}) from None
