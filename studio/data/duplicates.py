"""Rows that say the same."""

import hashlib
import unicodedata
from collections.abc import Iterable

import numpy as np

from studio.data.problems import RowProblem
from studio.data.records import Conversation, Message, Messages, Passage, Record, record_sides


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


def hashes_of(keys: Iterable[str | None]) -> np.ndarray:
    """64 bits of BLAKE2b of each: among ten million texts, two that differ share one with a chance of 3 in a million.
    0 of None.
    """
    return np.frombuffer(b"".join(map(_digest, keys)), "<u8")


_EMPTY = hashlib.blake2b(digest_size=8)


def _digest(key: str | None) -> bytes:
    if key is None:
        return bytes(8)
    digest = _EMPTY.copy()  # making a new one takes longer
    digest.update(key.encode("utf-8", "surrogatepass"))
    return digest.digest()


def record_key(record: Record | RowProblem) -> str | None:
    """Equal for rows that are exact duplicates of each other; None of a row that is no record."""
    if isinstance(record, RowProblem):
        return None
    if isinstance(record, Conversation) and not record.calls:  # the usual, without making its last turn
        turns = [f"{turn.role}\1{_said(turn).strip()}" for turn in record.prompt]
        return "\0".join([*turns, f"assistant\1{record.answer.strip()}"])
    sides = ["\0".join([f"{turn.role}\1{_said(turn).strip()}" for turn in side]) for side in record_sides(record)]
    return "\2".join(sides)


def prompt_key(record: Record | RowProblem) -> str | None:
    """Equal for rows that ask the same: case, width and spaces do not count. None of a row that asks nothing."""
    if isinstance(record, RowProblem) or not (turns := asked(record)):
        return None
    return "\0".join([f"{turn.role}\1{plain(_said(turn))}" for turn in turns])


def pair_keys(prompt: str, answer: str) -> tuple[str, str]:
    """Both keys of a question and its answer, each of one text, without making their record."""
    return f"user\1{prompt.strip()}\0assistant\1{answer.strip()}", f"user\1{plain(prompt)}"


def _said(turn: Message) -> str:
    return turn.text if turn.tool_calls else turn.content  # the usual is spared a join


def asked(record: Record) -> Messages:
    """The turns before the answer; a passage has none."""
    return () if isinstance(record, Passage) else record.prompt


def plain(text: str) -> str:
    """The text without differences of case, width and spaces."""
    folded = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(folded.casefold().split())


def first_copies(hashes: np.ndarray) -> np.ndarray:
    """Of each place the first place of the same hash: its own if there is none before."""
    _, first, place = np.unique(hashes, return_index=True, return_inverse=True)
    return first[place]


def later_copies(hashes: np.ndarray) -> np.ndarray:
    """Places whose hash stands at an earlier place too, in order."""
    return np.flatnonzero(first_copies(hashes) != np.arange(len(hashes)))


def groups_that_differ(hashes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Whether each place shares its hash with a place of another value."""
    order = np.argsort(hashes, kind="stable")
    if not len(order):
        return np.zeros(0, bool)
    starts = np.flatnonzero(np.r_[True, hashes[order][1:] != hashes[order][:-1]])
    ordered = values[order]
    differ = np.minimum.reduceat(ordered, starts) != np.maximum.reduceat(ordered, starts)
    found = np.zeros(len(hashes), bool)
    found[order] = np.repeat(differ, np.diff(np.r_[starts, len(order)]))
    return found
