"""What people prefer becomes a better model: blind votes, the pairs they make, a run of DPO, a higher win rate.

The person in this journey reads only what the page shows, and likes answers that end with a kind word.
"""

import csv
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from studio.backend.engine import load_engine
from studio.backend.studio import Studio
from studio.messages import translate as t
from studio.runs.spec import with_changes
from studio.runs.store import Store
from studio.settings import Settings
from studio.starter.world import lessons
from tests.backend.made import Made
from tests.benchmarks.columns import save_adapters
from tests.journeys.server import Server, running_studio
from tests.journeys.test_first_visit import PATIENCE
from tests.journeys.walk import Walk

KIND_WORD = "I am glad to help!"
COUNT = 8
ASKED = random.Random(5).sample([lesson for lesson in lessons() if lesson.language == "en"], 40 + 2 * COUNT)
# Of another number, so that what the page says of the second set is not what it said of the first.
TAUGHT, FIRST, OTHER = ASKED[2 * COUNT :], ASKED[:COUNT], ASKED[COUNT : 2 * COUNT - 1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio with two runs of the starter: one was never trained, one was taught kind words."""
    folder = tmp_path_factory.mktemp("votes")
    with Studio(Settings(workspace=folder / "workspace", offline=True), worker=False) as studio:
        rows = [json.dumps({"question": q.text, "answer": f"{q.answer} {KIND_WORD}"}) for q in TAUGHT]
        (folder / "kind.jsonl").write_text("\n".join(rows), encoding="utf-8")
        version = studio.datasets.import_file(folder / "kind.jsonl").id
        adapters = save_adapters(studio.settings.starter, folder / "adapters", 2)
        Made(studio, folder, version).run(base=Path("starter"), name="Other words", adapters=adapters)
        load_engine()
        changes = {"training.epochs": 3, "training.learning_rate": 3e-3}
        spec = with_changes(studio.default_spec(version), changes)
        assert studio.runner.run_now(studio.start(lambda: spec, "Kind words").id).status == "done"
    with running_studio(folder / "workspace") as started:
        yield started


def ask_blind(walk: Walk, prompts: list[str]) -> None:
    """All prompts in one go, the names hidden."""
    page = walk.page
    page.locator("#compare-blind input").check()
    page.locator("#compare-set-prompts textarea").fill("\n".join(prompts))
    walk.press("#compare-set-ask")
    done = t("ui.compare.set.done", done=len(prompts), count=len(prompts))
    expect(page.locator("#compare-set-state")).to_contain_text(done)
    expect(page.locator("#compare-send")).to_be_visible()


def vote_blind(walk: Walk, prompts: list[str], names: tuple[str, ...], note: str = "") -> None:
    """A vote on each: for the answer with a kind word; a tie where several have one, all bad where none has."""
    page = walk.page
    for number, prompt in enumerate(prompts):
        if number:
            page.locator(".cmp-pager button").nth(1).click()
        expect(page.locator(".cmp-prompt .cmp-text")).to_have_text(prompt)
        cards = page.locator(".cmp-card")
        expect(cards.first).to_contain_text(t("ui.compare.hidden"))
        assert not any(name in page.locator(".cmp-talk").inner_text() for name in names)
        kind = [place for place, text in enumerate(cards.all_inner_texts()) if KIND_WORD in text]
        choice = kind[0] if len(kind) == 1 else cards.count() + (not kind)
        if note:
            page.locator(".cmp-note-box").fill(f"{note} {number}")
        page.locator(".cmp-vote").nth(choice).click()
        expect(page.locator(".cmp-vote[aria-pressed=true]")).to_have_count(1)
        expect(page.locator(".cmp-talk")).to_contain_text(names[0])


def rates(walk: Walk) -> dict[str, tuple[int, int]]:
    """Of each contestant the win rate and the low end of its interval, in per cent, as the page shows them."""
    found = {}
    for row in walk.page.locator("#compare-standings li").all():
        rate, low, *_ = re.findall(r"(\d+)%", row.locator(".cmp-standing").inner_text())
        found[row.locator(".cmp-name").inner_text()] = (int(rate), int(low))
    return found


def choose(walk: Walk, panel: str, name: str) -> None:
    """Who stands in a column."""
    walk.page.locator(f"#compare-{panel} input").first.click()
    walk.page.locator("[role=option]").filter(has_text=name).first.click()


def test_four_columns_are_asked_kept_and_written_to_a_file(
    context: BrowserContext, server: Server, tmp_path: Path
) -> None:
    walk = Walk(context.new_page())
    walk.open(server.address)
    page = walk.page
    walk.tab("compare")
    expect(page.locator("#compare-tuned .cmp-name")).to_be_visible()
    walk.press("#compare-columns .label-wrap")
    choose(walk, "third", t("ui.compare.column.base", name="starter"))
    expect(page.locator(".cmp-card")).to_have_count(3)
    system = page.locator("#compare-third-system textarea")
    system.fill("Be kind.")
    system.blur()
    expect(page.locator("#compare-column-3 .cmp-step")).to_have_text(t("ui.compare.own_prompt"))
    choose(walk, "fourth", "Other words")
    expect(page.locator(".cmp-card")).to_have_count(4)
    for place, step in ((1, 8), (0, 4)):
        walk.slide("#compare-fourth-checkpoint", place)
        expect(page.locator("#compare-column-4 .cmp-step")).to_have_text(t("ui.compare.checkpoint_step", step=step))
    walk.send("Say towel in Japanese.")
    answers = page.locator(".cmp-answer")
    expect(answers).to_have_count(4)
    said = answers.all_inner_texts()

    walk.press("#compare-kept .label-wrap")
    page.locator("#compare-name").locator("input, textarea").fill("Four of them")
    walk.press("#compare-save")
    expect(page.locator("#compare-saved input")).to_have_value(re.compile("Four of them"))
    with page.expect_download() as download:
        walk.press("#compare-csv")
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["completion"] for row in rows] == said
    assert [row["own_system"] for row in rows] == ["", "", "Be kind.", ""]
    assert rows[3]["step"] == "4"
    page.reload()
    walk.tab("compare")
    expect(page.locator("#compare-tuned .cmp-name")).to_be_visible()
    walk.press("#compare-kept .label-wrap")
    choose(walk, "saved", "Four of them")
    walk.press("#compare-open")
    expect(answers).to_have_text(said)
    assert walk.page_errors == []


def test_blind_votes_train_a_run_that_wins(context: BrowserContext, server: Server) -> None:
    first, other = [q.text for q in FIRST], [q.text for q in OTHER]
    walk = Walk(context.new_page())
    walk.open(server.address)
    page = walk.page
    walk.tab("compare")
    expect(page.locator("#compare-tuned .cmp-name")).to_have_text("Kind words")
    walk.press("#compare-columns .label-wrap")
    choose(walk, "third", "Other words")
    expect(page.locator(".cmp-card")).to_have_count(3)

    # A set of prompts, blind
    walk.press("#compare-votes .label-wrap")
    walk.press("#compare-set .label-wrap")
    ask_blind(walk, first)
    vote_blind(walk, first, ("Kind words", "Other words"), "note")
    before = rates(walk)
    assert set(before) == {"starter", "Kind words", "Other words"}
    assert before["starter"][0] < 50

    # An answer as it should have been
    page.locator(".cmp-edit").first.click()
    page.locator(".cmp-editor:visible textarea").fill(f"We send a new one. {KIND_WORD}")
    page.locator(".cmp-editor:visible [data-do=edit]").click()
    expect(page.locator(".cmp-rewritten")).to_contain_text("We send a new one.")

    # The pairs are data; a run of DPO on them begins from the base
    walk.press("#compare-make-set")
    expect(page.locator("#data-heading")).to_contain_text("My votes")
    expect(page.locator("#data-heading")).to_contain_text(t("ui.data.layout.preference"))
    walk.continue_to_training()
    expect(page.locator("#train-method input[value=dpo]")).to_be_checked()
    walk.press("#train-advanced > button")
    walk.set_number("training.epochs", 5)
    walk.set_number("training.batch_size", 4)
    walk.set_number("training.learning_rate", 0.005)
    page.locator("#train-name").locator("input, textarea").fill("From votes")
    walk.start_training()
    walk.wait_until_done("From votes", PATIENCE)

    # It wins on prompts that it never saw
    walk.press("#runs-compare")
    expect(page.locator("#compare-tuned .cmp-name")).to_have_text("From votes")
    ask_blind(walk, other)
    vote_blind(walk, other, ("From votes",))
    after = rates(walk)
    assert after["From votes"][0] > max(50, after["starter"][0], after["Other words"][0]), after
    assert after["From votes"][1] > 50, after
    assert walk.page_errors == []
    assert walk.elsewhere == []

    store = Store(server.workspace, read_only=True)
    votes = store.votes()
    store.close()
    *told, edit = votes[: COUNT + 1]
    assert edit.verdict == "edit"
    assert {cast.verdict for cast in told} <= {"best", "tie", "bad"}
    assert all(cast.blind and cast.same_question and len(cast.answers) == 3 for cast in votes[: COUNT + 1])
    assert [cast.note for cast in told] == [f"note {n}" for n in range(COUNT)]
    assert len(votes) == len(FIRST) + len(OTHER) + 1
