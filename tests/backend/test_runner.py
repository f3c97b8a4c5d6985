"""The queue and its worker, with a stand-in for training: what is asked of a run, and what its record then says."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from studio.backend.datasets import Datasets
from studio.backend.runner import Runner
from studio.errors import InputError, ResourceError, SpecError, WorkspaceError
from studio.runs.cluster import ClusterSpec
from studio.runs.events import Checkpoint, Ended, Event, Metrics, Queued, Started
from studio.runs.spec import DataSpec, RunSpec, with_changes
from studio.runs.stop import Stop
from studio.runs.store import Store, new_id
from studio.settings import Settings
from studio.training.job import TrainingJob


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def started(from_step: int = 0) -> Started:
    return Started(
        total_steps=4,
        from_step=from_step,
        train_rows=9,
        validation_rows=1,
        trainable_parameters=8,
        parameters=80,
        device="CPU",
        base_fingerprint="f",
        base_name="tiny",
    )


class Lesson:
    """Stands in for training: four steps, each waiting for its permission; obeys stop and leave as training does."""

    def __init__(self) -> None:
        self.permits = threading.Semaphore(0)
        self.jobs: list[TrainingJob] = []
        self.error: Exception | None = None

    def allow(self, steps: int) -> None:
        self.permits.release(steps)

    def __call__(self, job: TrainingJob, stop: Stop) -> Ended | None:
        self.jobs.append(job)
        first = job.history[-1].step if job.history else 0
        job.report(started(first))
        status = "done"
        step = first
        while step < 4:
            while not self.permits.acquire(timeout=0.005):
                if stop.asked != "no":
                    break
            if stop.asked == "leave":
                return None
            if stop.asked == "stop":
                status = "stopped"
                break
            if self.error:
                raise self.error
            step += 1
            job.report(
                Metrics(step=step, values={"loss": 1.0 / step}), Checkpoint(step=step, path=f"checkpoint-{step}")
            )
        ended = Ended(status=status, step=step, adapter="adapter", adapter_sha256="a")  # type: ignore[arg-type]
        job.report(ended)
        return ended


class House:
    """A workspace with one data set, and runners on it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(workspace=folder / "w")
        self.store = Store(self.settings.workspace)
        file = folder / "rows.jsonl"
        file.write_text("".join(json.dumps({"prompt": f"p{i}", "completion": "c"}) + "\n" for i in range(10)))
        self.datasets = Datasets(self.settings, self.store)
        self.spec = RunSpec(data=DataSpec(version=self.datasets.import_file(file).id))
        self.lesson = Lesson()
        self.runners: list[Runner] = []

    def runner(self, *, worker: bool = True) -> Runner:
        made = Runner(self.settings, self.store, self.datasets, worker=worker, train=self.lesson)
        self.runners.append(made)
        return made


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    for runner in made.runners:
        runner.close()
    made.store.close()


def test_a_run_from_queue_to_done(house: House) -> None:
    runner = house.runner()
    run = runner.submit(house.spec, "  my\nfirst  run ").id
    wait_for(lambda: runner.state(run).status == "running")
    assert runner.current() == run
    before = runner.cursor(run)
    house.lesson.allow(4)
    wait_for(lambda: runner.state(run).status == "done")
    wait_for(lambda: runner.current() is None)
    assert runner.cursor(run) > before
    state = runner.state(run)
    assert state.curves["loss"] == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    line = runner.runs()[0]
    assert (line.record.name, line.state.status, line.state.step) == ("my first run", "done", 4)
    assert line.dataset_name == "rows.jsonl v1"
    assert runner.record(run).spec.data.mapping is not None


def test_two_starts_at_once_wait_in_a_queue(house: House) -> None:
    runner = house.runner()
    barrier = threading.Barrier(4)
    made: list[str] = []

    def press() -> None:
        barrier.wait()
        made.append(runner.submit(house.spec).id)

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: runner.current())
    assert len(set(made)) == 4
    assert len(runner.queue()) == 3
    statuses = sorted(line.state.status for line in runner.runs())
    assert statuses.count("queued") >= 3
    house.lesson.allow(16)
    wait_for(lambda: all(line.state.status == "done" for line in runner.runs()))
    assert len(house.lesson.jobs) == 4


def test_a_double_click_makes_one_run(house: House) -> None:
    runner = house.runner(worker=False)
    first = runner.submit(house.spec, token="press-1")
    assert runner.submit(house.spec, token="press-1") == first
    assert runner.submit(house.spec, token="press-2") != first
    assert len(runner.runs()) == 2


def test_stop_keeps_the_adapter(house: House) -> None:
    runner = house.runner()
    run = runner.submit(house.spec).id
    house.lesson.allow(2)
    wait_for(lambda: runner.state(run).step == 2)
    for _ in range(5):  # an impatient finger
        runner.stop(run)
    wait_for(lambda: runner.state(run).status == "stopped")
    assert runner.state(run).usable
    events = house.store.events(run)
    assert [e.event.kind for e in events].count("stop_requested") == 1
    wait_for(lambda: runner.current() is None)
    with pytest.raises(InputError):
        runner.stop(run)


def test_stop_while_queued_takes_it_off(house: House) -> None:
    runner = house.runner()
    first, second = runner.submit(house.spec).id, runner.submit(house.spec).id
    wait_for(lambda: runner.current() == first)
    runner.stop(second)
    assert runner.state(second).status == "stopped"
    assert runner.queue() == []
    with pytest.raises(InputError) as error:
        runner.cancel(first)
    assert error.value.key == "error.run.not_queued"
    house.lesson.allow(8)
    wait_for(lambda: runner.state(first).status == "done")
    assert len(house.lesson.jobs) == 1
    runner.resume(second)
    wait_for(lambda: runner.state(second).status == "done")


def test_resume_goes_on_from_the_last_checkpoint(house: House) -> None:
    runner = house.runner()
    run = runner.submit(house.spec).id
    house.lesson.allow(3)
    wait_for(lambda: runner.state(run).step == 3)
    runner.stop(run)
    wait_for(lambda: runner.state(run).status == "stopped" and runner.current() is None)
    house.lesson.allow(9)
    runner.resume(run)
    wait_for(lambda: runner.state(run).status == "done")
    assert [c.step for c in house.lesson.jobs[-1].history] == [1, 2, 3]
    assert house.lesson.jobs[-1].started is not None
    assert [p[0] for p in runner.state(run).curves["loss"]] == [1, 2, 3, 4]
    wait_for(lambda: runner.current() is None)
    with pytest.raises(InputError) as error:
        runner.resume(run)
    assert error.value.key == "error.run.not_resumable"


def test_a_closed_studio_leaves_an_interrupted_run(house: House) -> None:
    runner = house.runner()
    run = runner.submit(house.spec).id
    house.lesson.allow(2)
    wait_for(lambda: runner.state(run).step == 2)
    runner.close()
    again = house.runner(worker=False)
    assert again.state(run).status == "interrupted"
    assert again.runs()[0].state.status == "interrupted"
    assert again.state(run).resumable


def test_the_queue_survives_a_restart(house: House) -> None:
    waiting = house.runner(worker=False).submit(house.spec).id
    house.lesson.allow(4)
    runner = house.runner()
    wait_for(lambda: runner.state(waiting).status == "done")


def test_where_a_run_is_trained_stays_with_it(house: House) -> None:
    """Moved in the queue, stopped, gone on with, and after a restart."""
    runner = house.runner(worker=False)
    there = ClusterSpec(address="local", workers=4)
    here, run = runner.submit(house.spec).id, runner.submit(house.spec, cluster=there).id
    runner.move(here, 1)
    assert runner.queue() == [run, here]
    runner.move(run, 1)
    assert [runner.state(one).cluster for one in (run, here)] == [there, None]
    runner.cancel(run)
    runner.resume(run)
    assert house.runner(worker=False).state(run).cluster == there
    assert runner.runs()[0].state.cluster == there
    assert [one.id for one in runner.sweep(house.spec, "tuner.rank", [2, 4], cluster=there)]
    assert [one.state.cluster for one in runner.runs()[:2]] == [there, there]


def test_what_a_cluster_cannot_train_is_refused_before_it_waits(house: House) -> None:
    runner = house.runner(worker=False)
    for cluster, key in (
        (ClusterSpec(address="local", workers=3), "error.cluster.problems"),
        (ClusterSpec(address="nowhere"), "error.cluster.address"),
    ):
        with pytest.raises(InputError) as caught:
            runner.submit(house.spec, cluster=cluster)
        assert caught.value.key == key
    assert runner.runs() == []


def test_a_run_that_was_begun_and_killed_does_not_start_by_itself(house: House) -> None:
    run = new_id()
    house.store.add_run(run, "killed", house.spec, Queued())
    house.store.append(run, started(), Metrics(step=1, values={"loss": 1.0}))
    runner = house.runner()
    time.sleep(0.05)
    assert runner.current() is None
    assert runner.state(run).status == "interrupted"


@pytest.mark.parametrize(
    ("error", "key"),
    [(ResourceError("error.train.memory", batch_size=8, accumulation=1, max_length=256), "error.train.memory"),
     (ZeroDivisionError("a bug"), "error.bug")],
)  # fmt: skip
def test_a_run_that_fails_says_why_and_the_next_one_begins(house: House, error: Exception, key: str) -> None:
    runner = house.runner()
    house.lesson.error = error
    house.lesson.allow(1)
    run = runner.submit(house.spec).id
    wait_for(lambda: runner.state(run).status == "failed")
    ended = runner.state(run).ended
    assert ended is not None
    assert ended.key == key
    house.lesson.error = None
    house.lesson.allow(4)
    second = runner.submit(house.spec).id
    wait_for(lambda: runner.state(second).status == "done")


def test_the_worker_outlives_a_full_disk(house: House) -> None:
    """When not even the end of a run can be recorded, the worker goes on and the run shows as interrupted."""
    runner = house.runner()
    run = runner.submit(house.spec).id
    wait_for(lambda: runner.state(run).status == "running")
    db = house.store._connection
    with house.store._lock:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count={pages}")
    filler = "x" * 200_000
    with pytest.raises(ResourceError) as error:
        house.store.set_run(run, notes=filler)
    assert "full" in str(error.value)
    house.lesson.error = ResourceError("error.bug", log=filler)
    house.lesson.allow(1)
    wait_for(lambda: runner.current() is None)
    assert runner.state(run).status == "interrupted"
    with house.store._lock:
        db.execute("PRAGMA max_page_count=1000000")
    house.lesson.error = None
    house.lesson.allow(4)
    runner.resume(run)
    wait_for(lambda: runner.state(run).status == "done")


def test_a_second_studio_only_reads(house: House) -> None:
    runner = house.runner()
    run = runner.submit(house.spec).id
    wait_for(lambda: runner.state(run).status == "running")
    with pytest.raises(WorkspaceError) as error:
        Store(house.settings.workspace)
    assert error.value.key == "error.workspace.in_use"
    reader = Store(house.settings.workspace, read_only=True)
    watching = Runner(house.settings, reader, Datasets(house.settings, reader), worker=True)
    assert watching.state(run).status == "running"
    with pytest.raises(WorkspaceError):
        watching.submit(house.spec)
    house.lesson.allow(4)
    wait_for(lambda: watching.state(run).status == "done")
    assert watching.runs()[0].state.step == 4
    reader.close()


def test_a_point_is_seen_at_once(house: House) -> None:
    runner = house.runner()
    run = runner.submit(house.spec).id
    wait_for(lambda: runner.state(run).status == "running")
    asked = time.monotonic()
    house.lesson.allow(1)
    wait_for(lambda: runner.state(run).latest("loss") is not None)
    assert time.monotonic() - asked < 2


def test_the_history_reads_only_news(house: House) -> None:
    runner = house.runner(worker=False)
    runs = [runner.submit(house.spec).id for _ in range(3)]
    assert {line.state.status for line in runner.runs()} == {"queued"}
    news: list[Event] = [started(), Metrics(step=4, values={"loss": 0.1}), Ended(status="done", step=4)]
    house.store.append(runs[1], *news)
    assert {line.record.id: line.state.status for line in runner.runs()}[runs[1]] == "done"


def test_names_and_notes(house: House) -> None:
    runner = house.runner(worker=False)
    run = runner.submit(house.spec, "../../etc/passwd 🙂" + "x" * 300).id
    assert len(runner.record(run).name) == 120
    runner.rename(run, "better")
    runner.set_notes(run, "<b>note</b>")
    assert (runner.record(run).name, runner.record(run).notes) == ("better", "<b>note</b>")
    with pytest.raises(InputError):
        runner.state("no-such-run")


def test_data_without_a_mapping_is_refused(house: House, tmp_path: Path) -> None:
    file = tmp_path / "odd.jsonl"
    file.write_text(json.dumps({"a": 1, "b": 2}) + "\n")
    version = house.datasets.import_file(file)
    with pytest.raises(InputError) as error:
        house.runner(worker=False).submit(RunSpec(data=DataSpec(version=version.id)))
    assert error.value.key == "error.train.no_mapping"


# The history: order, values tried, what is thrown away


def waiting(runner: Runner, house: House, count: int) -> list[str]:
    """One run that trains, and so many that wait."""
    first = runner.submit(house.spec).id
    wait_for(lambda: runner.state(first).status == "running")  # as other studios see it too
    return [runner.submit(house.spec, f"run {i}").id for i in range(count)]


def test_a_waiting_run_is_moved(house: House) -> None:
    runner = house.runner()
    a, b, c = waiting(runner, house, 3)
    assert runner.queue() == [a, b, c]
    runner.move(c, -2)
    assert runner.queue() == [c, a, b]
    runner.move(c, 9)
    assert runner.queue() == [a, b, c]
    again = house.runner(worker=False)
    assert again.queue() == [a, b, c]
    runner.move(a, -1)  # it is the next already
    assert runner.queue() == [a, b, c]
    with pytest.raises(InputError, match="not waiting"):
        runner.move(runner.current() or "", 1)


def test_values_of_a_setting_are_tried(house: House) -> None:
    runner = house.runner(worker=False)
    runs = runner.sweep(house.spec, "tuner.rank", [4, 8, 8, 16], "try", token="once")
    assert [run.spec.tuner.rank for run in runs] == [4, 8, 16]  # type: ignore[union-attr]
    assert [run.name for run in runs] == ["try · rank 4", "try · rank 8", "try · rank 16"]
    assert [run.id for run in runner.sweep(house.spec, "tuner.rank", [4, 8, 16], token="once")] == [r.id for r in runs]
    for wrong in ([4], [4, 4], [1, 2, 3, 4, 5]):
        with pytest.raises(InputError, match="two to 4"):
            runner.sweep(house.spec, "tuner.rank", wrong)
    before = len(runner.runs())
    with pytest.raises(SpecError):
        runner.sweep(house.spec, "tuner.rank", [4, 0])
    assert len(runner.runs()) == before


def test_the_same_plan_from_two_pages_is_queued_twice_and_known(house: House) -> None:
    runner = house.runner(worker=False)
    first = runner.submit(house.spec, token="one page")
    assert runner.twin(first.id) is None
    second = runner.submit(house.spec, token="another")
    other = runner.submit(with_changes(house.spec, {"tuner.rank": 4}))
    assert (runner.twin(second.id), runner.twin(other.id)) == (first, None)
    runner.cancel(first.id)
    assert runner.twin(second.id) is None


def test_a_run_is_deleted_with_its_files(house: House) -> None:
    runner = house.runner()
    run = runner.submit(house.spec).id
    wait_for(lambda: runner.current() == run)
    with pytest.raises(InputError, match="Stop it first"):
        runner.delete(run)
    house.lesson.allow(4)
    wait_for(lambda: runner.current() is None)
    folder = house.store.run_folder(run)
    (folder / "adapter").mkdir()
    (folder / "adapter" / "weights").write_bytes(b"x" * 5_000)
    assert runner.delete(run) == 5_000
    assert not folder.exists()
    assert runner.runs() == []
    with pytest.raises(InputError):
        runner.state(run)
    with pytest.raises(InputError):
        runner.delete(run)


def test_a_killed_deletion_is_finished_or_undone_and_other_folders_stay(house: House) -> None:
    """The record decides; a folder that nobody asked to delete is not the studio's to throw away."""
    runner = house.runner(worker=False)
    run = runner.submit(house.spec).id
    runs = house.store.runs_folder
    undone, finished, own = runs / f"{run}.deleted", runs / f"{new_id()}.deleted", runs / new_id()
    for folder in (undone, finished, own):
        folder.mkdir()
        (folder / "adapter").write_bytes(b"x")
    house.store.close()
    house.store = Store(house.settings.workspace)
    assert (house.store.run_folder(run) / "adapter").read_bytes() == b"x"
    assert sorted(path.name for path in runs.iterdir()) == sorted((run, own.name))


def test_a_run_says_where_its_numbers_are_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is refused before it waits when a package for that is missing."""
    runner = house.runner(worker=False)
    spec = with_changes(house.spec, {"training.report_to": ["tensorboard"]})
    monkeypatch.setattr("studio.runs.trackers.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        runner.submit(spec)
    assert runner.runs() == []
    monkeypatch.setattr("studio.runs.trackers.find_spec", lambda name: object())
    run = runner.submit(spec).id
    assert runner.where_to_look(run) == []  # nothing is written before it begins
    house.lesson.allow(4)
    runner.run_now(run)
    folder = str(house.store.run_folder(run) / "tensorboard")
    assert runner.where_to_look(run) == [("notice.tracker.tensorboard", {"folder": folder})]
    assert (house.lesson.jobs[0].name, house.lesson.jobs[0].told_training) == (runner.record(run).name, -1)
    assert runner.where_to_look(runner.submit(house.spec).id) == []


def test_tags_are_kept_and_cleaned(house: House) -> None:
    runner = house.runner(worker=False)
    run = runner.submit(house.spec).id
    assert runner.record(run).tags == ()
    runner.set_tags(run, [" 本番 ", "try", "try", "", "two\nwords", "x" * 99])
    assert runner.record(run).tags == ("本番", "try", "two words", "x" * 40)
    assert runner.runs()[0].record.tags == runner.record(run).tags
