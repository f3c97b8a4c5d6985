"""The workspace: one folder, one database, and the files beside it.

    workspace/
      studio.db          SQLite, WAL; schema version in `user_version`
      studio.lock        held by the one process that writes
      datasets/<version id>/table.parquet, changes.json, scans/<key>/
      runs/<run id>/checkpoint-<step>/, adapter/
      evaluations/<id>.jsonl
      exports/, uploads/, logs/

A file is written under a temporary name, fsynced and renamed; the row that points to it is committed after.
Committed rows survive the death of the process at any instant (WAL, synchronous NORMAL: a power cut may lose
the last commits, never the consistency; https://sqlite.org/wal.html).
"""

import errno
import json
import os
import re
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from studio.errors import InputError, ResourceError, StudioError, WorkspaceError
from studio.runs.evaluations import Evaluation
from studio.runs.events import Event, RunState, Stamped, parse_event
from studio.runs.spec import RunSpec
from studio.runs.votes import Vote

_MIGRATIONS = (
    """
    CREATE TABLE datasets (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, created REAL NOT NULL
    ) STRICT;
    CREATE TABLE versions (
        id TEXT PRIMARY KEY, dataset TEXT NOT NULL REFERENCES datasets(id), number INTEGER NOT NULL,
        parent TEXT REFERENCES versions(id), created REAL NOT NULL, rows INTEGER NOT NULL,
        fingerprint TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (dataset, number)
    ) STRICT;
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, created REAL NOT NULL, version TEXT NOT NULL,
        spec TEXT NOT NULL, notes TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE TABLE events (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, seq INTEGER NOT NULL, time REAL NOT NULL,
        kind TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (run, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX events_by_kind ON events (run, kind, seq);
    """,
    "ALTER TABLE datasets ADD COLUMN body TEXT NOT NULL DEFAULT '{}';",
    "ALTER TABLE runs ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';",
    """
    CREATE TABLE evaluations (id TEXT PRIMARY KEY, created REAL NOT NULL, body TEXT NOT NULL) STRICT;
    ALTER TABLE runs ADD COLUMN evaluation TEXT NOT NULL DEFAULT '{}';
    CREATE TABLE votes (id TEXT PRIMARY KEY, created REAL NOT NULL, body TEXT NOT NULL) STRICT;
    CREATE TABLE comparisons (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, created REAL NOT NULL, changed REAL NOT NULL, body TEXT NOT NULL
    ) STRICT;
    """,
)
SCHEMA_VERSION = len(_MIGRATIONS)
_DELETED = ".deleted"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A row of the history. `notes` is free text of the user, `tags` are short words of theirs."""

    id: str
    name: str
    created: float
    version: str
    spec: RunSpec
    notes: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A dataset version; `body` is what the backend keeps about it (mapping, recipe, report, import notes)."""

    id: str
    dataset: str
    name: str
    number: int
    parent: str | None
    created: float
    rows: int
    fingerprint: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ComparisonRecord:
    """A comparison that was saved, without what was said in it."""

    id: str
    name: str
    created: float
    changed: float


def new_id() -> str:
    """Sortable by time, unique, safe as a file name."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


def file_words(name: str) -> str:
    """Letters and digits of a name, to begin a file's name with; may be empty. What users wrote becomes no path."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()[:40].strip("-")


class Store:
    """The open workspace. One writer at a time; readers are always welcome."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        """Open or create. Raises WorkspaceError: held by another studio, newer schema, no rights, not a database."""
        self.folder = folder
        self.read_only = read_only
        self._lock = threading.RLock()
        self._held: FileLock | None = None
        if read_only:
            if not (folder / "studio.db").is_file():
                raise WorkspaceError("error.workspace.missing", folder=str(folder))
        else:
            self._make_folders()
            self._held = self._hold_lock()
        try:
            self._connection = self._open_database()
            if not read_only:
                self._finish_deletions()
        except BaseException:
            self._release_lock()
            raise

    # Folders

    @property
    def runs_folder(self) -> Path:
        return self.folder / "runs"

    def run_folder(self, run: str) -> Path:
        return self.runs_folder / run

    def version_folder(self, version: str) -> Path:
        return self.folder / "datasets" / version

    def _make_folders(self) -> None:
        try:
            for name in ("datasets", "runs", "evaluations", "exports", "uploads", "logs"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkspaceError(
                "error.workspace.no_rights", folder=str(self.folder), reason=error.strerror or str(error)
            ) from None

    def _hold_lock(self) -> FileLock:
        lock = FileLock(self.folder / "studio.lock")
        note = self.folder / "studio.pid"
        try:
            lock.acquire(timeout=0.3)  # a reader that looks whether we live holds it for an instant
            note.write_text(str(os.getpid()), encoding="ascii")
        except Timeout:
            holder = note.read_text(encoding="ascii") if note.is_file() else "?"
            raise WorkspaceError("error.workspace.in_use", folder=str(self.folder), process=holder) from None
        except OSError as error:
            raise WorkspaceError(
                "error.workspace.no_rights", folder=str(self.folder), reason=error.strerror or str(error)
            ) from None
        return lock

    def _release_lock(self) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None

    def writer_alive(self) -> bool:
        """Whether some process (this one included) holds the workspace for writing."""
        if self._held is not None:
            return True
        try:
            with FileLock(self.folder / "studio.lock", timeout=0):
                return False
        except Timeout:
            return True

    # Database

    def _open_database(self) -> sqlite3.Connection:
        path = self.folder / "studio.db"
        address = f"{path.as_uri()}?mode={'ro' if self.read_only else 'rwc'}"
        try:
            connection = sqlite3.connect(address, uri=True, check_same_thread=False, timeout=10, isolation_level=None)
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found > SCHEMA_VERSION:
                raise WorkspaceError(
                    "error.workspace.newer", folder=str(self.folder), found=found, known=SCHEMA_VERSION
                )
            if not self.read_only:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute("PRAGMA foreign_keys=ON")
                for number in range(found, SCHEMA_VERSION):
                    connection.executescript(
                        f"BEGIN IMMEDIATE; {_MIGRATIONS[number]} PRAGMA user_version={number + 1}; COMMIT;"
                    )
            elif found < SCHEMA_VERSION:
                raise WorkspaceError("error.workspace.older", folder=str(self.folder))
        except sqlite3.DatabaseError as error:
            raise WorkspaceError("error.workspace.damaged", file=str(path), reason=str(error)) from None
        return connection

    def close(self) -> None:
        """Close the database and let another studio in."""
        with self._lock:
            self._connection.close()
            self._release_lock()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        if self.read_only:
            raise WorkspaceError("error.workspace.read_only", folder=str(self.folder))
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
                    raise disk_full(self.folder) from None
                raise

    def _rows(self, query: str, values: Iterable[Any] = ()) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, tuple(values)).fetchall()

    # Dataset versions

    def add_version(
        self,
        version: str,
        *,
        dataset: str | None,
        name: str,
        parent: str | None,
        rows: int,
        fingerprint: str,
        body: Mapping[str, Any],
    ) -> VersionRecord:
        """Record a version whose files are already in place. `dataset` None starts a new data set."""
        now = time.time()
        with self._write() as db:
            if dataset is None:
                dataset = version
                db.execute("INSERT INTO datasets (id, name, created) VALUES (?, ?, ?)", (dataset, name, now))
            number = db.execute(
                "SELECT coalesce(max(number), 0) + 1 FROM versions WHERE dataset = ?", (dataset,)
            ).fetchone()[0]
            db.execute(
                "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (version, dataset, number, parent, now, rows, fingerprint, json.dumps(body, ensure_ascii=False)),
            )
        return self.version(version)

    _VERSION_QUERY = (
        "SELECT v.id, v.dataset, d.name, v.number, v.parent, v.created, v.rows, v.fingerprint, v.body"
        " FROM versions v JOIN datasets d ON d.id = v.dataset"
    )

    def version(self, version: str) -> VersionRecord:
        """Raises InputError when there is none of that id."""
        found = self._rows(f"{self._VERSION_QUERY} WHERE v.id = ?", (version,))
        if not found:
            raise InputError("error.dataset.unknown", version=version)
        return _version(found[0])

    def versions(self, dataset: str | None = None) -> list[VersionRecord]:
        """All versions, newest data set first, versions of one in order."""
        where, values = ("WHERE v.dataset = ?", (dataset,)) if dataset else ("", ())
        rows = self._rows(f"{self._VERSION_QUERY} {where} ORDER BY d.created DESC, d.id, v.number", values)
        return [_version(row) for row in rows]

    def set_version_body(self, version: str, **changes: Any) -> None:
        """Replace entries of a version's body."""
        with self._write() as db:
            body = {**self.version(version).body, **changes}
            db.execute("UPDATE versions SET body = ? WHERE id = ?", (json.dumps(body, ensure_ascii=False), version))

    def dataset_body(self, dataset: str) -> dict[str, Any]:
        """What is kept of a data set as a whole. Raises InputError when there is none of that id."""
        found = self._rows("SELECT body FROM datasets WHERE id = ?", (dataset,))
        if not found:
            raise InputError("error.dataset.unknown", version=dataset)
        return json.loads(found[0][0])

    def set_dataset_body(self, dataset: str, **changes: Any) -> None:
        """Replace entries of it."""
        with self._write() as db:
            body = {**self.dataset_body(dataset), **changes}
            db.execute("UPDATE datasets SET body = ? WHERE id = ?", (json.dumps(body, ensure_ascii=False), dataset))

    # Runs

    def add_run(self, run: str, name: str, spec: RunSpec, first: Event) -> RunRecord:
        """Record a run together with its first event."""
        now = time.time()
        with self._write() as db:
            db.execute(
                "INSERT INTO runs (id, name, created, version, spec) VALUES (?, ?, ?, ?, ?)",
                (run, name, now, spec.data.version, spec.model_dump_json()),
            )
            db.execute("INSERT INTO events VALUES (?, 1, ?, ?, ?)", (run, now, first.kind, first.model_dump_json()))
        return RunRecord(run, name, now, spec.data.version, spec, "")

    def run(self, run: str) -> RunRecord:
        """Raises InputError when there is none of that id."""
        found = self._rows(f"SELECT {_RUN} FROM runs WHERE id = ?", (run,))
        if not found:
            raise InputError("error.run.unknown", run=run)
        return _run(found[0])

    def runs(self) -> list[RunRecord]:
        """All runs, newest first."""
        return [_run(row) for row in self._rows(f"SELECT {_RUN} FROM runs ORDER BY created DESC, id DESC")]

    def set_run(
        self, run: str, *, name: str | None = None, notes: str | None = None, tags: Sequence[str] | None = None
    ) -> None:
        """Change what the user wrote about a run."""
        words = None if tags is None else json.dumps(list(tags), ensure_ascii=False)
        with self._write() as db:
            db.execute(
                "UPDATE runs SET name = coalesce(?, name), notes = coalesce(?, notes), tags = coalesce(?, tags)"
                " WHERE id = ?",
                (name, notes, words, run),
            )

    def delete_run(self, run: str) -> int:
        """Remove a run, its record and its folder; the bytes that are free again.

        The folder is put aside first: whether a killed process meant it to go shows in the record.
        """
        freed, folder, aside = self.run_size(run), self.run_folder(run), self.runs_folder / f"{run}{_DELETED}"
        if folder.is_dir():
            os.replace(folder, aside)
        with self._write() as db:
            db.execute("DELETE FROM events WHERE run = ?", (run,))
            db.execute("DELETE FROM runs WHERE id = ?", (run,))
        shutil.rmtree(aside, ignore_errors=True)
        return freed

    def run_size(self, run: str) -> int:
        """Bytes that the run's files take."""
        return sum(path.stat().st_size for path in self.run_folder(run).rglob("*") if path.is_file())

    def _finish_deletions(self) -> None:
        """Remove what a killed process had begun to delete, or put it back where the record still has it. Other folders
        are left alone, known or not."""
        for aside in self.runs_folder.glob(f"*{_DELETED}"):
            run = aside.name.removesuffix(_DELETED)
            if self._rows("SELECT 1 FROM runs WHERE id = ?", (run,)):
                os.replace(aside, self.run_folder(run))
            else:
                shutil.rmtree(aside, ignore_errors=True)

    # Evaluations

    @property
    def evaluations_folder(self) -> Path:
        return self.folder / "evaluations"

    def add_evaluation(self, evaluation: Evaluation) -> None:
        """Record an evaluation whose answers are already in place; done again, the newer one is kept."""
        with self._write() as db:
            db.execute(
                "INSERT OR REPLACE INTO evaluations VALUES (?, ?, ?)",
                (evaluation.id, time.time(), evaluation.model_dump_json()),
            )

    def evaluation(self, evaluation: str) -> Evaluation | None:
        """None where there is none of that id."""
        found = self._rows("SELECT body FROM evaluations WHERE id = ?", (evaluation,))
        return Evaluation.model_validate_json(found[0][0]) if found else None

    @property
    def evaluated(self) -> bool:
        """Whether anything was evaluated so far."""
        return bool(self._rows("SELECT 1 FROM evaluations LIMIT 1"))

    def evaluation_plan(self, run: str) -> str:
        """How a run is evaluated, as JSON; `{}` where nothing was said. Raises InputError when there is no such run."""
        found = self._rows("SELECT evaluation FROM runs WHERE id = ?", (run,))
        if not found:
            raise InputError("error.run.unknown", run=run)
        return found[0][0]

    def set_evaluation_plan(self, run: str, plan: str) -> None:
        with self._write() as db:
            db.execute("UPDATE runs SET evaluation = ? WHERE id = ?", (plan, run))

    # Events

    def append(self, run: str, *events: Event) -> None:
        """Commit events at the end of the run's record."""
        now = time.time()
        with self._write() as db:
            last = db.execute("SELECT coalesce(max(seq), 0) FROM events WHERE run = ?", (run,)).fetchone()[0]
            db.executemany(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?)",
                [(run, last + i, now, e.kind, e.model_dump_json()) for i, e in enumerate(events, 1)],
            )

    def events(self, run: str, after: int = 0) -> list[Stamped]:
        """What is new since the cursor `after`."""
        rows = self._rows("SELECT seq, time, body FROM events WHERE run = ? AND seq > ? ORDER BY seq", (run, after))
        return [Stamped(seq, stamp, parse_event(body)) for seq, stamp, body in rows]

    def cursor(self, run: str) -> int:
        """The `seq` of the run's newest event; 0 when there is none."""
        return self._rows("SELECT coalesce(max(seq), 0) FROM events WHERE run = ?", (run,))[0][0]

    def cursors(self) -> dict[str, int]:
        """The `seq` of every run's newest event."""
        return dict(self._rows("SELECT id, (SELECT max(seq) FROM events WHERE run = id) FROM runs"))

    def outlines(self, runs: Iterable[str] | None = None) -> dict[str, RunState]:
        """States from milestones and the first and last metrics alone: quick for a long history. None: of all runs.

        An outline's cursor is that of the last milestone or metric.
        """
        chosen = None if runs is None else json.dumps(list(runs))
        rows = self._rows(
            "WITH r(id) AS (SELECT id FROM runs WHERE ?1 IS NULL OR id IN (SELECT value FROM json_each(?1)))"
            " SELECT e.run, e.seq, e.time, e.body FROM r CROSS JOIN events e ON e.run = r.id"
            " AND e.kind IN ('queued', 'started', 'stop_requested', 'checkpoint', 'ended')"
            " UNION ALL SELECT e.run, e.seq, e.time, e.body FROM r CROSS JOIN events e ON e.run = r.id AND e.seq IN"
            " ((SELECT min(seq) FROM events WHERE run = r.id AND kind = 'metrics'),"
            " (SELECT max(seq) FROM events WHERE run = r.id AND kind = 'metrics'))",
            (chosen,),
        )
        grouped: dict[str, list[Stamped]] = {}
        for run, seq, stamp, body in sorted(rows, key=itemgetter(0, 1)):
            grouped.setdefault(run, []).append(Stamped(seq, stamp, parse_event(body)))
        return {run: RunState().fold(events) for run, events in grouped.items()}

    # Votes and comparisons

    def put_vote(self, vote: Vote) -> None:
        """Keep a vote, in place of the one of the same id."""
        with self._write() as db:
            db.execute(
                "INSERT INTO votes VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                (vote.id, vote.time, vote.model_dump_json()),
            )

    def delete_vote(self, vote: str) -> None:
        with self._write() as db:
            db.execute("DELETE FROM votes WHERE id = ?", (vote,))

    def votes(self) -> list[Vote]:
        """All votes, oldest first. They stay when a run is deleted that they are about."""
        rows = self._rows("SELECT body FROM votes ORDER BY created, id")
        return [Vote.model_validate_json(body) for (body,) in rows]

    def put_comparison(self, comparison: str, name: str, body: str) -> None:
        """Keep a comparison (`body` is JSON), in place of the one of the same id."""
        now = time.time()
        with self._write() as db:
            db.execute(
                "INSERT INTO comparisons VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
                " SET name = excluded.name, changed = excluded.changed, body = excluded.body",
                (comparison, name, now, now, body),
            )

    def comparisons(self) -> list[ComparisonRecord]:
        """What was saved, the last changed first."""
        rows = self._rows("SELECT id, name, created, changed FROM comparisons ORDER BY changed DESC, id DESC")
        return [ComparisonRecord(*row) for row in rows]

    def comparison(self, comparison: str) -> str:
        """Its body. Raises InputError when there is none of that id."""
        found = self._rows("SELECT body FROM comparisons WHERE id = ?", (comparison,))
        if not found:
            raise InputError("error.comparison.unknown", comparison=comparison)
        return found[0][0]

    def delete_comparison(self, comparison: str) -> None:
        with self._write() as db:
            db.execute("DELETE FROM comparisons WHERE id = ?", (comparison,))


def _version(row: Any) -> VersionRecord:
    return VersionRecord(*row[:-1], body=json.loads(row[-1]))


_RUN = "id, name, created, version, spec, notes, tags"


def _run(row: Any) -> RunRecord:
    run, name, created, version, spec, notes, tags = row
    return RunRecord(run, name, created, version, RunSpec.model_validate_json(spec), notes, tuple(json.loads(tags)))


def disk_full(folder: Path, needed: int | None = None) -> ResourceError:
    """The error of a write that found no room; `needed` in bytes where it is known."""
    free = shutil.disk_usage(folder).free
    if needed is None:
        return ResourceError("error.disk.full", folder=str(folder), free_mb=free // 1_000_000)
    return ResourceError(
        "error.disk.needed", folder=str(folder), free_mb=free // 1_000_000, needed_mb=-(-needed // 1_000_000)
    )


_FULL_TEXTS = (
    "No space left",
    "os error 28",  # safetensors, ENOSPC
    "os error 27",  # safetensors, EFBIG
    "os error 122",  # safetensors, EDQUOT
    "PytorchStreamWriter failed",
    "iostream error",
    "unexpected pos",  # torch.save closing a zip file of which a part could not be written
)


def is_disk_full(error: BaseException) -> bool:
    """Whether a library's error means that the disk (or a quota) is full.

    torch and safetensors wrap the system's error in types of their own, so their text is read too.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    text = str(error)
    return any(part in text for part in _FULL_TEXTS)


@contextmanager
def told_disk(folder: Path) -> Iterator[None]:
    """A write that found no room is told as `disk_full`."""
    try:
        yield
    except StudioError:
        raise
    except Exception as error:  # safetensors has errors of its own
        if is_disk_full(error):
            raise disk_full(folder) from error
        raise


def sync_folder(folder: Path) -> None:
    """fsync every file below `folder`, then the folders, its own name too: what the record will point to is on disk."""
    for root, _, names in os.walk(folder):
        for name in names:
            _sync(os.path.join(root, name))
        _sync_names(root)
    _sync_names(folder.parent)


def _sync_names(folder: str | Path) -> None:
    if os.name == "posix":  # Windows cannot open a folder, and keeps names by itself
        _sync(folder)


def _sync(path: str | Path) -> None:
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
