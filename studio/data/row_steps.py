"""Steps of a recipe that look at one row only, as functions of a row."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from studio.data.broken import mend
from studio.data.cells import row_texts, value_texts, with_texts
from studio.data.checks import PROBLEM_OF, PROBLEMS, ROW_CHECKS
from studio.data.find_replace import finder, replacer
from studio.data.formats import Mapping as ColumnMapping
from studio.data.formats import trim_turns
from studio.data.languages import language_of
from studio.data.markup_text import escape_special_tokens, strip_control, strip_html
from studio.data.problems import RowProblem
from studio.data.recipe import (
    ROW_FIXES,
    EditStep,
    ExcludeStep,
    FilterStep,
    Fix,
    LanguageTest,
    LengthTest,
    PlainStep,
    ReplaceStep,
    Step,
    TextTest,
)
from studio.data.sensitive import (
    mask_addresses,
    mask_cards,
    mask_emails,
    mask_ids,
    mask_phones,
    mask_secrets,
)
from studio.data.tables import Row
from studio.data.views import View, view_of

# The row itself where nothing is to be done, a new one, or None where it is dropped.
RowStep = Callable[[Row], Row | None]
_TEXTS: Mapping[Fix, Callable[[str], str]] = {
    "repair_text": mend,
    "strip_control": strip_control,
    "strip_html": strip_html,
    "escape_special_tokens": escape_special_tokens,
    "mask_secrets": mask_secrets,
    "mask_emails": mask_emails,
    "mask_phones": mask_phones,
    "mask_cards": mask_cards,
    "mask_ids": mask_ids,
    "mask_addresses": mask_addresses,
}


def row_step(step: Step, mapping: ColumnMapping) -> RowStep | None:
    """The step as a function of a row; None when it takes all rows."""
    match step:
        case PlainStep(fix="to_text"):
            return _changing(mapping.columns, lambda value, column: _to_text(value, column, mapping))
        case PlainStep(fix="trim_turns"):
            return _changing(
                mapping.columns, lambda value, column: trim_turns(value, mapping) if column == mapping.turns else value
            )
        case PlainStep(fix=fix) if fix in _TEXTS:
            change = _TEXTS[fix]
            return _changing(mapping.columns, lambda value, _: with_texts(value, change))
        case PlainStep(fix=fix) if fix in ROW_FIXES:
            tests = [test for test, _ in _tests_of(fix)]
            viewed = Viewed(mapping)
            return lambda row: None if any(test(viewed(row)) for test in tests) else row
        case ReplaceStep():
            replace = replacer(step)
            columns = mapping.columns if step.columns is None else step.columns
            return _changing(columns, lambda value, _: with_texts(value, replace))
        case FilterStep(where=TextTest() | LengthTest() | LanguageTest() as where):
            test = _test(where, mapping)
            keep = step.action == "keep"
            return lambda row: row if test(row) == keep else None
        case EditStep():
            edits = step.rows
            return lambda row: _with_values(row, edits[row.id]) if row.id in edits else row
        case ExcludeStep():
            gone = frozenset(step.rows)
            return lambda row: None if row.id in gone else row
        case _:
            return None


def changed_columns(before: Row, after: Row) -> tuple[str, ...]:
    """Names of the columns that differ."""
    return tuple(name for name, value in after.values.items() if not _same(value, before.values.get(name)))


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and a == b)


def _with_values(row: Row, new: Mapping[str, Any]) -> Row:
    different = {name: value for name, value in new.items() if not _same(value, row.values.get(name))}
    return Row(row.id, {**row.values, **different}) if different else row


def _changing(columns: tuple[str, ...], change: Callable[[Any, str], Any]) -> RowStep:
    return lambda row: _with_values(
        row, {name: change(row.values[name], name) for name in columns if row.values.get(name) is not None}
    )


class Viewed:
    """The view of a row, made once for steps that look at it one after another."""

    def __init__(self, mapping: ColumnMapping) -> None:
        self._mapping = mapping
        self._row: Row | None = None
        self._view: View | None = None

    def __call__(self, row: Row) -> View:
        if self._view is None or row is not self._row:
            self._row, self._view = row, view_of(row, self._mapping)
        return self._view


def hinted_steps(step: Step, mapping: ColumnMapping, viewed: Viewed) -> list[tuple[RowStep, str | None]]:
    """The step as functions of a row, to be done in order. With each an RE2 pattern that the texts of every row hold
    to which it does something: rows without it are passed by, which makes rare faults cheap to look for."""
    if isinstance(step, PlainStep) and step.fix in ROW_FIXES:
        return [(_dropping(test, viewed), hint) for test, hint in _tests_of(step.fix)]
    run = row_step(step, mapping)
    hints = [check.hint for check in ROW_CHECKS if check.fix == step.fix]
    hint = hints[0] if step.fix in _TEXTS and len(hints) == 1 else None
    return [(run, hint)] if run else []


def _dropping(test: Callable[[View], bool], viewed: Viewed) -> RowStep:
    return lambda row: None if test(viewed(row)) else row


def _tests_of(fix: Fix) -> list[tuple[Callable[[View], bool], str | None]]:
    """What makes the fix drop a row, each with its hint."""
    problems = frozenset(name for name, (_, known) in PROBLEMS.items() if known == fix)

    def unusable(row: View) -> bool:
        return isinstance(row.record, RowProblem) and PROBLEM_OF[row.record.kind] in problems

    checks = [(check.test, check.hint) for check in ROW_CHECKS if check.fix == fix]
    return [(unusable, None), *checks] if problems else checks


def _test(where: TextTest | LengthTest | LanguageTest, mapping: ColumnMapping) -> Callable[[Row], bool]:
    match where:
        case TextTest():
            return _text_test(where, mapping)
        case LengthTest():
            return _length_test(where, mapping)
        case LanguageTest():
            return lambda row: row_language(view_of(row, mapping)) in where.languages


def row_language(row: View) -> str:
    """Of the answer, or of the question where the answer is too short to tell; empty: none is known."""
    return language_of(row.answer) or language_of(row.prompt)


def _text_test(test: TextTest, mapping: ColumnMapping) -> Callable[[Row], bool]:
    found = finder(test)
    columns = mapping.columns if test.columns is None else test.columns
    return lambda row: any(found(text) for name in columns for text in value_texts(row.values.get(name)))


def _length_test(test: LengthTest, mapping: ColumnMapping) -> Callable[[Row], bool]:
    def inside(row: Row) -> bool:
        most = float("inf") if test.most is None else test.most
        return test.least <= _characters(row, mapping, test.part) <= most

    return inside


def _characters(row: Row, mapping: ColumnMapping, part: str) -> int:
    """Characters of a part of the row; a row that cannot be used has only `all`."""
    if part == "all":
        return sum(map(len, row_texts(row, mapping)))
    view = view_of(row, mapping)
    return len(view.answer if part == "answer" else view.prompt)


def _to_text(value: Any, column: str, mapping: ColumnMapping) -> Any:
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
