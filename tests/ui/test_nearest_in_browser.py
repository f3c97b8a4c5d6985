"""A plan that does not fit into memory, made to fit by one press."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.backend.studio import Studio
from studio.models.device import detect_device
from studio.runs.spec import with_changes
from studio.settings import Settings
from studio.training.memory import MEMORY_SHARE, held_bytes
from tests.ui.conftest import served

pytestmark = pytest.mark.journey
ROWS = 200


@pytest.fixture(scope="module")
def little(workspace: Path, assets: Path) -> Iterator[str]:
    """The address of a studio with room for about half of a batch of all rows of its data."""
    file = workspace.parent / "thumbs.jsonl"  # whose batches are computed at once on a processor, too
    rows = [{"prompt": f"{i}?", "completion": "yes " * 60, "label": i % 2 == 0} for i in range(ROWS)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = Settings(workspace=workspace, assets=assets)
    with Studio(settings, worker=False) as studio:
        spec = studio.default_spec(studio.datasets.import_file(file).id, method="kto")
        fitting = studio.estimate(with_changes(spec, {"training.batch_size": 100}))  # what 100 rows take
    room = int(max(fitting.memory_bytes, held_bytes(detect_device())) / MEMORY_SHARE)
    settings = Settings(workspace, assets, memory_bytes=room)
    with Studio(settings, worker=False) as studio, served(studio) as address:
        yield address


def test_the_nearest_plan_is_one_press_away(page: Page, little: str) -> None:
    page.goto(f"{little}/en/")
    page.click("#tab-data-button")
    page.click("[data-act=version]")
    page.click("#tab-train-button")
    cost = page.locator("#train-estimate")
    expect(cost.locator(".fact-time dd")).not_to_have_text("")
    batch, accumulation = (page.locator(f"#set-training-{name} input") for name in ("batch_size", "accumulation"))
    batch.fill("1000")
    batch.blur()
    refusal = page.locator("#train-refusal")
    button = refusal.locator("[data-act=nearest]")
    expect(button).to_be_visible()
    page.click("#train-start")  # refused, with the reason
    expect(page.locator(".toast-wrap")).to_contain_text("MB")
    expect(page.locator("#train-start")).to_be_visible()
    found = re.search(r"batch (\d+) × (\d+)", refusal.inner_text())
    assert found is not None
    assert int(found[1]) * int(found[2]) == 1000
    page.reload()  # the form begins anew; what was measured of the plan is kept
    expect(cost.locator(".fact").first).to_be_visible()
    batch.fill("1000")
    batch.blur()
    page.click("#train-start")
    expect(page.locator(".toast-wrap")).to_contain_text("MB")
    expect(button).to_be_visible()
    button.click()
    expect(batch).to_have_value(found[1])
    expect(button).to_have_count(0)
    page.click("#train-advanced > button")
    expect(accumulation).to_have_value(found[2])
    expect(cost.locator(".measuring")).to_have_count(0)
