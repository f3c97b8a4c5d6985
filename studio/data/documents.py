"""Documents for continued pre-training -> passages: pieces of about the same length that end where a sentence does.

Each passage begins with the end of the one before (`overlap`), so that what stands on the border is learned in its
context. Nothing is lost: the passages without those beginnings, joined, are the text.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.data.encodings import TextFile
from studio.data.reading import MAX_ROW_BYTES, Reading
from studio.errors import DataError

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

# Where a passage may end, best first: after a paragraph, a sentence (Japanese ones too), a line, a word.
_ENDS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\n[ \t\r]*\n\s*",
        r"(?<![.!?…])[.!?…]+[\"'”’)\]]*\s+|[。！？!?]+[」』）”]*\s*",
        r"\n\s*",
        r"\s+|[、，]",
    )
)
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd", "details", "dialog", "div",
    "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header",
    "hr", "html", "li", "main", "nav", "ol", "option", "p", "pre", "section", "select", "summary", "table", "tbody",
    "td", "tfoot", "th", "thead", "title", "tr", "ul",
})  # fmt: skip
# Stands for a space of preformatted text while the others are drawn together.
_KEPT_SPACE = "\ue0f0"
_DROPPED = ("script", "style", "noscript", "template")


@dataclass(frozen=True, slots=True)
class PassageSize:
    """How long passages are, in characters: at most `length`, of which the first `overlap` repeat the one before."""

    length: int = 2000
    overlap: int = 200

    def __post_init__(self) -> None:
        if self.length < 100 or not 0 <= self.overlap <= self.length // 2:
            raise DataError("error.data.passages", length=self.length, overlap=self.overlap)


@dataclass(frozen=True, slots=True)
class Cut:
    """A piece of a text that begins at character `start`; from `new` on it repeats nothing."""

    text: str
    start: int
    new: int


def cut(pieces: Iterable[str], size: PassageSize) -> Iterator[Cut]:
    """The passages of a text that comes in pieces."""
    held = ""  # from `base` on, not cut yet; before it the end of the last passage
    before = ""
    base = 0
    fresh = size.length - size.overlap
    for piece in pieces:
        held += piece
        place = 0
        while len(held) - place > 2 * size.length:
            end = place + _best_end(held[place : place + fresh])
            yield Cut(before + held[place:end], base + place - len(before), base + place)
            before = _overlap(before + held[place:end], size.overlap)
            place = end
        held, base = held[place:], base + place
    place = 0
    while place < len(held):
        rest = len(held) - place
        end = len(held) if rest <= fresh else place + _best_end(held[place : place + fresh])
        yield Cut(before + held[place:end], base + place - len(before), base + place)
        before = _overlap(before + held[place:end], size.overlap)
        place = end


def _best_end(window: str) -> int:
    """Where in the second half of the window it is best to end; anywhere where there is no such place."""
    half = len(window) // 2
    for pattern in _ENDS:
        ends = [match.end() for match in pattern.finditer(window, half)]
        # What ends with the window may go on after it.
        ends = [end for end in ends if half < end < len(window)]
        if ends:
            return ends[-1]
    return len(window)


def _overlap(text: str, length: int) -> str:
    """The end of a passage, from where a sentence or a word begins if there is such a place."""
    if not length:
        return ""
    end = text[-length:]
    for pattern in (_ENDS[1], _ENDS[3]):
        match = pattern.search(end, 0, max(1, len(end) // 2))
        if match and match.end() < len(end):
            return end[match.end() :]
    return end


def read_text_document(text: TextFile, size: PassageSize, reading: Reading) -> None:
    """Plain text or Markdown, as it stands."""
    _keep(text.text(), size, reading)


def read_html(text: TextFile, size: PassageSize, reading: Reading) -> None:
    """The text of a page, a line for every block; scripts and styles are dropped."""
    from bs4 import BeautifulSoup

    _refuse_long(text.path, reading)
    soup = BeautifulSoup("".join(text.text()), "lxml")
    _keep([_page_text(soup)], size, reading)


def _page_text(page: "BeautifulSoup") -> str:
    from bs4.element import NavigableString, Tag

    found: list[str] = []
    todo: list[tuple[object, bool]] = [(page, False)]  # what is still to come, last first; whether it is preformatted
    while todo:
        node, kept = todo.pop()
        if type(node) is NavigableString:  # comments and the like are kinds of it
            found.append(node.replace(" ", _KEPT_SPACE) if kept else re.sub(r"\s+", " ", node))
        elif isinstance(node, Tag) and node.name not in _DROPPED:
            block = node.name in _BLOCKS
            found.append("\n" if block else "")
            todo.append((NavigableString("\n"), True) if block else (None, False))
            todo.extend((child, kept or node.name == "pre") for child in reversed(node.contents))
    lines = [line.strip(" \t\r") for line in re.sub(" +", " ", "".join(found)).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip().replace(_KEPT_SPACE, " ")


def read_pdf(path: Path, size: PassageSize, reading: Reading) -> None:
    """The text layer of a PDF, page after page. Raises DataError: encrypted, scanned, damaged."""
    import logging

    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError, PyPdfError

    _refuse_long(path, reading)
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        pdf = PdfReader(path)
        if pdf.is_encrypted and not pdf.decrypt(""):
            raise DataError("error.data.encrypted", file=reading.file)
        pages = []
        for number, page in enumerate(pdf.pages, 1):
            reading.watch.at(number / len(pdf.pages))
            pages.append(page.extract_text())
    except (FileNotDecryptedError, DependencyError):
        raise DataError("error.data.encrypted", file=reading.file) from None
    except DataError:
        raise
    # What a damaged PDF makes pypdf raise is not bounded (https://github.com/py-pdf/pypdf/issues): all mean the same.
    except (PyPdfError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError,
            NotImplementedError, RecursionError) as error:  # fmt: skip
        raise DataError("error.data.pdf", file=reading.file) from error
    text = "\n\n".join(page.strip() for page in pages if page.strip())
    if not text:
        raise DataError("error.data.scanned", file=reading.file, pages=len(pages))
    blank = sum(not page.strip() for page in pages)
    if blank:
        reading.note("notice.data.blank_pages", file=reading.file, count=blank, pages=len(pages))
    _keep([text], size, reading)


def _refuse_long(path: Path, reading: Reading) -> None:
    """These readers hold the whole file."""
    size = path.stat().st_size
    if size > MAX_ROW_BYTES:
        mb, limit = -(-size // 1_000_000), MAX_ROW_BYTES // 1_000_000
        raise DataError("error.data.too_big", file=reading.file, mb=mb, limit_mb=limit)


def _keep(pieces: Iterable[str], size: PassageSize, reading: Reading) -> None:
    part = 0
    for passage in cut(pieces, size):
        part += 1
        row = {"text": passage.text, "source": reading.file, "part": part, "start": passage.start}
        reading.keep(row, 4 * len(passage.text))
    reading.flush()
    if not part:
        raise DataError("error.data.empty", file=reading.file)
