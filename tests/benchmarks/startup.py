"""From the command to a page that can be used, and whether torch was loaded for it.

    python -m tests.benchmarks.startup [--tries 5]

Prints one JSON object. `seconds` runs from the start of the process until the first tab's button can be pressed in a
browser that is already open; the first try warms the disk and does not count. It must stay under 3.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser

from tests.browser import open_browser
from tests.journeys.server import running_studio


def measure(browser: Browser, workspace: Path) -> tuple[float, float, bool]:
    """Seconds to the page, seconds to the address alone, and whether torch's library is in the process."""
    page = browser.new_page()
    began = time.monotonic()
    with running_studio(workspace) as server:
        page.goto(server.address)
        page.locator("#start-sample").click(trial=True)  # visible, still, and takes clicks
        seconds = time.monotonic() - began
        maps = Path(f"/proc/{server.process.pid}/maps")
        heavy = maps.is_file() and "libtorch" in maps.read_text(encoding="utf-8")
        address = server.seconds_to_start
    page.close()
    return seconds, address, heavy


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tries", type=int, default=5)
    tries = parser.parse_args().tries
    with open_browser() as browser, tempfile.TemporaryDirectory() as folder:
        measured = [measure(browser, Path(folder) / str(i)) for i in range(tries + 1)][1:]
    print(json.dumps({
        "seconds": round(statistics.median(m[0] for m in measured), 2),
        "address_seconds": round(statistics.median(m[1] for m in measured), 2),
        "torch_loaded": any(m[2] for m in measured),
        "goal": 3,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
