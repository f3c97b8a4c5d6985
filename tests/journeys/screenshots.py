"""Pictures of every tab, to be looked at: wide, narrow, dark, Japanese; empty, mid-run, finished, with an error.

    python -m tests.journeys.screenshots [--to FOLDER] [--readme]

`--readme` writes those that README shows to assets/screenshots instead of taking all.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, expect

from tests.browser import open_browser
from tests.journeys.server import ROOT, Server, running_studio
from tests.journeys.walk import TABS, Walk

README_FOLDER = ROOT / "assets" / "screenshots"


@dataclass(frozen=True, slots=True)
class Look:
    """How the visitor sees the page."""

    language: str = "en"
    width: int = 1360
    height: int = 900
    scheme: Literal["light", "dark"] = "light"

    @property
    def name(self) -> str:
        return f"{self.language}-{self.width}-{self.scheme}"


WIDE = Look()
LOOKS = (WIDE, Look("ja"), Look(scheme="dark"), Look(width=400, height=860), Look("ja", 400, 860, "dark"))


@contextmanager
def visitor(browser: Browser, server: Server, look: Look) -> Iterator[Walk]:
    context = browser.new_context(
        locale={"en": "en-GB", "ja": "ja-JP"}[look.language],
        viewport={"width": look.width, "height": look.height},
        color_scheme=look.scheme,
        reduced_motion="reduce",
        accept_downloads=True,
    )
    context.set_default_timeout(120_000)
    walk = Walk(context.new_page())
    walk.open(server.address)
    try:
        yield walk
    finally:
        context.close()


def shoot(page: Page, path: Path, *, whole: bool = True) -> None:
    page.wait_for_timeout(900)  # fonts, charts and fades
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, full_page=whole)
    print(path)


def empty_states(browser: Browser, server: Server, folder: Path) -> None:
    for look in LOOKS:
        with visitor(browser, server, look) as walk:
            for tab in TABS:
                walk.tab(tab)
                shoot(walk.page, folder / f"empty-{tab}-{look.name}.png")


def error_state(browser: Browser, server: Server, folder: Path) -> None:
    with visitor(browser, server, WIDE) as walk, tempfile.TemporaryDirectory() as place:
        file = Path(place) / "header-only.csv"
        file.write_text("prompt,completion\n", encoding="utf-8")
        walk.press("#start-own")
        walk.page.locator("#data-file input[type=file]").set_input_files(file)
        expect(walk.page.locator("[role=tabpanel]:visible")).to_contain_text("header-only.csv")
        shoot(walk.page, folder / f"error-data-{WIDE.name}.png", whole=False)


def first_run(browser: Browser, server: Server, folder: Path, *, readme: bool) -> None:
    """The journey itself, photographed on the way."""
    suffix = "" if readme else f"-{WIDE.name}"
    with visitor(browser, server, WIDE) as walk:
        shoot(walk.page, folder / f"start{suffix}.png", whole=not readme)
        walk.try_sample()
        walk.page.locator("#data-table tbody tr").nth(1).click()
        expect(walk.page.locator("#data-view")).to_contain_text("Lucy")
        expect(walk.page.locator("#data-findings .d-ready")).to_be_visible()
        shoot(walk.page, folder / f"data{suffix}.png", whole=not readme)
        walk.continue_to_training()
        walk.choose_preset("balanced")
        walk.page.wait_for_timeout(6000)  # until the settings have settled and the cost is measured anew
        walk.estimate()
        shoot(walk.page, folder / f"train{suffix}.png", whole=not readme)
        walk.start_training()
        if not readme:
            expect(walk.page.locator("#runs-progress")).to_contain_text("Step 1")
            shoot(walk.page, folder / f"mid-run-{WIDE.name}.png")
        walk.wait_for_compare(900)
        shoot(walk.page, folder / f"runs{suffix}.png", whole=not readme)
        walk.go_to_compare()
        walk.send()
        shoot(walk.page, folder / f"compare{suffix}.png", whole=not readme)
        walk.tab("evaluate")
        expect(walk.page.locator("#evaluate-begin")).to_be_visible()
        if not walk.page.locator(".ev-decision").count():
            walk.press("#evaluate-begin")
        expect(walk.page.locator(".ev-decision")).to_be_visible(timeout=600_000)
        shoot(walk.page, folder / f"evaluate{suffix}.png", whole=not readme)
        with tempfile.TemporaryDirectory() as place:
            walk.export(Path(place) / "adapter.zip")
        walk.page.locator("#export-target").evaluate("element => element.scrollIntoView()")
        shoot(walk.page, folder / f"export{suffix}.png", whole=not readme)


def finished_states(browser: Browser, server: Server, folder: Path) -> None:
    for look in LOOKS[1:]:
        with visitor(browser, server, look) as walk:
            shoot(walk.page, folder / f"start-{look.name}.png")
            walk.try_sample()
            shoot(walk.page, folder / f"data-{look.name}.png")
            walk.continue_to_training()
            walk.estimate()
            shoot(walk.page, folder / f"train-{look.name}.png")
            walk.tab("runs")
            walk.wait_for_compare(60)
            shoot(walk.page, folder / f"runs-{look.name}.png")
            walk.go_to_compare()
            walk.send()
            shoot(walk.page, folder / f"compare-{look.name}.png")
            walk.tab("evaluate")
            expect(walk.page.locator(".ev-decision")).to_be_visible()
            shoot(walk.page, folder / f"evaluate-{look.name}.png")
            walk.tab("export")
            expect(walk.page.locator("#export-make")).to_be_visible()
            shoot(walk.page, folder / f"export-{look.name}.png")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", type=Path, default=Path("screenshots"))
    parser.add_argument("--readme", action="store_true")
    options = parser.parse_args()
    expect.set_options(timeout=120_000)
    place = tempfile.TemporaryDirectory(prefix="studio-")  # a short path: it is shown on the page
    with open_browser() as browser, place, running_studio(Path(place.name) / "workspace") as server:
        if options.readme:
            first_run(browser, server, README_FOLDER, readme=True)
        else:
            empty_states(browser, server, options.to)
            error_state(browser, server, options.to)
            first_run(browser, server, options.to, readme=False)
            finished_states(browser, server, options.to)


if __name__ == "__main__":
    main()
