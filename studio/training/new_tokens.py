"""The new tokens of a run: those of the run it goes on from, of its checkpoint, or what its documents need."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studio.data.records import Passage
from studio.data.splits import Split, split
from studio.models.new_tokens import NewTokens, find_new_tokens, read_new_tokens
from studio.runs.methods import CptSpec
from studio.runs.spec import RunSpec
from studio.training.job import Rows

# Of so many characters, evenly taken from all documents, the new tokens are found in seconds.
_READ_CHARACTERS = 1_000_000


def new_tokens_of(
    spec: RunSpec, rows: Rows, parts: Split | None, tokenizer: Any, parent: Path | None, checkpoint: Path | None = None
) -> NewTokens | None:
    """`parent`: the result that is gone on from; `checkpoint`: where a run that goes on had come to. Raises ModelError
    when the tokenizer cannot be extended."""
    if parent is not None:
        return read_new_tokens(parent)
    if not isinstance(spec.method, CptSpec) or not spec.method.new_tokens:
        return None
    if checkpoint is not None:
        return read_new_tokens(checkpoint)
    return find_new_tokens(_texts(rows, spec, parts), tokenizer, spec.method.new_tokens) or None


def _texts(rows: Rows, spec: RunSpec, parts: Split | None) -> Iterator[str]:
    """Every so-manieth training passage: what validates is not looked at."""
    parts = parts or split(list(rows), spec.data.split)
    train = set(parts.train.tolist())
    characters = sum(len(one.text) for row, one in rows if row in train and isinstance(one, Passage))
    step = -(-characters // _READ_CHARACTERS)
    passages = (one for row, one in rows if row in train and isinstance(one, Passage))
    return (one.text for place, one in enumerate(passages) if place % step == 0)
