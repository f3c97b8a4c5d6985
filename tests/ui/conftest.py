"""A studio to visit in a real browser, with a tiny model in place of the starter."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.backend.studio import Studio
from studio.settings import Settings
from studio.ui.app import create_server
from tests.served import served, tiny_assets

PATIENCE_MS = 90_000


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the studio keeps what it makes."""
    return tmp_path_factory.mktemp("studio") / "workspace"


@pytest.fixture(scope="module")
def assets(workspace: Path) -> Path:
    """What the studio comes with, but for the starter: a tiny model is in its place."""
    return tiny_assets(workspace.parent)


@pytest.fixture(scope="module")
def open_studio(workspace: Path, assets: Path) -> Iterator[Studio]:
    """A studio with a tiny model in place of the starter; nothing trains by itself."""
    with Studio(Settings(workspace=workspace, assets=assets), worker=False) as studio:
        yield studio


@pytest.fixture(scope="module")
def address(open_studio: Studio) -> Iterator[str]:
    """Where its page is."""
    with served(create_server(open_studio)) as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A visitor; `requests` of the page object's context are checked at the end: none leaves this machine."""
    context = browser.new_context(locale="en-GB", reduced_motion="reduce")  # animations take a processor
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    yield context.new_page()
    context.close()
    assert [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))] == []
