"""One batch of rows -> the numbers that its checks tell. Runs in any process; holds no text when it is done."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from studio.data.cells import cell_kinds, holds
from studio.data.checks import PROBLEM_OF, ROW_CHECKS, CheckOptions, RowCheck
from studio.data.duplicates import hashes_of, pair_keys, prompt_key, record_key
from studio.data.formats import Mapping as ColumnMapping
from studio.data.languages import languages_of
from studio.data.markup_text import CONTROL_HINT, ending
from studio.data.near_duplicates import Care, care_for, grams_of, near_pair, near_text
from studio.data.problems import RowProblem
from studio.data.records import Conversation, Rated, record_sides
from studio.data.tables import Outline, Table
from studio.data.views import View, Views, views_of
from studio.errors import Stopped

BATCH = 8_192
_DETAILS = 5
# Type and cells of columns as they are kept, by name.
Stored = Mapping[str, tuple[str, pa.Array]]


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
    cost: ClassVar[int] = 1

    def run(self, chunk: int, shard: pa.Table) -> list[Part]:
        """Check the rows of one row group, batch by batch."""
        types = {column.name: column.type for column in self.table.columns}
        care = care_for(self.table.rows) if self.options.compares else None
        parts = []
        for batch in shard.combine_chunks().to_batches(max_chunksize=BATCH):
            ids = batch.columns[0].to_pylist()
            stored = dict(zip(types, batch.columns[1:], strict=True))
            others = {name: (types[name], cells) for name, cells in stored.items()}
            parts.append(check_rows(ids, _cells(others, self.mapping), self.mapping, self.options, others, care))
        return parts


def near_texts(
    table: Table, mapping: ColumnMapping, places: np.ndarray, stop: Callable[[], bool] | None = None
) -> Iterator[tuple[int, str]]:
    """What is compared of the rows at these places (in order, from 0), with the place."""
    types = {column.name: column.type for column in table.columns}
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
                others = {name: (types[name], cells) for name, cells in stored.items()}
                views = views_of(taken.columns[0].to_pylist(), _cells(others, mapping), mapping)
                yield from zip(wanted.tolist(), _compared(views), strict=True)
            begin += batch.num_rows


def _cells(stored: Stored, mapping: ColumnMapping) -> dict[str, list[Any]]:
    """The values of the mapped columns."""
    return {name: _values(stored[name][1], stored[name][0]) for name in mapping.needed(stored)}


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
    ids: Sequence[int],
    cells: Mapping[str, Sequence[Any]],
    mapping: ColumnMapping,
    options: CheckOptions,
    stored: Stored | None = None,
    care: Care | None = None,
) -> Part:
    """Check rows. `cells`: the values of the mapped columns. `stored`: all columns; without them nothing is told of
    those that are not mapped. `care`: how near duplicates are to be looked for.
    """
    views = views_of(ids, cells, mapping)
    rows = len(ids)
    read = set(mapping.needed(stored or {}))
    others = {name: item for name, item in (stored or {}).items() if name not in read}
    source = (stored or {}).get("source")
    record_hash, prompt_hash = _hashes(views)
    return Part(
        ids=np.array(ids, np.int64),
        usable=_filled(views, True, bool, lambda view: not isinstance(view.record, RowProblem)),
        prompt_chars=np.fromiter(map(len, views.prompts), np.int64, rows),
        answer_chars=np.fromiter(map(len, views.answers), np.int64, rows),
        turns=_filled(views, 2, np.int32, _turns),
        record_hash=record_hash,
        prompt_hash=prompt_hash,
        answer_hash=hashes_of(answer.strip() for answer in views.answers),
        other_chars=_filled(views, 0, np.int64, lambda view: len(view.other)),
        prompt_language=languages_of(views.asked),
        answer_language=languages_of(views.answers),
        ending=np.fromiter(map(ending, views.answers), np.uint8, rows),
        json=np.fromiter(map(_json_kind, views.answers), np.uint8, rows),
        label=_filled(views, -1, np.int8, _label),
        split=_splits((stored or {}).get("split"), rows),
        source=source[1] if source and source[0] == "text" else None,
        hits={**_problem_rows(views, options), **_hits(views, options)},
        told=_told(views),
        kinds={name: cell_kinds(cells, kind) for name, (kind, cells) in others.items()}
        if options.wants("odd_values")
        else {},
        grams=grams_of(_compared(views), care) if care else np.zeros(0, np.uint64),
    )


def _filled(views: Views, usual: int, kind: npt.DTypeLike, told: Callable[[View], int]) -> np.ndarray:
    """What is told of each row; `usual`: of a question and its answer, each of one text."""
    values = np.full(len(views.ids), usual, kind)
    places = np.fromiter(views.made, np.int64, len(views.made))
    values[places] = np.fromiter(map(told, views.made.values()), kind, len(places))
    return values


def _hashes(views: Views) -> tuple[np.ndarray, np.ndarray]:
    """Of the record, and of what is asked."""
    made = views.made
    keys = [
        (record_key(made[place].record), prompt_key(made[place].record)) if place in made else pair_keys(q, a)
        for place, (q, a) in enumerate(zip(views.prompts, views.answers, strict=True))
    ]
    return hashes_of(key for key, _ in keys), hashes_of(key for _, key in keys)


def _compared(views: Views) -> list[str]:
    """The texts by which rows are near duplicates."""
    made = views.made
    return [
        near_text(made[place].record) if place in made else near_pair(q, a)
        for place, (q, a) in enumerate(zip(views.prompts, views.answers, strict=True))
    ]


def _turns(view: View) -> int:
    if isinstance(view.record, Conversation):
        return len(view.record.prompt) + 1
    return 0 if isinstance(view.record, RowProblem) else len(record_sides(view.record)[0])


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


def _hits(views: Views, options: CheckOptions) -> dict[str, np.ndarray]:
    texts = pa.array(views.texts, pa.large_string())
    wanted = [check for check in ROW_CHECKS if options.wants(check.name)]
    maybe = _behind_gates(texts, wanted)
    found = {}
    for check in wanted:
        if check.hint:
            some = maybe[check.gate]
            places = some[holds(texts.take(pa.array(some)), check.hint)].tolist() if len(some) else []
        else:
            places = _pairs_or_made(views, check.of_pair)
        hit = [place for place in places if check.test(views.view(place))]
        if hit:
            found[check.name] = np.array([views.ids[place] for place in hit], np.int64)
    return found


def _behind_gates(texts: pa.Array, wanted: Sequence[RowCheck]) -> dict[str, np.ndarray]:
    """Of each gate the places of the texts that hold any of its hints: several patterns in one cost little more than
    one. They are then looked at hint by hint.
    """
    hints: dict[str, list[str]] = {}
    for check in wanted:
        if check.hint:
            hints.setdefault(check.gate, []).append(check.hint)
    if "broken" in hints:
        hints.setdefault("marks", []).append(CONTROL_HINT)
    found = {gate: np.flatnonzero(holds(texts, _any(hints[gate]))) for gate in ("numbers", "marks") if gate in hints}
    if "broken" in hints:  # only texts beyond ASCII are, and those with control characters
        wide = np.flatnonzero(~pc.call_function("string_is_ascii", [texts]).to_numpy(zero_copy_only=False))
        some = np.union1d(wide, found["marks"])
        found["broken"] = some[holds(texts.take(pa.array(some)), _any(hints["broken"]))]
    return found


def _any(hints: Sequence[str]) -> str:
    return "|".join(f"(?:{hint})" for hint in hints)


def _pairs_or_made(views: Views, of_pair: Callable[[str, str], bool] | None) -> Iterable[int]:
    """Places of the rows that a test without a hint is to be asked about."""
    if of_pair is None or len(views.made) == len(views.ids):
        return views.made
    pairs = zip(views.prompts, views.answers, strict=True)
    return [place for place, (q, a) in enumerate(pairs) if of_pair(q, a) or place in views.made]


def _problem_rows(views: Views, options: CheckOptions) -> dict[str, np.ndarray]:
    found: dict[str, list[int]] = {}
    for view in views.made.values():
        if isinstance(view.record, RowProblem) and options.wants(name := PROBLEM_OF[view.record.kind]):
            found.setdefault(name, []).append(view.id)
    return {name: np.array(ids, np.int64) for name, ids in found.items()}


def _told(views: Views) -> dict[str, tuple[list[str], list[str]]]:
    told: dict[str, tuple[list[str], list[str]]] = {}
    for view in views.made.values():
        if isinstance(view.record, RowProblem):
            columns, details = told.setdefault(PROBLEM_OF[view.record.kind], ([], []))
            note(columns, view.record.column)
            note(details, view.record.detail)
    return told


def note(known: list[str], value: str) -> None:
    """Add the value if it says something new."""
    if value and value not in known and len(known) < _DETAILS:
        known.append(value)
