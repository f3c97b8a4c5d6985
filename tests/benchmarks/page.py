"""How quick the page is for a visitor: to the first compared answers, under clicks while a run trains, to a new point.

    python -m tests.benchmarks.page [--clicks 40]

Prints one JSON object, in seconds. `journey`: from pressing the sample in an empty workspace until both answers are
there, and its clicks (goal: 90 s, 6 clicks, on two cores). `click`: from a click on a tab until the frame that shows
that tab's content, while a run trains, by the browser's own clock, as Interaction to Next Paint counts it (median; goal
0.3). `driven`: the same click from outside, with what the program that drives the browser takes on the same two cores.
`point`: from the commit of a step's loss until the page shows that step (worst of those seen; goal 2).
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser import open_browser
from tests.journeys import record
from tests.journeys.server import Server, running_studio
from tests.journeys.walk import TABS, Walk

SHOWN = {
    "start": "#start-state .s-steps",
    "data": "#data-next",
    "train": "#train-start",
    "runs": "#runs-progress",
}


def journey(browser: Browser, folder: Path) -> dict[str, float]:
    with running_studio(folder) as server:
        walk = Walk(browser.new_page())
        walk.open(server.address)
        began = time.monotonic()
        walk.try_sample()
        walk.continue_to_training()
        walk.start_training()
        walk.wait_for_compare(600)
        trained = time.monotonic() - began
        walk.go_to_compare()
        walk.send()
        found = {"seconds": round(time.monotonic() - began, 1), "trained": round(trained, 1), "clicks": walk.clicks}
        walk.page.close()
        return found


def under_way(browser: Browser, folder: Path, clicks: int) -> dict[str, float]:
    """Clicks and points while a run of the starter trains."""
    with running_studio(folder) as server:
        walk = Walk(browser.new_page())
        walk.open(server.address)
        walk.try_sample()
        walk.continue_to_training()
        walk.choose_preset("thorough")
        walk.start_training()
        run = record.runs(server.workspace)[0].id
        end = time.monotonic() + 300
        while record.state(server.workspace, run).step < 3:
            assert time.monotonic() < end
            time.sleep(0.2)
        points = [point_delay(walk, server, run) for _ in range(8)]
        order = ("data", "runs", "train", "start")
        walk.page.evaluate(WATCH_CLICKS)
        driven, shown = zip(*(click(walk, order[i % len(order)]) for i in range(clicks)), strict=True)
        trains = record.state(server.workspace, run).status == "running"
        walk.page.close()
        return {
            "click_median": round(statistics.median(shown), 3),
            "click_worst": round(max(shown), 3),
            "driven_median": round(statistics.median(driven), 3),
            "driven_worst": round(max(driven), 3),
            "point_worst": round(max(points), 2),
            "still_training": trains,
        }


# From the mouse going down, by the event's own stamp, to the frame after the content shows.
WATCH_CLICKS = """() => {
    window.watchClick = selector => {
        window.clickTook = new Promise(done => {
            addEventListener("pointerdown", event => {
                const look = () => {
                    const found = document.querySelector(selector);
                    if (!found || !found.checkVisibility()) return requestAnimationFrame(look);
                    requestAnimationFrame(() => done((performance.now() - event.timeStamp) / 1000));
                };
                requestAnimationFrame(look);
            }, { once: true, capture: true });
        });
    };
}"""


def click(walk: Walk, tab: str) -> tuple[float, float]:
    """Seconds until the tab's content shows: seen from outside, and by the browser's clock."""
    walk.page.evaluate("selector => watchClick(selector)", SHOWN[tab])
    began = time.monotonic()
    walk.page.locator("#studio-tabs [role=tab]").nth(TABS.index(tab)).click()
    expect(walk.page.locator(SHOWN[tab]).first).to_be_visible()
    driven = time.monotonic() - began
    return driven, walk.page.evaluate("clickTook")


def point_delay(walk: Walk, server: Server, run: str) -> float:
    """Seconds from the commit of the next step until its number is on the page."""
    last = record.state(server.workspace, run).step
    while (state := record.state(server.workspace, run)).step == last:
        time.sleep(0.02)
    committed = time.monotonic()
    # A later step on the page shows this one too.
    walk.page.wait_for_function(
        """step => {
            const shown = document.querySelector('#runs-progress').innerText.match(/Step ([0-9,]+) of/);
            return shown && Number(shown[1].replace(/,/g, '')) >= step;
        }""",
        arg=state.step,
        polling=20,
    )
    return time.monotonic() - committed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clicks", type=int, default=40)
    clicks = parser.parse_args().clicks
    expect.set_options(timeout=60_000)
    with open_browser() as browser, tempfile.TemporaryDirectory() as folder:
        first = journey(browser, Path(folder) / "journey")
        busy = under_way(browser, Path(folder) / "busy", clicks)
    goals = {"journey": 90, "clicks": 6, "click": 0.3, "point": 2}
    print(json.dumps({"journey": first, **busy, "goals": goals}))


if __name__ == "__main__":
    main()
