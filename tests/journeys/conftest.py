"""Every journey has a studio and a browser profile of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

PATIENCE_MS = 90_000  # a machine that trains meanwhile is slow; speed is measured by the benchmarks
LOCALES = {"en": "en-GB", "ja": "ja-JP"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.journey)


@pytest.fixture
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A visitor whose browser prefers `language` (a parameter of the test; English unless it has one)."""
    language = request.node.callspec.params.get("language", "en") if hasattr(request.node, "callspec") else "en"
    made = browser.new_context(
        locale=LOCALES[language],
        viewport={"width": 1360, "height": 900},
        accept_downloads=True,
        reduced_motion="reduce",  # animations take a processor, which the studio needs to train
    )
    made.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    yield made
    made.close()
