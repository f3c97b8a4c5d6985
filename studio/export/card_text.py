"""Texts as Markdown shows them as they are: what users or data brought is never markup."""

import re
from typing import Protocol

# Markdown's own signs, and what many renderers make a link of: www., ://, a mail address.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|!~@]|(?<=[wW]{3})\.|:(?=//)")
# Control characters, and those that turn the direction of the text around them.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Say(Protocol):
    """A sentence of a card in one language."""

    def __call__(self, key: str, **values: object) -> str: ...


def escaped(text: str) -> str:
    """A sentence of ours, in which names of others may stand: nothing in it is markup."""
    return _MARKUP.sub(r"\\\g<0>", _UNSEEN.sub("", " ".join(text.split())))


def span(text: str) -> str:
    """One line that Markdown shows as it is: a code span, in more backticks than the text has in a row."""
    line = _UNSEEN.sub("", " ".join(text.split())) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    room = " " if "`" in line else ""
    return f"{fence}{room}{line}{room}{fence}"


def spans(values: dict[str, object]) -> dict[str, object]:
    """Values of a sentence, their texts as code."""
    return {key: span(value) if isinstance(value, str) else value for key, value in values.items()}


def bullets(lines: list[str]) -> list[str]:
    """A list, and the empty line after it."""
    return [*(f"- {line}" for line in lines), ""] if lines else []


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A table, and the empty line after it; of cells that are Markdown already."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)] + [""]
