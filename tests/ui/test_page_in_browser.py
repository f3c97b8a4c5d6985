"""The page in a real browser: texts of the data never run, nothing is fetched elsewhere, a refresh loses nothing."""

import asyncio
import csv
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from studio.ui import app
from tests.tiny import save_tiny
from tests.ui.conftest import PATIENCE_MS

pytestmark = pytest.mark.journey
RUNS = "window.executed = (window.executed || 0) + 1"
PAYLOADS = (
    f'<img src=x onerror="{RUNS}">',
    f"<script>{RUNS}</script>",
    f'"><svg onload="{RUNS}"></svg>',
    f'</div></td></tr></table><iframe srcdoc="<script>parent.{RUNS}</script>"></iframe>',
    f"[link](javascript:{RUNS}) ![](https://tracker.example/a.png) $\\href{{javascript:{RUNS}}}{{x}}$",
    "{{constructor.constructor('window.executed = 1')()}} ${window.executed = 1}",
    "\x1b[31mred\u202etxt.exe",
)


def _open(page: Page, address: str) -> None:
    page.goto(address)
    page.click("#start-own")
    expect(page.locator(".d-sample").first).to_be_visible()


def test_payloads_in_cells_columns_and_file_names_are_shown_as_text(page: Page, address: str, tmp_path: Path) -> None:
    file = tmp_path / "<img src=x onerror=executed++> & .csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow([f"{PAYLOADS[0]} a", f"{PAYLOADS[1]} b"])
        writer.writerows([payload, f"answer {payload}"] for payload in (*PAYLOADS, PAYLOADS[0], ""))
    _open(page, address)
    page.set_input_files("#data-file input[type=file]", file)
    expect(page.locator("#data-table tbody tr")).to_have_count(len(PAYLOADS) + 2)
    expect(page.locator("#data-table")).to_contain_text(PAYLOADS[0])
    for role, place in (("prompt", 1), ("answer", 2)):
        page.click(f"#data-role-{role} input")
        page.locator("ul[role=listbox] li").nth(place).click()
    page.click("#data-mapping-apply")
    expect(page.locator("#data-view .d-text")).to_contain_text(PAYLOADS[0])
    page.click("#data-findings summary .d-what >> nth=0")
    for row in range(1, len(PAYLOADS) + 1):
        page.click(f'#data-table tr[data-row="{row}"]')
        expect(page.locator("#data-view h3")).to_contain_text(str(row))
    page.click('#data-findings [data-fixes="drop_blank"]')
    expect(page.locator("#data-report .d-change")).to_contain_text("answer")
    for tab in ("train", "runs", "compare", "export", "start", "data"):
        page.click(f"#tab-{tab}-button")
    page.wait_for_timeout(500)
    assert page.evaluate("window.executed") is None
    assert page.locator("img[src=x], iframe[srcdoc], a[href^=javascript]").count() == 0


def test_a_file_that_cannot_be_opened_is_told_as_text(page: Page, address: str, tmp_path: Path) -> None:
    file = tmp_path / "<b onmouseover=executed++>bad.csv"
    file.write_bytes(b"PK\x03\x04 no table")
    _open(page, address)
    page.set_input_files("#data-file input[type=file]", file)
    expect(page.locator("#data-problem")).to_contain_text("bad.csv")
    assert page.locator("#data-problem b").count() == 0
    assert page.evaluate("window.executed") is None


def test_a_document_leads_on_to_training_too_and_another_file_can_be_opened(
    page: Page, address: str, tmp_path: Path
) -> None:
    (tmp_path / "story.txt").write_text("Once upon a time there was a ship. It sailed far away.\n" * 40)
    (tmp_path / "pairs.csv").write_text("question,answer\n" + "".join(f"q{i},a{i}\n" for i in range(30)))
    _open(page, address)
    page.locator("#data-file input[type=file]").set_input_files(tmp_path / "story.txt")
    expect(page.locator("#data-heading")).to_contain_text("story.txt")
    expect(page.locator("#data-next")).to_be_enabled()
    page.click("#data-other")
    page.locator("#data-file input[type=file]").set_input_files(tmp_path / "pairs.csv")
    expect(page.locator("#data-heading")).to_contain_text("pairs.csv")
    expect(page.locator("#data-next")).to_be_enabled()


def test_a_refresh_and_the_other_language_show_the_same_data(page: Page, address: str) -> None:
    _open(page, address)
    page.click('[data-name="support-en"]')
    expect(page.locator("#data-view .d-text")).to_be_visible()
    page.reload()
    expect(page.locator("#data-heading")).to_contain_text("support-en.jsonl")
    page.click(".studio-languages a[lang=ja]")
    page.wait_for_url("**/ja/#data")
    expect(page.locator("#data-heading")).to_contain_text("support-en.jsonl")
    expect(page.locator("#data-next")).to_have_text("学習へ進む")
    assert page.evaluate("document.documentElement.lang") == "ja"


def test_a_language_that_is_slow_to_come_comes(page: Page, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio reloads a page that it takes for cut off, which broke off the way to the next one."""
    build, slow = app._LanguagePages._page, [6.0]  # Gradio looks every 2 s

    async def later(pages: Any, language: str) -> Any:
        if language == "ja" and slow:
            await asyncio.sleep(slow.pop())
        return await build(pages, language)

    monkeypatch.setattr(app._LanguagePages, "_page", later)
    _open(page, f"{address}/en/")
    page.click('[data-name="support-en"]')
    expect(page.locator("#data-view .d-text")).to_be_visible()
    page.click(".studio-languages a[lang=ja]")
    page.wait_for_url("**/ja/#data")
    assert slow == []


def test_rows_can_be_reached_and_opened_by_keyboard_and_searched(page: Page, address: str) -> None:
    _open(page, address)
    page.click('[data-name="dirty-support"]')
    expect(page.locator("#data-view .d-text")).to_be_visible()
    page.focus('#data-table tr[data-row="3"]')
    page.keyboard.press("Enter")
    expect(page.locator("#data-view h3")).to_contain_text("3")
    page.get_by_label("Next", exact=True).click()
    expect(page.locator('#data-table tr[data-row="11"]')).to_be_visible()
    page.fill("#data-search input, #data-search textarea", "bicycle")
    expect(page.locator('#data-table tr[data-row="11"]')).to_have_count(0)
    expect(page.locator("#data-table tbody tr").first).to_contain_text("bicycle")


def test_the_page_fits_a_telephone(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 400, "height": 850}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    small = context.new_page()
    _open(small, address)
    small.click('[data-name="support-en"]')
    expect(small.locator("#data-view .d-text")).to_be_visible(timeout=PATIENCE_MS)
    assert small.evaluate("document.documentElement.scrollWidth") <= 400
    context.close()


# Notes whom Gradio tells that a handler is at work.
_LISTEN = """async () => {
  const places = performance.getEntriesByType('resource').map(({name}) => name);
  const place = places.find((name) => /statustracker-/.test(name));
  const statuses = Object.values(await import(place)).find((found) => found?.prototype?.resolve_args).prototype;
  const told = statuses.resolve_args;
  window.told = [];
  statuses.resolve_args = function (event) {
    const those = told.call(this, event);
    window.told.push(...those.map(({id}) => id));
    return those;
  };
}"""


def test_no_field_is_told_that_a_handler_reads_it(page: Page, address: str) -> None:
    """Gradio looks for each from the top of the page: of a form of a hundred, that took most of the browser's time."""
    _open(page, address)
    expect(page.locator("html")).to_have_attribute("data-statuses", "quiet")
    page.click('[data-name="support-en"]')
    expect(page.locator("#data-next")).to_be_visible()
    page.evaluate(_LISTEN)
    page.click("#tab-train-button")
    page.locator("#set-training-epochs input").fill("2")
    page.locator("#set-training-epochs input").press("Tab")
    page.wait_for_function("window.told.length > 2")
    config = page.request.get(f"{page.url.split('#')[0].rstrip('/')}/config").json()
    read = {field for function in config["dependencies"] for field in function["inputs"]}
    shown = {
        field for function in config["dependencies"] for field in function["show_progress_on"] or function["outputs"]
    }
    assert set(page.evaluate("window.told")) & (read - shown) == set()


def test_a_page_that_is_left_alone_asks_for_nothing(page: Page, address: str, tmp_path: Path) -> None:
    """But for news of runs. Handlers that set each other off would keep the machine busy for ever."""
    page.goto(address)
    config = page.request.get(f"{page.url.rstrip('/')}/config").json()
    names = {function["id"]: function["api_name"] for function in config["dependencies"]}
    page.click("#start-own")
    page.click('[data-name="support-en"]')
    page.click("#tab-train-button")
    page.locator("#train-model input[value=folder]").check()
    page.locator("#train-source :is(textarea, input)").fill(str(save_tiny(tmp_path / "model")))
    expect(page.locator("#train-estimate .fact-time dd")).not_to_have_text("")
    asked: list[str] = []
    looks = 0

    def note(request: Request) -> None:
        nonlocal looks
        if found := re.search(r'"fn_index":(\d+)', request.post_data or ""):
            name = names[int(found[1])]
            looks += name.startswith("look")
            asked.extend([name] if not name.startswith("look") else [])

    page.on("request", note)
    for tab in ("train", "runs", "compare", "export", "start", "data", "train"):
        page.click(f"#tab-{tab}-button")
        for _ in range(20):  # a busy machine is slow to show what is shown first; a loop is never done
            asked.clear()
            page.wait_for_timeout(3000)
            if not asked:
                break
        assert asked == [], tab
    assert looks
