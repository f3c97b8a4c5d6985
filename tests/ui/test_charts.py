"""Lines are thinned without losing what matters, and smoothed without bias."""

import json
import math
import random

import pytest

from studio.messages import LANGUAGES, translate
from studio.runs.events import Metrics, RunState, Stamped
from studio.runs.methods import METHODS
from studio.ui.charts import LARGE, SMALL, downsample, overlay_charts, run_charts, smooth, to_json


def noisy(count: int, seed: int = 0) -> list[tuple[int, float]]:
    rng = random.Random(seed)
    return [(i, rng.gauss(0, 1)) for i in range(1, count + 1)]


def state_of(steps: int) -> RunState:
    events = [Metrics(step=0, values={"validation_loss": 3.0})]
    for step in range(1, steps + 1):
        values = {"loss": 2.0, "learning_rate": 1e-3, "grad_norm": 1.0, "tokens_per_second": 9.0, "memory_bytes": 1e9}
        events.append(Metrics(step=step, values=values))
    return RunState().fold(Stamped(i, float(i), event) for i, event in enumerate(events, 1))


@pytest.mark.parametrize("count", [0, 1, 2, 1499, 1500, 1501, 1502, 1507, 4000, 20_000])
def test_thinning_keeps_ends_extremes_and_order(count: int) -> None:
    points = noisy(count)
    kept = downsample(points)
    assert len(kept) == min(count, len(kept)) <= LARGE
    assert set(kept) <= set(points)
    assert [step for step, _ in kept] == sorted({step for step, _ in kept})
    if count:
        assert (kept[0], kept[-1]) == (points[0], points[-1])
        assert min(kept, key=lambda p: p[1]) == min(points, key=lambda p: p[1])
        assert max(kept, key=lambda p: p[1]) == max(points, key=lambda p: p[1])
    if count > LARGE:
        assert len(kept) > LARGE // 2


def test_thinning_shows_a_single_spike() -> None:
    points = [(i, 1.0) for i in range(20_000)]
    points[12_345] = (12_345, 50.0)
    assert (12_345, 50.0) in downsample(points, SMALL)


def test_smoothing_keeps_a_constant_and_starts_at_the_first_value() -> None:
    constant = [(i, 2.5) for i in range(200)]
    assert all(value == pytest.approx(2.5) for _, value in smooth(constant))
    points = noisy(900)
    smoothed = smooth(points)
    assert smoothed[0] == pytest.approx(points[0])
    assert [step for step, _ in smoothed] == [step for step, _ in points]
    spread = [max(v for _, v in part[100:]) - min(v for _, v in part[100:]) for part in (points, smoothed)]
    assert spread[1] < spread[0] / 3


def test_a_run_has_a_panel_for_every_metric_it_reports() -> None:
    charts = run_charts(state_of(100), "sft", translate)
    assert [chart.key for chart in charts] == [
        "loss", "learning_rate", "grad_norm", "tokens_per_second", "memory_bytes",
    ]  # fmt: skip
    loss = charts[0]
    assert [series.style for series in loss.series] == ["faint", "line", "dots"]
    assert loss.series[2].points == [(0, 3.0)]


def pair_state(steps: int) -> RunState:
    numbers = {"accuracy": 0.5, "margin": 0.1, "reward_chosen": 0.2, "reward_rejected": 0.1}
    events = [
        Metrics(step=0, values={"validation_loss": 0.69, **{f"validation_{k}": v for k, v in numbers.items()}}),
        *(Metrics(step=step, values={"loss": 0.6, **numbers}) for step in range(1, steps + 1)),
    ]
    return RunState().fold(Stamped(i, float(i), event) for i, event in enumerate(events, 1))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("method", [name for name, kind in METHODS.items() if kind.learns == "pairs"])
def test_a_method_of_pairs_shows_its_own_numbers_and_says_how_to_read_them(method: str, language: str) -> None:
    def t(key: str, **values: object) -> str:
        return translate(key, language, **values)

    charts = {chart.key: chart for chart in run_charts(pair_state(3), method, t)}
    assert list(charts) == ["loss", "accuracy", "margin", "rewards"]
    assert all(len(chart.about) > 20 for chart in charts.values())
    assert charts["accuracy"].about == t(f"ui.method.{method}.read.accuracy")
    assert [series.style for series in charts["accuracy"].series] == ["line", "dots"]
    assert charts["accuracy"].series[1].points == [(0, 0.5)]
    assert [(series.color, series.style) for series in charts["rewards"].series] == [
        (2, "line"), (2, "dots"), (7, "line"), (7, "dots"),
    ]  # fmt: skip
    assert len({series.name for series in charts["rewards"].series}) == 4


def test_ratings_show_the_distance_from_the_base_model() -> None:
    events = [Metrics(step=step, values={"loss": 0.5, "kl": 0.1, "margin": 0.2}) for step in range(1, 90)]
    state = RunState().fold(Stamped(i, float(i), event) for i, event in enumerate(events, 1))
    charts = {chart.key: chart for chart in run_charts(state, "kto", translate)}
    assert list(charts) == ["loss", "margin", "kl"]
    assert [series.style for series in charts["kl"].series] == ["faint", "line"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("method", [name for name, kind in METHODS.items() if kind.learns == "prompts"])
def test_a_method_that_tries_shows_what_answers_earn_and_how_they_are(method: str, language: str) -> None:
    def t(key: str, **values: object) -> str:
        return translate(key, language, **values)

    numbers = {
        "reward": 0.5, "reward_std": 0.1, "kl": 0.02, "entropy": 1.5, "completion_tokens": 20.0, "clipped_share": 0.25,
        "reward_0_length": 0.5, "reward_1_contains": 1.0, "reward_2_contains": 0.0,
    }  # fmt: skip
    events = [
        Metrics(step=0, values={f"validation_{name}": value for name, value in numbers.items()}),
        *(Metrics(step=step, values={"loss": 0.0, **numbers}) for step in (1, 2)),
    ]
    state = RunState().fold(Stamped(i, float(i), event) for i, event in enumerate(events, 1))
    charts = {chart.key: chart for chart in run_charts(state, method, t)}
    assert list(charts) == [
        "reward", "each_reward", "loss", "kl", "reward_std", "completion_tokens", "clipped_share", "entropy",
    ]  # fmt: skip
    assert [key for key, chart in charts.items() if chart.wide] == ["reward", "each_reward"]
    assert all(len(chart.about) > 20 for chart in charts.values())
    lines = charts["each_reward"].series
    assert [line.style for line in lines] == ["line", "dots"] * 3
    assert len({line.name for line in lines}) == 6
    assert len({line.color for line in lines}) == 3
    (earned,) = [chart for chart in overlay_charts([("one", state), ("other", state)], t) if chart.key == "reward"]
    assert [line.name for line in earned.series] == ["one", "other"]


def test_runs_of_pairs_laid_over_each_other_show_how_often_the_better_answer_is_ahead() -> None:
    charts = overlay_charts([("one", pair_state(3)), ("other", state_of(3))], translate)
    (ahead,) = [chart for chart in charts if chart.key == "accuracy"]
    assert [series.name for series in ahead.series] == ["one"]


def test_a_run_without_numbers_has_no_panels() -> None:
    assert run_charts(RunState(), "sft", translate) == ()
    assert overlay_charts([("a", RunState()), ("b", RunState())], translate) == ()


def test_overlay_gives_each_run_its_own_colour_in_both_charts() -> None:
    runs = [("first", state_of(5)), ("second", state_of(8))]
    validation, training = overlay_charts(runs, translate)
    for chart in (validation, training):
        assert [(series.name, series.color) for series in chart.series] == [("first", 0), ("second", 1)]


def test_json_is_strict_and_small() -> None:
    values = [1.0, math.nan, math.inf, 1 / 3]
    events = [Metrics(step=i, values={"loss": value}) for i, value in enumerate(values, 1)]
    state = RunState().fold(Stamped(i, 0.0, event) for i, event in enumerate(events, 1))
    text = to_json("run", run_charts(state, "sft", translate), translate)
    assert json.loads(text, parse_constant=pytest.fail)["charts"][0]["series"][0]["y"] == [1.0, None, None, 0.333333]
    long = to_json("run", run_charts(state_of(20_000), "sft", translate), translate)
    assert len(long) < 200_000
