"""A recipe of fixes -> a new table, with a report and every row that was dropped or changed.

Each fix does nothing to rows it has been through: cleaning twice is cleaning once.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from studio.data.broken import is_unreadable, mend
from studio.data.cells import row_texts, with_texts
from studio.data.duplicates import exact_duplicates
from studio.data.formats import Mapping, convert, trim_turns
from studio.data.problems import ProblemKind, RowProblem
from studio.data.sensitive import mask_emails, mask_secrets
from studio.data.tables import Row, Table, build_table, write_table
from studio.errors import DataError
from studio.messages import translate

Fix = Literal[
    "drop_blank", "to_text", "trim_turns", "drop_unusable", "mask_secrets", "mask_emails", "repair_text",
    "drop_unreadable", "drop_duplicates", "drop_lost", "drop_too_long", "drop_refused",
]  # fmt: skip
FIXES: tuple[Fix, ...] = get_args(Fix)
BLANK: tuple[ProblemKind, ...] = ("blank_prompt", "blank_answer", "blank_text")
UNUSABLE: tuple[ProblemKind, ...] = (
    "not_turns", "bad_turns", "no_answer", "no_question", "bad_label", "bad_tools", "bad_tool_call", "bad_transcript",
    "no_common_prompt", "bad_ranking", "no_field",
)  # fmt: skip
# Which rows these drop depends on a model's tokenizer: they are named by whoever has measured them.
BY_LENGTH: tuple[Fix, ...] = ("drop_lost", "drop_too_long", "drop_refused")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CleanStep(_Part):
    """One fix. `row_ids`: the rows to drop, for the fixes that go by a model's token counts."""

    fix: Fix
    row_ids: tuple[int, ...] | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if (self.row_ids is None) == (self.fix in BY_LENGTH):
            raise ValueError("row_ids go with the fixes by length, and only with those")
        return self


class CleanSpec(_Part):
    """A recipe: steps in order."""

    steps: tuple[CleanStep, ...]


class RowChange(_Part):
    """A row dropped or changed by a step; `columns` are those changed."""

    row_id: int
    fix: Fix
    action: Literal["dropped", "changed"]
    columns: tuple[str, ...] = ()


class StepReport(_Part):
    """What one step did."""

    fix: Fix
    dropped: int
    changed: int

    def message(self, language: str = "en") -> str:
        """One line in `language`."""
        label = translate(f"fix.{self.fix}", language)
        return translate("notice.clean.step", language, fix=label, dropped=self.dropped, changed=self.changed)


class CleanReport(_Part):
    """`rows_before` = `rows_after` + all dropped."""

    rows_before: int
    rows_after: int
    steps: tuple[StepReport, ...]
    changes: tuple[RowChange, ...] = ()


def clean(table: Table, mapping: Mapping, recipe: CleanSpec, path: Path) -> CleanReport:
    """Write the cleaned table to `path`. Raises DataError, and writes nothing, when no row would be left."""
    rows = before = list(table.read())
    changes: list[RowChange] = []
    steps = []
    for step in recipe.steps:
        rows, made = _apply(step, rows, mapping)
        if not rows:
            label = _Fixed(step.fix)
            raise _NothingLeft("error.clean.nothing_left", fix=label, rows=len(before))
        changes += made
        dropped = sum(change.action == "dropped" for change in made)
        steps.append(StepReport(fix=step.fix, dropped=dropped, changed=len(made) - dropped))
    built, _ = build_table(rows)
    write_table(built, path)
    return CleanReport(rows_before=len(before), rows_after=len(rows), steps=tuple(steps), changes=tuple(changes))


class _Fixed(str):
    """The name of a fix, to be told by its label."""


class _NothingLeft(DataError):
    def message(self, language: str = "en") -> str:
        shown = {k: translate(f"fix.{v}", language) if isinstance(v, _Fixed) else v for k, v in self.values.items()}
        return translate(self.key, language, **shown)


def _apply(step: CleanStep, rows: list[Row], mapping: Mapping) -> tuple[list[Row], list[RowChange]]:
    match step.fix:
        case "drop_lost" | "drop_too_long" | "drop_refused":
            return _drop(step, rows, step.row_ids or ())
        case "drop_blank":
            return _drop(step, rows, _with_problem(rows, mapping, BLANK))
        case "drop_unusable":
            return _drop(step, rows, _with_problem(rows, mapping, ("unknown_role", *UNUSABLE)))
        case "drop_unreadable":
            return _drop(step, rows, [r.id for r in rows if any(map(is_unreadable, row_texts(r, mapping)))])
        case "drop_duplicates":
            converted = [(row.id, convert(row, mapping)) for row in rows]
            return _drop(step, rows, exact_duplicates((i, c) for i, c in converted if not isinstance(c, RowProblem)))
        case "repair_text":
            return _change(step, rows, mapping, lambda value, _: with_texts(value, mend))
        case "mask_secrets":
            return _change(step, rows, mapping, lambda value, _: with_texts(value, mask_secrets))
        case "mask_emails":
            return _change(step, rows, mapping, lambda value, _: with_texts(value, mask_emails))
        case "to_text":
            return _change(step, rows, mapping, lambda value, column: _to_text(value, column, mapping))
        case "trim_turns":
            return _change(step, rows, mapping, lambda value, column: _trimmed(value, column, mapping))


def _with_problem(rows: Iterable[Row], mapping: Mapping, kinds: tuple[ProblemKind, ...]) -> list[int]:
    converted = [(row.id, convert(row, mapping)) for row in rows]
    return [i for i, item in converted if isinstance(item, RowProblem) and item.kind in kinds]


def _drop(step: CleanStep, rows: list[Row], ids: Iterable[int]) -> tuple[list[Row], list[RowChange]]:
    gone = set(ids)
    kept = [row for row in rows if row.id not in gone]
    return kept, [RowChange(row_id=row.id, fix=step.fix, action="dropped") for row in rows if row.id in gone]


def _change(
    step: CleanStep, rows: list[Row], mapping: Mapping, change: Callable[[Any, str], Any]
) -> tuple[list[Row], list[RowChange]]:
    kept, made = [], []
    for row in rows:
        new = {name: change(row.values.get(name), name) for name in mapping.columns}
        columns = tuple(name for name, value in new.items() if value != row.values.get(name))
        if columns:
            row = Row(row.id, {**row.values, **new})
            made.append(RowChange(row_id=row.id, fix=step.fix, action="changed", columns=columns))
        kept.append(row)
    return kept, made


def _to_text(value: Any, column: str, mapping: Mapping) -> Any:
    """Numbers and truth values as they are written, lists and objects as JSON; turns stay turns."""
    if column == mapping.turns:
        return _turns_to_text(value, mapping.content_key)
    if value is None or isinstance(value, str):
        return value
    if _is_messages(value):
        return _turns_to_text(value, "content")
    return json.dumps(value, ensure_ascii=False)


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) and "role" in v for v in value)


def _turns_to_text(value: Any, content_key: str) -> Any:
    if not isinstance(value, list):
        return value
    return [
        {**turn, content_key: json.dumps(turn[content_key], ensure_ascii=False)}
        if isinstance(turn, dict) and isinstance(turn.get(content_key), bool | int | float | dict)
        else turn
        for turn in value
    ]


def _trimmed(value: Any, column: str, mapping: Mapping) -> Any:
    return trim_turns(value, mapping) if column == mapping.turns else value
