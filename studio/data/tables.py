"""A table of rows kept as Parquet, paged and searched by DuckDB.

On disk the columns are called `id, c0, c1, ...`, so that any name can be shown (empty, equal but for case, emoji).
Text columns are stored as they are, all others as JSON text, so that nested and mixed values come back unchanged.
A row's id is its number in the source file, from 1; it stays the same through all versions.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_META = b"studio.columns"
_ROW_GROUP = 8_192
# Parquet is built in; nothing is fetched.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_TYPES: Mapping[frozenset[type], str] = {
    frozenset(): "empty",
    frozenset({str}): "text",
    frozenset({bool}): "boolean",
    frozenset({int}): "integer",
    frozenset({float}): "number",
    frozenset({int, float}): "number",
    frozenset({list}): "list",
    frozenset({dict}): "object",
}


@dataclass(frozen=True, slots=True)
class Column:
    """`type`: text, integer, number, boolean, list, object, mixed (several of them), or empty."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something told about a file that was opened: a sentence key and its values."""

    key: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: column name -> value (text, number, list, ... or None)."""

    id: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cells:
    """One row as short texts, one per column: for a table on the page."""

    id: int
    texts: tuple[str, ...]


def build_table(rows: Sequence[Row]) -> tuple[pa.Table, int]:
    """Rows in memory, and how many cells held half characters (lone surrogates), which became U+FFFD."""
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    arrays: list[pa.Array] = [pa.array([row.id for row in rows], pa.int64())]
    columns = []
    replaced = 0
    for name in names:
        values = [row.values.get(name) for row in rows]
        kinds = frozenset(map(type, values)) - {type(None)}
        kind = _TYPES.get(kinds, "mixed")
        columns.append([name, kind])
        texts = values if kind in ("text", "empty") else [None if v is None else _json(v) for v in values]
        try:
            arrays.append(pa.array(texts, pa.large_string()))
        except UnicodeEncodeError:
            mended = [None if t is None else _whole(t) for t in texts]
            replaced += sum(a != b for a, b in zip(texts, mended, strict=True))
            arrays.append(pa.array(mended, pa.large_string()))
    meta = {_META: json.dumps([[_whole(n), kind] for n, kind in columns], ensure_ascii=False).encode()}
    schema = pa.schema([("id", pa.int64()), *((f"c{i}", pa.large_string()) for i in range(len(columns)))], meta)
    return pa.table(arrays, schema=schema), replaced


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def write_table(table: pa.Table, path: Path) -> None:
    """Write whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        pq.write_table(table, file, row_group_size=_ROW_GROUP, compression="zstd", compression_level=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


class Table:
    """A table on disk. Reads what it needs; holds nothing open."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _meta(self) -> pq.FileMetaData:
        return pq.read_metadata(self.path)

    @property
    def rows(self) -> int:
        return self._meta.num_rows

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        meta = self._meta.metadata or {}
        return tuple(Column(*item) for item in json.loads(meta[_META]))

    def page(self, offset: int, limit: int, search: str | None = None) -> list[Row]:
        """Rows `offset` to `offset + limit`, of those that hold `search` in any column (case does not matter)."""
        where, values = self._where(search)
        found = self._query(f"SELECT * FROM read_parquet(?) {where} LIMIT ? OFFSET ?", [*values, limit, offset])
        return [self._row(item[0], item[1:]) for item in found]

    def cells(self, offset: int, limit: int, search: str | None = None, width: int = 300) -> list[Cells]:
        """The same page as texts of at most `width` characters: quick even where a cell holds megabytes."""
        where, values = self._where(search)
        shown = ", ".join(f"left(c{i}, {width + 1})" for i in range(len(self.columns)))
        found = self._query(
            f"SELECT id, {shown} FROM read_parquet(?) {where} LIMIT ? OFFSET ?", [*values, limit, offset]
        )
        return [Cells(item[0], tuple(_short(text, width) for text in item[1:])) for item in found]

    def find(self, ids: Iterable[int]) -> dict[int, Row]:
        """The rows of these ids, where they are in this table."""
        found = self._query("SELECT * FROM read_parquet(?) WHERE id IN (SELECT unnest(?::BIGINT[]))", [list(ids)])
        return {item[0]: self._row(item[0], item[1:]) for item in found}

    def position(self, row: int) -> int | None:
        """Where the row of this id stands in the table, from 0; None when it is not there."""
        ids = pq.read_table(self.path, columns=["id"])["id"].to_pylist()
        return ids.index(row) if row in ids else None

    def count(self, search: str | None = None) -> int:
        """How many rows hold `search`."""
        where, values = self._where(search)
        return self._query(f"SELECT count(*) FROM read_parquet(?) {where}", values)[0][0] if search else self.rows

    def text_bytes(self, columns: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all rows (int64), and how many UTF-8 bytes these columns hold in each (int64), in order.

        Nested values count as their JSON text does.
        """
        places = [i for i, column in enumerate(self.columns) if column.name in columns]
        total = " + ".join(f"coalesce(strlen(c{i}), 0)" for i in places) or "0"
        query = f"SELECT id, ({total})::BIGINT AS bytes FROM read_parquet(?)"
        with duckdb.connect(config=_CONFIG) as connection:
            found = connection.execute(query, [str(self.path)]).fetchnumpy()
        return found["id"], found["bytes"]

    def read(self) -> Iterator[Row]:
        """Every row, in order."""
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=_ROW_GROUP):
                for item in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    yield self._row(item[0], item[1:])

    def fingerprint(self) -> str:
        """SHA-256 of names, types and values in order; equal data has an equal one wherever it came from."""
        digest = hashlib.sha256(_json([[c.name, c.type] for c in self.columns]).encode())
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=_ROW_GROUP, columns=[f"c{i}" for i in range(len(self.columns))]):
                for column in batch.columns:
                    digest.update(_json(column.to_pylist()).encode())
        return digest.hexdigest()

    def _row(self, row: int, texts: Sequence[str | None]) -> Row:
        values = {
            column.name: text if text is None or column.type in ("text", "empty") else json.loads(text)
            for column, text in zip(self.columns, texts, strict=True)
        }
        return Row(row, values)

    def _where(self, search: str | None) -> tuple[str, list[Any]]:
        if not search:
            return "", []
        tests, values = [], []
        for i, column in enumerate(self.columns):
            tests.append(f"contains(lower(c{i}), lower(?))")
            values.append(search if column.type == "text" else _json(search)[1:-1])
        return f"WHERE {' OR '.join(tests)}", values

    def _query(self, query: str, values: Sequence[Any]) -> list[Any]:
        with duckdb.connect(config=_CONFIG) as connection:
            return connection.execute(query, [str(self.path), *values]).fetchall()


def _short(text: str | None, width: int) -> str:
    if text is None:
        return ""
    return text if len(text) <= width else f"{text[:width]}…"
