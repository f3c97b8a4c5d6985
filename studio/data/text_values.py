"""Values of another type where a row needs text, made into text: only those that keep the row from being read."""

import json
from typing import Any

from studio.data.formats import convert
from studio.data.mapping import Mapping
from studio.data.problems import RowProblem
from studio.data.tables import Row
from studio.data.turns import cell_turn_keys


def with_text_values(row: Row, mapping: Mapping) -> Row:
    """The row with numbers and truth values as they are written, lists and objects as JSON. Lists of answers, labels,
    tools and turns stay what they are; a row that can be read comes back as it is."""
    while isinstance(problem := convert(row, mapping), RowProblem) and problem.kind == "wrong_type":
        cell = row.values.get(problem.column)
        changed = _as_text(cell, mapping, problem.column)
        if changed == cell:
            break
        row = Row(row.id, {**row.values, problem.column: changed})
    return row


def _as_text(cell: Any, mapping: Mapping, column: str) -> Any:
    keys = (mapping.role_key, mapping.content_key) if column == mapping.turns else cell_turn_keys(cell)
    if keys is None or not isinstance(cell, list):
        return json.dumps(cell, ensure_ascii=False)
    return [_turn_as_text(turn, keys[1]) for turn in cell]


def _turn_as_text(turn: Any, content_key: str) -> Any:
    content = turn.get(content_key) if isinstance(turn, dict) else None
    if content is None or isinstance(content, str | list):
        return turn
    return {**turn, content_key: json.dumps(content, ensure_ascii=False)}
