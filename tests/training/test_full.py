"""All weights trained: every method learns, and what comes out is a model of its own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from studio.errors import SpecError
from studio.models.device import detect_device
from studio.models.loading import load_model
from studio.runs.spec import FullSpec, RunSpec, load_spec, spec_fields, with_changes
from studio.settings import Settings
from studio.training.estimate import estimate
from studio.training.lora import Clock
from studio.training.tuned import counted_weights, new_bytes, reference_of, tuned_model
from tests.tiny import save_tiny
from tests.training.jobs import Recording, tiny_spec
from tests.training.test_methods import lessons

METHODS = ("sft", "cpt", "dpo", "simpo", "orpo", "kto")


def full_spec(model: Path, method: str = "sft", **changes: object) -> RunSpec:
    kinds = {"method__kind": method, "tuner__kind": "full", "training__learning_rate": 0.003}
    return tiny_spec(model, **{**kinds, **changes})


@pytest.mark.parametrize("method", METHODS)
def test_what_is_learned_becomes_likelier(method: str, llama: Path, tmp_path: Path) -> None:
    spec = full_spec(llama, method, training__epochs=12, training__evaluations=1)
    run = Recording(spec, tmp_path / "run", lessons(method))
    run.run()
    losses = [loss for _, loss in run.losses()]
    assert max(losses[-3:]) < min(losses[:3])


@pytest.mark.parametrize(("kind", "tied"), [("llama", True), ("llama", False), ("gpt2", True), ("gpt_neox", False)])
def test_the_result_is_a_model_of_its_own(kind: str, tied: bool, tmp_path: Path) -> None:
    """Plain transformers loads it, and it differs from the base in every part."""
    folder = save_tiny(tmp_path / "model", kind, tied=tied)
    run = Recording(full_spec(folder), tmp_path / "run")
    ended = run.run()
    assert ended is not None
    assert ended.adapter == "model"
    assert {f.name for f in (run.folder / "model").iterdir()} == {"model.safetensors", "config.json"}
    base = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    loaded: Any = AutoModelForCausalLM.from_pretrained(run.folder / "model", output_loading_info=True)
    tuned, report = loaded
    assert not report["missing_keys"]
    changed = [name for name, values in tuned.state_dict().items() if not torch.equal(values, base[name])]
    assert set(changed) == {name for name, values in tuned.named_parameters() if values.requires_grad} | (
        {"lm_head.weight"} if tied else set()
    )


def test_the_model_compared_with_stays_as_it_was(llama: Path, tmp_path: Path) -> None:
    loaded = load_model(str(llama), Settings(workspace=tmp_path), detect_device())
    model = tuned_model(loaded.model, full_spec(llama), Clock())
    reference = reference_of(model)
    assert reference is not None
    assert not any(p.requires_grad for p in reference.parameters())
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert not torch.equal(next(model.parameters()), next(reference.parameters()))


def test_memory_counts_gradients_moments_and_the_copy(llama: Path, tmp_path: Path) -> None:
    loaded = load_model(str(llama), Settings(workspace=tmp_path), detect_device())
    model = tuned_model(loaded.model, full_spec(llama), Clock())
    trained, every = counted_weights(model)
    assert trained == every == sum(p.numel() for p in model.parameters())
    assert new_bytes(model, full_spec(llama)) == 12 * every
    assert new_bytes(model, full_spec(llama, "dpo")) == 16 * every
    told = estimate(full_spec(llama), Settings(workspace=tmp_path), lessons("sft"), 0)
    assert told.trainable_share == 1
    run = Recording(full_spec(llama), tmp_path / "run")
    run.run()
    file = run.folder / "model" / "model.safetensors"
    assert told.adapter_bytes == pytest.approx(file.stat().st_size, rel=0.2)


def test_the_settings_of_a_tuner() -> None:
    spec = with_changes(RunSpec(), {"tuner.kind": "full"})
    assert spec.tuner == FullSpec()
    assert with_changes(spec, {"tuner.kind": "lora"}).tuner == RunSpec().tuner
    assert [f.path for f in spec_fields(tuner="full") if f.path.startswith("tuner.")] == ["tuner.kind"]
    for method in ("reward", "grpo"):
        with pytest.raises(SpecError, match="adapter"):
            with_changes(spec, {"method.kind": method})
    with pytest.raises(SpecError, match="adapter"):
        with_changes(spec, {"model.adapter": "abc"})
    with pytest.raises(SpecError, match=r"tuner\.rank"):
        with_changes(spec, {"tuner.rank": 8})
    with pytest.raises(SpecError, match=r"- .*tuner\.rank"):
        load_spec("tuner: {kind: full, rank: 8}", "a file")
    assert load_spec(spec.to_yaml(), "a file") == spec
    assert load_spec("tuner: {rank: 8}", "a file") == with_changes(RunSpec(), {"tuner.rank": 8})
    for wrong in ("tuner: {kind: some}", "tuner: all", "tuner: [1]"):
        with pytest.raises(SpecError, match="tuner"):
            load_spec(wrong, "a file")
