"""A file of any accepted kind -> a table. Every row of the file is kept, or told as left out with its line and why."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from studio.data.csv_rows import find_delimiter, read_csv
from studio.data.encodings import TextFile, detect
from studio.data.json_rows import is_json, is_lines, read_lines, read_list
from studio.data.parquet_rows import read_parquet
from studio.data.reading import LeftOut, Reading
from studio.data.table_writer import TableWriter
from studio.data.tables import Column, Note, Table
from studio.errors import DataError

KINDS = {".jsonl": "JSONL", ".ndjson": "JSONL", ".json": "JSON", ".csv": "CSV", ".tsv": "CSV", ".parquet": "Parquet"}
ENDINGS = tuple(KINDS)
# First bytes of what people take for a table (https://en.wikipedia.org/wiki/List_of_file_signatures).
_FOREIGN = (
    (b"PK\x03\x04", "ZIP / Excel (.xlsx)"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel / Word (.xls, .doc)"),
    (b"%PDF", "PDF"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!", "RAR"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"SQLite format 3\x00", "SQLite"),
    (b"ARROW1", "Arrow / Feather"),
    (b"Obj\x01", "Avro"),
    (b"\x80\x04\x95", "pickle"),
)
_SHOWN = 5
_HEAD_CHARACTERS = 4_000_000


@dataclass(frozen=True, slots=True)
class Source:
    """What a file held. `kind`: JSONL, JSON, CSV or Parquet; `encoding` None where the kind has none.

    `left_out` are the first rows left out, `left_out_rows` says how many there are.
    """

    rows: int
    columns: tuple[Column, ...]
    kind: str
    encoding: str | None
    notes: tuple[Note, ...]
    left_out: tuple[LeftOut, ...]
    left_out_rows: int


def read_source(
    path: Path, target: Path, *, encoding: str | None = None, name: str | None = None, max_bytes: int
) -> Source:
    """Read a file into a table at `target`. `name` is what the user calls it; `encoding` None finds it out.

    Raises DataError, and leaves no table: missing, empty, too big, not of a known kind, no rows, more rows broken
    than whole.
    """
    file = name or path.name
    if not path.is_file():
        raise DataError("error.data.missing", file=file)
    size = path.stat().st_size
    if size == 0:
        raise DataError("error.data.empty", file=file)
    if size > max_bytes:
        raise DataError("error.data.too_big", file=file, mb=-(-size // 1_000_000), limit_mb=max_bytes // 1_000_000)
    with _collector_paused():
        return _read_file(path, target, file, encoding, max_bytes)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Millions of new values hold no cycles, and looking for some doubles the time of reading (measured)."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _read_file(path: Path, target: Path, file: str, encoding: str | None, max_bytes: int) -> Source:
    try:
        try:
            return _read_as(path, target, file, _recognise(path, file, encoding, quick=True), max_bytes)
        except UnicodeDecodeError:
            return _read_as(path, target, file, _recognise(path, file, encoding, quick=False), max_bytes)
    except RecursionError:
        raise DataError("error.data.too_deep", file=file) from None


def _recognise(path: Path, file: str, encoding: str | None, *, quick: bool) -> TextFile | None:
    """The file as text, or None for Parquet."""
    with path.open("rb") as opened:
        head = opened.read(16)
    if head.startswith(b"PAR1"):
        return None
    for mark, foreign in _FOREIGN:
        if head.startswith(mark):
            raise DataError("error.data.kind_refused", file=file, kind=foreign)
    if _ending(file) == ".parquet":
        raise DataError("error.data.parquet", file=file)
    return detect(path, file, encoding, quick=quick)


def _ending(file: str) -> str:
    return Path(file).suffix.lower()


def _read_as(path: Path, target: Path, file: str, text: TextFile | None, max_bytes: int) -> Source:
    """Read the file as what it is, whatever its ending says."""
    expected = KINDS.get(_ending(file))
    with TableWriter(target) as writer:
        reading = Reading(file, writer)
        if text is None:
            kind = "Parquet"
            read_parquet(path, reading, max_bytes)
        else:
            kind = _read_text(text, expected, reading)
        _check(reading)
    return _told(reading, kind, expected, text, Table(target).columns)


def _check(reading: Reading) -> None:
    """Refuse what is hardly a table."""
    if not reading.seen:
        raise DataError("error.data.no_rows", file=reading.file)
    if reading.left_out_rows * 2 > reading.seen:
        first = reading.left_out[0]
        raise _MostlyBroken(
            "error.data.mostly_broken",
            file=reading.file,
            left_out=reading.left_out_rows,
            rows=reading.seen,
            line=first.line,
            reason=(first.key, dict(first.values)),
        )
    if not reading.has_values:
        raise DataError("error.data.no_columns", file=reading.file)


def _told(
    reading: Reading, kind: str, expected: str | None, text: TextFile | None, columns: tuple[Column, ...]
) -> Source:
    if expected and expected != kind:
        reading.note("notice.data.other_kind", ending=Path(reading.file).suffix, kind=kind)
    if text and text.encoding not in ("utf-8", "utf-8-sig"):
        reading.note("notice.data.encoding", encoding=text.name)
    replaced = reading.writer.replaced + (text.replaced if text else 0)
    if replaced:
        reading.note("notice.data.replaced", count=replaced)
    if reading.left_out:
        lines = ", ".join(str(item.line) for item in reading.left_out[:_SHOWN])
        more = ", …" if reading.left_out_rows > _SHOWN else ""
        reading.note("notice.data.left_out", count=reading.left_out_rows, rows=reading.seen, lines=lines + more)
    return Source(
        rows=reading.writer.rows,
        columns=columns,
        kind=kind,
        encoding=text.name if text else None,
        notes=tuple(reading.notes),
        left_out=tuple(reading.left_out),
        left_out_rows=reading.left_out_rows,
    )


class _MostlyBroken(DataError):
    """Tells the first row's reason in the language asked for."""

    def message(self, language: str = "en") -> str:
        key, values = self.values["reason"]  # type: ignore[misc]
        shown = {**self.values, "reason": DataError(key, **values).message(language)}
        return DataError(self.key, **shown).message(language)


def _read_text(text: TextFile, expected: str | None, reading: Reading) -> str:
    """Read as what it is, whatever its ending says; returns the kind."""
    head, line, whole = text.beginning(_HEAD_CHARACTERS)
    if not head:
        raise DataError("error.data.empty", file=reading.file)
    kind = _kind(text, head, whole, expected)
    if kind == "JSONL":
        read_lines(text, reading)
    elif kind == "JSON":
        read_list(text, reading)
    else:
        delimiter = find_delimiter(text)
        if delimiter is None and expected in ("JSON", "JSONL"):
            begin = head.split("\n", 1)[0][:60]
            raise DataError("error.data.not_json", file=reading.file, kind=expected, line=line, begin=begin)
        if delimiter is None and expected is None:
            raise DataError("error.data.kind_unknown", file=reading.file)
        read_csv(text, delimiter or ",", reading)
    return kind


def _kind(text: TextFile, head: str, whole: bool, expected: str | None) -> str:
    """JSON or JSONL where it begins like that; else CSV, to be looked at more closely."""
    if head[0] == "[":
        if expected == "JSONL" and is_lines(head, whole, expected):
            return "JSONL"
        if expected != "CSV" or is_json(text):
            return "JSON"
    if head[0] == "{":
        if is_lines(head, whole, expected) or (expected == "JSONL" and not is_json(text)):
            return "JSONL"
        if expected != "CSV" or is_json(text):
            return "JSON"
    return "CSV"
