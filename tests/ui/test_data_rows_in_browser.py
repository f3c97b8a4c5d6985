"""Findings, table and charts of an open data set in a real browser."""

import csv
import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.journey
ROWS = "#data-table tbody tr"
SEARCH = "#data-search input, #data-search textarea"


def _open_sample(page: Page, address: str) -> None:
    page.goto(address)
    page.click("#start-own")
    page.click('[data-name="dirty-support"]')
    expect(page.locator("#data-view .d-text")).to_be_visible()  # the last thing to come of a version opened
    expect(page.locator("#data-findings .d-ready")).to_be_visible()


def _ids(page: Page) -> list[int]:
    return [int(text) for text in page.locator(f"{ROWS} td.d-id").all_inner_texts()]


def test_findings_are_filtered_turned_off_and_on_and_lead_to_all_their_rows(page: Page, address: str) -> None:
    _open_sample(page, address)
    counts = [int(text.replace(",", "")) for text in page.locator(".d-ready li b").all_inner_texts()]
    assert sum(counts) == 258
    page.locator(".d-severity label", has_text="Errors").click()
    expect(page.locator(".d-finding:visible")).to_have_count(1)
    page.locator(".d-severity label", has_text="All").click()
    finding = page.locator(".d-finding", has_text="Exact copy of an earlier row")
    finding.locator(".d-what").click()
    finding.get_by_text("Show all 18 in the table").click()
    expect(page.locator(".d-chip")).to_contain_text("Showing 18 rows – Exact copies of earlier rows")
    expect(page.locator(ROWS)).to_have_count(10)
    page.get_by_label("Last page").click()
    expect(page.locator(ROWS)).to_have_count(8)
    page.click(".d-chip button")
    expect(page.locator(".d-pager")).to_contain_text("1 to 10 of 258")
    finding.get_by_text("Turn this finding off").click()
    expect(finding).to_have_count(0)
    page.click(".d-off summary")
    expect(page.locator(".d-off li")).to_contain_text("Exact copies of earlier rows")
    page.click(".d-off button")
    expect(finding).to_have_count(1)


def test_rows_of_a_finding_are_downloaded(page: Page, address: str) -> None:
    _open_sample(page, address)
    finding = page.locator(".d-finding", has_text="Mail address")
    finding.locator(".d-what").click()
    with page.expect_download() as download:
        finding.get_by_text("Save as CSV").click()
    with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["finding"] for row in rows] == ["email"] * 3
    assert all("@" in row["question"] + row["answer"] for row in rows)
    with page.expect_download() as download:
        page.locator(".d-export button", has_text="JSONL").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").split("\n")[:-1]
    assert len({json.loads(line)["finding"] for line in lines}) == 9


def test_a_head_sorts_a_search_is_marked_and_a_row_is_reached_by_its_number(page: Page, address: str) -> None:
    _open_sample(page, address)
    head = page.locator("#data-table th", has_text="order_no")
    expect(head).to_have_attribute("aria-sort", "none")
    head.locator("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    head.locator("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    page.fill(SEARCH, "自転車")
    expect(page.locator("#data-table mark").first).to_have_text("自転車")
    expect(head).to_have_attribute("aria-sort", "descending")
    numbers = page.locator(f"{ROWS} td:nth-child(2)").all_inner_texts()
    assert numbers == sorted(numbers, reverse=True)
    head.locator("button").click()
    expect(head).to_have_attribute("aria-sort", "none")
    assert _ids(page) == sorted(_ids(page))
    page.fill(".d-jump input", "123")
    page.press(".d-jump input", "Enter")
    expect(page.locator('#data-table tr[aria-selected="true"] .d-id')).to_have_text("123")
    expect(page.locator("#data-view h3")).to_contain_text("123")
    expect(page.locator(SEARCH)).to_have_value("")
    page.fill(".d-jump input", "9999")
    page.press(".d-jump input", "Enter")
    expect(page.locator(".toast-body")).to_contain_text("9999")


@pytest.mark.parametrize("place", ["#data-lengths .d-columns", "#data-charts .d-lines"])
def test_a_bar_leads_to_its_rows(page: Page, address: str, place: str) -> None:
    _open_sample(page, address)
    page.click("#data-panel-charts-button")
    bar = page.locator(f"{place} button:not([disabled])").first
    told = bar.get_attribute("title") or ""
    count = int(told.split(":")[1].split()[0].replace(",", ""))
    bar.click()
    expect(page.locator(".d-chip")).to_contain_text(f"Showing {count} rows")
    expect(page.locator("#data-table .d-pager").last).to_contain_text(f"of {count}")
    page.click("#data-panel-charts-button")
    expect(page.locator(f"{place} button").first).to_be_visible()


def test_checks_can_be_stopped_and_begun_again_while_rows_are_looked_at(
    page: Page, address: str, tmp_path: Path
) -> None:
    file = tmp_path / "many.csv"
    lines = (
        f'"How is it in town {i} and in {i * 7}?","It is fine in {i}, and so is {i * 3}."\n' for i in range(20_000)
    )
    file.write_text("question,answer\n" + "".join(lines))
    page.goto(address)
    page.click("#start-own")
    page.set_input_files("#data-file input[type=file]", file)
    expect(page.locator("#data-scan [role=progressbar]")).to_be_visible()
    page.get_by_label("Last page").click()
    expect(page.locator('#data-table tr[data-row="20000"]')).to_be_visible()
    page.click('#data-scan [data-act="stop"]')
    expect(page.locator("#data-scan")).to_contain_text("stopped")
    page.click("#data-panel-charts-button")
    expect(page.locator("#data-lengths")).to_contain_text("once those are done")
    page.click("#data-panel-rows-button")
    page.wait_for_timeout(1_500)
    expect(page.locator("#data-findings .d-ready")).to_have_count(0)
    page.click('#data-scan [data-act="check"]')
    expect(page.locator("#data-findings .d-ready")).to_contain_text("20,000")
    expect(page.locator("#data-scan .d-scan")).to_have_count(0)
