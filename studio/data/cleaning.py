"""A recipe of fixes -> a new table, with a report, and every row that was dropped, changed or added.

Each fix does nothing to rows it has been through: cleaning twice is cleaning once (but for what is done by hand).
Rows stream through: steps that look at one row only are fused into one pass over the table; before a step that takes
all rows, such as dropping duplicates, they are looked at as they are at that point.
"""

import heapq
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from studio.data.cells import holds, row_texts
from studio.data.changes import ChangeWriter, RowChange
from studio.data.checks import CheckOptions
from studio.data.formats import Mapping, convert
from studio.data.problems import RowProblem
from studio.data.recipe import (
    AddStep,
    CleanSpec,
    EditStep,
    ExcludeStep,
    FilterStep,
    FindingTest,
    Fix,
    LengthStep,
    NearStep,
    ReplaceStep,
    RestoreStep,
    Step,
    TextTest,
)
from studio.data.records import as_conversation
from studio.data.row_steps import RowStep, Viewed, changed_columns, hinted_steps, row_step
from studio.data.scan import Scan, scan
from studio.data.scan_workers import BOTH_CORES, Spread, in_this_process
from studio.data.set_checks import FINDINGS
from studio.data.tables import Outline, Row, Table, TableWriter, rows_of
from studio.data.tokens import Lengths, lengths
from studio.errors import DataError, Stopped
from studio.messages import translate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PART_ROWS = 8_192
# Findings that a model's tokens tell: they have steps of their own, and no filter goes by them.
_OF_TOKENS = frozenset({"lost", "too_long", "refused"})
TABLE_FILE, CHANGES_FILE = "table.parquet", "changes.parquet"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StepReport(_Part):
    """What one step did. `missing`: rows named by hand that were not there."""

    fix: Fix
    dropped: int = 0
    changed: int = 0
    added: int = 0
    missing: int = 0

    def message(self, language: str = "en") -> str:
        """One line in `language`."""
        label = translate(f"fix.{self.fix}", language)
        if self.added:
            return translate("notice.clean.added", language, fix=label, added=self.added)
        return translate("notice.clean.step", language, fix=label, dropped=self.dropped, changed=self.changed)


class CleanReport(_Part):
    """`rows_before` + all added = `rows_after` + all dropped."""

    rows_before: int
    rows_after: int
    steps: tuple[StepReport, ...]

    @property
    def changes(self) -> int:
        """How often a row was dropped, changed or added."""
        return sum(step.dropped + step.changed + step.added for step in self.steps)


@dataclass(frozen=True)
class Surroundings:
    """What some steps need beside the table.

    `tokenizers`: a tokenizer by the name of its model. `earlier`: tables of the versions before, nearest first, where
    rows to be restored are found. `next_id`: first id for added rows; None: after the last of this table.
    `fingerprint`: of the table, where it is known. `spread`: who takes the row groups through a pass.
    """

    tokenizers: "Callable[[str], PreTrainedTokenizerBase] | None" = None
    earlier: Sequence[Table] = ()
    next_id: int | None = None
    fingerprint: str | None = None
    spread: Spread = BOTH_CORES
    progress: Callable[[float], None] | None = None
    stop: Callable[[], bool] | None = None

    def check_stop(self) -> None:
        if self.stop and self.stop():
            raise Stopped("error.stopped")


def clean(
    table: Table, mapping: Mapping, recipe: CleanSpec, folder: Path, around: Surroundings | None = None
) -> CleanReport:
    """Write `table.parquet` and `changes.parquet` into the folder. Raises DataError, and writes neither, when no row
    would be left or a step does not fit this table; Stopped soon after `stop` says so.
    """
    around = around or Surroundings()
    check_recipe(table, recipe, around.fingerprint)
    passes = _passes(recipe.steps, mapping)
    counts: Counter[tuple[int, str]] = Counter()
    tables = [table]
    try:
        with ChangeWriter(folder / CHANGES_FILE) as changes:
            for number, one in enumerate(passes):
                share = _Share(number, len(passes), around.progress)
                for job in _jobs(one, tables, mapping, around, share, counts):
                    tables.append(Table(folder / f"pass-{len(tables)}.parquet"))
                    counts += _stream(job, tables[-1].path, changes, around, share)
                    _check_left(table, recipe, counts)
                    if len(tables) > 2:
                        tables[-2].path.unlink()
                share.written(1)
        if len(tables) == 1:
            tables.append(Table(folder / "pass.parquet"))
            shutil.copyfile(table.path, tables[-1].path)
        tables[-1].path.rename(folder / TABLE_FILE)
    except BaseException:
        (folder / CHANGES_FILE).unlink(missing_ok=True)
        raise
    finally:
        for halfway in tables[1:]:
            halfway.path.unlink(missing_ok=True)
    return _report(table, recipe, counts)


def _report(table: Table, recipe: CleanSpec, counts: Counter[tuple[int, str]]) -> CleanReport:
    names = ("dropped", "changed", "added", "missing")
    steps = tuple(
        StepReport(fix=step.fix, **{name: counts[i, name] for name in names}) for i, step in enumerate(recipe.steps)
    )
    left = table.rows + sum(step.added - step.dropped for step in steps)
    return CleanReport(rows_before=table.rows, rows_after=left, steps=steps)


def _check_left(table: Table, recipe: CleanSpec, counts: Counter[tuple[int, str]]) -> None:
    """Raises DataError that names the step after which no row is left."""
    left = table.rows
    for number, step in enumerate(recipe.steps):
        left += counts[number, "added"] - counts[number, "dropped"]
        if not left:
            raise _StepError("error.clean.nothing_left", fix=_Fixed(step.fix), rows=table.rows)


class _Fixed(str):
    """The name of a fix, to be told by its label."""


class _StepError(DataError):
    """An error that tells a fix by its label."""

    def message(self, language: str = "en") -> str:
        shown = {k: translate(f"fix.{v}", language) if isinstance(v, _Fixed) else v for k, v in self.values.items()}
        return translate(self.key, language, **shown)


def check_recipe(table: Table, recipe: CleanSpec, fingerprint: str | None = None) -> None:
    """Raises DataError when a step names columns that are not there, or was done by hand in other data.
    `fingerprint`: of the table, where it is known."""
    known = {column.name for column in table.columns}
    for step in recipe.steps:
        for name in _columns(step):
            if name not in known:
                columns = ", ".join(column.name for column in table.columns)
                raise _StepError("error.clean.unknown_column", fix=_Fixed(step.fix), column=name, known=columns)
        if isinstance(step, FilterStep) and isinstance(step.where, FindingTest):
            found = sorted(FINDINGS - _OF_TOKENS)
            if step.where.finding not in found:
                raise DataError("error.clean.unknown_finding", finding=step.where.finding, known=", ".join(found))
    if recipe.by_hand:
        own = fingerprint or table.fingerprint()
        for step in recipe.by_hand:
            if step.data != own:
                raise _StepError("error.clean.other_data", fix=_Fixed(step.fix))


def _columns(step: Step) -> Iterator[str]:
    match step:
        case ReplaceStep(columns=columns) | FilterStep(where=TextTest(columns=columns)) if columns:
            yield from columns
        case EditStep():
            yield from (name for values in step.rows.values() for name in values)
        case AddStep():
            yield from (name for values in step.rows for name in values)


# Passes


@dataclass(slots=True)
class _Pass:
    """One way over the table: an `opening` step that takes all rows, then steps that each look at one row."""

    opening: tuple[int, Step] | None = None
    rows: list[tuple[int, Step]] = field(default_factory=list)

    @property
    def numbers(self) -> list[int]:
        """Places of its steps in the recipe."""
        return [number for number, _ in ([self.opening] if self.opening else []) + self.rows]


def _passes(steps: Sequence[Step], mapping: Mapping) -> list[_Pass]:
    passes = [_Pass()]
    for number, step in enumerate(steps):
        if row_step(step, mapping) is None:
            passes.append(_Pass((number, step)))
        else:
            passes[-1].rows.append((number, step))
    return passes if passes[0].rows or len(passes) == 1 else passes[1:]


class _Share:
    """Tells the progress of one pass as that of all: its first half is looking, its second writing."""

    def __init__(self, number: int, passes: int, progress: Callable[[float], None] | None) -> None:
        self._number = number
        self._passes = passes
        self._progress = progress
        self._told = 0.0

    def looked(self, share: float) -> None:
        self._tell(share / 2)

    def written(self, share: float) -> None:
        self._tell(0.5 + share / 2)

    def _tell(self, share: float) -> None:
        if self._progress and share > self._told:
            self._told = share
            self._progress((self._number + share) / self._passes)


# What dropping rows can bring about among those that are left; and how often that is looked for at most.
_SETTLING = ("drop_length_outliers", "drop_unbalanced_length", "drop_near_duplicates")
_ROUNDS = 20


def _jobs(
    one: _Pass,
    tables: Sequence[Table],
    mapping: Mapping,
    around: Surroundings,
    share: _Share,
    counts: Counter[tuple[int, str]],
) -> Iterator["CleanJob"]:
    """What a pass is to do, each on the table as it is by then, the last of `tables` (the first is that of the
    beginning): nothing where nothing is to be done, and for a step that has to settle as often as it takes, so that
    doing it once more would do nothing."""
    for number, step in one.rows:
        if isinstance(step, EditStep | ExcludeStep):
            counts[number, "missing"] += len(set(step.rows) - tables[0].find(step.rows).keys())
    steps = tuple(one.rows)
    if one.opening is None:
        yield CleanJob(tables[-1].outline, mapping, steps)
        return
    number, step = one.opening
    if isinstance(step, AddStep | RestoreStep):
        if isinstance(step, AddStep):
            rows = _added(step, tables[-1], around)
        else:
            rows = _restored(step, tables[-1], around.earlier)
            counts[number, "missing"] += len(set(step.rows)) - len(rows)
        if rows or steps:
            yield CleanJob(tables[-1].outline, mapping, steps, one.opening, added=_by_group(rows, tables[-1]))
        return
    for _ in range(_ROUNDS if step.fix in _SETTLING else 1):
        gone = frozenset(_rows_to_drop(step, tables[-1], mapping, around, share).tolist())
        if not gone:
            break
        own = () if step.fix in _SETTLING else steps
        yield CleanJob(tables[-1].outline, mapping, own, one.opening, dropped=gone)
        if own:
            return
    if steps:
        yield CleanJob(tables[-1].outline, mapping, steps)


def _added(step: AddStep, current: Table, around: Surroundings) -> tuple[Row, ...]:
    first = around.next_id or current.last_id + 1
    return tuple(Row(row_id, values) for row_id, values in enumerate(step.rows, first))


def _restored(step: RestoreStep, current: Table, earlier: Sequence[Table]) -> tuple[Row, ...]:
    wanted = set(step.rows) - current.find(step.rows).keys()
    found: list[Row] = []
    for table in earlier:
        here = table.find(wanted)
        found += here.values()
        wanted -= here.keys()
    return tuple(sorted(found, key=attrgetter("id")))


def _by_group(rows: Sequence[Row], table: Table) -> tuple[tuple[Row, ...], ...]:
    """The rows of each row group of the table: those before the first row of the next."""
    firsts = table.first_ids
    places = np.searchsorted(firsts[1:], [row.id for row in rows], side="right")
    return tuple(tuple(row for row, place in zip(rows, places, strict=True) if place == i) for i in range(len(firsts)))


# What takes all rows


_FINDING_OF: dict[str, str] = {
    "drop_bad_json": "bad_json",
    "drop_cut_off": "cut_off",
    "drop_language_switch": "language_switch",
    "drop_unbalanced_length": "unbalanced_length",
    "drop_length_outliers": "length_outlier",
    "drop_conflicts": "conflict",
    "drop_leaks": "leak",
    "drop_duplicates": "duplicate",
}


def _rows_to_drop(step: Step, table: Table, mapping: Mapping, around: Surroundings, share: _Share) -> NDArray[np.int64]:
    """Ids of the rows that a step drops which looks at all rows."""

    def look(name: str, **options: Any) -> Scan:
        chosen = CheckOptions(only=frozenset({name}), near=name in ("near_duplicate", "leak"), **options)
        return scan(table, mapping, chosen, spread=around.spread, progress=share.looked, stop=around.stop)

    match step:
        case LengthStep():
            return _by_length(step, table, mapping, around, share)
        case NearStep():
            features = look("near_duplicate", near_threshold=step.threshold).features
            ids, cluster = features["id"].to_numpy(), features["cluster"].to_numpy()
            return ids[(cluster != ids) & features["record_hash"].is_valid().to_numpy()]
        case FilterStep(where=FindingTest(finding=name), action=action):
            found = look(name).rows(f"finding.{name}")
            if action == "drop":
                return found
            ids = np.concatenate([[row.id for row in rows] for rows in table.batches(columns=())])
            return np.setdiff1d(ids, found)
        case _:
            name = _FINDING_OF[step.fix]
            return look(name).rows(f"finding.{name}")


_CHOSEN: dict[str, Callable[[Lengths], bool]] = {
    "drop_lost": lambda item: item.lost,
    "drop_too_long": lambda item: item.truncated and not item.lost,
    "drop_refused": lambda item: item.refused is not None,
}


def _by_length(
    step: LengthStep, table: Table, mapping: Mapping, around: Surroundings, share: _Share
) -> NDArray[np.int64]:
    """The rows that the finding of the same name counts."""
    if around.tokenizers is None:
        raise _StepError("error.clean.no_tokenizer", fix=_Fixed(step.fix))
    tokenizer, chosen = around.tokenizers(step.model), _CHOSEN[step.fix]
    gone: list[int] = []
    done = 0
    for rows in table.batches():
        around.check_stop()
        records = [(row.id, convert(row, mapping)) for row in rows]
        good = [
            (row_id, learned)
            for row_id, record in records
            if not isinstance(record, RowProblem) and (learned := as_conversation(record))
        ]
        gone += [item.row_id for item in lengths(good, tokenizer, step.max_length, "answer") if chosen(item)]
        done += len(rows)
        share.looked(done / table.rows)
    return np.array(gone, np.int64)


# The pass itself


@dataclass(frozen=True, slots=True)
class CleanedPart:
    """Some rows after a pass, and what was done to them."""

    rows: list[Row]
    changes: list[RowChange]


@dataclass(frozen=True)
class CleanJob:
    """What a process needs to know to take any row group of a table through a pass.

    `dropped`: ids, in order, that the opening step drops. `added`: rows that it adds, by the row group they belong to.
    """

    table: Outline
    mapping: Mapping
    steps: tuple[tuple[int, Step], ...]
    opening: tuple[int, Step] | None = None
    dropped: frozenset[int] = frozenset()
    added: tuple[tuple[Row, ...], ...] = ()
    cost: ClassVar[int] = 1

    def run(self, chunk: int, shard: pa.Table) -> list[CleanedPart]:
        """Take the rows of one row group through the pass."""
        return list(self._parts(chunk, shard))

    def _parts(self, group: int, shard: pa.Table) -> Iterator[CleanedPart]:
        viewed = Viewed(self.mapping)
        steps = [
            _Running(number, step.fix, run, hint)
            for number, step in self.steps
            for run, hint in hinted_steps(step, self.mapping, viewed)
        ]
        changes: list[RowChange] = []
        rows = self._opened(group, shard, changes)
        while batch := list(islice(rows, _PART_ROWS)):
            texts = pa.array(["\n".join(row_texts(row, self.mapping)) for row in batch], pa.large_string())
            hinted = [holds(texts, step.hint).tolist() if step.hint else None for step in steps]
            kept = [
                after
                for place, row in enumerate(batch)
                if (after := _taken_through(row, steps, [h is None or h[place] for h in hinted], changes)) is not None
            ]
            yield CleanedPart(kept, changes.copy())
            changes.clear()
        yield CleanedPart([], changes)

    def _opened(self, group: int, shard: pa.Table, changes: list[RowChange]) -> Iterator[Row]:
        """Rows of the group after the opening step."""
        batches = shard.to_batches(max_chunksize=_PART_ROWS)
        rows = (row for batch in batches for row in rows_of(pa.Table.from_batches([batch]), self.table.columns))
        if self.opening is None:
            yield from rows
            return
        number, step = self.opening
        added = self.added[group] if self.added else ()
        new = {row.id for row in added}
        for row in heapq.merge(rows, added, key=attrgetter("id")):
            if row.id in self.dropped:
                changes.append(RowChange(row.id, number, step.fix, "dropped"))
                continue
            if row.id in new:
                changes.append(RowChange(row.id, number, step.fix, "added", tuple(row.values)))
            yield row


@dataclass(frozen=True, slots=True)
class _Running:
    """A step, or a part of one, as it is done to rows."""

    number: int
    fix: Fix
    run: RowStep
    hint: str | None


def _taken_through(row: Row, steps: Sequence[_Running], hinted: Sequence[bool], changes: list[RowChange]) -> Row | None:
    """The row after all steps, None when one drops it. What is not hinted at is passed by while the row is as it was
    when the hints were looked for."""
    begin = row
    for step, hint in zip(steps, hinted, strict=True):
        if not hint and row is begin:
            continue
        after = step.run(row)
        if after is None:
            changes.append(RowChange(row.id, step.number, step.fix, "dropped"))
            return None
        if after is not row:
            changes.append(RowChange(row.id, step.number, step.fix, "changed", changed_columns(row, after)))
            row = after
    return row


def _stream(
    job: CleanJob, target: Path, changes: ChangeWriter, around: Surroundings, share: _Share
) -> Counter[tuple[int, str]]:
    """Take the whole table through a pass; how often each step did what."""
    counts: Counter[tuple[int, str]] = Counter()
    with TableWriter(target) as writer:
        # Without steps rows are only passed on: nothing to share.
        spread = around.spread if job.steps else in_this_process
        for part in (part for parts in spread(job, around.stop) for part in parts):
            around.check_stop()
            writer.add(part.rows)
            changes.add(part.changes)
            counts.update((change.step, change.action) for change in part.changes)
            share.written(min(1.0, (writer.rows + len(job.dropped)) / job.table.rows))
    return counts
