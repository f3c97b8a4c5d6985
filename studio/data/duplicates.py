"""Rows that say the same."""

from collections.abc import Iterable

from studio.data.records import Record, record_sides


def exact_duplicates(rows: Iterable[tuple[int, Record]]) -> dict[int, int]:
    """Row id of every repetition -> id of the row it repeats: same turns, spaces at the ends aside.

    Other columns do not count: an id or a date makes no new lesson.
    """
    first: dict[tuple[tuple[tuple[str, str], ...], ...], int] = {}
    repeated = {}
    for row_id, record in rows:
        key = tuple(tuple((turn.role, turn.text.strip()) for turn in side) for side in record_sides(record))
        original = first.setdefault(key, row_id)
        if original != row_id:
            repeated[row_id] = original
    return repeated
