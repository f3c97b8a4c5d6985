"""Data sets of the workspace: open, look, find faults, clean, split. Every change is a new version."""

import os
import shutil
import threading
from collections.abc import Callable, Collection, Generator, Hashable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from studio.backend.engine import load_engine
from studio.backend.histories import RowDiff, changes, count_changes, diff, whole_recipe
from studio.backend.row_view import RowView, view_row
from studio.backend.scans import Asked, Scans
from studio.backend.splits import SplitRow, Splits, Stratum
from studio.backend.versions import Body, Version, ancestors, notes_json, version_of
from studio.backend.work import Stopping, Tell, Work, part_of, turn
from studio.data.cell_input import typed_cell
from studio.data.changes import RowChange
from studio.data.chat_templates import ChatTemplate
from studio.data.checks import Finding
from studio.data.cleaning import TABLE_FILE, Surroundings, check_recipe, clean
from studio.data.explore import Chart, Where, chart
from studio.data.formats import Mapping, convert, mapping_notes, mapping_problems, recognise
from studio.data.histogram import Histogram, histogram
from studio.data.hub_data import HubDataset, HubParts, list_hub, read_hub
from studio.data.lessons import Learns, Lessons, lessons, teaches
from studio.data.measures import Measured
from studio.data.mixing import MIX_MAPPING, TOOLS_MAPPING, MixSpec
from studio.data.problems import RowProblem
from studio.data.readiness import Readiness, readiness
from studio.data.recipe import LENGTH_FIXES, CleanSpec, FilterStep, FindingTest, ReplaceStep, make_step
from studio.data.records import Message, Record
from studio.data.row_kinds import Kind, Seeming, draft_of, guess_parts, look_through, make_mapping
from studio.data.samples import SampleCard, list_samples
from studio.data.scan import Scan
from studio.data.scan_workers import BOTH_CORES, Spread
from studio.data.second_answers import as_pairs
from studio.data.set_checks import FINDINGS
from studio.data.sources import LeftOut, Source, read_sources, read_text
from studio.data.spec_files import spec_error
from studio.data.splits import Split, SplitSpec, first_split
from studio.data.step_preview import Preview, preview_step
from studio.data.suggestions import Suggestion, suggest_templates
from studio.data.tables import Cells, Note, Row, Table, write_table
from studio.data.tokens import Lengths, LossOn
from studio.data.watch import Watch
from studio.errors import DataError, InputError
from studio.runs.methods import methods_for, natural_method
from studio.runs.store import Store, disk_full, file_words, is_disk_full, new_id
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.models.loading import LoadedTokenizer

_LEFT_OUT: TypeAdapter[tuple[LeftOut, ...]] = TypeAdapter(tuple[LeftOut, ...])
_RECOGNISED_ROWS = 200
_PREVIEW_ROWS = 3
_RECIPE_BYTES = 1_000_000
_OFF = "findings_off"
# Share of the work done when the scan is made, and the split is to be looked at.
_SCANNED = 0.95
Made = TypeVar("Made")

__all__ = ["Datasets", "RowDiff", "RowView", "SplitRow", "Stratum", "Version"]


class Datasets:
    """All about data. Files are written first, the record after, so that a version in the record is whole."""

    def __init__(self, settings: Settings, store: Store, spread: Spread = BOTH_CORES) -> None:
        self._settings = settings
        self._spread = spread
        self._store = store
        self._lock = threading.RLock()
        self._cleaning = threading.Lock()
        self._work = Work()
        self.tokenizer = lru_cache(maxsize=8)(self._tokenizer)
        self._scans = Scans(settings, store, self.tokenizer, spread)
        self._splits = Splits(store, self._scans, spread)
        if not store.read_only:
            self._sweep()

    def _sweep(self) -> None:
        """Remove what a killed process left half made: version folders that the record does not know, and scans and
        files in the making."""
        known = {record.id for record in self._store.versions()}
        for folder in self._store.version_folder("").iterdir():
            if folder.is_dir() and folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            for half in list(folder.rglob("*.partial*")):
                if half.is_dir():
                    shutil.rmtree(half, ignore_errors=True)
                else:
                    half.unlink(missing_ok=True)

    def follow(self, key: Hashable, do: Callable[[Tell, Stopping], Made]) -> Generator[float, None, Made]:
        """Something that takes a while, done in a thread of its own: yields the share done and returns what it made.

        `do(tell, stopping)` calls a method here with both. Who follows under the same key shares the work; closing the
        last of the iterators stops it, and it leaves nothing behind.
        """
        return self._work.follow(key, do)

    # Opening

    def samples(self) -> list[SampleCard]:
        """The sample data sets that come with the studio."""
        return list_samples(self._settings.samples)

    def open_sample(self, name: str) -> Version:
        """A sample's first version, made when it is opened for the first time."""
        cards = {card.name: card for card in self.samples()}
        if name not in cards:
            raise InputError("error.sample.unknown", name=name, known=", ".join(cards))
        with self._lock:
            for record in self._store.versions():
                if record.body.get("sample") == name and record.number == 1:
                    return version_of(record)
            path = cards[name].path
            return self._import(path.name, lambda target: self._read([(path, path.name)], target, None), sample=name)

    def import_file(
        self,
        path: Path,
        name: str | None = None,
        encoding: str | None = None,
        tell: Tell | None = None,
        stopping: Stopping | None = None,
        check: Callable[[Table], None] | None = None,
    ) -> Version:
        """A new data set from a file, an archive or a folder. Raises DataError: what is wrong, where, what to do; and
        what `check` raises of the table. Then nothing is kept."""
        shown = _shown(name or path.name)
        watch = Watch(tell, stopping)
        return self._import(shown, lambda target: self._read([(path, shown)], target, encoding, watch), check=check)

    def import_files(
        self,
        files: Sequence[tuple[Path, str]],
        encoding: str | None = None,
        tell: Tell | None = None,
        stopping: Stopping | None = None,
    ) -> Version:
        """A new data set from several files, each with the name it is shown under. Raises DataError."""
        names = _distinct([_shown(name) for _, name in files])
        shown = [(path, name) for (path, _), name in zip(files, names, strict=True)]
        more = f" +{len(files) - 1}" if len(files) > 1 else ""
        watch = Watch(tell, stopping)
        return self._import(shown[0][1] + more, lambda target: self._read(shown, target, encoding, watch))

    def import_text(self, text: str, name: str, tell: Tell | None = None, stopping: Stopping | None = None) -> Version:
        """A new data set from pasted text: a table if it looks like one, else passages. Raises DataError."""
        limit, watch, shown = self._settings.max_upload_bytes, Watch(tell, stopping), _shown(name)
        return self._import(shown, lambda target: read_text(text, target, name=shown, max_bytes=limit, watch=watch))

    def import_hub(
        self,
        dataset: HubDataset,
        rows: int | None = None,
        tell: Tell | None = None,
        stopping: Stopping | None = None,
    ) -> Version:
        """A new data set from the Hub, its first `rows` or all. Raises DataError."""
        limit, offline, watch = self._settings.max_upload_bytes, self._settings.offline, Watch(tell, stopping)
        name = "/".join(part for part in (dataset.name, dataset.config, dataset.split) if part)
        return self._import(
            name,
            lambda target: read_hub(dataset, target, offline=offline, max_bytes=limit, rows=rows, watch=watch)[0],
        )

    def hub_parts(self, dataset: HubDataset) -> HubParts:
        """The configurations and splits to choose from. Raises DataError."""
        return list_hub(dataset, offline=self._settings.offline)

    def _read(
        self, files: Sequence[tuple[Path, str]], target: Path, encoding: str | None, watch: Watch | None = None
    ) -> Source:
        limit = self._settings.max_upload_bytes
        return read_sources(files, target, encoding=encoding, max_bytes=limit, watch=watch)

    def _import(
        self,
        name: str,
        read: Callable[[Path], Source],
        sample: str | None = None,
        check: Callable[[Table], None] | None = None,
    ) -> Version:
        version = new_id()
        with self._new_folder(version) as folder:
            source = read(folder / "table.parquet")
            if source.left_out:
                _write_text(folder / "left_out.json", _LEFT_OUT.dump_json(source.left_out).decode())
            table = Table(folder / "table.parquet")
            if check:
                check(table)
            first = table.page(0, _RECOGNISED_ROWS)
            mapping = recognise(table.columns, first)
            told = mapping_notes(mapping, first) if mapping else ()
            body = Body(
                source.kind, source.encoding, mapping, source.notes, None, None, sample, first_split(table.rows), told
            )
            return self._record(version, table, body, dataset=None, name=name, parent=None)

    @contextmanager
    def _new_folder(self, version: str) -> Iterator[Path]:
        """A folder for a version in the making; removed again if that fails."""
        folder = self._store.version_folder(version)
        try:
            folder.mkdir(parents=True)
            yield folder
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if is_disk_full(error):
                raise disk_full(self._settings.workspace) from None
            raise

    def _record(
        self, version: str, table: Table, body: Body, *, dataset: str | None, name: str, parent: str | None
    ) -> Version:
        record = self._store.add_version(
            version,
            dataset=dataset,
            name=name,
            parent=parent,
            rows=table.rows,
            fingerprint=table.fingerprint(),
            body={**body.to_json(), "columns": [[c.name, c.type] for c in table.columns]},
        )
        return version_of(record)

    # Versions

    def versions(self, dataset: str | None = None) -> list[Version]:
        """Newest data set first, its versions in order."""
        return [version_of(record) for record in self._store.versions(dataset)]

    def version(self, version: str) -> Version:
        return version_of(self._store.version(version))

    def set_mapping(self, version: str, mapping: Mapping) -> Version:
        """Say by hand which column is what. The rows stay as they are."""
        found = self.version(version)
        mapping_problems(mapping, found.columns)
        notes = mapping_notes(mapping, self.page(version, 0, _RECOGNISED_ROWS))
        self._store.set_version_body(version, mapping=mapping.model_dump(mode="json"), mapping_notes=notes_json(notes))
        return self.version(version)

    def table(self, version: str) -> Table:
        return Table(self._store.version_folder(self._store.version(version).id) / "table.parquet")

    def page(
        self,
        version: str,
        offset: int,
        limit: int,
        search: str | None = None,
        *,
        order: str | None = None,
        descending: bool = False,
        ids: Path | None = None,
        columns: Sequence[str] | None = None,
    ) -> list[Row]:
        """Rows `offset` to `offset + limit` of those that hold `search` in any column and are among `ids` (what
        `select` made), sorted by the column `order`; `columns` are those wanted, all by default."""
        return self._ordered(version, order).page(offset, limit, search, order, descending, ids, columns)

    def row(self, version: str, row: int | None) -> Row:
        """The row of this id, or (None) the first. Raises InputError when it is not there."""
        found = self.page(version, 0, 1) if row is None else list(self.table(version).find([row]).values())
        if not found:
            raise InputError("error.dataset.no_row", row=row, data=self.version(version).name)
        return found[0]

    def count(self, version: str, search: str | None = None, *, ids: Path | None = None) -> int:
        """How many rows those are."""
        return self.table(version).count(search, ids) if search or ids else self._store.version(version).rows

    def cells(
        self,
        version: str,
        offset: int,
        limit: int,
        search: str | None = None,
        width: int = 300,
        *,
        order: str | None = None,
        descending: bool = False,
        ids: Path | None = None,
        columns: Sequence[str] | None = None,
    ) -> list[Cells]:
        """The same rows as short texts, one per column: what a table on the page shows."""
        return self._ordered(version, order).cells(offset, limit, search, width, order, descending, ids, columns)

    def _ordered(self, version: str, order: str | None) -> Table:
        table = self.table(version)
        known = [column.name for column in table.columns]
        if order is not None and order not in known:
            raise InputError("error.dataset.no_column", column=order, known=", ".join(known))
        return table

    def left_out(self, version: str) -> tuple[LeftOut, ...]:
        """Rows of the file that could not be read, each with its line and why."""
        path = self._store.version_folder(self._store.version(version).id) / "left_out.json"
        return _LEFT_OUT.validate_json(path.read_bytes()) if path.is_file() else ()

    def suggestions(self, version: str) -> tuple[Suggestion, ...]:
        """Other ways to read the rows: as pairs where there seems to be a second answer, and templates to begin with
        where the layout alone does not say how."""
        found = suggest_templates(self.version(version).columns, self.page(version, 0, _RECOGNISED_ROWS))
        pairs = self.as_pairs(version)
        if pairs is None:
            return found
        sides = {"better": pairs.chosen or "", "worse": pairs.rejected or ""}
        return (Suggestion("ui.data.suggest.pairs", pairs, sides), *found)

    def hand_mapping(self, version: str, kind: Kind, parts: MappingOf[str, str]) -> Mapping:
        """The mapping that parts chosen by hand make, such as {"prompt": "q", "answer": "a"}. Raises DataError."""
        return make_mapping(kind, parts, self.version(version).columns, self.page(version, 0, _RECOGNISED_ROWS))

    def guessed_parts(self, version: str, kind: Kind) -> dict[str, str]:
        """What the parts of this kind seem to be."""
        return guess_parts(kind, self.version(version).columns, self.page(version, 0, _RECOGNISED_ROWS))

    def preview_mapping(
        self, version: str, kind: Kind, parts: MappingOf[str, str], rows: int = 3
    ) -> tuple[Seeming, ...]:
        """What the first rows become, also while the answer is still open. Raises DataError."""
        mapping = draft_of(kind, self.hand_mapping(version, kind, parts))
        mapping_problems(mapping, self.version(version).columns)
        return look_through(mapping, self.page(version, 0, rows))

    # What the model sees

    def _tokenizer(self, source: str) -> "LoadedTokenizer":
        load_engine()
        from studio.models.loading import load_tokenizer

        return load_tokenizer(source, self._settings)

    def lessons(self, version: str, mapping: Mapping | None, learns: Learns = "answers") -> tuple[Lessons, int]:
        """What is learned of the rows, and how many rows nothing is learned of. Nothing is held: they are read
        whenever they are gone through."""
        found = self._splits.lessons(version, self._mapping(version, mapping), learns)
        return found, self._store.version(version).rows - len(found)

    def first_lessons(self, version: str, mapping: Mapping | None, learns: Learns, rows: int) -> list[Record]:
        """What is learned of the first rows."""
        mapping = self._mapping(version, mapping)
        columns = mapping.needed(column.name for column in self.version(version).columns)
        records = (convert(row, mapping) for row in self.page(version, 0, rows, columns=columns))
        return [one for record in records if not isinstance(record, RowProblem) for one in lessons(record, learns)]

    def check_lessons(self, version: str, mapping: Mapping | None = None, learns: Learns = "answers") -> None:
        """Raises DataError for data of a kind that holds nothing of what is to be learned."""
        kind = self._mapping(version, mapping).dataset_type
        if not teaches(kind, learns):
            able = ", ".join(f"`{name}`" for name in methods_for(kind)) or "–"
            facts = {"data": self.version(version).name, "able": able}
            if pairs := self.as_pairs(version, mapping) if teaches("preference", learns) else None:
                raise DataError("error.train.learns.second_answer", **facts, worse=pairs.rejected)
            raise DataError(f"error.train.learns.{learns}", **facts)

    def as_pairs(self, version: str, mapping: Mapping | None = None) -> Mapping | None:
        """How the rows are read as preference pairs, where they are read as answers and seem to have a second one."""
        mapping = mapping or self.version(version).mapping
        rows = self.page(version, 0, _RECOGNISED_ROWS)
        return as_pairs(mapping, self.version(version).columns, rows) if mapping else None

    def methods(self, version: str) -> list[str]:
        """The methods that its rows can teach, the natural one first; none while it is open which column is what."""
        mapping = self.version(version).mapping
        return methods_for(mapping.dataset_type) if mapping else []

    def natural_method(self, version: str) -> str:
        """The method that makes the most of its rows."""
        mapping = self.version(version).mapping if version else None
        return natural_method(mapping.dataset_type if mapping else "prompt_completion")

    def _mapping(self, version: str, mapping: Mapping | None = None) -> Mapping:
        return self.version(version).mapped(mapping)

    def lengths(self, version: str, model: str = "starter", max_length: int = 256) -> tuple[Lengths, ...]:
        """Token counts of every readable row; of a large table, of a sample."""
        measured = self._scans.get(self._asked(version, model, max_length)).measured
        return measured.sample if measured else ()

    def histogram(self, version: str, model: str = "starter", max_length: int = 256, bars: int = 24) -> Histogram:
        """How long the rows, their prompts and their answers are in tokens of this model."""
        measured = self._scans.get(self._asked(version, model, max_length)).measured
        return histogram(measured or Measured((), (), False), max_length, bars)

    def view_row(
        self,
        version: str,
        row: int,
        model: str = "starter",
        max_length: int = 256,
        loss_on: LossOn = "answer",
        chat_template: ChatTemplate = "own",
    ) -> RowView:
        """The row of this id rendered with the model's template or another, the trained tokens marked."""
        mapping, table = self._mapping(version), self.table(version)
        found = table.find([row], mapping.needed(column.name for column in table.columns))
        if row not in found:
            raise InputError("error.dataset.no_row", row=row, data=self.version(version).name)
        tokenizer = self.tokenizer(model).tokenizer
        from studio.models.loading import with_template

        return view_row(found[row], mapping, with_template(tokenizer, chat_template), max_length, loss_on)

    # Findings and fixes

    def _asked(self, version: str, model: str | None, max_length: int) -> Asked:
        return Asked(self._store.version(version).id, self._mapping(version), model, max_length)

    def scan(
        self,
        version: str,
        model: str | None = "starter",
        max_length: int = 256,
        tell: Tell | None = None,
        stopping: Stopping | None = None,
    ) -> Scan:
        """All that the checks found, those turned off too; made once and kept. Raises Stopped."""
        return self._whole(self._asked(version, model, max_length), tell, stopping)

    def scanned(self, version: str, model: str | None = "starter", max_length: int = 256) -> bool:
        """Whether the scan was made already: findings, readiness, charts and rows to select are quick then."""
        return self._is_there(self._asked(version, model, max_length))

    def _is_there(self, asked: Asked) -> bool:
        split = self.version(asked.version).split
        return self._scans.is_there(asked) and self._splits.leak_is_there(asked, split)

    def follow_scan(
        self, version: str, model: str | None = "starter", max_length: int = 256
    ) -> Generator[float, None, None]:
        """Make the scan where there is none; yields the share done, 0 to 1."""
        asked = self._asked(version, model, max_length)
        if not self._is_there(asked):
            key = ("scan", self._scans.key(asked), self.version(version).split)
            yield from self._work.follow(key, lambda tell, stopping: self._whole(asked, tell, stopping))

    def findings_off(self, version: str) -> frozenset[str]:
        """Names of the findings that are turned off for all versions of this data set."""
        return frozenset(self._store.dataset_body(self._store.version(version).dataset).get(_OFF, ()))

    def set_findings_off(self, version: str, names: Collection[str]) -> None:
        """Turn off the findings of these names (`duplicate`), and on all others. Raises InputError."""
        unknown = sorted(set(names) - FINDINGS)
        if unknown:
            raise InputError("error.finding.unknown", name=unknown[0], known=", ".join(sorted(FINDINGS)))
        self._store.set_dataset_body(self._store.version(version).dataset, **{_OFF: sorted(set(names))})

    def _whole(self, asked: Asked, tell: Tell | None = None, stopping: Stopping | None = None) -> Scan:
        """The scan, and what the split that is set lets leak."""
        found = self._scans.get(asked, part_of(tell, 0, _SCANNED), stopping).scan
        leak = self._splits.leak(asked, self.version(asked.version).split, stopping)
        return found.having(leak) if leak else found

    def _told(self, version: str, model: str | None, max_length: int) -> Scan:
        return self._whole(self._asked(version, model, max_length)).without(self.findings_off(version))

    def findings(self, version: str, model: str | None = "starter", max_length: int = 256) -> tuple[Finding, ...]:
        """What would spoil training with this model, worst first; without a model, all but what its tokens tell.

        Findings that are turned off are left out.
        """
        return self._told(version, model, max_length).findings

    def readiness(self, version: str, model: str | None = "starter", max_length: int = 256) -> Readiness:
        """The summary of these findings."""
        return readiness(self._told(version, model, max_length))

    def charts(self, version: str, model: str | None = "starter", max_length: int = 256) -> tuple[Chart, ...]:
        """What the rows are like: a chart of every feature that tells something."""
        return self._scans.charts(self._asked(version, model, max_length))

    def languages(
        self, version: str, model: str | None = "starter", max_length: int = 256
    ) -> tuple[tuple[str, int], ...]:
        """Languages of the rows (ISO 639-1) with their counts, the most frequent first; none before the checks."""
        if not self.scanned(version, model, max_length):
            return ()
        features = self.scan(version, model, max_length).features
        bars = chart(features, "language").bars
        return tuple((bar.label, bar.count) for bar in bars)

    def select(self, version: str, where: Where, model: str | None = "starter", max_length: int = 256) -> Path:
        """The rows of a bar or of a finding, as `page`, `cells` and `count` take them (`ids`). Select anew whenever
        they are asked for: it is made once, and goes when its scan does."""
        asked = self._asked(version, model, max_length)
        return self._scans.select(asked, where, self._whole(asked))

    def export_findings(
        self,
        version: str,
        model: str | None = "starter",
        max_length: int = 256,
        keys: Collection[str] | None = None,
        form: Literal["csv", "jsonl"] = "csv",
    ) -> Path:
        """Write the rows of findings (of all that are on, without `keys`) with the finding of each, as a file in the
        workspace's `exports`. `keys` are those of `Finding`."""
        found = self._told(version, model, max_length)
        return self._scans.export(version, self.version(version).name, found, keys, form)

    def fix(
        self,
        version: str,
        fixes: Sequence[str],
        model: str = "starter",
        max_length: int = 256,
        tell: Tell | None = None,
        stopping: Stopping | None = None,
    ) -> Version:
        """Apply fixes in order, as `clean` does; those that go by length use this model's tokens."""
        chosen = {"model": model, "max_length": max_length}
        steps = [make_step(fix, **(chosen if fix in LENGTH_FIXES else {})) for fix in fixes]
        return self.clean(version, CleanSpec(steps=tuple(steps)), tell, stopping)

    def clean(
        self, version: str, recipe: CleanSpec, tell: Tell | None = None, stopping: Stopping | None = None
    ) -> Version:
        """Apply a recipe; the result is a new version with its report.

        Where nothing changes it is the version itself, and where the same was done before, the version made then.
        Raises DataError when no row would be left or a step does not fit this data; Stopped when `stopping` says so.
        """
        parent = self.version(version)
        mapping = self._mapping(version)
        with turn(self._cleaning, stopping):
            for known in self.versions(parent.dataset):
                if (known.parent, known.recipe, known.mapping) == (version, recipe, mapping):
                    return known
            around = Surroundings(
                tokenizers=lambda model: self.tokenizer(model).tokenizer,
                earlier=[self.table(ancestor) for ancestor in ancestors(self._store, version)],
                next_id=self._next_id(parent.dataset) if any(step.fix == "add_rows" for step in recipe.steps) else None,
                fingerprint=parent.fingerprint,
                spread=self._spread,
                progress=tell,
                stop=stopping,
            )
            return self._clean(parent, mapping, recipe, around)

    def _clean(self, parent: Version, mapping: Mapping, recipe: CleanSpec, around: Surroundings) -> Version:
        new = new_id()
        with self._new_folder(new) as folder:
            report = clean(self.table(parent.id), mapping, recipe, folder, around)
            if not report.changes:
                shutil.rmtree(folder)
                return parent
            told = mapping_notes(mapping, self.page(parent.id, 0, _RECOGNISED_ROWS))
            body = Body(parent.kind, parent.encoding, mapping, (), recipe, report, None, parent.split, told)
            table = Table(folder / TABLE_FILE)
            return self._record(new, table, body, dataset=parent.dataset, name=parent.name, parent=parent.id)

    def _next_id(self, dataset: str) -> int:
        """A row id that no version of the data set ever had."""
        return max(self.table(known.id).last_id for known in self._store.versions(dataset)) + 1

    def edit_rows(self, version: str, rows: MappingOf[int, MappingOf[str, Any]]) -> Version:
        """New values of cells: row id -> column -> value."""
        return self._by_hand(version, "edit_rows", {i: dict(values) for i, values in rows.items()}, rows)

    def add_rows(self, version: str, rows: Sequence[MappingOf[str, Any]]) -> Version:
        """New rows at the end."""
        return self._by_hand(version, "add_rows", [dict(values) for values in rows], ())

    def type_row(self, version: str, row: int | None, typed: MappingOf[str, str]) -> Version:
        """A row written by hand, as text per column: of the row with this id those that are given, or (None) a new row.

        Raises CellError for a text that does not fit its column, InputError where nothing was written.
        """
        columns = {column.name: column for column in self.version(version).columns}
        before = self.row(version, row) if row is not None else None
        values = {
            name: typed_cell(text, columns[name], before.values[name] if before else None)
            for name, text in typed.items()
            if name in columns
        }
        if row is not None:
            return self.edit_rows(version, {row: values}) if values else self.version(version)
        if all(value is None for value in values.values()):
            raise InputError("error.cell.nothing")
        return self.add_rows(version, [{name: values.get(name) for name in columns}])

    def exclude_rows(self, version: str, rows: Collection[int]) -> Version:
        """Leave these rows out."""
        return self._by_hand(version, "exclude_rows", sorted(rows), rows)

    def restore_rows(self, version: str, rows: Collection[int]) -> Version:
        """Bring back rows that were dropped on the way to this version."""
        return self._by_hand(version, "restore_rows", sorted(rows), ())

    def _by_hand(self, version: str, fix: str, rows: Any, needed: Collection[int]) -> Version:
        found = self.version(version)
        there = self.table(version).find(needed)
        for row in needed:
            if row not in there:
                raise InputError("error.dataset.no_row", row=row, data=found.name)
        return self.clean(version, CleanSpec(steps=(make_step(fix, data=found.fingerprint, rows=rows),)))

    def lineage(self, version: str) -> tuple[Version, ...]:
        """The versions from the file as it was opened to this one."""
        return tuple(map(self.version, [version, *ancestors(self._store, version)][::-1]))

    def recipe(self, version: str) -> CleanSpec:
        """All steps from the file as it was opened to this version."""
        return whole_recipe(self._store, version)

    def save_recipe(self, version: str) -> Path | None:
        """What of that recipe holds for other data too, as a YAML file in the workspace's `exports`; None: nothing."""
        recipe = self.recipe(version).reusable()
        if not recipe.steps:
            return None
        name = file_words(self.version(version).name) or "data"
        path = self._settings.workspace / "exports" / f"{name}-recipe-{version}.yaml"
        _write_text(path, recipe.to_yaml())
        return path

    def read_recipe(self, version: str, path: Path, name: str) -> tuple[CleanSpec, int]:
        """A recipe from a YAML file, to be used on this version; `name` is told in errors.

        Steps that were done by hand in other data do not fit and are left out: their number. Raises SpecError that
        tells every problem with its path, and DataError for columns that are not there.
        """
        if path.stat().st_size > _RECIPE_BYTES:
            raise DataError("error.recipe.too_large", file=name, limit=_RECIPE_BYTES // 1000)
        try:
            recipe = CleanSpec.from_yaml(path.read_text(encoding="utf-8"), name)
        except UnicodeDecodeError:
            raise DataError("error.recipe.not_text", file=name) from None
        own = self.version(version).fingerprint
        foreign = [step for step in recipe.by_hand if step.data != own]
        kept = CleanSpec(steps=tuple(step for step in recipe.steps if step not in foreign))
        check_recipe(self.table(version), kept, own)
        return kept, len(foreign)

    def preview_step(
        self, version: str, step: ReplaceStep | FilterStep, model: str | None = "starter", max_length: int = 256
    ) -> Preview | None:
        """What a step would do, by as many rows as can be looked at in a moment; None while the findings that it goes
        by were not counted yet."""
        mapping = self._mapping(version)
        if not (isinstance(step, FilterStep) and isinstance(step.where, FindingTest)):
            return preview_step(self.table(version), mapping, step)
        check_recipe(self.table(version), CleanSpec(steps=(step,)))
        if not self.scanned(version, model, max_length):
            return None
        found = self.scan(version, model, max_length).rows(f"finding.{step.where.finding}")
        table = self.table(version)
        if step.action == "drop":
            rows = table.find(found[:_PREVIEW_ROWS].tolist())
            examples = tuple((rows[row_id], None, ()) for row_id in sorted(rows))
            return Preview(len(found), table.rows, table.rows, examples)
        first = table.page(0, _PREVIEW_ROWS)
        examples = tuple((row, None, ()) for row in first if row.id not in found)
        return Preview(table.rows - len(found), table.rows, table.rows, examples)

    def changes(
        self, version: str, offset: int = 0, limit: int | None = None, since: str | None = None
    ) -> tuple[RowChange, ...]:
        """Rows dropped, changed or added on the way from the parent version (from `since`, a version before it)."""
        return changes(self._store, version, offset, limit, since)

    def changed_rows(self, version: str, since: str | None = None, step: tuple[str, int] | None = None) -> int:
        """How many rows were dropped, changed or added on the way. `step`: by this step (from 0) of this version."""
        return count_changes(self._store, version, since, step)

    def diff(
        self,
        version: str,
        offset: int = 0,
        limit: int = 20,
        since: str | None = None,
        step: tuple[str, int] | None = None,
    ) -> tuple[RowDiff, ...]:
        """Those rows, before and after."""
        return diff(self._store, version, offset, limit, since, step)

    # Mixtures

    def add_mix(
        self, spec: MixSpec, name: str, parent: Version | None, write: Callable[[Path], tuple[Note, ...]]
    ) -> Version:
        """Record a mixture whose `table.parquet` `write` puts into the folder it is given. With a parent it is the
        next version of the same data set, else a data set of its own."""
        new = new_id()
        with self._new_folder(new) as folder:
            notes = write(folder)
            table = Table(folder / TABLE_FILE)
            mapping = TOOLS_MAPPING if any(column.name == "tools" for column in table.columns) else MIX_MAPPING
            split = parent.split if parent else first_split(table.rows)
            body = Body("", None, mapping, notes, None, None, None, split, (), spec)
            dataset, above = (parent.dataset, parent.id) if parent else (None, None)
            return self._record(new, table, body, dataset=dataset, name=name, parent=above)

    # Made of what the workspace holds

    def add_made(
        self, rows: Sequence[MappingOf[str, Any]], name: str, made_of: tuple[str, str], notes: tuple[Note, ...]
    ) -> Version:
        """A data set of rows that were not in a file. `made_of`, a name and a value, tells which data set they make: of
        that it is the next version, or its last where the rows are the same."""
        key, value = made_of
        with self._lock:
            known = next(
                (r for r in self._store.versions() if self._store.dataset_body(r.dataset).get(key) == value), None
            )
            dataset = known.dataset if known else None
            new = new_id()
            with self._new_folder(new) as folder:
                write_table((Row(number, dict(values)) for number, values in enumerate(rows, 1)), folder / TABLE_FILE)
                table = Table(folder / TABLE_FILE)
                last = self._store.versions(dataset)[-1] if dataset else None
                if last is not None and last.fingerprint == table.fingerprint():
                    shutil.rmtree(folder)
                    return version_of(last)
                mapping = recognise(table.columns, table.page(0, _RECOGNISED_ROWS))
                body = Body("", None, mapping, notes, None, None, None, first_split(table.rows), ())
                made = self._record(new, table, body, dataset=dataset, name=name, parent=None)
            if dataset is None:
                self._store.set_dataset_body(made.dataset, **{key: value})
            return made

    # Split

    def split(self, version: str, spec: SplitSpec, mapping: Mapping | None = None) -> Split:
        """Ids of the rows on each side; rows that are no training records are on none."""
        return self._splits.split(version, self._mapping(version, mapping), spec)

    def kept_rows(
        self, version: str, spec: SplitSpec, side: Literal["validation", "test"], offset: int = 0, limit: int = 20
    ) -> tuple[SplitRow, ...]:
        """Rows kept out of training, to be looked at: the last question and its answer."""
        parts = self.split(version, spec)
        ids = (parts.test if side == "test" else parts.validation)[offset : offset + limit]
        return self._splits.rows(version, self._mapping(version), ids)

    def strata(self, version: str, spec: SplitSpec) -> tuple[Stratum, ...]:
        """How the values of the column that is kept in proportion fall on the sides, most frequent first."""
        return self._splits.strata(version, self._mapping(version), spec)

    def set_split(self, version: str, spec: SplitSpec) -> Version:
        """Remember how this version is to be split: new runs begin with it."""
        self._store.set_version_body(version, split=spec.model_dump(mode="json"))
        return self.version(version)

    def change_split(self, version: str, changes: MappingOf[str, Any]) -> Version:
        """Change some of how this version is to be split; the rest stays as it was chosen. Raises SpecError."""
        with self._lock:
            values = {**self.version(version).split.model_dump(), **changes}
            try:
                spec = SplitSpec.model_validate(values)
            except ValidationError as error:
                raise spec_error(error, under="data.split.") from None
            return self.set_split(version, spec)

    def curve(self, version: str) -> tuple[str, ...]:
        """The runs of the learning curve that was started last on this version, smallest part first; none when one of
        them was deleted."""
        runs = tuple(self._store.version(version).body.get("curve", ()))
        return runs if set(runs) <= self._store.cursors().keys() else ()

    def set_curve(self, version: str, runs: Sequence[str]) -> None:
        """Remember which runs are its learning curve."""
        self._store.set_version_body(version, curve=list(runs))

    def split_counts(
        self, version: str, spec: SplitSpec, learns: Learns = "answers", mapping: Mapping | None = None
    ) -> tuple[int, int, int]:
        """Rows that are learned from in (train, validation, test)."""
        return self._splits.counts(version, self._mapping(version, mapping), spec, learns)

    def examples(
        self, version: str, spec: SplitSpec, limit: int, mapping: Mapping | None = None
    ) -> tuple[tuple[tuple[Message, ...], str], ...]:
        """Prompts of the validation split with their expected answers (of the training split if there is none).

        Those that need tools are left out: a chat with the model has none.
        """
        return self._splits.examples(version, self._mapping(version, mapping), spec, limit)

    def shots(
        self, version: str, spec: SplitSpec, count: int, mapping: Mapping | None = None
    ) -> tuple[tuple[tuple[Message, ...], str], ...]:
        """Prompts of the training split with their answers, to be shown to a model before a question: drawn at random,
        the same ones for one seed of the split."""
        return self._splits.shots(version, self._mapping(version, mapping), spec, count)


def _shown(name: str) -> str:
    """A file's name on one line."""
    return " ".join(name.split())[:200] or "?"


def _distinct(names: list[str]) -> list[str]:
    """Files of one name, from several folders, are told apart by a number; the end of a name says what they are."""
    found: list[str] = []
    for name in names:
        taken = names[: len(found)].count(name)
        found.append(f"({taken + 1}) {name}" if taken else name)
    return found


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
