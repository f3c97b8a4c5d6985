"""Which words of two answers differ."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True, slots=True)
class DiffSpan:
    """A piece of an answer. `changed`: the other answer has something else, or nothing, here."""

    text: str
    changed: bool


# Words where a script has spaces between them; single characters of scripts that have none.
_PIECES = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u0e00-\u0e7f]|\s+|\w+?(?=[\u3040-\u30ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u0e00-\u0e7f])|\w+|[^\w\s]"
)
_MAX_PIECES = 10_000


def difference(a: str, b: str) -> tuple[tuple[DiffSpan, ...], tuple[DiffSpan, ...]]:
    """Both texts in spans, those marked that differ: the fewest pieces are. The spans of a text joined are the text."""
    left, right = _PIECES.findall(a), _PIECES.findall(b)
    if max(len(left), len(right)) > _MAX_PIECES:
        left, right = a.splitlines(keepends=True), b.splitlines(keepends=True)
    common_left, common_right = _common(left, right)
    return _spans(left, common_left), _spans(right, common_right)


def _common(a: Sequence[str], b: Sequence[str]) -> tuple[set[int], set[int]]:
    """Places of a longest common subsequence in both.

    Bit-parallel (Hyyrö 2004, "Bit-parallel LCS-length computation revisited"): a row of the table is one integer, so
    that answers of thousands of pieces take milliseconds.
    """
    places: dict[str, int] = {}
    for i, piece in enumerate(a):
        places[piece] = places.get(piece, 0) | 1 << i
    full = (1 << len(a)) - 1
    row, rows = full, []
    for piece in b:
        found = row & places.get(piece, 0)
        row = ((row + found) | (row - found)) & full
        rows.append(row)
    common_a: set[int] = set()
    common_b: set[int] = set()
    i, j = len(a), len(b)
    while i and j:
        if rows[j - 1] >> (i - 1) & 1:
            i -= 1
            continue
        j -= 1
        if not j or rows[j - 1] >> (i - 1) & 1:
            i -= 1
            common_a.add(i)
            common_b.add(j)
    return common_a, common_b


def _spans(pieces: Sequence[str], common: set[int]) -> tuple[DiffSpan, ...]:
    runs = groupby(range(len(pieces)), key=lambda i: i not in common)
    return tuple(DiffSpan("".join(pieces[i] for i in places), changed) for changed, places in runs)
