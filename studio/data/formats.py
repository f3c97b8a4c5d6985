"""Recognise a layout, and turn rows into training records through a mapping of columns.

Known layouts: Alpaca (instruction, input, output, history), OpenAI messages with tools, ShareGPT, prompt/completion
(TRL's names), question/answers with or without a context (SQuAD), preference pairs as text, as messages or as
transcripts (HH-RLHF), ranked lists of answers, answers with thumbs up or down (KTO), plain text, prompts alone; any
other list of speaker-and-text turns; any columns mapped by hand or put together by templates.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from studio.data.labels import read_label
from studio.data.layouts import PROMPTS, TEXTS, TURN_COLUMNS, Seen
from studio.data.mapping import Mapping
from studio.data.problems import RowProblem, Unusable, type_name
from studio.data.ranking import RANK_KEYS, SCORE_KEYS, best_and_worst
from studio.data.records import (
    Conversation,
    Message,
    Passage,
    Preference,
    PromptOnly,
    Rated,
    Record,
    Tool,
    as_conversation,
)
from studio.data.tables import Column, Note, Row
from studio.data.templates import NoValue, check_template, fill_template, template_columns
from studio.data.tool_calls import accepted_calls, read_tools
from studio.data.transcripts import is_transcript, read_transcript
from studio.data.turns import (
    cell_turn_keys,
    check_answer,
    check_prompt,
    is_answer,
    is_answer_list,
    is_blank,
    make_conversation,
    read_side,
    read_text,
    read_turns,
)
from studio.errors import DataError


def recognise(columns: Sequence[Column], rows: Sequence[Row]) -> Mapping | None:
    """The layout of the first rows; None when it is none of those known, and columns must be mapped by hand."""
    seen = Seen(columns, rows)
    return (
        seen.preference()
        or seen.ranked()
        or seen.turns(TURN_COLUMNS)
        or seen.pair()
        or seen.alone("prompt_only", PROMPTS)
        or seen.only_turns()
        or seen.alone("text", TEXTS)
    )


# Checking a mapping


def mapping_problems(mapping: Mapping, columns: Sequence[Column]) -> None:
    """Raises DataError when the mapping does not fit the columns."""
    types = {column.name: column.type for column in columns}
    known = ", ".join(types)
    beside = [name for name in (mapping.label, None if _within(mapping, types) else mapping.ranks) if name]
    for name in (*mapping.named, *beside):
        if name not in types:
            raise DataError("error.mapping.unknown_column", column=name, known=known)
    for template in mapping.templates:
        check_template(template, types)
    if mapping.turns and types[mapping.turns] not in (("text",) if mapping.transcript else ("list", "mixed")):
        raise DataError("error.mapping.not_turns", column=mapping.turns, type=types[mapping.turns])
    if bool(mapping.chosen) != bool(mapping.rejected):
        raise DataError("error.mapping.one_side", known=known)
    asked = mapping.prompt or mapping.prompt_template
    answered = mapping.answer or mapping.answer_template or mapping.accepted_calls or mapping.layout == "prompt_only"
    if not (mapping.text or mapping.chosen or mapping.turns or (asked and (answered or mapping.ranked))):
        raise DataError("error.mapping.incomplete", known=known)
    named = (*mapping.named, *beside)
    if len(set(named)) < len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise DataError("error.mapping.twice", column=twice)


def _within(mapping: Mapping, types: dict[str, str]) -> bool:
    """Whether the ranks are numbers within the answers, not a column beside them."""
    return mapping.ranks not in types and mapping.ranks in (*RANK_KEYS, *SCORE_KEYS)


def mapping_notes(mapping: Mapping, rows: Sequence[Row]) -> tuple[Note, ...]:
    """What is to be told about how rows are read: what is chosen, and what supervised fine-tuning makes of it."""
    notes = []
    if mapping.ranked:
        notes.append(
            Note(f"notice.mapping.ranked.{mapping.best}", {"column": mapping.ranked, "ranks": mapping.ranks or ""})
        )
    answer = mapping.answer
    if answer and not mapping.answer_template and any(_has_several(row.values.get(answer)) for row in rows):
        notes.append(Note("notice.mapping.first_answer", {"column": answer}))
    if mapping.dataset_type in ("preference", "unpaired_preference", "prompt_only", "language_modeling"):
        notes.append(Note(f"notice.mapping.{mapping.dataset_type}", {}))
    return tuple(notes)


def _has_several(cell: Any) -> bool:
    cell = cell.get("text") if isinstance(cell, dict) else cell
    return is_answer_list(cell) and not cell_turn_keys(cell) and len(cell) > 1


# Converting


def convert(row: Row, mapping: Mapping) -> Record | RowProblem:
    """The row as a training record. Nothing is repaired here: a number where text is expected is a problem."""
    try:
        return _record(row, mapping)
    except Unusable as problem:
        return RowProblem(row.id, problem.kind, problem.column, problem.detail)


def to_conversation(row: Row, mapping: Mapping) -> Conversation | None:
    """What supervised fine-tuning learns of a row; None where it learns nothing."""
    record = convert(row, mapping)
    return None if isinstance(record, RowProblem) else as_conversation(record)


def _record(row: Row, mapping: Mapping) -> Record:
    kind = mapping.dataset_type
    if kind == "language_modeling":
        return _passage(row, mapping)
    tools = read_tools(row.values.get(mapping.tools), mapping.tools) if mapping.tools else ()
    system = list(_system(row, mapping)) if mapping.system or mapping.system_template else []
    if kind == "preference":
        return _preference(row, mapping, system, tools)
    if mapping.turns:
        made = make_conversation([*system, *_talk(row, mapping, mapping.turns)], mapping.turns, tools)
    elif kind == "prompt_only":
        if mapping.layout != "prompt_only" or not (mapping.prompt or mapping.prompt_template):
            raise DataError("error.mapping.incomplete", known=", ".join(row.values))
        return PromptOnly(check_prompt([*system, *_prompt(row, mapping)], mapping.prompt or ""), tools)
    else:
        turns = [*system, *_prompt(row, mapping), *_answer(row, mapping)]
        made = make_conversation(turns, mapping.answer or mapping.accepted_calls or mapping.prompt or "", tools)
    return _rated(row, mapping, made) if mapping.label else made


def _passage(row: Row, mapping: Mapping) -> Passage:
    column = mapping.text or ""
    text = read_text(row.values.get(column), column)
    if is_blank(text):
        raise Unusable("blank_text", column)
    return Passage(text)


def _rated(row: Row, mapping: Mapping, made: Conversation) -> Rated:
    column = mapping.label or ""
    cell = row.values.get(column)
    label = read_label(cell)
    if label is None:
        raise Unusable("bad_label", column, type_name(cell) if isinstance(cell, list | dict) else str(cell)[:60])
    return Rated(made.prompt, (made.last,), label, made.tools)


def _preference(row: Row, mapping: Mapping, system: list[Message], tools: tuple[Tool, ...]) -> Preference:
    if mapping.ranked:
        column = mapping.ranked
        beside = row.values.get(mapping.ranks) if mapping.ranks else None
        good, bad = best_and_worst(row.values.get(column), beside, mapping.ranks, mapping.best, column)
        sides = [(good, column), (bad, column)]
    else:
        if not mapping.chosen or not mapping.rejected:
            raise DataError("error.mapping.one_side", known=", ".join(row.values))
        sides = [(row.values.get(name), name) for name in (mapping.chosen, mapping.rejected)]
    read = [_preferred(cell, column, mapping) for cell, column in sides]
    column = mapping.chosen or mapping.ranked or ""
    if all(turns[0].role != "assistant" for turns in read):
        prompt, answers = _common(read, sides[1][1])
        prompt = [*system, *prompt] if prompt[0].role != "system" else prompt
    elif mapping.turns:
        prompt, answers = [*system, *_talk(row, mapping, mapping.turns)], read
    elif mapping.prompt or mapping.prompt_template:
        prompt, answers = [*system, *_prompt(row, mapping)], read
    else:
        raise Unusable("no_question", column)
    chosen, rejected = (check_answer(turns, name) for turns, (_, name) in zip(answers, sides, strict=True))
    return Preference(check_prompt(prompt, column), chosen, rejected, tools)


def _preferred(cell: Any, column: str, mapping: Mapping) -> list[Message]:
    if mapping.transcript and isinstance(cell, str) and (is_transcript(cell) or not (mapping.prompt or mapping.turns)):
        return read_transcript(cell, column)
    turns = read_side(cell, column, "assistant")
    if not turns:
        raise Unusable("blank_answer", column)
    return turns


def _common(sides: Sequence[list[Message]], column: str) -> tuple[list[Message], list[list[Message]]]:
    """The turns that both sides begin with, and what is left of each: at least its last turn."""
    first, second = sides
    longest = min(len(first), len(second)) - 1
    same = next((i for i in range(longest) if first[i] != second[i]), longest)
    if not any(turn.role == "user" for turn in first[:same]):
        raise Unusable("no_common_prompt", column)
    return first[:same], [first[same:], second[same:]]


def _system(row: Row, mapping: Mapping) -> Iterator[Message]:
    if mapping.system_template:
        text = _filled(row, mapping.system_template)
    else:
        text = read_text(row.values.get(mapping.system), mapping.system) if mapping.system else None
    if text is not None and not is_blank(text):
        yield Message("system", text)


def _talk(row: Row, mapping: Mapping, column: str) -> list[Message]:
    cell = row.values.get(column)
    if mapping.transcript and isinstance(cell, str):
        return read_transcript(cell, column)
    return read_turns(cell, column, mapping.role_key, mapping.content_key)


def _prompt(row: Row, mapping: Mapping) -> list[Message]:
    earlier = _history(row.values.get(mapping.history), mapping.history) if mapping.history else []
    if mapping.prompt_template:
        text = _filled(row, mapping.prompt_template)
        if text is None or is_blank(text):
            raise Unusable("blank_prompt", ", ".join(template_columns(mapping.prompt_template)))
        return [*earlier, Message("user", text)]
    column = mapping.prompt or ""
    cell = row.values.get(column)
    if mapping.transcript and isinstance(cell, str):
        turns = read_transcript(cell, column)
        # A prompt as HH-RLHF cuts it ends with "Assistant:", for the answer to follow.
        asked = turns[:-1] if turns[-1].role == "assistant" and is_blank(turns[-1].content) else turns
        return [*earlier, *asked]
    if isinstance(cell, list) or not mapping.input:
        return [*earlier, *read_side(cell, column, "user")]
    parts = [read_text(cell, column), read_text(row.values.get(mapping.input), mapping.input)]
    return [*earlier, *read_side("\n".join(part for part in parts if not is_blank(part)), column, "user")]


def _history(cell: Any, column: str) -> Iterator[Message]:
    """Alpaca's earlier turns: a list of (question, answer)."""
    pairs: Any = [] if cell is None else cell
    if not isinstance(pairs, list):
        raise Unusable("not_turns", column, type_name(cell))
    for number, pair in enumerate(pairs, 1):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise Unusable("bad_turns", column, str(number))
        yield Message("user", pair[0])
        yield Message("assistant", pair[1])


def _answer(row: Row, mapping: Mapping) -> list[Message]:
    if mapping.answer_template:
        text = _filled(row, mapping.answer_template)
        if text is None or is_blank(text):
            raise Unusable("blank_answer", ", ".join(template_columns(mapping.answer_template)))
        return [Message("assistant", text)]
    if mapping.accepted_calls:
        return [
            Message("assistant", "", accepted_calls(row.values.get(mapping.accepted_calls), mapping.accepted_calls))
        ]
    if mapping.answer is None:
        raise DataError("error.mapping.incomplete", known=", ".join(row.values))
    return read_side(row.values.get(mapping.answer), mapping.answer, "assistant")


def _filled(row: Row, template: str) -> str | None:
    try:
        return fill_template(template, row.values)
    except NoValue as missing:
        raise Unusable("no_field", ", ".join(missing.field.columns), missing.field.source) from None


def trim_turns(cell: Any, mapping: Mapping) -> Any:
    """A list of turns without those behind its last answer; without any answer it stays as it is."""
    if not isinstance(cell, list):
        return cell
    answers = [i for i, turn in enumerate(cell) if isinstance(turn, dict) and is_answer(turn.get(mapping.role_key))]
    return cell[: answers[-1] + 1] if answers else cell
