"""A table of rows kept as Parquet: paged, sorted, searched and read in batches, never held as a whole.

On disk the columns are called `id, c0, c1, ...`, so that any name can be shown (empty, equal but for case, emoji).
Text columns are stored as they are, all others as JSON text, so that nested and mixed values come back unchanged.
A row's id is its number in the source file, from 1; it stays the same through all versions.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from studio.data.table_order import sorted_places
from studio.data.table_search import THREADS, Places, found_places, id_places, matching_places
from studio.data.table_writer import FINGERPRINT, META, Digest, Row, TableWriter
from studio.errors import DataError

__all__ = ["Cells", "Column", "Note", "Outline", "Row", "Table", "TableWriter", "rows_of", "write_table"]

_BATCH_ROWS = 8_192
_NO_ID = 2**63


@dataclass(frozen=True, slots=True)
class Column:
    """`type`: text, integer, number, boolean, list, object, mixed (several of them), or empty."""

    name: str
    type: str

    @property
    def is_json(self) -> bool:
        """Whether its cells are kept as JSON."""
        return self.type not in ("text", "empty")


@dataclass(frozen=True, slots=True)
class Note:
    """Something told about a file that was opened: a sentence key and its values."""

    key: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cells:
    """One row as short texts, one per column: for a table on the page."""

    id: int
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """What is to be known of a table by who is given its row groups one by one."""

    path: Path
    columns: tuple[Column, ...]
    rows: int


def write_table(rows: Iterable[Row], path: Path) -> None:
    """Write rows as a table, whole or not at all."""
    with TableWriter(path) as writer:
        writer.add(rows)


class Table:
    """A table on disk. Reads what it needs; holds nothing open.

    Where rows are chosen, `search` keeps those that hold this text in any column (case does not matter), and `ids`
    those whose id is in the column `id` of this Parquet file. `order` is a column to sort by; None is the order of
    the file. Numbers are sorted as numbers, all else as text by code points; empty cells come last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _meta(self) -> pq.FileMetaData:
        try:
            return pq.read_metadata(self.path)
        except FileNotFoundError:
            raise DataError("error.dataset.rows_gone", file=str(self.path)) from None

    @property
    def rows(self) -> int:
        return self._meta.num_rows

    @property
    def held_bytes(self) -> int:
        """What all cells take when they are not squeezed."""
        return sum(self._meta.row_group(i).total_byte_size for i in range(self._meta.num_row_groups))

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        meta = self._meta.metadata or {}
        return tuple(Column(*item) for item in json.loads(meta[META]))

    @cached_property
    def starts(self) -> Places:
        """At which row each row group begins, and the end."""
        counts = [self._meta.row_group(i).num_rows for i in range(self._meta.num_row_groups)]
        return np.cumsum([0, *counts])

    def page(
        self,
        offset: int,
        limit: int,
        search: str | None = None,
        order: str | None = None,
        descending: bool = False,
        ids: Path | None = None,
        columns: Sequence[str] | None = None,
    ) -> list[Row]:
        """Rows `offset` to `offset + limit` of those chosen; `columns` are those wanted, all by default."""
        places, kept = self._places(offset, limit, search, order, descending, ids), self._kept(columns)
        return rows_of(self._fetch(places, kept), [self.columns[place] for place in kept])

    def cells(
        self,
        offset: int,
        limit: int,
        search: str | None = None,
        width: int = 300,
        order: str | None = None,
        descending: bool = False,
        ids: Path | None = None,
        columns: Sequence[str] | None = None,
    ) -> list[Cells]:
        """The same page as texts of at most `width` characters: quick even where a cell holds megabytes."""
        places = self._places(offset, limit, search, order, descending, ids)
        found = self._fetch(places, self._kept(columns))
        short = [_cut(column, width + 1).to_pylist() for column in found.columns[1:]]
        texts = zip(*short, strict=True) if short else ((),) * found.num_rows
        return [
            Cells(row, tuple(_short(text, width) for text in item))
            for row, item in zip(found["id"].to_pylist(), texts, strict=True)
        ]

    def count(self, search: str | None = None, ids: Path | None = None) -> int:
        """How many rows are chosen."""
        chosen = self._chosen(search, ids)
        return self.rows if chosen is None else len(chosen)

    def find(self, ids: Iterable[int], columns: Sequence[str] | None = None) -> dict[int, Row]:
        """The rows of these ids, where they are in this table; `columns` are those wanted, all by default."""
        kept = self._kept(columns)
        found = self._fetch(self._at(ids), kept)
        return {row.id: row for row in rows_of(found, [self.columns[place] for place in kept])}

    def position(self, row: int) -> int | None:
        """Where the row of this id stands in the table, from 0; None when it is not there."""
        places = self._at([row])
        return int(places[0]) if len(places) else None

    def text_bytes(self, columns: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all rows (int64), and how many UTF-8 bytes these columns hold in each (int64), in order.

        Nested values count as their JSON text does.
        """
        places = [i for i, column in enumerate(self.columns) if column.name in columns]
        ids, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        with pq.ParquetFile(self.path, memory_map=True) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=["id", *(f"c{i}" for i in places)]):
                total = np.zeros(len(batch), np.int64)
                for cells in batch.columns[1:]:
                    total += pc.call_function("binary_length", [cells]).fill_null(0).to_numpy()
                ids.append(batch.columns[0].to_numpy())
                sizes.append(total)
        return np.concatenate(ids), np.concatenate(sizes)

    def _at(self, ids: Iterable[int]) -> Places:
        known = [row for row in ids if abs(row) < _NO_ID]
        return found_places(self.path, self._meta, np.array(known, np.int64))

    def read(self) -> Iterator[Row]:
        """Every row, in order."""
        for batch in self.batches():
            yield from batch

    def batches(self, size: int = _BATCH_ROWS, columns: Sequence[str] | None = None) -> Iterator[list[Row]]:
        """Every row, in order, so many at a time; `columns` are those wanted, all by default."""
        names = [column.name for column in self.columns]
        wanted = names if columns is None else [name for name in names if name in set(columns)]
        stored = [f"c{names.index(name)}" for name in wanted]
        kept = [self.columns[names.index(name)] for name in wanted]
        with pq.ParquetFile(self.path, memory_map=True) as file:
            for batch in file.iter_batches(batch_size=size, columns=["id", *stored]):
                yield rows_of(pa.table(batch), kept)

    @property
    def outline(self) -> Outline:
        return Outline(self.path, self.columns, self.rows)

    @property
    def groups(self) -> int:
        """How many row groups the file has; each can be read on its own."""
        return self._meta.num_row_groups

    def shard(self, group: int) -> pa.Table:
        """One row group as it is stored: `id, c0, c1, ...`."""
        with pq.ParquetFile(self.path, memory_map=True) as file:
            return file.read_row_group(group)

    @property
    def first_ids(self) -> list[int]:
        """Id of the first row of every row group; ids rise through a table."""
        with pq.ParquetFile(self.path) as file:
            return [file.read_row_group(group, columns=["id"])["id"][0].as_py() for group in range(self.groups)]

    @property
    def last_id(self) -> int:
        with pq.ParquetFile(self.path) as file:
            return file.read_row_group(self.groups - 1, columns=["id"])["id"][-1].as_py()

    def fingerprint(self) -> str:
        """SHA-256 of names, types and values in order; equal data has an equal one wherever it came from."""
        known = (self._meta.metadata or {}).get(FINGERPRINT)
        if known is not None:
            return known.decode()
        digest = Digest()
        with pq.ParquetFile(self.path, memory_map=True) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                digest.update(pa.table(batch))
        return digest.hexdigest([(c.name, c.type) for c in self.columns])

    def _chosen(self, search: str | None, ids: Path | None, need: int | None = None) -> Places | None:
        """Places in the file of the rows chosen, in order; None when all are. At least `need` of them will do."""
        found = (
            matching_places(self.path, tuple(column.type for column in self.columns), search, None if ids else need)
            if search
            else None
        )
        if ids is None:
            return found
        kept = id_places(self.path, ids)
        return kept if found is None else np.intersect1d(found, kept, assume_unique=True)

    def _places(
        self, offset: int, limit: int, search: str | None, order: str | None, descending: bool, ids: Path | None
    ) -> Places:
        if order is None:
            chosen = self._chosen(search, ids, offset + limit)
            if chosen is None:
                return np.arange(min(offset, self.rows), min(offset + limit, self.rows))
            return chosen[offset : offset + limit]
        number = [column.name for column in self.columns].index(order)
        numeric = self.columns[number].type in ("integer", "number")
        return sorted_places(self.path, f"c{number}", numeric, descending, self._chosen(search, ids), offset, limit)

    def _kept(self, columns: Sequence[str] | None) -> list[int]:
        """Places of the columns wanted, in the order of the table."""
        wanted = None if columns is None else set(columns)
        return [place for place, column in enumerate(self.columns) if wanted is None or column.name in wanted]

    def _fetch(self, places: Places, columns: Sequence[int]) -> pa.Table:
        """The rows at these places, in this order: `id` and these columns."""
        stored = ["id", *(f"c{place}" for place in columns)]
        groups = np.searchsorted(self.starts, places, "right") - 1
        wanted = np.unique(groups).tolist()
        if not wanted:
            return pq.read_schema(self.path).empty_table().select(stored)

        def taken(group: int) -> pa.Table:
            with pq.ParquetFile(self.path, metadata=self._meta, memory_map=True) as file:
                read = file.read_row_group(group, columns=stored, use_threads=False)
            return read.take(places[groups == group] - self.starts[group])

        with ThreadPoolExecutor(THREADS, "table-fetch") as pool:
            parts = list(pool.map(taken, wanted))
        # Taken group by group: put back into the order asked for.
        back = np.empty(len(places), np.int64)
        back[np.argsort(groups, kind="stable")] = np.arange(len(places))
        return pa.concat_tables(parts).take(back)


def rows_of(found: pa.Table, columns: Sequence[Column]) -> list[Row]:
    """Rows as they were, from `id` and these columns as they are stored."""
    names = [column.name for column in columns]
    ids = found["id"].to_pylist()
    if not names:
        return [Row(row, {}) for row in ids]
    cells = [_values(found[i + 1], column) for i, column in enumerate(columns)]
    return [
        Row(row, dict(zip(names, item, strict=True))) for row, item in zip(ids, zip(*cells, strict=True), strict=True)
    ]


def _values(cells: pa.ChunkedArray, column: Column) -> list[Any]:
    texts = cells.to_pylist()
    return [None if text is None else json.loads(text) for text in texts] if column.is_json else texts


def _cut(cells: pa.ChunkedArray, width: int) -> pa.ChunkedArray:
    return pc.call_function("utf8_slice_codeunits", [cells], pc.SliceOptions(0, width))


def _short(text: str | None, width: int) -> str:
    if text is None:
        return ""
    return text if len(text) <= width else f"{text[:width]}…"
