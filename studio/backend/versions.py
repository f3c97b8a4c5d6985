"""A version of a data set as a value, and how the record keeps it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.data.cleaning import CleanReport
from studio.data.mapping import Mapping as ColumnMapping
from studio.data.mixing import MixSpec
from studio.data.recipe import CleanSpec
from studio.data.splits import SplitSpec
from studio.data.tables import Column, Note
from studio.errors import DataError
from studio.runs.store import Store, VersionRecord


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
    mapping: ColumnMapping | None
    notes: tuple[Note, ...]
    recipe: CleanSpec | None
    report: CleanReport | None
    sample: str | None
    split: SplitSpec
    mix: MixSpec | None = None

    def mapped(self, mapping: ColumnMapping | None = None) -> ColumnMapping:
        """The mapping given, or the version's own. Raises DataError when there is neither."""
        found = mapping or self.mapping
        if found is None:
            raise DataError("error.train.no_mapping", data=self.name)
        return found


@dataclass(frozen=True, slots=True)
class Body:
    """What the record keeps of a version beside its numbers."""

    kind: str
    encoding: str | None
    mapping: ColumnMapping | None
    notes: tuple[Note, ...]
    recipe: CleanSpec | None
    report: CleanReport | None
    sample: str | None
    split: SplitSpec
    mapping_notes: tuple[Note, ...]
    mix: MixSpec | None = None

    def to_json(self) -> dict[str, Any]:
        """As the record takes it."""
        parts = {
            "mapping": self.mapping,
            "recipe": self.recipe,
            "report": self.report,
            "split": self.split,
            "mix": self.mix,
        }
        dumped = {name: part.model_dump(mode="json") if part else None for name, part in parts.items()}
        notes = {"notes": notes_json(self.notes), "mapping_notes": notes_json(self.mapping_notes)}
        return {"kind": self.kind, "encoding": self.encoding, "sample": self.sample, **notes, **dumped}


def notes_json(notes: Sequence[Note]) -> list[Mapping[str, Any]]:
    """Notes as the record keeps them."""
    return [{"key": note.key, "values": dict(note.values)} for note in notes]


def version_of(record: VersionRecord) -> Version:
    """What the record keeps, as a value."""
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
        mapping=ColumnMapping.model_validate(body["mapping"]) if body["mapping"] else None,
        notes=tuple(Note(item["key"], item["values"]) for item in (*body["notes"], *body.get("mapping_notes", ()))),
        recipe=CleanSpec.model_validate(body["recipe"]) if body["recipe"] else None,
        report=CleanReport.model_validate(body["report"]) if body["report"] else None,
        sample=body["sample"],
        split=SplitSpec.model_validate(body["split"]),
        mix=MixSpec.model_validate(body["mix"]) if body.get("mix") else None,
    )


def ancestors(store: Store, version: str) -> Iterator[str]:
    """The versions whose rows it has, nearest first. The rows of a mixture are its own."""
    found = version_of(store.version(version))
    while found.parent is not None and found.mix is None:
        yield found.parent
        found = version_of(store.version(found.parent))
