"""What was done to a data set from version to version, down to its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.backend.versions import ancestors, version_of
from studio.data.changes import RowChange, changed_rows, count_changed_rows, read_changes
from studio.data.cleaning import CHANGES_FILE, TABLE_FILE
from studio.data.recipe import CleanSpec, Fix
from studio.data.tables import Row, Table
from studio.errors import InputError
from studio.runs.store import Store


@dataclass(frozen=True, slots=True)
class RowDiff:
    """A row on the way from an earlier version: `before` None when it was added, `after` None when it was dropped.
    `columns` are those changed."""

    row_id: int
    fixes: tuple[Fix, ...]
    columns: tuple[str, ...]
    before: Row | None
    after: Row | None


def whole_recipe(store: Store, version: str) -> CleanSpec:
    """All steps from the file as it was opened to this version."""
    chain = [version, *ancestors(store, version)][::-1]
    recipes = [found.recipe for found in (version_of(store.version(name)) for name in chain) if found.recipe]
    return CleanSpec(steps=tuple(step for recipe in recipes for step in recipe.steps))


def changes(store: Store, version: str, offset: int, limit: int | None, since: str | None) -> tuple[RowChange, ...]:
    """Rows dropped, changed or added on the way from the parent version (from `since`, a version before it)."""
    return read_changes(_files(store, version, since), offset, limit)


def count_changes(store: Store, version: str, since: str | None, step: tuple[str, int] | None) -> int:
    """How many rows those are. `step`: by this step (from 0) of this version alone."""
    files = _files(store, version, since)
    return count_changed_rows(files, _place(store, files, step))


def diff(
    store: Store, version: str, offset: int, limit: int, since: str | None, step: tuple[str, int] | None
) -> tuple[RowDiff, ...]:
    """Those rows, before and after."""
    files = _files(store, version, since)
    found = changed_rows(files, offset, limit, _place(store, files, step))
    first = since or store.version(version).parent
    if not found or first is None:
        return ()
    ids = [row.row_id for row in found]
    before, after = (Table(store.version_folder(name) / TABLE_FILE).find(ids) for name in (first, version))
    return tuple(
        RowDiff(row.row_id, row.fixes, row.columns, before.get(row.row_id), after.get(row.row_id)) for row in found
    )


def _place(store: Store, files: Sequence[Path], step: tuple[str, int] | None) -> tuple[int, int] | None:
    """The step as `changed_rows` of its file takes it. Raises InputError when it was not on the way."""
    if step is None:
        return None
    folder = store.version_folder(step[0])
    place = next((i for i, path in enumerate(files) if path.parent == folder), None)
    if place is None:
        raise InputError("error.dataset.step_not_there", step=step[1] + 1, version=step[0])
    return place, step[1]


def _files(store: Store, version: str, since: str | None) -> Sequence[Path]:
    """The files that tell what was changed after `since`, oldest first."""
    chain = [version, *ancestors(store, version)]
    if since is not None and since not in chain:
        raise InputError("error.dataset.not_before", version=store.version(version).number, since=since)
    made = chain[: chain.index(since)] if since is not None else chain[:1]
    paths = [store.version_folder(name) / CHANGES_FILE for name in reversed(made)]
    return [path for path in paths if path.is_file()]
