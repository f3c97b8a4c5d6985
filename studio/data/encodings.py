"""Bytes of a text file -> text, with the encoding found and what could not be read counted."""

import codecs
from dataclasses import dataclass

from charset_normalizer import from_bytes

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
_SAMPLE_BYTES = 400_000
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

# Those to choose from by hand, as `decode` takes them.
ENCODINGS = ("UTF-8", "UTF-16", "Shift-JIS", "EUC-JP", "ISO-2022-JP", "GB18030", "Big5", "CP949", "CP1252", "CP1251")


@dataclass(frozen=True, slots=True)
class Decoded:
    """`replaced` counts the characters that could not be read and became U+FFFD."""

    text: str
    encoding: str
    replaced: int

    @property
    def name(self) -> str:
        """The encoding as people call it."""
        return NAMES.get(self.encoding, self.encoding)


def decode(data: bytes, file: str, encoding: str | None = None) -> Decoded:
    """Text of `data`; `encoding` None finds it out. Raises DataError for bytes that are no text or read wrongly."""
    if encoding is not None:
        return _decode_as(data, file, encoding)
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _lenient(data, name)
    wide = _unmarked_utf16(data)
    if wide:
        return _lenient(data, wide)
    if b"\x00" in data[:_SAMPLE_BYTES] and data[:_SAMPLE_BYTES].count(0) > len(data[:_SAMPLE_BYTES]) // 100:
        raise DataError("error.data.not_text", file=file)
    if b"\x1b$" in data[:_SAMPLE_BYTES]:
        return _lenient(data, "iso2022_jp")
    try:
        return Decoded(data.decode("utf-8"), "utf-8", 0)
    except UnicodeDecodeError as error:
        return _legacy(data, file, error)


def _decode_as(data: bytes, file: str, encoding: str) -> Decoded:
    try:
        name = codecs.lookup(encoding.strip()).name
        codec = _WIDER.get(name, name)
        return Decoded(data.decode(codec), codec, 0)
    except LookupError:
        raise DataError("error.data.encoding_unknown", file=file, encoding=encoding) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError("error.data.encoding_wrong", file=file, encoding=encoding, line=line) from None


def _lenient(data: bytes, encoding: str) -> Decoded:
    try:
        return Decoded(data.decode(encoding), encoding, 0)
    except UnicodeDecodeError:
        before = data.decode(encoding, "ignore").count("\ufffd")
        text = data.decode(encoding, "replace")
        return Decoded(text, encoding, text.count("\ufffd") - before)


def _unmarked_utf16(data: bytes) -> str | None:
    """UTF-16 without a mark has a zero byte beside almost every ASCII one: line ends, quotes, commas."""
    head = data[: _SAMPLE_BYTES - _SAMPLE_BYTES % 2]
    if len(data) % 2 or len(head) < 4:
        return None
    for name, newline in (("utf-16-le", b"\n\x00"), ("utf-16-be", b"\x00\n")):
        zeros = head[1 if name.endswith("le") else 0 :: 2].count(0)
        others = head[0 if name.endswith("le") else 1 :: 2].count(0)
        if zeros and not others and (newline in head or zeros > len(head) // 4):
            return name
    return None


def _legacy(data: bytes, file: str, error: UnicodeDecodeError) -> Decoded:
    """An older encoding if the whole file reads as one; else UTF-8 with the few broken bytes replaced."""
    broken = data.decode("utf-8", "replace").count("\ufffd")
    multibyte = sum(byte >= 0x80 for byte in data[:_SAMPLE_BYTES])
    sample = data[max(0, error.start - _SAMPLE_BYTES // 2) :][:_SAMPLE_BYTES]
    # A file that is UTF-8 but for a few bytes has many more non-ASCII bytes than broken places.
    if broken * 20 > multibyte:
        for codec in _candidates(sample):
            try:
                return Decoded(data.decode(codec), codec, 0)
            except UnicodeDecodeError:
                continue
    if broken > len(data) // 20:
        raise DataError("error.data.not_text", file=file)
    return _lenient(data, "utf-8")


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
