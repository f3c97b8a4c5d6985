"""Thumbs up or down, as files write it."""

from typing import Any

_TRUE = frozenset(("true", "yes", "good", "up", "1", "👍", "はい", "良い"))
_FALSE = frozenset(("false", "no", "bad", "down", "0", "👎", "いいえ", "悪い"))


def read_label(cell: Any) -> bool | None:
    """Thumbs up or down: a truth value, 1 or 0, or a word for one."""
    if isinstance(cell, bool):
        return cell
    if isinstance(cell, float):  # a column of numbers with gaps
        return {1.0: True, 0.0: False}.get(cell)
    word = str(cell).strip().casefold() if isinstance(cell, str | int) else ""
    return True if word in _TRUE else False if word in _FALSE else None
