"""The Evaluate tab in a real browser: stopped and gone on with, exams from files, a judge behind an address."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from studio.backend.studio import Studio
from studio.messages import translate as t
from tests.backend.made import Made
from tests.evaluation.test_judge import Server, said

pytestmark = pytest.mark.journey
VALIDATION, ROWS = 4, 600


@pytest.fixture(scope="module")
def run(open_studio: Studio, workspace: Path) -> str:
    """A run of the tiny starter, of which little is asked: its few validation rows."""
    rows = [{"question": f"What is {n}?", "answer": f"It is {n}."} for n in range(5 * VALIDATION)]
    file = workspace.parent / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    made = Made(open_studio, workspace.parent, open_studio.datasets.import_file(file).id)
    run = made.run(base=Path("starter"))
    plan = open_studio.evaluations.plan(run)
    open_studio.evaluations.set_plan(run, plan.model_copy(update={"exams": (), "side": "validation"}))
    return run


@pytest.fixture
def evaluate(page: Page, address: str, run: str) -> Page:
    """The tab with the run in it, its form open."""
    page.goto(f"{address}/en/")
    page.click("#tab-evaluate-button")
    page.click("#evaluate-form > button")
    expect(page.locator("#evaluate-exams")).to_contain_text(t("ui.evaluate.exam.starter"))
    return page


@pytest.fixture
def judge() -> Iterator[Server]:
    with Server() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


def answered(studio: Studio) -> int:
    """Rows that were answered so far, by both."""
    files = list(studio.store.evaluations_folder.glob("*.jsonl"))
    return sum(file.read_text("utf-8").count('"row":') for file in files if not file.name.startswith("judge-"))


def bring(page: Page, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.click("#evaluate-bring")
    chooser.value.set_files(file)


def test_an_exam_is_brought_and_stopped_in_the_middle(evaluate: Page, open_studio: Studio, tmp_path: Path) -> None:
    page = evaluate
    wrong, good = tmp_path / "wrong.csv", tmp_path / "capitals.csv"
    wrong.write_text("prompt,solution\nWhat is 1?,1\n", encoding="utf-8")
    lines = [f"What is the capital of country {n}?,City {n}" for n in range(ROWS)]
    good.write_text("\n".join(["question,answer", *lines]), encoding="utf-8")
    bring(page, wrong)
    expect(page.locator(".toast-body")).to_contain_text("wrong.csv")
    expect(page.locator(".toast-body")).to_contain_text("columns: prompt, solution")
    page.locator(".toast-close").click()
    bring(page, good)
    expect(page.get_by_label("capitals.csv")).to_be_checked()

    before, all_rows = answered(open_studio), 2 * (ROWS + VALIDATION)
    page.click("#evaluate-begin")
    deadline = time.monotonic() + 60
    while answered(open_studio) <= before + VALIDATION:
        assert time.monotonic() < deadline
        page.wait_for_timeout(10)
    page.click("#evaluate-stop")
    expect(page.locator("#evaluate-state")).to_have_text(t("ui.evaluate.stopped"))
    expect(page.locator("#evaluate-begin")).to_be_visible()
    kept = {file.name: file.read_bytes() for file in open_studio.store.evaluations_folder.glob("*.jsonl")}
    assert VALIDATION < answered(open_studio) < all_rows

    page.click("#evaluate-begin")
    expect(page.locator("#evaluate-verdict .ev-decision")).to_be_visible()
    expect(page.locator("#evaluate-results")).to_contain_text("capitals.csv")
    assert answered(open_studio) == all_rows
    for name, text in kept.items():  # what was answered was not asked again
        whole = open_studio.store.evaluations_folder / name.replace(".partial", "")
        assert whole.read_bytes().startswith(text)


def test_a_judge_times_out_says_nonsense_and_judges(evaluate: Page, judge: Server) -> None:
    page, replies = evaluate, {0: "sleep", 1: "I like both of them!"}

    def reply(body: dict[str, Any]) -> tuple[int, bytes]:
        row = re.search(r"What is (\d+)\?", body["messages"][-1]["content"])
        assert row
        rows.setdefault(row[1], len(rows))
        told = replies.get(rows[row[1]], "B")
        if told == "sleep":
            time.sleep(1.2)
        return 200, said(told)

    rows: dict[str, int] = {}
    judge.reply = reply
    page.click("#evaluate-judge > button")
    page.fill("#evaluate-judge-address input, #evaluate-judge-address textarea", "localhost")
    page.fill("#evaluate-judge-model input, #evaluate-judge-model textarea", "big-model")
    page.fill("#evaluate-judge-seconds input", "1")
    page.click("#evaluate-begin")
    expect(page.locator(".toast-body")).to_contain_text("http://localhost:11434/v1")
    page.locator(".toast-close").click()
    page.fill("#evaluate-judge-address input, #evaluate-judge-address textarea", judge.url)
    page.click("#evaluate-begin")
    table = page.locator("#ev-judge")
    expect(table).to_contain_text("big-model")
    silent = table.locator("tr", has_text=t("ui.evaluate.judged.silent"))
    expect(silent.locator("td")).to_have_text("1")
    expect(table.locator("tr", has_text=t("ui.evaluate.judged.none")).locator("td")).to_have_text("1")

    replies[0], asked = "B", len(judge.seen)
    page.click("#evaluate-begin")  # asks again about that row alone, in both orders
    expect(silent).to_have_count(0)
    assert len(judge.seen) == asked + 2
    assert {body["model"] for _, _, body in judge.seen} == {"big-model"}
