"""Exports in a real browser: each target to its download, stopped, found again, put on the Hub, made of what is from
elsewhere."""

import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import pytest
from playwright.sync_api import Page, expect

from studio.backend.publishing import Publishing
from studio.ui.app import create_server
from tests.backend.made import Made, make
from tests.hub_server import TOKEN, StandIn, running
from tests.models.adapters import save_plain
from tests.served import served
from tests.tiny import save_tiny

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def hub() -> Iterator[StandIn]:
    with running(StandIn()) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        yield hub


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, hub: StandIn) -> Iterator[Made]:
    models = tmp_path_factory.mktemp("models")
    save_tiny(models / "llama", "llama")
    made = make(tmp_path_factory.mktemp("studio"), models)
    made.run(strength=4.0)
    online = replace(made.studio.settings, offline=False)
    made.studio.publishing = Publishing(online, made.studio.store, hub.address)
    yield made
    made.studio.close()


@pytest.fixture(scope="module")
def address(made: Made) -> Iterator[str]:
    with served(create_server(made.studio)) as address:
        yield address


def open_tab(page: Page, address: str, language: str = "en") -> None:
    page.goto(f"{address}/{language}/#export")
    expect(page.locator("#export-target input").first).to_be_attached()
    expect(page.locator("#export-plan dd").first).to_be_visible()


def choose(page: Page, target: str) -> None:
    """In exact numbers: the adapters are random, and half of their answers are near-ties."""
    page.locator(f"#export-target input[value={target}]").check()
    expect(page.locator("#export-state")).to_be_empty()
    if target == "adapter":
        return
    numbers = "float32" if target == "merged" else "F32"
    page.locator("#export-numbers input").click()
    page.locator("[role=option]").filter(has_text=f"{numbers} ·").click()
    expect(page.locator("#export-numbers input")).to_have_value(re.compile(f"^{numbers} "))


def wait(page: Page) -> None:
    expect(page.locator("#export-state .exp-result")).to_be_visible()
    expect(page.locator("#export-cancel")).to_be_hidden()


def download(page: Page, folder: Path) -> Path:
    with page.expect_download() as found:
        page.click("#export-download")
    file = folder / found.value.suggested_filename
    found.value.save_as(file)
    return file


@pytest.mark.parametrize("language", ["en", "ja"])
def test_each_target_to_its_download(page: Page, address: str, made: Made, language: str, tmp_path: Path) -> None:
    open_tab(page, address, language)
    wanted = {"adapter": "adapter_model.safetensors", "merged": "model.safetensors", "gguf": ".gguf"}
    for target, file in (wanted if language == "en" else {"gguf-adapter": ".gguf"}).items():
        choose(page, target)
        page.click("#export-make")
        wait(page)
        expect(page.locator(".exp-files").first).to_contain_text(file)
        if target == "merged":
            page.click("#export-zip")
            expect(page.locator("#export-download")).to_be_visible()
        got = download(page, tmp_path)
        if target.startswith("gguf"):
            assert got.read_bytes()[:4] == b"GGUF"
        else:
            with zipfile.ZipFile(got) as archive:
                assert file in archive.namelist()
                assert archive.testzip() is None
                assert archive.read("README.md").decode().count("---") >= 2
        expect(page.locator("#export-made")).to_contain_text(made.studio.exports.made()[0].path.name)


def test_one_under_way_is_found_by_other_pages_and_stopped(page: Page, address: str, made: Made) -> None:
    open_tab(page, address)
    choose(page, "merged")
    before = {path.name for path in made.studio.exports.folder.iterdir()}
    page.click("#export-make")
    expect(page.locator("#export-state [role=progressbar]")).to_be_visible()
    page.reload()  # the same, and a second one
    second = page.context.new_page()
    second.goto(f"{address}/ja/#export")
    for visitor in (page, second):
        expect(visitor.locator("#export-target input[value=merged]")).to_be_checked()
        expect(visitor.locator("#export-state [role=progressbar]")).to_be_visible()
        expect(visitor.locator("#export-make")).to_be_disabled()
    second.click("#export-cancel")
    for visitor in (page, second):
        expect(visitor.locator("#export-cancel")).to_be_hidden()
        expect(visitor.locator("#export-make")).to_be_enabled()
        expect(visitor.locator("#export-state")).to_be_empty()
    assert made.studio.exports.under_way() == ()
    assert {path.name for path in made.studio.exports.folder.iterdir()} == before
    second.close()


def test_what_was_made_elsewhere_is_exported(page: Page, address: str, made: Made, tmp_path: Path) -> None:
    adapter = save_plain(tmp_path / "their adapter", strength=0.5)
    open_tab(page, address)
    page.click("#export-elsewhere > button")
    page.fill("#export-folder input, #export-folder textarea", str(tmp_path / "nothing"))
    page.click("#export-take")
    expect(page.locator(".toast-wrap")).to_contain_text("nothing")
    page.fill("#export-folder input, #export-folder textarea", str(adapter))
    page.fill("#export-base input, #export-base textarea", str(made.models / "llama"))
    page.click("#export-take")
    expect(page.locator("#export-outside")).to_contain_text("their adapter")
    choose(page, "merged")
    page.click("#export-make")
    wait(page)
    expect(page.locator("#export-made")).to_contain_text("their-adapter")
    page.click("#tab-runs-button")
    page.click("#tab-export-button")
    expect(page.locator("#export-outside")).to_contain_text("their adapter")  # it stays, with its result
    expect(page.locator("#export-state .exp-result")).to_be_visible()
    page.locator("#export-run input").click()
    page.locator("[role=option]").first.click()
    expect(page.locator("#export-outside")).to_be_empty()
    expect(page.locator("#export-state")).to_be_empty()


def test_an_export_goes_to_the_hub(page: Page, address: str, hub: StandIn) -> None:
    open_tab(page, address)
    choose(page, "adapter")
    page.click("#export-make")
    wait(page)
    page.locator("#publish-repo input, #publish-repo textarea").fill("owner/taken")
    page.locator("#publish-token input").fill(TOKEN)
    page.click("#publish-look")
    expect(page.locator("#publish-terms")).to_contain_text("owner/taken")
    assert ("model", "owner/taken") not in hub.repositories
    page.click("#publish-send")
    expect(page.locator("#publish-made a")).to_be_visible()
    repository = hub.repositories["model", "owner/taken"]
    assert repository.private
    assert "adapter_model.safetensors" in repository.files
