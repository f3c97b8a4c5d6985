"""What must hold of every run, whatever its settings."""

from pathlib import Path
from typing import Literal

import pytest
import torch

from studio.models.device import detect_device
from studio.models.loading import load_model
from studio.runs.events import Metrics
from studio.runs.spec import LoraSpec
from studio.settings import Settings
from studio.training.job import make_examples
from studio.training.lora import Clock, SeededDropout, add_adapter, lora_config
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.jobs import Recording, conversations, tiny_spec


def tensors(run: Recording) -> dict[str, torch.Tensor]:
    from safetensors.torch import load

    return load(run.weights())


def test_losses_are_means_over_trained_tokens(llama: Path, tmp_path: Path) -> None:
    """The reported numbers against a plain forward pass, row by row and without any padding."""
    rows = conversations(14, answer=lambda i: "x" * (1 + 7 * (i % 4)))
    spec = tiny_spec(llama, training__epochs=1, training__batch_size=16, training__accumulation=1, tuner__dropout=0.0,
                     training__schedule="constant", training__warmup_share=0.0)  # fmt: skip
    run = Recording(spec, tmp_path / "run", rows)
    run.run()
    loaded = load_model(str(llama), Settings(workspace=tmp_path), detect_device())
    examples = make_examples(rows, spec, loaded.tokenizer, 512)

    def mean_loss(part: object) -> float:
        total, tokens = 0.0, 0
        for lesson in part:  # type: ignore[attr-defined]
            example = lesson.sides[0]
            labels = torch.tensor(example.labels)
            with torch.no_grad():
                scores = loaded.model(input_ids=torch.tensor([example.ids])).logits[0]
            losses = torch.nn.functional.cross_entropy(scores[:-1], labels[1:], ignore_index=-100, reduction="sum")
            total += float(losses)
            tokens += example.trained_tokens
        return total / tokens

    assert run.state.validation_loss_before == pytest.approx(mean_loss(examples.validation), rel=1e-5)
    assert run.losses()[0][1] == pytest.approx(mean_loss(examples.train), rel=1e-5)


def test_only_answers_and_their_end_are_trained() -> None:
    tokenizer = tiny_tokenizer()
    rows = conversations(10)
    spec = tiny_spec(Path())
    for lesson in make_examples(rows, spec, tokenizer, 512).train:
        example = lesson.sides[0]
        assert set(example.labels[: example.prompt_tokens]) == {-100}
        assert example.labels[example.prompt_tokens :] == example.ids[example.prompt_tokens :]
        assert example.labels[-1] == tokenizer.eos_token_id
    for lesson in make_examples(rows, tiny_spec(Path(), method__loss_on="all"), tokenizer, 512).train:
        assert lesson.sides[0].labels == lesson.sides[0].ids


@pytest.mark.parametrize("targets", ["all-linear", "attention"])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_layers_that_are_adapted(kind: str, targets: Literal["all-linear", "attention"]) -> None:
    model = tiny_model(kind)
    found = set(lora_config(LoraSpec(targets=targets), model).target_modules or ())  # type: ignore[arg-type]
    llama = {"all-linear": {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
             "attention": {"q_proj", "k_proj", "v_proj", "o_proj"}}  # fmt: skip
    gpt2 = {"all-linear": {"c_attn", "c_proj", "c_fc"}, "attention": {"attn.c_attn", "attn.c_proj"}}
    assert found == {"llama": llama, "gpt2": gpt2}[kind][targets]
    adapted = add_adapter(model, LoraSpec(targets=targets), 0, Clock())
    touched = {n for n, p in adapted.named_parameters() if p.requires_grad}
    assert touched
    assert not any("lm_head" in n for n in touched)
    assert all(("attn" in n) for n in touched) or targets == "all-linear"


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_fresh_adapter_changes_nothing(kind: str) -> None:
    ids = torch.arange(5, 25)[None]
    base = tiny_model(kind).eval()(input_ids=ids).logits
    adapted = add_adapter(tiny_model(kind), LoraSpec(dropout=0.5), 3, Clock())
    torch.testing.assert_close(adapted.eval()(input_ids=ids).logits, base, rtol=0, atol=0)
    torch.testing.assert_close(
        adapted.train()(input_ids=ids).logits, base, rtol=0, atol=0
    )  # B is zero, base dropout off


def test_first_weights_follow_the_seed_and_nothing_else() -> None:
    def drawn(seed: int) -> torch.Tensor:
        torch.rand(3)  # wherever the global generator stands
        model = add_adapter(tiny_model(), LoraSpec(), seed, Clock())
        return next(p for n, p in model.named_parameters() if "lora_A" in n).detach()

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_dropout_masks_are_functions_of_their_place_in_the_run() -> None:
    clock = Clock(step=4, part=1)
    x = torch.ones(200, 300)
    layer = SeededDropout(0.25, seed=5, place=2, clock=clock)
    first = layer(x)
    torch.rand(10)
    assert torch.equal(layer(x), first)
    assert float((first == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(first.mean()) == pytest.approx(1.0, abs=0.01)
    for change in ({"step": 5}, {"part": 0}):
        moved = SeededDropout(0.25, seed=5, place=2, clock=Clock(**{"step": 4, "part": 1, **change}))
        assert not torch.equal(moved(x), first)
    assert not torch.equal(SeededDropout(0.25, seed=6, place=2, clock=clock)(x), first)
    assert not torch.equal(SeededDropout(0.25, seed=5, place=3, clock=clock)(x), first)
    assert torch.equal(layer.eval()(x), x)


def test_saving_memory_changes_no_number(llama: Path, tmp_path: Path) -> None:
    """Gradient checkpointing computes activations again: with the same dropout masks, or gradients would be wrong."""
    plain = Recording(tiny_spec(llama, tuner__dropout=0.3), tmp_path / "plain")
    plain.run()
    saving = Recording(tiny_spec(llama, tuner__dropout=0.3, training__gradient_checkpointing=True), tmp_path / "saving")
    saving.run()
    assert [v for _, v in saving.losses()] == pytest.approx([v for _, v in plain.losses()], rel=1e-5)
    for name, tensor in tensors(plain).items():
        torch.testing.assert_close(tensors(saving)[name], tensor, rtol=1e-3, atol=1e-6)


def test_training_learns(llama: Path, tmp_path: Path) -> None:
    run = Recording(tiny_spec(llama, training__epochs=6), tmp_path / "run", conversations(20, answer=lambda i: "yes"))
    ended = run.run()
    assert ended is not None
    assert ended.validation_loss is not None
    assert run.state.validation_loss_before is not None
    assert ended.validation_loss < run.state.validation_loss_before - 0.3
    expected = {
        "loss",
        "learning_rate",
        "grad_norm",
        "tokens_per_second",
        "memory_bytes",
        "seconds",
        "epoch",
        "token_accuracy",
    }
    assert set(run.of(Metrics)[1].values) == expected
    assert run.state.seconds_left() is None


def test_a_fixed_prompt_is_sampled_at_every_evaluation(llama: Path, tmp_path: Path) -> None:
    run = Recording(tiny_spec(llama), tmp_path / "run")
    run.run()
    evaluated = [s for s, _ in run.state.curves["validation_loss"]]
    assert evaluated[0] == 0
    by_step = {step: [s.prompt for s in run.state.samples if s.step == step] for step in evaluated}
    assert len({tuple(prompts) for prompts in by_step.values()}) == 1
    assert len(by_step[0]) == len(set(by_step[0]))
