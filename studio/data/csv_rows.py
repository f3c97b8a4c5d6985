"""Columns separated by commas, tabs, semicolons or bars -> rows."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from itertools import islice
from typing import Any

from studio.data.encodings import TextFile
from studio.data.reading import MAX_ROW_BYTES, Reading, is_too_deep
from studio.errors import DataError

_DELIMITERS = ",\t;|"
_SAMPLE_CHARACTERS = 200_000
_NAME_CHARACTERS = 40


def find_delimiter(text: TextFile, *, strict: bool = False) -> str | None:
    """The separator that splits the most of the first rows into as many fields as the header; None if none does.

    `strict`: the text may well be no table. Its first row must look like names, and no sentence with a comma in it.
    """
    head = "".join(islice(_pieces(text, _SAMPLE_CHARACTERS), 1))
    best: tuple[float, int, str] | None = None
    for delimiter in _DELIMITERS:
        rows = [row for _, _, row in islice(_rows(_Lines([head]), delimiter), 50) if isinstance(row, list)]
        fields = len(rows[0]) if rows else 0
        if fields < 2 or (strict and not all(map(_is_name, rows[0]))):
            continue
        share = sum(len(row) == fields for row in rows) / len(rows)
        if best is None or (share, fields) > best[:2]:
            best = (share, fields, delimiter)
    return best[2] if best and best[0] > 0.5 else None


def _is_name(title: str) -> bool:
    title = title.strip()
    return 0 < len(title) <= _NAME_CHARACTERS and not title.endswith((".", "!", "?", "。", "！", "？", ":"))


def _pieces(text: TextFile, characters: int) -> Iterator[str]:
    found = ""
    for piece in text.text():
        found += piece
        if len(found) >= characters:
            break
    yield found[:characters]


def read_csv(text: TextFile, delimiter: str, reading: Reading) -> None:
    """The first row names the columns. Rows of another number of fields, or with broken quotation, are left out."""
    lines = _Lines(text.text(), reading)
    rows = _rows(lines, delimiter)
    try:
        line, _, header = next(rows)
        if isinstance(header, csv.Error):
            raise DataError("error.data.csv_header", file=reading.file, line=line)
        names = column_names(header, reading)
        nested = _Nested(names)
        for line, begin, row in rows:
            _read_row(line, begin, row, names, nested, reading)
    except _RowTooLong as error:
        mb = MAX_ROW_BYTES // 1_000_000
        raise DataError("error.data.row_too_long", file=reading.file, line=error.line, mb=mb) from None
    reading.flush()
    for name in nested.found():
        reading.writer.change(name, _parsed)
        reading.note("notice.data.nested", column=name)
    if not reading.seen:
        raise DataError("error.data.header_only", file=reading.file, columns=", ".join(names)[:200])


def _read_row(
    line: int, begin: str, row: list[str] | csv.Error, names: Sequence[str], nested: "_Nested", reading: Reading
) -> None:
    if isinstance(row, csv.Error):
        if "unexpected end" in str(row):
            raise DataError("error.data.quote_open", file=reading.file, line=line)
        reading.leave(line, "error.row.quote", begin)
        return
    while len(row) > len(names) and not row[-1]:
        row.pop()
    if len(row) == len(names):
        nested.look(row)
        reading.keep(dict(zip(names, row, strict=True)), sum(map(len, row)))
    else:
        reading.leave(line, "error.row.fields", begin, found=len(row), expected=len(names))


class _RowTooLong(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _Lines:
    """Lines as the csv module counts them, ended by \\n, \\r\\n or \\r; knows where the row being read begins.

    A line that is too long is left out, unless a row goes on in it.
    """

    def __init__(self, pieces: Iterable[str], reading: Reading | None = None) -> None:
        self._lines = _split(pieces)
        self._reading = reading
        self.number = 0
        self.begin_row()

    def begin_row(self) -> None:
        self._first = 0
        self._characters = 0
        self.begin = ""

    @property
    def first(self) -> int:
        """The line on which the row begins."""
        return self._first or self.number + 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while True:
            line, whole = next(self._lines)
            self.number += 1
            self._characters += len(line)
            if (not whole or self._characters > MAX_ROW_BYTES) and self._first:
                raise _RowTooLong(self._first)
            if whole:
                break
            if self._reading:
                self._reading.leave_too_long(self.number, line)
        if not self._first:
            self._first, self.begin = self.number, line
        return line


def _split(pieces: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Lines, and whether they are whole: of one that is too long only the beginning is given."""
    rest: list[str] = []  # pieces of the line that is not ended yet
    held = 0
    skipping = False
    for piece in pieces:
        if "\n" in piece or "\r" in piece or (rest and rest[-1].endswith("\r")):
            lines = list(StringIO("".join(rest) + piece, newline=""))
            # What ends in \r may go on with \n.
            rest = [] if lines[-1].endswith("\n") else [lines.pop()]
            if skipping and (lines or rest[0].endswith("\r")):
                skipping = False
                lines, rest = lines[1:], rest if lines else []
            for line in lines:
                yield line, True
        else:
            rest.append(piece)
        held = sum(map(len, rest))
        if skipping:
            rest = []
        elif held > MAX_ROW_BYTES:
            yield "".join(rest)[:1000], False
            rest, skipping = [], True
    if rest and not skipping:
        yield "".join(rest), True


def _rows(lines: _Lines, delimiter: str) -> Iterator[tuple[int, str, list[str] | csv.Error]]:
    """(line on which the row begins, that line, fields or what is wrong); empty lines are no rows."""
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin_row()
        try:
            row: list[str] | csv.Error = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = error
        if row:
            yield lines.first, lines.begin, row


class _Nested:
    """Columns whose every cell is a JSON list of objects, as other programs write conversations into CSV."""

    def __init__(self, names: Sequence[str]) -> None:
        self._open = dict(enumerate(names))
        self._filled: set[str] = set()

    def look(self, row: Sequence[str]) -> None:
        for number, name in list(self._open.items()):
            cell = row[number]
            if cell and _is_nested(cell):
                self._filled.add(name)
            elif cell:
                del self._open[number]

    def found(self) -> list[str]:
        return [name for name in self._open.values() if name in self._filled]


def _is_nested(cell: str) -> bool:
    if not cell.lstrip().startswith("["):
        return False
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        return False
    return bool(value) and all(isinstance(item, dict) for item in value) and not is_too_deep(value)


def _parsed(cell: str | None) -> Any:
    return json.loads(cell) if cell else None


def column_names(header: Sequence[str], reading: Reading) -> list[str]:
    """Column names: each has one, and only one has it."""
    names: dict[str, None] = {}
    for number, title in enumerate(header, 1):
        name = base = title.strip() or f"column {number}"
        copy = 2
        while name in names:
            name = f"{base} ({copy})"
            copy += 1
        if name != title.strip():
            reading.note("notice.data.renamed", number=number, name=name)
        names[name] = None
    return list(names)
