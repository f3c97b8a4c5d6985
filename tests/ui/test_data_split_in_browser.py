"""The panel where rows are kept out of training."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.journey


def test_each_part_of_the_split_is_set_by_itself_and_a_run_begins_with_all_of_it(page: Page, address: str) -> None:
    page.goto(address)
    page.click("#start-own")
    page.click('[data-name="support-en"]')
    page.click("#data-panel-split-button")
    counts = page.locator("#data-split-counts")
    expect(counts.locator(".d-validation b")).to_have_text("40")
    page.fill("#data-seed input", "5")
    page.press("#data-seed input", "Enter")
    page.check("#data-group input")
    page.focus("#data-test input[type=range]")
    for _ in range(10):  # from the 10 % that it begins with
        page.keyboard.press("ArrowRight")
    expect(counts.locator(".d-test b")).to_have_text("80")
    expect(counts.locator(".d-train b")).to_have_text("280")
    page.click("#data-split-counts summary >> nth=1")
    expect(counts.locator("details[open] li")).to_have_count(8)
    page.focus("#data-share input[type=range]")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    expect(counts.locator(".d-validation b")).to_have_text("80")
    expect(counts.locator(".d-test b")).to_have_text("80")

    page.fill("#data-seed input", "")
    page.press("#data-seed input", "Enter")
    expect(counts.locator(".d-error")).to_contain_text("Split seed")
    page.fill("#data-seed input", "5")
    page.press("#data-seed input", "Enter")
    expect(counts.locator(".d-test b")).to_have_text("80")

    page.reload()
    page.click("#data-panel-split-button")
    expect(page.locator("#data-seed input")).to_have_value("5")
    expect(page.locator("#data-test input[type=number]")).to_have_value("20")
    expect(page.locator("#data-group input")).to_be_checked()
    page.click("#data-next")
    expect(page.locator("#set-data-split-validation_share input")).to_have_value("0.2")
    page.click("#train-advanced > button")
    expect(page.locator("#set-data-split-test_share input")).to_have_value("0.2")
    expect(page.locator("#set-data-split-seed input")).to_have_value("5")
    expect(page.locator("#set-data-split-group_near_duplicates input")).to_be_checked()


def test_findings_follow_the_split(page: Page, address: str, tmp_path: Path) -> None:
    words = ("amber", "basil", "cedar", "delta", "ember", "fjord", "grove", "heron", "iris", "juniper", "kelp", "lotus")
    rows = []
    for i in range(40):
        told = " ".join(words[(i * 7 + j * (i % 5 + 1)) % 12] + str(i * j) for j in range(12))
        rows += [(f"Tell me tale {i}.", told), (f"Tell me tale {i}!", f"{told}.")]
    file = tmp_path / "tales.jsonl"
    lines = [json.dumps({"question": question, "answer": answer}) for question, answer in rows]
    file.write_text("\n".join(lines), encoding="utf-8")
    page.goto(address)
    page.click("#start-own")
    page.set_input_files("#data-file input[type=file]", file)
    leaks = page.locator('#data-findings [data-name="split_leak"]')
    expect(leaks).to_have_count(1)
    page.click("#data-panel-split-button")
    expect(page.locator("#data-split-counts .d-validation b")).to_have_text("8")
    page.check("#data-group input")
    page.wait_for_timeout(1000)
    page.click("#data-panel-rows-button")
    expect(leaks).to_have_count(0)
    expect(page.locator("#data-findings .d-finding").first).to_be_visible()
