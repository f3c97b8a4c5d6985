"""Two processes that share every batch learn what one does, whatever the method: the same losses, the same weights. So
do two that divide the model between them, and their checkpoints are those of one process.

Only the order differs in which numbers are added, by which float32 loses about 1e-7 of a value at each step. A mean of
means instead of the mean over all tokens, a row twice or another order of rows would differ by 1e-3 and more.
"""

import multiprocessing
import os
import pickle
import shutil
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load
from torch import distributed

from studio.models.device import detect_device
from studio.models.loading import load_model
from studio.runs.events import Checkpoint, Event, Started
from studio.runs.spec import RunSpec
from studio.runs.stop import Stop
from studio.settings import Settings
from studio.training.ranks import BATCH_ROWS, Ranks, Shared, SharedTokens
from tests.training.jobs import Killed, Recording
from tests.training.test_methods import lessons, method_spec

TIMES = {"seconds", "tokens_per_second", "memory_bytes"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sft": ("sft", {}),
    "full": ("sft", {"tuner__kind": "full", "training__learning_rate": 1e-3}),
    "cpt": ("cpt", {}),
    "dpo": ("dpo", {}),
    "simpo": ("simpo", {"training__gradient_checkpointing": True}),
    "orpo": ("orpo", {"training__patience": 1, "training__learning_rate": 0.3}),
    "kto": ("kto", {}),
    "reward": ("reward", {"tuner__quantisation": "nf4"}),
}
FULL = {"tuner__kind": "full", "training__learning_rate": 1e-3}
DIVIDED: dict[str, tuple[str, dict[str, Any]]] = {
    "divided sft": ("sft", {"training__gradient_checkpointing": True}),
    "divided full": ("sft", {**FULL, "data__split__validation_share": 0.0}),
    "divided full dpo": ("dpo", FULL),
    "divided kto": ("kto", {}),
    "divided reward": ("reward", {}),
}
GONE_ON = "divided full, gone on with"
EVERY = {**CASES, **DIVIDED, GONE_ON: ("sft", FULL)}
ROWS = 14


def spec_of(name: str, model: Path) -> RunSpec:
    """Eleven training rows in batches of four, two to a step: the last batch of a pass has three, which two processes
    cannot divide."""
    method, changes = EVERY[name]
    plain = {} if "tuner__kind" in changes else {"tuner__dropout": 0.0}
    return method_spec(method, model, **{"training__batch_size": 4, **plain, **changes})


def rank_main(rank: int, folder: Path, model: Path) -> None:
    """One of two processes: every case after the other. The last is begun already, by one process."""
    names = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {**names, "MASTER_ADDR": "127.0.0.1"}
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=2)
    from studio.training.train import conclude, learn

    for name, (method, _) in EVERY.items():
        ranks = Ranks(rank, 2, sharded=name not in CASES)
        run = Recording(spec_of(name, model), folder / str(rank) / name, lessons(method, ROWS))
        if name == GONE_ON:
            run.events = pickle.loads((folder / "begun.events").read_bytes())
        try:
            learned = learn(run.job(), Stop(), ranks)
            assert learned is not None
            if ranks.first:
                conclude(run.job(), learned, 0.0)
        except BaseException:
            (folder / f"{name}.failed").write_text(traceback.format_exc(), encoding="utf-8")
            raise
        if ranks.first:
            (folder / f"{name}.events").write_bytes(pickle.dumps(run.events))
    held = load_model(str(model), Settings(workspace=folder), detect_device(), "float32", shards=2).model
    weights: list[Any] = [weight.to_local() for weight in held.parameters()]  # type: ignore[operator]
    (folder / f"{rank}.held").write_text(str(sum(weight.numel() for weight in weights)), encoding="utf-8")
    distributed.destroy_process_group()


@dataclass(frozen=True)
class Both:
    """Where the runs of two processes lie, and the model they began with."""

    folder: Path
    model: Path

    def run(self, name: str) -> Recording:
        failed = self.folder / f"{name}.failed"
        assert not failed.exists(), failed.read_text(encoding="utf-8")
        made = Recording(spec_of(name, self.model), self.folder / "0" / name)
        events: list[Event] = pickle.loads((self.folder / f"{name}.events").read_bytes())
        made.events = events
        return made


def begin(folder: Path, model: Path) -> None:
    """A run of one process, killed after its first checkpoint, as both find it."""
    begun = Recording(spec_of(GONE_ON, model), folder / "0" / GONE_ON, lessons("sft", ROWS))
    begun.watcher = lambda event: setattr(begun, "dies_at", begun.dies_at or isinstance(event, Checkpoint) or None)
    with pytest.raises(Killed):
        begun.run()
    shutil.copytree(begun.folder, folder / "1" / GONE_ON)
    (folder / "begun.events").write_bytes(pickle.dumps(begun.events))


@pytest.fixture(scope="module")
def both(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("both")
    begin(folder, llama)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=rank_main, args=(rank, folder, llama), daemon=True) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        process.kill()
    return Both(folder, llama)


@pytest.mark.parametrize("name", EVERY)
def test_two_processes_learn_what_one_does(name: str, both: Both, tmp_path: Path) -> None:
    one = Recording(spec_of(name, both.model), tmp_path / "one", lessons(EVERY[name][0], ROWS))
    one.run()
    two = both.run(name)
    assert two.state.started is not None
    parted = spec_of(name, both.model).data.split.validation_share > 0
    assert two.state.started.train_rows == (11 if parted else ROWS) or "packed" in two.state.started.how
    curves = one.state.curves
    assert two.state.curves.keys() == curves.keys()
    assert two.state.samples == one.state.samples
    for metric in curves.keys() - TIMES:
        assert [step for step, _ in two.state.curves[metric]] == [step for step, _ in curves[metric]]
        theirs = [value for _, value in two.state.curves[metric]]
        assert theirs == pytest.approx([value for _, value in curves[metric]], rel=2e-5, abs=2e-6), metric
    after, before = load(two.result()), load(one.result())
    assert after.keys() == before.keys()
    for tensor in after:
        torch.testing.assert_close(after[tensor], before[tensor], rtol=1e-3, atol=2e-6)


def test_each_of_two_holds_half_of_a_divided_model(both: Both, tmp_path: Path) -> None:
    """But for a row of the embedding: its number is odd."""
    model = load_model(str(both.model), Settings(workspace=tmp_path), detect_device()).model
    every, row = model.num_parameters(), model.get_input_embeddings().weight.shape[1]  # type: ignore[union-attr]
    held = [int((both.folder / f"{rank}.held").read_text(encoding="utf-8")) for rank in range(2)]
    assert held == [(every + row) // 2, (every - row) // 2]


@pytest.mark.parametrize("name", ["divided sft", "divided full"])
def test_one_process_goes_on_from_a_checkpoint_of_a_divided_model(name: str, both: Both, tmp_path: Path) -> None:
    two = both.run(name)
    one = Recording(spec_of(name, both.model), tmp_path / "one", lessons("sft", ROWS))
    shutil.copytree(two.folder, one.folder, dirs_exist_ok=True)
    last = two.state.checkpoints[-2]
    one.events = two.events[: two.events.index(last) + 1]
    one.run()
    assert one.of(Started)[-1].from_step == last.step > 0
    losses = [value for _, value in two.losses()]
    assert [value for _, value in one.losses()] == pytest.approx(losses, rel=2e-5, abs=2e-6)
    after, before = load(one.result()), load(two.result())
    assert after.keys() == before.keys()
    for tensor in after:
        torch.testing.assert_close(after[tensor], before[tensor], rtol=1e-3, atol=2e-6)


def test_rows_are_shared_without_a_rest() -> None:
    """Where a batch does not come out even, a mean over rows is taken of all of them by everybody; of a sum over tokens
    everybody has a part."""

    def collated(rows: list[int]) -> dict[str, Any]:
        return {"labels": torch.tensor(rows)}

    for rows in ([5, 6, 7, 8], [5, 6, 7], [5]):
        means = [Shared(collated, Ranks(rank, 2))(rows) for rank in range(2)]
        parts = [SharedTokens(collated, Ranks(rank, 2))(rows) for rank in range(2)]
        assert {batch[BATCH_ROWS] for batch in means + parts} == {len(rows)}
        learned = torch.cat([batch["labels"] for batch in parts])
        assert sorted(learned[learned != -100].tolist()) == rows
        assert len({len(batch["labels"]) for batch in means}) == 1
        mean = torch.stack([batch["labels"].double().mean() for batch in means]).mean()
        assert mean == sum(rows) / len(rows)
