"""Seeded training/validation/test split that follows the content of rows, so that it is stable and nothing leaks.

Every row has a score, a hash of what it says and of the seed. The lowest scores validate, the highest test, and the
rows between are trained on, lowest first: a larger validation share adds rows to validation and moves no test row, and
the first quarter of the training rows lies within their first half.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, Field

from studio.data.records import Record, record_sides

Ids = NDArray[np.int64]


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


class SplitSpec(BaseModel, frozen=True, extra="forbid"):
    """Which part of the rows is kept out of training, and which part of the rest is trained on.

    `stratify`: a column whose values are as frequent on every side. `train_share`: the part of the training rows that
    is used, the others lie idle; smaller parts lie within larger ones.
    """

    validation_share: Annotated[float, Field(ge=0, le=0.5, json_schema_extra={"level": "basic"})] = 0.1
    test_share: Annotated[float, Field(ge=0, le=0.4)] = 0.0
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    group_near_duplicates: bool = False
    stratify: Annotated[str | None, BeforeValidator(_none_if_empty)] = None
    train_share: Annotated[float, Field(gt=0, le=1)] = 1.0


TESTED_FROM = 200
"""Rows from which on a new data set keeps some for testing: of fewer too few would be left to learn from."""
_TEST_SHARE, _MOST_TESTED = 0.1, 500


def first_split(rows: int) -> SplitSpec:
    """How a new data set of so many rows is split until somebody says otherwise: a tenth validates and, where there are
    enough, a tenth but no more than some hundred rows are kept for testing."""
    if rows < TESTED_FROM:
        return SplitSpec()
    return SplitSpec(test_share=min(_TEST_SHARE, _MOST_TESTED / rows))


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Row ids of each side, in the order of the rows. `idle` rows are on none: left out by `train_share`."""

    train: Ids
    validation: Ids
    test: Ids
    idle: Ids


def split(
    rows: Sequence[tuple[int, Record]],
    spec: SplitSpec,
    clusters: NDArray[np.int64] | None = None,
    strata: Sequence[object] | None = None,
) -> Split:
    """Split by a seeded hash of each record: the same rows fall on the same side in whatever order they come,
    and rows that differ only in case, width or spaces stay together. Some row is always left to train on; with two
    different rows or more and a share above 0, some row validates (with three and a test share, some row tests).

    `clusters` and `strata` are of these rows, in their order: equal numbers stay on one side, and each stratum has
    its share on every side.
    """
    ids = np.fromiter((row_id for row_id, _ in rows), np.int64, len(rows))
    return assign(ids, scores((record for _, record in rows), spec.seed), spec, clusters, strata_codes(strata))


def scores(records: Iterable[Record], seed: int) -> NDArray[np.uint64]:
    """The score of each record: its seeded hash as a number. A preference is scored by its chosen side."""
    return np.frombuffer(b"".join(_score(record, seed) for record in records), ">u8").astype(np.uint64)


def _score(record: Record, seed: int) -> bytes:
    parts = [str(seed)]
    for message in record_sides(record)[0]:
        text = " ".join(unicodedata.normalize("NFKC", message.text).casefold().split())
        parts += [message.role, text]
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).digest()[:8]


def strata_codes(values: Iterable[object] | None) -> NDArray[np.int64] | None:
    """A number for each different value, whatever its type."""
    if values is None:
        return None
    known: dict[str, int] = {}
    met = np.fromiter((known.setdefault(repr(value), len(known)) for value in values), np.int64)
    place = {value: number for number, value in enumerate(sorted(known))}  # the order of the values, not of the rows
    return np.fromiter((place[value] for value in known), np.int64)[met]


def assign(
    ids: Ids,
    scores: NDArray[np.uint64],
    spec: SplitSpec,
    clusters: NDArray[np.int64] | None = None,
    strata: NDArray[np.int64] | None = None,
) -> Split:
    """The split of rows by their scores; all arrays are of the same rows. Rows of equal score or cluster form groups
    that are never torn; a group has the score and the stratum of its lowest member."""
    if not len(ids):
        return Split(ids, ids, ids, ids)
    groups = _Groups.of(scores, clusters, strata)
    side = np.zeros(groups.count, np.int8)
    rows = len(ids)

    wanted = round(rows * spec.validation_share)
    if spec.validation_share and groups.count > 1:
        wanted = max(1, min(wanted, rows - 2) if spec.test_share else wanted)
    side[_choose(groups, np.arange(groups.count), wanted, spec.validation_share)] = 1

    free = np.flatnonzero(side == 0)[::-1]
    left = int(groups.sizes[free].sum())
    wanted = min(round(rows * spec.test_share), left - 1)
    if spec.test_share and len(free) > 1:
        wanted = max(1, wanted)
    side[_choose(groups, free, wanted, spec.test_share)] = 2

    if spec.train_share < 1:
        used = np.flatnonzero(side == 0)
        wanted = max(1, round(int(groups.sizes[used].sum()) * spec.train_share))
        # Not `_choose`, which skips what does not fit: whole groups in order, so that smaller parts lie within larger.
        before = np.cumsum(groups.sizes[used]) - groups.sizes[used]
        side[used[before >= wanted]] = 3
    of_row = side[groups.of_row]
    return Split(*(ids[of_row == number] for number in range(4)))


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Groups in the order of their scores: rows in each, the stratum of each, and the group of every row."""

    sizes: NDArray[np.int64]
    strata: NDArray[np.int64] | None
    of_row: NDArray[np.int64]

    @property
    def count(self) -> int:
        return len(self.sizes)

    @classmethod
    def of(
        cls, scores: NDArray[np.uint64], clusters: NDArray[np.int64] | None, strata: NDArray[np.int64] | None
    ) -> "_Groups":
        _, label = np.unique(scores, return_inverse=True)
        if clusters is not None:
            _, other = np.unique(clusters, return_inverse=True)
            label = _joined(label, other)
        lowest = np.full(int(label.max()) + 1, np.iinfo(np.uint64).max, np.uint64)
        np.minimum.at(lowest, label, scores)
        order = np.argsort(lowest, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        of_row = place[label]
        if strata is None:
            return cls(np.bincount(of_row), None, of_row)
        # The stratum of the lowest member; of equal scores the lowest stratum, so that the order of rows says nothing.
        by = np.lexsort((strata, scores, of_row))
        first = np.searchsorted(of_row[by], np.arange(len(order)))
        return cls(np.bincount(of_row), strata[by][first], of_row)


def _joined(a: NDArray[np.intp], b: NDArray[np.intp]) -> NDArray[np.intp]:
    """One label from two: rows that share either, or are linked by others that do, share it."""
    label = a
    while True:
        lowest = np.full(int(b.max()) + 1, len(a), label.dtype)
        np.minimum.at(lowest, b, label)
        through_b = lowest[b]
        lowest = np.full(int(a.max()) + 1, len(a), label.dtype)
        np.minimum.at(lowest, a, through_b)
        through_a = lowest[a]
        if np.array_equal(through_a, label):
            return np.unique(label, return_inverse=True)[1]
        label = through_a


def _choose(groups: _Groups, order: NDArray[np.intp], wanted: int, share: float) -> NDArray[np.intp]:
    """Groups of `order`, the first that fit, that together hold `wanted` rows or a little less; of every stratum
    its share."""
    if wanted <= 0:
        return order[:0]
    if groups.strata is None:
        chosen = _fill(groups.sizes, order, wanted)
    else:
        chosen = np.concatenate(
            [_fill(groups.sizes, part, count) for part, count in _shares(groups, order, wanted, share)]
        )
    if not len(chosen):
        smallest = order[np.argmin(groups.sizes[order])]
        if groups.sizes[smallest] < groups.sizes[order].sum():
            return np.array([smallest])
    return chosen


def _shares(groups: _Groups, order: NDArray[np.intp], wanted: int, share: float) -> list[tuple[NDArray[np.intp], int]]:
    """The groups of each stratum and how many of its rows are wanted: rounded so that the sum is `wanted` (the largest
    remainders go up; Hare's method)."""
    assert groups.strata is not None
    every = np.unique(groups.strata)
    parts = [order[groups.strata[order] == stratum] for stratum in every]
    rows = [int(groups.sizes[groups.strata == stratum].sum()) for stratum in every]
    exact = [share * count for count in rows]
    counts = [floor(value) for value in exact]
    first = [int(part[0]) if len(part) else groups.count for part in parts]
    up = sorted(range(len(every)), key=lambda i: (counts[i] - exact[i], first[i]))
    for i in up[: max(0, wanted - sum(counts))]:
        counts[i] += 1
    return list(zip(parts, counts, strict=True))


def _fill(sizes: NDArray[np.int64], order: NDArray[np.intp], wanted: int) -> NDArray[np.intp]:
    """Groups in order, those that no longer fit passed by. Each turn takes all up to the first that does not fit and
    passes by all of its size or more, so there are no more turns than different sizes."""
    taken = [order[:0]]
    while wanted > 0 and len(order):
        order = order[sizes[order] <= wanted]
        fit = int(np.searchsorted(np.cumsum(sizes[order]), wanted, side="right"))
        taken.append(order[:fit])
        wanted -= int(sizes[order[:fit]].sum())
        order = order[fit:]
    return np.concatenate(taken)
