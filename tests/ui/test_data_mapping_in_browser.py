"""Rows said by hand in a real browser: what a row is, which column holds what, and a look at it while it is made."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.journey
EVIL = '<img src=x onerror="window.executed = 1">'


def _import(page: Page, address: str, path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    page.goto(address)
    page.click("#start-own")
    expect(page.locator(".d-sample").first).to_be_visible()
    page.set_input_files("#data-file input[type=file]", path)
    expect(page.locator("#data-heading")).to_contain_text(path.name)
    expect(page.locator("#data-kind")).to_be_visible()


def _kind(page: Page, name: str) -> None:
    page.check(f"#data-kind input[value={name}]")


def _column(page: Page, role: str, column: str) -> None:
    page.click(f"#data-role-{role} input")
    page.locator("[role=option]:visible", has_text=column).last.click()


def test_a_suggested_template_is_there_at_once(page: Page, address: str, tmp_path: Path) -> None:
    rows = [{"question": f"Animal {i}?", "choice0": EVIL, "choice1": "cat", "label": i % 2} for i in range(30)]
    _import(page, address, tmp_path / "quiz.jsonl", rows)
    expect(page.locator("#data-suggestions")).to_contain_text("Multiple choice")
    expect(page.locator("#data-role-prompt_template textarea")).to_have_value("{question}\n0. {choice0}\n1. {choice1}")
    first = page.locator(".d-preview").first
    expect(first).to_contain_text("Animal 0?")
    expect(first.locator("dd").last).to_have_text(EVIL)
    page.click("#data-mapping-apply")
    expect(page.locator("#data-view .d-text")).to_contain_text("Animal 0?")
    expect(page.locator("#data-mapping-apply")).to_be_hidden()
    assert page.evaluate("window.executed") is None


def test_a_template_is_written_with_buttons_and_seen_as_it_is_typed(page: Page, address: str, tmp_path: Path) -> None:
    rows = [{"betreff": f"Say {i}", "ort": "Rome", "erledigt": f"{i}!"} for i in range(30)]
    _import(page, address, tmp_path / "tickets.jsonl", rows)
    _kind(page, "template")
    prompt, answer = (page.locator(f"#data-role-{name}_template textarea") for name in ("prompt", "answer"))
    expect(prompt).to_have_value("betreff: {betreff}\nort: {ort}\nerledigt: {erledigt}")
    prompt.fill("In : ")
    page.evaluate("document.querySelector('#data-role-prompt_template textarea').setSelectionRange(3, 3)")
    page.click(".d-field >> text=ort")
    expect(prompt).to_have_value("In {ort}: ")
    prompt.press("End")
    page.click(".d-field >> text=betreff")
    expect(prompt).to_have_value("In {ort}: {betreff}")
    look = page.locator("#data-preview")
    expect(look).to_contain_text("In Rome: Say 0")
    expect(look).to_contain_text("Still to be chosen: Answer template")
    answer.fill("{erledigd}")
    expect(look.locator(".d-error code")).to_have_text("erledigd")
    with page.expect_response(lambda found: "/run/" in found.url and "erledigd" in (found.request.post_data or "")):
        page.click("#data-mapping-apply")
    expect(look.locator(".d-error code")).to_have_text("erledigd")
    answer.fill("{erledigt")
    expect(look).to_contain_text("has no partner")
    answer.fill("Done: {erledigt}")
    expect(look).to_contain_text("Done: 0!")
    page.click("#data-mapping-apply")
    expect(page.locator("#data-view .d-text")).to_contain_text("In Rome: Say 0")
    expect(page.locator("#data-heading")).to_contain_text("Done: {erledigt}")


def test_only_the_fields_of_a_kind_are_shown(page: Page, address: str, tmp_path: Path) -> None:
    rows = [{"frage": f"q{i}", "gut": f"yes {i}", "schlecht": "no", "daumen": i % 2 == 0} for i in range(30)]
    _import(page, address, tmp_path / "paare.jsonl", rows)
    fields = page.locator("#data-roles [id^=data-role-]:visible")
    expect(fields).to_have_count(2)
    _kind(page, "preference")
    expect(fields).to_have_count(3)
    page.click("#data-mapping-apply")
    expect(page.locator("#data-preview")).to_contain_text("Better answer")
    for role, column in (("prompt", "frage"), ("chosen", "gut"), ("rejected", "schlecht")):
        _column(page, role, column)
    expect(page.locator(".d-preview").first).to_contain_text("yes 0")
    _kind(page, "rated")
    expect(page.locator("#data-role-prompt input")).to_have_value("frage")
    expect(page.locator("#data-role-label input")).to_have_value("daumen")
    _column(page, "answer", "gut")
    expect(page.locator(".d-preview").nth(1)).to_contain_text("Thumbs down")
    _kind(page, "preference")
    expect(page.locator("#data-role-rejected input")).to_have_value("schlecht")
    page.click("#data-mapping-apply")
    expect(page.locator("#data-heading")).to_contain_text("Worse answer ← schlecht")
    expect(page.locator("#data-view .d-text").first).to_contain_text("yes 0")
