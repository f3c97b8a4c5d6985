"""Answers on disk: a line of JSON that says whose they are, then one for each batch.

A line is written in one go and only read when it is whole, so that a killed process costs the batch it was at.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from studio.evaluation.questions import Answer

if TYPE_CHECKING:
    from studio.evaluation.interview import Reply


class Whose(BaseModel, frozen=True):
    """The weights that answered."""

    base_fingerprint: str
    adapter_sha256: str | None


@dataclass(frozen=True, slots=True)
class KeptReply:
    """As in `interview.Reply`; there is either an answer or the key and values of why there is none."""

    row: int
    answer: Answer | None
    prompt_tokens: int
    refused: tuple[str, dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Replies that came together, and the seconds they took."""

    seconds: float
    replies: tuple[KeptReply, ...]


_BATCH = TypeAdapter(Batch)


def read_answers(path: Path, whose: Whose) -> list[Batch]:
    """The batches of a file; none where there is no file, or it holds the answers of other weights."""
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")
    try:
        if Whose.model_validate_json(lines[0]) != whose:
            return []
        return [_BATCH.validate_json(line) for line in lines[1:-1]]
    except ValidationError:
        return []


class AnswerFile:
    """A file that grows by batches. What it holds of the same weights is kept; anything else is begun anew."""

    def __init__(self, path: Path, whose: Whose) -> None:
        self.batches = read_answers(path, whose)
        lines = [whose.model_dump_json().encode(), *map(_BATCH.dump_json, self.batches)]
        self._file = path.open("wb")
        self._file.write(b"".join(line + b"\n" for line in lines))
        self._file.flush()

    def add(self, seconds: float, replies: "Sequence[Reply]") -> None:
        batch = Batch(seconds, tuple(KeptReply(r.row, r.answer, r.prompt_tokens, r.refused) for r in replies))
        self._file.write(_BATCH.dump_json(batch) + b"\n")
        self._file.flush()
        self.batches.append(batch)

    def close(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()
