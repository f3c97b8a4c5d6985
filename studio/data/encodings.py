"""Bytes of a text file -> text, piece by piece, with the encoding found and what could not be read counted."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from charset_normalizer import from_bytes

from studio.data.watch import Watch
from studio.errors import DataError

# Longest first: the UTF-32 mark begins with the UTF-16 one.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Windows' Shift-JIS and its relatives hold what the narrower standards lack.
_WIDER = {"shift_jis": "cp932", "gb2312": "gb18030", "gbk": "gb18030", "iso8859-1": "cp1252", "ascii": "utf-8"}
_LEGACY = ["cp932", "euc_jp", "gb18030", "big5", "cp949", "cp1252", "cp1251"]
_UTF8 = ("utf-8", "utf-8-sig")
_SAMPLE_BYTES = 400_000
_BLOCK_BYTES = 1_000_000
# So many zero bytes may be in any text.
_FEW = 3
NAMES = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 (BOM)",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
    "cp932": "Shift-JIS",
    "euc_jp": "EUC-JP",
    "iso2022_jp": "ISO-2022-JP",
}

# Those to choose from by hand, as `detect` takes them.
ENCODINGS = ("UTF-8", "UTF-16", "Shift-JIS", "EUC-JP", "ISO-2022-JP", "GB18030", "Big5", "CP949", "CP1252", "CP1251")


@dataclass(slots=True)
class TextFile:
    """A file whose encoding is known. `broken`: some of its bytes cannot be read and become U+FFFD.

    `replaced` counts those characters, as far as the last pass over the file came.
    """

    path: Path
    encoding: str
    broken: bool = False
    replaced: int = 0
    watch: Watch | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The encoding as people call it."""
        return NAMES.get(self.encoding, self.encoding)

    def text(self) -> Iterator[str]:
        """The file in pieces, without its byte order mark."""
        self.replaced = 0
        return _without_mark(self._broken_text() if self.broken else _strict_text(self.path, self.encoding, self.watch))

    def _broken_text(self) -> Iterator[str]:
        replacing = codecs.getincrementaldecoder(self.encoding)("replace")
        ignoring = codecs.getincrementaldecoder(self.encoding)("ignore")
        for block, last in _blocks(self.path, self.watch):
            piece = replacing.decode(block, last)
            self.replaced += piece.count("\ufffd") - ignoring.decode(block, last).count("\ufffd")
            yield piece

    def blocks(self) -> Iterator[bytes]:
        """The text as UTF-8, cut anywhere: quicker than `text`, as most files are UTF-8 already."""
        if self.broken or self.encoding not in _UTF8:
            for piece in self.text():
                yield piece.encode()
            return
        self.replaced = 0
        first = True
        for block, _ in _blocks(self.path, self.watch):
            yield block.removeprefix(codecs.BOM_UTF8) if first else block
            first = False

    def beginning(self, characters: int) -> tuple[str, int, bool]:
        """The first characters that are no space, on which line they begin, and whether that is the whole file."""
        found, line = "", 1
        for piece in self.text():
            if not found:
                kept = piece.lstrip()
                line += piece.count("\n", 0, len(piece) - len(kept))
                piece = kept
            found += piece
            if len(found) > characters:
                return found[:characters], line, False
        return found, line, True


def _blocks(path: Path, watch: Watch | None) -> Iterator[tuple[bytes, bool]]:
    """Pieces of the file; True beside the last."""
    size = path.stat().st_size
    done = 0
    with path.open("rb", buffering=0) as file:
        block = file.read(_BLOCK_BYTES)
        while block:
            done += len(block)
            if watch:
                watch.at(min(1.0, done / size))
            following = file.read(_BLOCK_BYTES)
            yield block, not following
            block = following


def _strict_text(path: Path, codec: str, watch: Watch | None) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(codec)("strict")
    for block, last in _blocks(path, watch):
        yield decoder.decode(block, last)


def _without_mark(pieces: Iterator[str]) -> Iterator[str]:
    first = True
    for piece in pieces:
        if piece:
            yield piece.removeprefix("\ufeff") if first else piece
            first = False


def detect(
    path: Path, file: str, encoding: str | None = None, *, quick: bool = False, watch: Watch | None = None
) -> TextFile:
    """How the file is to be read; `encoding` None finds it out. Raises DataError for bytes that are no text or read
    wrongly.

    `quick` takes a file for UTF-8 that begins so; reading it raises UnicodeDecodeError where it goes on differently.
    """
    if encoding is not None:
        return _chosen(path, file, encoding, watch)
    with path.open("rb") as opened:
        head = opened.read(_SAMPLE_BYTES)
    for mark, name in _MARKS:
        if head.startswith(mark):
            return _lenient(path, name, watch)
    wide = _unmarked_utf16(head, path.stat().st_size)
    if wide:
        return _lenient(path, wide, watch)
    if head.count(0) > max(_FEW, len(head) // 100):
        raise DataError("error.data.not_text", file=file)
    if b"\x1b$" in head:
        return _lenient(path, "iso2022_jp", watch)
    if quick and _is_utf8(head[: _whole_characters(head)]):
        return TextFile(path, "utf-8", watch=watch)
    wrong = _first_wrong(path, "utf-8", watch)
    if wrong is None:
        return TextFile(path, "utf-8", watch=watch)
    return _legacy(path, file, head, wrong, watch)


def _chosen(path: Path, file: str, encoding: str, watch: Watch | None) -> TextFile:
    try:
        name = codecs.lookup(encoding.strip()).name
        codec = _WIDER.get(name, name)
        codecs.getincrementaldecoder(codec)
        wrong = _first_wrong(path, codec, watch)
    except LookupError:
        raise DataError("error.data.encoding_unknown", file=file, encoding=encoding) from None
    if wrong is not None:
        line = _line_at(path, wrong, watch)
        raise DataError("error.data.encoding_wrong", file=file, encoding=encoding, line=line)
    return TextFile(path, codec, watch=watch)


def _line_at(path: Path, place: int, watch: Watch | None) -> int:
    lines, seen = 1, 0
    for block, _ in _blocks(path, watch):
        lines += block.count(b"\n", 0, max(0, place - seen))
        seen += len(block)
        if seen >= place:
            break
    return lines


def _first_wrong(path: Path, codec: str, watch: Watch | None) -> int | None:
    """The byte at which strict reading fails."""
    if codec in _UTF8:
        return _first_wrong_utf8(path, watch)
    decoder = codecs.getincrementaldecoder(codec)("strict")
    seen = 0
    for block, last in _blocks(path, watch):
        try:
            decoder.decode(block, last)
        except UnicodeDecodeError as error:
            return seen + min(error.start, len(block))
        seen += len(block)
    return None


def _first_wrong_utf8(path: Path, watch: Watch | None) -> int | None:
    rest = b""
    seen = 0
    for block, last in _blocks(path, watch):
        data = rest + block
        cut = len(data) if last else _whole_characters(data)
        if not _is_utf8(data[:cut]):
            try:
                data[:cut].decode()
            except UnicodeDecodeError as error:
                return seen + error.start
        seen += cut
        rest = data[cut:]
    return None


def _whole_characters(data: bytes) -> int:
    """Up to where UTF-8 can be cut: before a character that may go on."""
    for back in range(1, min(4, len(data)) + 1):
        if data[-back] & 0xC0 != 0x80:
            return len(data) - back if data[-back] >= 0xC0 else len(data)
    return len(data)


def _is_utf8(data: bytes) -> bool:
    """Arrow looks with vector instructions: ten times as fast as decoding."""
    offsets = pa.py_buffer(np.array([0, len(data)], np.int64))
    cell = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(data)])
    try:
        cell.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _lenient(path: Path, encoding: str, watch: Watch | None) -> TextFile:
    return TextFile(path, encoding, broken=_first_wrong(path, encoding, watch) is not None, watch=watch)


def _unmarked_utf16(head: bytes, size: int) -> str | None:
    """UTF-16 without a mark has a zero byte beside almost every ASCII one: line ends, quotes, commas."""
    head = head[: len(head) - len(head) % 2]
    if size % 2 or len(head) < 4:
        return None
    for name, newline in (("utf-16-le", b"\n\x00"), ("utf-16-be", b"\x00\n")):
        zeros = head[1 if name.endswith("le") else 0 :: 2].count(0)
        others = head[0 if name.endswith("le") else 1 :: 2].count(0)
        if zeros and not others and (newline in head or zeros > len(head) // 4):
            return name
    return None


def _legacy(path: Path, file: str, head: bytes, wrong: int, watch: Watch | None) -> TextFile:
    """An older encoding if the whole file reads as one; else UTF-8 with the few broken bytes replaced."""
    as_utf8 = TextFile(path, "utf-8", broken=True, watch=watch)
    broken = sum(piece.count("\ufffd") for piece in as_utf8.text())
    multibyte = sum(byte >= 0x80 for byte in head)
    # A file that is UTF-8 but for a few bytes has many more non-ASCII bytes than broken places.
    if broken * 20 > multibyte:
        with path.open("rb") as opened:
            opened.seek(max(0, wrong - _SAMPLE_BYTES // 2))
            sample = opened.read(_SAMPLE_BYTES)
        for codec in _candidates(sample):
            if _first_wrong(path, codec, watch) is None:
                return TextFile(path, codec, watch=watch)
    if broken > path.stat().st_size // 20:
        raise DataError("error.data.not_text", file=file)
    return as_utf8


def _candidates(sample: bytes) -> list[str]:
    """Encodings from the most to the least likely, Japanese ones first when kana are found."""
    kana = [codec for codec in ("cp932", "euc_jp") if _kana_share(sample, codec) > 0.2]
    kana.sort(key=lambda codec: -_kana_share(sample, codec))
    found = [match.encoding for match in from_bytes(sample, cp_isolation=_LEGACY)]
    return list(dict.fromkeys([*kana, *found]))


def _kana_share(sample: bytes, codec: str) -> float:
    """Share of full-width kana among the non-ASCII characters; half-width kana are what wrong guesses are full of."""
    text = [c for c in sample.decode(codec, "ignore") if ord(c) > 0x7F]
    return sum("\u3041" <= c <= "\u30fc" for c in text) / len(text) if text else 0.0
