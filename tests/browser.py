"""The Chromium that journeys click in: one that is there, else one that is installed now.

`python -m tests.browser` prints its path.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
# The Japanese page needs Japanese glyphs for its screenshots.
_PACKAGES = ("chromium", "fonts-noto-cjk")


@cache
def find_chromium() -> Path:
    """Its executable. Installs one when there is none: Debian's as root, else Playwright's own build."""
    found = _present()
    if found is None:
        _install()
        found = _present()
    if found is None:
        raise RuntimeError("No Chromium could be installed. Install Chromium or Chrome, so that `chromium` is found.")
    return found


def _present() -> Path | None:
    for name in NAMES:
        if path := shutil.which(name):
            return Path(path)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if path.is_file() else None


def _install() -> None:
    print("Installing Chromium for the journeys ...", file=sys.stderr)
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=True, env=quiet, stdout=sys.stderr)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *_PACKAGES]
        subprocess.run(command, check=True, env=quiet, stdout=sys.stderr)
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True, stdout=sys.stderr)


@contextmanager
def open_browser() -> Iterator["Browser"]:
    """A headless browser that talks to nobody but the page."""
    from playwright.sync_api import sync_playwright

    executable = find_chromium()  # before the session below: it may need one of its own, and two cannot be open at once
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


if __name__ == "__main__":
    print(find_chromium())
