"""Text that was decoded wrongly somewhere on its way: found, and mended where it can be."""

import re

import ftfy
from ftfy.badness import is_bad
from ftfy.chardata import UTF8_DETECTOR_RE

# Tabs and line ends are text; other control characters, and those that are no characters at all, are not.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_LOST = "\ufffd"
# UTF-8 read as Shift-JIS, the usual Japanese mojibake, which ftfy leaves alone: kana begin with a rare kanji.
_WIDE_RUN = re.compile(r"[^\x00-\x7f]{2,}")
_TERMINAL = re.compile("[\x1b\x80-\x9f]")
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

# The same for RE2: every text that can be mended, or is lost, holds one of these.
MENDABLE_HINT = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{4ff}\x{1e00}-\x{1eff}\x{2010}-\x{203a}\x{20ac}\x{2116}\x{2122}\x{fffe}\x{ffff}]"
    r"|[縺繧繝][^\x00-\x7f]{1,2}[縺繧繝]"
)
UNREADABLE_HINT = rf"{MENDABLE_HINT}|\x{{fffd}}"


def mend(text: str) -> str:
    """The text as it was meant, as far as that can be told; mending twice is mending once."""
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
    try:
        return run.group().encode("cp932").decode("utf-8")
    except UnicodeError:
        return run.group()


def is_mendable(text: str) -> bool:
    """Whether mending would change it."""
    return mend(text) != text


def is_unreadable(text: str) -> bool:
    """Whether characters are lost for good: U+FFFD, or mojibake that no mending undoes."""
    return _LOST in text or _is_mojibake(mend(text))


def _is_mojibake(text: str) -> bool:
    return (_SUSPECT.search(text) is not None and is_bad(text)) or _KANA_AS_KANJI.search(text) is not None
