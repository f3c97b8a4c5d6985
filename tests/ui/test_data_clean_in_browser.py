"""Cleaning in a real browser: a draft of fixes, applied, looked at, taken back, saved and used on other data."""

import re
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page, expect

from tests.ui.long_work import eventually, kept, open_long

pytestmark = pytest.mark.journey


def open_sample(page: Page, address: str, name: str = "dirty-support") -> None:
    page.goto(address)
    page.locator("#start-own").click()
    page.locator(f'[data-name="{name}"]').click()
    expect(page.locator("#data-findings .d-finding").first).to_be_visible()


def open_panel(page: Page, name: str) -> None:
    page.locator(f"#data-panel-{name}-button").click()


def version(page: Page) -> str:
    return page.locator("#data-version input").input_value()


def _load(page: Page, recipe: Path) -> None:
    with page.expect_file_chooser() as choosing:
        page.locator("#data-recipe-load").click()
    choosing.value.set_files(recipe)


def test_three_fixes_applied_brought_back_undone_and_used_again(page: Page, address: str, tmp_path: Path) -> None:
    open_sample(page, address)
    open_panel(page, "clean")
    suggested, draft = page.locator("#data-suggested"), page.locator("#data-draft-steps li")
    for fix in ("drop_duplicates", "repair_text", "drop_blank"):
        suggested.locator(f'[data-fixes="{fix}"]').click()
        expect(suggested.locator(f'[data-fixes="{fix}"]')).to_be_disabled()
    expect(draft).to_have_text([re.compile("Repair garbled"), re.compile("blank rows"), re.compile("duplicates")])
    draft.nth(2).locator('[data-act="up"]').click()
    expect(draft).to_have_text([re.compile("Repair garbled"), re.compile("duplicates"), re.compile("blank rows")])
    draft.nth(1).locator('[data-act="down"]').click()
    expect(draft.nth(2)).to_contain_text("duplicates")
    page.locator("#data-clean-apply").click()
    expect(page.locator("#data-clean-outcome")).to_contain_text("258 rows became 227")
    expect(page.locator("#data-history .d-done li")).to_have_count(3)
    expect(draft).to_have_count(0)

    page.locator('#data-clean-outcome [data-act="look"]').click()
    report = page.locator("#data-report")
    expect(report).to_contain_text("Version 2: 258 rows became 227")
    report.locator('[data-act="step"]', has_text="Remove duplicates").click()
    expect(report).to_contain_text("The 18 rows of this step")
    expect(report.locator('[data-act="restore"]')).to_have_count(18)
    report.locator('[data-act="restore"]').first.click()
    expect(report).to_contain_text("Version 3: 258 rows became 228")
    expect(report).to_contain_text("Bring rows back: 1")
    expect(report.locator(".d-change", has_text="brought back")).to_have_count(1)

    report.locator('[data-act="version"]').click()
    expect(report).to_contain_text("Version 2: 258 rows became 227")
    open_panel(page, "clean")
    with page.expect_download() as saving:
        page.locator("#data-recipe-save").click()
    saved = tmp_path / "recipe.yaml"
    saving.value.save_as(saved)
    steps = yaml.safe_load(saved.read_text(encoding="utf-8"))["steps"]
    assert [step["fix"] for step in steps] == ["repair_text", "drop_blank", "drop_duplicates"]

    page.locator("#data-other").click()
    other = tmp_path / "other.csv"
    lines = [f"Question {i}?,Answer number {i}." for i in range(30)]
    other.write_text("\n".join(["question,answer", *lines, lines[4], "Nothing?, "]), encoding="utf-8")
    page.locator("#data-file input[type=file]").set_input_files(other)
    expect(page.locator("#data-heading")).to_contain_text("other.csv")
    open_panel(page, "clean")
    _load(page, saved)
    expect(draft).to_have_count(3)
    page.locator("#data-clean-apply").click()
    expect(page.locator("#data-clean-outcome")).to_contain_text("32 rows became 30")
    _load(page, saved)
    expect(draft).to_have_count(3)
    page.locator("#data-clean-apply").click()
    expect(page.locator("#data-clean-outcome")).to_contain_text("no new version")

    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("steps: [drop_blank, polish]", encoding="utf-8")
    _load(page, wrong)
    expect(page.locator("#data-recipe-problem")).to_contain_text("polish")


def test_what_a_step_would_do_shows_before_it_is_added(page: Page, address: str) -> None:
    open_sample(page, address)
    open_panel(page, "clean")
    page.locator("#data-clean-replace-button").click()
    preview = page.locator("#data-find-preview")
    page.get_by_label("Find", exact=True).fill("blue door shop")
    page.get_by_label("Replace with").fill("Red Door Shop")
    expect(preview).to_contain_text(re.compile(r"Would change \d+ of 258 rows"))
    expect(preview.locator("ins").first).to_have_text("Red")
    page.locator("#data-find-case input").check()
    expect(preview).to_contain_text("Would change none of 258 rows")
    page.locator("#data-find-regex input").check()
    page.get_by_label("Find", exact=True).fill("(")
    expect(preview.locator(".d-error")).to_be_visible()
    page.get_by_label("Find", exact=True).fill("(B)lue Door")
    expect(preview.locator("del").first).to_be_visible()
    page.locator("#data-find-add").click()
    expect(page.locator("#data-draft-steps li")).to_contain_text("Replace “(B)lue Door” with “Red Door Shop”")

    page.locator("#data-clean-filter-button").click()
    page.get_by_label("The text").fill("puzzle")
    expect(page.locator("#data-keep-preview")).to_contain_text("Would leave out 9 of 258 rows; 249 stay")
    page.get_by_label("Keep only these").check()
    expect(page.locator("#data-keep-preview")).to_contain_text("Would leave out 249 of 258 rows; 9 stay")


def test_a_row_edited_added_and_left_out_by_hand(page: Page, address: str) -> None:
    open_sample(page, address, "support-en")
    form, report = page.locator("#data-edit"), page.locator("#data-report")
    page.locator("#data-table tbody tr").nth(2).click()
    expect(page.locator("#data-view")).to_contain_text("Row 3 as")
    form.locator('[data-act="edit"]').click()
    expect(form).to_contain_text("Edit row 3")
    first = form.locator("textarea").first
    expect(first).to_be_focused()
    before = first.input_value()
    assert len(before) > 10
    first.fill(f"{before} no JSON")
    first.press("Control+Enter")
    expect(form.locator("label .d-error")).to_have_text(re.compile("^messages holds JSON"))
    expect(first).to_be_focused()
    first.fill(before.replace("warranty", "<b>warranty</b>"))
    first.press("Control+Enter")
    expect(report.locator(".d-change")).to_contain_text("<b>warranty</b>")
    expect(form.locator("textarea")).to_have_count(0)

    form.locator('[data-act="add"]').click()
    form.locator('[data-act="save"]').click()
    expect(form.locator('[role="alert"]')).to_contain_text("Nothing was written")
    form.locator("textarea").first.fill(
        '[{"role": "user", "content": "New?"}, {"role": "assistant", "content": "Yes."}]'
    )
    form.locator('[data-act="save"]').click()
    expect(report).to_contain_text("400 rows became 401")
    form.locator('[data-act="exclude"]').click()
    expect(report).to_contain_text("401 rows became 400")
    report.locator('[data-act="restore"]').click()
    expect(report).to_contain_text("became 401")
    report.locator('[data-act="version"]').click()
    expect(report).to_contain_text("401 rows became 400")


def test_a_long_cleaning_can_be_stopped(page: Page, address: str, workspace: Path, tmp_path: Path) -> None:
    open_long(page, address, tmp_path / "long.csv", 150_000)
    before, was = kept(workspace), version(page)
    open_panel(page, "clean")
    page.locator("#data-fix input").click()
    page.locator("[role=option]", has_text="Remove near duplicates").click()
    page.locator("#data-fix-add").click()
    draft = page.locator("#data-draft-steps li")
    expect(draft).to_have_count(1)
    page.locator("#data-clean-apply").click()
    expect(page.locator("#data-clean-working [role=progressbar]")).to_be_visible()
    page.locator("#data-clean-stop").click()
    outcome = page.locator("#data-clean-outcome")
    expect(outcome).to_contain_text("Nothing was changed")
    expect(page.locator("#data-clean-stop")).to_be_hidden()
    page.wait_for_timeout(2_000)  # what comes late must not wipe out what was told
    expect(outcome).to_contain_text("Nothing was changed")
    expect(page.locator("#data-clean-working [role=progressbar]")).to_have_count(0)
    expect(draft).to_have_count(1)  # the steps are still there, to be applied again
    assert version(page) == was
    eventually(lambda: kept(workspace) == before)
