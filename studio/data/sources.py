"""A file of any accepted kind -> rows. Every row of the file is kept, or told as left out with its line and why."""

import csv
import gc
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from studio.data.encodings import Decoded, decode
from studio.data.squad import flatten_squad, is_squad
from studio.data.tables import Note, Row, build_table
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
_DELIMITERS = ",\t;|"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that could not be read. `key` names the reason's sentence, `text` is the beginning of the row."""

    line: int
    key: str
    values: Mapping[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a file held. `kind`: JSONL, JSON, CSV or Parquet; `encoding` None where the kind has none."""

    table: pa.Table
    kind: str
    encoding: str | None
    notes: tuple[Note, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(slots=True)
class _Read:
    """Rows as they are found; ids count every row of the file, those left out too."""

    file: str
    rows: list[Row] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def keep(self, values: Mapping[str, Any]) -> None:
        self.rows.append(Row(self.seen + 1, values))

    def leave(self, line: int, key: str, text: str, **values: Any) -> None:
        self.left_out.append(LeftOut(line, key, values, text[:200]))

    def note(self, sentence: str, **values: Any) -> None:
        self.notes.append(Note(sentence, values))

    @property
    def seen(self) -> int:
        return len(self.rows) + len(self.left_out)


def read_source(path: Path, *, encoding: str | None = None, name: str | None = None, max_bytes: int) -> Source:
    """Read a file. `name` is what the user calls it; `encoding` None finds it out.

    Raises DataError: missing, empty, too big, not of a known kind, no rows, more rows broken than whole.
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
        return _read_file(path, file, encoding, max_bytes)


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


def _read_file(path: Path, file: str, encoding: str | None, max_bytes: int) -> Source:
    read = _Read(file)
    with path.open("rb") as opened:
        head = opened.read(16)
    if head.startswith(b"PAR1"):
        kind, decoded = "Parquet", None
        _read_parquet(path, read, max_bytes)
    else:
        for mark, foreign in _FOREIGN:
            if head.startswith(mark):
                raise DataError("error.data.kind_refused", file=file, kind=foreign)
        ending = Path(file).suffix.lower()
        if ending == ".parquet":
            raise DataError("error.data.parquet", file=file)
        decoded = decode(path.read_bytes(), file, encoding)
        text = decoded.text.removeprefix("\ufeff")
        if not text.strip():
            raise DataError("error.data.empty", file=file)
        kind = _read_text(text, KINDS.get(ending), read)
    return _finish(read, kind, KINDS.get(Path(file).suffix.lower()), decoded)


def _finish(read: _Read, kind: str, expected: str | None, decoded: Decoded | None) -> Source:
    if not read.rows and not read.left_out:
        raise DataError("error.data.no_rows", file=read.file)
    if len(read.left_out) > len(read.rows):
        first = read.left_out[0]
        raise _MostlyBroken(
            "error.data.mostly_broken",
            file=read.file,
            left_out=len(read.left_out),
            rows=read.seen,
            line=first.line,
            reason=(first.key, dict(first.values)),
        )
    if not any(row.values for row in read.rows):
        raise DataError("error.data.no_columns", file=read.file)
    if expected and expected != kind:
        read.note("notice.data.other_kind", ending=Path(read.file).suffix, kind=kind)
    if decoded and decoded.encoding not in ("utf-8", "utf-8-sig"):
        read.note("notice.data.encoding", encoding=decoded.name)
    try:
        table, halves = build_table(read.rows)
    except RecursionError:
        raise DataError("error.data.too_deep", file=read.file) from None
    replaced = halves + (decoded.replaced if decoded else 0)
    if replaced:
        read.note("notice.data.replaced", count=replaced)
    if read.left_out:
        lines = ", ".join(str(item.line) for item in read.left_out[:_SHOWN])
        more = ", …" if len(read.left_out) > _SHOWN else ""
        read.note("notice.data.left_out", count=len(read.left_out), rows=read.seen, lines=lines + more)
    return Source(table, kind, decoded.name if decoded else None, tuple(read.notes), tuple(read.left_out))


class _MostlyBroken(DataError):
    """Tells the first row's reason in the language asked for."""

    def message(self, language: str = "en") -> str:
        key, values = self.values["reason"]  # type: ignore[misc]
        shown = {**self.values, "reason": DataError(key, **values).message(language)}
        return DataError(self.key, **shown).message(language)


# Text


def _read_text(text: str, expected: str | None, read: _Read) -> str:
    """Read as what it is, whatever its ending says; returns the kind."""
    first = text.lstrip()[0]
    if first == "[":
        if expected == "JSONL" and _is_lines(text, expected):
            _read_lines(text, read)
            return "JSONL"
        if expected != "CSV" or _is_json(text):
            _read_json(text, read)
            return "JSON"
    if first == "{":
        if _is_lines(text, expected) or (expected == "JSONL" and not _is_json(text)):
            _read_lines(text, read)
            return "JSONL"
        if expected != "CSV" or _is_json(text):
            _read_json(text, read)
            return "JSON"
    if expected in ("JSON", "JSONL"):
        _refuse_json(text, expected, read)
    _read_csv(text, expected, read)
    return "CSV"


def _refuse_json(text: str, expected: str, read: _Read) -> None:
    """The ending promises JSON, but it begins like no list or object; a table of columns is still welcome."""
    delimiter = _delimiter(text)
    if delimiter is None:
        line = text[: len(text) - len(text.lstrip())].count("\n") + 1
        begin = text.strip().split("\n", 1)[0][:60]
        raise DataError("error.data.not_json", file=read.file, kind=expected, line=line, begin=begin)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_lines(text: str, expected: str | None) -> bool:
    """Whether the first lines are JSON values of their own. One line alone is only where lines are expected."""
    lines = [line for line in text[:4_000_000].split("\n", 20) if line.strip()][:2]
    if len(lines) == 1:
        return expected == "JSONL" and _is_object(lines[0])
    return any(_is_object(line) for line in lines)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _read_lines(text: str, read: _Read) -> None:
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.isspace():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            read.leave(number, "error.row.json", line, column=error.colno)
            continue
        except ValueError:  # a number of more than 4 300 digits
            read.leave(number, "error.row.json", line, column=1)
            continue
        except RecursionError:
            read.leave(number, "error.row.too_deep", line)
            continue
        if isinstance(value, dict):
            read.keep(value)
        else:
            read.leave(number, "error.row.not_object", line)


def _read_json(text: str, read: _Read) -> None:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError("error.data.json", file=read.file, line=error.lineno, column=error.colno) from None
    except ValueError:
        raise DataError("error.data.json", file=read.file, line=1, column=1) from None
    except RecursionError:
        raise DataError("error.data.too_deep", file=read.file) from None
    if isinstance(value, dict):
        value = _list_of(value, read)
    for number, item in enumerate(value, 1):
        if isinstance(item, dict):
            read.keep(item)
        else:
            read.leave(number, "error.row.not_object", json.dumps(item, ensure_ascii=False)[:200])


def _list_of(value: dict[str, Any], read: _Read) -> list[Any]:
    """The list of rows inside an object: its only list of objects, or its columns if all are equally long lists."""
    if is_squad(value):
        read.note("notice.data.squad", articles=len(value["data"]))
        return flatten_squad(value)
    lists = {k: v for k, v in value.items() if isinstance(v, list)}
    of_rows = [k for k, v in lists.items() if v and all(isinstance(item, dict) for item in v)]
    if len(of_rows) == 1 and len(lists) == 1 and of_rows[0] not in ("messages", "conversations"):
        read.note("notice.data.list_key", key=of_rows[0])
        return lists[of_rows[0]]
    if len(lists) == len(value) > 1 and len({len(v) for v in lists.values()}) == 1 and next(iter(lists.values())):
        read.note("notice.data.columns_of_lists", columns=len(lists))
        return [dict(zip(lists, items, strict=True)) for items in zip(*lists.values(), strict=True)]
    raise DataError("error.data.json_object", file=read.file, keys=", ".join(list(value)[:_SHOWN]) or "{}")


# CSV


def _delimiter(text: str) -> str | None:
    """The separator that splits the most of the first rows into as many fields as the header; None if none does."""
    head = _csv_lines(text[:200_000])
    best: tuple[float, int, str] | None = None
    for delimiter in _DELIMITERS:
        rows = [row for _, row in islice(_csv_rows(head, delimiter), 50) if isinstance(row, list)]
        fields = len(rows[0]) if rows else 0
        if fields < 2:
            continue
        share = sum(len(row) == fields for row in rows) / len(rows)
        if best is None or (share, fields) > best[:2]:
            best = (share, fields, delimiter)
    return best[2] if best and best[0] > 0.5 else None


def _csv_lines(text: str) -> list[str]:
    """Lines as the csv module counts them: ended by \\n, \\r\\n or \\r."""
    return list(StringIO(text, newline=""))


def _csv_rows(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """(line on which the row begins, fields or what is wrong); empty lines are no rows."""
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, error
            continue
        if row:
            yield line, row


def _read_csv(text: str, expected: str | None, read: _Read) -> None:
    delimiter = _delimiter(text)
    if delimiter is None:
        if expected is None:
            raise DataError("error.data.kind_unknown", file=read.file)
        delimiter = ","
    lines = _csv_lines(text)
    rows = _csv_rows(lines, delimiter)
    line, header = next(rows)
    if isinstance(header, csv.Error):
        raise DataError("error.data.csv_header", file=read.file, line=line)
    names = _names(header, read)
    for line, row in rows:
        if isinstance(row, csv.Error):
            if "unexpected end" in str(row):
                raise DataError("error.data.quote_open", file=read.file, line=line)
            read.leave(line, "error.row.quote", lines[line - 1])
            continue
        while len(row) > len(names) and not row[-1]:
            row.pop()
        if len(row) == len(names):
            read.keep(dict(zip(names, row, strict=True)))
        else:
            read.leave(line, "error.row.fields", lines[line - 1], found=len(row), expected=len(names))
    for name in names:
        _nest(name, read)
    if not read.seen:
        raise DataError("error.data.header_only", file=read.file, columns=", ".join(names)[:200])


def _nest(name: str, read: _Read) -> None:
    """A column whose every cell is a JSON list of objects, as other programs write conversations into CSV."""
    cells = [str(row.values[name]) for row in read.rows if row.values[name]]
    if not cells or not all(cell.lstrip().startswith("[") for cell in cells):
        return
    try:
        parsed = {cell: json.loads(cell) for cell in cells}
    except (ValueError, RecursionError):
        return
    if all(value and all(isinstance(item, dict) for item in value) for value in parsed.values()):
        read.rows = [Row(row.id, {**row.values, name: parsed.get(row.values[name])}) for row in read.rows]
        read.note("notice.data.nested", column=name)


def _names(header: Sequence[str], read: _Read) -> list[str]:
    """Column names: each has one, and only one has it."""
    names: list[str] = []
    for number, title in enumerate(header, 1):
        name = base = title.strip() or f"column {number}"
        copy = 2
        while name in names:
            name = f"{base} ({copy})"
            copy += 1
        if name != title.strip():
            read.note("notice.data.renamed", number=number, name=name)
        names.append(name)
    return names


# Parquet


def _read_parquet(path: Path, read: _Read, max_bytes: int) -> None:
    try:
        with pq.ParquetFile(path) as file:
            size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
            if size > max_bytes:
                raise DataError(
                    "error.data.too_big", file=read.file, mb=-(-size // 1_000_000), limit_mb=max_bytes // 1_000_000
                )
            for batch in file.iter_batches(batch_size=4096):
                for values in batch.to_pylist():
                    read.keep({name: _plain(value) for name, value in values.items()})
    except (pa.ArrowException, OSError) as error:
        raise DataError("error.data.parquet", file=read.file) from error


def _plain(value: Any) -> Any:
    """The value as JSON can hold it."""
    if isinstance(value, str | bool | int | float | None):
        return value
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    raise TypeError(type(value).__name__)
