"""From a file full of faults to a trained model: findings, fixes, what they did, undo, split, replay, training."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from studio.backend.studio import Studio
from studio.settings import Settings
from tests.journeys import record
from tests.journeys.server import running_studio
from tests.journeys.test_first_visit import PATIENCE
from tests.journeys.walk import Walk

SAMPLE = "dirty-support"
ROWS = 258


@pytest.mark.parametrize("language", ["en", "ja"])
def test_dirty_data_is_cleaned_split_mixed_and_trained_on(
    context: BrowserContext, tmp_path: Path, language: str
) -> None:
    with running_studio(tmp_path / "workspace") as server:
        walk = Walk(context.new_page())
        walk.open(server.address)
        assert f"/{language}/" in walk.page.url
        walk.open_sample(SAMPLE)
        heading = walk.page.locator("#data-heading .d-title")
        expect(heading).to_contain_text(str(ROWS))

        # Findings, all fixed at once; what that did to each row; undone, and done again.
        walk.fix_all()
        report = walk.page.locator("#data-report")
        expect(report.locator(".d-change").first).to_be_visible()
        expect(report.locator("del, .d-void").first).to_be_visible()
        expect(heading).not_to_contain_text(str(ROWS))
        cleaned = heading.inner_text()
        walk.undo()
        expect(heading).to_contain_text(str(ROWS))
        walk.fix_all()
        expect(heading).to_have_text(cleaned, use_inner_text=True)

        walk.panel("split")
        expect(walk.page.locator("#data-split-counts b").first).to_be_visible()
        walk.slide("#data-test", 10)
        expect(walk.page.locator("#data-split-counts .d-test b")).not_to_have_text("0")

        walk.panel("mix")
        expect(walk.page.locator("#mix-replay-plan")).to_contain_text(re.compile(r"(19\.[5-9]|20\.[0-5])%"))
        walk.press("#mix-replay-make")
        expect(heading).not_to_have_text(cleaned, use_inner_text=True)

        walk.continue_to_training()
        walk.set_number("training.epochs", 1)
        walk.start_training()
        walk.wait_for_compare(PATIENCE)
        assert walk.page_errors == []
        assert walk.elsewhere == []
        _check(server.workspace)


def _check(workspace: Path) -> None:
    """What the workspace says of it."""
    (run,) = record.runs(workspace)
    state = record.state(workspace, run.id)
    assert state.status == "done"
    assert state.started
    with Studio(Settings(workspace=workspace), read_only=True, worker=False) as studio:
        dirty, clean, mixed = studio.datasets.versions()
        assert dirty.rows == ROWS > clean.rows < mixed.rows
        assert (clean.parent, mixed.parent, run.spec.data.version) == (dirty.id, clean.id, mixed.id)
        assert mixed.mix
        assert mixed.mix.replay
        assert mixed.mix.replay.share == 0.2
        assert not [found for found in studio.datasets.findings(clean.id) if found.fix]
        split = run.spec.data.split
        assert (split.test_share, split) == (0.1, clean.split)
        parts = studio.datasets.split(mixed.id, split)
        assert len(parts.test) == round(0.1 * mixed.rows)
        assert (state.started.train_rows, state.started.validation_rows) == (len(parts.train), len(parts.validation))
    assert state.ended
    assert state.ended.validation_loss < state.validation_loss_before  # type: ignore[operator]
