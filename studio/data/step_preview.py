"""What a step would do to a table, told before it is done: counted over as many rows as a short while allows."""

import time
from dataclasses import dataclass
from itertools import chain

from studio.data.cleaning import check_recipe
from studio.data.mapping import Mapping
from studio.data.recipe import CleanSpec, FilterStep, ReplaceStep, TextTest
from studio.data.row_steps import changed_columns, row_step
from studio.data.tables import Row, Table
from studio.errors import InputError

SECONDS = 1.5
# Rows read at a time: a cell can hold megabytes.
_BATCH_ROWS = 512


@dataclass(frozen=True, slots=True)
class Preview:
    """`count` of the first `looked` rows, of `rows` in all, would be changed or dropped.

    `examples`: some of them, before and after (None: dropped), with the columns that change.
    """

    count: int
    looked: int
    rows: int
    examples: tuple[tuple[Row, Row | None, tuple[str, ...]], ...]


def preview_step(
    table: Table, mapping: Mapping, step: ReplaceStep | FilterStep, examples: int = 3, seconds: float = SECONDS
) -> Preview:
    """Look at rows from the first on until all were seen or the time is over.

    Raises DataError for columns that are not there, for a pattern that takes too long or a replacement without end,
    and InputError for a filter that goes by a finding: that is no matter of single rows.
    """
    check_recipe(table, CleanSpec(steps=(step,)))
    run = row_step(step, mapping)
    if run is None:
        raise InputError("error.preview.not_by_row")
    end = time.monotonic() + seconds
    count = looked = 0
    shown: list[tuple[Row, Row | None, tuple[str, ...]]] = []
    for row in chain.from_iterable(table.batches(_BATCH_ROWS, _columns(step, mapping))):
        after = run(row)
        looked += 1
        if after is not row:
            count += 1
            if len(shown) < examples:
                shown.append((row, after, changed_columns(row, after) if after else ()))
        if time.monotonic() > end:
            break
    return Preview(count, looked, table.rows, tuple(shown))


def _columns(step: ReplaceStep | FilterStep, mapping: Mapping) -> tuple[str, ...]:
    """Those of the mapping, so that an example can be recognised, and those looked into."""
    own = step.columns if isinstance(step, ReplaceStep) else None
    if isinstance(step, FilterStep) and isinstance(step.where, TextTest):
        own = step.where.columns
    return tuple(dict.fromkeys((*mapping.columns, *(own or ()))))
