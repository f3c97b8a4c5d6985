"""Refreshing, a second tab, pressing twice, pulling the plug: never a run lost, never one too many."""

import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import BrowserContext, expect

from studio.runs.events import RunState
from tests.journeys import record
from tests.journeys.server import Server, running_studio, start_studio
from tests.journeys.walk import Walk
from tests.tiny import save_tiny

PATIENCE = 300


def begin_long_run(walk: Walk, server: Server, model: Path) -> str:
    """A run that would take minutes, on a tiny model; returns its id once it trains."""
    walk.open(server.address)
    walk.try_sample()
    walk.continue_to_training()
    walk.choose_model(model)
    walk.choose_preset("thorough")  # twelve checkpoints: the first comes soon
    walk.page.wait_for_timeout(1500)
    walk.set_number("training.epochs", 60)
    walk.set_number("tuner.rank", 8)  # no more than the tiny layers have room for
    walk.page.locator("#train-start").dblclick()
    expect(walk.page.locator("#runs-stop")).to_be_visible()
    (run,) = record.runs(server.workspace)
    wait_for(server, run.id, lambda state: state.step >= 3)
    return run.id


def wait_for(server: Server, run: str, check: Callable[[RunState], bool]) -> RunState:
    end = time.monotonic() + PATIENCE
    while not check(state := record.state(server.workspace, run)):
        assert time.monotonic() < end, f"not within {PATIENCE} s: {state.status}, step {state.step}"
        time.sleep(0.3)
    return state


def test_refresh_second_tab_and_two_presses_are_one_run(context: BrowserContext, tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "tiny")
    with running_studio(tmp_path / "workspace") as server:
        walk = Walk(context.new_page())
        run = begin_long_run(walk, server, model)

        before = record.state(server.workspace, run).step
        walk.page.reload()
        expect(walk.page.locator("#runs-stop")).to_be_visible()  # same tab, same run, still training
        expect(walk.page.locator("#runs-progress [role=progressbar], #runs-progress progress").first).to_be_visible()
        wait_for(server, run, lambda state: state.step > before)

        second = Walk(context.new_page())
        second.open(server.address)
        second.tab("runs")
        expect(second.page.locator("#runs-stop")).to_be_visible()
        name = record.runs(server.workspace)[0].name
        expect(second.page.locator("#runs-progress")).to_contain_text(name)

        second.press("#runs-stop")  # pressed in one tab, seen in both
        second.wait_for_compare(PATIENCE)
        walk.wait_for_compare(PATIENCE)
        state = record.state(server.workspace, run)
        assert state.status == "stopped"
        assert state.usable
        assert len(record.runs(server.workspace)) == 1
        assert walk.page_errors == second.page_errors == []


def test_a_pulled_plug_shows_as_interrupted_and_resumes(context: BrowserContext, tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "tiny")
    server = start_studio(tmp_path / "workspace")
    try:
        walk = Walk(context.new_page())
        run = begin_long_run(walk, server, model)
        walk.page.close()
        kept = wait_for(server, run, lambda state: bool(state.checkpoints)).checkpoints[-1].step
    finally:
        server.kill()
    assert record.is_sound(server.workspace)

    with running_studio(tmp_path / "workspace") as server:
        walk = Walk(context.new_page())
        walk.open(server.address)
        walk.tab("runs")
        expect(walk.page.locator("#runs-resume")).to_be_visible()
        walk.press("#runs-resume")
        expect(walk.page.locator("#runs-stop")).to_be_visible()
        state = wait_for(server, run, lambda state: state.status == "running" and bool(state.started))
        assert state.started
        assert state.started.from_step >= kept
        wait_for(server, run, lambda state: state.step > kept)
        walk.press("#runs-stop")
        walk.wait_for_compare(PATIENCE)
        state = record.state(server.workspace, run)
        assert state.status == "stopped"
        steps = [step for step, _ in state.curves["loss"]]
        assert steps == list(range(1, state.step + 1))  # every step once
        assert len(record.runs(server.workspace)) == 1
