"""A reward that rose is not praised where the model went far for it."""

import pytest

from studio.runs.drift import Drift, drift
from studio.runs.events import Ended, Metrics, RunState, Stamped

Told = tuple[int, dict[str, float]]


def state_of(*told: Told, kept: int | None = None) -> RunState:
    events = [Metrics(step=step, values=values) for step, values in told]
    ended = [Ended(status="done", step=told[-1][0], best_step=kept)] if kept is not None else []
    return RunState().fold([Stamped(seq, 0.0, event) for seq, event in enumerate([*events, *ended], 1)])


def at(step: int, reward: float, kl: float, before: str = "validation_") -> Told:
    return step, {f"{before}reward": reward, f"{before}kl": kl}


@pytest.mark.parametrize("before", ["validation_", ""])
def test_a_reward_that_rose_far_away_is_told(before: str) -> None:
    assert drift(state_of(at(0, 1.0, 0.0, before), at(9, 1.5, 0.9, before))) == Drift(1.0, 1.5, 0.9)
    assert drift(state_of(at(0, 1.0, 0.0, before), at(9, 1.5, 0.2, before))) is None
    assert drift(state_of(at(0, 1.0, 0.0, before), at(9, 0.5, 0.9, before))) is None


def test_what_was_kept_decides() -> None:
    points = at(0, 1.0, 0.0), at(5, 1.4, 0.2), at(9, 1.5, 0.9)
    assert drift(state_of(*points, kept=5)) is None
    assert drift(state_of(*points, kept=9)) == drift(state_of(*points))


def test_validation_rows_decide_where_there_are_any() -> None:
    assert drift(state_of(at(0, 1.0, 0.0), at(3, 9.0, 9.0, ""), at(9, 1.2, 0.1))) is None


def test_other_methods_have_no_such_distance() -> None:
    assert drift(state_of((0, {"loss": 2.0}), (9, {"loss": 1.0}))) is None
    assert drift(RunState()) is None
