"""Rows of a table -> a file for other programs, row by row; written whole or not at all."""

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from studio.data.table_writer import Row

# What spreadsheet programs take for a formula (https://owasp.org/www-community/attacks/CSV_Injection); an apostrophe
# before it makes it text. A number with a sign is none.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_encode = json.JSONEncoder(ensure_ascii=False).encode


def export_jsonl(rows: Iterable[Row], path: Path) -> int:
    """One object per line, as it would be read again; how many."""
    count = 0
    with _written(path, "utf-8") as file:
        for row in rows:
            file.write(_encode(row.values) + "\n")
            count += 1
    return count


def export_csv(rows: Iterable[Row], columns: Sequence[str], path: Path) -> int:
    """A line of names, then one per row; what is neither text nor empty is written as JSON. How many rows.

    It begins with a byte order mark, without which Excel takes Japanese for something else.
    """
    count = 0
    with _written(path, "utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow([as_text(name) for name in columns])
        for row in rows:
            writer.writerow([_cell(row.values.get(name)) for name in columns])
            count += 1
    return count


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return as_text(value if isinstance(value, str) else _encode(value))


def as_text(text: str) -> str:
    """The text as a spreadsheet shows it, even if it looks like a formula."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


@contextmanager
def _written(path: Path, encoding: str) -> Iterator[IO[str]]:
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w", encoding=encoding, newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
