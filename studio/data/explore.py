"""What a table is made of, as bars, and the rows behind any bar.

Works on the features of a scan: one line per row, with the columns `id, prompt_chars, answer_chars, turns, language,
source, label, cluster`; filters by tokens, on the counts that `histogram` shows. A bar and the filter that finds its
rows come from one place, so that they always agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args

import duckdb
import numpy as np
import pyarrow as pa
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, field_validator, model_validator

from studio.data.set_checks import FINDINGS
from studio.errors import InputError

By = Literal[
    "prompt_chars", "answer_chars", "turns", "language", "source", "label", "cluster",
    "total_tokens", "prompt_tokens", "answer_tokens",
]  # fmt: skip
LENGTHS: tuple[By, ...] = ("prompt_chars", "answer_chars")
TOKENS: tuple[By, ...] = ("total_tokens", "prompt_tokens", "answer_tokens")
BY: tuple[By, ...] = tuple(by for by in get_args(By) if by not in TOKENS)
BARS = 24
_NAMED = 12


Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class RowFilter(BaseModel, frozen=True, extra="forbid"):
    """The rows of a bar: `by` is `value`, or, for numbers, from `low` up to but without `high` (None: no end).

    The value of `label` is 1 for thumbs up and 0 for down.
    """

    by: By
    value: str | Whole | None = None
    low: Whole | None = None
    high: Whole | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        worded = self.by in ("language", "source")
        if self.value is not None and isinstance(self.value, str) != worded:
            raise ValueError(f"{self.by} is {'a word' if worded else 'a number'}")
        if (worded or self.by == "label") and (self.low, self.high) != (None, None):
            raise ValueError(f"{self.by} has no low and no high")
        return self


class FindingRows(BaseModel, frozen=True, extra="forbid"):
    """All rows of a finding, by its name: `duplicate`."""

    finding: str

    @field_validator("finding")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in FINDINGS:
            raise ValueError("no such finding")
        return name


Where = RowFilter | FindingRows
_WHERE: TypeAdapter[Where] = TypeAdapter(Where)


def where_from_json(text: str) -> Where:
    """What `model_dump_json` of either wrote. Raises InputError for anything else."""
    try:
        return _WHERE.validate_json(text)
    except ValidationError:
        raise InputError("error.filter.unreadable", filter=text[:60]) from None


@dataclass(frozen=True, slots=True)
class Bar:
    """`count` rows; `label` is the value, or `low` to `high` characters; `rows` finds them, None for "all others"."""

    label: str
    count: int
    rows: RowFilter | None


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars by one feature. `others`: how many rows are in none of them."""

    by: By
    bars: tuple[Bar, ...]
    others: int


def charts(features: pa.Table) -> tuple[Chart, ...]:
    """A chart of every feature that tells something: more than one value, or duplicates."""
    made = (chart(features, by) for by in BY)
    return tuple(c for c in made if len(c.bars) > 1 or (c.bars and (c.by == "cluster" or c.by == "language")))


def chart(features: pa.Table, by: By) -> Chart:
    """Bars of one feature: equal widths for lengths, the most frequent values for the others.

    The last bar of lengths takes everything above four times the 95th percentile. Clusters of one row are no bars.
    """
    return _lengths(features, by) if by in LENGTHS else _values(features, by)


def _lengths(features: pa.Table, by: By) -> Chart:
    longest, p95 = _query(features, f"SELECT max({by}), quantile_disc({by}, 0.95) FROM features")[0]
    if longest is None:
        return Chart(by, (), 0)
    width = _round_up(-(-(min(longest, 4 * p95) + 1) // BARS))
    last = min(longest, 4 * p95) // width
    counted = dict(
        _query(features, f"SELECT least({by} // {width}, {last}) AS bar, count(*) FROM features GROUP BY bar")
    )
    bars = []
    for number in range(last + 1):
        low, high = number * width, (number + 1) * width
        end = None if number == last else high
        label = f"{low:,}+" if end is None and longest >= high else f"{low:,}–{high - 1:,}"
        bars.append(Bar(label, counted.get(number, 0), RowFilter(by=by, low=low, high=end)))
    return Chart(by, tuple(bars), 0)


def _round_up(width: int) -> int:
    """To a width that people read easily: 1, 2, 5, 10, 20, 50, ..."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if width <= factor * step:
                return factor * step
        step *= 10


def _values(features: pa.Table, by: By) -> Chart:
    having = "HAVING count(*) > 1" if by == "cluster" else ""
    order = "value" if by == "turns" else "rows DESC, value"
    found = _query(
        features,
        f"SELECT {by} AS value, count(*) AS rows FROM features WHERE {by} IS NOT NULL GROUP BY value {having} "
        f"ORDER BY {order}",
    )
    bars = tuple(Bar(str(value), rows, RowFilter(by=by, value=value)) for value, rows in found[:_NAMED])
    return Chart(by, bars, sum(rows for _, rows in found[_NAMED:]))


def select(features: pa.Table, where: RowFilter) -> np.ndarray:
    """Ids (int64) of the rows of a filter, in the order of the table."""
    tests: list[str] = []
    values: list[Any] = []
    if where.low is not None:
        tests.append(f"{where.by} >= ?")
        values.append(where.low)
    if where.high is not None:
        tests.append(f"{where.by} < ?")
        values.append(where.high)
    if where.value is not None:
        tests.append(f"{where.by} = ?")
        values.append(where.value)
    clause = f"WHERE {' AND '.join(tests)}" if tests else ""
    found = _query(features, f"SELECT id FROM features {clause}", values)
    return np.sort(np.array([item[0] for item in found], np.int64))


def _query(features: pa.Table, query: str, values: Sequence[Any] = ()) -> list[Any]:
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        connection.register("features", features)
        return connection.execute(query, list(values)).fetchall()
