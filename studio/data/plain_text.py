"""One way to write what looks the same."""

import unicodedata


def plain_text(text: str, *, ignore_case: bool = True) -> str:
    """NFKC (full-width letters and digits become half-width ones, half-width katakana full-width), single spaces, none
    at the ends; upper and lower case as one (https://www.unicode.org/reports/tr15)."""
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    return text.casefold() if ignore_case else text
