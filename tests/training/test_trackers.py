"""The numbers of a run, read back from TensorBoard, Trackio and Weights & Biases: each step once, however often the run
was interrupted."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.errors import InputError
from studio.runs.events import Event, Sample
from studio.runs.spec import with_changes
from studio.runs.trackers import PROJECT, TENSORBOARD_FOLDER, check_trackers
from studio.settings import Settings
from tests.training.jobs import Killed, Recording, tiny_spec

TRACKERS = ("tensorboard", "trackio", "wandb")
KEY = "0123456789" * 4
Points = dict[str, list[tuple[int, float]]]


@pytest.fixture(scope="module")
def run(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Killed after its first checkpoint and gone on with, told to all three."""
    for package in TRACKERS:
        pytest.importorskip(package, reason=f"{package} is not installed: pip install '.[trackers]'")
    spec = with_changes(tiny_spec(llama), {"training.report_to": list(TRACKERS)})
    made = Recording(spec, tmp_path_factory.mktemp("runs") / "20260101-120000-abcdef")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", KEY)
        made.watcher = dies_at_the_second_evaluation
        with pytest.raises(Killed):
            made.run()
        assert made.losses()[-1][0] > made.state.checkpoints[-1].step  # some steps come again
        made.watcher = lambda event: None
        made.run()
    return made


def dies_at_the_second_evaluation(event: Event) -> None:
    if isinstance(event, Sample) and event.step == 4:
        raise Killed


def expected(run: Recording) -> Points:
    curves = run.state.curves
    return {"train/loss": curves["loss"], "eval/loss": curves["validation_loss"]}


def same(found: Points, run: Recording) -> None:
    for name, points in expected(run).items():
        assert [step for step, _ in found[name]] == [step for step, _ in points], name
        assert [value for _, value in found[name]] == pytest.approx([value for _, value in points], rel=1e-5), name


def test_tensorboard_reads_every_step_once(run: Recording) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(run.folder / TENSORBOARD_FOLDER))
    read.Reload()
    same({tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in ("train/loss", "eval/loss")}, run)
    assert "settings/text_summary" in read.Tags()["tensors"]
    assert len(read.Tensors("settings/text_summary")) == 1


def test_trackio_has_every_step_once(run: Recording) -> None:
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    (found,) = [one for one in trackio.Api().runs(PROJECT) if one.name.endswith("abcdef")]
    points: Points = {}
    for row in SQLiteStorage.get_logs(PROJECT, run_id=found.id):
        for name in ("train/loss", "eval/loss"):
            if name in row:
                points.setdefault(name, []).append((row["train/global_step"], row[name]))
    same(points, run)


def test_wandb_has_every_step_once_and_no_key(run: Recording) -> None:
    points: Points = {}
    for file in sorted((run.folder / "wandb").glob("offline-run-*/run-20260101-120000-abcdef.wandb")):
        for row in wandb_history(file):
            for name in ("train/loss", "eval/loss"):
                if name in row:
                    points.setdefault(name, []).append((int(row["train/global_step"]), row[name]))
    same(points, run)
    written = b"".join(path.read_bytes() for path in run.folder.rglob("*") if path.is_file())
    assert KEY.encode() not in written
    recorded = "".join(event.model_dump_json() for event in run.events)
    assert KEY not in recorded
    told = b"".join(path.read_bytes() for path in run.folder.rglob("*.wandb"))
    assert b"llama" in told
    assert str(Path(run.spec.model.source).parent).encode() not in told  # no path of this machine


def wandb_history(file: Path) -> Iterator[dict[str, float]]:
    """The rows of a file that was written without sending: records in the log format of LevelDB
    (https://github.com/google/leveldb/blob/main/doc/log_format.md), in blocks of 32 kB."""
    from wandb.proto import wandb_internal_pb2

    raw, place, record = file.read_bytes(), 7, b""
    while place + 7 <= len(raw):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
        _, length, kind = struct.unpack("<IHB", raw[place : place + 7])
        record += raw[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            read: Any = wandb_internal_pb2.Record.FromString(record)  # type: ignore[attr-defined]
            if read.HasField("history"):
                yield {item.key or item.nested_key[0]: json.loads(item.value_json) for item in read.history.item}
            record = b""


def test_a_run_that_tells_nobody_writes_nothing_beside_the_record(llama: Path, tmp_path: Path) -> None:
    quiet = Recording(tiny_spec(llama), tmp_path / "run")
    quiet.run()
    names = {path.name for path in quiet.folder.iterdir()}
    assert {name for name in names if not name.startswith("checkpoint-")} == {"adapter"}


@pytest.mark.parametrize("tracker", TRACKERS)
def test_what_is_not_installed_is_told_with_what_to_do(tracker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.runs.trackers.find_spec", lambda name: None)
    with pytest.raises(InputError, match=f"pip install {tracker}"):
        check_trackers((tracker,), offline=False)  # type: ignore[arg-type]


def test_sending_without_being_signed_in_is_refused_before_anything_loads(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb", reason="wandb is not installed: pip install '.[wandb]'")
    for name, value in (("HOME", str(tmp_path)), ("NETRC", str(tmp_path / "none")), ("WANDB_MODE", "online")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    wandb.teardown()  # it reads the environment once
    spec = with_changes(tiny_spec(llama), {"training.report_to": ["wandb"], "model.source": "no/such-model"})
    with pytest.raises(InputError, match="wandb login"):
        Recording(spec, tmp_path / "run").run()
    check_trackers(("wandb",), offline=True)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    wandb.teardown()
    check_trackers(("wandb",), offline=False)
    wandb.teardown()


def test_settings_without_a_workspace_need_no_tracker() -> None:
    check_trackers((), offline=Settings(workspace=Path()).offline)
