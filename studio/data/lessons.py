"""The rows of a table that a training method learns from: read from disk whenever they are needed, never held.

Which rows there are, and the scores that decide the split, are a few bytes a row. The split is of all rows that are
training records, whatever is learned from them: a row that validates one method never trains the next.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from studio.data.formats import Mapping, convert
from studio.data.problems import RowProblem
from studio.data.records import (
    DatasetType,
    Passage,
    Preference,
    PromptOnly,
    Rated,
    Record,
    as_conversation,
)
from studio.data.scan_workers import BOTH_CORES, Spread
from studio.data.splits import scores
from studio.data.tables import Outline, Row, Table, rows_of

Learns = Literal["answers", "text", "pairs", "ratings", "prompts"]
"""What a method learns from: an answer to each prompt, plain text, a better and a worse answer, thumbs, or prompts that
the model answers itself."""
LEARNS: tuple[Learns, ...] = get_args(Learns)
_TYPES: dict[Learns, tuple[DatasetType, ...]] = {
    "answers": ("prompt_completion", "conversational", "preference", "unpaired_preference"),
    "text": ("language_modeling",),
    "pairs": ("preference",),
    "ratings": ("unpaired_preference", "preference"),
    "prompts": ("prompt_completion", "conversational", "preference", "unpaired_preference", "prompt_only"),
}
_NATURAL: dict[DatasetType, Learns] = {
    "language_modeling": "text",
    "preference": "pairs",
    "unpaired_preference": "ratings",
}
_BATCH = 1_024


def natural(kind: DatasetType) -> Learns:
    """What rows of this kind are made for: of a preference both answers, not the better one alone."""
    return _NATURAL.get(kind, "answers")


def teaches(kind: DatasetType, learns: Learns) -> bool:
    """Whether rows of this kind hold what is learned."""
    return kind in _TYPES[learns]


def lessons(record: Record, learns: Learns) -> tuple[Record, ...]:
    """What is learned of a record: nothing, itself, or what it is made into; of a preference two ratings."""
    match learns, record:
        case "answers", _:
            talk = as_conversation(record)
            return () if talk is None else (talk,)
        case ("text", Passage()) | ("pairs", Preference()) | ("ratings", Rated()):
            return (record,)
        case "ratings", Preference(prompt, chosen, rejected, tools):
            return Rated(prompt, chosen, True, tools), Rated(prompt, rejected, False, tools)
        case ("prompts", PromptOnly()):
            return (record,)
        case "prompts", Rated(prompt, _, False, tools):
            return (PromptOnly(prompt, tools),)
        case "prompts", _:
            talk = as_conversation(record)
            return () if talk is None else (PromptOnly(talk.prompt, talk.tools, talk.answer),)
    return ()


def read_records(table: Table, mapping: Mapping) -> Iterator[tuple[int, Record]]:
    """Training records with the ids of their rows, in order."""
    needed = mapping.needed(column.name for column in table.columns)
    for rows in table.batches(_BATCH, needed):
        yield from _records(rows, mapping)


def _records(rows: Iterable[Row], mapping: Mapping) -> Iterator[tuple[int, Record]]:
    for row in rows:
        record = convert(row, mapping)
        if not isinstance(record, RowProblem):
            yield row.id, record


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Ids of the rows that are training records, in order, the score of each, and whether an answer is learned of it:
    of thumbs down none is."""

    ids: NDArray[np.int64]
    scores: NDArray[np.uint64]
    answers: NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Sequence["Scored"]) -> "Scored":
        """Of several parts of a table, in order."""
        return cls(
            np.concatenate([np.zeros(0, np.int64), *(part.ids for part in parts)]),
            np.concatenate([np.zeros(0, np.uint64), *(part.scores for part in parts)]),
            np.concatenate([np.zeros(0, bool), *(part.answers for part in parts)]),
        )

    def learned(self, learns: Learns) -> NDArray[np.int64]:
        """Ids of the rows that the method learns from, where rows of this kind teach it anything."""
        return self.ids[self.answers] if learns == "answers" else self.ids


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
        parts = []
        for batch in shard.select([0, *(place + 1 for place in places)]).to_batches(max_chunksize=_BATCH):
            found = list(_records(rows_of(pa.table(batch), columns), self.mapping))
            ids = np.fromiter((row for row, _ in found), np.int64, len(found))
            answers = np.fromiter((bool(lessons(record, "answers")) for _, record in found), bool, len(found))
            parts.append(Scored(ids, scores((record for _, record in found), self.seed), answers))
        return Scored.joined(parts)


def score(
    table: Table, mapping: Mapping, seed: int, spread: Spread = BOTH_CORES, stop: Callable[[], bool] | None = None
) -> Scored:
    """The scores of all training records. Raises Stopped soon after `stop` says so."""
    return Scored.joined(list(spread(_Scoring(table.outline, mapping, seed), stop)))


class Lessons:
    """What a method learns of a table, with the ids of the rows, as often as it is asked for."""

    def __init__(self, table: Table, mapping: Mapping, learns: Learns, count: int) -> None:
        """`count`: how many rows it learns from."""
        self._table = table
        self._mapping = mapping
        self._learns: Learns = learns
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        for row, record in read_records(self._table, self._mapping):
            for lesson in lessons(record, self._learns):
                yield row, lesson


def find_records(table: Table, mapping: Mapping, ids: Iterable[int]) -> dict[int, Record]:
    """The training records of these rows."""
    return dict(_records(table.find(ids).values(), mapping))
