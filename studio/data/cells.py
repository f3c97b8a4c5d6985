"""The texts inside a cell, however deep they are nested."""

from collections.abc import Callable
from typing import Any

from studio.data.formats import Mapping
from studio.data.tables import Row


def row_texts(row: Row, mapping: Mapping) -> list[str]:
    """Every text of the columns the model will see."""
    found: list[str] = []
    for name in mapping.columns:
        _gather(row.values.get(name), found)
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
