"""Resumed = uninterrupted, exactly: weights, losses, kept checkpoint, whatever moment the process died at."""

import shutil
import threading
from pathlib import Path

import pytest
import torch

from studio.data.records import Message
from studio.errors import TrainingError
from studio.models.device import detect_device
from studio.models.generation import render_prompt, sample_answers
from studio.models.loading import attach_adapter, load_model, read_adapter
from studio.runs.events import Checkpoint, Ended, Metrics, Sample
from studio.runs.stop import Stop
from tests.training.jobs import Killed, Recording, tiny_spec


@pytest.fixture(scope="module")
def whole(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """The uninterrupted run."""
    run = Recording(tiny_spec(llama), tmp_path_factory.mktemp("whole"))
    run.run()
    return run


def assert_same(run: Recording, whole: Recording) -> None:
    ended, expected = run.of(Ended)[-1], whole.of(Ended)[-1]
    assert run.weights() == whole.weights()
    assert run.losses() == whole.losses()
    assert run.state.curves["validation_loss"] == whole.state.curves["validation_loss"]
    assert run.state.samples == whole.state.samples
    assert run.state.checkpoints == whole.state.checkpoints
    assert (ended.status, ended.best_step, ended.adapter_sha256) == (
        "done",
        expected.best_step,
        expected.adapter_sha256,
    )


def test_the_same_spec_twice_is_the_same_run(whole: Recording, tmp_path: Path) -> None:
    again = Recording(whole.spec, tmp_path / "run")
    again.run()
    assert_same(again, whole)
    other = Recording(tiny_spec(Path(whole.spec.model.source), training__seed=1), tmp_path / "other")
    other.run()
    assert other.weights() != whole.weights()


def test_death_at_any_event_resumes_exactly(whole: Recording, tmp_path: Path) -> None:
    """Events early, amid and late: after the start, a step, an evaluation, a checkpoint, before the end.

    `tests.faults.kills` kills real processes at random moments.
    """
    total = len(whole.events)
    for dies_at in (3, total // 2, total * 2 // 3, total):
        run = Recording(whole.spec, tmp_path / str(dies_at))
        run.dies_at = dies_at
        with pytest.raises(Killed):
            run.run()
        run.dies_at = None
        run.run()
        assert_same(run, whole)


def test_death_again_and_again(whole: Recording, tmp_path: Path) -> None:
    run = Recording(whole.spec, tmp_path / "run")
    for _ in range(5):
        run.dies_at = len(run.events) + 14  # far enough for one checkpoint more
        try:
            run.run()
            break
        except Killed:
            continue
    assert_same(run, whole)


def test_resume_ignores_the_global_random_state(whole: Recording, tmp_path: Path) -> None:
    """A chat beside the training draws and seeds as it likes."""
    run = Recording(whole.spec, tmp_path / "run")
    run.watcher = lambda event: isinstance(event, Metrics) and (torch.manual_seed(event.step), torch.rand(3))  # type: ignore[assignment,func-returns-value]
    run.run()
    assert_same(run, whole)


def test_a_chat_beside_the_training_changes_nothing(whole: Recording, tmp_path: Path) -> None:
    """Another thread loads a model, puts the half-trained adapter on it, and answers all the while."""
    run = Recording(whole.spec, tmp_path / "run")
    over, answered = threading.Event(), threading.Event()

    def chat() -> None:
        loaded = load_model(whole.spec.model.source, run.settings, detect_device())
        adapter = read_adapter(whole.folder / "adapter")
        model = attach_adapter(loaded.model, adapter, "tuned")
        prompt = render_prompt([Message("user", "hello")], loaded.tokenizer)
        while not over.is_set():
            sample_answers(model, loaded.tokenizer, [prompt] * 2, 8)
            answered.set()

    thread = threading.Thread(target=chat)
    run.watcher = lambda event: answered.wait(30) if isinstance(event, Metrics) and event.step == 1 else None  # type: ignore[assignment,return-value]
    thread.start()
    try:
        run.run()
    finally:
        over.set()
        thread.join()
    assert answered.is_set()
    assert_same(run, whole)


def test_a_checkpoint_cut_short_is_not_resumed_from(whole: Recording, tmp_path: Path) -> None:
    run = Recording(whole.spec, tmp_path / "run")
    run.dies_at = len(whole.events)
    with pytest.raises(Killed):
        run.run()
    run.dies_at = None
    last = run.folder / run.state.checkpoints[-1].path
    for name in ("optimizer.pt", "adapter_model.safetensors"):
        data = (last / name).read_bytes()
        (last / name).write_bytes(data[: len(data) // 2])
    run.run()
    assert run.state.started is not None
    assert run.state.started.from_step == whole.state.checkpoints[-2].step
    assert_same(run, whole)


def test_without_any_whole_checkpoint_it_begins_again_and_says_so(whole: Recording, tmp_path: Path) -> None:
    run = Recording(whole.spec, tmp_path / "run")
    run.dies_at = len(whole.events)
    with pytest.raises(Killed):
        run.run()
    run.dies_at = None
    for checkpoint in run.of(Checkpoint):
        shutil.rmtree(run.folder / checkpoint.path)
    run.run()
    assert "notice.train.began_again" in [n.key for n in run.state.notices]
    assert_same(run, whole)


def test_half_files_are_swept(whole: Recording, tmp_path: Path) -> None:
    run = Recording(whole.spec, tmp_path / "run")
    (run.folder / "checkpoint-2").mkdir()
    (run.folder / "checkpoint-2" / "optimizer.pt").write_bytes(b"half")
    (run.folder / "adapter.partial").mkdir()
    run.dies_at = 3
    with pytest.raises(Killed):
        run.run()
    assert [p.name for p in run.folder.iterdir()] == []


def test_stop_and_resume_end_with_the_same_last_weights(whole: Recording, tmp_path: Path) -> None:
    run = Recording(whole.spec, tmp_path / "run")
    stop = Stop()
    run.watcher = lambda event: stop.stop() if isinstance(event, Metrics) and event.step == 2 else None
    stopped = run.run(stop)
    assert stopped is not None
    assert stopped.status == "stopped"
    assert run.state.usable
    run.run()
    assert run.losses() == whole.losses()
    assert run.weights("checkpoint-6") == whole.weights("checkpoint-6")


def test_leaving_saves_a_checkpoint_without_an_end(whole: Recording, tmp_path: Path) -> None:
    run = Recording(whole.spec, tmp_path / "run")
    stop = Stop()
    run.watcher = lambda event: stop.leave() if isinstance(event, Metrics) and event.step == 2 else None
    assert run.run(stop) is None
    assert run.state.ended is None
    assert run.state.checkpoints[-1].step == 3
    run.run()
    assert run.state.started is not None
    assert run.state.started.from_step == 3
    assert run.weights() == whole.weights()
    assert run.losses() == whole.losses()


def test_a_base_model_that_changed_is_refused(whole: Recording, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(whole.spec.model.source, model)
    run = Recording(tiny_spec(model), tmp_path / "run")
    run.dies_at = len(whole.events)
    with pytest.raises(Killed):
        run.run()
    run.dies_at = None
    weights = model / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(TrainingError) as error:
        run.run()
    assert error.value.key == "error.train.base_changed"


def test_without_validation_rows(llama: Path, tmp_path: Path) -> None:
    spec = tiny_spec(llama, data__split__validation_share=0)
    whole = Recording(spec, tmp_path / "whole")
    whole.run()
    assert {s.step for s in whole.of(Sample)} == {0, *(c.step for c in whole.of(Checkpoint))}
    for dies_at in (len(whole.events) - 2,):
        run = Recording(spec, tmp_path / str(dies_at))
        run.dies_at = dies_at
        with pytest.raises(Killed):
            run.run()
        run.dies_at = None
        run.run()
        assert run.weights() == whole.weights()
        assert run.state.samples == whole.state.samples


def test_early_stopping_is_not_forgotten_by_a_death(llama: Path, tmp_path: Path) -> None:
    """No learning rate to speak of: nothing improves, and the run ends after `patience` evaluations."""
    spec = tiny_spec(
        llama,
        training__patience=1,
        training__evaluations=3,
        training__learning_rate=1e-9,
        training__schedule="constant",
    )
    whole = Recording(spec, tmp_path / "whole")
    whole.run()
    last = whole.state.step
    assert last < whole.state.total_steps
    assert [n.key for n in whole.state.notices].count("notice.train.early_stop") == 1
    run = Recording(spec, tmp_path / "run")
    run.dies_at = len(whole.events)
    with pytest.raises(Killed):
        run.run()
    run.dies_at = None
    run.run()
    assert run.state.step == last
    assert run.weights() == whole.weights()
