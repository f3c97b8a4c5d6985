"""The rows of a table that supervised fine-tuning learns from: read from disk whenever they are needed, never held.

Their scores, which decide the split, are two numbers a row.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio.data.formats import Mapping, to_conversation
from studio.data.records import Conversation
from studio.data.scan import SMALL
from studio.data.scan_workers import spread
from studio.data.splits import scores
from studio.data.tables import Table
from studio.errors import Stopped

_BATCH = 1_024


def read_conversations(
    table: Table, mapping: Mapping, groups: Sequence[int] | None = None
) -> Iterator[list[tuple[int, Conversation]]]:
    """Conversations with the ids of their rows, in order, some at a time; `groups`: of these row groups only."""
    needed = mapping.needed(column.name for column in table.columns)
    for rows in table.batches(_BATCH, needed, groups):
        yield [(row.id, found) for row in rows if (found := to_conversation(row, mapping))]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Ids of the rows that are conversations, in order, and the score of each."""

    ids: NDArray[np.int64]
    scores: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Scoring:
    """What a process needs to know to score any row group."""

    path: Path
    mapping: Mapping
    seed: int

    def run(self, group: int) -> Scored:
        ids: list[int] = []
        found: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
        for batch in read_conversations(Table(self.path), self.mapping, [group]):
            ids += [row for row, _ in batch]
            found.append(scores((talk for _, talk in batch), self.seed))
        return Scored(np.array(ids, np.int64), np.concatenate(found))


def score(
    table: Table, mapping: Mapping, seed: int, workers: int = 2, stop: Callable[[], bool] | None = None
) -> Scored:
    """The scores of all conversations. Raises Stopped soon after `stop` says so."""
    work = _Scoring(table.path, mapping, seed)
    many = workers > 1 and table.groups > 1 and table.rows >= SMALL
    parts = spread(work, table.groups, min(workers, table.groups), stop) if many else _one_by_one(work, table, stop)
    done = list(parts)
    return Scored(
        np.concatenate([np.zeros(0, np.int64), *(part.ids for part in done)]),
        np.concatenate([np.zeros(0, np.uint64), *(part.scores for part in done)]),
    )


def _one_by_one(work: _Scoring, table: Table, stop: Callable[[], bool] | None) -> Iterator[Scored]:
    for group in range(table.groups):
        if stop and stop():
            raise Stopped("error.stopped")
        yield work.run(group)


class Conversations:
    """The conversations of a table and the ids of their rows, as often as they are asked for."""

    def __init__(self, table: Table, mapping: Mapping, count: int) -> None:
        """`count`: how many there are."""
        self._table = table
        self._mapping = mapping
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[int, Conversation]]:
        for batch in read_conversations(self._table, self._mapping):
            yield from batch

    def find(self, ids: Iterable[int]) -> dict[int, Conversation]:
        """Those of these rows."""
        rows = self._table.find(ids)
        return {i: found for i, row in rows.items() if (found := to_conversation(row, self._mapping))}
