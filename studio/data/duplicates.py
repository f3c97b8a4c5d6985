"""Rows that say the same."""

from collections.abc import Iterable

from studio.data.formats import Conversation


def exact_duplicates(rows: Iterable[tuple[int, Conversation]]) -> dict[int, int]:
    """Row id of every repetition -> id of the row it repeats: same turns, spaces at the ends aside.

    Other columns do not count: an id or a date makes no new lesson.
    """
    first: dict[tuple[tuple[str, str], ...], int] = {}
    repeated = {}
    for row_id, conversation in rows:
        key = tuple((message.role, message.content.strip()) for message in conversation.messages)
        original = first.setdefault(key, row_id)
        if original != row_id:
            repeated[row_id] = original
    return repeated
