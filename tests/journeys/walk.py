"""The steps of a visitor on the page, each by the element a user would touch."""

import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

# A frame after a field came into view Gradio fills it: what is typed before that, on a busy machine, is lost.
_FILLED = "() => new Promise((next) => requestAnimationFrame(() => setTimeout(next, 200)))"
TABS = ("start", "data", "train", "runs", "compare", "evaluate", "export")


@dataclass
class Answers:
    """What the two columns say, and who they are."""

    prompt: str
    base: str
    tuned: str
    tuned_head: str


@dataclass
class Walk:
    """One visitor. `clicks` counts what was pressed; `page_errors` what the browser complained about."""

    page: Page
    clicks: int = 0
    page_errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def open(self, address: str, fragment: str = "") -> None:
        """Open the page and wait until it can be used. Requests to anybody else are noted."""
        own = address.rstrip("/")
        self.page.on("pageerror", lambda error: self.page_errors.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url, own))
        self.page.goto(address + fragment)
        expect(self.page.locator("#start-sample, #data-file, #runs-list, #train-start").first).to_be_attached()
        expect(self.page.locator("#studio-tabs")).to_be_visible()

    def _note(self, url: str, own: str) -> None:
        if not url.startswith((own, "data:", "blob:")):
            self.elsewhere.append(url)

    def press(self, selector: str) -> None:
        self.page.locator(selector).click()
        self.clicks += 1
        if selector.endswith(".label-wrap"):
            self.page.evaluate(_FILLED)

    def tab(self, name: str) -> None:
        """Go to a tab by its button at the top."""
        self.tab_button(name).click()
        self.clicks += 1

    def tab_button(self, name: str) -> Locator:
        return self.page.locator("#studio-tabs [role=tab]").nth(TABS.index(name))

    # Data

    def try_sample(self) -> None:
        self.press("#start-sample")
        expect(self.page.locator("#data-next")).to_be_visible()
        expect(self.page.locator("#data-table table, #data-table [role=table]").first).to_be_visible()

    def open_sample(self, name: str) -> None:
        self.press("#start-own")
        self.press(f'[data-name="{name}"]')
        expect(self.page.locator("#data-next")).to_be_visible()

    def panel(self, name: str) -> None:
        """Open a panel of the Data tab."""
        self.press(f"#data-panel-{name}-button")

    def fix_all(self) -> None:
        """Press the button that fixes all findings that can be fixed."""
        self.press("#data-findings [data-act=fix].s-main")
        expect(self.page.locator("#data-report [data-act=version]")).to_be_visible()

    def undo(self) -> None:
        """Open the version before the fixes."""
        self.press("#data-report [data-act=version]")
        expect(self.page.locator("#data-report [data-act=version]")).to_have_count(0)

    def slide(self, selector: str, value: float) -> None:
        """Set a slider by the number beside it."""
        box = self.page.locator(f"{selector} input[type=number]")
        expect(box).to_be_visible()
        self.page.evaluate(_FILLED)
        box.fill(f"{value:g}")
        box.press("Tab")

    def upload(self, path: Path) -> None:
        self.press("#start-own")
        self.page.locator("#data-file input[type=file]").set_input_files(path)
        expect(self.page.locator("#data-next")).to_be_visible()
        expect(self.page.locator("#data-heading")).to_contain_text(path.name)

    def map_column(self, role: str, column: str) -> None:
        """Say which column is what, in the lists that a layout nobody knows opens."""
        box = self.page.locator(f"#data-role-{role} input")
        option = self.page.locator("[role=option]").filter(has_text=re.compile(rf"^\W*{column}$"))
        expect(box).to_be_visible()
        for _ in range(20):  # the lists are filled a moment after the file's name is shown
            box.click()
            self.page.wait_for_timeout(500)
            if option.is_visible():
                option.click()
                return
            box.press("Escape")
        raise AssertionError(f"{column} is not offered as {role}")

    def continue_to_training(self) -> None:
        self.press("#data-next")
        expect(self.page.locator("#train-start")).to_be_visible()

    # Train

    def choose_model(self, folder: Path) -> None:
        """A model folder; done when the settings follow it and the page tells what it is."""
        rate, about = self.page.locator("#set-training-learning_rate input"), self.page.locator("#train-model-info")
        expect(about).to_contain_text(re.compile(r"\d"))
        starter_rate, starter = rate.input_value(), about.inner_text()
        self.page.locator("#train-model input[value=folder]").check()
        box = self.page.locator("#train-source").locator("input, textarea")
        expect(box).to_be_visible()
        expect(rate).not_to_have_value(starter_rate)
        box.fill(str(folder))
        expect(about).not_to_have_text(starter)
        expect(about).to_contain_text(re.compile(r"\d"))

    def choose_preset(self, name: str) -> None:
        self.page.locator(f"#train-preset input[value={name}]").check()

    def set_number(self, setting: str, value: float) -> None:
        """A setting of the form by its path, such as `training.epochs`."""
        box = self.page.locator(f"#set-{setting.replace('.', '-')} input")
        box.fill(f"{value:g}")
        box.press("Tab")

    def estimate(self) -> str:
        """What the run will cost, once it is measured."""
        expect(self.page.locator("#train-estimate dd").first).to_be_visible()
        expect(self.page.locator("#train-estimate .measuring")).to_have_count(0)
        return self.page.locator("#train-estimate").inner_text()

    def start_training(self) -> None:
        self.press("#train-start")
        expect(self.page.locator("#runs-progress")).to_be_visible()

    # Runs

    def wait_for_compare(self, seconds: float) -> None:
        """Until the run trains no more and there is something to compare. Fails early when it left nothing."""
        stop, resume, compare = (self.page.locator(f"#runs-{name}") for name in ("stop", "resume", "compare"))
        end, without = time.monotonic() + seconds, 0
        while not (compare.is_visible() and not stop.is_visible()):
            without = without + 1 if resume.is_visible() and not stop.is_visible() else 0
            assert without < 10, self.page.locator("#runs-words").inner_text()
            assert time.monotonic() < end, f"the run is not finished after {seconds} s"
            self.page.wait_for_timeout(300)

    def wait_until_done(self, name: str, seconds: float) -> None:
        """Until the run of this name is done; a reward model leaves nothing to compare."""
        expect(self.page.locator("#runs-progress .run-title")).to_have_text(name)
        done = self.page.locator("#runs-progress .chip-done")
        failed = self.page.locator("#runs-progress .chip-failed")
        expect(done.or_(failed)).to_be_visible(timeout=seconds * 1000)
        assert not failed.is_visible(), self.page.locator("#runs-words").inner_text()

    def stop_button(self) -> Locator:
        return self.page.locator("#runs-stop")

    # Compare

    def go_to_compare(self) -> None:
        self.press("#runs-compare")
        expect(self.page.locator("#compare-prompt textarea")).not_to_have_value("", timeout=60_000)

    def send(self, prompt: str | None = None, seconds: float = 120) -> Answers:
        """Send the prompt that is there, or another, and read both answers when they are whole."""
        box = self.page.locator("#compare-prompt textarea")
        if prompt is not None:
            box.fill(prompt)
        asked = box.input_value()
        turns = self.page.locator(".cmp-turn")
        before = turns.count()
        self.press("#compare-send")
        expect(turns).to_have_count(before + 1, timeout=seconds * 1000)
        expect(self.page.locator(".cmp-talk[aria-busy=false]")).to_be_visible(timeout=seconds * 1000)
        return Answers(asked, self._answer("base"), self._answer("tuned"), self._head("tuned"))

    def _answer(self, side: str) -> str:
        found = self.page.locator(f"#compare-{side} .cmp-answer")
        return (found.text_content() or "") if found.count() else ""

    def _head(self, side: str) -> str:
        return self.page.locator(f"#compare-{side} .cmp-head").inner_text()

    # Export

    def export(self, target: Path, seconds: float = 180) -> Path:
        """Make the export and download the zip."""
        self.tab("export")
        self.press("#export-make")
        button = self.page.locator("#export-download")
        expect(button).to_be_visible(timeout=seconds * 1000)
        expect(button).to_be_enabled(timeout=seconds * 1000)
        with self.page.expect_download(timeout=30_000) as download:
            self.press("#export-download")
        download.value.save_as(target)
        return target
