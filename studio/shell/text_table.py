"""Tables and texts for a terminal."""

from collections.abc import Sequence
from unicodedata import east_asian_width


def text_table(lines: Sequence[Sequence[str]]) -> str:
    """The lines with their cells in columns, two spaces apart."""
    widths = [max(_width(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def printable(text: str) -> str:
    """Names and answers come from files and models: control characters must not reach the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
