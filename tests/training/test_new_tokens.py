"""Documents read on with new tokens: their embeddings are trained, kept, resumed, and gone on with."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from studio.data.records import Passage
from studio.errors import ModelError, SpecError, TrainingError
from studio.models.new_tokens import FILE, read_new_tokens
from studio.runs.events import Notice
from studio.runs.sources import Source
from studio.runs.spec import RunSpec, with_changes
from tests.tiny import save_tiny
from tests.training.jobs import Recording, assert_resumes
from tests.training.test_chains import source
from tests.training.test_methods import lessons, method_spec

WEIGHTS = "adapter_model.safetensors"
DELTA = "token_adapter.trainable_tokens_delta"
PASSAGES = [(i, Passage(f"The myocardium number {i} is a muscle of the heart. ")) for i in range(1, 25)]


def spec_of(model: Path, **changes: object) -> RunSpec:
    return method_spec("cpt", model, method__new_tokens=12, **changes)


def tuned(model: Path, folder: Path, **changes: object) -> Source:
    """A run that has read the passages."""
    run = Recording(spec_of(model, **{"tuner__dropout": 0, **changes}), folder / "read", PASSAGES)
    run.run()
    return source("parent", run.folder / "adapter", model)


@pytest.mark.parametrize(
    ("kind", "options", "changes"),
    [
        ("llama", {"tied": True}, {}),
        ("llama", {"tied": False}, {}),
        ("gpt2", {}, {}),
        ("gemma3_text", {}, {"training__gradient_checkpointing": True}),
        ("qwen2", {}, {}),  # has rows to spare
        ("llama", {}, {"tuner__quantisation": "nf4"}),
        ("llama", {"tied": False}, {"tuner__kind": "full"}),
    ],
)
def test_new_tokens_are_trained_and_resumed_bit_for_bit(
    kind: str, options: dict[str, bool], changes: dict[str, object], tmp_path: Path
) -> None:
    model = save_tiny(tmp_path / "model", kind, **options)  # type: ignore[arg-type]
    whole = assert_resumes(spec_of(model, **changes), PASSAGES, tmp_path)
    ended = whole.state.ended
    assert ended is not None
    folder = whole.folder / str(ended.adapter)
    new = read_new_tokens(folder)
    assert new is not None
    assert len(new) == 12
    assert "myocardium" in " ".join(new.shown) or new.saved_share > 0.3
    (told,) = [notice for notice in whole.of(Notice) if notice.key == "notice.train.new_tokens"]
    assert told.values["count"] == 12
    assert all((whole.folder / c.path / FILE).is_file() for c in whole.state.checkpoints)
    assert ended.validation_loss < whole.state.validation_loss_before  # type: ignore[operator]
    if "tuner__kind" in changes:
        return
    rows = {name: tensor for name, tensor in load_file(folder / WEIGHTS).items() if DELTA in name}
    assert len(rows) == (2 if options.get("tied") is False else 1)
    assert all(tensor.shape[0] == 12 and tensor.dtype == torch.float32 for tensor in rows.values())


def test_nothing_frequent_adds_nothing_and_says_so(llama: Path, tmp_path: Path) -> None:
    rows = [(i, Passage(chr(32 + 2 * i) + chr(33 + 2 * i))) for i in range(1, 25)]
    run = Recording(spec_of(llama, data__split__validation_share=0), tmp_path / "run", rows)
    run.run()
    assert read_new_tokens(run.folder / "adapter") is None
    assert "notice.train.no_new_tokens" in [notice.key for notice in run.of(Notice)]


@pytest.mark.parametrize(
    ("method", "kind", "tied"),
    [
        ("sft", "llama", True),
        ("dpo", "llama", False),
        ("kto", "llama", True),
        ("reward", "llama", False),
        ("reward", "gpt2", True),
        ("grpo", "llama", True),
    ],
)
def test_what_goes_on_from_it_has_its_tokens(method: str, kind: str, tied: bool, tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "model", kind, tied=tied)
    parent = tuned(model, tmp_path, training__learning_rate=0.05)
    spec = method_spec(method, model, model__adapter="parent", tuner__dropout=0)
    if method == "grpo":
        spec = with_changes(spec, {"method.rewards": [{"kind": "regex", "pattern": "[a-m]"}]})
    whole = assert_resumes(spec, lessons(method), tmp_path, [parent])
    ours, theirs = load_file(whole.folder / "adapter" / WEIGHTS), load_file(parent.folder / WEIGHTS)
    assert read_new_tokens(whole.folder / "adapter") == read_new_tokens(parent.folder)
    kept = {name for name in theirs if DELTA in name and (method != "reward" or "lm_head" not in name)}
    assert {name for name in ours if DELTA in name} == kept
    if method in ("dpo", "kto", "grpo"):  # what it is compared with is the parent, new embeddings included
        name = "kl" if method == "grpo" else "reward_chosen"
        assert whole.state.curves[f"validation_{name}"][0][1] == pytest.approx(0, abs=1e-5)


def test_a_run_begins_with_the_embeddings_of_its_parent(llama: Path, tmp_path: Path) -> None:
    parent = tuned(llama, tmp_path, training__learning_rate=0.05)
    changes = {"model__adapter": "parent", "training__learning_rate": 1e-12, "training__evaluations": 1}
    run = Recording(method_spec("sft", llama, **changes), tmp_path / "run", lessons("sft"), [parent])
    run.run()
    ours, theirs = load_file(run.folder / "adapter" / WEIGHTS), load_file(parent.folder / WEIGHTS)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-6)


def test_answers_are_judged_in_the_same_tokens_or_not_at_all(llama: Path, tmp_path: Path) -> None:
    parent = tuned(llama, tmp_path)
    judges = {}
    for name, before in (("same", [parent]), ("other", [])):
        given = {"model__adapter": "parent"} if before else {}
        run = Recording(method_spec("reward", llama, **given), tmp_path / name, lessons("reward"), before)
        run.run()
        judges[name] = source(name, run.folder / "adapter", llama)
    for name, judge in judges.items():
        spec = method_spec("grpo", llama, model__adapter="parent")
        spec = with_changes(spec, {"method.rewards": [{"kind": "model", "run": name}]})
        run = Recording(spec, tmp_path / f"try-{name}", lessons("grpo"), [parent, judge])
        if name == "same":
            run.run()
            assert run.state.curves["reward"]
        else:
            with pytest.raises(TrainingError, match="other tokens"):
                run.run()


def test_what_cannot_have_new_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="new_tokens"):
        spec_of(tmp_path, model__adapter="parent")
    phi = save_tiny(tmp_path / "phi", "phi", tied=False)  # its output layer has a bias
    run = Recording(spec_of(phi), tmp_path / "run", PASSAGES)
    with pytest.raises(ModelError, match="bias"):
        run.run()
