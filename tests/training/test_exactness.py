"""What must be exact, for every method and every tuner: a resumed run is the run that nobody killed, and neither
padding nor the division of a step changes what is learned."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load

from studio.errors import SpecError, TrainingError
from studio.models.device import detect_device
from studio.models.loading import load_model
from studio.runs.events import Checkpoint, Ended, Event, Metrics
from studio.runs.methods import METHODS as METHOD_SPECS
from studio.runs.spec import RunSpec, with_changes
from studio.settings import Settings
from studio.training.checkpoints import is_whole, weights_of
from studio.training.job import make_examples
from studio.training.lora import Clock
from studio.training.methods import method_file
from studio.training.trainer import Setup
from studio.training.tuned import tuned_model
from tests.training.jobs import Recording, assert_equal, assert_resumes
from tests.training.test_faults import spoil_weights
from tests.training.test_methods import ADAPTERS, METHODS, PAIRS, ROLLOUTS, lessons, method_spec

TUNERS: dict[str, dict[str, object]] = {
    **{name: changes for name, changes in ADAPTERS.items() if name != "qdora"},
    "full": {"tuner__kind": "full", "training__learning_rate": 0.003},
}
REFUSED = [(method, "full") for method in ("reward", *ROLLOUTS)]
"""An adapter is what a reward model is kept as, and what is switched off to see how the model answered before."""
MATRIX = [
    *((method, tuner, "llama") for method in METHODS for tuner in TUNERS if (method, tuner) not in REFUSED),
    *((method, "lora", "gpt2") for method in METHODS),
    ("sft", "qdora", "llama"),
]
ONE_OF_EACH_TRAINER = ("sft", "dpo", "kto", "reward", "rloo", "grpo")
OF_EVERY_METHOD = {
    "loss", "learning_rate", "grad_norm", "epoch", "tokens_per_second", "memory_bytes", "seconds",
}  # fmt: skip
METRICS = {
    "sft": {"token_accuracy"},
    "cpt": {"token_accuracy"},
    **{method: {"accuracy", "margin", "reward_chosen", "reward_rejected"} for method in PAIRS},
    "kto": {"kl", "margin", "reward_chosen", "reward_rejected"},
    **{method: {"reward", "reward_std", "kl", "entropy", "completion_tokens", "clipped_share"} for method in ROLLOUTS},
}
"""What each method records of its own, of training and of validation; all of it has a chart."""
VARIED = [{"kind": "regex", "pattern": "[a-m]"}, {"kind": "length", "low": 3, "high": 5}]
"""Rewards that answers of random letters get more or less of."""


def exact_spec(method: str, model: Path, **changes: object) -> RunSpec:
    """Without dropout, whose masks are drawn for each batch."""
    full = changes.get("tuner__kind") == "full"
    spec = method_spec(method, model, **({} if full else {"tuner__dropout": 0.0}), **changes)
    return with_changes(spec, {"method.rewards": VARIED}) if method in ROLLOUTS else spec


def test_every_method_is_here() -> None:
    assert set(METHODS) == set(METHOD_SPECS)


# Resume


@pytest.mark.parametrize(("method", "tuner", "kind"), MATRIX)
def test_resumed_is_uninterrupted(
    method: str, tuner: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Four steps, killed amid the first pass after a checkpoint; bit for bit: weights, optimiser, schedule, every
    number, samples, and which checkpoint was best."""
    model = request.getfixturevalue(kind)
    changes = {"training__epochs": 4 / 3, "training__evaluations": 2, **{**TUNERS, **ADAPTERS}[tuner]}
    spec = method_spec(method, model, **changes)
    whole = assert_resumes(spec, lessons(method), tmp_path)
    if (tuner, kind) == ("lora", "llama"):  # and the same plan twice is the same run
        again = Recording(spec, tmp_path / "again", lessons(method))
        again.run()
        assert_equal(again, whole)
    state, judged = whole.state, f"validation_{spec.method.judged_by}"
    assert len(whole.losses()) == state.total_steps > 2
    assert {"loss", "learning_rate", "grad_norm", "epoch", judged} <= state.curves.keys()
    assert bool(state.samples) == spec.method.writes
    ended = whole.of(Ended)[-1]
    best = min(state.checkpoints, key=lambda made: (made.cost, made.step))
    assert ended.best_step == best.step
    assert whole.result() == weights_of(whole.folder / best.path).read_bytes()
    assert state.started is not None
    assert (state.started.trainable_parameters == state.started.parameters) == (tuner == "full")
    own = {name for name in state.curves if not name.startswith("validation_")}
    validated = {name.removeprefix("validation_") for name in state.curves.keys() - own}
    assert own - OF_EVERY_METHOD == METRICS[method]
    if method in ROLLOUTS:
        assert validated == METRICS[method]
        measured = [value for _, value in state.curves["validation_reward"][1:]]
        assert [made.validation_reward for made in state.checkpoints] == measured
    else:
        assert validated == {"loss", *METRICS[method]}


@pytest.mark.parametrize(("method", "tuner"), REFUSED)
def test_what_cannot_be_trained_is_refused(method: str, tuner: str) -> None:
    with pytest.raises(SpecError, match="adapter"):
        with_changes(RunSpec(), {"method.kind": method, "tuner.kind": tuner})


# The division of a step


def step_numbers(method: str, model: Path, folder: Path, batch: int, accumulation: int) -> Recording:
    """Eight rows a step, the last of a pass with fewer."""
    spec = exact_spec(method, model, training__batch_size=batch, training__accumulation=accumulation,
                      training__evaluations=1, data__split__validation_share=0.2, training__epochs=1)  # fmt: skip
    run = Recording(spec, folder / f"{batch}x{accumulation}", lessons(method, 18))
    run.run()
    return run


@pytest.mark.parametrize("method", [method for method in METHODS if method != "kto"])
def test_one_times_eight_is_eight_times_one(method: str, llama: Path, tmp_path: Path) -> None:
    """Fifteen rows of unequal length: a step of eight and one of seven, which no four batches of two divide evenly. The
    loss is a mean over the whole step (tokens, pairs or answers), not a mean of means; alone, a row has no padding.

    Tolerances: sums in another order differ in the last digits of float32, about 1e-6; AdamW divides by the size of the
    gradient and so makes much of those where it is nearly zero.
    """
    first, *others = (step_numbers(method, llama, tmp_path, *shape) for shape in ((8, 1), (1, 8), (2, 4)))
    ours = load(first.result())
    names = {"loss", "grad_norm", "learning_rate"}
    if method not in ROLLOUTS:  # answers to validation rows are drawn batch by batch
        names.add("validation_loss")
    for other in others:
        for name in names:
            assert other.state.curves[name] == [
                (step, pytest.approx(value, rel=2e-4, abs=2e-6)) for step, value in first.state.curves[name]
            ], name
        theirs = load(other.result())
        for name, tensor in ours.items():
            torch.testing.assert_close(theirs[name], tensor, rtol=0.02, atol=5e-4)


def test_thumbs_are_divided_alike_until_the_model_has_moved(llama: Path, tmp_path: Path) -> None:
    """KTO compares each answer with the divergence of its own batch (equation 7 of Ethayarajh et al. 2024), so that
    batches of two are not one of eight. As long as there is no divergence, in the first step, they are."""
    together, apart = (step_numbers("kto", llama, tmp_path, *shape) for shape in ((8, 1), (2, 4)))
    for name in ("loss", "grad_norm"):
        assert apart.state.curves[name][0] == pytest.approx(together.state.curves[name][0], rel=2e-4)


# Padding


def ready_trainer(method: str, model: Path, folder: Path) -> Any:
    """A trainer as a run makes it, with a strong adapter."""
    spec = exact_spec(method, model, training__batch_size=8)
    loaded = load_model(str(model), Settings(workspace=folder), detect_device(), scores=method == "reward")
    examples = method_file(method).arranged(
        make_examples(lessons(method, 18), spec, loaded.tokenizer, 512), spec, loaded
    )
    clock = Clock()
    adapted = tuned_model(loaded.model, spec, clock)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))
    return method_file(method).make_trainer(
        Setup(spec, folder, detect_device(), "float32", adapted, loaded.tokenizer, examples, False, clock, ())
    )


def padded(method: str, inputs: dict[str, Any], trainer: Any) -> dict[str, Any]:
    """The same rows with nine tokens more of padding on the side where the trainer pads."""
    pad = trainer.processing_class.pad_token_id
    made = dict(inputs)
    for name, values in inputs.items():
        if not isinstance(values, torch.Tensor) or values.dim() != 2:
            continue
        left = method in ROLLOUTS and name.startswith("prompt_")
        fill = -100 if name == "labels" else pad if name.endswith("ids") else 0
        made[name] = torch.nn.functional.pad(values, (9, 0) if left else (0, 9), value=fill)
    return made


@pytest.mark.parametrize("method", METHODS)
def test_padding_never_changes_a_loss(method: str, llama: Path, tmp_path: Path) -> None:
    """A batch of rows of unequal length, and the same with more padding, by the trainer's own collator and loss."""
    trainer = ready_trainer(method, llama, tmp_path)
    (first,), _ = trainer.get_batch_samples(iter(trainer.get_train_dataloader()), 1, trainer.args.device)
    batch = trainer._prepare_inputs(first)
    if method != "cpt":  # whose blocks are all as long
        names = ("prompt_mask", "completion_mask", "attention_mask")
        mask = batch[next(name for name in names if name in batch)]
        assert len({int(row.sum()) for row in mask}) > 1
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1

    def loss(inputs: dict[str, Any]) -> tuple[float, float]:
        trainer.model.zero_grad()
        found = trainer.compute_loss(trainer.model, inputs)
        found.backward()
        squares = [p.grad.square().sum() for p in trainer.model.parameters() if p.grad is not None]
        return float(found.detach()), float(torch.stack(squares).sum().sqrt())

    plain, more = loss(dict(batch)), loss(padded(method, batch, trainer))
    assert plain[1] > 0
    assert more == pytest.approx(plain, rel=1e-4, abs=1e-7)


# What guards a run, judged by loss or by reward


@pytest.mark.parametrize("method", ONE_OF_EACH_TRAINER)
def test_a_run_that_gets_no_better_ends_early(method: str, llama: Path, tmp_path: Path) -> None:
    """At a rate too small to move anything, after `patience` evaluations."""
    spec = exact_spec(method, llama, training__patience=1, training__evaluations=6, training__learning_rate=1e-30,
                      training__schedule="constant")  # fmt: skip
    run = Recording(spec, tmp_path / "run", lessons(method))
    ended = run.run()
    assert ended is not None
    assert (ended.status, ended.step, ended.best_step) == ("done", 2, 1)
    assert run.state.total_steps > 2
    assert [n.key for n in run.state.notices].count("notice.train.early_stop") == 1


@pytest.mark.parametrize("method", ONE_OF_EACH_TRAINER)
def test_a_gradient_is_clipped(method: str, llama: Path, tmp_path: Path) -> None:
    """AdamW's first step is as long as the rate, whatever the gradient, unless that is below its epsilon of 1e-8."""
    spec = exact_spec(method, llama, training__epochs=0.1, training__max_grad_norm=1e-10, training__evaluations=1,
                      training__warmup_share=0, data__split__validation_share=0)  # fmt: skip
    run = Recording(spec, tmp_path / "run", lessons(method))
    run.run()
    assert run.state.step == 1
    assert run.state.curves["grad_norm"][0][1] > 1e-6
    moved = max(float(tensor.abs().max()) for name, tensor in load(run.weights()).items() if "lora_B" in name)
    assert 0 < moved < spec.training.learning_rate / 50


@pytest.mark.parametrize("method", ONE_OF_EACH_TRAINER)
def test_numbers_that_are_none_end_a_run(method: str, llama: Path, tmp_path: Path) -> None:
    """The last good checkpoint stays, and is gone on from."""
    run = Recording(exact_spec(method, llama, training__evaluations=3), tmp_path / "run", lessons(method))

    def spoil(event: Event) -> None:
        if isinstance(event, Checkpoint) and event.step == 2:
            spoil_weights()

    run.watcher = spoil
    with pytest.raises(TrainingError) as error:
        run.run()
    assert error.value.key.startswith("error.train.not_finite.")
    assert [made.step for made in run.of(Checkpoint)] == [2]
    assert is_whole(run.folder / run.of(Checkpoint)[-1].path)
    assert not [event for event in run.of(Metrics) if event.step > 2]
