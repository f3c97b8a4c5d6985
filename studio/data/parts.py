"""One batch of rows -> the numbers that its checks tell. Runs in any process; holds no text when it is done."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from studio.data.cells import cell_kinds, holds
from studio.data.checks import PROBLEM_OF, ROW_CHECKS, CheckOptions
from studio.data.duplicates import prompt_hash, record_hash, text_hash
from studio.data.formats import Mapping as ColumnMapping
from studio.data.problems import RowProblem
from studio.data.records import record_sides
from studio.data.tables import Row, Table
from studio.data.views import View, view_of

BATCH = 8_192
_DETAILS = 5


@dataclass(slots=True)
class Part:
    """What a batch of rows tells. Arrays have one value per row, as in `Whole`.

    `hits`: ids by finding, of those that one row alone decides. `told`: columns and first details of its problems.
    """

    ids: np.ndarray
    usable: np.ndarray
    prompt_chars: np.ndarray
    answer_chars: np.ndarray
    turns: np.ndarray
    record_hash: np.ndarray
    prompt_hash: np.ndarray
    answer_hash: np.ndarray
    language: np.ndarray
    label: np.ndarray
    source: pa.Array | None
    hits: dict[str, np.ndarray]
    told: dict[str, tuple[list[str], list[str]]]
    kinds: dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Job:
    """What a process needs to know to check any row group of a table."""

    path: Path
    mapping: ColumnMapping
    options: CheckOptions

    def run(self, group: int) -> list[Part]:
        """Check the rows of one row group, batch by batch."""
        table = Table(self.path)
        types = {column.name: column.type for column in table.columns}
        parts = []
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=BATCH, row_groups=[group]):
                ids = batch.columns[0].to_pylist()
                stored = dict(zip(types, batch.columns[1:], strict=True))
                rows = list(_rows(ids, stored, types, self.mapping))
                others = {name: (types[name], cells) for name, cells in stored.items()}
                parts.append(check_rows(rows, self.mapping, self.options, others))
        return parts


def _rows(
    ids: Sequence[int], stored: Mapping[str, pa.Array], types: Mapping[str, str], mapping: ColumnMapping
) -> Iterator[Row]:
    """Rows with the mapped columns only."""
    names = mapping.needed(stored)
    columns = [_values(stored[name], types[name]) for name in names]
    for row_id, values in zip(ids, zip(*columns, strict=True) if columns else [()] * len(ids), strict=True):
        yield Row(row_id, dict(zip(names, values, strict=True)))


def _values(cells: pa.Array, column_type: str) -> list[Any]:
    texts = cells.to_pylist()
    if column_type in ("text", "empty"):
        return texts
    return [None if text is None else _parsed(text) for text in texts]


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # NaN, half characters, very deep: only the standard library reads them
        return json.loads(text)


def check_rows(
    rows: Sequence[Row],
    mapping: ColumnMapping,
    options: CheckOptions,
    stored: Mapping[str, tuple[str, pa.Array]] | None = None,
) -> Part:
    """Check rows, of which the mapped columns are enough. `stored`: type and cells of all columns as they are kept;
    without them nothing is told of the columns that are not mapped.
    """
    views = [view_of(row, mapping) for row in rows]
    ids = np.fromiter((view.id for view in views), np.int64, len(views))
    others = {name: item for name, item in (stored or {}).items() if name not in mapping.columns}
    source = (stored or {}).get("source")
    return Part(
        ids=ids,
        usable=np.fromiter((not isinstance(view.record, RowProblem) for view in views), bool, len(views)),
        prompt_chars=np.fromiter((len(view.prompt) for view in views), np.int64, len(views)),
        answer_chars=np.fromiter((len(view.answer) for view in views), np.int64, len(views)),
        turns=np.fromiter((_turns(view) for view in views), np.int32, len(views)),
        record_hash=np.fromiter((record_hash(view.record) for view in views), np.uint64, len(views)),
        prompt_hash=np.fromiter((prompt_hash(view.record) for view in views), np.uint64, len(views)),
        answer_hash=np.fromiter((text_hash(view.answer) for view in views), np.uint64, len(views)),
        language=np.zeros(len(views), np.uint8),
        label=np.full(len(views), -1, np.int8),
        source=source[1] if source and source[0] == "text" else None,
        hits={**_problem_rows(views, options), **_hits(views, ids, options)},
        told=_told(views),
        kinds={name: cell_kinds(cells, kind) for name, (kind, cells) in others.items()}
        if options.wants("odd_values")
        else {},
    )


def _turns(view: View) -> int:
    return 0 if isinstance(view.record, RowProblem) else len(record_sides(view.record)[0])


def _hits(views: Sequence[View], ids: np.ndarray, options: CheckOptions) -> dict[str, np.ndarray]:
    texts = pa.array([view.text for view in views], pa.large_string())
    found = {}
    for check in ROW_CHECKS:
        if not options.wants(check.name):
            continue
        places = range(len(views))
        if check.hint is not None:
            places = np.flatnonzero(holds(texts, check.hint)).tolist()
        hit = [place for place in places if check.test(views[place])]
        if hit:
            found[check.name] = ids[hit]
    return found


def _problem_rows(views: Sequence[View], options: CheckOptions) -> dict[str, np.ndarray]:
    found: dict[str, list[int]] = {}
    for view in views:
        if isinstance(view.record, RowProblem) and options.wants(name := PROBLEM_OF[view.record.kind]):
            found.setdefault(name, []).append(view.id)
    return {name: np.array(ids, np.int64) for name, ids in found.items()}


def _told(views: Sequence[View]) -> dict[str, tuple[list[str], list[str]]]:
    told: dict[str, tuple[list[str], list[str]]] = {}
    for view in views:
        if isinstance(view.record, RowProblem):
            columns, details = told.setdefault(PROBLEM_OF[view.record.kind], ([], []))
            note(columns, view.record.column)
            note(details, view.record.detail)
    return told


def note(known: list[str], value: str) -> None:
    """Add the value if it says something new."""
    if value and value not in known and len(known) < _DETAILS:
        known.append(value)
