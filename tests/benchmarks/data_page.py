"""How quick the Data tab is while a large data set is checked: clicks in a real browser, by the browser's own clock.

    python -m tests.benchmarks.data_page [--rows 200000] [--clicks 40]

Makes a table of about 230 characters a row, opens it on the page, and clicks from when the checks begin by themselves
until they end: a page of rows, a search, a tab, a column's order, in turn. Prints one JSON object, in seconds. Of each
kind of click `median` and `worst`: from the event's own stamp until the frame that shows what it leads to (goal of all:
0.3). `settled`: the same clicks when the checks are done. `rows_after`: from the file's choice until rows show;
`checked_after`: until the findings do.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.benchmarks.data_checks import words
from tests.browser import open_browser
from tests.journeys.server import running_studio

SEARCH = "#data-search input, #data-search textarea"
PATIENCE_MS = 580_000


def write_rows(path: Path, rows: int) -> None:
    """Questions and answers of invented words; the number of the row is in both."""
    dice = random.Random(0)
    known = words(dice, "en")
    weights = [1 / (place + 3) for place in range(len(known))]
    with path.open("w", encoding="utf-8") as file:
        for row in range(1, rows + 1):
            said = dice.choices(known, weights, k=45)
            question, answer = " ".join(said[:15]), " ".join(said[15:])
            line = {"question": f"{question} {row}?", "answer": f"{answer}, {row}.", "source": f"file {row % 9}"}
            file.write(json.dumps(line) + "\n")


# From the event that is waited for, by its own stamp, to the frame after the condition holds.
WATCH = """() => {
    window.watch = (kind, condition) => {
        const holds = new Function('return ' + condition);
        window.took = new Promise(done => {
            addEventListener(kind, event => {
                const look = () => {
                    if (!holds()) return requestAnimationFrame(look);
                    requestAnimationFrame(() => done((performance.now() - event.timeStamp) / 1000));
                };
                requestAnimationFrame(look);
            }, { once: true, capture: true });
        });
    };
}"""


class Visitor:
    """Clicks one thing after the other, and keeps how long each took."""

    def __init__(self, page: Page, rows: int) -> None:
        self._page = page
        self._rows = rows
        self._turn = 0
        self.took: dict[str, list[float]] = {}

    def click(self) -> None:
        """The next of the four kinds."""
        kinds = (self._turn_page, self._search, self._tab, self._sort)
        kinds[self._turn % len(kinds)]()
        self._turn += 1

    def _watch(self, kind: str, condition: str) -> None:
        self._page.evaluate("([kind, condition]) => watch(kind, condition)", [kind, condition])

    def _keep(self, name: str) -> None:
        self.took.setdefault(name, []).append(self._page.evaluate("took"))

    def _turn_page(self) -> None:
        first = "document.querySelector('#data-table tbody tr')?.dataset.row"
        before = self._page.evaluate(first)
        self._watch("pointerdown", f"{first} !== '{before}'")
        self._page.locator('#data-table [aria-label="Next"]').click()
        self._keep("page")

    def _search(self) -> None:
        row = random.Random(self._turn).randrange(self._rows // 2, self._rows)
        self._watch("input", f"document.querySelector('#data-table mark')?.textContent === '{row}?'")
        self._page.fill(SEARCH, f"{row}?")
        self._keep("search")
        self._page.fill(SEARCH, "")
        expect(self._page.locator("#data-table tbody tr")).to_have_count(10)

    def _tab(self) -> None:
        for name, shows in (("charts", "#data-lengths"), ("rows", "#data-table")):
            self._watch("pointerdown", f"document.querySelector('{shows}')?.checkVisibility()")
            self._page.locator(f"#data-panel-{name}-button").click()
            self._keep("tab")

    def _sort(self) -> None:
        head = "document.querySelector('#data-table th[aria-sort]').ariaSort"
        before = self._page.evaluate(head)
        self._watch("pointerdown", f"{head} !== '{before}'")
        self._page.locator("#data-table th[aria-sort] button").first.click()
        self._keep("sort")


def told(took: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    return {
        name: {"clicks": len(t), "median": round(statistics.median(t), 3), "worst": round(max(t), 3)}
        for name, t in took.items()
    }


def measure(page: Page, file: Path, rows: int, clicks: int) -> dict[str, object]:
    """Open the file, click while it is checked, and as often when that is done."""
    page.evaluate(WATCH)
    began = time.monotonic()
    page.set_input_files("#data-file input[type=file]", file)
    expect(page.locator("#data-table tbody tr")).to_have_count(10)
    shown = time.monotonic() - began
    visitor = Visitor(page, rows)
    while page.locator("#data-scan [role=progressbar]").count():
        visitor.click()
    expect(page.locator("#data-findings .d-ready")).to_be_visible()
    checked = time.monotonic() - began
    settled = Visitor(page, rows)
    for _ in range(clicks):
        settled.click()
    return {
        "rows": rows,
        "rows_after": round(shown, 1),
        "checked_after": round(checked, 1),
        "while_checked": told(visitor.took),
        "settled": told(settled.took),
        "goal": 0.3,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--clicks", type=int, default=40)
    asked = parser.parse_args()
    expect.set_options(timeout=PATIENCE_MS)
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        file = Path(folder) / "rows.jsonl"
        write_rows(file, asked.rows)
        with running_studio(Path(folder) / "studio") as server:
            page = browser.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.goto(f"{server.address}en/")
            page.click("#start-own")
            print(json.dumps(measure(page, file, asked.rows, asked.clicks)))
            page.close()


if __name__ == "__main__":
    main()
