"""Data sets of the workspace: open, look, find faults, clean, split. Every change is a new version."""

import os
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from studio.data.checks import Finding, find
from studio.data.cleaning import CleanReport, CleanSpec, CleanStep, RowChange, clean
from studio.data.formats import Conversation, Mapping, Message, RowProblem, convert, mapping_problems, recognise
from studio.data.samples import SampleCard, list_samples
from studio.data.splits import SplitSpec, split
from studio.data.tables import Column, Note, Row, Table, read_source, write_table
from studio.data.tokens import Lengths, Span, lengths, tokenize, view
from studio.errors import DataError, InputError
from studio.models.loading import LoadedTokenizer, load_tokenizer
from studio.runs.store import Store, VersionRecord, disk_full, is_disk_full, new_id
from studio.settings import Settings

_CHANGES: TypeAdapter[tuple[RowChange, ...]] = TypeAdapter(tuple[RowChange, ...])
_RECOGNISED_ROWS = 200


@dataclass(frozen=True, slots=True)
class Version:
    """A dataset version as the page shows it."""

    id: str
    dataset: str
    name: str
    number: int
    parent: str | None
    created: float
    rows: int
    fingerprint: str
    columns: tuple[Column, ...]
    kind: str
    encoding: str | None
    mapping: Mapping | None
    notes: tuple[Note, ...]
    recipe: CleanSpec | None
    report: CleanReport | None
    sample: str | None


@dataclass(frozen=True, slots=True)
class RowView:
    """A row as the model will see it. Token counts include the template's own tokens."""

    spans: tuple[Span, ...]
    prompt_tokens: int
    answer_tokens: int
    total_tokens: int
    truncated: bool
    problem: RowProblem | None


class Datasets:
    """All about data. Files are written first, the record after, so that a version in the record is whole."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._lock = threading.RLock()
        self.tokenizer = lru_cache(maxsize=8)(self._tokenizer)
        self._rows = lru_cache(maxsize=4)(self._read_rows)
        self._conversations = lru_cache(maxsize=8)(self._read_conversations)
        self._lengths = lru_cache(maxsize=16)(self._measure)
        self._findings = lru_cache(maxsize=32)(self._find)

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
                    return _version(record)
            return self._import(cards[name].path, cards[name].path.name, None, sample=name)

    def import_file(self, path: Path, name: str | None = None, encoding: str | None = None) -> Version:
        """A new data set from a file. Raises DataError that says what, where, and what to do."""
        return self._import(path, name or path.name, encoding, sample=None)

    def _import(self, path: Path, name: str, encoding: str | None, sample: str | None) -> Version:
        source = read_source(path, encoding=encoding, name=name, max_bytes=self._settings.max_upload_bytes)
        version = new_id()
        folder = self._new_folder(version)
        write_table(source.table, folder / "table.parquet")
        table = Table(folder / "table.parquet")
        mapping = recognise(table.columns, table.page(0, _RECOGNISED_ROWS))
        body = _Body(source.kind, source.encoding, mapping, source.notes, None, None, sample)
        return self._record(version, table, body, dataset=None, name=" ".join(name.split())[:200], parent=None)

    def _new_folder(self, version: str) -> Path:
        folder = self._store.version_folder(version)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(self._settings.workspace) from None
            raise
        return folder

    def _record(
        self, version: str, table: Table, body: "_Body", *, dataset: str | None, name: str, parent: str | None
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
        return _version(record)

    # Versions

    def versions(self, dataset: str | None = None) -> list[Version]:
        """Newest data set first, its versions in order."""
        return [_version(record) for record in self._store.versions(dataset)]

    def version(self, version: str) -> Version:
        return _version(self._store.version(version))

    def set_mapping(self, version: str, mapping: Mapping) -> Version:
        """Say by hand which column is what. The rows stay as they are."""
        found = self.version(version)
        mapping_problems(mapping, found.columns)
        self._store.set_version_body(version, mapping=mapping.model_dump(mode="json"))
        return self.version(version)

    def table(self, version: str) -> Table:
        return Table(self._store.version_folder(self._store.version(version).id) / "table.parquet")

    def page(self, version: str, offset: int, limit: int, search: str | None = None) -> list[Row]:
        """Rows `offset` to `offset + limit`, of those that hold `search` in any column."""
        return self.table(version).page(offset, limit, search)

    def count(self, version: str, search: str | None = None) -> int:
        """How many rows hold `search`."""
        return self.table(version).count(search) if search else self._store.version(version).rows

    # What the model sees

    def _tokenizer(self, source: str) -> LoadedTokenizer:
        return load_tokenizer(source, self._settings)

    def _read_rows(self, version: str) -> tuple[Row, ...]:
        return tuple(self.table(version).read())

    def _read_conversations(self, version: str, mapping: Mapping) -> tuple[tuple[int, Conversation | RowProblem], ...]:
        return tuple((row.id, convert(row, mapping)) for row in self._rows(version))

    def conversations(self, version: str, mapping: Mapping | None) -> tuple[list[tuple[int, Conversation]], int]:
        """The rows that can be read as conversations, and how many cannot."""
        everything = self._conversations(version, self._mapping(version, mapping))
        good = [(i, c) for i, c in everything if isinstance(c, Conversation)]
        return good, len(everything) - len(good)

    def _mapping(self, version: str, mapping: Mapping | None = None) -> Mapping:
        found = mapping or self.version(version).mapping
        if found is None:
            raise DataError("error.train.no_mapping", data=self.version(version).name)
        return found

    def _measure(self, version: str, mapping: Mapping, model: str, max_length: int) -> tuple[Lengths, ...]:
        good, _ = self.conversations(version, mapping)
        return tuple(lengths(good, self.tokenizer(model).tokenizer, max_length))

    def lengths(self, version: str, model: str = "starter", max_length: int = 256) -> tuple[Lengths, ...]:
        """Token counts of every readable row."""
        return self._lengths(version, self._mapping(version), model, max_length)

    def view_row(
        self, version: str, row: int, model: str = "starter", max_length: int = 256, loss_on: Any = "answer"
    ) -> RowView:
        """The row rendered with the model's template, the trained tokens marked."""
        conversation = dict(self._conversations(version, self._mapping(version)))[row]
        if isinstance(conversation, RowProblem):
            return RowView((), 0, 0, 0, False, conversation)
        tokenizer = self.tokenizer(model).tokenizer
        example = tokenize(conversation, tokenizer, max_length, loss_on=loss_on)
        return RowView(
            spans=view(conversation, tokenizer, max_length, loss_on),
            prompt_tokens=example.prompt_tokens,
            answer_tokens=example.answer_tokens,
            total_tokens=len(example.ids),
            truncated=example.truncated,
            problem=None,
        )

    # Findings and fixes

    def _find(self, version: str, mapping: Mapping, model: str, max_length: int) -> tuple[Finding, ...]:
        measured = self._lengths(version, mapping, model, max_length)
        return find(self._rows(version), mapping, measured, max_length)

    def findings(self, version: str, model: str = "starter", max_length: int = 256) -> tuple[Finding, ...]:
        """What would spoil training with this model, worst first."""
        return self._findings(version, self._mapping(version), model, max_length)

    def fix(self, version: str, fixes: Sequence[str], model: str = "starter", max_length: int = 256) -> Version:
        """Apply fixes in order; the result is a new version with its report."""
        parent = self.version(version)
        mapping = self._mapping(version)
        steps = []
        for fix in fixes:
            rows = None
            if fix == "drop_too_long":
                measured = self._lengths(version, mapping, model, max_length)
                rows = tuple(item.row_id for item in measured if item.truncated)
            steps.append(CleanStep.model_validate({"fix": fix, "row_ids": rows}))
        recipe = CleanSpec(steps=tuple(steps))
        new = new_id()
        folder = self._new_folder(new)
        try:
            report = clean(self.table(version), mapping, recipe, folder / "table.parquet")
        except DataError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        _write_text(folder / "changes.json", _CHANGES.dump_json(report.changes).decode())
        short = report.model_copy(update={"changes": ()})
        body = _Body(parent.kind, parent.encoding, mapping, (), recipe, short, None)
        table = Table(folder / "table.parquet")
        return self._record(new, table, body, dataset=parent.dataset, name=parent.name, parent=version)

    def changes(self, version: str) -> tuple[RowChange, ...]:
        """Every row dropped or changed on the way from the parent version."""
        path = self._store.version_folder(self._store.version(version).id) / "changes.json"
        return _CHANGES.validate_json(path.read_bytes()) if path.is_file() else ()

    # Split

    def split_counts(self, version: str, spec: SplitSpec) -> tuple[int, int]:
        """Rows in (train, validation)."""
        parts = split(self.conversations(version, None)[0], spec)
        return len(parts.train), len(parts.validation)

    def examples(
        self, version: str, spec: SplitSpec, limit: int, mapping: Mapping | None = None
    ) -> tuple[tuple[tuple[Message, ...], str], ...]:
        """Prompts of the validation split with their expected answers (of the training split if there is none)."""
        good, _ = self.conversations(version, mapping)
        parts = split(good, spec)
        by_id = dict(good)
        chosen = [by_id[i] for i in (parts.validation or parts.train)[:limit]]
        return tuple((tuple(c.prompt), c.answer) for c in chosen)


@dataclass(frozen=True, slots=True)
class _Body:
    """What the record keeps of a version beside its numbers."""

    kind: str
    encoding: str | None
    mapping: Mapping | None
    notes: tuple[Note, ...]
    recipe: CleanSpec | None
    report: CleanReport | None
    sample: str | None

    def to_json(self) -> dict[str, Any]:
        parts = {"mapping": self.mapping, "recipe": self.recipe, "report": self.report}
        dumped = {name: part.model_dump(mode="json") if part else None for name, part in parts.items()}
        notes = [{"key": note.key, "values": dict(note.values)} for note in self.notes]
        return {"kind": self.kind, "encoding": self.encoding, "notes": notes, "sample": self.sample, **dumped}


def _version(record: VersionRecord) -> Version:
    body = record.body
    return Version(
        id=record.id,
        dataset=record.dataset,
        name=record.name,
        number=record.number,
        parent=record.parent,
        created=record.created,
        rows=record.rows,
        fingerprint=record.fingerprint,
        columns=tuple(Column(*item) for item in body["columns"]),
        kind=body["kind"],
        encoding=body["encoding"],
        mapping=Mapping.model_validate(body["mapping"]) if body["mapping"] else None,
        notes=tuple(Note(item["key"], item["values"]) for item in body["notes"]),
        recipe=CleanSpec.model_validate(body["recipe"]) if body["recipe"] else None,
        report=CleanReport.model_validate(body["report"]) if body["report"] else None,
        sample=body["sample"],
    )


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)

