"""Each rule of the coach speaks on a curve that has what it looks for, and is silent on one that has not; on the curves
of real runs of the starter it says what is known of them, and to healthy ones nothing, at any moment of the run."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from studio.messages import LANGUAGES, translate
from studio.runs.coach import RULES, Note, coach, memorising
from studio.runs.events import Ended, Event, Metrics, RunState, Stamped, Started
from studio.runs.spec import RunSpec, with_changes
from studio.runs.ways import Change, Look

SFT = with_changes(RunSpec(), {"training.learning_rate": 3e-4, "training.epochs": 4, "model.source": "some/model"})
GRPO = with_changes(RunSpec(), {"method.kind": "grpo"})
UNASKED = with_changes(GRPO, {"method.rewards": [{"kind": "contains", "text": "!"}]})
Curve = Mapping[int, float]
REAL: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "real_curves.json").read_text(encoding="utf-8"))


def state_of(total: int, ended: Ended | None = None, **curves: Curve) -> RunState:
    """A run with these curves, by their metrics."""
    started = Started(
        total_steps=total, train_rows=80, validation_rows=20, trainable_parameters=8, parameters=80, device="CPU",
        base_fingerprint="f", base_name="tiny",
    )  # fmt: skip
    steps = sorted({step for points in curves.values() for step in points})
    metrics = [
        Metrics(step=step, values={name: points[step] for name, points in curves.items() if step in points})
        for step in steps
    ]
    events: list[Event] = [started, *metrics, *([ended] if ended else [])]
    return RunState().fold([Stamped(seq, 0.0, event) for seq, event in enumerate(events, 1)])


def steps(last: int, value: Callable[[int], float], noise: float = 0.0) -> dict[int, float]:
    """A value for every step, each off by up to a share."""
    drawn = random.Random(0)
    return {step: value(step) * (1 + noise * drawn.uniform(-1, 1)) for step in range(1, last + 1)}


def falling(last: int, start: float = 3.0, end: float = 0.5, noise: float = 0.3) -> dict[int, float]:
    """As a healthy run falls: fast, then slowly, to its end."""
    return steps(last, lambda step: end + (start - end) * 0.5 ** (10 * step / last), noise)


def rules(state: RunState, spec: RunSpec = SFT) -> dict[str, Note]:
    return {note.rule: note for note in coach(state, spec)}


HEALTHY = state_of(
    100, loss=falling(100), validation_loss={0: 3.0, 25: 1.1, 50: 0.8, 75: 0.72, 100: 0.7}, grad_norm=falling(100, 5, 1)
)


def test_a_healthy_run_is_let_alone() -> None:
    assert coach(HEALTHY, SFT) == ()
    assert coach(RunState(), SFT) == ()


# Losses


def rising(*after: float, kept: int | None = None, training: Curve | None = None) -> RunState:
    validation = {0: 3.0, 20: 1.0, **{20 * place: value for place, value in enumerate(after, 2)}}
    last = max(validation)
    ended = Ended(status="done", step=last, adapter="adapter", best_step=kept) if kept is not None else None
    return state_of(100, ended, loss=training or falling(last), validation_loss=validation)


def test_rows_that_are_learned_by_heart() -> None:
    note = rules(rising(1.04, 1.05))["memorising"]
    assert (note.key, note.metric, note.step) == ("coach.memorising", "loss", 20)
    assert note.ways == (Change({"training.epochs": 0.8}),)
    kept = rules(rising(1.04, 1.2, 1.3, 1.4, kept=20))["memorising"]
    assert kept.key == "coach.memorising.kept"
    assert rules(rising(1.2, 1.3, 1.4, 1.4, kept=100))["memorising"].ways[0] == Change(step=20)
    assert "memorising" in rules(rising(1.2))  # at once, where it is much


def test_validation_that_wavers_or_rises_with_training_is_not_learned_by_heart() -> None:
    for after in ((1.02, 1.02), (1.06, 1.01), (1.06,), (0.99, 1.05)):
        assert "memorising" not in rules(rising(*after)), after
    climbing = steps(60, lambda step: 0.5 + step / 100, 0.1)
    assert memorising(rising(1.5, 1.6, training=climbing), SFT) is None


def test_validation_that_was_never_better_than_before() -> None:
    state = state_of(100, loss=falling(60, 1.0), validation_loss={0: 1.0, 20: 1.2, 40: 1.4, 60: 1.6})
    note = rules(state)["memorising"]
    assert note.key == "coach.worse"
    assert note.ways == (Change({"training.learning_rate": 1e-4}), Look())


def test_a_rate_that_throws_the_model_about() -> None:
    above = state_of(100, loss=steps(40, lambda step: 3.0 if step < 5 else 6.0, 0.2))
    back = state_of(100, loss=steps(40, lambda step: 3.0 if step < 3 else 1.5 if step < 6 else 2.8, 0.1))
    for_good = state_of(100, loss={**falling(60), **dict.fromkeys(range(61, 101), 1.6)})
    for state, at in ((above, (3, 5)), (back, (4, 6)), (for_good, (50, 60))):
        note = rules(state)["rate_high"]
        assert at[0] <= note.step <= at[1]
        assert note.ways == (Change({"training.learning_rate": 1e-4}),)
    starter = with_changes(SFT, {"model.source": "starter", "training.learning_rate": 0.3})
    assert rules(above, starter)["rate_high"].ways == (Change({"training.learning_rate": 0.005}),)


def test_batches_that_differ_are_no_high_rate() -> None:
    """Of single rows, whose losses differ much, more are looked at."""
    one = with_changes(SFT, {"training.batch_size": 1})
    drawn = random.Random(3)
    lognormal = {step: 2.0 * drawn.lognormvariate(-0.15, 0.55) * 0.998**step for step in range(1, 401)}
    assert "rate_high" not in rules(state_of(400, loss=lognormal), one)
    assert "rate_high" not in rules(state_of(200, loss=falling(200, noise=0.5)))


def test_a_rate_with_which_nothing_is_learned() -> None:
    flat = steps(60, lambda step: 3.0, 0.2)
    note = rules(state_of(100, loss=flat, validation_loss={0: 3.0, 30: 2.98, 60: 2.95}))["rate_low"]
    assert note.ways[0] == Change({"training.learning_rate": 9e-4})
    assert "rate_low" in rules(state_of(100, loss=steps(60, lambda step: 3.0, 0.01)))


def test_a_run_that_learns_or_only_began_has_no_low_rate() -> None:
    flat = steps(60, lambda step: 3.0, 0.2)
    assert "rate_low" not in rules(state_of(100, loss=flat, validation_loss={0: 3.0, 30: 2.8}))
    assert "rate_low" not in rules(state_of(200, loss=flat, validation_loss={0: 3.0, 30: 2.98}))
    high = with_changes(SFT, {"training.learning_rate": 1e-3})
    assert "rate_low" not in rules(state_of(100, loss=flat, validation_loss={0: 3.0, 30: 2.98}), high)


def test_a_loss_that_stands_still() -> None:
    state = state_of(100, loss=falling(100), validation_loss={0: 3.0, 20: 1.0, 40: 0.8, 60: 0.801, 80: 0.799, 100: 0.8})
    note = rules(state)["plateau"]
    assert (note.step, note.severity, note.ways) == (40, "info", (Change({"training.epochs": 1.6}),))
    without = state_of(200, loss=steps(200, lambda step: max(0.8, 3 - step / 20), 0.002))
    assert 40 <= rules(without)["plateau"].step <= 60


def test_a_loss_that_still_falls_a_little_does_not_stand_still() -> None:
    falls = {0: 3.0, 20: 1.0, 40: 0.8, 60: 0.79, 80: 0.78, 100: 0.775}
    assert "plateau" not in rules(state_of(100, loss=falling(100), validation_loss=falls))
    late = {0: 3.0, 80: 1.0, 85: 1.0, 90: 1.0, 95: 1.0, 100: 1.0}  # only the end, where the steps are small
    assert "plateau" not in rules(state_of(100, loss=falling(100), validation_loss=late))


def test_a_loss_of_nothing() -> None:
    nothing = steps(100, lambda step: 2.0 if step < 30 else 0.002, 0.2)
    note = rules(state_of(100, loss=nothing, validation_loss={0: 2.0, 50: 0.3, 100: 0.3}))["loss_zero"]
    assert (note.key, note.step) == ("coach.loss_zero.apart", 30)
    assert note.ways == (Change({"training.epochs": 1.2}),)
    learned = rules(state_of(100, loss=nothing, validation_loss={0: 2.0, 50: 0.01, 100: 0.005}))["loss_zero"]
    assert (learned.key, learned.severity) == ("coach.loss_zero", "info")
    early = rules(state_of(100, loss=steps(20, lambda step: 0.001)))["loss_zero"]
    assert (early.key, early.ways) == ("coach.loss_zero.early", (Look(),))


def test_a_low_loss_or_one_at_the_end_is_not_nothing() -> None:
    assert "loss_zero" not in rules(state_of(100, loss=falling(100, end=0.02)))
    assert "loss_zero" not in rules(state_of(100, loss=steps(100, lambda step: 2.0 if step < 80 else 0.001)))


def test_gradient_spikes() -> None:
    norms = steps(100, lambda step: 50.0 if step in (40, 60, 80) else 1.0, 0.3)
    note = rules(state_of(100, loss=falling(100), grad_norm=norms))["gradient_spikes"]
    assert (note.step, note.values["count"], note.metric) == (40, 3, "grad_norm")
    assert note.ways[0] == Change({"training.learning_rate": 1e-4})
    unlimited = with_changes(SFT, {"training.max_grad_norm": 0})
    note = rules(state_of(100, loss=falling(100), grad_norm=norms), unlimited)["gradient_spikes"]
    assert note.ways[0] == Change({"training.max_grad_norm": 1.0})


def test_single_or_small_gradients_are_no_spikes() -> None:
    one = steps(100, lambda step: 50.0 if step == 60 else 1.0, 0.3)
    assert "gradient_spikes" not in rules(state_of(100, loss=falling(100), grad_norm=one))
    late = steps(100, lambda step: 5.0 if step < 20 else 0.5 if step % 9 == 0 else 0.01)  # below the beginning
    assert "gradient_spikes" not in rules(state_of(100, loss=falling(100), grad_norm=late))


# Rewards


def practice(**curves: Curve) -> RunState:
    return state_of(60, None, reward=steps(60, lambda step: 0.2 + step / 100, 0.1), **curves)


def test_a_reward_that_is_bought_with_distance() -> None:
    note = rules(practice(kl=steps(60, lambda step: step / 60)), GRPO)["drifted"]
    assert (note.key, note.metric) == ("coach.drifted", "kl")
    assert 18 <= note.step <= 20
    assert note.ways[0] == Change({"method.beta": 0.1})
    lost = state_of(60, reward=steps(60, lambda step: 0.5 - step / 200), kl=steps(60, lambda step: step / 20))
    assert rules(lost, GRPO)["drifted"].key == "coach.lost"


def test_a_model_that_stayed_near_has_not_drifted() -> None:
    assert "drifted" not in rules(practice(kl=steps(60, lambda step: step / 300)), GRPO)
    worse = state_of(60, reward=steps(60, lambda step: 0.5 - step / 200), kl=steps(60, lambda step: step / 100))
    assert "drifted" not in rules(worse, GRPO)
    assert "drifted" not in rules(state_of(60, kl=steps(60, lambda step: 5.0)), SFT)  # of others it is no such distance


@pytest.mark.parametrize(("factor", "key"), [(3, "longer"), (1 / 3, "shorter")])
def test_length_in_place_of_quality(factor: float, key: str) -> None:
    lengths = steps(60, lambda step: 20 * factor ** (step / 60), 0.05)
    note = rules(practice(completion_tokens=lengths), UNASKED)["length_drift"]
    assert (note.key, note.metric) == (f"coach.length_drift.{key}", "completion_tokens")
    assert "length_drift" not in rules(practice(completion_tokens=lengths), GRPO)  # whose reward asks for a length


def test_answers_that_do_not_end() -> None:
    cut = steps(60, lambda step: 0.0 if step < 30 else 0.9)
    note = rules(practice(completion_tokens=steps(60, lambda step: 20), clipped_share=cut), GRPO)["length_drift"]
    assert (note.key, note.metric) == ("coach.cut_off", "clipped_share")
    assert 28 <= note.step <= 36


def test_answers_of_about_the_same_length_are_let_alone() -> None:
    lengths = steps(60, lambda step: 20 + step / 6, 0.3)
    cut = steps(60, lambda step: 0.6, 0.1)  # from the beginning: so long are the answers that were learned
    assert "length_drift" not in rules(practice(completion_tokens=lengths, clipped_share=cut), UNASKED)
    down = state_of(60, reward=steps(60, lambda step: 0.5 - step / 200), completion_tokens=steps(60, lambda s: 5.0 * s))
    assert "length_drift" not in rules(down, UNASKED)


def test_answers_that_all_earn_the_same() -> None:
    spread = steps(60, lambda step: 0.2 if step < 40 else 0.001)
    note = rules(practice(reward_std=spread), GRPO)["rewards_alike"]
    assert (note.step, note.ways) == (40, (Change({"method.samples_per_row": 8}),))
    cool = with_changes(GRPO, {"method.temperature": 0.5})
    assert rules(practice(reward_std=spread), cool)["rewards_alike"].ways == (Change({"method.temperature": 1.0}),)


def test_answers_that_differ_now_and_then_are_let_alone() -> None:
    assert "rewards_alike" not in rules(practice(reward_std=steps(60, lambda s: 0.2 if s % 7 == 0 else 0.0)), GRPO)


# All together


def test_one_thing_is_told_once_and_what_is_worse_comes_first() -> None:
    state = state_of(
        100,
        loss={step: 3.0 if step < 5 else 9.0 for step in range(1, 101)},
        grad_norm=steps(100, lambda step: 90.0 if step in (40, 60, 80) else 1.0),
        validation_loss={0: 3.0, 25: 9.0, 50: 9.0, 75: 9.0, 100: 9.0},
    )
    assert list(rules(state)) == ["rate_high"]
    notes = coach(practice(reward_std=steps(60, lambda s: 0.0), kl=steps(60, lambda s: s / 60)), GRPO)
    assert [note.severity for note in notes] == ["warn", "info"]


def test_a_run_whose_numbers_ran_away_is_told_by_its_error_alone() -> None:
    climbing = steps(40, lambda step: 3.0 if step < 5 else 9.0)
    assert "rate_high" in rules(state_of(100, Ended(status="failed", key="error.disk.full"), loss=climbing))
    failed = Ended(status="failed", key="error.train.not_finite.loss")
    assert coach(state_of(100, failed, loss=climbing), SFT) == ()


def real(name: str, until: int | None = None) -> tuple[RunState, RunSpec]:
    told = REAL[name]
    curves = {
        metric: {step: value for step, value in points if until is None or step <= until}
        for metric, points in told["curves"].items()
    }
    return state_of(told["total_steps"], None, **curves), with_changes(RunSpec(), told["settings"])


@pytest.mark.parametrize("name", [name for name, told in REAL.items() if told["said"]])
def test_what_is_said_of_real_runs_that_went_wrong(name: str) -> None:
    assert [note.rule for note in coach(*real(name))] == REAL[name]["said"]


@pytest.mark.parametrize("name", [name for name, told in REAL.items() if not told["said"]])
def test_real_runs_that_went_well_are_let_alone_at_every_moment(name: str) -> None:
    for until in range(0, REAL[name]["total_steps"] + 1, 3):
        assert coach(*real(name, until)) == (), until


def told_notes() -> Sequence[Note]:
    """One of every sentence that the tests above have."""
    states = [(rising(1.1, 1.2), SFT), (practice(reward_std=steps(60, lambda s: 0.0)), GRPO)]
    return [note for state, spec in [*states, *(real(name) for name in REAL)] for note in coach(state, spec)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_note_is_a_sentence_and_every_way_a_setting(language: str) -> None:
    notes = told_notes()
    assert len({note.rule for note in notes}) > 4
    for note in notes:
        assert translate(note.key, language, **note.values)
        assert translate(f"coach.title.{note.rule}", language)
    for rule in RULES:
        assert translate(f"coach.title.{rule.__name__}", language)
