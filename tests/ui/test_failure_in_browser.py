"""A run that failed, in a real browser: why, and the button that mends it, with which the next one is done."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.backend.studio import Studio
from studio.runs.spec import with_changes

pytestmark = pytest.mark.journey


def test_rows_that_are_cut_before_their_answer(page: Page, address: str, open_studio: Studio, tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    row = '{"question": "What is it that the lamp in the window of the shop costs, %d?", "answer": "Nine."}\n'
    file.write_text("".join(row % place for place in range(9)), encoding="utf-8")
    version = open_studio.datasets.import_file(file).id
    changes = {"data.max_length": 16, "training.epochs": 1, "training.evaluations": 1}
    spec = with_changes(open_studio.default_spec(version, "quick-look"), changes)
    failed = open_studio.runner.submit(spec)
    assert open_studio.runner.run_now(failed.id).key == "error.train.all_cut"

    page.goto(f"{address}/en/#runs")
    told = page.locator("#runs-words .failure")
    expect(told).to_contain_text("Rows are cut before their answer")
    expect(told).to_contain_text("before its first step")
    told.locator("[data-act=change]").click()
    length = page.locator("#set-data-max_length input").first
    expect(length).to_have_value("80")
    expect(page.locator("#set-training-epochs input").first).to_have_value("1")
    assert [run.record.id for run in open_studio.runner.runs()] == [failed.id]  # nothing starts by itself
    page.click("#train-start")
    expect(page.locator("#runs-list [data-run]")).to_have_count(2)
    mended = next(run.record for run in open_studio.runner.runs() if run.record.id != failed.id)
    assert mended.spec == with_changes(failed.spec, {"data.max_length": 80, "preset": ""})  # no preset's any more
    assert open_studio.runner.run_now(mended.id).status == "done"
    expect(page.locator("#runs-progress .chip-done")).to_be_visible()
    expect(told).to_have_count(0)
