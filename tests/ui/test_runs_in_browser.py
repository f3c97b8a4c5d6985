"""The Runs tab in a real browser: tags are found again, settings used again, a deleted run is gone."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.backend.studio import Studio
from studio.runs.events import Checkpoint, Ended, Queued
from studio.runs.spec import RunSpec, with_changes
from studio.runs.store import new_id
from studio.settings import Settings
from studio.ui.app import create_server
from tests.served import served

pytestmark = pytest.mark.journey


@pytest.fixture
def history(tmp_path: Path, assets: Path) -> Iterator[str]:
    """The address of a studio with two stopped runs; what is started waits for its turn."""
    with Studio(Settings(workspace=tmp_path / "studio", assets=assets), worker=False) as studio:
        file = tmp_path / "rows.jsonl"
        file.write_text('{"question": "a?", "answer": "b"}\n' * 3, encoding="utf-8")
        changes = {"data.version": studio.datasets.import_file(file).id, "tuner.rank": 7, "method.loss_on": "all"}
        spec = with_changes(RunSpec(), changes)
        for name in ("Lantern", "Kettle"):
            run = new_id()
            studio.store.add_run(run, name, spec, Queued())
            checkpoints = [Checkpoint(step=s, path=f"checkpoint-{s}", validation_loss=2.0) for s in (4, 8)]
            studio.store.append(run, *checkpoints, Ended(status="stopped"))
            studio.store.run_folder(run).mkdir()
            (studio.store.run_folder(run) / "weights").write_bytes(b"x" * 3_000_000)
        with served(create_server(studio)) as address:
            yield address


def test_tags_are_found_again_and_a_deleted_run_is_gone(page: Page, history: str) -> None:
    page.goto(f"{history}/en/")
    page.click("#tab-runs-button")
    cards = page.locator(".run-card")
    expect(cards).to_have_count(2)
    page.click(".run-card:has-text('Lantern') .run-pick")
    expect(page.locator("#runs-progress")).to_contain_text("Lantern")
    page.click("#runs-about button")
    page.fill("#runs-tags input", "shop, 本番")
    page.click("#runs-save")
    expect(page.locator(".run-card:has-text('Lantern') .run-tag")).to_have_text(["shop", "本番"])
    page.fill("#runs-find input", "本番")
    expect(cards).to_have_count(1)
    page.fill("#runs-find input", "")

    page.click("#runs-delete")
    expect(page.locator("#runs-delete-ask")).to_contain_text("“Lantern”")
    expect(page.locator("#runs-delete-ask")).to_contain_text("3 MB")
    page.click("#runs-delete-keep")
    expect(page.locator("#runs-delete-ask")).to_be_hidden()
    page.click("#runs-delete")
    page.click("#runs-delete-sure")
    expect(cards).to_have_count(1)
    expect(page.locator("#runs-progress")).to_contain_text("Kettle")
    expect(page.locator("#runs-delete-ask")).to_be_hidden()
    page.reload()
    expect(cards).to_have_count(1)


def test_the_settings_of_a_run_are_used_again_and_tried_with_other_values(page: Page, history: str) -> None:
    page.goto(f"{history}/en/")
    page.click("#tab-runs-button")
    expect(page.locator("#runs-progress")).to_contain_text("Kettle")
    page.click("#runs-again")
    expect(page.locator("#set-tuner-rank input")).to_have_value("7")
    expect(page.locator("#train-name input")).to_have_value("Kettle")
    page.click("#train-sweep button")
    page.click("#train-sweep-setting input")
    page.locator("ul[role=listbox] li", has_text="rank").click()
    page.fill("#train-sweep-values input", "2, 3")
    page.click("#train-sweep-start")
    expect(page.locator(".run-card:has-text('rank 2')")).to_be_visible()
    expect(page.locator(".run-card:has-text('rank 3')")).to_be_visible()


def test_a_run_that_is_deleted_on_another_page_is_gone_on_from_no_more(page: Page, history: str) -> None:
    """Also on a page where the Runs tab was never opened."""
    page.goto(f"{history}/en/#data")
    page.locator("[data-act=version]").first.click()
    expect(page.locator("#data-next")).to_be_visible()
    page.click("#tab-train-button")
    adapter = page.locator("#train-adapter input")
    adapter.click()
    page.locator("ul[role=listbox] li", has_text="Kettle").click()
    expect(page.locator("#train-checkpoint input")).to_have_value(re.compile("Step 8"))
    page.locator("#set-training-epochs input").fill("3")
    second = page.context.new_page()
    second.goto(f"{history}/en/#runs")
    second.click(".run-card:has-text('Kettle') .run-pick")
    expect(second.locator("#runs-progress")).to_contain_text("Kettle")
    second.click("#runs-delete")
    second.click("#runs-delete-sure")
    expect(second.locator(".run-card")).to_have_count(1)
    page.bring_to_front()
    expect(adapter).to_have_value("Begin afresh")
    expect(page.locator(".toast-message-text")).to_have_text(re.compile("was deleted"))
    expect(page.locator("#set-training-epochs input")).to_have_value("3")


def test_a_checkpoint_is_gone_on_from_and_what_is_pasted_as_a_reward_counts(page: Page, history: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{history}/en/")
    page.click("#tab-runs-button")
    expect(page.locator("#runs-progress")).to_contain_text("Kettle")
    page.click('#runs-checkpoints [data-branch="4"]')
    expect(page.locator("#train-name input")).to_have_value("Kettle · from step 4")
    expect(page.locator("#train-adapter input")).to_have_value("Kettle")
    expect(page.locator("#train-checkpoint input")).to_have_value("Step 4 · validation loss 2.0000 · best")
    page.locator("#train-method input[value=grpo]").check()
    line = page.locator(".train-own:visible .reward-line", has_text="It contains a text")
    line.locator("input[type=number]").fill("0.5")
    box = line.locator("input[type=text], textarea").first
    page.evaluate("navigator.clipboard.writeText('glad to help')")
    box.click()
    page.keyboard.press("Control+A")
    # Until the form has heard of it.
    with page.expect_response(lambda told: "glad to help" in (told.request.post_data or "")):
        page.keyboard.press("Control+V")
    expect(box).to_have_value("glad to help")
    page.click("#train-start")
    expect(page.locator("#runs-progress")).to_contain_text("after step 4 of “Kettle”")
    settings = page.locator("#runs-yaml textarea")
    page.click("#runs-settings button")
    expect(settings).to_have_value(re.compile(r"kind: contains[^-]*text: glad to help"))
    expect(settings).to_have_value(re.compile(r"adapter_step: 4"))
