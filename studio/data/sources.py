"""A file of any accepted kind, or several -> a table. Every row is kept, or told as left out with its line and why."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from studio.data.archives import Allowance, check_zip, gunzip, is_gzip, is_hidden, is_zip, members, unzip
from studio.data.csv_rows import find_delimiter, read_csv
from studio.data.documents import PassageSize, read_html, read_pdf, read_text_document
from studio.data.encodings import TextFile, detect
from studio.data.excel import read_excel
from studio.data.json_rows import is_json, is_lines, read_lines, read_list
from studio.data.parquet_rows import read_parquet
from studio.data.reading import LeftOut, Reading
from studio.data.table_writer import TableWriter, whole
from studio.data.tables import Column, Note, Table
from studio.data.watch import Watch
from studio.errors import DataError

KINDS = {
    ".jsonl": "JSONL", ".ndjson": "JSONL", ".json": "JSON", ".csv": "CSV", ".tsv": "CSV", ".parquet": "Parquet",
    ".xlsx": "Excel", ".xls": "Excel",
}  # fmt: skip
DOCUMENTS = {".txt": "Text", ".md": "Markdown", ".html": "HTML", ".htm": "HTML", ".pdf": "PDF"}
PACKED = (".gz", ".zip")
ENDINGS = (*KINDS, *DOCUMENTS, *PACKED)
# First bytes of what people take for a table (https://en.wikipedia.org/wiki/List_of_file_signatures).
_FOREIGN = (
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
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# What is inside a zip file that is no archive to its user.
_OFFICE = (
    ("xl/", "Excel"),
    ("word/", "Word (.docx)"),
    ("ppt/", "PowerPoint (.pptx)"),
    ("META-INF/container.xml", "EPUB"),
    ("content.xml", "OpenDocument"),
)
_SHOWN = 5
_HEAD_CHARACTERS = 4_000_000
_NAME_CHARACTERS = 200
_PASTED = "pasted"


@dataclass(frozen=True, slots=True)
class Source:
    """What a file held. `kind`: JSONL, JSON, CSV, Parquet, Excel, Text, Markdown, HTML or PDF, or several of them
    joined by commas; `encoding` None where the kind has none.

    `left_out` are the first rows left out, `left_out_rows` says how many there are.
    """

    rows: int
    columns: tuple[Column, ...]
    kind: str
    encoding: str | None
    notes: tuple[Note, ...]
    left_out: tuple[LeftOut, ...]
    left_out_rows: int


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_bytes`: of a file, and of all that is unpacked from it."""

    max_bytes: int
    passages: PassageSize


@dataclass(frozen=True, slots=True)
class _Input:
    """A file to read: `member` of the archive `path` where there is one. `name` is shown, its ending is looked at."""

    path: Path
    name: str
    member: int | None = None

    @property
    def ending(self) -> str:
        name = self.name.lower()
        return Path(name.removesuffix(".gz")).suffix


def read_source(
    path: Path,
    target: Path,
    *,
    encoding: str | None = None,
    name: str | None = None,
    max_bytes: int,
    passages: PassageSize = PassageSize(),  # noqa: B008  # frozen
    watch: Watch | None = None,
) -> Source:
    """Read a file, an archive or a folder into a table at `target`.

    `name` is what the user calls it; `encoding` None finds it out. Raises DataError, and leaves no table: missing,
    empty, too big, not of a known kind, no rows, more rows broken than whole. Raises Stopped when `watch` does.
    """
    return _read_all([(path, name or path.name)], target, encoding, Limits(max_bytes, passages), watch or Watch())


def read_sources(
    paths: Sequence[tuple[Path, str]],
    target: Path,
    *,
    encoding: str | None = None,
    max_bytes: int,
    passages: PassageSize = PassageSize(),  # noqa: B008  # frozen
    watch: Watch | None = None,
) -> Source:
    """Read several files, each with the name it is shown under, into one table with a column `source`."""
    return _read_all(paths, target, encoding, Limits(max_bytes, passages), watch or Watch())


def read_text(
    text: str,
    target: Path,
    *,
    name: str,
    max_bytes: int,
    passages: PassageSize = PassageSize(),  # noqa: B008
    watch: Watch | None = None,
) -> Source:
    """Read pasted text, recognised like a file; what is no table is read as passages."""
    pasted = target.with_name(f"{target.name}.{_PASTED}")
    try:
        pasted.write_text(whole(text), encoding="utf-8")
        return _read_all([(pasted, name)], target, "utf-8", Limits(max_bytes, passages), watch or Watch(), plain=True)
    finally:
        pasted.unlink(missing_ok=True)


def _read_all(
    paths: Sequence[tuple[Path, str]],
    target: Path,
    encoding: str | None,
    limits: Limits,
    watch: Watch,
    *,
    plain: bool = False,
) -> Source:
    inputs = [item for path, name in paths for item in _inputs(path, name, limits)]
    chosen, skipped = _choose(inputs, paths[0][1])
    with _collector_paused():
        try:
            if len(chosen) == 1 and chosen[0].member is None:
                try:
                    return _read_inputs(chosen, skipped, target, encoding, limits, watch, plain=plain, quick=True)
                except UnicodeDecodeError:
                    pass
            return _read_inputs(chosen, skipped, target, encoding, limits, watch, plain=plain, quick=False)
        except RecursionError:
            raise DataError("error.data.too_deep", file=paths[0][1]) from None


def _inputs(path: Path, name: str, limits: Limits) -> list[_Input]:
    """The file itself, or the files in a folder or an archive."""
    if path.is_dir():
        found = sorted(item for item in path.rglob("*") if item.is_file())
        shown = [(item, item.relative_to(path).as_posix()) for item in found]
        inside = [part for item, inner in shown if not is_hidden(inner) for part in _inputs(item, inner, limits)]
        if not inside:
            raise DataError("error.data.nothing_inside", file=name, endings=" ".join(ENDINGS))
        return inside
    if not path.is_file():
        raise DataError("error.data.missing", file=name)
    size = path.stat().st_size
    if size == 0:
        raise DataError("error.data.empty", file=name)
    if size > limits.max_bytes:
        mb, limit = -(-size // 1_000_000), limits.max_bytes // 1_000_000
        raise DataError("error.data.too_big", file=name, mb=mb, limit_mb=limit)
    if is_zip(_head(path)):
        names = members(path, name)
        if not _office(names):
            if not names:
                raise DataError("error.data.nothing_inside", file=name, endings=" ".join(ENDINGS))
            return [_Input(path, f"{name}/{inner[-_NAME_CHARACTERS:]}", number) for number, inner in names]
    return [_Input(path, name)]


def _head(path: Path) -> bytes:
    with path.open("rb") as opened:
        return opened.read(512)


def _office(names: Sequence[tuple[int, str]]) -> str | None:
    return next((kind for begin, kind in _OFFICE if any(name.startswith(begin) for _, name in names)), None)


def _choose(inputs: Sequence[_Input], name: str) -> tuple[list[_Input], list[_Input]]:
    """Of several files the tables; the documents where there is no table."""
    if len(inputs) == 1:
        return list(inputs), []
    for endings in (KINDS, DOCUMENTS):
        chosen = [item for item in inputs if item.ending in endings]
        if chosen:
            return chosen, [item for item in inputs if item not in chosen]
    raise DataError("error.data.nothing_inside", file=name, endings=" ".join(ENDINGS))


def _read_inputs(
    inputs: Sequence[_Input],
    skipped: Sequence[_Input],
    target: Path,
    encoding: str | None,
    limits: Limits,
    watch: Watch,
    *,
    plain: bool,
    quick: bool,
) -> Source:
    several = len(inputs) > 1
    allowance = Allowance(limits.max_bytes, watch=watch)
    kinds: dict[str, None] = {}
    encodings: dict[str, None] = {}
    columns: dict[str, set[str]] = {}
    with TableWriter(target, watch.look) as writer:
        reading = Reading(inputs[0].name, writer, watch)
        for number, item in enumerate(inputs):
            watch.begin(number, len(inputs))
            reading.file, reading.columns = item.name, set()
            reading.several = several and item.ending not in DOCUMENTS
            with _unpacked(item, target, allowance) as path:
                reader = _FileReader(path, item.ending, reading, encoding, limits, allowance, plain, quick)
                kind, text = reader.read()
            kinds[kind] = None
            columns[item.name] = reading.columns
            _tell_file(reading, item.ending, kind, text)
            if text:
                encodings[text.name] = None
        _check(reading)
    if several:
        _tell_several(reading, columns)
    if skipped:
        names = ", ".join(item.name for item in skipped[:_SHOWN]) + (", …" if len(skipped) > _SHOWN else "")
        reading.note("notice.data.skipped_files", count=len(skipped), names=names)
    _tell_rows(reading)
    return Source(
        rows=writer.rows,
        columns=Table(target).columns,
        kind=", ".join(kinds),
        encoding=", ".join(encodings) or None,
        notes=tuple(reading.notes),
        left_out=tuple(reading.left_out),
        left_out_rows=reading.left_out_rows,
    )


@contextmanager
def _unpacked(item: _Input, target: Path, allowance: Allowance) -> Iterator[Path]:
    """The file as it is inside; unpacked beside the table for as long as it is read."""
    made: list[Path] = []

    def place() -> Path:
        made.append(target.with_name(f"{target.name}.unpacked{len(made)}"))
        return made[-1]

    try:
        path = item.path
        if item.member is not None:
            packed, path = path, place()
            unzip(packed, item.member, item.name, path, allowance)
        if is_gzip(_head(path)):
            packed, path = path, place()
            gunzip(packed, item.name, path, allowance)
        if not path.stat().st_size:
            raise DataError("error.data.empty", file=item.name)
        yield path
    finally:
        for file in made:
            file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _FileReader:
    """Reads one unpacked file as what it is, whatever its ending says. `plain`: what is no table is passages."""

    path: Path
    ending: str
    reading: Reading
    encoding: str | None
    limits: Limits
    allowance: Allowance
    plain: bool
    quick: bool

    @property
    def file(self) -> str:
        return self.reading.file

    def read(self) -> tuple[str, TextFile | None]:
        """The kind, and how its text was read."""
        head = _head(self.path)
        if head.startswith(b"PAR1"):
            read_parquet(self.path, self.reading, self.limits.max_bytes)
            return "Parquet", None
        if head.startswith(b"%PDF"):
            read_pdf(self.path, self.limits.passages, self.reading)
            return "PDF", None
        if head.startswith(_OLE) or is_zip(head):
            return self._workbook(head), None
        for mark, foreign in _FOREIGN:
            if head.startswith(mark):
                raise self._refused(foreign)
        if head[257:262] == b"ustar":
            raise self._refused("tar")
        if self.ending == ".parquet":
            raise DataError("error.data.parquet", file=self.file)
        if self.ending in (".xlsx", ".xls"):
            raise DataError("error.data.excel", file=self.file)
        if self.ending == ".pdf":
            raise DataError("error.data.pdf", file=self.file)
        text = detect(self.path, self.file, self.encoding, quick=self.quick, watch=self.reading.watch)
        return self._text(text), text

    def _refused(self, kind: str) -> DataError:
        return DataError("error.data.kind_refused", file=self.file, kind=kind)

    def _workbook(self, head: bytes) -> str:
        if is_zip(head):
            office = _office(members(self.path, self.file))
            if office not in ("Excel", "OpenDocument"):
                raise self._refused(office or "ZIP")
            check_zip(self.path, self.file, self.allowance)
        read_excel(self.path, self.reading)
        return "Excel"

    def _text(self, text: TextFile) -> str:
        head, line, complete = text.beginning(_HEAD_CHARACTERS)
        if not head:
            raise DataError("error.data.empty", file=self.file)
        document = DOCUMENTS.get(self.ending)
        if document == "HTML":
            read_html(text, self.limits.passages, self.reading)
            return document
        if document == "Markdown":
            read_text_document(text, self.limits.passages, self.reading)
            return document
        expected = KINDS.get(self.ending)
        kind = _kind(text, head, complete, expected)
        if kind == "JSONL":
            read_lines(text, self.reading)
            return kind
        if kind == "JSON" and not ((document or self.plain) and not is_json(text)):
            read_list(text, self.reading)
            return kind
        delimiter = find_delimiter(text, strict=document is not None or self.plain)
        if delimiter is None and (document or self.plain):
            read_text_document(text, self.limits.passages, self.reading)
            return "Text"
        if delimiter is None and expected in ("JSON", "JSONL"):
            begin = head.split("\n", 1)[0][:60]
            raise DataError("error.data.not_json", file=self.file, kind=expected, line=line, begin=begin)
        if delimiter is None and expected is None:
            raise DataError("error.data.kind_unknown", file=self.file)
        read_csv(text, delimiter or ",", self.reading)
        return "CSV"


def _tell_file(reading: Reading, ending: str, kind: str, text: TextFile | None) -> None:
    expected = KINDS.get(ending)
    if expected and expected != kind:
        reading.note("notice.data.other_kind", ending=ending, kind=kind)
    if text and text.encoding not in ("utf-8", "utf-8-sig"):
        reading.note("notice.data.encoding", encoding=text.name)
    reading.replaced += text.replaced if text else 0


def _tell_several(reading: Reading, columns: Mapping[str, set[str]]) -> None:
    """How many files, and which have columns of their own."""
    reading.note("notice.data.files", count=len(columns))
    first, *others = columns
    different = [name for name in others if columns[name] != columns[first]]
    if different:
        names = ", ".join(different[:_SHOWN]) + (", …" if len(different) > _SHOWN else "")
        reading.note("notice.data.different_columns", count=len(different), first=first, names=names)


def _tell_rows(reading: Reading) -> None:
    replaced = reading.replaced + reading.writer.replaced
    if replaced:
        reading.note("notice.data.replaced", count=replaced)
    if reading.left_out:
        lines = ", ".join(str(item.line) for item in reading.left_out[:_SHOWN])
        more = ", …" if reading.left_out_rows > _SHOWN else ""
        reading.note("notice.data.left_out", count=reading.left_out_rows, rows=reading.seen, lines=lines + more)


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


class _MostlyBroken(DataError):
    """Tells the first row's reason in the language asked for."""

    def message(self, language: str = "en") -> str:
        key, values = self.values["reason"]  # type: ignore[misc]
        shown = {**self.values, "reason": DataError(key, **values).message(language)}
        return DataError(self.key, **shown).message(language)


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
