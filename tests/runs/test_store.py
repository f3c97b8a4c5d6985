"""The workspace: what is committed stays, one writer at a time, no record that lies."""

import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from studio.errors import InputError, ResourceError, StudioError, WorkspaceError
from studio.messages import LANGUAGES
from studio.runs.events import Ended, Metrics, Queued, RunState
from studio.runs.spec import RunSpec
from studio.runs.store import SCHEMA_VERSION, Store, disk_full, is_disk_full, new_id, sync_folder
from tests.benchmarks.record import fill, measure


def told(error: StudioError) -> str:
    for language in LANGUAGES:
        assert "{" not in error.message(language)
    return error.message()


def test_runs_and_events(tmp_path: Path) -> None:
    store = Store(tmp_path / "w")
    run = new_id()
    made = store.add_run(run, "日本語 🙂", RunSpec(), Queued())
    assert store.run(run) == made
    store.append(run, Metrics(step=1, values={"loss": 1.0}), Metrics(step=2, values={"loss": 0.5}))
    assert [s.seq for s in store.events(run)] == [1, 2, 3]
    assert [s.seq for s in store.events(run, 2)] == [3]
    assert store.cursor(run) == 3
    assert store.cursor("nothing") == 0
    store.set_run(run, notes="kept")
    assert (store.run(run).name, store.run(run).notes) == ("日本語 🙂", "kept")
    with pytest.raises(InputError):
        store.run("nothing")
    store.close()


def test_outlines_agree_with_the_whole_record(tmp_path: Path) -> None:
    store = Store(tmp_path / "w")
    runs = [fill(store, 37) for _ in range(3)]
    queued = new_id()
    store.add_run(queued, "waiting", RunSpec(), Queued())
    outlines = store.outlines()
    assert set(outlines) == {*runs, queued}
    for run in runs:
        whole = RunState().fold(store.events(run))
        short = outlines[run]
        assert (short.status, short.step, short.ended, short.checkpoints) == (
            whole.status, whole.step, whole.ended, whole.checkpoints
        )  # fmt: skip
        assert short.validation_loss_before == whole.validation_loss_before
    assert outlines[queued].status == "queued"
    assert set(store.outlines([runs[0]])) == {runs[0]}
    assert store.cursors() == {run: store.cursor(run) for run in (*runs, queued)}
    store.close()


def test_a_second_writer_is_refused_and_a_reader_let_in(tmp_path: Path) -> None:
    store = Store(tmp_path / "w")
    fill(store, 3)
    with pytest.raises(WorkspaceError) as error:
        Store(tmp_path / "w")
    assert str(os.getpid()) in told(error.value)
    reader = Store(tmp_path / "w", read_only=True)
    assert len(reader.runs()) == 1
    assert reader.writer_alive()
    with pytest.raises(WorkspaceError) as error:
        reader.append(reader.runs()[0].id, Queued())
    assert error.value.key == "error.workspace.read_only"
    store.close()
    assert not reader.writer_alive()
    reader.close()
    Store(tmp_path / "w").close()


_KILLED = """
    import os, signal, sys
    from pathlib import Path
    from studio.runs.events import Metrics, Queued
    from studio.runs.spec import RunSpec
    from studio.runs.store import Store
    store = Store(Path(sys.argv[1]))
    store.add_run("run", "killed", RunSpec(), Queued())
    store.append("run", Metrics(step=1, values={"loss": 1.0}))
    with store._write() as db:
        db.execute("INSERT INTO events VALUES ('run', 3, 0, 'metrics', 'half')")
        print("ready", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_death_amid_a_commit(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_KILLED), str(tmp_path / "w")],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "ready\n", done.stderr
    store = Store(tmp_path / "w")
    assert [s.event.kind for s in store.events("run")] == ["queued", "metrics"]
    store.append("run", Ended(status="done"))
    assert store.cursor("run") == 3
    store.close()


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    Store(tmp_path / "w").close()
    file = tmp_path / "w" / "studio.db"
    db = sqlite3.connect(file)
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(WorkspaceError) as error:
        Store(tmp_path / "w")
    assert error.value.key == "error.workspace.newer"
    assert told(error.value)


def test_no_database_at_all(tmp_path: Path) -> None:
    Store(tmp_path / "w").close()
    (tmp_path / "w" / "studio.db").write_bytes(b"this is no database" * 200)
    with pytest.raises(WorkspaceError) as error:
        Store(tmp_path / "w")
    assert error.value.key == "error.workspace.damaged"
    with pytest.raises(WorkspaceError) as error:
        Store(tmp_path / "none", read_only=True)
    assert error.value.key == "error.workspace.missing"


def test_a_workspace_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("a file")
    with pytest.raises(WorkspaceError) as error:
        Store(tmp_path / "w")
    assert error.value.key == "error.workspace.no_rights"
    assert told(error.value)


def test_many_threads_append_to_one_run(tmp_path: Path) -> None:
    store = Store(tmp_path / "w")
    run = new_id()
    store.add_run(run, "busy", RunSpec(), Queued())
    threads = [
        threading.Thread(target=lambda: [store.append(run, Metrics(step=i, values={})) for i in range(30)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [s.seq for s in store.events(run)] == list(range(1, 122))
    store.close()


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("[Errno 28] No space left on device", True),
        ("basic_ios::clear: iostream error", True),
        ("[enforce fail at inline_container.cc:672] . unexpected pos 23107 vs 23060", True),
        ("Error while serializing: I/O error: File too large (os error 27)", True),
        ("shapes do not match", False),
    ],
)
def test_how_libraries_tell_a_full_disk(text: str, full: bool) -> None:
    assert is_disk_full(RuntimeError(text)) is full


def test_the_message_names_what_is_free_and_needed(tmp_path: Path) -> None:
    error = disk_full(tmp_path, 3_000_001)
    assert isinstance(error, ResourceError)
    assert "4 MB are needed" in told(error)


def test_syncing_a_folder_with_folders(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("d")
    sync_folder(tmp_path / "a")


def test_the_record_is_quick(tmp_path: Path) -> None:
    """A small part of `tests.benchmarks.record`, with room for a busy machine."""
    found = measure(tmp_path / "w", runs=100, steps=2_000, steps_each=50)
    assert found["list_all_runs_seconds"] < 1
    assert found["one_more_point_seconds"] < 0.02
