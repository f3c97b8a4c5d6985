"""The rows of a table in the order of a column, as far as a page shows them.

No more is put in order than is looked at. Every row has a key: its number, or the first bytes of its text (UTF-8 has
the order of code points). The keys at both ends of the page tell which rows are on it; where many rows share one of
these keys, as texts do that begin alike, the bytes in which those rows differ tell, and so on.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from studio.data.table_search import THREADS, FileKey, Places, file_key

Keys: TypeAlias = npt.NDArray[np.uint64]
Made = TypeVar("Made")
# A key of a text: seven of its bytes, and how many are left from there on, of which eight are more than seven.
_KEY_BYTES, _MORE, _LEFT = 7, 8, 0xFF
_WORD = 8
# By how many bytes are left: the bits of a word that are theirs.
_KEPT = np.array([(2**64 - 1) ^ (2 ** (8 * (_WORD - left)) - 1) for left in range(_KEY_BYTES + 1)], np.uint64)
# How many keys are made in one reading: the more rows, the fewer of each.
_KEYS_READ = 4_000_000
_KEYS_EACH = 32
# So few rows are put in order by their whole texts.
_FEW = 256


def sorted_places(
    path: Path, column: str, numeric: bool, descending: bool, chosen: Places | None, offset: int, limit: int
) -> Places:
    """Places `offset` to `offset + limit` of the chosen rows (None: all) in the order of a stored column."""
    keys, filled = _first_keys(file_key(path), column, numeric)
    if chosen is None:
        places, blank = np.flatnonzero(filled), np.flatnonzero(~filled)
    else:
        places, blank = chosen[filled[chosen]], chosen[~filled[chosen]]
    begin, end = min(offset, len(places)), min(offset + limit, len(places))
    page = places[:0]
    if begin < end:
        order = _Order(str(path), column, keys, numeric, descending)
        page = order.sorted(order.between(places, begin, end))
    begin = max(0, offset - len(places))
    return np.concatenate([page, blank[begin : begin + limit - len(page)]])


class _Order:
    """Rows in the order of a column, of which `first` are the keys. Places are always in the order of the file, which
    is that of rows with equal cells.
    """

    def __init__(self, path: str, column: str, first: Keys, numeric: bool, descending: bool) -> None:
        self._path = path
        self._column = column
        self._first = first
        self._numeric = numeric
        self._descending = descending
        self._flip = np.uint64(2**64 - 1 if descending else 0)

    def between(self, places: Places, begin: int, end: int) -> Places:
        """Those places of which the cells stand from `begin` to `end`, in no order."""

        def among(same: Places, key: int, begin: int, end: int) -> Places:
            if self._numeric or key & _LEFT < _MORE:
                return places[same[begin:end]]
            return self._beyond(places[same], begin, end)

        keys = self._first if len(places) == len(self._first) else self._first[places]
        return self._between(places, keys, begin, end, among)

    def sorted(self, places: Places) -> Places:
        """The places of a page in the order of their whole cells."""
        places = np.sort(places)
        keys = self._first[places]
        order = np.argsort(keys ^ self._flip, kind="stable")
        keys = keys[order]
        alike = (keys[1:] == keys[:-1]) & (keys[1:] & np.uint64(_LEFT) == _MORE)
        return places[order] if self._numeric or not alike.any() else self._by_whole_text(places)

    def _by_whole_text(self, places: Places) -> Places:
        texts = [text for part in self._read(places, _texts_of) for text in part]
        return places[sorted(range(len(texts)), key=texts.__getitem__, reverse=self._descending)]

    def _beyond(self, places: Places, begin: int, end: int) -> Places:
        """The same, of places whose texts begin alike: by what comes behind."""
        if len(places) <= _FEW:
            return np.sort(self._by_whole_text(places)[begin:end])
        prefix = self._prefix(places)
        depths = max(1, min(_KEYS_EACH, _KEYS_READ // len(places)))
        parts = self._read(places, lambda cells, rows: _after(cells, rows, prefix, depths))
        sides = np.concatenate([side for side, _ in parts])
        keys = np.concatenate([made for _, made in parts])

        def among(same: Places, side: int, begin: int, end: int) -> Places:
            if side == _WITHIN:
                return self._by_keys(places[same], keys[same], begin, end)
            return self._beyond(places[same], begin, end)

        return self._between(places, sides, begin, end, among)

    def _by_keys(self, places: Places, keys: Keys, begin: int, end: int) -> Places:
        """The same, by several keys of each text, one after another."""
        if not keys.shape[1]:
            return self._beyond(places, begin, end)

        def among(same: Places, key: int, begin: int, end: int) -> Places:
            if key & _LEFT < _MORE:
                return places[same[begin:end]]
            return self._by_keys(places[same], keys[same, 1:], begin, end)

        return self._between(places, keys[:, 0], begin, end, among)

    def _between(
        self, places: Places, keys: Keys, begin: int, end: int, among: Callable[[Places, int, int, int], Places]
    ) -> Places:
        """The same, by one key of each. Where only a part of those that share a key is wanted, `among` tells which: of
        so many of these indices, this key, from here to there.
        """
        keys = keys ^ self._flip
        low, high = np.partition(keys, (begin, end - 1))[[begin, end - 1]]
        found = [places[(keys > low) & (keys < high)]]
        for key in dict.fromkeys((low, high)):
            same = np.flatnonzero(keys == key)
            before = int(np.count_nonzero(keys < key))
            first, last = max(0, begin - before), min(len(same), end - before)
            all_of_them = (first, last) == (0, len(same))
            found.append(places[same] if all_of_them else among(same, int(key ^ self._flip), first, last))
        return np.concatenate(found)

    def _prefix(self, places: Places) -> bytes:
        """What a sample of the texts, from all over the table, have in common."""
        starts = np.linspace(0, len(places) - _FEW // 8, 8).astype(np.int64)
        sample = np.unique(np.concatenate([places[start : start + _FEW // 8] for start in starts]))
        texts = [text for part in self._read(sample, _texts_of) for text in part]
        low, high = min(texts), max(texts)
        return low[: next((i for i, pair in enumerate(zip(low, high, strict=False)) if pair[0] != pair[1]), len(low))]

    def _read(self, places: Places, make: Callable[[pa.Array, Places], Made]) -> list[Made]:
        return _by_group(self._path, self._column, places, make)


@lru_cache(maxsize=4)
def _first_keys(file: FileKey, column: str, numeric: bool) -> tuple[Keys, npt.NDArray[np.bool_]]:
    """The first key of every row, and which rows have something to be put in order by."""

    def keys_of(cells: pa.Array, rows: Places) -> tuple[Keys, npt.NDArray[np.bool_]]:
        filled = np.asarray(cells.is_valid())
        if not numeric:
            return _keys_of(cells, rows, 0, 1)[:, 0], filled
        numbers = _numbers(cells)
        return _number_keys(numbers), filled & ~np.isnan(numbers)

    places = np.arange(pq.read_metadata(file[0]).num_rows)
    parts = _by_group(file[0], column, places, keys_of)
    keys = np.concatenate([np.empty(0, np.uint64), *(keys for keys, _ in parts)])
    return keys, np.concatenate([np.empty(0, bool), *(filled for _, filled in parts)])


def _by_group(path: str, column: str, places: Places, make: Callable[[pa.Array, Places], Made]) -> list[Made]:
    """What is made of the cells of each row group that holds any of the places (in order), and of their rows there."""
    meta = pq.read_metadata(path)

    def read(work: tuple[int, Places]) -> Made:
        group, rows = work
        with pq.ParquetFile(path, metadata=meta, memory_map=True) as file:
            cells = file.read_row_group(group, columns=[column], use_threads=False)[column]
        return make(cells.chunk(0) if cells.num_chunks == 1 else cells.combine_chunks(), rows)

    with ThreadPoolExecutor(THREADS, "table-order") as pool:
        return list(pool.map(read, _groups(meta, places)))


def _groups(meta: pq.FileMetaData, places: Places) -> Iterator[tuple[int, Places]]:
    start = 0
    for group in range(meta.num_row_groups):
        end = start + meta.row_group(group).num_rows
        first, last = np.searchsorted(places, (start, end))
        if first < last:
            yield group, places[first:last] - start
        start = end


def _texts_of(cells: pa.Array, rows: Places) -> list[bytes]:
    return cells.take(pa.array(rows)).cast(pa.large_binary()).to_pylist()


def _numbers(cells: pa.Array) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(cells.cast(pa.float64()).fill_null(0.0))
    except pa.ArrowInvalid:  # infinite, or too big for Arrow
        return np.array([float(text) if text is not None else 0.0 for text in cells.to_pylist()])


def _number_keys(numbers: npt.NDArray[np.float64]) -> Keys:
    """Whole numbers that have the order of the others: their bits, all turned where they are negative."""
    bits = (numbers + 0.0).view(np.uint64)  # there is but one zero
    return np.where(bits >> np.uint64(63), ~bits, bits | np.uint64(1 << 63))


# Where a text stands by a prefix: it begins with it, or comes before or after all that do.
_BEFORE, _WITHIN, _AFTER = range(3)


def _after(cells: pa.Array, rows: Places, prefix: bytes, depths: int) -> tuple[Keys, Keys]:
    """Where each text stands by the prefix, and its keys from there on."""
    texts = cells.take(pa.array(rows)).cast(pa.large_binary())
    within = pc.call_function("starts_with", [texts], pc.MatchSubstringOptions(prefix))
    sides = np.where(np.asarray(within), np.uint64(_WITHIN), np.uint64(_BEFORE))
    after = pc.call_function("greater", [texts, pa.scalar(prefix, pa.large_binary())])
    sides[np.asarray(after) & (sides == _BEFORE)] = _AFTER
    return sides, _keys_of(texts, np.arange(len(texts)), len(prefix), depths)


def _keys_of(cells: pa.Array, rows: Places, known: int, depths: int) -> Keys:
    """So many keys of each text, of what comes behind this many bytes: (texts, depths)."""
    offsets = np.frombuffer(cells.buffers()[1], np.int64)[cells.offset : cells.offset + len(cells) + 1]
    starts, ends = offsets[rows], offsets[rows + 1]
    stored: Any = cells.buffers()[2]
    if stored is None or stored.size < _WORD:
        stored = (stored.to_pybytes() if stored is not None else b"").ljust(_WORD, b"\0")
    size = memoryview(stored).nbytes
    words = np.ndarray((size - _WORD + 1,), ">u8", stored, strides=(1,))  # one begins at every byte
    keys = np.empty((len(starts), depths), np.uint64)
    for depth in range(depths):
        at = starts + (known + depth * _KEY_BYTES)
        left = np.clip(ends - at, 0, _MORE)
        inside = np.minimum(at, size - _WORD)
        word = words[inside].astype(np.uint64) << np.minimum((at - inside) * 8, 63).astype(np.uint64)
        keys[:, depth] = (word & _KEPT[np.minimum(left, _KEY_BYTES)]) | left.astype(np.uint64)
    return keys
