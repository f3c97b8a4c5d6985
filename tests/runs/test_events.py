"""Status is folded from events; folding in parts is folding at once."""

import pytest
from pydantic import ValidationError

from studio.runs.events import (
    Checkpoint,
    Ended,
    Event,
    Metrics,
    Notice,
    Queued,
    RunState,
    Sample,
    Stamped,
    Started,
    StopRequested,
    parse_event,
)


def started(from_step: int = 0) -> Started:
    return Started(
        total_steps=10,
        from_step=from_step,
        train_rows=9,
        validation_rows=1,
        trainable_parameters=8,
        parameters=80,
        device="CPU",
        base_fingerprint="f",
        base_name="tiny",
    )


def stamped(*events: Event) -> list[Stamped]:
    return [Stamped(i, 100.0 + i, event) for i, event in enumerate(events, 1)]


def leg(first: int, last: int) -> list[Event]:
    """Steps `first` to `last`, each with a loss; every second one evaluated, sampled and saved."""
    events: list[Event] = []
    for step in range(first, last + 1):
        events.append(Metrics(step=step, values={"loss": 10.0 / step, "learning_rate": 0.1}))
        if step % 2 == 0:
            events.append(Metrics(step=step, values={"validation_loss": 20.0 / step}))
            events.append(Sample(step=step, prompt="p", text=f"t{step}"))
            events.append(Checkpoint(step=step, path=f"checkpoint-{step}", validation_loss=20.0 / step))
    return events


BASELINE = Metrics(step=0, values={"validation_loss": 99.0})


def test_every_kind_of_event_survives_json() -> None:
    events: list[Event] = [
        Queued(), started(), BASELINE, Sample(step=1, prompt="a", text="b"), Checkpoint(step=1, path="c"),
        Notice(key="notice.run.cancelled", values={"rows": 3}), StopRequested(), Ended(status="done", values={"a": 1}),
    ]  # fmt: skip
    assert [parse_event(event.model_dump_json()) for event in events] == events
    with pytest.raises(ValidationError):
        parse_event('{"kind": "metrics", "step": 1, "values": {}, "more": 1}')


def test_a_whole_run() -> None:
    state = RunState().fold(stamped(Queued(), started(), BASELINE, *leg(1, 10), Ended(status="done", step=10)))
    assert (state.status, state.step, state.share, state.validation_loss_before) == ("done", 10, 1.0, 99.0)
    assert state.curves["loss"] == [(s, 10.0 / s) for s in range(1, 11)]
    assert [s for s, _ in state.curves["validation_loss"]] == [0, 2, 4, 6, 8, 10]
    assert state.latest("validation_loss") == 2.0
    assert state.usable
    assert not state.resumable


def test_folding_in_parts_is_folding_at_once() -> None:
    events = stamped(
        Queued(), started(), BASELINE, *leg(1, 5), StopRequested(), Ended(status="stopped", step=5), Queued(),
        started(4), *leg(5, 10), Ended(status="done", step=10),
    )  # fmt: skip
    whole = RunState().fold(events)
    for cut in range(len(events)):
        assert RunState().fold(events[:cut]).fold(events[cut:]) == whole


def test_resuming_drops_what_is_computed_again() -> None:
    state = RunState().fold(stamped(started(), BASELINE, *leg(1, 5), started(4)))
    assert state.step == 4
    assert [s for s, _ in state.curves["loss"]] == [1, 2, 3, 4]
    assert [c.step for c in state.checkpoints] == [2, 4]
    assert [s.step for s in state.samples] == [2, 4]
    assert state.validation_loss_before == 99.0
    uninterrupted = RunState().fold(stamped(started(), BASELINE, *leg(1, 10)))
    assert state.fold(stamped(*leg(5, 10))).curves == uninterrupted.curves


def test_beginning_again_repeats_the_baseline_once() -> None:
    state = RunState().fold(stamped(started(), BASELINE, Metrics(step=1, values={"loss": 1.0}), started(), BASELINE))
    assert state.curves["validation_loss"] == [(0, 99.0)]
    assert state.curves["loss"] == []
    assert state.checkpoints == ()


def test_a_notice_told_twice_is_shown_once() -> None:
    notice = Notice(key="notice.train.lost", values={"rows": 3})
    other = Notice(key="notice.train.lost", values={"rows": 4})
    assert RunState().fold(stamped(notice, notice, other)).notices == (notice, other)


def test_interrupted_is_a_running_run_that_nobody_works_on() -> None:
    events = stamped(Queued(), started(), *leg(1, 3))
    assert RunState().fold(events).status == "running"
    dead = RunState().fold(events, alive=False)
    assert dead.status == "interrupted"
    assert dead.resumable
    assert RunState().fold(stamped(Queued()), alive=False).status == "queued"


def test_time_left_comes_from_this_leg() -> None:
    state = RunState().fold(stamped(started(4), *leg(5, 5)))
    assert state.seconds_left() is None
    state = RunState().fold(
        [Stamped(1, 100.0, started(4)), *(Stamped(s, 100.0 + 2 * (s - 4), e) for s, e in enumerate(leg(5, 7)[:1], 5))]
    ).fold([Stamped(9, 106.0, Metrics(step=7, values={"loss": 1.0}))])  # fmt: skip
    assert state.seconds_left() == pytest.approx(2.0 * 3)


def test_whoever_reads_a_state_is_not_disturbed_by_a_new_curve() -> None:
    state = RunState().fold(stamped(started(), *leg(1, 1)))
    curves = state.curves
    names = list(curves)
    for name in curves:  # iterating while the run goes on
        state = state.fold(stamped(BASELINE))
        assert name in names
    assert "validation_loss" in state.curves
