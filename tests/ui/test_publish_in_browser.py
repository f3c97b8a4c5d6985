"""Putting an export on the Hub, in a real browser: nothing is sent unseen, and the token stays nowhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import gradio as gr
import huggingface_hub.constants
import pytest
from fastapi import FastAPI
from playwright.sync_api import Page as Visitor
from playwright.sync_api import expect

from studio.backend.publishing import Publishing
from studio.backend.studio import Studio
from studio.messages import LANGUAGES
from studio.settings import Settings
from studio.ui.page import Page, chosen
from studio.ui.publish_view import build_publish
from studio.ui.theme import make_theme, read_css
from tests.hub_server import COMMIT, TOKEN, Fault, Repository, StandIn, running
from tests.served import served

pytestmark = pytest.mark.journey
REPO = ("model", "owner/support")


@dataclass
class Site:
    address: str
    hub: StandIn
    export: Path
    workspace: Path


def build(studio: Studio, language: str, export: Path) -> gr.Blocks:
    """The block alone, for one export."""
    with gr.Blocks(fill_width=True) as blocks:
        tabs = gr.Tabs()
        page = Page(studio, language, tabs, chosen("version", "w"), chosen("run", "w"))
        with tabs, gr.Tab("Export"), gr.Column(elem_classes="exp-page"):
            source = gr.State(None)
            build_publish(page, source)
        blocks.load(lambda: str(export), None, source)
    return blocks


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    settings = Settings(workspace=tmp_path / "workspace")
    export = settings.workspace / "exports" / "friendly-support"
    export.mkdir(parents=True)
    (export / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Card\n", encoding="utf-8")
    (export / "adapter_config.json").write_text("{}", encoding="utf-8")
    (export / "adapter_model.safetensors").write_bytes(bytes(range(256)) * 20_000)
    with Studio(settings, worker=False) as studio, running(StandIn()) as hub:
        there = Publishing(settings, studio.store, hub.address)
        seen = cast(Studio, SimpleNamespace(publishing=there, settings=settings))
        app = FastAPI()
        for language in LANGUAGES:
            blocks = build(seen, language, export)
            gr.mount_gradio_app(
                app, blocks, f"/{language}", theme=make_theme(), css=read_css(settings.assets), ssr_mode=False
            )
        with served(app) as address:
            yield Site(address, hub, export, settings.workspace)


def ask(page: Visitor, site: Site, repo: str = "owner/support", token: str = TOKEN, language: str = "en") -> None:
    page.goto(f"{site.address}/{language}/")
    fill(page, repo, token)


def fill(page: Visitor, repo: str = "owner/support", token: str = TOKEN) -> None:
    page.locator("#publish-repo input, #publish-repo textarea").fill(repo)
    page.locator("#publish-token input").fill(token)
    page.click("#publish-look")


def everything_kept(page: Visitor, site: Site) -> str:
    """What the browser keeps, the page itself, and every file of the workspace."""
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    fields = page.evaluate("[...document.querySelectorAll('input, textarea')].map(one => one.value).join()")
    files = [path.read_bytes().decode("latin-1") for path in site.workspace.rglob("*") if path.is_file()]
    return "\n".join([kept, fields, page.content(), *files])


def test_an_export_is_seen_agreed_to_and_sent(page: Visitor, site: Site) -> None:
    ask(page, site)
    terms = page.locator("#publish-terms")
    expect(terms).to_contain_text("owner/support")
    for told in ("Only you", "the repository will be made", "3 files, 5.1 MB", "apache-2.0", "No file of rows"):
        expect(terms).to_contain_text(told)
    terms.locator("summary").click()
    expect(terms.locator("li")).to_have_count(3)
    assert [one for one in site.hub.requests if one.method != "GET"] == []  # nothing is sent unseen
    page.click("#publish-send")
    link = page.locator("#publish-made a")
    expect(link).to_have_text("owner/support")
    assert link.get_attribute("href") == f"{site.hub.address}/owner/support"
    there = site.hub.repositories[REPO]
    assert there.private
    assert there.files["adapter_model.safetensors"] == (site.export / "adapter_model.safetensors").read_bytes()
    expect(page.locator("#publish-token input")).to_have_value("")
    assert TOKEN not in everything_kept(page, site)
    page.reload()
    expect(page.locator("#publish-made")).to_contain_text(there.head[:12])
    assert TOKEN not in everything_kept(page, site)


def test_public_only_when_it_is_asked_for(page: Visitor, site: Site) -> None:
    page.goto(f"{site.address}/en/")
    box = page.locator("#publish-private input")
    expect(box).to_be_checked()
    box.uncheck()
    fill(page)
    expect(page.locator("#publish-terms")).to_contain_text("Everybody on the internet")
    page.click("#publish-back")
    box.check()
    page.click("#publish-look")
    expect(page.locator("#publish-terms")).to_contain_text("Only you")
    page.click("#publish-back")
    box.uncheck()
    page.click("#publish-look")
    expect(page.locator("#publish-terms .ev-caution")).to_be_visible()
    page.click("#publish-send")
    expect(page.locator("#publish-made")).to_contain_text("public")
    assert not site.hub.repositories[REPO].private


def test_what_is_there_goes_only_when_that_is_said(page: Visitor, site: Site) -> None:
    site.hub.repositories[REPO] = Repository(True, [(COMMIT, {"old.txt": b"old"})])
    ask(page, site)
    expect(page.locator(".toast-wrap")).to_contain_text("1 files")
    page.locator("#publish-replace input").check()
    page.click("#publish-look")
    expect(page.locator("#publish-terms")).to_contain_text("will be replaced")
    page.click("#publish-send")
    expect(page.locator("#publish-made a")).to_be_visible()
    assert "old.txt" not in site.hub.repositories[REPO].files


def test_a_wrong_token(page: Visitor, site: Site) -> None:
    ask(page, site, token="hf_nobody0123456789")
    expect(page.locator(".toast-wrap")).to_contain_text("does not know this token")
    fill(page)
    expect(page.locator("#publish-terms")).to_contain_text("owner/support")


def test_a_push_that_is_stopped_shows_nothing(page: Visitor, site: Site) -> None:
    site.hub.faults = [Fault(lambda method, path: method == "PUT", after=100_000, silent=2)]
    ask(page, site)
    page.click("#publish-send")
    expect(page.locator("#publish-state [role=progressbar]")).to_be_visible()
    page.click("#publish-stop")
    expect(page.locator("#publish-note")).to_contain_text("Stopped")
    expect(page.locator("#publish-token input")).to_have_value("")
    site.hub.faults = []
    fill(page)
    page.click("#publish-send")
    expect(page.locator("#publish-made a")).to_be_visible()
    assert len(site.hub.repositories[REPO].commits) == 2


def test_a_push_that_is_refused_midway(page: Visitor, site: Site) -> None:
    site.hub.faults = [Fault(lambda method, path: method == "PUT", 403, "quota")]
    ask(page, site, language="ja")
    page.click("#publish-send")
    expect(page.locator(".toast-wrap")).to_contain_text("書き込めません（quota）")
    expect(page.locator("#publish-form")).to_be_visible()
    assert TOKEN not in everything_kept(page, site)
