"""Rows -> a table on disk (see `tables.py`), as they come: nothing but the rows of one row group is held.

Which columns there are, and of which types, is only known at the end. A row group is written with the columns known
by then; one that needs another schema begins a new part. Most files have one part; several are put together at the
end.
"""

import contextlib
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from operator import methodcaller
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

META = b"studio.columns"
FINGERPRINT = b"studio.fingerprint"
MAX_COLUMNS = 20_000
_GROUP_ROWS = 8_192
_GROUP_BYTES = 16_000_000
_GROUP_CELLS = 4_000_000
_ADD_BYTES = 8_000_000
_WAITING = 2
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
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_cells_of = methodcaller("values")
Change = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: column name -> value (text, number, list, ... or None)."""

    id: int
    values: Mapping[str, Any]


class TooManyColumns(ValueError):
    """More columns than a table can have."""


@dataclass(slots=True)
class _Column:
    """`kinds`: the types of its values so far; once one is no text, all are kept as JSON."""

    kinds: set[type] = field(default_factory=set)

    @property
    def is_json(self) -> bool:
        return bool(self.kinds - {str})

    @property
    def type(self) -> str:
        return _TYPES.get(frozenset(self.kinds), "mixed")


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some rows as arrays, and which of them hold JSON (None: nothing but nulls)."""

    ids: pa.Array
    arrays: dict[str, pa.Array]
    is_json: dict[str, bool | None]
    bytes: int


class Digest:
    """SHA-256 of every column, however its cells are cut into batches: over their lengths (-1: null) and bytes."""

    def __init__(self) -> None:
        self._columns: list[tuple[Any, Any]] = []

    def update(self, table: pa.Table) -> None:
        for number, column in enumerate(table.columns[1:]):
            if number == len(self._columns):
                self._columns.append((hashlib.sha256(), hashlib.sha256()))
            lengths, data = self._columns[number]
            for chunk in column.chunks:
                self._update(chunk, lengths, data)

    def _update(self, chunk: pa.Array, lengths: Any, data: Any) -> None:
        if not len(chunk):
            return
        _, offsets, cells = chunk.buffers()
        ends = np.frombuffer(offsets, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
        sizes = np.diff(ends)
        if chunk.null_count:
            sizes[np.asarray(chunk.is_null())] = -1
        lengths.update(sizes)
        if cells is not None:
            data.update(memoryview(cells)[ends[0] : ends[-1]])

    def hexdigest(self, columns: Sequence[tuple[str, str]]) -> str:
        whole = hashlib.sha256(_encode([list(column) for column in columns]).encode())
        for lengths, data in self._columns:
            whole.update(lengths.digest() + data.digest())
        return whole.hexdigest()


class _Part:
    """A Parquet file in the making. `is_json`: its columns, and how each is kept (None: only nulls so far)."""

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        self.path = path
        self.is_json: dict[str, bool | None] = dict.fromkeys(names)
        self.schema = pa.schema([("id", pa.int64()), *((f"c{i}", pa.large_string()) for i in range(len(self.is_json)))])
        self.digest = Digest()
        self._file = path.open("wb")
        # LZ4 reads more than twice as fast as Zstandard, which a search through everything waits for.
        self._writer = pq.ParquetWriter(
            self._file,
            self.schema,
            compression="lz4",
            use_dictionary=False,
            write_statistics=["id"],  # type: ignore[arg-type]  # a list of columns is allowed
        )

    def write(self, table: pa.Table) -> None:
        self.digest.update(table)
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))

    def finish(self, columns: Sequence[tuple[str, str]] | None) -> None:
        """Whole on disk; `columns` are the names and types of the finished table."""
        if columns is not None:
            self._writer.add_key_value_metadata(
                {META: _encode([list(c) for c in columns]), FINGERPRINT: self.digest.hexdigest(columns)}
            )
        self._writer.close()
        self._file.flush()
        if columns is not None:
            os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        with contextlib.suppress(OSError, ValueError, pa.ArrowException):
            self._writer.close()
        self._file.close()
        self.path.unlink(missing_ok=True)


class TableWriter:
    """Writes a table, whole or not at all: it appears under its name when the `with` block ends well.

    `replaced` counts the cells that held half characters (lone surrogates), which became U+FFFD. `look` is called
    while the table is finished, which may take long: what it raises ends it.
    """

    def __init__(self, path: Path, look: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self._look = look
        self.rows = 0
        self.replaced = 0
        self._columns: dict[str, _Column] = {}
        self._waiting: list[_Batch] = []
        self._parts: list[_Part] = []
        self._thread = ThreadPoolExecutor(1, "table-writer")
        self._written: deque[Future[None]] = deque()
        self._changes: dict[str, Change] = {}
        self._titles: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._close()
        finally:
            self._thread.shutdown(wait=True, cancel_futures=True)
            for part in self._parts:
                part.abandon()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names seen so far."""
        return tuple(self._columns)

    def add(self, rows: Iterable[Row]) -> None:
        """More rows, however many."""
        rows = iter(rows)
        while batch := list(islice(rows, 1024)):
            start = size = 0
            for end, row in enumerate(batch, 1):
                size += sum(len(v) if isinstance(v, str) else 64 for v in row.values.values())
                if size > _ADD_BYTES or end == len(batch):
                    some = batch[start:end]
                    self.extend([row.id for row in some], [row.values for row in some])
                    start, size = end, 0

    def extend(self, ids: Sequence[int], values: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        """More rows, all at once: a few megabytes; the columns they have. Raises TooManyColumns."""
        shapes = dict.fromkeys(map(tuple, values))
        names = dict.fromkeys(name for keys in shapes for name in keys)
        if len(self._columns.keys() | names.keys()) > MAX_COLUMNS:
            raise TooManyColumns
        if len(values) > 1 and len(values) * len(names) > _GROUP_CELLS:
            half = len(values) // 2
            self.extend(ids[:half], values[:half])
            self.extend(ids[half:], values[half:])
            return names
        arrays: dict[str, pa.Array] = {}
        is_json: dict[str, bool | None] = {}
        columns = zip(*map(_cells_of, values), strict=True) if len(shapes) == 1 else None
        for name in names:
            cells = next(columns) if columns else [row.get(name) for row in values]
            kinds = set(map(type, cells)) - {type(None)}
            column = self._columns.setdefault(name, _Column())
            column.kinds |= kinds
            is_json[name] = column.is_json if kinds else None
            arrays[name] = self._array(_texts(cells, kinds) if column.is_json else cells)
        size = sum(array.nbytes for array in arrays.values())
        self._waiting.append(_Batch(pa.array(ids, pa.int64()), arrays, is_json, size))
        self.rows += len(values)
        self._write_if_enough()
        return names

    def _array(self, texts: Sequence[Any]) -> pa.Array:
        try:
            return pa.array(texts, pa.large_string())
        except UnicodeEncodeError:
            mended = [None if text is None else whole(text) for text in texts]
            self.replaced += sum(a != b for a, b in zip(texts, mended, strict=True))
            return pa.array(mended, pa.large_string())

    def change(self, column: str, change: Change) -> None:
        """Have `change` applied to every value of a column before the table is finished."""
        self._changes[column] = change

    def title(self, column: str, title: str) -> None:
        """Have the finished table call a column so, or nearly so where another has that name."""
        self._titles[column] = title

    def _write_if_enough(self) -> None:
        rows = sum(len(batch.ids) for batch in self._waiting)
        size = sum(batch.bytes for batch in self._waiting)
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES or rows * len(self._columns) >= _GROUP_CELLS:
            self._write()

    def _write(self) -> None:
        """Hand the waiting rows to the thread that writes, in a part that has their columns."""
        if not self._waiting:
            return
        batches, self._waiting = self._waiting, []
        part = self._parts[-1] if self._parts else None
        if part is None or not self._fits(part):
            part = self._begin(self._columns)
        kept = {name: column.is_json for name, column in self._columns.items()}
        for name, is_json in kept.items():
            if any(batch.is_json.get(name) is not None for batch in batches):
                part.is_json[name] = is_json
        rows = [pa.table([b.ids, *(self._kept(b, n, j) for n, j in kept.items())], schema=part.schema) for b in batches]
        self._hand_over(part, pa.concat_tables(rows))

    def _fits(self, part: _Part) -> bool:
        kept = [(part.is_json.get(name, not column.is_json), column.is_json) for name, column in self._columns.items()]
        return all(in_part is None or in_part == now for in_part, now in kept)

    def _begin(self, names: Iterable[str]) -> _Part:
        number = f".{len(self._parts)}" if self._parts else ""
        part = _Part(self.path.with_name(f"{self.path.name}.partial{number}"), names)
        self._parts.append(part)
        return part

    def _kept(self, batch: _Batch, name: str, is_json: bool) -> pa.Array:
        array = batch.arrays.get(name)
        if array is None:
            return pa.nulls(len(batch.ids), pa.large_string())
        return self._as_json(array) if is_json and batch.is_json[name] is False else array

    def _as_json(self, texts: pa.Array | pa.ChunkedArray) -> pa.Array:
        return pa.array([None if t is None else _encode(t) for t in texts.to_pylist()], pa.large_string())

    def _hand_over(self, part: _Part, table: pa.Table) -> None:
        while len(self._written) >= _WAITING:
            self._written.popleft().result()
        self._written.append(self._thread.submit(part.write, table))

    def _close(self) -> None:
        self._write()
        while self._written:
            self._written.popleft().result()
        if not self._parts:
            self._begin(self._columns)
        parts = self._parts
        if len(parts) > 1 or self._changes or tuple(parts[0].is_json) != self.columns:
            self._unite()
        part = self._parts[-1]
        part.finish(_named(self._columns, self._titles))
        os.replace(part.path, self.path)
        self._parts.remove(part)

    def _unite(self) -> None:
        """All parts as one, with the columns and types that are known now."""
        parts = list(self._parts)
        for part in parts:
            part.finish(None)
        kinds = {name: set[type]() if name in self._changes else column.kinds for name, column in self._columns.items()}
        for part in parts:
            for name, change in self._changes.items():
                for array in _read_column(part, name):
                    self._look()
                    kinds[name] |= set(map(type, map(change, self._values(part, name, array)))) - {type(None)}
        united = self._begin(self._columns)
        before = {name: column.is_json for name, column in self._columns.items()}
        self._columns = {name: _Column(found) for name, found in kinds.items()}
        for part in parts:
            with pq.ParquetFile(part.path) as file:
                for group in range(file.num_row_groups):
                    self._look()
                    table = file.read_row_group(group)
                    arrays = [self._united(part, name, table, before[name]) for name in self._columns]
                    united.write(pa.table([table["id"], *arrays], schema=united.schema))

    def _united(self, part: _Part, name: str, table: pa.Table, is_json: bool) -> pa.Array | pa.ChunkedArray:
        if name not in part.is_json:
            return pa.nulls(table.num_rows, pa.large_string())
        cells = table[f"c{list(part.is_json).index(name)}"]
        change = self._changes.get(name)
        if change is not None:
            values = list(map(change, self._values(part, name, cells)))
            kinds = set(map(type, values)) - {type(None)}
            return self._array(_texts(values, kinds) if self._columns[name].is_json else values)
        return self._as_json(cells) if is_json and part.is_json[name] is False else cells

    def _values(self, part: _Part, name: str, cells: pa.Array | pa.ChunkedArray) -> list[Any]:
        texts = cells.to_pylist()
        return [None if t is None else json.loads(t) for t in texts] if part.is_json.get(name) else texts


def _read_column(part: _Part, name: str) -> Iterator[pa.Array]:
    if name in part.is_json:
        place = f"c{list(part.is_json).index(name)}"
        with pq.ParquetFile(part.path) as file:
            for batch in file.iter_batches(columns=[place]):
                yield batch.column(0)


def _named(columns: Mapping[str, _Column], titles: Mapping[str, str]) -> list[tuple[str, str]]:
    """Names that can be written, each once, and types."""
    named: dict[str, str] = {}
    for name in sorted(columns, key=titles.__contains__):
        shown = base = whole(titles.get(name, name))
        copy = 2
        while shown in named.values():
            shown = f"{base} ({copy})"
            copy += 1
        named[name] = shown
    return [(named[name], column.type) for name, column in columns.items()]


def _texts(values: Sequence[Any], kinds: set[type]) -> list[str | None]:
    """Each value as JSON."""
    if kinds == {int}:
        return [None if value is None else str(value) for value in values]
    return [None if value is None else _encode(value) for value in values]


def whole(text: str) -> str:
    """The text with U+FFFD for every half character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
