"""How many tokens rows have, whole and of either side, as bars that know their rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from studio.data.explore import TOKENS, Bar, By, RowFilter
from studio.data.measures import Measured
from studio.data.tokens import Lengths


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bars of equal width from 0 tokens, the last without an end; `median`, `p95` and `longest` in tokens."""

    by: By
    bars: tuple[Bar, ...]
    width: int
    median: int
    p95: int
    longest: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Token counts against `max_length`: of the prompt with its answer, of the prompt, and of the answer; none
    where no row could be counted.

    `rows` were counted, all of them or, of a large table, a sample (`sampled`). `over`: how many of all rows are cut.
    """

    sides: tuple[Sizes, ...]
    max_length: int
    rows: int
    over: int
    sampled: bool


def histogram(measured: Measured, max_length: int, bars: int = 24) -> Histogram:
    """Bars of the rows that the model's template takes; the last bar begins at four times the 95th percentile."""
    counted = token_table(measured.sample)
    over = sum(item.truncated for item in measured.faulty)
    rows = counted.num_rows
    sides = tuple(_sizes(by, counted[by].to_numpy(), max_length, bars) for by in TOKENS) if rows else ()
    return Histogram(sides, max_length, rows, over, measured.sampled)


def _sizes(by: By, tokens: np.ndarray, max_length: int, bars: int) -> Sizes:
    ordered = np.sort(tokens)
    p95, longest = int(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]), int(ordered[-1])
    width = _width(max(1, min(longest, 4 * p95)), max_length, bars)
    last = max(0, (min(longest, 4 * p95) - 1) // width)
    # Bar i ends with the length (i + 1) * width, so that a row of just the limit is no row over it.
    counts = np.bincount(np.clip((ordered - 1) // width, 0, last), minlength=last + 1)
    made = []
    for i, count in enumerate(counts.tolist()):
        low, high = i * width + (i > 0), (i + 1) * width
        end = None if i == last else high + 1
        label = f"{low:,}+" if end is None and longest > high else f"{low:,}–{high:,}"
        made.append(Bar(label, count, RowFilter(by=by, low=low, high=end)))
    return Sizes(by, tuple(made), width, int(ordered[len(ordered) // 2]), p95, longest)


def _width(top: int, max_length: int, bars: int) -> int:
    """So that about as many bars reach `top`, and one of them ends at the limit where that is possible."""
    least = -(-top // bars)
    return next((width for width in range(least, 2 * least) if max_length % width == 0), least)


def token_table(measured: Sequence[Lengths]) -> pa.Table:
    """`id` and the columns of TOKENS, one row per row that the template takes: what a filter of them works on."""
    taken = [item for item in measured if item.refused is None]
    return pa.table(
        {
            "id": np.array([item.row_id for item in taken], np.int64),
            "total_tokens": np.array([item.total_tokens for item in taken], np.int64),
            "prompt_tokens": np.array([item.prompt_tokens for item in taken], np.int64),
            "answer_tokens": np.array([item.answer_tokens for item in taken], np.int64),
        }
    )
