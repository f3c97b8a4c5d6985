"""A studio killed with SIGKILL in the middle of an import, a clean or a scan: what is left, and what the next one does.

The process is stopped where it hurts most: it says that it is there, waits, and is killed.
"""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studio.backend.datasets import Datasets, Version
from studio.data.recipe import CleanSpec, make_step
from studio.data.scan_workers import SMALL
from studio.data.splits import SplitSpec
from studio.runs.store import Store
from studio.settings import Settings

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")

RECIPE = CleanSpec(steps=(make_step("drop_duplicates"), make_step("drop_blank")))
# What is done, and the function in which the process is killed: before it begins, or (after) when it is done.
MOMENTS = [
    ("import", "studio.data.table_writer._Part.finish", "before"),
    ("import", "studio.runs.store.Store.add_version", "before"),
    ("clean", "studio.data.table_writer._Part.finish", "before"),
    ("clean", "studio.backend.datasets.clean", "after"),
    ("clean", "studio.runs.store.Store.add_version", "before"),
    ("scan", "studio.data.scan_workers._result", "after"),
    ("scan", "studio.data.scan._write", "after"),
    ("scan", "studio.backend.scans.sync_folder", "before"),
    ("split", "studio.backend.splits.os.replace", "before"),
]
CHILD = """
import importlib, sys, time
from pathlib import Path
from tests.faults.test_killed_data import opened_in, work

place, owner = sys.argv[3], None
parts = place.split(".")
for end in range(len(parts) - 1, 0, -1):
    try:
        owner = importlib.import_module(".".join(parts[:end]))
        break
    except ModuleNotFoundError:
        continue
for name in parts[end:-1]:
    owner = getattr(owner, name)
real = getattr(owner, parts[-1])

def hurt(*args, **kwargs):
    if sys.argv[4] == "after":
        real(*args, **kwargs)
    print("here", flush=True)
    time.sleep(600)

setattr(owner, parts[-1], hurt)
store, datasets = opened_in(Path(sys.argv[1]))
work(datasets, sys.argv[2], Path(sys.argv[1]))
"""


def opened_in(folder: Path) -> tuple[Store, Datasets]:
    store = Store(folder / "workspace")
    return store, Datasets(Settings(workspace=folder / "workspace"), store)


def work(datasets: Datasets, what: str, folder: Path) -> object:
    if what == "import":
        return datasets.import_file(folder / "rows.csv")
    version = datasets.versions()[0].id
    if what == "clean":
        return datasets.clean(version, RECIPE)
    return datasets.scan(version, None) if what == "scan" else datasets.split_counts(version, SplitSpec(seed=3))


def imported(folder: Path, count: int) -> Version:
    rng = random.Random(0)
    rows = [f"{rng.randbytes(12).hex()} {rng.randbytes(12).hex()},{rng.randbytes(20).hex()}" for _ in range(count)]
    (folder / "rows.csv").write_text("question,answer\n" + "\n".join([*rows, *rows[:100]]) + "\n")
    store, datasets = opened_in(folder)
    version = datasets.import_file(folder / "rows.csv")
    store.close()
    return version


def files(folder: Path) -> set[str]:
    """Version folders, and every file in them."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() or p.parent == folder}


@pytest.mark.parametrize(("what", "place", "when"), MOMENTS)
def test_nothing_half_made_is_left(tmp_path: Path, what: str, place: str, when: str) -> None:
    many = "scan_workers" in place or what == "split"  # so many that other processes help, and scores are kept
    first = imported(tmp_path, SMALL if many else 500)
    folder = tmp_path / "workspace" / "datasets"
    before = files(folder)
    command = [sys.executable, "-c", CHILD, str(tmp_path), what, place, when]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    helpers = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if "scan_workers" not in place:
        assert files(folder) > before, "killed too early: nothing was half made"
    else:
        assert helpers, "killed too early: no process checked anything"

    store, datasets = opened_in(tmp_path)
    assert [version.id for version in datasets.versions()] == [first.id]
    assert files(folder) == before
    assert not datasets.scanned(first.id, None)
    assert datasets.table(first.id).fingerprint() == first.fingerprint
    work(datasets, what, tmp_path)
    assert len(datasets.versions()) == (1 if what in ("scan", "split") else 2)
    assert not [name for name in files(folder) if "partial" in name]
    assert datasets.scanned(first.id, None) == (what == "scan")
    store.close()
    end = time.monotonic() + 20
    while any(Path(f"/proc/{child}").exists() for child in helpers):
        assert time.monotonic() < end, "a checking process outlived the studio"
        time.sleep(0.05)


def children_of(process: int) -> list[int]:
    """Ids of its child processes; none where the system does not tell."""
    tasks = Path(f"/proc/{process}/task")
    if not tasks.is_dir():
        return []
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]
