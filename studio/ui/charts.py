"""Records of runs -> what `assets/js/chart.js` draws. Pure.

Gradio's own plot rebuilds itself at every new value (6.31), which loses the zoom and flickers, and its plotting library
is 4.6 MB; so the page draws these lines itself.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from typing import Literal

from studio.runs.coach import Note, Severity
from studio.runs.events import RunState

Point = tuple[int, float]
Style = Literal["line", "faint", "dots", "dashed"]
Unit = Literal["loss", "rate", "number", "share", "bytes"]

LARGE, SMALL = 1500, 500
"""Most points drawn of one line, in the wide chart and in the small ones."""
_MANY = 60
"""Points from which on a line is smoothed."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line. `color` is its place in the palette; lines of one `group` are shown and hidden together."""

    name: str
    points: Sequence[Point]
    color: int = 0
    style: Style = "line"
    group: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A step that a note is about, by the note's number. `label` is what it says."""

    step: int
    number: int
    severity: Severity
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One panel; x is the step. With `from_zero` the vertical axis begins at 0. `about`: how to read it."""

    key: str
    title: str
    unit: Unit
    series: tuple[Series, ...]
    wide: bool = False
    from_zero: bool = False
    about: str = ""
    marks: tuple[Mark, ...] = ()


# What methods record beside their loss: the chart, what it counts, and its lines, each of training and of validation.
_METHOD_CHARTS: tuple[tuple[str, Unit, tuple[str, ...]], ...] = (
    ("accuracy", "share", ("accuracy",)),
    ("token_accuracy", "share", ("token_accuracy",)),
    ("margin", "number", ("margin",)),
    ("kl", "number", ("kl",)),
    ("reward_std", "number", ("reward_std",)),
    ("completion_tokens", "number", ("completion_tokens",)),
    ("clipped_share", "share", ("clipped_share",)),
    ("entropy", "number", ("entropy",)),
    ("rewards", "number", ("reward_chosen", "reward_rejected")),
)
_PAIR_COLORS = (2, 7)
_REWARD_COLORS = (2, 3, 4, 5, 6, 7, 1)
_ONE_REWARD = re.compile(r"reward_(\d+)_([a-z]+)")


def downsample(points: Sequence[Point], limit: int = LARGE) -> list[Point]:
    """At most `limit` of the points: the first, the last, and of each stretch between its lowest and highest."""
    if len(points) <= limit:
        return list(points)
    inner = len(points) - 2
    stretches = (limit - 2) // 2
    kept = [points[0]]
    for i in range(stretches):
        part = points[1 + i * inner // stretches : 1 + (i + 1) * inner // stretches]
        low = min(part, key=_value)
        high = max(part, key=_value)
        kept.extend((low,) if low is high else sorted((low, high)))
    kept.append(points[-1])
    return kept


def _value(point: Point) -> float:
    return point[1]


def smooth(points: Sequence[Point]) -> list[Point]:
    """Exponential moving average over about a thirtieth of the points, without the pull of its start.

    The bias correction is that of Adam (Kingma & Ba 2015, arXiv:1412.6980, section 3).
    """
    keep = 1 - 1 / max(1.0, len(points) / 30)
    total, weight, smoothed = 0.0, 0.0, []
    for step, value in points:
        total = keep * total + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        smoothed.append((step, total / weight))
    return smoothed


def run_charts(state: RunState, method: str, t: Callable[..., str]) -> tuple[Chart, ...]:
    """The panels of one run; a metric without values has none."""
    charts = []
    if lines := _both_sides(state, "reward", t):
        charts.append(_told("reward", lines, method, t))
        if lines := _each_reward(state, t):
            charts.append(_told("each_reward", lines, method, t))
    if lines := _both_sides(state, "loss", t):
        loss = Chart("loss", t("ui.runs.chart.loss"), "loss", lines, about=t(f"ui.method.{method}.read.loss"))
        charts.append(replace(loss, wide=not charts))  # beside a reward the loss says little
    for key, unit, metrics in _METHOD_CHARTS:
        lines = _both_sides(state, metrics[0], t) if len(metrics) == 1 else _pair_lines(state, metrics, t)
        if lines:
            title, about = t(f"ui.runs.chart.{key}"), t(f"ui.method.{method}.read.{key}")
            wide, from_zero = len(metrics) > 1, unit == "share"
            charts.append(Chart(key, title, unit, lines, wide=wide, from_zero=from_zero, about=about))
    small: tuple[tuple[str, Unit, bool], ...] = (
        ("learning_rate", "rate", True),
        ("grad_norm", "number", True),
        ("tokens_per_second", "number", True),
        ("memory_bytes", "bytes", True),
    )
    for color, (metric, unit, from_zero) in enumerate(small, 2):
        points = state.curves.get(metric)
        if points:
            title = t(f"ui.runs.chart.{metric}")
            line = Series(title, downsample(points, SMALL), color)
            charts.append(Chart(metric, title, unit, (line,), from_zero=from_zero))
    return tuple(charts)


def with_marks(charts: Sequence[Chart], notes: Sequence[Note], t: Callable[..., str]) -> tuple[Chart, ...]:
    """The charts, with the steps that the notes are about."""
    marks = [
        (note.metric, Mark(note.step, number, note.severity, t(f"coach.title.{note.rule}")))
        for number, note in enumerate(notes, 1)
    ]
    return tuple(replace(chart, marks=tuple(mark for key, mark in marks if key == chart.key)) for chart in charts)


def _told(key: str, lines: tuple[Series, ...], method: str, t: Callable[..., str]) -> Chart:
    """A wide chart of rewards."""
    about = t(f"ui.method.{method}.read.{key}")
    return Chart(key, t(f"ui.runs.chart.{key}"), "number", lines, wide=True, about=about)


def _both_sides(state: RunState, metric: str, t: Callable[..., str]) -> tuple[Series, ...]:
    """The line of the training rows, smoothed where it is long, and that of the validation rows."""
    points, lines = state.curves.get(metric, []), []
    if len(points) >= _MANY:
        lines.append(Series(t("ui.runs.chart.each_step"), downsample(points), 0, "faint", "training"))
        lines.append(Series(t("ui.runs.chart.training"), downsample(smooth(points)), 0, "line", "training"))
    elif points:
        lines.append(Series(t("ui.runs.chart.training"), points, 0, "line", "training"))
    validation = state.curves.get(f"validation_{metric}", [])
    if validation:
        lines.append(Series(t("ui.runs.chart.validation"), downsample(validation), 1, "dots", "validation"))
    return tuple(lines)


def _pair_lines(state: RunState, metrics: Sequence[str], t: Callable[..., str]) -> tuple[Series, ...]:
    """Two metrics in one chart, a colour for each."""
    lines = []
    for metric, color in zip(metrics, _PAIR_COLORS, strict=True):
        lines += _line_of(state, metric, t(f"ui.runs.chart.{metric}"), color, t)
    return tuple(lines)


def _line_of(state: RunState, metric: str, name: str, color: int, t: Callable[..., str]) -> list[Series]:
    """A metric called `name`, in one colour: of the training rows, smoothed where it is long, and of the validation
    rows."""
    lines = []
    if points := state.curves.get(metric, []):
        lines.append(Series(name, downsample(smooth(points) if len(points) >= _MANY else points), color, group=metric))
    if points := state.curves.get(f"validation_{metric}", []):
        told = t("ui.runs.chart.of_validation", name=name)
        lines.append(Series(told, downsample(points), color, "dots", f"validation_{metric}"))
    return lines


def _each_reward(state: RunState, t: Callable[..., str]) -> tuple[Series, ...]:
    """Every reward of a run that has several, in one chart; their names tell what they praise."""
    found = [match for name in state.curves if (match := _ONE_REWARD.fullmatch(name))]
    kinds = [match[2] for match in found]
    lines = []
    for match, color in zip(found, cycle(_REWARD_COLORS), strict=False):
        name = t(f"ui.reward.{match[2]}")
        if kinds.count(match[2]) > 1:
            name = f"{name} ({int(match[1]) + 1})"
        lines += _line_of(state, match[0], name, color, t)
    return tuple(lines)


def overlay_charts(runs: Sequence[tuple[str, RunState]], t: Callable[..., str]) -> tuple[Chart, ...]:
    """Training and validation losses of several runs, how often the better answer is ahead, and what answers earn; a
    colour for each."""
    training, validation, accuracy, reward = [], [], [], []
    for color, (name, state) in enumerate(runs):
        loss = state.curves.get("loss", [])
        if loss:
            training.append(Series(name, downsample(smooth(loss)), color, "line", str(color)))
        points = state.curves.get("validation_loss", [])
        if points:
            validation.append(Series(name, downsample(points), color, "dots", str(color)))
        ahead = state.curves.get("validation_accuracy", [])
        if ahead:
            accuracy.append(Series(name, downsample(ahead), color, "dots", str(color)))
        earned = state.curves.get("validation_reward", [])
        if earned:
            reward.append(Series(name, downsample(earned), color, "dots", str(color)))
    charts = []
    if reward:
        charts.append(Chart("reward", t("ui.runs.chart.validation_reward"), "number", tuple(reward), wide=True))
    if validation:
        charts.append(Chart("validation", t("ui.runs.chart.validation_loss"), "loss", tuple(validation), wide=True))
    if training:
        charts.append(Chart("training", t("ui.runs.chart.training_loss"), "loss", tuple(training), wide=True))
    if accuracy:
        title = t("ui.runs.chart.validation_accuracy")
        charts.append(Chart("accuracy", title, "share", tuple(accuracy), wide=True, from_zero=True))
    return tuple(charts)


def to_json(view: str, charts: Sequence[Chart], t: Callable[[str], str]) -> str:
    """The value of the page's chart element. While `view` stays the same, the user's zoom stays.

    Numbers are cut to six digits: more cannot be seen.
    """
    return json.dumps(
        {
            "view": view,
            "words": {name: t(f"ui.runs.chart.{name}") for name in ("step", "reset", "zoom")},
            "charts": [
                {
                    "key": chart.key,
                    "title": chart.title,
                    "unit": chart.unit,
                    "wide": chart.wide,
                    "zero": chart.from_zero,
                    "about": chart.about,
                    "marks": [asdict(mark) for mark in chart.marks],
                    "series": [
                        {
                            "name": series.name,
                            "color": series.color,
                            "style": series.style,
                            "group": series.group,
                            "x": [step for step, _ in series.points],
                            "y": [_short(value) for _, value in series.points],
                        }
                        for series in chart.series
                    ],
                }
                for chart in charts
            ],
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def _short(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
