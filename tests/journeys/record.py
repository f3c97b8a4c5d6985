"""What the workspace of a running studio says, read beside it as the command line does."""

import sqlite3
from pathlib import Path

from studio.runs.events import RunState
from studio.runs.store import RunRecord, Store


def runs(workspace: Path) -> list[RunRecord]:
    """The runs of a workspace, newest first."""
    store = Store(workspace, read_only=True)
    try:
        return store.runs()
    finally:
        store.close()


def state(workspace: Path, run: str) -> RunState:
    """A run's state, curves included. `running` also when nobody works on it any more."""
    store = Store(workspace, read_only=True)
    try:
        return RunState().fold(store.events(run))
    finally:
        store.close()


def is_sound(workspace: Path) -> bool:
    """SQLite's own check of the database."""
    connection = sqlite3.connect(f"file:{workspace / 'studio.db'}?mode=ro", uri=True)
    try:
        return connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    finally:
        connection.close()
