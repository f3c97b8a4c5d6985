"""The chat template in a real browser: asked for where the model brings none, and forgotten with that model."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.tiny import save_tiny

pytestmark = pytest.mark.journey


def test_it_is_chosen_beside_the_model_that_has_none(page: Page, address: str, tmp_path: Path) -> None:
    bare = save_tiny(tmp_path / "bare", "gpt2", chat_template=None)
    rows = [{"question": f"いくつ {n}?", "answer": f"It is {n}."} for n in range(12)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    page.goto(f"{address}/en/")
    page.click("#tab-data-button")
    page.locator("#data-file input[type=file]").set_input_files(file)
    page.click("#data-next")

    place, read = page.locator("#train-template"), page.locator("#train-template-example .d-text")
    expect(page.locator("#train-start")).to_be_visible()
    expect(place).to_be_hidden()
    page.locator("#train-model input[value=folder]").check()
    source = page.locator("#train-source").locator("input, textarea")
    expect(source).to_be_visible()
    source.fill(str(bare))
    expect(page.locator("#train-model-info")).to_contain_text("brings no chat template")
    expect(read).to_contain_text("### User:\nいくつ 0?\n\n### Assistant:\nIt is 0.", use_inner_text=True)

    place.locator("input[value=chatml]").check()
    expect(read).to_contain_text("<|im_start|>user\nいくつ 0?<|im_end|>", use_inner_text=True)
    expect(page.locator("#train-estimate")).to_contain_text("cut into up to 12 pieces")
    page.locator("#train-preset input[value=balanced]").check()
    page.click("#train-advanced button")
    setting = page.locator("#set-model-chat_template input")
    expect(page.locator("#set-model-precision")).to_be_visible()
    expect(setting).to_be_hidden()
    expect(place.locator("input[value=chatml]")).to_be_checked()

    page.locator("#train-model input[value=starter]").check()
    expect(place).to_be_hidden()
    expect(setting).to_have_value("own")
