"""The processes of a run: one, or several that each take their share of every batch.

All go through the same batches in the same order as one process would. Each computes its share, and the gradients are
averaged, so that a step is that of one process (synchronous data parallelism; Li et al. 2020, arXiv:2006.15704).
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import distributed

T = TypeVar("T")

BATCH_ROWS = "batch_rows"
"""In a batch that is shared: how many rows all processes have of it together."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's place among those of the run. The first one reports and saves. `sharded`: the model is divided
    among them (`studio.models.sharding`); every pass through it takes them all."""

    rank: int = 0
    size: int = 1
    sharded: bool = False

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def several(self) -> bool:
        return self.size > 1

    @property
    def shards(self) -> int:
        """Into how many parts the model is divided."""
        return self.size if self.sharded else 1

    def agreed(self, value: T) -> T:
        """What the first process has: what each sees for itself, such as the time, is no ground to part ways."""
        if not self.several:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def total(self, *values: float) -> list[float]:
        """The sums over all processes."""
        if not self.several:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(sums)
        return sums.tolist()


ALONE = Ranks()


class Shared:
    """A collator that takes this process's share of each batch, for losses that are a mean over rows.

    Each process must have as many rows as the others. A batch that cannot be divided evenly, the last one of an epoch,
    is computed whole by all: the mean of equal gradients is the gradient.
    """

    def __init__(self, collator: Any, ranks: Ranks) -> None:
        self._collator = collator
        self._ranks = ranks

    def __call__(self, rows: list[Any]) -> dict[str, Any]:
        rank, size = self._ranks.rank, self._ranks.size
        mine = rows[rank::size] if len(rows) % size == 0 else rows
        return {**self._collator(mine), BATCH_ROWS: len(rows)}


class SharedTokens:
    """A collator that takes this process's share of each batch, for losses that are a sum over tokens. A process that
    is left with no row goes through one of which it learns nothing, for all have to take part in a step."""

    def __init__(self, collator: Any, ranks: Ranks) -> None:
        self._collator = collator
        self._ranks = ranks

    def __call__(self, rows: list[Any]) -> dict[str, Any]:
        mine = rows[self._ranks.rank :: self._ranks.size]
        batch = dict(self._collator(mine or rows[:1]))
        if not mine:
            batch["labels"] = torch.full_like(batch["labels"], -100)
        return {**batch, BATCH_ROWS: len(rows)}
