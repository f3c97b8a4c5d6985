"""Opinions on disk: a line of JSON that says whose they are, then one for each.

A line is written in one go and only read when it is whole, so that a killed process costs the row it was at.
"""

import os
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from studio.evaluation.judge import Opinion

_OPINION = TypeAdapter(Opinion)


class JudgeWeights(BaseModel, frozen=True):
    """The weights that judged; empty where only a server knows them."""

    fingerprint: str


def read_opinions(path: Path, weights: JudgeWeights | None = None) -> list[Opinion]:
    """The opinions of a file; none where there is no file, or (`weights`) it holds those of others."""
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")
    try:
        found = JudgeWeights.model_validate_json(lines[0])
        return [_OPINION.validate_json(line) for line in lines[1:-1]] if weights in (None, found) else []
    except ValidationError:
        return []


class OpinionFile:
    """A file that grows by opinions. What it holds of the same judge is kept; anything else is begun anew."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        weights = JudgeWeights(fingerprint=fingerprint)
        self.opinions = read_opinions(path, weights)
        lines = [weights.model_dump_json().encode(), *map(_OPINION.dump_json, self.opinions)]
        self._file = path.open("wb")
        self._file.write(b"".join(line + b"\n" for line in lines))
        self._file.flush()

    def add(self, opinion: Opinion) -> None:
        self._file.write(_OPINION.dump_json(opinion) + b"\n")
        self._file.flush()
        self.opinions.append(opinion)

    def close(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()
