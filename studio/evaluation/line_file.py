"""Files that grow by lines of JSON, after a first line that says whose they are.

Lines are added in one write and only read when they are whole, and what a file holds already is not written again: a
killed process, or a full disk, costs what it was at and nothing before.
"""

import os
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

Line = TypeVar("Line")


def read_lines(path: Path, kind: TypeAdapter[Line], head: BaseModel | type[BaseModel]) -> list[Line]:
    """The lines of a file; none where there is no file, one of them is no such line, or the first is not `head` (or not
    of that kind)."""
    return _read(path, kind, head)[0]


class LineFile(Generic[Line]):
    """Open to be added to. What it holds of the same head is kept in `lines`; anything else is begun anew."""

    def __init__(self, path: Path, kind: TypeAdapter[Line], head: BaseModel) -> None:
        self.lines, size = _read(path, kind, head)
        self._kind = kind
        self._file = path.open("r+b" if size else "wb")
        if size:
            self._file.truncate(size)
            self._file.seek(size)
        else:
            self._write([head.model_dump_json().encode()])

    def add(self, *lines: Line) -> None:
        self._write([self._kind.dump_json(line) for line in lines])
        self.lines += lines

    def _write(self, lines: list[bytes]) -> None:
        self._file.write(b"".join(line + b"\n" for line in lines))
        self._file.flush()

    def __enter__(self) -> "LineFile[Line]":
        return self

    def __exit__(self, *_: object) -> None:
        os.fsync(self._file.fileno())
        self._file.close()


def _read(path: Path, kind: TypeAdapter[Line], head: BaseModel | type[BaseModel]) -> tuple[list[Line], int]:
    """The lines, and how many bytes they take with the first one."""
    data = path.read_bytes() if path.is_file() else b""
    whole = data[: data.rfind(b"\n") + 1]
    first, *others = whole.split(b"\n")
    try:
        if isinstance(head, type):
            head.model_validate_json(first)
        elif type(head).model_validate_json(first) != head:
            return [], 0
        return [kind.validate_json(line) for line in others[:-1]], len(whole)
    except ValidationError:
        return [], 0
