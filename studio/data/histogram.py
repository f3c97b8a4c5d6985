"""How long the rows are, as bars."""

from collections.abc import Sequence
from dataclasses import dataclass

from studio.data.tokens import Lengths


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bar i counts the rows of `edges[i]` to `edges[i + 1]` tokens (the last edge included).

    `over`: rows longer than `max_length`; `median`, `p95` and `longest` in tokens of whole rows.
    """

    edges: tuple[int, ...]
    counts: tuple[int, ...]
    max_length: int
    over: int
    median: int
    p95: int
    longest: int


def histogram(measured: Sequence[Lengths], max_length: int, bars: int = 30) -> Histogram:
    """Bars of equal width from 0; rows beyond four times the 95th percentile share the last bar."""
    totals = sorted(item.total_tokens for item in measured if item.refused is None)
    if not totals:
        return Histogram((0, 1), (0,), max_length, 0, 0, 0, 0)
    p95 = totals[min(len(totals) - 1, int(len(totals) * 0.95))]
    top = min(totals[-1], 4 * p95) + 1
    width = max(1, -(-top // bars))
    edges = list(range(0, top + width, width))
    counts = [0] * (len(edges) - 1)
    for total in totals:
        counts[min(total // width, len(counts) - 1)] += 1
    edges[-1] = max(edges[-1], totals[-1])
    over = sum(total > max_length for total in totals)
    return Histogram(tuple(edges), tuple(counts), max_length, over, totals[len(totals) // 2], p95, totals[-1])
