"""A version of a data set as a package for others: its rows, the sides of its split, the recipe that makes it of the
file, where it comes from, what was found in it, and a card."""

import json
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from studio import __version__
from studio.backend.card_facts import cleaned_steps, findings_of, scan_of
from studio.backend.datasets import Datasets
from studio.backend.engine import load_engine
from studio.backend.placing import free_target, make_room, put, refused
from studio.backend.versions import Version
from studio.backend.work import Stopping, Tell, part_of
from studio.data.checks import Finding
from studio.data.export_file import export_table
from studio.data.recipe import CleanSpec
from studio.data.splits import Split
from studio.data.tables import Row, Table
from studio.errors import Stopped
from studio.messages import LANGUAGES
from studio.runs.store import file_words, told_disk
from studio.settings import Settings

Form = Literal["jsonl", "parquet"]
LINEAGE, FINDINGS, CARD = "lineage.json", "findings.json", "README.md"
# Of what a table takes as Parquet, about so many times as much is written: as text, twice (rows, and by their sides),
# and once more while a zip is made of it.
_GROWS = 12
_LOOK_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class DataPackage:
    """Where it lies, and the rows of each file by its name. `sha256` is the zip's; "" of a folder."""

    path: Path
    files: dict[str, int]
    sha256: str


def write_data_package(
    datasets: Datasets,
    settings: Settings,
    version: str,
    target: Path,
    form: Form = "jsonl",
    tell: Tell | None = None,
    stopping: Stopping | None = None,
) -> DataPackage:
    """Put a version at `target`, whole or not at all: a zip if its name ends so, else a new folder.

    Raises InputError where something is there already or nothing can be written, ResourceError where there is no room,
    Stopped soon after `stopping` says so.
    """
    datasets.version(version)  # told before a folder is made
    target = free_target(target)
    return _package(datasets, settings, version, target, target.parent, form, tell, stopping)


def keep_data_package(
    datasets: Datasets,
    settings: Settings,
    version: str,
    form: Form = "jsonl",
    tell: Tell | None = None,
    stopping: Stopping | None = None,
) -> DataPackage:
    """A zip in the workspace's `exports`, in place of an earlier one of the version. Raises as `write_data_package`."""
    found = datasets.version(version)
    target = settings.workspace / "exports" / f"{file_words(found.name) or 'data'}-package-{found.id}.zip"
    # Made in the version's folder, where what a killed studio left half made is removed.
    beside = datasets.table(version).path.parent
    return _package(datasets, settings, version, target, beside, form, tell, stopping)


def _package(
    datasets: Datasets,
    settings: Settings,
    version: str,
    target: Path,
    beside: Path,
    form: Form,
    tell: Tell | None,
    stopping: Stopping | None,
) -> DataPackage:
    """`beside`: the folder to work in, on the disk of `target`."""
    found, table = datasets.version(version), datasets.table(version)
    tell, stop = tell or (lambda share: None), stopping or (lambda: False)
    load_engine()
    with told_disk(target.parent):
        make_room(target.parent, _GROWS * table.path.stat().st_size + settings.min_free_bytes)
        work = beside / f"{secrets.token_hex(6)}.partial"
        with refused(target):
            (work / "files").mkdir(parents=True)
        try:
            rows = _write(datasets, found, table, work / "files", form, tell, stop)
            digest = put(work / "files", work, target, found.created)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    tell(1.0)
    return DataPackage(target, rows, digest)


def _write(
    datasets: Datasets, version: Version, table: Table, folder: Path, form: Form, tell: Tell, stopping: Stopping
) -> dict[str, int]:
    from studio.export.data_card import ROWS, DataCard, data_card

    every = _watched(table.read(), version.rows, part_of(tell, 0, 0.4), stopping)
    files = {f"{ROWS}.{form}": export_table(table, folder / f"{ROWS}.{form}", every)}
    parts = datasets.split(version.id, version.split) if version.mapping else None
    files |= _write_sides(version, table, parts, folder, form, tell, stopping)
    tell(0.8)
    lineage, findings = datasets.lineage(version.id), findings_of(datasets, version)
    recipes = recipes_of(lineage)
    for name, recipe in recipes.items():
        (folder / name).write_text(recipe.to_yaml(), encoding="utf-8")
    left_out = len(datasets.left_out(lineage[0].id))
    _write_json(folder / LINEAGE, [_ancestor(one) for one in lineage])
    _write_json(folder / FINDINGS, _findings(findings))
    card = DataCard(
        name=version.name,
        number=version.number,
        columns=tuple((column.name, column.type) for column in version.columns),
        dataset_type=version.mapping.dataset_type if version.mapping else None,
        files=files,
        lineage=_ancestors(lineage),
        recipes=tuple(recipes),
        by_hand=sum(len(recipe.by_hand) for recipe in recipes.values()),
        left_out=left_out,
        steps=cleaned_steps(lineage),
        findings=None if findings is None else {one: tuple(f.message(one) for f in findings) for one in LANGUAGES},
        version=__version__,
        languages=() if findings is None else datasets.languages(version.id, *scan_of(datasets, version)),
    )
    (folder / CARD).write_text(data_card(card), encoding="utf-8")
    return files


def _write_sides(
    version: Version, table: Table, parts: Split | None, folder: Path, form: Form, tell: Tell, stopping: Stopping
) -> dict[str, int]:
    """A file for each side that has rows; none where all rows are on one."""
    sides = {} if parts is None else {"train": parts.train, "validation": parts.validation, "test": parts.test}
    chosen = {name: set(ids.tolist()) for name, ids in sides.items() if len(ids)}
    if len(chosen) < 2:
        return {}
    files, part = {}, 0.4 / len(chosen)
    for place, (name, ids) in enumerate(chosen.items()):
        told = part_of(tell, 0.4 + place * part, 0.4 + (place + 1) * part)
        every = _watched(table.read(), version.rows, told, stopping)
        file = f"{name}.{form}"
        files[file] = export_table(table, folder / file, (row for row in every if row.id in ids))
    return files


def _watched(rows: Iterable[Row], total: int, tell: Tell | None, stopping: Stopping) -> Iterator[Row]:
    """The rows, told as they go by. Raises Stopped soon after `stopping` says so."""
    for place, row in enumerate(rows):
        if place % _LOOK_ROWS == 0:
            if stopping():
                raise Stopped("error.stopped")
            if tell:
                tell(place / total)
        yield row


def recipes_of(lineage: Sequence[Version]) -> dict[str, CleanSpec]:
    """The recipes that make the last version of the first, by their file names in order: one where it can be one.

    What was done by hand holds for the table that it was done in, and is refused in another: then each version has its
    own."""
    from studio.export.data_card import RECIPE

    cleaned = [version for version in lineage if version.recipe and version.recipe.steps]
    recipes = [version.recipe for version in cleaned if version.recipe]
    if not recipes:
        return {}
    if len(recipes) == 1 or not any(recipe.by_hand for recipe in recipes[1:]):
        return {RECIPE: CleanSpec(steps=tuple(step for recipe in recipes for step in recipe.steps))}
    return {f"recipe-{place}.yaml": recipe for place, recipe in enumerate(recipes, 1)}


def _made(version: Version, first: bool) -> str:
    return "mixed" if version.mix else "imported" if first else "cleaned"


def _ancestors(lineage: Sequence[Version]) -> Any:
    from studio.export.data_card import Ancestor

    return tuple(
        Ancestor(one.number, one.rows, one.fingerprint, _made(one, place == 0)) for place, one in enumerate(lineage)
    )


def _ancestor(version: Version) -> dict[str, Any]:
    """What the record keeps of a version. Its name is the file's, without where it lay."""
    return {
        "name": version.name,
        "version": version.number,
        "created": datetime.fromtimestamp(version.created, UTC).isoformat(timespec="seconds"),
        "rows": version.rows,
        "fingerprint": version.fingerprint,
        "format": version.kind,
        "encoding": version.encoding,
        "columns": {column.name: column.type for column in version.columns},
        "mapping": version.mapping.model_dump(mode="json") if version.mapping else None,
        "split": version.split.model_dump(mode="json"),
        "recipe": version.recipe.model_dump(mode="json", exclude_defaults=True) if version.recipe else None,
        "report": version.report.model_dump(mode="json") if version.report else None,
        "mixed_of": version.mix.model_dump(mode="json") if version.mix else None,
    }


def _findings(found: Sequence[Finding] | None) -> dict[str, Any]:
    """`checked` false: nothing was looked for."""
    told = [
        {
            "finding": one.key.removeprefix("finding."),
            "severity": one.severity,
            "rows": one.count,
            "share": one.share,
            **{language: one.message(language) for language in LANGUAGES},
        }
        for one in found or ()
    ]
    return {"checked": found is not None, "findings": told}


def _write_json(file: Path, values: object) -> None:
    file.write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
