"""A Ray cluster of two workers learns what one process does, whatever ends a worker; it can be stopped; and what cannot
run there is refused.

How far the numbers may differ, and why, is told in `tests/training/test_ranks.py`, where every method is compared. Here
AdamW makes more steps of them.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from safetensors.torch import load

from studio.errors import PlanError, ResourceError, SpecError
from studio.models.device import detect_device
from studio.models.loading import attach_adapter, load_model, read_adapter
from studio.runs.cluster import ClusterSpec, check_cluster, parse_cluster
from studio.runs.events import Checkpoint, Ended, Event, Metrics, Notice, Started
from studio.runs.stop import Stop
from studio.settings import Settings
from studio.training.cluster import train_on_cluster
from studio.training.desk import PIECE_BYTES, Desk, fetch, send
from tests.ray_nodes import two_nodes
from tests.training.jobs import Recording
from tests.training.test_methods import ROLLOUTS, lessons, method_spec
from tests.training.test_ranks import TIMES

ROWS = 14


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterSpec]:
    with two_nodes() as address:
        yield ClusterSpec(address=address)


def recording(method: str, model: Path, folder: Path, **changes: object) -> Recording:
    """Four steps unless more is said, each over two batches of four rows."""
    plain = {} if "tuner__kind" in changes else {"tuner__dropout": 0.0}
    spec = method_spec(method, model, training__batch_size=4, **plain, **changes)
    return Recording(spec, folder, lessons(method, ROWS))


def assert_same(two: Recording, one: Recording, atol: float = 1e-5) -> None:
    """Losses, other numbers and weights, but for the order in which numbers are added."""
    curves = one.state.curves
    assert two.state.curves.keys() == curves.keys()
    for metric in curves.keys() - TIMES:
        assert [step for step, _ in two.state.curves[metric]] == [step for step, _ in curves[metric]]
        values = [value for _, value in curves[metric]]
        assert [value for _, value in two.state.curves[metric]] == pytest.approx(values, rel=2e-4, abs=2e-5), metric
    after, before = load(two.result()), load(one.result())
    assert after.keys() == before.keys()
    for tensor in after:
        torch.testing.assert_close(after[tensor], before[tensor], rtol=1e-3, atol=atol)


def workers() -> list[psutil.Process]:
    """Those of Ray Train, by the name Ray gives their processes."""
    mine = psutil.Process().children(recursive=True)
    return [one for one in mine if "RayTrainWorker" in " ".join(one.cmdline())]


@pytest.mark.parametrize("sharding", ["none", "full"])
def test_a_run_whose_worker_is_killed_ends_as_one_process_does(
    sharding: str, cluster: ClusterSpec, llama: Path, tmp_path: Path
) -> None:
    """Twenty steps, a checkpoint after every second, so that it is not over before the worker is. A divided model is
    trained whole."""
    cluster = cluster.model_copy(update={"sharding": sharding})
    changes = {"training__epochs": 10, "training__evaluations": 10, "training__learning_rate": 2e-3}
    if sharding == "full":
        changes |= {"tuner__kind": "full", "training__learning_rate": 1e-3}
    one, two = (recording("sft", llama, tmp_path / name, **changes) for name in ("one", "two"))
    one.run()
    seen: list[int] = []

    def kill(event: Event) -> None:
        """The second of the two, once there is a checkpoint to go on from."""
        if isinstance(event, Checkpoint) and not seen:
            seen.extend(process.pid for process in workers())
            os.kill(seen[-1], signal.SIGKILL)

    two.watcher = kill
    ended = train_on_cluster(two.job(), Stop(), cluster)
    assert ended is not None
    assert ended.status == "done"
    assert len(seen) == 2
    first, again = (event.from_step for event in two.of(Started))
    assert 0 == first < again < two.state.total_steps
    assert two.of(Notice) == [Notice(key="notice.cluster.worker_lost", values={"step": again})]
    assert two.of(Started)[0].device.startswith("2 × ")
    assert_same(two, one)


def test_a_stopped_run_keeps_a_usable_adapter_and_goes_on_here(
    cluster: ClusterSpec, llama: Path, tmp_path: Path
) -> None:
    changes = {"training__epochs": 40, "training__learning_rate": 2e-3}
    one, two = (recording("dpo", llama, tmp_path / name, **changes) for name in ("one", "two"))
    ended = stopped_at(two, 4, lambda stop: train_on_cluster(two.job(), stop, cluster))
    assert ended.status == "stopped"
    assert 4 <= ended.step < two.state.total_steps
    stopped_at(one, ended.step, one.run)
    # A twentieth of one step: of a gradient near nothing, as DPO's first ones are, the optimiser makes as large a step
    # as of any other.
    assert_same(two, one, atol=1e-4)

    loaded = load_model(str(llama), Settings(workspace=tmp_path), detect_device(), "float32")
    ids = torch.arange(5, 25)[None]
    before = loaded.model(input_ids=ids).logits
    adapted = attach_adapter(loaded.model, read_adapter(two.folder / "adapter"), "run")
    adapted.set_adapter("run")
    assert not torch.allclose(adapted(input_ids=ids).logits, before)

    # A checkpoint of the cluster is one of this machine too.
    stopped_at(two, ended.step + 2, two.run)
    assert two.of(Started)[-1].from_step == ended.step
    assert two.of(Ended)[-1].step == ended.step + 2


def stopped_at(run: Recording, step: int, train: Callable[[Stop], Ended | None]) -> Ended:
    """Asked to stop during this step; a cluster hears of it a little later."""
    stop = Stop()
    run.watcher = lambda event: stop.stop() if isinstance(event, Metrics) and event.step >= step - 1 else None
    ended = train(stop)
    assert ended is not None
    return ended


# What cannot be


def test_too_few_processors_are_told(cluster: ClusterSpec, llama: Path, tmp_path: Path) -> None:
    run = recording("sft", llama, tmp_path / "run")
    with pytest.raises(ResourceError) as caught:
        train_on_cluster(run.job(), Stop(), replace_workers(cluster, 4))
    assert caught.value.values == {"address": cluster.address, "workers": 4, "count": 2}
    assert run.events == []


def replace_workers(cluster: ClusterSpec, workers: int) -> ClusterSpec:
    return cluster.model_copy(update={"workers": workers})


@pytest.mark.parametrize("method", ROLLOUTS)
def test_every_reason_is_told_at_once(method: str, llama: Path) -> None:
    spec = method_spec(method, llama, training__batch_size=4, training__report_to=("tensorboard",))
    with pytest.raises(PlanError) as caught:
        check_cluster(spec, ClusterSpec(workers=3))
    told = caught.value.message()
    assert f"`{method}` cannot" in told
    assert "sft, cpt, dpo, simpo, orpo, kto, reward" in told
    assert "3, 6" in told
    assert "tensorboard" in told
    check_cluster(method_spec("dpo", llama, training__batch_size=6), ClusterSpec(workers=3))


def test_what_needs_whole_weights_is_told(llama: Path) -> None:
    divided = ClusterSpec(workers=2, sharding="full")
    tuner = {"tuner__quantisation": "nf4", "tuner__variant": "dora"}
    spec = method_spec("cpt", llama, **tuner, method__new_tokens=8)
    with pytest.raises(PlanError) as caught:
        check_cluster(spec, divided)
    told = caught.value.message()
    for setting in ("tuner.quantisation=none", "tuner.variant=lora", "method.new_tokens=0"):
        assert setting in told
    for tuner in ({}, {"tuner__kind": "full"}):
        check_cluster(method_spec("sft", llama, **tuner), divided)


def test_what_is_no_cluster_is_told() -> None:
    with pytest.raises(SpecError, match=r"cluster\.address(.|\n)*cluster\.workers"):
        parse_cluster({"address": "", "workers": 0})
    assert parse_cluster({"address": "auto"}) == ClusterSpec(address="auto", workers=2)


def test_names_of_files_are_no_paths(tmp_path: Path) -> None:
    desk = Desk({"model": tmp_path}, tmp_path / "run")
    (tmp_path / "run").mkdir()
    for name, file in (("..", "x"), ("checkpoint-1", "../x"), ("a/b", "x"), ("a", "b\\c")):
        with pytest.raises(ValueError, match=r"."):
            desk.write(name, file, 0, b"")
    with pytest.raises(ValueError, match=r"."):
        desk.read("model", "../x", 0)


def test_files_travel_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a desk that is asked as an actor is, there and back, an empty file among them."""

    class Asked:
        def __getattr__(self, name: str) -> SimpleNamespace:
            return SimpleNamespace(remote=getattr(desk, name))

    (tmp_path / "here" / "checkpoint-2").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    made = tmp_path / "here" / "checkpoint-2"
    content = {"large": os.urandom(2 * PIECE_BYTES + 3), "exact": os.urandom(PIECE_BYTES), "empty": b""}
    for name, data in content.items():
        (made / name).write_bytes(data)
    desk = Desk({"run": tmp_path / "run" / "checkpoint-2"}, tmp_path / "run")
    monkeypatch.setattr("ray.get", lambda answer: answer)
    send(Asked(), made)
    fetched = fetch(Asked(), "run", tmp_path / "there")
    assert {path.name: path.read_bytes() for path in fetched.iterdir()} == content
