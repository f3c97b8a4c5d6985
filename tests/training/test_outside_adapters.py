"""Runs that go on from an adapter which PEFT made without the studio."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForCausalLM

from studio.errors import ModelError, TrainingError
from studio.models.adapter_folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, read_adapter_shape
from studio.models.loading import load_tokenizer
from studio.runs.events import Checkpoint
from studio.runs.sources import Source
from studio.runs.spec import ADAPTER_FOLDER, RunSpec, with_changes
from studio.settings import Settings
from studio.training.estimate import estimate
from studio.training.job import make_examples
from tests.models.adapters import save_plain
from tests.training.jobs import Killed, Recording, assert_resumes
from tests.training.test_methods import lessons, method_spec

LLAMA: dict[str, dict[str, Any]] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "both": {"use_dora": True, "use_rslora": True},
    "ranks": {"rank_pattern": {"q_proj": 5, r"layers\.1\.self_attn\.v_proj": 2}, "alpha_pattern": {"down_proj": 20}},
    "expression": {"target_modules": r".*layers\.1\.(mlp\.(up|down)|self_attn\.o)_proj"},
    "block": {"layers_to_transform": [1]},
    "gaussian": {"init_lora_weights": "gaussian", "lora_dropout": 0.5},
}
GPT2: dict[str, dict[str, Any]] = {"lora": {}, "dora": {"use_dora": True, "rank_pattern": {"c_attn": 4}}}
CASES = [*(("llama", name) for name in LLAMA), *(("gpt2", name) for name in GPT2)]


def given(folder: Path, kind: str, name: str) -> Source:
    made = save_plain(folder, kind, strength=1.0, **(LLAMA if kind == "llama" else GPT2)[name])
    return outside(made)


def outside(folder: Path) -> Source:
    spec = with_changes(RunSpec(), {"model.adapter_folder": str(folder)})
    return Source(ADAPTER_FOLDER, folder.name, folder, None, None, spec.model, read_adapter_shape(folder))


def going_on(method: str, model: Path, source: Source, **changes: object) -> RunSpec:
    assert source.given is not None
    shape = {f"tuner__{name}": value for name, value in source.given.settings.items()}
    spec = {"model__adapter_folder": str(source.folder), "model__precision": "float32", "tuner__dropout": 0}
    return method_spec(method, model, **{**spec, **shape, **changes})


def loss_outside(model: Path, adapter: Path | None, spec: RunSpec, folder: Path) -> float:
    """Mean over all trained tokens of the validation rows, with nothing but transformers and PEFT."""
    loaded: Any = AutoModelForCausalLM.from_pretrained(model)
    if adapter is not None:
        loaded = PeftModel.from_pretrained(loaded, str(adapter))
    tokenizer = load_tokenizer(str(model), Settings(workspace=folder)).tokenizer
    loss = tokens = 0.0
    for lesson in make_examples(lessons("sft"), spec, tokenizer, 512).validation:
        (side,) = lesson.sides
        with torch.no_grad():
            logits = loaded(torch.tensor([side.ids])).logits[0, :-1]
        answer = slice(side.prompt_tokens - 1, None)
        targets = torch.tensor(side.ids[1:])[answer]
        loss += float(functional.cross_entropy(logits[answer], targets, reduction="sum"))
        tokens += len(targets)
    return loss / tokens


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_it_begins_with_what_the_adapter_knows_and_ends_as_an_adapter(
    kind: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model = request.getfixturevalue(kind)
    source = given(tmp_path / "made", kind, name)
    spec = going_on("sft", model, source, training__evaluations=1)
    run = Recording(spec, tmp_path / "run", lessons("sft"), [source])
    run.run()
    before = run.state.validation_loss_before
    assert before == pytest.approx(loss_outside(model, source.folder, spec, tmp_path), rel=1e-5)
    assert before != pytest.approx(loss_outside(model, None, spec, tmp_path), rel=5e-4)
    result = run.folder / "adapter"
    assert run.state.latest("validation_loss") == pytest.approx(loss_outside(model, result, spec, tmp_path), rel=1e-5)
    theirs, ours = load_file(source.folder / ADAPTER_WEIGHTS), load_file(result / ADAPTER_WEIGHTS)
    assert {key: tensor.shape for key, tensor in ours.items()} == {key: t.shape for key, t in theirs.items()}
    assert any(not torch.equal(ours[key], theirs[key]) for key in ours)
    assert set(read_adapter_shape(result).targets) == set(read_adapter_shape(source.folder).targets)
    trained = sum(tensor.numel() for tensor in theirs.values())
    assert run.state.started is not None
    assert run.state.started.trainable_parameters == trained
    rows = lessons("sft")
    assert estimate(spec, Settings(workspace=tmp_path), rows, 0, sources=run.sources).trainable_parameters == trained


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("method", ["sft", "dpo", "reward"])
def test_it_resumes_bit_for_bit(method: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    source = given(tmp_path / "made", kind, "dora" if kind == "gpt2" else "ranks")
    spec = going_on(method, request.getfixturevalue(kind), source, tuner__dropout=0.1)
    whole = assert_resumes(spec, lessons(method), tmp_path, [source])
    assert whole.state.started is not None
    assert whole.state.started.sources.keys() == {ADAPTER_FOLDER}
    if method == "dpo":  # compared with the adapter as it was, not with the base
        curve = whole.state.curves["validation_reward_chosen"]
        assert curve[0][1] == pytest.approx(0, abs=1e-5)
        assert curve[-1][1] != pytest.approx(0, abs=1e-5)


def test_an_adapter_that_changed_is_told(llama: Path, tmp_path: Path) -> None:
    """Its weights, or the little file that says what they mean."""
    source = given(tmp_path / "made", "llama", "lora")
    run = Recording(going_on("sft", llama, source), tmp_path / "run", lessons("sft"), [source])
    run.dies_at = 14
    with pytest.raises(Killed):
        run.run()
    assert run.of(Checkpoint)
    run.dies_at = None
    config = source.folder / ADAPTER_CONFIG
    kept = config.read_text()
    config.write_text(json.dumps({**json.loads(kept), "alpha_pattern": {"q_proj": 50}}))
    with pytest.raises(TrainingError, match="has changed since"):
        run.run()
    config.write_text(kept)
    weights = (source.folder / ADAPTER_WEIGHTS).read_bytes()
    save_plain(source.folder, seed=9)
    with pytest.raises(TrainingError, match="has changed since"):
        run.run()
    (source.folder / ADAPTER_WEIGHTS).write_bytes(weights)
    config.write_text(kept)
    ended = run.run()
    assert ended is not None
    assert ended.status == "done"


def test_weights_of_another_model_are_refused_when_loaded(gpt2: Path, tmp_path: Path) -> None:
    source = given(tmp_path / "made", "llama", "lora")
    run = Recording(going_on("sft", gpt2, source), tmp_path / "run", lessons("sft"), [source])
    with pytest.raises(ModelError, match="does not fit"):
        run.run()
