"""Runs that go on from other runs, and that ask the reward models of other runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from studio.data.records import Preference
from studio.errors import ModelError, TrainingError
from studio.models.catalog import find_files
from studio.models.device import detect_device
from studio.models.folder import file_sha256
from studio.models.loading import load_tokenizer, read_adapter
from studio.runs.events import Checkpoint
from studio.runs.sources import Source
from studio.runs.spec import RunSpec, with_changes
from studio.settings import Settings
from studio.training.job import make_examples
from studio.training.scorer import Scorer
from tests.models.adapters import save_adapter
from tests.training.jobs import Killed, Recording
from tests.training.test_methods import METHODS, ROLLOUTS, asked, assert_resumes, lessons, method_spec, said

WEIGHTS = "adapter_model.safetensors"


def source(run: str, folder: Path, model: Path) -> Source:
    files = find_files(str(model), Settings(workspace=folder))
    spec = method_spec("sft", model)
    return Source(run, f"run {run}", folder, file_sha256(folder / WEIGHTS), files.fingerprint(), spec.model)


def parent_of(model: Path, kind: str, folder: Path, **options: Any) -> Source:
    """A run with a strong adapter, of the shape that the specs of these tests have."""
    return source("parent", save_adapter(folder / "parent", kind, rank=2, **options), model)


def following(method: str, model: Path, **changes: object) -> RunSpec:
    return method_spec(method, model, model__adapter="parent", **changes)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("method", METHODS)
def test_what_goes_on_from_a_run_resumes_bit_for_bit(
    method: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model = request.getfixturevalue(kind)
    parent = parent_of(model, kind, tmp_path)
    whole = assert_resumes(following(method, model), lessons(method), tmp_path, [parent])
    assert whole.state.started is not None
    assert whole.state.started.sources == {"parent": parent.sha256}
    saved = whole.folder / whole.state.checkpoints[0].path
    assert not [path for path in saved.iterdir() if path.is_dir()]


@pytest.mark.parametrize("method", METHODS)
def test_the_first_weights_are_those_of_the_parent(method: str, llama: Path, tmp_path: Path) -> None:
    parent = parent_of(llama, "llama", tmp_path)
    spec = following(method, llama, training__learning_rate=1e-12, training__evaluations=1)
    run = Recording(spec, tmp_path / "run", lessons(method), [parent])
    run.run()
    theirs, ours = load_file(parent.folder / WEIGHTS), load_file(run.folder / "adapter" / WEIGHTS)
    assert {name for name in ours if "score" not in name} == set(theirs)
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["dpo", "kto", *ROLLOUTS])
def test_it_is_compared_with_the_parent_and_not_with_the_base(method: str, llama: Path, tmp_path: Path) -> None:
    """Before the first step nothing has moved away from where it began, however far that is from the base."""
    parent = parent_of(llama, "llama", tmp_path, strength=1.0)
    spec = following(method, llama, tuner__dropout=0)
    if method in ROLLOUTS:
        spec = with_changes(spec, {"method.rewards": [{"kind": "regex", "pattern": "[a-m]"}]})
    run = Recording(spec, tmp_path / "run", lessons(method), [parent])
    run.run()
    name = "kl" if method in ROLLOUTS else "reward_chosen"
    assert run.state.curves[f"validation_{name}"][0][1] == pytest.approx(0, abs=1e-5)
    assert run.state.curves[f"validation_{name}"][-1][1] != pytest.approx(0, abs=1e-5)


def test_another_shape_of_adapter_is_refused(llama: Path, tmp_path: Path) -> None:
    parent = parent_of(llama, "llama", tmp_path)
    for changes in ({"tuner__rank": 4}, {"tuner__targets": "attention"}):
        run = Recording(following("sft", llama, **changes), tmp_path / "run", sources=[parent])
        with pytest.raises(ModelError, match="does not fit"):
            run.run()


def test_another_base_is_refused(llama: Path, gpt2: Path, tmp_path: Path) -> None:
    parent = parent_of(gpt2, "gpt2", tmp_path)
    run = Recording(following("sft", llama), tmp_path / "run", sources=[parent])
    with pytest.raises(TrainingError, match="run parent"):
        run.run()


def test_a_parent_that_changed_is_told(llama: Path, tmp_path: Path) -> None:
    parent = parent_of(llama, "llama", tmp_path)
    run = Recording(following("sft", llama), tmp_path / "run", lessons("sft"), [parent])
    run.dies_at = 14
    with pytest.raises(Killed):
        run.run()
    assert run.of(Checkpoint)
    run.dies_at = None
    save_adapter(parent.folder, "llama", rank=2, seed=99)
    with pytest.raises(TrainingError, match="no longer the one"):
        run.run()
    run.sources = {"parent": source("parent", parent.folder, llama)}  # trained on, and recorded so
    with pytest.raises(TrainingError, match="has changed since"):
        run.run()


# Reward models


def reward_model(model: Path, folder: Path) -> Source:
    """Trained to like answers with many times the letter e."""
    rows = [(i, Preference(asked(i), said("e" * (4 + i % 5)), said("x" * (4 + i % 5)))) for i in range(1, 25)]
    changes = {"training__epochs": 6, "training__learning_rate": 0.01, "training__evaluations": 1}
    run = Recording(method_spec("reward", model, tuner__dropout=0, **changes), folder / "judge", rows)
    run.run()
    assert run.state.latest("validation_accuracy") == 1
    return source("judge", run.folder / "adapter", model)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_reward_model_scores_outside_as_in_its_own_run(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model = request.getfixturevalue(kind)
    spec = method_spec("reward", model, training__evaluations=1, model__precision="float32")
    run = Recording(spec, tmp_path / "run", lessons("reward"))
    run.run()
    found = source("judge", run.folder / "adapter", model)
    settings = Settings(workspace=tmp_path)
    scorer = Scorer(found, read_adapter(found.folder), settings, detect_device())
    tokenizer = load_tokenizer(str(model), settings).tokenizer
    pairs = make_examples(lessons("reward"), spec, tokenizer, 512).validation
    chosen, rejected = (scorer([pair.sides[i].ids for pair in pairs]) for i in (0, 1))
    margins = [a - b for a, b in zip(chosen, rejected, strict=True)]
    assert sum(margins) / len(margins) == pytest.approx(run.state.latest("validation_margin"), rel=0.02)
    assert scorer([pairs[0].sides[0].ids]) == pytest.approx(chosen[:1], rel=1e-3)
    for margin, unit in ((8.0, 8), (0.5, 1), (-2.0, 1)):  # scores are brought to one scale, and never enlarged
        toned = Scorer(replace(found, margin=margin), read_adapter(found.folder), settings, detect_device())
        assert toned([pair.sides[0].ids for pair in pairs]) == pytest.approx([one / unit for one in chosen], rel=1e-3)
    assert scorer([]) == []


@pytest.mark.parametrize("method", ROLLOUTS)
def test_answers_are_learned_that_a_reward_model_likes(method: str, decided: Path, tmp_path: Path) -> None:
    judge = reward_model(decided, tmp_path)
    changes = {"training__epochs": 5, "training__learning_rate": 0.02, "training__accumulation": 1}
    spec = method_spec(method, decided, method__samples_per_row=6, tuner__rank=8, **changes)
    spec = with_changes(spec, {"method.rewards": [{"kind": "model", "run": "judge"}], "method.beta": 0.01})
    whole = assert_resumes(spec, lessons(method), tmp_path, [judge])
    rewards = [value for _, value in whole.state.curves["reward"]]
    assert sum(rewards[-4:]) > sum(rewards[:4])
