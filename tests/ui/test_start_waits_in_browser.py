"""Start pressed at once after a change: the run has what was changed and all that follows from it."""

import json
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from studio.backend.studio import Studio
from studio.runs.spec import RunSpec

SLOW = 0.15  # s, each answer of the page's server


def _slow(page: Page) -> None:
    def later(route: Route) -> None:
        time.sleep(SLOW)
        route.continue_()

    page.route("**/run/**", later)


@pytest.fixture
def form(page: Page, address: str, tmp_path: Path) -> Page:
    """The Train tab with rows that SFT and preference tuning can learn from, on a slow connection."""
    rows = [{"prompt": f"{i}?", "chosen": f"yes {i}", "rejected": f"no {i}"} for i in range(40)]
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    page.goto(f"{address}/en/")
    page.click("#start-own")
    page.set_input_files("#data-file input[type=file]", file)
    page.click("#data-next")
    expect(page.locator("#train-estimate .fact").first).to_be_visible()
    _slow(page)
    return page


def _started(page: Page, studio: Studio, name: str) -> RunSpec:
    page.fill("#train-name input, #train-name textarea", name)
    page.click("#train-start")
    expect(page.locator("#runs-progress .run-title")).to_have_text(name)
    return next(run.record.spec for run in studio.runner.runs() if run.record.name == name)


def test_start_waits_for_the_form(form: Page, open_studio: Studio) -> None:
    form.check("#train-method input[value=sft]", force=True)
    form.check("#train-preset input[value=balanced]")
    spec = _started(form, open_studio, "Answers")
    expected = open_studio.default_spec(spec.data.version, "balanced", spec.model.source, "sft")
    assert (spec.method.kind, spec.training) == ("sft", expected.training)

    form.click("#tab-train-button")
    form.check("#train-method input[value=dpo]", force=True)
    spec = _started(form, open_studio, "Pairs")
    expected = open_studio.default_spec(spec.data.version, "balanced", spec.model.source, "dpo")
    assert (spec.method, spec.training) == (expected.method, expected.training)
