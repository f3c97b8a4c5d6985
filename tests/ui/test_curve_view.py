"""The learning curve as it is shown."""

import re

import pytest

from studio.backend.learning_curve import CurveOutline, CurvePoint, CurveReading
from studio.messages import translate
from studio.ui.curve_view import curve_view, outline_view


def _t(key: str, **values: object) -> str:
    return translate(key, "en", **values)


def point(share: float, loss: float | None, status: str = "done", progress: float = 1.0) -> CurvePoint:
    return CurvePoint(f"run{share}", share, round(400 * share), loss, status, progress)


def test_what_would_be_done() -> None:
    outline = CurveOutline(((0.25, 90), (0.5, 180), (1.0, 1360)), 40, 90)
    measuring, busy = outline_view(outline, None, False, _t), outline_view(outline, None, True, _t)
    assert "3 runs of 90 steps" in measuring
    assert "90 (25%) · 180 (50%) · 1,360 (100%)" in measuring
    assert _t("ui.more.time.measuring") in measuring
    assert _t("ui.more.time.busy") in busy
    assert "about 2 min 5 s in all" in outline_view(outline, 125, False, _t)
    assert "d-notes" not in measuring
    assert "Only 19 validation rows" in outline_view(CurveOutline(outline.parts, 19, 90), None, False, _t)


def test_while_it_is_measured() -> None:
    points = (point(0.25, 1.5), point(0.5, None, "running", 0.4), point(1.0, None, "queued", 0.0))
    reading = CurveReading(points, "ui.curve.waiting", {"done": 1, "runs": 3})
    made = curve_view(reading, 2, None, "en", _t)
    assert "1 of 3 runs are done" in made
    assert "2 other runs come first" in made
    assert "40%" in made
    assert "<svg" not in made  # one value is no curve
    assert _t("ui.runs.status.queued") in made
    loading = curve_view(reading, 0, "run1.0", "en", _t)
    assert "come first" not in loading
    assert _t("ui.runs.status.preparing") in loading


def test_the_curve() -> None:
    points = (point(0.25, 2.0), point(0.5, 1.5), point(1.0, 1.2))
    values = {"rows": 400, "part_rows": 200, "loss": "1.200", "part_loss": "1.500", "rise": "25.0%"}
    made = curve_view(CurveReading(points, "ui.curve.more", values), 0, None, "en", _t)
    assert "more rows will likely help" in made
    heights = [float(y) for y in re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)"', made)]
    assert heights == sorted(heights)  # downwards, as the loss falls
    assert (heights[1] - heights[0]) / (heights[2] - heights[0]) == pytest.approx(0.625, abs=0.01)
    for told in ("2.000", "1.500", "1.200", "100 rows", "400 rows"):
        assert told in made
    flat = curve_view(CurveReading((point(0.5, 1.0), point(1.0, 1.0)), "ui.curve.flat", values), 0, None, "en", _t)
    assert "nan" not in flat
