"""The rows of a table that supervised fine-tuning learns from: read from disk whenever they are needed, never held.

Their scores, which decide the split, are two numbers a row.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from studio.data.formats import Mapping, to_conversation
from studio.data.records import Conversation
from studio.data.scan_workers import BOTH_CORES, Spread
from studio.data.splits import scores
from studio.data.tables import Outline, Table, rows_of

_BATCH = 1_024


def read_conversations(table: Table, mapping: Mapping) -> Iterator[list[tuple[int, Conversation]]]:
    """Conversations with the ids of their rows, in order, some at a time."""
    needed = mapping.needed(column.name for column in table.columns)
    for rows in table.batches(_BATCH, needed):
        yield [(row.id, found) for row in rows if (found := to_conversation(row, mapping))]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Ids of the rows that are conversations, in order, and the score of each."""

    ids: NDArray[np.int64]
    scores: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Scoring:
    """What a process needs to know to score any row group."""

    table: Outline
    mapping: Mapping
    seed: int
    cost: ClassVar[int] = 1

    def run(self, chunk: int, shard: pa.Table) -> Scored:
        needed = set(self.mapping.needed(column.name for column in self.table.columns))
        places = [place for place, column in enumerate(self.table.columns) if column.name in needed]
        columns = [self.table.columns[place] for place in places]
        ids: list[int] = []
        found: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
        for batch in shard.select([0, *(place + 1 for place in places)]).to_batches(max_chunksize=_BATCH):
            rows = rows_of(pa.table(batch), columns)
            talks = [(row.id, talk) for row in rows if (talk := to_conversation(row, self.mapping))]
            ids += [row for row, _ in talks]
            found.append(scores((talk for _, talk in talks), self.seed))
        return Scored(np.array(ids, np.int64), np.concatenate(found))


def score(
    table: Table, mapping: Mapping, seed: int, spread: Spread = BOTH_CORES, stop: Callable[[], bool] | None = None
) -> Scored:
    """The scores of all conversations. Raises Stopped soon after `stop` says so."""
    done = list(spread(_Scoring(table.outline, mapping, seed), stop))
    return Scored(
        np.concatenate([np.zeros(0, np.int64), *(part.ids for part in done)]),
        np.concatenate([np.zeros(0, np.uint64), *(part.scores for part in done)]),
    )


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
