"""Splits of the versions in the workspace, from two numbers a row that are kept beside the table."""

import hashlib
import json
import os
import random
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from studio.backend.scans import Asked, Scans
from studio.backend.work import Stopping, Turns
from studio.data.checks import Found
from studio.data.cleaning import TABLE_FILE
from studio.data.code_version import CODE_VERSION
from studio.data.lessons import Learns, Lessons, Scored, find_records, score, teaches
from studio.data.mapping import Mapping
from studio.data.records import Conversation, Message, Record, as_conversation, record_sides
from studio.data.scan_workers import BOTH_CORES, SMALL, Spread
from studio.data.set_checks import split_leak
from studio.data.splits import Split, SplitSpec, assign, strata_codes
from studio.data.tables import Table
from studio.errors import DataError
from studio.runs.store import Store, disk_full, is_disk_full

# Scores of one version (of other mappings and seeds) that are kept on disk, and of all versions in memory.
_KEPT = 4
_HELD = 4
_FIND_ROWS = 256


@dataclass(frozen=True, slots=True)
class SplitRow:
    """A row that is kept out of training, to be looked at."""

    row_id: int
    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Stratum:
    """Rows with one value of a column, on each side of a split."""

    value: Any
    train: int
    validation: int
    test: int


class Splits:
    """Splits versions; holds numbers, never rows."""

    def __init__(self, store: Store, scans: Scans, spread: Spread = BOTH_CORES) -> None:
        self._spread = spread
        self._store = store
        self._scans = scans
        self._turns = Turns()
        self._held: OrderedDict[tuple[str, Mapping, int], Scored] = OrderedDict()
        self._splits = lru_cache(maxsize=8)(self._split)
        self._leaks = lru_cache(maxsize=16)(self._leak)

    def lessons(self, version: str, mapping: Mapping, learns: Learns) -> Lessons:
        """What is learned of a version, read from disk whenever it is gone through."""
        held = next((found for key, found in self._held.copy().items() if key[:2] == (version, mapping)), None)
        scored = held or self._scored(version, mapping, 0)
        count = len(scored.learned(learns)) if teaches(mapping.dataset_type, learns) else 0
        return Lessons(self._table(version), mapping, learns, count)

    def split(self, version: str, mapping: Mapping, spec: SplitSpec) -> Split:
        """Ids of the rows on each side; rows that are no training records are on none."""
        return self._splits(version, mapping, spec)

    def counts(self, version: str, mapping: Mapping, spec: SplitSpec, learns: Learns) -> tuple[int, int, int]:
        """Rows that are learned from on each side: (train, validation, test)."""
        if not teaches(mapping.dataset_type, learns):
            return 0, 0, 0
        parts = self.split(version, mapping, spec)
        learned = self._scored(version, mapping, spec.seed).learned(learns)
        sides = (parts.train, parts.validation, parts.test)
        train, validation, test = (len(np.intersect1d(side, learned, assume_unique=True)) for side in sides)
        return train, validation, test

    def leak_is_there(self, asked: Asked, spec: SplitSpec) -> bool:
        """Whether `leak` takes no reading of all rows, or only of few."""
        key = (asked.version, asked.mapping, spec.seed)
        return (
            not _may_leak(spec)
            or key in self._held
            or self._file(*key).is_file()
            or self._table(asked.version).rows < SMALL
        )

    def leak(self, asked: Asked, spec: SplitSpec, stopping: Stopping | None = None) -> Found | None:
        """What this split lets leak; None where it keeps near duplicates together or nothing back."""
        if not _may_leak(spec):
            return None
        self._scored(asked.version, asked.mapping, spec.seed, stopping)
        return self._leaks(self._scans.key(asked), asked, spec)

    def _leak(self, _: str, asked: Asked, spec: SplitSpec) -> Found:
        parts = self.split(asked.version, asked.mapping, spec)
        kept_back = np.concatenate([parts.validation, parts.test])
        return split_leak(parts.train, kept_back, self._scans.get(asked).scan.features)

    def rows(self, version: str, mapping: Mapping, ids: NDArray[np.int64]) -> tuple[SplitRow, ...]:
        """The last question of these rows, and its answer; of a passage its text."""
        found = find_records(self._table(version), mapping, ids.tolist())
        return tuple(_split_row(i, found[i]) for i in ids.tolist() if i in found)

    def examples(
        self, version: str, mapping: Mapping, spec: SplitSpec, limit: int
    ) -> tuple[tuple[tuple[Message, ...], str], ...]:
        """Prompts of the validation split with their expected answers (of the training split if there is none).

        Those that need tools are left out: a chat with the model has none.
        """
        parts = self.split(version, mapping, spec)
        table = self._table(version)
        for ids in (parts.validation, parts.train):
            found: list[Conversation] = []
            for some in _batches(ids.tolist()):
                records = find_records(table, mapping, some)
                talks = [as_conversation(records[i]) for i in some if i in records]
                found += [talk for talk in talks if talk and not talk.uses_tools]
                if len(found) >= limit:
                    break
            if found:
                return tuple((tuple(c.prompt), c.last.text) for c in found[:limit])
        return ()

    def shots(
        self, version: str, mapping: Mapping, spec: SplitSpec, count: int
    ) -> tuple[tuple[tuple[Message, ...], str], ...]:
        """Training rows to be shown to a model that was not tuned, each with its answer: drawn at random, the same ones
        for one seed of the split. Those that need tools are left out."""
        ids = self.split(version, mapping, spec).train.tolist()
        random.Random(spec.seed).shuffle(ids)
        table = self._table(version)
        found: list[Conversation] = []
        for some in _batches(ids):
            records = find_records(table, mapping, some)
            talks = [as_conversation(records[i]) for i in some if i in records]
            found += [talk for talk in talks if talk and not talk.uses_tools]
            if len(found) >= count:
                break
        return tuple((tuple(c.prompt), c.last.text) for c in found[:count])

    def _split(self, version: str, mapping: Mapping, spec: SplitSpec) -> Split:
        scored = self._scored(version, mapping, spec.seed)
        places = None
        if spec.group_near_duplicates:
            features = self._scans.features(version, mapping)
            places = features["cluster"].to_numpy()[np.searchsorted(features["id"].to_numpy(), scored.ids)]
        return assign(scored.ids, scored.scores, spec, places, self._strata(version, scored.ids, spec.stratify))

    def _strata(self, version: str, ids: NDArray[np.int64], column: str | None) -> NDArray[np.int64] | None:
        if column is None:
            return None
        table = self._table(version)
        known = [c.name for c in table.columns]
        if column not in known:
            raise DataError("error.split.unknown_column", column=column, known=", ".join(known))
        every: list[NDArray[np.int64]] = []

        def values() -> Iterator[object]:
            for batch in table.batches(columns=[column]):
                every.append(np.fromiter((row.id for row in batch), np.int64, len(batch)))
                yield from (row.values[column] for row in batch)

        codes = strata_codes(values())
        return None if codes is None else codes[np.searchsorted(np.concatenate(every), ids)]

    def strata(self, version: str, mapping: Mapping, spec: SplitSpec) -> tuple[Stratum, ...]:
        """How the values of `spec.stratify` fall on the sides, most frequent first; nothing where there is none."""
        if spec.stratify is None:
            return ()
        parts = self.split(version, mapping, spec)
        sides = (parts.train, parts.validation, parts.test)
        ids = np.concatenate(sides)
        order = np.argsort(ids)
        ids, side = ids[order], np.repeat(np.arange(3), [len(part) for part in sides])[order]
        counts: dict[str, tuple[Any, list[int]]] = {}
        for batch in self._table(version).batches(columns=[spec.stratify]):
            places = np.searchsorted(ids, [row.id for row in batch])
            for row, place in zip(batch, places.tolist(), strict=True):
                if place < len(ids) and ids[place] == row.id:
                    value = row.values[spec.stratify]
                    counts.setdefault(repr(value), (value, [0, 0, 0]))[1][side[place]] += 1
        made = (Stratum(value, *count) for value, count in counts.values())
        return tuple(sorted(made, key=lambda one: -(one.train + one.validation + one.test)))

    # Scores

    def _scored(self, version: str, mapping: Mapping, seed: int, stopping: Stopping | None = None) -> Scored:
        key = (version, mapping, seed)
        with self._turns.of(version, stopping):
            found = self._held.get(key) or _load(self._file(*key))
            if found is None:
                table = self._table(version)
                found = score(table, mapping, seed, self._spread, stopping)
                if table.rows >= SMALL and not self._store.read_only:
                    _keep(found, self._file(*key))
            self._held[key] = found
            self._held.move_to_end(key)
            while len(self._held) > _HELD:
                self._held.popitem(last=False)
        return found

    def _file(self, version: str, mapping: Mapping, seed: int) -> Path:
        parts = [CODE_VERSION, mapping.model_dump(mode="json"), seed]
        name = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
        return self._store.version_folder(version) / "scores" / f"{name}.parquet"

    def _table(self, version: str) -> Table:
        return Table(self._store.version_folder(self._store.version(version).id) / TABLE_FILE)


def _may_leak(spec: SplitSpec) -> bool:
    return not spec.group_near_duplicates and bool(spec.validation_share or spec.test_share)


def _load(path: Path) -> Scored | None:
    """None where there are none that can be read: they are made again."""
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        answers = table["answers"].to_numpy(zero_copy_only=False)
        return Scored(table["id"].to_numpy(), table["score"].to_numpy(), answers)
    except (OSError, KeyError, pa.ArrowException):
        return None


def _keep(scored: Scored, path: Path) -> None:
    """Whole or not at all; the oldest go."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        table = pa.table({"id": scored.ids, "score": scored.scores, "answers": scored.answers})
        pq.write_table(table, partial, compression="none", use_dictionary=False, write_page_checksum=True)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if is_disk_full(error):
            raise disk_full(path.parent) from None
        raise
    kept = sorted(path.parent.iterdir(), key=lambda item: item.stat().st_mtime_ns, reverse=True)
    for old in kept[_KEPT:]:
        old.unlink(missing_ok=True)


def _split_row(row_id: int, record: Record) -> SplitRow:
    *before, last = record_sides(record)[0]
    return SplitRow(row_id, before[-1].text if before else "", last.text)


def _batches(ids: list[int]) -> Iterable[list[int]]:
    return (ids[begin : begin + _FIND_ROWS] for begin in range(0, len(ids), _FIND_ROWS))
