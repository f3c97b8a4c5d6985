"""A second answer in a table that is read as questions with one answer each: with it the rows are preference pairs."""

import re
from collections.abc import Sequence

from studio.data.layouts import ABOUT, Seen
from studio.data.mapping import Mapping
from studio.data.tables import Column, Row

_ANSWERS = re.compile("answer|response|output|completion|reply|rejected|worse|回答|応答|解答|返答|返信|答え|出力")
_ABOUT_ANSWERS = ABOUT | {"type", "kind", "format", "style", "reason", "key"}


def as_pairs(mapping: Mapping, columns: Sequence[Column], rows: Sequence[Row]) -> Mapping | None:
    """The same rows as preference pairs: the answer that is mapped is the better one, another column that seems to hold
    answers the worse. None where there is none. To be looked at: no table says which of two answers is better."""
    seen = Seen(columns, rows)
    if mapping.prompt is None or mapping.answer is None:
        return None
    found = seen.preference()
    if found is not None:
        return found
    answer = mapping.answer
    worse = next((column.name for column in columns if _is_second(column.name, answer, mapping, seen)), None)
    if worse is None:
        return None
    parts = {"layout": "preference", "answer": None, "label": None, "chosen": answer, "rejected": worse}
    return mapping.model_copy(update=parts)


def _is_second(name: str, answer: str, mapping: Mapping, seen: Seen) -> bool:
    """Whether a column is named as answers are, is not read yet, and says something of its own in most rows."""
    words = set(re.split(r"[\W_]+", name.casefold()))
    if (
        name in mapping.columns
        or words & _ABOUT_ANSWERS
        or not _ANSWERS.search(name.casefold())
        or not seen.is_text(name)
    ):
        return False
    pairs = [(row.values.get(answer), row.values.get(name)) for row in seen.rows]
    others = [other for own, other in pairs if isinstance(other, str) and other.strip() and other != own]
    return 2 * len(others) > len(pairs) and 2 * len(set(others)) > len(others)
