"""What cleaning did to each row, kept as Parquet: one line per row and step that dropped, changed or added it."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from studio.data.recipe import Fix

Action = Literal["dropped", "changed", "added"]
_SCHEMA = pa.schema(
    [
        ("row_id", pa.int64()),
        ("step", pa.int32()),
        ("fix", pa.string()),
        ("action", pa.string()),
        ("columns", pa.list_(pa.string())),
    ]
)
_BUFFERED = 65_536


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row dropped, changed or added by a step (numbered from 0); `columns` are those changed."""

    row_id: int
    step: int
    fix: Fix
    action: Action
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """All that was done to a row, over one or more versions, in order."""

    row_id: int
    fixes: tuple[Fix, ...]
    columns: tuple[str, ...]


class ChangeWriter:
    """Writes changes as they come; the file appears when all are in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.partial")
        self._buffer: list[RowChange] = []
        self._file = pq.ParquetWriter(self._partial, _SCHEMA, compression="zstd", compression_level=1)

    def add(self, changes: Iterable[RowChange]) -> None:
        self._buffer.extend(changes)
        if len(self._buffer) >= _BUFFERED:
            self._flush()

    def _flush(self) -> None:
        columns = [[getattr(change, name) for change in self._buffer] for name in _SCHEMA.names]
        arrays = [pa.array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)]
        self._file.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA))
        self._buffer.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._file.close()
        if kind is not None:
            self._partial.unlink()
            return
        with self._partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(self._partial, self._path)


def read_changes(paths: Sequence[Path], offset: int = 0, limit: int | None = None) -> tuple[RowChange, ...]:
    """Changes in the order of row and step. `paths`: of versions that follow on each other, oldest first."""
    query = "SELECT row_id, step, fix, action, columns FROM changes ORDER BY row_id, version, step LIMIT ? OFFSET ?"
    return tuple(RowChange(i, n, f, a, tuple(names)) for i, n, f, a, names in _query(paths, query, [limit, offset]))


def changed_rows(
    paths: Sequence[Path], offset: int = 0, limit: int | None = None, only: tuple[int, int] | None = None
) -> tuple[ChangedRow, ...]:
    """The rows with any change, by id, with all that was done to each. `only`: of the path at this place, the rows to
    which this step did something."""
    where, values = _only(only)
    query = (
        "SELECT row_id, list(fix ORDER BY version, step), flatten(list(columns ORDER BY version, step))"
        f" FROM changes {where} GROUP BY row_id ORDER BY row_id LIMIT ? OFFSET ?"
    )
    return tuple(
        ChangedRow(row_id, tuple(dict.fromkeys(fixes)), tuple(dict.fromkeys(columns)))
        for row_id, fixes, columns in _query(paths, query, [*values, limit, offset])
    )


def count_changed_rows(paths: Sequence[Path], only: tuple[int, int] | None = None) -> int:
    """How many rows were dropped, changed or added."""
    where, values = _only(only)
    return sum(item[0] for item in _query(paths, f"SELECT count(DISTINCT row_id) FROM changes {where}", values))


def _only(step: tuple[int, int] | None) -> tuple[str, list[int]]:
    if step is None:
        return "", []
    return "WHERE row_id IN (SELECT row_id FROM changes WHERE version = ? AND step = ?)", list(step)


def _query(paths: Sequence[Path], query: str, values: Sequence[Any]) -> list[Any]:
    if not paths:
        return []
    parts = " UNION ALL ".join(f"SELECT {i} AS version, * FROM read_parquet(?)" for i in range(len(paths)))
    with duckdb.connect() as connection:
        names = [str(path) for path in paths]
        return connection.execute(f"WITH changes AS ({parts}) {query}", [*names, *values]).fetchall()
