"""Ways to read a table whose layout alone does not say it: templates to begin with, to be looked at and changed."""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from typing import Any

from studio.data.layouts import PROMPTS, Seen
from studio.data.mapping import Mapping
from studio.data.tables import Column, Row
from studio.data.templates import template_columns
from studio.data.turns import cell_turn_keys, unwrapped
from studio.messages import translate

_KANA = re.compile(r"[\u3041-\u30ff]")
_QUESTIONS = (*PROMPTS, "sentence", "ctx", "stem", "premise", "goal")
_RIGHT = (
    "label",
    "answer",
    "answerkey",
    "answer_key",
    "answer_index",
    "correct",
    "correct_answer",
    "gold",
    "target",
    "正解",
)
_OPTION_LISTS = ("choices", "options", "endings", "candidates", "選択肢")
_ACCEPTED = ("ground_truth", "possible_answer", "possible_answers", "expected_calls", "answers", "answer")
_FUNCTIONS = ("function", "functions", "tools", "available_tools")
_PLAIN = ("full_text", "text", "source_text", "input", "sentence", "原文")
_MASKED = ("masked", "masked_text", "redacted", "anonymized", "target_text", "伏字")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`key` names the sentence that says what it makes of a row, filled with `values`."""

    key: str
    mapping: Mapping
    values: MappingOf[str, str] = field(default_factory=dict)


def suggest_templates(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[Suggestion, ...]:
    """What can be made of multiple choice, of function calls with accepted answers, and of marked personal data; the
    likeliest first. `rows` are the first of the table."""
    seen = Seen(columns, rows)
    return (*_choices(seen), *_functions(seen), *_masked(seen))


def _language(seen: Seen) -> str:
    texts = (cell for row in seen.rows for cell in row.values.values() if isinstance(cell, str))
    return "ja" if any(map(_KANA.search, texts)) else "en"


# Multiple choice


def _choices(seen: Seen) -> Iterator[Suggestion]:
    question = seen.first(_QUESTIONS, seen.is_text)
    if question is None:
        return
    for right in (seen.names[name] for name in _RIGHT if name in seen.names):
        found = _option_columns(seen, right, question) or _option_list(seen, right)
        if found:
            lines, answer = found
            mapping = Mapping(
                layout="template", prompt_template="\n".join([f"{{{question}}}", *lines]), answer_template=answer
            )
            yield Suggestion("ui.data.suggest.multiple_choice", mapping)
            return


def _option_columns(seen: Seen, right: str, question: str) -> tuple[list[str], str] | None:
    """Columns such as choice0, choice1, ..., one of which `right` names by its end."""
    ends = {str(cell).strip() for row in seen.rows if (cell := row.values.get(right)) is not None}
    stems: dict[str, list[str]] = {}
    for column in seen.columns:
        for end in ends:
            stem = column.name.removesuffix(end) if column.name.endswith(end) else None
            if stem is not None and column.name not in (right, question) and seen.is_text(column.name):
                stems.setdefault(stem, []).append(end)
    fitting = [stem for stem, found in stems.items() if len(found) >= 2 and len(found) == len(ends)]
    if not fitting or any(not end for end in ends):
        return None
    stem = max(fitting, key=len)
    names = [c.name for c in seen.columns if re.fullmatch(rf"{re.escape(stem)}(\d{{1,2}}|[A-Za-z])", c.name)]
    return [f"{name.removeprefix(stem)}. {{{name}}}" for name in names], f"{{{stem or ' '}{{{right}}}}}"


def _option_list(seen: Seen, right: str) -> tuple[list[str], str] | None:
    """A column that lists the options, of which `right` tells the right one by number or letter."""
    name = seen.first(_OPTION_LISTS, lambda n: seen.mostly(n, lambda cell: isinstance(cell, list) and len(cell) > 1))
    if name is None:
        return None
    counts = {len(cell) for row in seen.rows if isinstance(cell := row.values.get(name), list)}
    if not all(_tells(row.values.get(right), row.values.get(name)) for row in seen.rows):
        return None
    letters = seen.mostly(right, lambda cell: isinstance(cell, str) and re.fullmatch("[A-Z]", cell.strip()) is not None)
    if not letters and not seen.mostly(right, lambda cell: re.fullmatch(r"\d{1,2}", str(cell).strip()) is not None):
        return None
    labels = [chr(ord("A") + i) if letters else str(i) for i in range(min(counts))]
    return [f"{label}. {{{name}[{i}]}}" for i, label in enumerate(labels)], f"{{{name}[{{{right}}}]}}"


def _tells(right: Any, options: Any) -> bool:
    """Whether this is the number, from 0, or the letter of an option."""
    text = str(right).strip()
    number = (
        int(text) if re.fullmatch(r"[0-9]{1,2}", text) else ord(text) - ord("A") if re.fullmatch("[A-Z]", text) else -1
    )
    return right is None or (isinstance(options, list) and 0 <= number < len(options))


# Function calls with accepted answers


def _functions(seen: Seen) -> Iterator[Suggestion]:
    question = seen.first(_QUESTIONS, lambda name: seen.mostly(name, _is_question))
    tools = seen.first(_FUNCTIONS, seen.is_tools)
    accepted = seen.first(_ACCEPTED, lambda name: seen.mostly(name, _is_accepted))
    if question is None or tools is None:
        return
    if accepted:
        mapping = Mapping(layout="template", prompt=question, tools=tools, accepted_calls=accepted)
        yield Suggestion("ui.data.suggest.tool_calls", mapping)
    elif seen.first(_ACCEPTED, lambda name: seen.mostly(name, lambda cell: cell == [])):
        answer = translate("ui.data.suggest.no_tool.answer", _language(seen))
        mapping = Mapping(layout="template", prompt=question, tools=tools, answer_template=answer)
        yield Suggestion("ui.data.suggest.no_tool", mapping)
    yield Suggestion("ui.data.suggest.prompt_only", Mapping(layout="prompt_only", prompt=question, tools=tools))


def _is_question(cell: Any) -> bool:
    return isinstance(cell, str) or cell_turn_keys(unwrapped(cell)) == ("role", "content")


def _is_accepted(cell: Any) -> bool:
    """[{function: {argument: [value, ...]}}]"""
    if not isinstance(cell, list) or not cell:
        return False
    calls = [call for item in cell if isinstance(item, dict) for call in item.values()]
    return len(calls) == len(cell) and all(
        isinstance(call, dict) and all(isinstance(values, list) for values in call.values()) for call in calls
    )


# Marked personal data


def _masked(seen: Seen) -> Iterator[Suggestion]:
    masked = seen.first(_MASKED, seen.is_text)
    plain = seen.first(_PLAIN, seen.is_text)
    if masked and plain:
        system = translate("ui.data.suggest.mask.system", _language(seen))
        mapping = Mapping(layout="template", system_template=system, prompt=plain, answer=masked)
        yield Suggestion("ui.data.suggest.mask", mapping)


def starting_template(columns: Sequence[Column]) -> str:
    """All text columns, one below the other, each with its name: something to begin a template of one's own with."""
    names = [c.name for c in columns if c.type == "text" and can_be_named(c.name)]
    return "\n".join(f"{name}: {{{name}}}" for name in names)


def can_be_named(name: str) -> bool:
    """Whether a field of a template can name this column."""
    return not set("{}") & set(name) and bool(name.strip()) and template_columns(f"{{{name}}}") == (name,)
