"""Data opened in a real browser: files, a folder, pasted text; what is wrong is told in place; an import that is
cancelled or left by a refresh leaves nothing."""

import json
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.ui.data_bench import VIEWS
from tests.data.test_hub_data import StandIn
from tests.data.test_hub_data import folder as _hub_folder
from tests.journeys.server import running_studio
from tests.ui.conftest import PATIENCE_MS
from tests.ui.long_work import eventually, kept

pytestmark = pytest.mark.journey
FILES = "#data-file input[type=file]"
hub_folder = _hub_folder


def _open(page: Page, address: str) -> None:
    page.goto(address)
    page.click("#start-own")
    expect(page.locator(".d-sample").first).to_be_visible()


def _two(folder: Path) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    (folder / "pairs.csv").write_text("question,answer\n" + "".join(f"q{i},a{i}\n" for i in range(20)))
    rows = [json.dumps({"question": f"r{i}", "answer": "b", "extra": "x"}) for i in range(20)]
    (folder / "more.jsonl").write_text("\n".join([*rows, "{broken"]))
    return folder / "pairs.csv", folder / "more.jsonl"


def _slow(path: Path) -> Path:
    """A file that takes some seconds to read."""
    row = '"空の色は何色ですか。\n","青いです。とても青いです。"\n'
    path.write_bytes(("質問,回答\n" + row * 700_000).encode("cp932"))
    return path


def test_several_files_become_one_table(page: Page, address: str, tmp_path: Path) -> None:
    _open(page, address)
    page.set_input_files(FILES, list(_two(tmp_path)))
    heading = page.locator("#data-heading")
    expect(heading).to_contain_text("pairs.csv +1")
    expect(heading).to_contain_text("40 rows")
    expect(page.locator("#data-table thead")).to_contain_text("source")
    heading.locator("summary").click()
    expect(heading.locator("details li")).to_contain_text("more.jsonl · Line 21")


def test_a_folder_is_opened_with_all_that_can_be_read(page: Page, address: str, tmp_path: Path) -> None:
    _two(tmp_path / "mine")
    _two(tmp_path / "mine" / "inner")
    (tmp_path / "mine" / "letter.docx").write_bytes(b"no table")
    _open(page, address)
    with page.expect_file_chooser() as chooser:
        page.click("#data-folder")
    chooser.value.set_files(tmp_path / "mine")
    heading = page.locator("#data-heading")
    expect(heading).to_contain_text("80 rows")
    expect(heading).to_contain_text("letter.docx")
    expect(heading).to_contain_text("4 files")


def test_what_is_wrong_is_told_in_place_and_nothing_is_lost(page: Page, address: str, tmp_path: Path) -> None:
    (tmp_path / "photo.bin").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    _open(page, address)
    page.click("#data-way-paste-button")
    page.fill("#data-paste-name input, #data-paste-name textarea", "my notes")
    page.click("#data-paste-open")
    problem = page.locator("#data-problem")
    expect(problem).to_contain_text("my notes")
    page.click("#data-way-files-button")
    page.set_input_files(FILES, tmp_path / "photo.bin")
    expect(problem).to_contain_text("photo.bin")
    page.click("#data-way-hub-button")
    page.fill("#data-hub input, #data-hub textarea", "no name")
    page.click("#data-hub-look")
    expect(problem).to_contain_text("no name")
    page.click("#data-way-paste-button")
    expect(page.locator("#data-paste-name").locator("input, textarea")).to_have_value("my notes")
    page.fill("#data-paste textarea", "question\tanswer\nWhy?\tSo.\n")
    page.click("#data-paste-open")
    expect(page.locator("#data-heading")).to_contain_text("my notes")
    expect(page.locator("#data-table tbody tr")).to_have_count(1)
    page.click("#data-other")
    expect(problem).to_be_hidden()
    page.fill("#data-paste textarea", "Once upon a time there was a ship. It sailed far away.")
    page.click("#data-paste-open")
    expect(page.locator("#data-heading")).to_contain_text("Plain text")


def test_an_import_can_be_cancelled_and_a_refresh_ends_it(
    page: Page, address: str, workspace: Path, tmp_path: Path
) -> None:
    slow, (small, _) = _slow(tmp_path / "slow.csv"), _two(tmp_path)
    _open(page, address)
    before = kept(workspace)
    page.set_input_files(FILES, slow)
    expect(page.locator("#data-import-bar [role=progressbar]")).to_be_visible()
    expect(page.locator("#data-file")).to_be_hidden()
    assert kept(workspace) > before
    page.click("#data-cancel")
    expect(page.locator("#data-problem")).to_contain_text("cancelled")
    eventually(lambda: kept(workspace) == before)
    page.wait_for_timeout(1_500)  # what comes late must not wipe out what was told
    expect(page.locator("#data-problem")).to_contain_text("cancelled")

    page.set_input_files(FILES, slow)
    expect(page.locator("#data-import-bar [role=progressbar]")).to_be_visible()
    page.reload()
    eventually(lambda: kept(workspace) == before)
    expect(page.locator("#data-file")).to_be_visible()
    expect(page.locator("#data-earlier")).not_to_contain_text("slow.csv")
    page.set_input_files(FILES, small)
    expect(page.locator("#data-heading")).to_contain_text("pairs.csv")


def test_a_hub_data_set_is_looked_up_and_opened(page: Page, hub_folder: Path, tmp_path: Path) -> None:
    hub = StandIn(hub_folder)
    threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    variables = {
        "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip
    with running_studio(tmp_path / "workspace", **variables) as server:
        _open(page, server.address)
        page.click("#data-way-hub-button")
        page.fill("#data-hub input, #data-hub textarea", "owner/tiny")
        page.click("#data-hub-look")
        config, split = (page.locator(f"#data-hub-{name} input") for name in ("config", "split"))
        expect(config).to_have_value("ja")
        config.click()
        page.locator("[role=option]", has_text="en").click()
        expect(config).to_have_value("en")
        config.click()
        page.locator("[role=option]", has_text="ja").click()
        expect(page.locator("#data-problem")).to_be_hidden()
        split.click()
        page.locator("[role=option]", has_text="dev").click()
        page.fill("#data-hub-rows input", "1")
        page.click("#data-hub-open")
        expect(page.locator("#data-heading")).to_contain_text("owner/tiny/ja/dev")
        expect(page.locator("#data-heading")).to_contain_text("1 row")

        hub.files = {"tiny.py": b"raise SystemExit", "README.md": b""}
        page.click("#data-other")
        page.click("#data-hub-look")
        expect(page.locator("#data-problem")).to_contain_text("tiny.py")
    hub.shutdown()
    hub.server_close()


def test_every_panel_can_be_reached_on_a_narrow_page(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 400, "height": 850}, reduced_motion="reduce")
    page = context.new_page()
    _open(page, address)
    page.click('[data-name="dirty-support"]')
    expect(page.locator("#data-findings .d-finding").first).to_be_visible()
    look_for, finding = page.locator("#data-heading .d-look-for"), page.locator("#data-findings .d-finding").first
    expect(look_for).to_be_visible()
    expect(finding.locator(".d-brief")).to_have_text("Empty questions or answers")
    expect(finding.locator(".d-what")).to_be_hidden()
    for name in VIEWS:
        button = page.locator(f"#data-panel-{name}-button")
        button.click(timeout=PATIENCE_MS)  # one that is covered is never clicked
        expect(button).to_have_attribute("aria-selected", "true")
        expect(page.locator(f"#data-panel-{name}")).to_be_visible()
    expect(look_for).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.click("#data-panel-rows-button")
    finding.locator(".d-brief").click()
    expect(finding.locator(".d-what")).to_contain_text("13 of 258 rows")
    context.close()
