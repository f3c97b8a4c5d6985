"""The charts in a real browser: names are text, the zoom outlives new values, every panel follows the pointer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from studio.messages import translate
from studio.settings import Settings
from studio.ui.charts import Chart, Mark, Series, to_json

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAYLOAD = '<img src=x onerror="window.pwned=1">'
AREA = ".chart-area >> nth=0"
ASSETS = Settings(workspace=Path()).assets


def value(view: str, steps: int) -> str:
    points = [(i, 3 - 2 * i / 1000) for i in range(steps)]
    losses = (Series(PAYLOAD, points, 0, "line", "a"), Series("b", points[::50], 1, "dots", "b"))
    memory = (Series("Memory", [(i, 1e9) for i in range(steps)], 2),)
    charts = (Chart("loss", PAYLOAD, "loss", losses, wide=True), Chart("memory", "Memory", "bytes", memory))
    return to_json(view, charts, translate)


@pytest.fixture(scope="module")
def page(browser: "Browser") -> Iterator["Page"]:
    made = browser.new_page(viewport={"width": 1000, "height": 700})
    css = (ASSETS / "css" / "runs.css").read_text(encoding="utf-8")
    made.set_content(f"<style>{css}</style><div id='chart' class='charts'></div>")
    made.evaluate(
        """script => {
          window.props = {value: ''};
          const watch = (_, update) => { window.show = value => { window.props.value = value; update(); }; };
          Function('element', 'props', 'watch', script)(document.getElementById('chart'), window.props, watch);
        }""",
        (ASSETS / "js" / "chart.js").read_text(encoding="utf-8"),
    )
    yield made
    made.close()


def ticks(page: "Page") -> list[str]:
    return page.locator(f"{AREA} >> .chart-tick[text-anchor=middle]").all_text_contents()


def zoom(page: "Page") -> None:
    box = page.locator(AREA).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 90, steps=3)
    page.mouse.up()


def test_names_are_text(page: "Page") -> None:
    page.evaluate("value => show(value)", value("text", 100))
    assert page.locator("#chart img").count() == 0
    assert page.evaluate("window.pwned") is None
    assert page.locator(".chart-title").first.text_content() == PAYLOAD
    assert PAYLOAD in page.locator(".chart-key").first.text_content()  # type: ignore[operator]


def test_the_zoom_outlives_new_values_and_ends_with_the_view(page: "Page") -> None:
    page.evaluate("value => show(value)", value("one", 500))
    whole = ticks(page)
    zoom(page)
    near = ticks(page)
    assert near != whole
    page.evaluate("value => show(value)", value("one", 520))
    assert ticks(page) == near
    assert page.locator(".chart-reset").first.is_visible()
    page.locator(".chart-reset").first.click()
    assert ticks(page) != near
    zoom(page)
    page.evaluate("value => show(value)", value("another", 500))
    assert ticks(page) == whole


def test_pointing_tells_the_values_of_the_step_and_marks_it_everywhere(page: "Page") -> None:
    page.evaluate("value => show(value)", value("pointed", 500))
    page.locator(AREA).hover()
    tip = page.locator(".chart-tip >> nth=0")
    assert tip.is_visible()
    assert tip.locator(".chart-tip-row").count() == 2
    assert page.locator(".chart-cursor[visibility=visible]").count() == 2


def test_a_line_can_be_hidden(page: "Page") -> None:
    page.evaluate("value => show(value)", value("hidden", 500))
    strokes = page.locator(f"{AREA} >> .chart-stroke")
    assert strokes.count() == 2
    page.locator(".chart-key").nth(1).click()
    assert strokes.count() == 1
    assert page.locator(".chart-key").nth(1).get_attribute("aria-pressed") == "false"


def test_marks_stand_at_their_steps_one_below_the_other_where_they_are_close(page: "Page") -> None:
    marks = (
        Mark(99, 2, "info", "b"),
        Mark(20, 1, "warn", PAYLOAD),
        Mark(21, 3, "warn", "c"),
        Mark(900, 4, "info", "d"),
    )
    points = [(i, 1.0) for i in range(100)]
    chart = Chart("loss", "Loss", "loss", (Series("a", points),), wide=True, marks=marks)
    page.evaluate("value => show(value)", to_json("marked", (chart,), translate))
    drawn = page.locator(".chart-mark")
    assert drawn.locator("text").all_text_contents() == ["1", "3", "2"]
    assert drawn.locator("title").all_text_contents() == [PAYLOAD, "c", "b"]
    first, close, last = [box for mark in drawn.locator("circle").all() if (box := mark.bounding_box())]
    assert first["y"] == last["y"] < close["y"]
    assert page.evaluate("window.pwned") is None
    zoom(page)  # the last is out of sight
    assert drawn.count() < 3


def test_no_charts_leave_nothing(page: "Page") -> None:
    page.evaluate("value => show(value)", value("full", 10))
    page.evaluate("value => show(value)", json.dumps({"view": "none", "words": {}, "charts": []}))
    assert page.locator("#chart").inner_html() == ""
