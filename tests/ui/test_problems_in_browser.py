"""What stands in the way of a run, told together in a real browser, and mended from the list."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.tiny import save_tiny

pytestmark = pytest.mark.journey
WRONG = {"training-epochs": "0", "tuner-rank": "64", "data-max_length": "600", "tuner-alpha": "0"}


def _field(page: Page, name: str) -> None:
    page.locator(f"#set-{name} input").fill(WRONG[name])
    page.locator(f"#set-{name} input").blur()


def test_all_problems_are_told_and_mended_from_the_list(page: Page, address: str, tmp_path: Path) -> None:
    rows = [{"question": f"{i}?", "answer": f"yes {i}", "old_answer": f"no {i}"} for i in range(12)]
    file = tmp_path / "two.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    remote = save_tiny(tmp_path / "remote")
    config = json.loads((remote / "config.json").read_text())
    (remote / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "own.Model"}}))
    page.goto(f"{address}/en/")
    page.click("#start-own")
    page.set_input_files("#data-file input[type=file]", file)
    page.click("#data-next")
    cost, problems = page.locator("#train-estimate"), page.locator("#train-estimate .problems li")
    expect(cost.locator(".fact").first).to_be_visible()
    page.click(".method-others summary")  # methods that need pairs offer the second answer, to be looked at
    page.click(".second-answer [data-act=way]")
    expect(page.locator("#data-role-rejected input")).to_have_value("old_answer")
    page.click("#tab-train-button")

    page.locator("#train-model input[value=folder]").check()
    page.locator("#train-source").locator("input, textarea").fill(str(remote))
    page.locator("#train-source").locator("input, textarea").blur()
    expect(problems).to_have_count(1)
    page.click("#train-advanced > button")
    for name in WRONG:
        _field(page, name)
    page.click("#train-advanced > button")
    expect(problems).to_have_count(5)
    for name in WRONG:
        assert problems.locator(f"[data-setting=set-{name}]").count() == 1
        expect(page.locator(f"#set-{name}.wrong")).to_have_count(1)

    page.click("#train-start")  # refused, with the same list
    toast = page.locator(".toast-message-text")
    expect(toast).to_contain_text("auto_map")
    assert toast.inner_text().count("\n- ") == 5
    page.click("[data-testid=toast-close]")
    expect(page.locator("#train-start")).to_be_visible()

    # Each line leads to its setting, also where it is folded; some mend it themselves.
    for name, value, left in (("tuner-alpha", "16", 4), ("training-epochs", "1", 3)):
        problems.locator(f"[data-setting=set-{name}]").click()
        field = page.locator(f"#set-{name} input")
        expect(field).to_be_focused()
        field.fill(value)
        field.blur()
        expect(problems).to_have_count(left)
    problems.locator("[data-act=way]", has_text="16").click()
    expect(page.locator("#set-tuner-rank input")).to_have_value("16")
    expect(problems).to_have_count(2)
    problems.locator("[data-act=way]", has_text="512").click()
    expect(page.locator("#set-data-max_length input")).to_have_value("512")
    expect(problems).to_have_count(1)
    page.locator("#train-model input[value=starter]").check()
    expect(problems).to_have_count(0)
    page.click("#train-start")
    expect(page.locator("#runs-progress .run-title")).to_have_text("two.jsonl")
