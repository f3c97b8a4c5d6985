"""Narrow tuning is told not to be deployed; what the page then advises, at one press, makes it fit to be."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.journeys.server import ROOT, running_studio
from tests.journeys.test_first_visit import PATIENCE
from tests.journeys.walk import Walk

ASKED_MS = 240_000
# The Japanese letters are more like what the starter knows in Japanese: of that a little more is lost.
WORDS = {
    "en": {"no": "Do not deploy", "mended": "^Deploy$", "forgot": "It forgot", "better": "Better at the task"},
    "ja": {
        "no": "配備しない",
        "mended": "^(配備してよい|注意して配備)$",
        "forgot": "忘れています",
        "better": "課題で良くなりました",
    },
}


@pytest.mark.parametrize("language", ["en", "ja"])
def test_what_forgets_is_not_deployed_and_replay_mends_it(
    context: BrowserContext, tmp_path: Path, language: str
) -> None:
    words = WORDS[language]
    letters = (ROOT / "assets" / "samples" / f"support-{language}.jsonl").read_text(encoding="utf-8").splitlines()
    file = tmp_path / "letters.jsonl"
    file.write_text("\n".join(letters[:160]), encoding="utf-8")
    with running_studio(tmp_path / "workspace") as server:
        walk = Walk(context.new_page())
        page = walk.page
        walk.open(server.address)
        walk.upload(file)
        walk.panel("split")
        walk.slide("#data-test", 25)
        expect(page.locator("#data-split-counts .d-test b")).to_have_text("40")
        walk.continue_to_training()
        walk.press("#train-advanced > button")
        expect(page.locator("#set-data-split-test_share input")).to_have_value("0.25")
        walk.start_training()
        walk.wait_for_compare(PATIENCE)

        walk.tab("evaluate")
        expect(page.locator("#evaluate-begin")).to_be_visible()
        expect(page.locator("#evaluate-state")).to_contain_text("40")
        verdict = page.locator("#evaluate-verdict .ev-decision")
        expect(verdict).to_have_count(0)
        walk.press("#evaluate-begin")
        expect(verdict).to_have_text(words["no"], timeout=ASKED_MS)
        expect(page.locator("#evaluate-verdict .ev-reasons")).to_contain_text(words["forgot"])
        expect(page.locator("#evaluate-verdict .ev-reasons")).to_contain_text(words["better"])
        expect(page.locator("#ev-task")).to_contain_text(re.compile(r"40 .*chrF", re.DOTALL))
        expect(page.locator("#ev-rows .ev-row")).to_have_count(10)
        walk.press("#ev-rows [data-order=better]")
        expect(page.locator("#ev-rows [data-order=better]:not(.s-quiet)")).to_be_visible()

        # What is advised, at one press: general data mixed in, a lower rate; nothing begins by itself.
        walk.press("#evaluate-verdict [data-act=replay]")
        expect(page.locator("#train-start")).to_be_visible()
        expect(page.locator("#set-training-learning_rate input")).to_have_value("0.0013")
        walk.start_training()
        expect(page.locator("#runs-list [data-run]")).to_have_count(2)
        walk.wait_for_compare(PATIENCE)
        walk.tab("evaluate")
        expect(page.locator("#evaluate-verdict .ev-decision")).to_have_count(0)  # the other run was not evaluated
        walk.press("#evaluate-begin")
        expect(verdict).to_have_text(re.compile(words["mended"]), timeout=ASKED_MS)
        expect(page.locator("#evaluate-verdict .ev-reasons")).to_contain_text(words["better"])
        assert walk.page_errors == []
