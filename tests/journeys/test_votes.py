"""Blind votes become preference pairs in the Data tab, a click away from training on them."""

import re
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, expect

from studio.messages import translate as t
from studio.runs.store import Store
from studio.settings import Settings
from tests.backend.made import Made, make
from tests.benchmarks.columns import save_adapters
from tests.journeys.server import running_studio
from tests.journeys.walk import Walk

PROMPTS = ("Is my watch late?", "The chair has a crack. What can I do?")


def workspace(folder: Path) -> Path:
    """Two runs of the starter, of adapters that were never trained."""
    starter = Settings(workspace=folder).starter
    adapters = save_adapters(starter, folder / "adapters")
    made = make(folder, folder)
    try:
        sample = Made(made.studio, folder, made.studio.datasets.open_sample("support-en").id)
        sample.run(base=starter, name="Other words", adapters=adapters[1:])
        sample.run(base=starter, name="Friendly words", adapters=adapters[:2])
    finally:
        made.studio.close()
    return made.studio.store.folder


def vote(page: Page, number: int) -> None:
    page.locator(".cmp-vote").nth(number).click()
    expect(page.locator(".cmp-vote[aria-pressed=true]")).to_have_count(1)


def test_blind_votes_open_as_pairs(context: BrowserContext, tmp_path: Path) -> None:
    folder = workspace(tmp_path)
    with running_studio(folder) as server:
        walk = Walk(context.new_page())
        walk.open(server.address)
        page = walk.page
        walk.tab("compare")
        expect(page.locator("#compare-tuned .cmp-name")).to_have_text("Friendly words")

        # A third column: an early checkpoint of the other run
        walk.press("#compare-columns .label-wrap")
        page.locator("#compare-third input").first.click()
        page.locator("[role=option]").filter(has_text="Other words").click()
        expect(page.locator(".cmp-card")).to_have_count(3)
        walk.slide("#compare-third-checkpoint", 0)
        expect(page.locator("#compare-column-3 .cmp-step")).to_have_text(t("ui.compare.checkpoint_step", step=4))

        # A set of prompts, blind
        walk.press("#compare-votes .label-wrap")
        page.locator("#compare-blind input").check()
        walk.press("#compare-set .label-wrap")
        page.locator("#compare-set-prompts textarea").fill("\n".join(PROMPTS))
        walk.press("#compare-set-ask")
        expect(page.locator("#compare-set-state")).to_contain_text(t("ui.compare.set.done", done=2, count=2))
        expect(page.locator("#compare-send")).to_be_visible()
        for number, prompt in enumerate(PROMPTS):
            if number:
                page.locator(".cmp-pager button").nth(1).click()
            expect(page.locator(".cmp-prompt .cmp-text")).to_have_text(prompt)
            expect(page.locator(".cmp-head").first).to_contain_text(t("ui.compare.hidden"))
            assert "words" not in page.locator(".cmp-talk").inner_text()
            page.locator(".cmp-note-box").fill(f"note {number}")
            vote(page, number)
            expect(page.locator(".cmp-talk")).to_contain_text("Friendly words")

        # An answer as it should have been
        page.locator(".cmp-edit").first.click()
        page.locator(".cmp-editor:visible textarea").fill("A crack? We send a new one.")
        page.locator(".cmp-editor:visible [data-do=edit]").click()
        expect(page.locator(".cmp-rewritten")).to_contain_text("We send a new one.")
        expect(page.locator("#compare-standings li")).to_have_count(3)

        # Kept, and opened again
        walk.press("#compare-kept .label-wrap")
        page.locator("#compare-name").locator("input, textarea").fill("Two questions")
        walk.press("#compare-save")
        expect(page.locator("#compare-saved input")).to_have_value(re.compile("Two questions"))
        walk.press("#compare-clear")
        expect(page.locator(".cmp-pager")).to_have_count(0)
        walk.press("#compare-open")
        expect(page.locator(".cmp-rewritten")).to_contain_text("We send a new one.")

        walk.press("#compare-make-set")
        expect(page.locator("#data-heading")).to_contain_text("My votes")
        expect(page.locator("#data-heading")).to_contain_text(t("ui.data.layout.preference"))
        expect(page.locator("#data-next")).to_be_visible()
        assert walk.page_errors == []
        assert walk.elsewhere == []
    store = Store(folder, read_only=True)
    votes = store.votes()
    store.close()
    assert [cast.verdict for cast in votes] == ["best", "best", "edit"]
    assert all(cast.blind and cast.same_question and len(cast.answers) == 3 for cast in votes)
    assert [cast.note for cast in votes] == ["note 0", "note 1", ""]
    assert votes[0].answers[2].contestant.step == 4
