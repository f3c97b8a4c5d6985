"""RLHF as a chain of runs in a workspace: SFT, a reward model, GRPO against it; and what cannot be chained."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.backend.sources import find_sources
from studio.backend.studio import Studio
from studio.data.records import Message
from studio.errors import InputError, SpecError
from studio.models.adapter_folder import ADAPTER_WEIGHTS
from studio.models.folder import file_sha256
from studio.runs.events import Ended, Queued
from studio.runs.methods import GrpoSpec
from studio.runs.spec import RunSpec, with_changes
from studio.runs.store import new_id
from studio.settings import Settings
from tests.backend.asked import beside_base, last
from tests.tiny import save_tiny

QUICK = {
    "training.epochs": 1, "training.batch_size": 2, "training.evaluations": 1, "tuner.rank": 2, "tuner.alpha": 4,
    "tuner.dropout": 0, "data.max_length": 64, "data.split.validation_share": 0.2, "training.patience": 0,
}  # fmt: skip


class Place:
    """A workspace with questions with answers and with preferences."""

    def __init__(self, folder: Path) -> None:
        self.studio = Studio(Settings(workspace=folder / "w"), worker=False)
        self.model = save_tiny(folder / "tiny")
        rows = [{"prompt": f"what about {i}?", "completion": f"{i} it is"} for i in range(12)]
        pairs = [{"prompt": f"and {i}?", "chosen": f"{i} yes", "rejected": "no"} for i in range(12)]
        self.rows, self.pairs = (
            self._data(folder / name, data) for name, data in (("r.jsonl", rows), ("p.jsonl", pairs))
        )

    def _data(self, file: Path, rows: list[dict[str, str]]) -> str:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return self.studio.datasets.import_file(file).id

    def spec(self, method: str, data: str, **changes: object) -> RunSpec:
        paths = {path.replace("__", "."): value for path, value in changes.items()}
        base = {"model.source": str(self.model), "data.version": data, "method.kind": method}
        return with_changes(RunSpec(), {**QUICK, **base, **paths})

    def train(self, spec: RunSpec, name: str) -> str:
        run = self.studio.runner.submit(spec, name).id
        ended = self.studio.runner.run_now(run)
        assert ended.status == "done", (ended.key, ended.values)
        return run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("chains"))
    yield made
    made.studio.close()


@pytest.fixture(scope="module")
def chain(place: Place) -> dict[str, str]:
    """The runs of a chain, by method."""
    studio = place.studio
    sft = place.train(place.spec("sft", place.rows), "polite")
    reward = place.train(with_changes(studio.following(sft, "reward", place.pairs), QUICK), "taste")
    following = studio.following(sft, "grpo", place.pairs, reward)
    assert isinstance(following.method, GrpoSpec)
    assert following.method.reward_runs == (reward,)
    rewards = [{"kind": "model", "run": reward}, {"kind": "length", "low": 1, "high": 20, "weight": 0.5}]
    small = {"method.rewards": rewards, "method.samples_per_row": 2, "method.max_new_tokens": 4}
    grpo = place.train(with_changes(following, {**QUICK, **small}), "liked")
    return {"sft": sft, "reward": reward, "grpo": grpo}


def test_a_chain_ends_in_one_adapter_of_the_first_base(place: Place, chain: dict[str, str]) -> None:
    studio = place.studio
    record, state = studio.runner.record(chain["grpo"]), studio.runner.state(chain["grpo"])
    assert record.spec.model.adapter == chain["sft"]
    assert state.started is not None
    hashes = {run: studio.runner.state(run).ended.adapter_sha256 for run in (chain["sft"], chain["reward"])}  # type: ignore[union-attr]
    assert state.started.sources == hashes
    assert state.started.base_fingerprint == studio.runner.state(chain["sft"]).started.base_fingerprint  # type: ignore[union-attr]
    turns = (Message("user", "and 3?"),)
    updates = [
        last(studio, beside_base(studio, chain[name], turns=turns, max_new_tokens=4)) for name in ("sft", "grpo")
    ]
    assert updates[0].base.text == updates[1].base.text
    assert studio.exports.make(chain["grpo"]).proof.passed


def test_a_reward_model_brings_the_margin_of_its_validation_pairs(place: Place, chain: dict[str, str]) -> None:
    sources = find_sources(place.studio.store, place.studio.runner.record(chain["grpo"]).spec)
    state = place.studio.runner.state(chain["reward"])
    assert state.ended is not None
    assert state.ended.best_step is not None
    assert sources[chain["reward"]].margin == dict(state.curves["validation_margin"])[state.ended.best_step]
    assert sources[chain["sft"]].margin is None


def test_a_reward_model_is_neither_compared_nor_exported(place: Place, chain: dict[str, str]) -> None:
    assert chain["reward"] not in {one.run for one in place.studio.compare.candidates()}
    for ask in (place.studio.compare.adapter, place.studio.exports.make):
        with pytest.raises(InputError, match="reward model"):
            ask(chain["reward"])


def test_what_cannot_be_chained_is_told_at_once(place: Place, chain: dict[str, str], tmp_path: Path) -> None:
    other = save_tiny(tmp_path / "other", "gpt2")
    judged = {"method__rewards": [{"kind": "model", "run": chain["sft"]}]}
    taste = [{"kind": "model", "run": chain["reward"]}]
    wrong = [
        (place.spec("sft", place.rows, model__adapter="gone"), "gone"),
        (place.spec("sft", place.rows, model__adapter=chain["sft"], model__source=str(other)), "base model"),
        (place.spec("sft", place.rows, model__adapter=chain["sft"], tuner__rank=4), "tuner.rank 2"),
        (place.spec("sft", place.rows, model__adapter=chain["reward"]), "reward model"),
        (place.spec("grpo", place.rows, **judged), "no reward model"),
        (place.spec("grpo", place.rows, method__rewards=taste, model__source=str(other)), f"trained on {place.model}"),
        (place.spec("grpo", place.rows, method__rewards=[{"kind": "model", "run": "gone"}]), "gone"),
    ]
    for spec, words in wrong:
        with pytest.raises(InputError, match=words):
            place.studio.runner.submit(spec)


def test_a_run_may_wait_for_the_one_it_goes_on_from(place: Place) -> None:
    waiting = place.studio.runner.submit(place.spec("sft", place.rows), "first").id
    follower = place.studio.runner.submit(place.spec("sft", place.rows, model__adapter=waiting), "second").id
    ended = place.studio.runner.run_now(follower)
    assert (ended.status, ended.key, ended.wrong_input) == ("failed", "error.source.unfinished", True)
    assert place.studio.runner.run_now(waiting).status == "done"
    place.studio.runner.resume(follower)
    assert place.studio.runner.run_now(follower).status == "done"


def test_a_run_that_was_deleted_is_missed(place: Place) -> None:
    first = place.train(place.spec("sft", place.rows), "first")
    follower = place.studio.runner.submit(place.spec("sft", place.rows, model__adapter=first), "second").id
    place.studio.runner.delete(first)
    ended = place.studio.runner.run_now(follower)
    assert (ended.status, ended.key, ended.wrong_input) == ("failed", "error.source.missing", True)


def test_any_checkpoint_is_gone_on_from(place: Place) -> None:
    """Also one of whose training state nothing is left; of a run that goes on there is no result yet."""
    studio = place.studio
    many = place.spec("sft", place.rows, training__evaluations=4, training__keep_best=False)
    first = place.train(many, "first")
    checkpoints = studio.runner.state(first).checkpoints
    folder = studio.store.run_folder(first)
    steps = [checkpoint.step for checkpoint in checkpoints]
    assert len(steps) >= 3
    assert not (folder / checkpoints[0].path / "optimizer.pt").exists()
    unlike = {file_sha256(folder / checkpoint.path / ADAPTER_WEIGHTS) for checkpoint in checkpoints}
    assert len(unlike) == len(checkpoints)
    for checkpoint in checkpoints:
        assert studio.compare.adapter(first, checkpoint.step).folder == folder / checkpoint.path
    spec = with_changes(studio.following(first, "sft", step=steps[0]), {"data.version": place.rows})
    branch = place.train(spec, "branch")
    started = studio.runner.state(branch).started
    assert started is not None
    assert started.sources == {first: file_sha256(folder / checkpoints[0].path / ADAPTER_WEIGHTS)}
    assert studio.estimate(spec).seconds > 0
    assert studio.compare.adapter(branch).model == studio.compare.adapter(first).model
    with pytest.raises(InputError, match=f"no checkpoint of step 99.*{steps[0]}, {steps[1]}"):
        studio.runner.submit(with_changes(spec, {"model.adapter_step": 99}))
    with pytest.raises(SpecError, match="no run that it belongs to"):
        with_changes(spec, {"model.adapter": ""})
    studio.store.append(first, Queued())  # resumed: it has no end
    assert first in [run.record.id for run in studio.runner.parents(str(place.model))]
    place.train(spec, "branch of a run without an end")
    shutil.rmtree(folder / checkpoints[0].path)
    ended = studio.runner.run_now(studio.runner.submit(spec).id)
    assert (ended.status, ended.key, ended.wrong_input) == ("failed", "error.source.missing", True)


def test_a_result_that_is_gone_is_told(place: Place) -> None:
    spec, run = place.spec("sft", place.rows), new_id()
    place.studio.store.add_run(run, "emptied", spec, Queued())
    place.studio.store.append(run, Ended(status="done", adapter="adapter"))
    follower = place.studio.runner.submit(place.spec("sft", place.rows, model__adapter=run), "second").id
    ended = place.studio.runner.run_now(follower)
    assert (ended.status, ended.key) == ("failed", "error.source.unfinished")


def test_a_chain_is_estimated(place: Place, chain: dict[str, str]) -> None:
    spec = place.studio.runner.record(chain["grpo"]).spec
    estimate = place.studio.estimate(spec)
    assert estimate.seconds > 0
    assert estimate.steps == 5
