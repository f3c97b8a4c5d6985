"""Every method and every kind of adapter: it trains, and it learns what it says (test_exactness.py: bit for bit)."""

from pathlib import Path
from typing import Any

import pytest
import torch

from studio.data.records import Conversation, Message, Passage, Preference, PromptOnly, Rated
from studio.errors import DataError, SpecError
from studio.models.device import detect_device
from studio.models.loading import load_model
from studio.runs.events import Checkpoint, Event
from studio.runs.spec import RunSpec, with_changes
from studio.settings import Settings
from studio.training.callback import measured_costs, without_progress
from studio.training.checkpoints import best_checkpoint
from studio.training.job import make_examples
from studio.training.kto import MismatchingCollator
from studio.training.lora import Clock, add_adapter
from studio.training.orpo import odds_ratio_loss
from studio.training.simpo import simpo_loss
from tests.training.jobs import Recording, assert_resumes, conversations, tiny_lora, tiny_spec

LOSSES = ("sft", "cpt", "dpo", "simpo", "orpo", "kto", "reward")
ROLLOUTS = ("rloo", "grpo")
METHODS = (*LOSSES, *ROLLOUTS)
PAIRS = ("dpo", "simpo", "orpo", "reward")
ADAPTERS = {
    "lora": {},
    "rslora": {"tuner__variant": "rslora"},
    "dora": {"tuner__variant": "dora"},
    "qlora": {"tuner__quantisation": "nf4"},
    "qdora": {"tuner__variant": "dora", "tuner__quantisation": "nf4"},
}


def said(text: str) -> tuple[Message, ...]:
    return (Message("assistant", text),)


def asked(number: int) -> tuple[Message, ...]:
    return (Message("user", f"what about {number}?"),)


def lessons(method: str, count: int = 12) -> list[Any]:
    """Rows by id of what the method learns from; answers of unequal lengths."""
    numbers = range(1, count + 1)
    match method:
        case "sft":
            return conversations(count)
        case "cpt":
            return [(i, Passage(f"The number {i} is followed by {i + 1}. " * (1 + i % 3))) for i in numbers]
        case "rloo" | "grpo":
            return [(i, PromptOnly(asked(i), answer=f"{i} it is")) for i in numbers]
        case "kto":
            return [(i, Rated(asked(i), said("yes " * (1 + i % 4)), i % 2 == 0)) for i in numbers]
    return [(i, Preference(asked(i), said(f"{i} it is"), said("no " * (1 + i % 4)))) for i in numbers]


def method_spec(method: str, model: Path, **changes: object) -> RunSpec:
    drawn = {"tuner.dropout": 0, "method.samples_per_row": 2, "method.max_new_tokens": 6}
    spec = with_changes(tiny_spec(model), {"method.kind": method, **(drawn if method in ROLLOUTS else {})})
    return with_changes(spec, {path.replace("__", "."): value for path, value in changes.items()})


@pytest.mark.parametrize("method", LOSSES)
def test_what_is_learned_becomes_likelier(method: str, llama: Path, tmp_path: Path) -> None:
    """More passes over few rows: the loss falls, and preferences are told apart."""
    changes = {"training__epochs": 12, "training__evaluations": 1, "training__learning_rate": 0.02}
    spec = method_spec(method, llama, tuner__dropout=0.0, tuner__rank=8, **changes)
    run = Recording(spec, tmp_path / "run", lessons(method))
    run.run()
    losses = [loss for _, loss in run.losses()]
    assert max(losses[-3:]) < min(losses[:3])
    if method in PAIRS:
        assert run.state.latest("accuracy") == 1.0
        assert run.state.latest("margin") > 0  # type: ignore[operator]


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_fresh_adapter_changes_nothing(name: str, llama: Path, tmp_path: Path) -> None:
    tuner = tiny_lora(**ADAPTERS[name])
    settings, device = Settings(workspace=tmp_path), detect_device()
    ids = torch.arange(5, 25)[None]
    base = load_model(str(llama), settings, device, "float32", tuner.quantisation).model(input_ids=ids).logits
    model = load_model(str(llama), settings, device, "float32", tuner.quantisation).model
    adapted = add_adapter(model, tuner, 3, Clock())
    torch.testing.assert_close(adapted.eval()(input_ids=ids).logits, base, rtol=1e-4, atol=1e-4)


def test_four_bits_are_a_quarter_of_the_linear_layers(llama: Path, tmp_path: Path) -> None:
    settings, device = Settings(workspace=tmp_path), detect_device()

    def held(quantisation: Any) -> int:
        model = load_model(str(llama), settings, device, "bfloat16", quantisation).model
        layers = [p for n, p in model.named_parameters() if "_proj" in n]
        return sum(p.numel() * p.element_size() for p in layers)

    assert held("nf4") * 4 == held("none")


# What each method makes of its rows


def first_lessons(method: str, llama: Path, tmp_path: Path, rows: list[Any], **changes: object) -> Any:
    loaded = load_model(str(llama), Settings(workspace=tmp_path), detect_device())
    spec = method_spec(method, llama, **changes)
    return make_examples(rows, spec, loaded.tokenizer, 512), spec, loaded


def test_both_sides_of_a_pair_begin_with_the_question(llama: Path, tmp_path: Path) -> None:
    from studio.training.dpo import pairs

    made, _, loaded = first_lessons("dpo", llama, tmp_path, lessons("dpo"))
    row = pairs(made.train)[0]
    assert loaded.tokenizer.decode(row["prompt_ids"]).endswith("<|assistant|>")
    for side in ("chosen_ids", "rejected_ids"):
        assert row[side][-1] == loaded.tokenizer.eos_token_id
    assert row["chosen_ids"] != row["rejected_ids"]


def test_a_pair_that_is_alike_after_cutting_teaches_nothing(llama: Path, tmp_path: Path) -> None:
    alike = [(99, Preference(asked(1), said("x" * 60 + "a"), said("x" * 60 + "b")))]
    made, _, _ = first_lessons("dpo", llama, tmp_path, [*lessons("dpo"), *alike], data__split__validation_share=0)
    assert made.lost == 1
    assert len(made.train) == 12


def test_documents_are_packed_whole_and_in_order(llama: Path, tmp_path: Path) -> None:
    from studio.training.cpt import arranged

    made, spec, loaded = first_lessons("cpt", llama, tmp_path, lessons("cpt"))
    blocks = arranged(made, spec, loaded)
    assert {len(b.sides[0].ids) for b in blocks.train[:-1]} == {64}
    packed = [i for block in blocks.train for i in block.sides[0].ids]
    alone = [list(lesson.sides[0].ids) for lesson in made.train]
    assert sorted(packed) == sorted(i for ids in alone for i in ids)
    text = loaded.tokenizer.decode(packed)
    assert all(loaded.tokenizer.decode(ids) in text for ids in alone)
    assert packed.count(loaded.tokenizer.eos_token_id) == len(alone)
    assert max(map(len, alone)) > 64
    unpacked, spec, _ = first_lessons("cpt", llama, tmp_path, lessons("cpt"), method__packed=False)
    assert arranged(unpacked, spec, loaded) == unpacked
    assert max(len(lesson.sides[0].ids) for lesson in unpacked.train) == 64


def test_a_question_gets_the_answer_of_the_row_before() -> None:
    rows = [{"prompt_ids": [i], "completion_ids": [10 + i], "label": True} for i in range(3)]
    made = MismatchingCollator(pad_token_id=0)(rows)
    assert made["KL_input_ids"].tolist() == [[0, 12], [1, 10], [2, 11]]
    assert made["input_ids"].tolist() == [[0, 10], [1, 11], [2, 12]]


def test_thumbs_need_two_rows_at_a_time(llama: Path) -> None:
    with pytest.raises(SpecError, match="batches of 2 rows"):
        method_spec("kto", llama, training__batch_size=1)


# Losses against TRL's own


def test_odds_ratio_and_simpo_losses_are_those_of_trl() -> None:
    from trl.experimental.cpo.cpo_trainer import CPOTrainer
    from trl.experimental.orpo.orpo_trainer import ORPOTrainer

    chosen = torch.tensor([-0.2, -1.5, -3.0, -0.9])
    rejected = torch.tensor([-0.4, -0.5, -3.0, -6.0])

    class Stub:
        beta, label_smoothing, alpha, loss_type, simpo_gamma = 2.0, 0.0, 0.0, "simpo", 1.0

        class accelerator:
            device = torch.device("cpu")

    theirs = ORPOTrainer.odds_ratio_loss(Stub, chosen, rejected)[0]  # type: ignore[arg-type]
    torch.testing.assert_close(-Stub.beta * odds_ratio_loss(chosen, rejected), theirs)
    theirs = CPOTrainer.cpo_loss(Stub, chosen, rejected)[0]  # type: ignore[arg-type]
    torch.testing.assert_close(simpo_loss(chosen, rejected, 2.0, 1.0), theirs)


def test_a_certain_answer_has_a_finite_loss() -> None:
    sure = torch.tensor([0.0, -1e-9], requires_grad=True)
    loss = odds_ratio_loss(sure, torch.tensor([-5.0, 0.0])).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(sure.grad).all()  # type: ignore[arg-type]


def test_another_method_begins_with_its_own_settings() -> None:
    spec = with_changes(RunSpec(), {"method.kind": "simpo"})
    assert (spec.method.kind, spec.method.beta) == ("simpo", 2.0)  # type: ignore[union-attr]
    assert with_changes(spec, {"method.beta": 3}).method.beta == 3  # type: ignore[union-attr]
    with pytest.raises(SpecError, match=r"method\.loss_on"):
        with_changes(spec, {"method.loss_on": "all"})


# Reward models


def test_a_reward_model_tells_held_out_pairs_apart(llama: Path, tmp_path: Path) -> None:
    """Polite answers are better: told apart on pairs never trained on."""
    rows = [(i, Preference(asked(i), said(f"{i} it is, thank you"), said(f"{i} it is, so what"))) for i in range(1, 41)]
    changes = {"training__epochs": 6, "training__evaluations": 1, "training__learning_rate": 0.01}
    run = Recording(method_spec("reward", llama, tuner__dropout=0.0, tuner__rank=8, **changes), tmp_path, rows)
    ended = run.run()
    accuracies = [value for _, value in run.state.curves["validation_accuracy"]]
    assert accuracies[-1] == 1.0
    for name in ("", "validation_"):
        points = [run.state.latest(f"{name}reward_{side}") or 0 for side in ("chosen", "rejected")]
        assert points[0] - points[1] == pytest.approx(run.state.latest(f"{name}margin"), rel=1e-4)
    assert ended is not None
    assert ended.validation_loss is not None
    assert ended.validation_loss < run.state.validation_loss_before  # type: ignore[operator]


def test_accuracy_is_over_all_pairs_whatever_the_batches(llama: Path, tmp_path: Path) -> None:
    def measured(batch: int) -> dict[str, float]:
        spec = method_spec("reward", llama, training__batch_size=batch, training__learning_rate=1e-9)
        run = Recording(
            with_changes(spec, {"data.split.validation_share": 0.4}), tmp_path / str(batch), lessons("reward")
        )
        run.run()
        names = ("validation_accuracy", "validation_margin", "validation_loss")
        return {name: run.state.curves[name][0][1] for name in names}

    assert measured(3) == pytest.approx(measured(12), rel=1e-5)


def test_the_layer_that_scores_begins_by_the_seed_alone(llama: Path, tmp_path: Path) -> None:
    def drawn(seed: int) -> torch.Tensor:
        torch.rand(3)  # wherever the global generator stands
        loaded = load_model(str(llama), Settings(workspace=tmp_path), detect_device(), scores=True)
        model = add_adapter(loaded.model, tiny_lora(), seed, Clock(), scores=True)
        return next(p for n, p in model.named_parameters() if "score.modules_to_save" in n).detach()

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_padding_never_changes_a_score(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    folder = request.getfixturevalue(kind)
    loaded = load_model(str(folder), Settings(workspace=tmp_path), detect_device(), "float32", scores=True)
    model = add_adapter(loaded.model, tiny_lora(), 0, Clock(), scores=True).eval()
    ids = torch.arange(5, 25)[None]
    padded = torch.nn.functional.pad(ids, (0, 7), value=0)
    alone = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    beside = model(input_ids=padded, attention_mask=(padded > 0).long()).logits
    torch.testing.assert_close(alone, beside)


# Answers that are drawn


@pytest.mark.parametrize("method", ROLLOUTS)
def test_a_programmed_reward_rises(method: str, decided: Path, tmp_path: Path) -> None:
    changes = {"training__epochs": 5, "training__evaluations": 1, "training__learning_rate": 0.02}
    spec = method_spec(method, decided, tuner__rank=8, method__samples_per_row=8, training__accumulation=1, **changes)
    spec = with_changes(spec, {"method.rewards": [{"kind": "regex", "pattern": "[a-z]"}], "method.beta": 0.01})
    run = Recording(spec, tmp_path / "run", lessons(method))
    ended = run.run()
    rewards = [value for _, value in run.state.curves["reward"]]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.2
    held_out = [value for _, value in run.state.curves["validation_reward"]]
    assert held_out[-1] > held_out[0]
    assert ended is not None
    assert ended.validation_reward == max(held_out[1:])


def test_rewards_are_added_up_by_their_weights(llama: Path, tmp_path: Path) -> None:
    rewards = [
        {"kind": "length", "low": 0, "high": 999, "weight": 2},
        {"kind": "length", "low": 999, "high": 999, "weight": -1},
    ]
    spec = with_changes(method_spec("grpo", llama), {"method.rewards": rewards})
    run = Recording(spec, tmp_path / "run", lessons("grpo"))
    run.run()
    curves = run.state.curves
    for name in ("reward", "validation_reward"):
        assert all(2 - 6 / 999 <= value <= 2 for _, value in curves[name])
        first, second = (curves[f"{name}_{place}_length"] for place in (0, 1))
        parts = [2 * a - b for (_, a), (_, b) in zip(first, second, strict=True)]
        assert parts == pytest.approx([value for _, value in curves[name]])


def test_every_row_has_its_turn_in_every_pass() -> None:
    from studio.training.rollouts import RowsInTurn

    sampler = RowsInTurn(rows=7, together=3, samples=2, parts=2, seed=1)
    passes = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        places = list(sampler)
        assert len(places) == len(sampler) == 3 * 3 * 2 * 2
        steps = [places[begin : begin + 6] for begin in range(0, len(places), 12)]
        assert [places[begin + 6 : begin + 12] for begin in range(0, len(places), 12)] == steps
        rows = [place for step in steps for place in step[::2]]
        assert rows == [place for step in steps for place in step[1::2]]
        assert sorted(rows[:7]) == list(range(7))
        assert rows[7:] == rows[:2]
        passes.append(places)
    assert passes[0] == passes[2] != passes[1]
    assert list(RowsInTurn(rows=2, together=5, samples=1, parts=1, seed=None)) == [0, 1, 0, 1, 0]


def test_a_prompt_leaves_room_for_its_answer(llama: Path, tmp_path: Path) -> None:
    long = [(99, PromptOnly((Message("user", "x" * 80),)))]
    made, _, _ = first_lessons("rloo", llama, tmp_path, [*lessons("rloo"), *long], data__split__validation_share=0)
    assert (made.lost, len(made.train)) == (1, 12)
    with pytest.raises(DataError, match="leaves room for questions of 12 tokens"):
        first_lessons("rloo", llama, tmp_path, lessons("rloo"), method__max_new_tokens=500)


def test_rewarding_the_rows_answers_needs_rows_with_answers(llama: Path, tmp_path: Path) -> None:
    spec = with_changes(method_spec("grpo", llama), {"method.rewards": [{"kind": "exact"}]})
    with pytest.raises(DataError, match="has an answer"):
        Recording(spec, tmp_path / "none", [(i, PromptOnly(asked(i))) for i in range(1, 13)]).run()
    some = [(i, PromptOnly(asked(i), answer="yes" if i % 2 else None)) for i in range(1, 13)]
    assert Recording(spec, tmp_path / "some", some).run() is not None


def test_nobody_else_changes_or_notices_the_answers_drawn(llama: Path, tmp_path: Path) -> None:
    """Random numbers drawn beside the run, as another thread may, leave it as it is; and it leaves theirs."""
    quiet = Recording(method_spec("rloo", llama), tmp_path / "quiet", lessons("rloo"))
    quiet.run()
    noisy = Recording(method_spec("rloo", llama), tmp_path / "noisy", lessons("rloo"))

    def draw(_: Event) -> None:
        torch.rand(3)

    noisy.watcher = draw
    noisy.run()
    assert noisy.weights() == quiet.weights()


# What saves memory or is computed otherwise


@pytest.mark.parametrize("method", ["reward", "grpo"])
def test_scoring_and_drawing_resume_in_bfloat16(method: str, llama: Path, tmp_path: Path) -> None:
    assert_resumes(method_spec(method, llama, model__precision="bfloat16"), lessons(method), tmp_path)


@pytest.mark.parametrize("method", ["reward", *ROLLOUTS])
def test_saving_memory_changes_no_number(method: str, llama: Path, tmp_path: Path) -> None:
    def run(name: str, **changes: object) -> Recording:
        spec = method_spec(method, llama, training__evaluations=1, **changes)
        if method in ROLLOUTS:
            spec = with_changes(spec, {"method.rewards": [{"kind": "regex", "pattern": "[a-m]"}]})
        made = Recording(spec, tmp_path / name, lessons(method))
        made.run()
        return made

    plain, saving = run("plain"), run("saving", training__gradient_checkpointing=True)
    assert [v for _, v in saving.losses()] == pytest.approx([v for _, v in plain.losses()], rel=1e-4, abs=1e-6)
    judged = f"validation_{plain.spec.method.judged_by}"
    before, after = ([value for _, value in run.state.curves[judged]] for run in (plain, saving))
    assert after == pytest.approx(before, rel=1e-4)


def test_the_best_checkpoint_has_the_highest_reward_or_the_lowest_loss() -> None:
    rewards = [
        Checkpoint(step=i, path=str(i), validation_reward=value) for i, value in enumerate((-3.0, 2.0, 2.0, -1.0))
    ]
    losses = [Checkpoint(step=i, path=str(i), validation_loss=value) for i, value in enumerate((3.0, 0.5, 0.5, 1.0))]
    for made in (rewards, losses):
        assert best_checkpoint(made, keep_best=True).step == 1
        assert best_checkpoint(made, keep_best=False).step == 3
        assert without_progress(measured_costs(made), 2)
        assert not without_progress(measured_costs(made), 3)


def test_the_share_of_right_tokens_is_over_all_of_them_whatever_the_batches(
    llama: Path, gpt2: Path, tmp_path: Path
) -> None:
    """Of a step, and of an evaluation."""
    rows = [(i, Conversation(asked(i), "a " * (1 + i % 5))) for i in range(1, 13)]
    for model in (llama, gpt2):
        found = []
        for size in (2, 8):
            changes = {"training__batch_size": size, "training__accumulation": 8 // size, "tuner__dropout": 0.0}
            spec = method_spec("sft", model, training__epochs=3, training__learning_rate=0.02, **changes)
            run = Recording(spec, tmp_path / f"{model.name}{size}", rows)
            run.run()
            curves = [run.state.curves[name] for name in ("token_accuracy", "validation_token_accuracy")]
            found.append([[value for _, value in curve] for curve in curves])
        assert found[0] == found[1]
        for curve in found[0]:
            assert any(0 < value < 1 for value in curve)


@pytest.mark.parametrize("method", ["simpo", "orpo", "reward"])
def test_numbers_of_an_evaluation_are_means_over_its_rows(method: str, llama: Path, tmp_path: Path) -> None:
    """Whatever the batches: five validation rows in batches of two, and all at once."""
    found = []
    for size in (2, 5):
        changes = {"training__batch_size": size, "training__accumulation": 1, "data__split__validation_share": 0.4}
        run = Recording(
            method_spec(method, llama, training__epochs=0.1, **changes), tmp_path / str(size), lessons(method)
        )
        run.run()
        curves = run.state.curves
        assert run.state.started is not None
        assert run.state.started.validation_rows == 5
        found.append([curves[f"validation_{name}"][0][1] for name in ("loss", "margin", "accuracy")])
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_why_no_row_of_a_method_teaches_anything_is_told(llama: Path, tmp_path: Path) -> None:
    same = [(i, Preference(asked(i), said("x"), said("x"))) for i in range(1, 9)]
    for method, rows, changes, key in (
        ("grpo", lessons("grpo"), {"method__max_new_tokens": 600}, "no_room"),
        ("rloo", lessons("rloo", 14)[9:], {"data__max_length": 16}, "prompts_cut"),
        ("dpo", same, {}, "all_alike"),
    ):
        with pytest.raises(DataError) as caught:
            first_lessons(method, llama, tmp_path, rows, **changes)
        assert caught.value.key == f"error.train.{key}"
