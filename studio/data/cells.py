"""The texts inside a cell, however deep they are nested; and what kind of thing stored cells are."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from studio.data.formats import Mapping
from studio.data.tables import Row


def row_texts(row: Row, mapping: Mapping) -> list[str]:
    """Every text of the columns the model will see."""
    return texts_of(row, mapping.columns)


def texts_of(row: Row, columns: Iterable[str]) -> list[str]:
    """Every text of these columns."""
    found: list[str] = []
    for name in columns:
        value = row.values.get(name)
        if isinstance(value, str):
            found.append(value)
        else:
            _gather(value, found)
    return found


def value_texts(value: Any) -> list[str]:
    """Every text in one cell."""
    found: list[str] = []
    _gather(value, found)
    return found


def _gather(value: Any, found: list[str]) -> None:
    if isinstance(value, str):
        found.append(value)
    elif isinstance(value, list):
        for item in value:
            _gather(item, found)
    elif isinstance(value, dict):
        for item in value.values():
            _gather(item, found)


def with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """The value with `change` applied to every text in it."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [with_texts(item, change) for item in value]
    if isinstance(value, dict):
        return {key: with_texts(item, change) for key, item in value.items()}
    return value


KINDS = ("empty", "text", "number", "list", "object", "boolean")
_NUMBER = r"[+-]?(?:\p{Nd}+(?:[.,]\p{Nd}+)*|\.\p{Nd}+)(?:[eE][+-]?\p{Nd}+)?%?"
_IN_TEXT = (("empty", r"^$"), ("number", rf"^[\s\p{{Z}}]*(?:{_NUMBER})[\s\p{{Z}}]*$"))
_IN_JSON = (
    ("empty", '^""$'),
    ("number", rf'^(?:"[\s\p{{Z}}]*(?:{_NUMBER})[\s\p{{Z}}]*"|{_NUMBER}|NaN|-?Infinity)$'),
    ("list", r"^\["),
    ("object", r"^\{"),
    ("boolean", r"^(?:true|false)$"),
)


def cell_kinds(array: pa.Array, column_type: str) -> np.ndarray:
    """What each cell of a stored column is, as its place in KINDS; a number written as text is a number."""
    kinds = np.full(len(array), KINDS.index("text"), np.uint8)
    for kind, pattern in _IN_TEXT if column_type in ("text", "empty") else _IN_JSON:
        kinds[holds(array, pattern)] = KINDS.index(kind)
    kinds[array.is_null().to_numpy(zero_copy_only=False)] = KINDS.index("empty")
    return kinds


def holds(texts: pa.Array, pattern: str) -> np.ndarray:
    """In which texts the RE2 pattern is found; a missing text holds nothing."""
    found = pc.call_function("match_substring_regex", [texts], pc.MatchSubstringOptions(pattern))
    return found.fill_null(False).to_numpy(zero_copy_only=False)
