"""The panels that mix data and that measure whether more of it helps."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.ui.long_work import eventually, kept, open_long

pytestmark = pytest.mark.journey


def _open(page: Page, address: str, *names: str) -> None:
    page.goto(address)
    page.click("#start-own")
    for name in names:
        if page.locator("#data-other").is_visible():
            page.click("#data-other")
        page.click(f'[data-name="{name}"]')
        expect(page.locator("#data-heading")).to_contain_text(name)
        expect(page.locator("#data-view .d-text")).to_be_visible()  # the last of what follows a choice


def test_a_mixture_of_two_data_sets_with_a_task_held_out(page: Page, address: str) -> None:
    _open(page, address, "support-ja", "support-en")
    page.click("#data-panel-mix-button")
    page.click("#mix-several > button")
    form, plan = page.locator("#mix-form"), page.locator("#mix-plan")
    expect(plan.locator(".m-total")).to_contain_text("400 rows")
    other = form.locator("[data-add] option", has_text="support-ja").get_attribute("value")
    form.locator("[data-add]").select_option(other)
    form.locator("[data-act=add]").click()
    expect(form.locator("fieldset")).to_have_count(2)
    expect(plan.locator(".m-total")).to_contain_text("800 rows")

    form.locator("summary").first.click()
    form.locator('[data-set="question.en"]').first.check()
    form.locator("[data-act=way]").first.click()
    expect(form.locator('[data-set="question.en"]').first).to_be_checked()
    form.locator("[data-way=prompt]").fill("Ask {nobody}")
    form.locator("[data-field=weight]").nth(1).fill("-2")
    form.locator("[data-field=weight]").nth(1).press("Tab")
    expect(plan.locator(".d-error")).to_contain_text("support-ja.jsonl: Weight")
    expect(page.locator("#mix-make")).to_be_disabled()
    form.locator("[data-field=weight]").nth(1).fill("1")
    form.locator("[data-field=held_out]").nth(1).check()
    expect(plan.locator(".d-error")).to_contain_text("{nobody}")
    form.locator("[data-act=unway]").click()
    expect(plan.locator(".d-notes")).to_contain_text("support-ja.jsonl: its 400 rows are not trained on")

    for weight in ("2", "3", "5", "7"):  # faster than the studio answers
        form.locator("[data-field=weight]").nth(1).evaluate(
            "(box, value) => { box.value = value; box.dispatchEvent(new Event('change', {bubbles: true})); }", weight
        )
    page.reload()  # what was chosen is still there
    page.click("#data-panel-mix-button")
    page.click("#mix-several > button")
    expect(form.locator("[data-field=held_out]").nth(1)).to_be_checked()
    page.click("#mix-file > button")
    yaml = page.locator("#mix-yaml textarea")
    expect(yaml).to_have_value(re.compile("question.en"))
    expect(yaml).to_have_value(re.compile("weight: 7"))
    written = yaml.input_value()
    yaml.fill(written.replace("held_out: true", "held_out: maybe"))
    page.click("#mix-use")
    expect(page.locator("#mix-yaml-wrong .d-error")).to_contain_text("maybe")
    yaml.fill(written + "rows: 120\n")
    page.click("#mix-use")
    expect(plan.locator(".m-total")).to_contain_text("120 rows")

    page.fill("#mix-name input, #mix-name textarea", "<i>Shop</i> talk")
    page.click("#mix-make")
    expect(page.locator("#data-heading")).to_contain_text("<i>Shop</i> talk")
    expect(page.locator("#data-heading")).to_contain_text("120 rows")
    page.click("#mix-progress [data-act=version]")
    expect(page.locator("#data-heading")).to_contain_text("held-out tasks")
    expect(page.locator("#data-heading")).to_contain_text("400 rows")


def test_a_long_mixture_can_be_stopped(page: Page, address: str, workspace: Path, tmp_path: Path) -> None:
    open_long(page, address, tmp_path / "long.csv", 150_000)
    before, was = kept(workspace), page.locator("#data-version input").input_value()
    page.locator("#data-panel-mix-button").click()
    page.locator("#mix-several > button").click()
    expect(page.locator("#mix-make")).to_be_enabled()
    page.locator("#mix-make").click()
    progress = page.locator("#mix-progress")
    expect(progress.locator("[role=progressbar]")).to_be_visible()
    page.locator("#mix-cancel").click()
    expect(progress).to_contain_text("Nothing was made")
    expect(page.locator("#mix-make")).to_be_visible()
    expect(page.locator("#mix-cancel")).to_be_hidden()
    page.wait_for_timeout(2_000)
    expect(progress).to_contain_text("Nothing was made")
    assert page.locator("#data-version input").input_value() == was
    eventually(lambda: kept(workspace) == before)


def test_a_learning_curve_is_told_started_and_stopped(page: Page, address: str) -> None:
    _open(page, address, "extract-json")
    page.click("#data-panel-more-button")
    plan = page.locator("#curve-plan")
    expect(plan).to_contain_text("112 (25%) · 224 (50%) · 448 (100%)")
    expect(plan).to_contain_text(re.compile("about .* in all"))
    page.click("#curve-start")
    found = page.locator("#curve-found")
    expect(found).to_contain_text("0 of 3 runs are done")
    expect(found.locator(".chip-queued")).to_have_count(3)
    page.reload()
    page.click("#data-panel-more-button")
    expect(found.locator(".chip-queued")).to_have_count(3)
    expect(page.locator("#curve-start")).to_be_hidden()
    page.click("#curve-stop")
    expect(found.locator(".chip-stopped")).to_have_count(3)
    page.click("#curve-resume")
    expect(found.locator(".chip-queued")).to_have_count(3)
    page.click("#curve-look")
    expect(page.locator("#runs-list .run-card")).to_have_count(3)
