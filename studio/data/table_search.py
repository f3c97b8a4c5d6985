"""Which rows of a table hold a text, or are named: their places in the file, from 0.

Every cell is looked at, by both cores, several row groups at a time; what was found is remembered for the next page.
"""

import json
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from studio.data.table_writer import whole

Places: TypeAlias = npt.NDArray[np.int64]
# What a file is told apart by: a table is never changed in place.
FileKey: TypeAlias = tuple[str, int, int]
# RE2 takes no patterns of any length.
_PATTERN_CHARACTERS = 1000
_TEXT = ("text", "empty")
# All that cells of these types are written with, in lower case.
_LETTERS = {"integer": set("-0123456789"), "number": set("-+.0123456789einfaty"), "boolean": set("trufalse")}
THREADS = min(8, os.cpu_count() or 1)


def file_key(path: Path) -> FileKey:
    found = path.stat()
    return str(path), found.st_mtime_ns, found.st_size


def matching_places(path: Path, types: tuple[str, ...], search: str, need: int | None = None) -> Places:
    """Rows that hold `search` in any column, whatever its case; the first `need` and perhaps more, or all."""
    return _search(file_key(path), types, whole(search)).places(need)


@lru_cache(maxsize=8)
def _search(file: FileKey, types: tuple[str, ...], search: str) -> "_Search":
    return _Search(file[0], types, search)


class _Search:
    """A search that has come as far as somebody needed it."""

    def __init__(self, path: str, types: tuple[str, ...], search: str) -> None:
        self._path = path
        self._meta = pq.read_metadata(path)
        # What is looked for in each column, but for those that cannot hold it: their cells need not be read.
        self._needles = {
            f"c{i}": search if types[i] in _TEXT else json.dumps(search, ensure_ascii=False)[1:-1]
            for i in range(len(types))
            if set(search.lower()) <= _LETTERS.get(types[i], set(search.lower()))
        }
        self._found: list[Places] = []
        self._group = 0
        self._row = 0
        self._lock = threading.Lock()

    def places(self, need: int | None) -> Places:
        with self._lock, ThreadPoolExecutor(THREADS, "table-search") as pool:
            while self._group < self._meta.num_row_groups and (need is None or sum(map(len, self._found)) < need):
                # The more row groups hold nothing, the more are looked at in one go.
                end = min(self._meta.num_row_groups, self._group + max(4 * THREADS, self._group))
                for rows, found in pool.map(self._look, range(self._group, end)):
                    self._found.append(found + self._row)
                    self._row += rows
                self._group = end
            self._found = [np.concatenate([np.empty(0, np.int64), *self._found])]
            return self._found[0]

    def _look(self, group: int) -> tuple[int, Places]:
        with pq.ParquetFile(self._path, metadata=self._meta, memory_map=True) as file:
            table = file.read_row_group(group, columns=list(self._needles), use_threads=False)
        holds = np.zeros(self._meta.row_group(group).num_rows, bool)
        for column, needle in zip(table.columns, self._needles.values(), strict=True):
            start = 0
            for chunk in column.chunks:
                holds[start : start + len(chunk)] |= _holds(chunk, needle)
                start += len(chunk)
        return len(holds), np.flatnonzero(holds)


def _holds(cells: pa.Array, needle: str) -> npt.NDArray[np.bool_]:
    """Looked for as bytes: where a letter may be of several characters, as in all of Unicode, RE2 is half as fast."""
    if len(needle) > _PATTERN_CHARACTERS:
        lower = pc.call_function("utf8_lower", [cells])
        found = pc.call_function("match_substring", [lower], pc.MatchSubstringOptions(needle.lower()))
        return np.asarray(found.fill_null(False))
    options = pc.MatchSubstringOptions(_pattern(needle))
    found = pc.call_function("match_substring_regex", [cells.cast(pa.large_binary())], options)
    return np.asarray(found.fill_null(False))


def _pattern(needle: str) -> bytes:
    """A pattern for the bytes of the text, in both cases of its letters."""
    parts = []
    for character in needle:
        if character.isascii():
            parts.append(re.escape(character))
        else:
            cases = dict.fromkeys(c for c in (character, character.lower(), character.upper()) if len(c) == 1)
            parts.append(f"(?-i:{'|'.join(map(_escaped, cases))})")
    return f"(?i){''.join(parts)}".encode()


def _escaped(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode())


def id_places(path: Path, ids: Path) -> Places:
    """Rows whose id is in the column `id` of the Parquet file `ids`."""
    return _id_places(file_key(path), file_key(ids))


@lru_cache(maxsize=8)
def _id_places(file: FileKey, ids: FileKey) -> Places:
    wanted = np.concatenate([np.empty(0, np.int64), *_ids(ids[0])])
    return np.flatnonzero(np.isin(np.concatenate([np.empty(0, np.int64), *_ids(file[0])]), wanted))


def _ids(path: str) -> Iterator[Places]:
    with pq.ParquetFile(path, memory_map=True) as file:
        for batch in file.iter_batches(batch_size=1_000_000, columns=["id"]):
            yield np.asarray(batch.column(0))


def found_places(path: Path, meta: pq.FileMetaData, ids: Places) -> Places:
    """Where the rows of these ids stand; only row groups that may hold one are read."""
    found: list[Places] = [np.empty(0, np.int64)]
    start = 0
    with pq.ParquetFile(path, metadata=meta, memory_map=True) as file:
        for number in range(meta.num_row_groups):
            group = meta.row_group(number)
            known = group.column(0).statistics
            if known is None or not known.has_min_max or np.any((ids >= known.min) & (ids <= known.max)):
                stored = np.asarray(file.read_row_group(number, columns=["id"])["id"])
                found.append(np.flatnonzero(np.isin(stored, ids)) + start)
            start += group.num_rows
    return np.concatenate(found)
