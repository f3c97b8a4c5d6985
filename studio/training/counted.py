"""What a run reads, counted before it starts: rows, tokens, and how many of them batches come to with their padding."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from studio.data.splits import Split
from studio.data.tokens import Example
from studio.runs.methods import CptSpec
from studio.runs.spec import RunSpec
from studio.training.job import (
    VALIDATION,
    FirstRows,
    Lesson,
    Rows,
    Shown,
    cut_at,
    encode,
    encoded,
    loss_on,
    pick,
)
from studio.training.passes import cost_of


@dataclass(frozen=True, slots=True)
class Counted:
    """What the rows of both sides come to after cutting, and what was lost. `train` and `validation`: the tokens that
    each row is computed in; `tokens` are those of all training rows. `usual` and `longest`: ids of a training row of
    the middle length and of the greatest. `shown`: the rows answered on the way."""

    train: list[int]
    validation: list[int]
    tokens: int
    shown: tuple[Shown, ...]
    usual: int
    longest: int
    trained_tokens: int
    lost: int
    truncated: int


def count_rows(rows: Rows, spec: RunSpec, tokenizer: Any, context: int, parts: Split | None) -> Counted:
    train: list[tuple[int, int]] = []
    validation: list[int] = []
    firsts = FirstRows()
    tokens = trained = lost = truncated = 0
    for row in encoded(rows, spec, tokenizer, context, parts):
        if row.lesson is None:
            lost += 1
            continue
        truncated += row.lesson.truncated
        firsts.add(row)
        if row.side == VALIDATION:
            validation.append(row.lesson.computed_tokens)
        else:
            train.append((row.row_id, row.lesson.computed_tokens))
            tokens += row.lesson.tokens
            trained += row.lesson.trained_tokens
    lengths = [computed for _, computed in train]
    middle, block = median(lengths), block_tokens(spec, context)
    return Counted(
        train=_blocks(lengths, block) if block else lengths,
        validation=_blocks(validation, block) if block else validation,
        tokens=tokens,
        shown=firsts.shown(tokenizer),
        usual=min(train, key=lambda item: (abs(item[1] - middle), item[0]))[0],
        longest=max(train, key=lambda item: item[1])[0],
        trained_tokens=trained,
        lost=lost,
        truncated=truncated,
    )


def probed_rows(rows: Rows, spec: RunSpec, tokenizer: Any, context: int, counted: Counted) -> tuple[Lesson, Lesson]:
    """What the probe trains on: rows of the usual and of the greatest length, or blocks where rows are packed."""
    if block_tokens(spec, context):
        block = _block(counted.train[0])
        return block, block
    usual, longest = (
        encode(record, tokenizer, cut_at(spec, context), loss_on(spec))
        for record in pick(rows, [counted.usual, counted.longest])
    )
    return usual, longest


def block_tokens(spec: RunSpec, context: int) -> int | None:
    """Tokens of the blocks that rows are packed into; None where they are not."""
    packs = isinstance(spec.method, CptSpec) and spec.method.packed
    return min(spec.data.max_length, context) if packs else None


def _blocks(lengths: Sequence[int], longest: int) -> list[int]:
    """Tokens of the blocks that rows of these lengths are packed into."""
    whole, rest = divmod(sum(lengths), longest)
    return [longest] * whole + ([rest] if rest > 1 else [])


def _block(tokens: int) -> Lesson:
    """A block of so many tokens. Which they are costs the same."""
    return Lesson((Example((1,) * tokens, (1,) * tokens, 0, tokens, truncated=False),))


def padded_tokens(row_tokens: Sequence[int], batch_size: int) -> float:
    """Expected tokens, padding included, of all batches of one shuffled pass.

    A batch is as long as its longest row. Of `batch_size` rows drawn without replacement from n, the row with the
    k-th smallest length is the longest with probability C(k-1, b-1) / C(n, b).
    """
    n, size = len(row_tokens), min(batch_size, len(row_tokens))
    if not n:
        return 0.0
    ordered = sorted(row_tokens, reverse=True)
    share, left, expected = size / n, 1.0, 0.0
    for place, tokens in enumerate(ordered):
        expected += left * share * tokens
        left *= 1 - share
        rest = n - place - 1
        if rest < size or left <= 0:
            break
        share = size / rest
    return expected * n


def tokens_in_passes(row_tokens: Sequence[int], batch_size: int) -> int:
    """What all batches of one shuffled epoch cost in tokens, where each is computed in passes."""
    shuffled = random.Random(0).sample(row_tokens, len(row_tokens))
    return sum(cost_of(shuffled[begin : begin + batch_size]) for begin in range(0, len(shuffled), batch_size))
