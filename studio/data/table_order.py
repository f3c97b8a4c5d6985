"""The rows of a table in the order of a column.

All rows are put in order by a number each: their own, or the first eight bytes of their text (UTF-8 has the order of
code points). Rows that share those bytes are put in order by their whole text only where they are looked at.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from studio.data.table_search import THREADS, FileKey, Places, file_key

_KEY_BYTES = 8
# Parquet is built in; nothing is fetched.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


@dataclass(frozen=True, slots=True)
class _Order:
    """Places in order, and for each which others share its key: those of the same number."""

    places: Places
    keys: Places


def sorted_places(
    path: Path, column: str, numeric: bool, descending: bool, chosen: Places | None, offset: int, limit: int
) -> Places:
    """Places `offset` to `offset + limit` of the chosen rows (None: all) in the order of a stored column."""
    order = _order(file_key(path), column, numeric, descending)
    if chosen is not None:
        kept = np.isin(order.places, chosen, kind="table" if len(order.places) else None)
        order = _Order(order.places[kept], order.keys[kept])
    end = min(offset + limit, len(order.places))
    if offset >= end:
        return np.empty(0, np.int64)
    first = int(np.searchsorted(order.keys, order.keys[offset], "left"))
    last = int(np.searchsorted(order.keys, order.keys[end - 1], "right"))
    if numeric or bool(np.all(np.diff(order.keys[first:last]))):
        return order.places[offset:end]
    # Whatever begins alike is here with all its rows, so that their whole texts put them in the same order.
    return _by_whole_text(path, column, descending, order.places[first:last], offset - first, end - offset)


def _by_whole_text(path: Path, column: str, descending: bool, places: Places, skip: int, keep: int) -> Places:
    """Some rows, in the order of their whole texts."""
    direction = "DESC" if descending else "ASC"
    query = (
        f"SELECT file_row_number FROM read_parquet(?, file_row_number = true) WHERE file_row_number IN "
        f"(SELECT place FROM places) ORDER BY {column} {direction} NULLS LAST, file_row_number LIMIT ? OFFSET ?"
    )
    import duckdb  # takes as long to load as all else that processes which check rows need of this

    with duckdb.connect(config=_CONFIG) as connection:
        connection.register("places", pa.table({"place": places}))
        found = connection.execute(query, [str(path), keep, skip]).fetchall()
    return np.array([row[0] for row in found], np.int64)


@lru_cache(maxsize=4)
def _order(file: FileKey, column: str, numeric: bool, descending: bool) -> _Order:
    meta = pq.read_metadata(file[0])

    def keys_of(group: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        with pq.ParquetFile(file[0], metadata=meta, memory_map=True) as opened:
            cells = opened.read_row_group(group, columns=[column], use_threads=False)[column].combine_chunks()
        return (_numbers if numeric else _beginnings)(cells), np.asarray(cells.is_valid())

    with ThreadPoolExecutor(THREADS, "table-order") as pool:
        found = list(pool.map(keys_of, range(meta.num_row_groups)))
    keys = _joined([keys for keys, _ in found])
    valid = _joined([valid for _, valid in found]).astype(bool)
    filled, blank = np.flatnonzero(valid), np.flatnonzero(~valid)
    keys = keys[filled]
    if descending:
        keys = -keys if numeric else ~keys
    by_key = np.argsort(keys, kind="stable")
    keys = keys[by_key]
    different = np.ones(len(keys), bool)
    different[1:] = keys[1:] != keys[:-1]
    numbers = np.cumsum(different) if len(keys) else np.empty(0, np.int64)
    after = int(numbers[-1]) + 1 if len(numbers) else 0
    return _Order(
        np.concatenate([filled[by_key], blank]),
        np.concatenate([numbers, np.arange(after, after + len(blank))]),
    )


def _joined(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0)


def _numbers(cells: pa.Array) -> npt.NDArray[Any]:
    try:
        return np.asarray(cells.cast(pa.float64()).fill_null(0.0))
    except pa.ArrowInvalid:  # infinite, or too big for Arrow
        return np.array([float(text) if text is not None else 0.0 for text in cells.to_pylist()])


def _beginnings(cells: pa.Array) -> npt.NDArray[Any]:
    """The first bytes of every cell as one number."""
    if not len(cells):
        return np.empty(0, np.uint64)
    offsets = np.frombuffer(cells.buffers()[1], np.int64)[cells.offset : cells.offset + len(cells) + 1]
    stored = cells.buffers()[2]
    data = np.frombuffer(stored, np.uint8) if stored is not None and stored.size else np.zeros(1, np.uint8)
    steps = np.arange(_KEY_BYTES)
    beginnings = data[np.minimum(offsets[:-1, None] + steps, len(data) - 1)]
    beginnings[steps >= np.diff(offsets)[:, None]] = 0
    return beginnings.view(">u8").astype(np.uint64)[:, 0]
