"""What every reader fills: rows as they are found go to the table, the others are told with their line and why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from studio.data.table_writer import MAX_COLUMNS, TableWriter, TooManyColumns
from studio.data.tables import Note
from studio.data.watch import Watch
from studio.errors import DataError

# A row, or a line of a file, that is longer is left out: it would fill the memory.
MAX_ROW_BYTES = 64_000_000
# Deeper values would be refused by Python's JSON reader wherever they are looked at.
MAX_DEPTH = 500
TOLD = 1000
_BEGINNING = 200
# A name no file gives a column: the finished table calls it "source".
_SOURCE = "\ud800source"
_BATCH_ROWS = 2048
_BATCH_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that could not be read. `key` names the reason's sentence, `text` is the beginning of the row.

    `file` is the one of several that holds it.
    """

    line: int
    key: str
    values: Mapping[str, Any]
    text: str
    file: str = ""


@dataclass(slots=True)
class Reading:
    """A file being read, or several one after the other into one table.

    Ids count every row, those left out too; `left_out` holds the first of them. `several`: rows get a column with the
    name of their file. `columns` are those of this file, `replaced` its characters that could not be read.
    """

    file: str
    writer: TableWriter
    watch: Watch = field(default_factory=Watch)
    left_out: list[LeftOut] = field(default_factory=list)
    left_out_rows: int = 0
    notes: list[Note] = field(default_factory=list)
    several: bool = False
    columns: set[str] = field(default_factory=set)
    replaced: int = 0
    has_values: bool = False
    seen: int = 0
    _ids: list[int] = field(default_factory=list)
    _values: list[Mapping[str, Any]] = field(default_factory=list)
    _bytes: int = 0

    def keep(self, values: Mapping[str, Any], size: int) -> None:
        """One row of about `size` bytes."""
        self.seen += 1
        self._ids.append(self.seen)
        self._values.append(values)
        self._bytes += size
        if len(self._ids) >= _BATCH_ROWS or self._bytes >= _BATCH_BYTES:
            self.flush()

    def keep_all(self, values: Sequence[Mapping[str, Any]]) -> None:
        """Many rows, a few megabytes together."""
        self.flush()
        self._write(range(self.seen + 1, self.seen + 1 + len(values)), values)
        self.seen += len(values)

    def flush(self) -> None:
        """Hand on the rows kept one by one."""
        ids, values = self._ids, self._values
        self._ids, self._values, self._bytes = [], [], 0
        if ids:
            self._write(ids, values)

    def _write(self, ids: Sequence[int], values: Sequence[Mapping[str, Any]]) -> None:
        self.has_values = self.has_values or any(values)
        if self.several:
            values = [{**row, _SOURCE: self.file} for row in values]
            self.writer.title(_SOURCE, "source")
        try:
            self.columns.update(self.writer.extend(ids, values))
        except TooManyColumns:
            raise DataError("error.data.too_many_columns", file=self.file, limit=MAX_COLUMNS) from None
        self.watch.rows()

    def leave(self, line: int, key: str, text: str, **values: Any) -> None:
        """A row that cannot be read."""
        self.seen += 1
        self.left_out_rows += 1
        if len(self.left_out) < TOLD:
            file = self.file if self.several else ""
            self.left_out.append(LeftOut(line, key, values, text[:_BEGINNING], file))

    def leave_too_long(self, line: int, text: str) -> None:
        self.leave(line, "error.row.too_long", text, mb=MAX_ROW_BYTES // 1_000_000)

    def note(self, sentence: str, **values: Any) -> None:
        note = Note(sentence, values)
        if note not in self.notes:
            self.notes.append(note)


def is_too_deep(value: Any) -> bool:
    """Whether lists and objects are nested in more than MAX_DEPTH levels."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        inner = [item for held in level for item in _items(held) if isinstance(item, dict | list)]
        if not inner:
            return False
        level = inner
    return True


def _items(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
