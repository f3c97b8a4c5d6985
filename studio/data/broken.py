"""Text that was decoded wrongly somewhere on its way: found, and mended where it can be."""

import re

import ftfy
from ftfy.badness import BADNESS_RE, is_bad
from ftfy.chardata import UTF8_DETECTOR_RE

# Tabs and line ends are text; other control characters, and those that are no characters at all, are not.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_LOST = "\ufffd"
# UTF-8 read as Shift-JIS, the usual Japanese mojibake, which ftfy leaves alone: kana begin with a rare kanji.
_WIDE_RUN = re.compile(r"[^\x00-\x7f]{2,}")
_TERMINAL = re.compile("[\x1b\x80-\x9f]")
_KANA_RUN = re.compile(r"(?:[縺繧繝][^\x00-\x7f]{1,2}){2,}")
_KANA_AS_KANJI = re.compile(r"(?:[縺繧繝][^\x00-\x7f]{1,2}){2}")
# Only what undoes a wrong decoding: no change of quotes, widths or ligatures, which are the author's.
_MENDING = ftfy.TextFixerConfig(
    unescape_html=False,
    remove_terminal_escapes=True,
    fix_encoding=True,
    restore_byte_a0=True,
    replace_lossy_sequences=False,
    decode_inconsistent_utf8=True,
    fix_c1_controls=True,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    fix_line_breaks=False,
    fix_surrogates=False,
    remove_control_chars=False,
    normalization=None,
    explain=False,
)


# What mojibake is made of: Latin, Greek and Cyrillic letters, typographic signs. Most text has none and is passed by.
_SUSPECT = re.compile("[\x1b\x80-\u04ff\u1e00-\u1eff\u2010-\u203a\u20ac\u2116\u2122]")


def _for_re2(pattern: re.Pattern[str]) -> str:
    """A verbose pattern of ftfy's as RE2 reads it, which passes over a text some fifty times as fast; it finds all
    that the pattern finds, and a little more (there is no looking behind).
    """
    text = re.sub(r"^\s*#.*$", "", pattern.pattern, flags=re.MULTILINE)
    parts = re.findall(r"\[(?:\\.|[^\]\\])*\]|\\.|\s+|.", text, re.DOTALL)
    bare = "".join(part for part in parts if not part.isspace())
    return re.sub(r"^\(\?<!\[(?:\\.|[^\]\\])*\]\)", "", bare).replace(r"\s", r"[\s\p{Z}]").replace(r"\w", ".")


# For RE2: every text that can be mended, or is lost, holds one of these.
MENDABLE_HINT = "|".join(
    (
        r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}\x{fffe}\x{ffff}]",
        r"[縺繧繝][^\x00-\x7f]{1,2}[縺繧繝]",
        _for_re2(BADNESS_RE),
        _for_re2(UTF8_DETECTOR_RE),
    )
)
UNREADABLE_HINT = rf"{MENDABLE_HINT}|\x{{fffd}}"


def mend(text: str) -> str:
    """The text as it was meant, as far as that can be told; mending twice is mending once. Where nothing is wrong but
    control characters it stays: they are a fault of their own, with a fix of its own."""
    mended = _mended(text)
    return text if mended == _CONTROL.sub("", text) else mended


def _mended(text: str) -> str:
    before = None
    while before != text:
        before = text
        text = _CONTROL.sub("", _mend_once(text))
    return text


def _mend_once(text: str) -> str:
    if _SUSPECT.search(text) and (_TERMINAL.search(text) or UTF8_DETECTOR_RE.search(text) or is_bad(text)):
        text = ftfy.fix_text(text, _MENDING)
    if _KANA_AS_KANJI.search(text):
        text = _WIDE_RUN.sub(_from_shift_jis, text)
    return text


def _from_shift_jis(run: re.Match[str]) -> str:
    """The run as a whole, or the kana in it, which may stand between sound text."""
    whole = _as_utf8(run.group())
    return _KANA_RUN.sub(_longest_from_shift_jis, run.group()) if whole is None else whole


def _longest_from_shift_jis(run: re.Match[str]) -> str:
    text = run.group()
    for end in range(len(text), max(len(text) - 3, 1), -1):
        if (mended := _as_utf8(text[:end])) is not None:
            return mended + text[end:]
    return text


def _as_utf8(text: str) -> str | None:
    try:
        return text.encode("cp932").decode("utf-8")
    except UnicodeError:
        return None


def is_mendable(text: str) -> bool:
    """Whether mending would change it."""
    return mend(text) != text


def is_unreadable(text: str) -> bool:
    """Whether characters are lost for good: U+FFFD, or mojibake that no mending undoes."""
    return _LOST in text or _is_mojibake(_mended(text))


def _is_mojibake(text: str) -> bool:
    return (_SUSPECT.search(text) is not None and is_bad(text)) or _KANA_AS_KANJI.search(text) is not None
