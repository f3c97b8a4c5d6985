"""One batch of rows -> the numbers that its checks tell. Runs in any process; holds no text when it is done."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from studio.data.cells import cell_kinds, holds
from studio.data.checks import PROBLEM_OF, ROW_CHECKS, CheckOptions
from studio.data.duplicates import prompt_hash, record_hash, text_hash
from studio.data.formats import Mapping as ColumnMapping
from studio.data.formats import convert
from studio.data.languages import languages_of
from studio.data.markup_text import ending
from studio.data.near_duplicates import Care, care_for, grams_of, near_text
from studio.data.problems import RowProblem
from studio.data.records import Conversation, Passage, Rated, record_sides
from studio.data.tables import Outline, Row, Table
from studio.data.views import View, view_of
from studio.errors import Stopped

BATCH = 8_192
_DETAILS = 5


@dataclass(slots=True)
class Part:
    """What a batch of rows tells. Arrays have one value per row, as in `Whole`.

    `hits`: ids by finding, of those that one row alone decides. `told`: columns and first details of its problems.
    `grams`: what near duplicates are found by, the places counted from the first row of this batch.
    """

    ids: np.ndarray
    usable: np.ndarray
    prompt_chars: np.ndarray
    answer_chars: np.ndarray
    turns: np.ndarray
    record_hash: np.ndarray
    prompt_hash: np.ndarray
    answer_hash: np.ndarray
    other_chars: np.ndarray
    prompt_language: np.ndarray
    answer_language: np.ndarray
    ending: np.ndarray
    json: np.ndarray
    label: np.ndarray
    split: np.ndarray
    source: pa.Array | None
    hits: dict[str, np.ndarray]
    told: dict[str, tuple[list[str], list[str]]]
    kinds: dict[str, np.ndarray]
    grams: np.ndarray


@dataclass(frozen=True, slots=True)
class Job:
    """What a process needs to know to check any row group of a table."""

    table: Outline
    mapping: ColumnMapping
    options: CheckOptions

    def run(self, chunk: int, shard: pa.Table) -> list[Part]:
        """Check the rows of one row group, batch by batch."""
        types = {column.name: column.type for column in self.table.columns}
        care = care_for(self.table.rows) if self.options.compares else None
        parts = []
        for batch in shard.combine_chunks().to_batches(max_chunksize=BATCH):
            ids = batch.columns[0].to_pylist()
            stored = dict(zip(types, batch.columns[1:], strict=True))
            rows = list(_rows(ids, stored, types, self.mapping))
            others = {name: (types[name], cells) for name, cells in stored.items()}
            parts.append(check_rows(rows, self.mapping, self.options, others, care))
        return parts


def near_texts(
    table: Table, mapping: ColumnMapping, places: np.ndarray, stop: Callable[[], bool] | None = None
) -> dict[int, str]:
    """What is compared of the rows at these places (in order, from 0)."""
    types = {column.name: column.type for column in table.columns}
    texts: dict[int, str] = {}
    begin = 0
    with pq.ParquetFile(table.path) as file:
        for batch in file.iter_batches(batch_size=BATCH):
            low, high = np.searchsorted(places, [begin, begin + batch.num_rows])
            wanted = places[low:high]
            if stop and stop():
                raise Stopped("error.stopped")
            if len(wanted):
                taken = batch.take(pa.array(wanted - begin))
                stored = dict(zip(types, taken.columns[1:], strict=True))
                rows = _rows(taken.columns[0].to_pylist(), stored, types, mapping)
                for place, row in zip(wanted.tolist(), rows, strict=True):
                    texts[place] = near_text(convert(row, mapping))
            begin += batch.num_rows
    return texts


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
    care: Care | None = None,
) -> Part:
    """Check rows, of which the mapped columns are enough. `stored`: type and cells of all columns as they are kept;
    without them nothing is told of the columns that are not mapped. `care`: how near duplicates are to be looked for.
    """
    columns = mapping.columns
    views = [view_of(row, mapping, columns) for row in rows]
    ids = np.fromiter((view.id for view in views), np.int64, len(views))
    read = set(mapping.needed(stored or {}))
    others = {name: item for name, item in (stored or {}).items() if name not in read}
    source = (stored or {}).get("source")
    return Part(
        ids=ids,
        usable=np.fromiter((not isinstance(view.record, RowProblem) for view in views), bool, len(views)),
        prompt_chars=np.fromiter((len(view.prompt) for view in views), np.int64, len(views)),
        answer_chars=np.fromiter((len(view.answer) for view in views), np.int64, len(views)),
        turns=np.fromiter((_turns(view) for view in views), np.int32, len(views)),
        record_hash=np.fromiter((record_hash(view.record) for view in views), np.uint64, len(views)),
        prompt_hash=np.fromiter((prompt_hash(view.record) for view in views), np.uint64, len(views)),
        answer_hash=np.fromiter((text_hash(view.answer.strip()) for view in views), np.uint64, len(views)),
        other_chars=np.fromiter((len(view.other) for view in views), np.int64, len(views)),
        prompt_language=languages_of([_last_question(view) for view in views]),
        answer_language=languages_of([view.answer for view in views]),
        ending=np.fromiter((ending(view.answer) for view in views), np.uint8, len(views)),
        json=np.fromiter((_json_kind(view.answer) for view in views), np.uint8, len(views)),
        label=np.fromiter((_label(view) for view in views), np.int8, len(views)),
        split=_splits((stored or {}).get("split"), len(views)),
        source=source[1] if source and source[0] == "text" else None,
        hits={**_problem_rows(views, options), **_hits(views, ids, options)},
        told=_told(views),
        kinds={name: cell_kinds(cells, kind) for name, (kind, cells) in others.items()}
        if options.wants("odd_values")
        else {},
        grams=grams_of([near_text(view.record) for view in views], care) if care else np.zeros(0, np.uint64),
    )


def _turns(view: View) -> int:
    if isinstance(view.record, Conversation):
        return len(view.record.prompt) + 1
    return 0 if isinstance(view.record, RowProblem) else len(record_sides(view.record)[0])


def _last_question(view: View) -> str:
    if isinstance(view.record, RowProblem | Passage):
        return ""
    turns = view.record.prompt
    if turns and turns[-1].role == "user":
        return turns[-1].content
    return next((turn.content for turn in reversed(turns) if turn.role == "user"), "")


def _json_kind(answer: str) -> int:
    """0: does not begin like JSON; 1: is JSON; 2: begins like it, and is none."""
    if answer.lstrip()[:1] not in ("{", "["):
        return 0
    try:
        orjson.loads(answer)
    except orjson.JSONDecodeError:
        return 2
    return 1


def _label(view: View) -> int:
    return int(view.record.label) if isinstance(view.record, Rated) else -1


def _splits(stored: tuple[str, pa.Array] | None, rows: int) -> np.ndarray:
    """1 where a column `split` says train, 2 where it says validation or test."""
    made = np.zeros(rows, np.uint8)
    if stored is not None and stored[0] == "text":
        made[holds(stored[1], "(?i)^train(?:ing)?$")] = 1
        made[holds(stored[1], "(?i)^(?:validation|valid|val|dev|test|eval|evaluation)$")] = 2
    return made


def _hits(views: Sequence[View], ids: np.ndarray, options: CheckOptions) -> dict[str, np.ndarray]:
    texts = pa.array([view.text for view in views], pa.large_string())
    wanted = [check for check in ROW_CHECKS if options.wants(check.name)]
    # Several patterns in one cost little more than one; those rows that hold any of them are looked at again.
    maybe = {
        gate: np.flatnonzero(holds(texts, "|".join(f"(?:{check.hint})" for check in wanted if check.gate == gate)))
        for gate in {check.gate for check in wanted if check.gate}
    }
    found = {}
    for check in wanted:
        places = range(len(views))
        if check.gate:
            some = maybe[check.gate]
            places = some[holds(texts.take(pa.array(some)), check.hint)].tolist() if check.hint and len(some) else []
        elif check.hint is not None:
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
