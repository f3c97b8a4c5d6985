"""A file that takes long to work on, opened in a browser, and what the workspace keeps of what was begun."""

import random
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect


def open_long(page: Page, address: str, path: Path, rows: int) -> None:
    """A file whose rows take a long time to compare; nothing else is going on in the studio."""
    draw = random.Random(0)
    words = ("red", "blue", "slow", "quick", "small", "large", "old", "warm", "river", "house", "garden", "bridge")
    texts = (" ".join(draw.choices(words, k=12)) for _ in range(2 * rows))
    lines = [f"Where is the {next(texts)} {i}?,By the {next(texts)}." for i in range(rows)]
    path.write_text("\n".join(["question,answer", *lines]), encoding="utf-8")
    page.goto(address)
    page.locator("#start-own").click()
    expect(page.locator(".d-sample").first).to_be_visible()
    page.locator("#data-file input[type=file]").set_input_files(path)
    expect(page.locator("#data-heading")).to_contain_text(path.name)
    page.locator('#data-scan [data-act="stop"]').click()
    expect(page.locator('#data-scan [data-act="check"]')).to_be_visible()


def kept(workspace: Path) -> set[str]:
    """Names of the data that lie in the workspace."""
    return {item.name for item in (workspace / "datasets").iterdir()}


def eventually(is_so: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until it is so. Raises AssertionError: it never was."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)
