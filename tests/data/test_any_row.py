"""Whatever a row holds, it becomes a record or a problem that can be told; nothing else is ever raised."""

import random
from typing import Any

import pytest

from studio.data.duplicates import exact_duplicates
from studio.data.formats import convert, mapping_notes, mapping_problems, recognise, trim_turns
from studio.data.mapping import Mapping
from studio.data.problems import RowProblem, type_name
from studio.data.records import as_conversation, record_sides
from studio.data.suggestions import suggest_templates
from studio.data.tables import Column, Row
from studio.data.text_values import with_text_values
from studio.errors import DataError

TEXTS = (
    "", " ", "x", "日本語", "Human: a\n\nAssistant: b", "\n\nHuman: a\n\nAssistant:", "[", "{}", "[]",
    '{"name": "f"}', '[{"name": "f", "arguments": "{}"}]', '{"name": 3}', "true", "0", "user", "assistant", "tool",
    "function_call", "{a}",
)  # fmt: skip
KEYS = (
    "role", "from", "content", "value", "name", "text", "tool_calls", "function_call", "function", "arguments", "rank",
    "score", "answer", "id", "tool_call_id", "parameters", "f",
)  # fmt: skip
NAMES = (
    "messages", "conversations", "prompt", "question", "instruction", "input", "output", "answer", "answers",
    "completion", "chosen", "rejected", "label", "text", "tools", "history", "system", "ranked", "ranks", "scores",
    "context", "choices", "choice0", "choice1", "function", "ground_truth", "full_text", "masked", "responses",
)  # fmt: skip
FIELDS = (
    "prompt", "input", "history", "answer", "accepted_calls", "system", "turns", "tools", "chosen", "rejected",
    "ranked", "ranks", "label", "text",
)  # fmt: skip
TEMPLATES = ("{%s}", "a {%s[0]}", "{%s[text]}", "{x{%s}}", "{%s[{%s}]}")


def value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(9 if depth < 4 else 5)
    if kind < 3:
        return chance.choice(TEXTS)
    if kind == 3:
        return chance.choice([None, True, False, 0, 1, -3, 2.5, 10**30])
    if kind == 4:
        return chance.choice([[], {}])
    if kind < 7:
        return [value(chance, depth + 1) for _ in range(chance.randrange(1, 4))]
    return {key: value(chance, depth + 1) for key in chance.sample(KEYS, chance.randrange(1, 5))}


def turns(chance: random.Random) -> Any:
    roles = ("system", "user", "assistant", "tool", "human", "gpt", "function_call", "observation", "nobody", 3)
    keys = chance.choice([("role", "content"), ("from", "value"), ("name", "text")])
    made = [{keys[0]: chance.choice(roles), keys[1]: value(chance, 3)} for _ in range(chance.randrange(1, 5))]
    if chance.random() < 0.3:
        made[-1][chance.choice(["tool_calls", "function_call"])] = value(chance, 1)
    return made


def any_row(chance: random.Random) -> dict[str, Any]:
    names = chance.sample(NAMES, chance.randrange(1, 6))
    return {name: turns(chance) if chance.random() < 0.4 else value(chance) for name in names}


def any_mapping(chance: random.Random, columns: list[Column]) -> Mapping | None:
    """A mapping that fits the columns; None when the one that was tried does not."""
    names = [column.name for column in columns]
    chance.shuffle(names)
    named: dict[str, Any] = dict(
        zip(chance.sample(FIELDS, min(len(names), chance.randrange(1, 6))), names, strict=False)
    )
    for field in ("prompt_template", "answer_template", "system_template"):
        if chance.random() < 0.2:
            named[field] = chance.choice(TEMPLATES).replace("%s", chance.choice(names))
    mapping = Mapping(**named, transcript=chance.random() < 0.3, best=chance.choice(["first", "lowest", "highest"]))
    try:
        mapping_problems(mapping, columns)
    except DataError as error:
        return None if error.message("ja") else mapping
    return mapping


def column_type(values: list[Any]) -> str:
    names = {type_name(value) for value in values} - {"empty"}
    return names.pop() if len(names) == 1 else "mixed" if names else "empty"


@pytest.mark.parametrize("seed", range(20))
def test_any_row_is_a_record_or_a_problem(seed: int) -> None:
    chance = random.Random(seed)
    tried = 0
    for _ in range(80):
        first = any_row(chance)
        second = {name: turns(chance) if chance.random() < 0.5 else value(chance) for name in first}
        rows = [Row(1, first), Row(2, second)]
        columns = [Column(name, column_type([first[name], second[name]])) for name in first]
        offered = [item.mapping for item in suggest_templates(columns, rows)]
        found = recognise(columns, rows)
        for mapping in (*offered, *([found] if found else [])):
            mapping_problems(mapping, columns)
            check(rows, mapping)
        for _ in range(20):
            mapping = any_mapping(chance, columns)
            if mapping:
                tried += 1
                check(rows, mapping)
    assert tried > 100


def check(rows: list[Row], mapping: Mapping) -> None:
    mapping_notes(mapping, rows)
    good = []
    for row in rows:
        record = convert(row, mapping)
        if isinstance(record, RowProblem):
            assert all(record.message(language) for language in ("en", "ja"))
            assert record.column
        else:
            good.append((row.id, record))
            assert all(record_sides(record))
            assert hash(record) == hash(convert(row, mapping))
            as_conversation(record)
        with_text_values(row, mapping)
        trim_turns(row.values.get(mapping.turns or ""), mapping)
    exact_duplicates(good)
