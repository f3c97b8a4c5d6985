"""A conversation written as one text: "Human: ..." and "Assistant: ..." in turn, as in Anthropic's HH-RLHF."""

import re
from collections.abc import Iterator
from typing import Any

from studio.data.problems import Unusable
from studio.data.records import Message

_ROLES = {
    "Human": "user", "User": "user", "ユーザー": "user", "人間": "user", "System": "system",
    "Assistant": "assistant", "AI": "assistant", "アシスタント": "assistant",
}  # fmt: skip
_SPEAKER = re.compile(rf"(###[ \t]*)?({'|'.join(_ROLES)})[ \t]*[:：]")


def is_transcript(cell: Any) -> bool:
    """Whether the text begins with a speaker, and somebody answers."""
    if not isinstance(cell, str):
        return False
    speakers = list(_speakers(cell))
    begins = bool(speakers) and not cell[: speakers[0].start()].strip()
    return begins and any(_ROLES[speaker[2]] == "assistant" for speaker in speakers)


def read_transcript(text: str, column: str) -> list[Message]:
    """The turns, each without the blanks around it."""
    speakers = list(_speakers(text))
    if not speakers or text[: speakers[0].start()].strip():
        raise Unusable("bad_transcript", column, " ".join(text[:200].split())[:60])
    ends = [speaker.start() for speaker in speakers[1:]] + [len(text)]
    said = [text[speaker.end() : end].strip() for speaker, end in zip(speakers, ends, strict=True)]
    return [Message(_ROLES[speaker[2]], words) for speaker, words in zip(speakers, said, strict=True)]


def _speakers(text: str) -> Iterator[re.Match[str]]:
    """They stand at the very beginning, behind a blank line, or behind "###" (OpenAssistant-Guanaco)."""
    for found in _SPEAKER.finditer(text):
        line = _back(text, found.start())
        above = _back(text, line - 1) if line and text[line - 1] == "\n" else None
        if found[1] or line == 0 or above == 0 or (above and text[above - 1] == "\n"):
            yield found


def _back(text: str, place: int) -> int:
    """Where the blanks of a line before this place begin."""
    while place and text[place - 1] in " \t\r":
        place -= 1
    return place
