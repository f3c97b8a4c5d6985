"""The Compare tab asks both sides as the widgets say, can be stopped, and leaves nothing running."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from playwright.sync_api import Browser

from studio.backend.candidates import Candidate
from studio.backend.compare import ColumnState, CompareRequest, CompareUpdate
from studio.backend.ratings import Interval, Rating, WinRate
from studio.backend.studio import Studio
from studio.backend.talks import Talk, Turn, base_seat, folder_seat, run_seat
from studio.backend.votes import Standing, Standings
from studio.data.records import Message
from studio.errors import ModelError
from studio.messages import LANGUAGES, translate
from studio.runs.events import Queued
from studio.runs.spec import RunSpec
from studio.settings import Settings
from studio.ui import compare_tab
from studio.ui.column_form import base_key, last_place, seats_of, shown_panel
from studio.ui.compare_stage import how_to_answer
from studio.ui.compare_tab import Examples
from studio.ui.contestants import choices, find, first_of
from studio.ui.page import Page, chosen
from studio.ui.votes_view import standings_html
from tests.served import served

KEPT = Candidate("run-1", "Friendly support", None, "a" * 64, "starter", 0.5)
LATE = Candidate("run-1", "Friendly support", 40, None, "starter", 0.5)
EARLY = Candidate("run-1", "Friendly support", 20, None, "starter", 0.75)
OTHER = Candidate("run-2", "Other", 5, None, "starter")
FOUND = (OTHER, KEPT, LATE, EARLY)
BASE = base_key(KEPT)
OPTIONS = ("Be kind.", 0.7, 0.9, 64.0, 3)


def said(role: Any, content: str) -> Message:
    return Message(role=role, content=content)


EXAMPLES: Examples = (
    ((said("system", "Be kind."), said("user", "Is it late?")), "Yes, sorry!"),
    ((said("user", "Hi"), said("assistant", "Hello!"), said("user", "By card?")), "Of course."),
)


class FakeComparison:
    """Writes `words` one by one. `closed` is set when a stream was ended before its time or ran out."""

    def __init__(self, words: tuple[str, str] = ("ab cd ef", "ab xx ef gh"), seconds: float = 0.0) -> None:
        self.words = words
        self.seconds = seconds
        self.asked: list[CompareRequest] = []
        self.closed = threading.Event()
        self.error: Exception | None = None
        self.found: tuple[Candidate, ...] = FOUND
        self.known: Examples = EXAMPLES

    def candidates(self) -> tuple[Candidate, ...]:
        return self.found

    def examples(self, run: str, limit: int) -> Examples:
        return self.known[:limit]

    def stream(self, request: CompareRequest) -> Iterator[CompareUpdate]:
        self.asked.append(request)
        try:
            if self.error:
                raise self.error
            longest = max(len(text) for text in self.words)
            for i in range(1, longest + 1):
                time.sleep(self.seconds)
                columns = [
                    ColumnState(text[:i], i, i / 10, 0.1, i >= len(text), "starter", sha)
                    for text, sha in zip(self.words, (None, "b" * 64), strict=True)
                ]
                yield CompareUpdate(tuple(columns), i == longest)
        finally:
            self.closed.set()

    def close(self) -> None:
        pass


class FakeRunner:
    def record(self, run: str) -> Any:
        return SimpleNamespace(name=f"name of {run}", created=0.0)


def make_page(compare: FakeComparison, language: str = "en") -> Page:
    studio = SimpleNamespace(compare=compare, runner=FakeRunner())
    nothing = cast(gr.BrowserState, None)
    return Page(cast(Studio, studio), language, cast(gr.Tabs, None), nothing, nothing)


def answers(page: Page, stops: dict[str, threading.Event], now: Talk, turn: Turn) -> Iterator[list[Any]]:
    return compare_tab._answers(page, stops, "session", now, turn, "run-1", *OPTIONS)


def test_the_request_is_what_the_widgets_say_and_each_history_its_own() -> None:
    fake = FakeComparison()
    first = list(answers(make_page(fake), {}, Talk.beside_base(EARLY), Turn("one")))[-1][0]
    list(answers(make_page(fake), {}, first, Turn("two")))
    request = fake.asked[-1]
    asked = [(column.contestant.run, column.contestant.step) for column in request.columns]
    assert (asked, request.system) == ([("", None), ("run-1", 20)], "Be kind.")
    assert (request.temperature, request.top_p, request.max_new_tokens, request.seed) == (0.7, 0.9, 64, 3)
    assert [m.content for m in request.columns[0].turns] == ["one", "ab cd ef", "two"]
    assert [m.content for m in request.columns[1].turns] == ["one", "ab xx ef gh", "two"]
    assert (request.examples_of, first.turns[0].system) == ("run-1", "Be kind.")
    assert how_to_answer("", "", 0, 1, 8, None).seed == 0


def test_updates_are_throttled_and_the_last_is_whole() -> None:
    page = make_page(FakeComparison(("a" * 60, "b" * 60), 0.005))
    shown = list(answers(page, {}, Talk.beside_base(KEPT), Turn("hi")))
    assert 3 <= len(shown) <= 9  # 0.3 s of writing in 60 updates
    done = shown[-1][0]
    assert done.turns[-1].update.columns[1].text == "b" * 60
    assert done.turns[-1].over
    # The prompt box is emptied when the answer begins and never again: the next prompt may be typed by then.
    assert [row[2] for row in shown] == [gr.skip(), "", *[gr.skip()] * (len(shown) - 2)]


def test_buttons_follow_the_answer() -> None:
    shown = list(answers(make_page(FakeComparison()), {}, Talk.beside_base(KEPT), Turn("hi")))
    send, stop, again, clear, tools, run, step = shown[0][3:]
    assert (send["visible"], stop["visible"]) == (False, True)
    assert not any(part["interactive"] for part in (again, clear, run, step))
    send, stop, again, clear, tools, run, step = shown[-1][3:]
    assert (send["visible"], stop["visible"], tools["visible"]) == (True, False, True)
    assert all(part["interactive"] for part in (again, clear, run, step))


def test_stop_keeps_what_was_written_and_ends_the_stream() -> None:
    fake, stops = FakeComparison(("a" * 500, "b" * 500), 0.002), {}
    running = answers(make_page(fake), stops, Talk.beside_base(KEPT), Turn("hi"))
    next(running)
    next(running)
    stops["session"].set()
    turn = list(running)[-1][0].turns[-1]
    assert turn.stopped
    assert 0 < len(turn.update.columns[0].text) < 500
    assert fake.closed.wait(5)
    assert stops == {}


def test_a_closed_browser_tab_ends_the_stream_without_waiting_for_the_model() -> None:
    fake, stops = FakeComparison(("a" * 500, "b" * 500), 0.01), {}
    running = cast(Any, answers(make_page(fake), stops, Talk.beside_base(KEPT), Turn("hi")))
    next(running)
    next(running)
    running.close()
    assert fake.closed.wait(5)
    assert stops == {}


def test_an_error_frees_the_session() -> None:
    fake, stops = FakeComparison(), {}
    fake.error = ModelError("error.compare.too_long", tokens=9, context=8)
    running = answers(make_page(fake), stops, Talk.beside_base(KEPT), Turn("hi"))
    next(running)
    with pytest.raises(ModelError):
        next(running)
    assert stops == {}


def test_an_example_brings_its_expected_answer_only_when_it_opens_the_conversation() -> None:
    turn = compare_tab._turn(" By card? ", EXAMPLES, Talk.beside_base(KEPT))
    assert (turn.expected, [m.content for m in turn.context]) == ("Of course.", ["Hi", "Hello!"])
    assert (
        compare_tab._turn("Is it late?", EXAMPLES, Talk.beside_base(KEPT)).context == ()
    )  # the system prompt has its own box
    assert compare_tab._turn("Something else", EXAMPLES, Talk.beside_base(KEPT)).expected is None
    assert compare_tab._turn("By card?", EXAMPLES, Talk.beside_base(KEPT, Turn("hi"))).expected is None


def test_opening_fills_the_prompt_with_the_first_example() -> None:
    page = make_page(FakeComparison())
    talk, main, known, _, _, prompt, system, *_ = compare_tab._opened(page, FOUND, KEPT, "")
    assert (talk, main, known, prompt, system) == (Talk.beside_base(KEPT), KEPT, EXAMPLES, "Is it late?", "Be kind.")
    assert compare_tab._opened(page, FOUND, KEPT, "asked before")[5] == "asked before"


def test_asking_again_takes_the_next_seed_only_where_chance_plays() -> None:
    assert compare_tab._next_seed(0.7, 3) == 4
    assert compare_tab._next_seed(0, 3) == gr.skip()


@pytest.mark.parametrize("language", LANGUAGES)
def test_lists_hold_the_kept_adapter_first_then_checkpoints_by_step(language: str) -> None:
    runs, steps = choices(make_page(FakeComparison(), language), FOUND, LATE)
    assert [value for _, value in runs["choices"]] == ["run-2", "run-1"]
    assert (runs["value"], steps["value"]) == ("run-1", "40")
    assert [value for _, value in steps["choices"]] == ["kept", "20", "40"]
    labels = [label for label, _ in steps["choices"]]
    assert "0.5000" in labels[0]
    assert "0.7500" in labels[1]


def test_what_the_lists_name_is_found() -> None:
    for contestant in (KEPT, LATE, EARLY):
        key = "kept" if contestant.step is None else str(contestant.step)
        assert find(FOUND, "run-1", key) == contestant
    assert find(FOUND, "run-1", "999") == KEPT  # gone meanwhile
    assert first_of(FOUND, "run-2") == OTHER
    assert first_of(FOUND, "unknown") == OTHER
    assert first_of(FOUND, None) == OTHER


# Who stands in the columns


def panel(who: str = "", place: int = 0, folder: str = "", system: str = "", shots: int = 0) -> tuple[Any, ...]:
    return who, place, folder, system, shots


def test_panels_say_who_stands_in_the_columns() -> None:
    base = base_seat(KEPT)
    assert seats_of(FOUND, KEPT, [panel(BASE), panel(), panel()]) == (base, run_seat(KEPT))
    # The run that is newest on this base comes and goes; the base stays in its column.
    assert seats_of(FOUND[1:], KEPT, [panel(BASE), panel(), panel()]) == (base, run_seat(KEPT))
    third, fourth = panel(BASE, system="Be kind.", shots=3), panel("folder", folder="/some/ad/")
    four = seats_of(FOUND, EARLY, [panel("run:run-1", 2), third, fourth])
    assert four == (run_seat(KEPT), run_seat(EARLY), base.prompted("Be kind.", 3), folder_seat(EARLY, "/some/ad/"))
    assert (four[3].label, four[3].contestant.folder) == ("ad", "/some/ad/")
    # The slider goes from the first checkpoint to the result; what is gone or not yet said is left out.
    places = [seats_of(FOUND, KEPT, [panel("run:run-1", place), panel(), panel()])[0] for place in range(3)]
    assert places == [run_seat(EARLY), run_seat(LATE), run_seat(KEPT)]
    assert last_place(FOUND, "run:run-1") == 2
    gone = [panel("run:gone"), panel("folder", folder=" "), panel()]
    assert seats_of(FOUND, KEPT, gone) == (run_seat(KEPT),)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_panel_shows_what_its_column_needs(language: str) -> None:
    page = make_page(FakeComparison(), language)
    who, place, folder, system, _ = shown_panel(page, FOUND, panel("run:run-1", 0), needed=False)
    assert [value for _, value in who["choices"]] == ["", BASE, "run:run-2", "run:run-1", "folder"]
    assert (place["visible"], place["maximum"], folder["visible"], system["visible"]) == (True, 2, False, True)
    assert "0.7500" in place["label"]
    empty = shown_panel(page, FOUND, panel(), needed=False)
    assert not any(widget["visible"] for widget in empty[1:])
    assert shown_panel(page, FOUND, panel(), needed=True)[0]["value"] == BASE
    assert shown_panel(page, FOUND, panel("folder"), needed=True)[2]["visible"]


def test_another_checkpoint_keeps_what_the_panels_say() -> None:
    values = [panel(BASE, system="Be kind."), panel("run:run-2"), panel()]
    talk = compare_tab._opened(make_page(FakeComparison()), FOUND, EARLY, "", values)[0]
    assert talk.seats == (base_seat(KEPT).prompted("Be kind.", 0), run_seat(EARLY), run_seat(OTHER))
    flat = [value for one in values for value in one]
    assert [tuple(one) for one in compare_tab._by_panel(flat)] == values


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_standings_read(language: str) -> None:
    def say(key: str, **given: object) -> str:
        return translate(key, language, **given)

    interval = Interval(0.2, 0.8)
    tuned, base = run_seat(KEPT).contestant, base_seat(KEPT).prompted("x", 0).contestant
    rows = [
        Standing(tuned, "<b>Mine</b>", True, WinRate(2, 1, 0, 0.83, interval), Rating(1100, interval)),
        Standing(base, "base", False, WinRate(0, 1, 2, 0.17, interval), None),
    ]
    told = standings_html(Standings(tuple(rows), 3, 1), say)
    assert "&lt;b&gt;Mine&lt;/b&gt;" in told
    assert "<b>Mine" not in told
    assert say("ui.votes.deleted") in told
    assert say("ui.votes.rate", rate="83%", low="20%", high="80%") in told
    assert "{" not in told
    assert standings_html(Standings((), 0, 0), say) == f'<p class="s-muted">{say("ui.votes.none")}</p>'


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_tab_builds(language: str, tmp_path: Path) -> None:
    with gr.Blocks() as blocks:
        page = make_page(FakeComparison(), language)
        page = Page(page.studio, language, gr.Tabs(), chosen("version", tmp_path), chosen("run", tmp_path))
        with gr.Tab("compare") as tab:
            compare_tab.build(page, blocks, tab)
    ids = {block.elem_id for block in blocks.blocks.values() if block.elem_id}
    assert {"compare-run", "compare-checkpoint", "compare-prompt", "compare-send", "compare-stop"} <= ids


@pytest.mark.journey
def test_markup_in_answers_runs_nothing_and_fetches_nothing(browser: Browser, tmp_path: Path) -> None:
    """In a real browser: what a model, a row or a run's name says is shown to the letter."""
    from studio.ui.app import create_server

    bad = (
        "<script>window.hit=1</script><img src=http://127.0.0.1:9/a.png onerror=window.hit=1>"
        "![pixel](http://127.0.0.1:9/b.png) [press](javascript:window.hit=1) ${window.hit=1} {{value}}"
    )
    fake = FakeComparison((bad, bad + " more"))
    fake.found = (Candidate("run-1", bad, 5, None, bad),)
    fake.known = (((said("user", bad),), bad),)
    with Studio(Settings(workspace=tmp_path), worker=False) as studio:
        studio.store.add_run("run-1", bad, RunSpec(), Queued())
        vars(studio).update(compare=fake)
        with served(create_server(studio)) as address:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(90_000)
            fetched: list[str] = []
            page.on("request", lambda request: fetched.append(request.url))
            page.goto(f"{address}/en/")
            page.get_by_role("tab", name=translate("ui.tab.compare")).click()
            page.locator("#compare-send").click()
            page.locator(".cmp-talk[aria-busy=false]").wait_for()
            assert page.locator("#compare-tuned .cmp-answer").text_content() == bad + " more"
            assert page.locator(".cmp-expected .cmp-text").text_content() == bad
            assert page.locator("#compare-tuned .cmp-name").text_content() == bad
            page.locator(".cmp-chip").click()
            page.locator("#compare-tuned .cmp-hint").wait_for()
            assert page.evaluate("window.hit") is None
            assert not [url for url in fetched if not url.startswith(f"{address}/")]
            page.close()
