"""The Runs tab shows the record as it is, once, and as text."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import gradio as gr
import pytest

from studio.backend.studio import Studio
from studio.messages import LANGUAGES, translate
from studio.runs.events import Checkpoint, Ended, Event, Metrics, Notice, Queued, RunState, Sample, Stamped, Started
from studio.runs.spec import RunSpec, with_changes
from studio.runs.store import new_id
from studio.settings import Settings
from studio.ui import run_view, runs_tab
from studio.ui.page import Page, chosen
from studio.ui.runs_tab import Parts, Seen, view

PAYLOAD = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'


def started(total: int = 10, from_step: int = 0) -> Started:
    return Started(
        total_steps=total, from_step=from_step, train_rows=9, validation_rows=1, trainable_parameters=1, parameters=9,
        device="CPU", base_fingerprint="0" * 64, base_name="starter",
    )  # fmt: skip


def steps(first: int, last: int) -> list[Event]:
    return [Metrics(step=i, values={"loss": 3 - i / 10, "tokens_per_second": 100.0}) for i in range(first, last + 1)]


def evaluated(step: int, loss: float) -> list[Event]:
    return [Metrics(step=step, values={"validation_loss": loss}), Checkpoint(
        step=step, path=f"checkpoint-{step}", validation_loss=loss
    )]  # fmt: skip


def state_of(*events: Event, alive: bool = True) -> RunState:
    return RunState().fold([Stamped(i, 100.0 + i, event) for i, event in enumerate(events, 1)], alive=alive)


def ended(status: str, **values: object) -> Ended:
    return Ended.model_validate({"status": status, **values})


class Opened:
    """A studio without worker, and the tab's components."""

    def __init__(self, folder: Path) -> None:
        self.studio = Studio(Settings(workspace=folder), worker=False)
        file = folder / "rows.jsonl"
        file.write_text('{"question": "a?", "answer": "b"}\n' * 3, encoding="utf-8")
        self.version = self.studio.datasets.import_file(file).id
        with gr.Blocks() as self.blocks:
            tabs = gr.Tabs()
            self.page = Page(self.studio, "en", tabs, chosen("version", folder), chosen("run", folder))
            with gr.Tab("runs") as tab:
                runs_tab.build(self.page, self.blocks, tab)
            names = Parts.__dataclass_fields__
            kinds = {"run": gr.BrowserState, "seen": gr.Textbox}
            self.parts = Parts(**{name: kinds.get(name, gr.HTML)() for name in names})

    def run(self, name: str, *events: Event, notes: str = "", changes: dict[str, object] | None = None) -> str:
        run = new_id()
        spec = with_changes(RunSpec(preset="balanced"), {"data.version": self.version, **(changes or {})})
        self.studio.store.add_run(run, name, spec, Queued())
        self.studio.store.set_run(run, notes=notes)
        if events:
            self.studio.store.append(run, *events)
        return run

    def look(self, run: str | None, old: Seen, marks: tuple[str, ...] = (), find: str = "") -> dict[str, object]:
        found = view(self.page, self.parts, {"balanced": "Balanced"}, run, marks, find, old)
        parts = {name: getattr(self.parts, name) for name in Parts.__dataclass_fields__}
        told: dict[str, object] = {name: found[part] for name, part in parts.items() if part in found}
        if "seen" in told:
            told["seen"] = Seen.read(str(told["seen"]))
        return told


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    made = Opened(tmp_path)
    yield made
    made.studio.close()


def test_an_answer_overtaken_by_an_older_one_is_made_good(opened: Opened) -> None:
    """What the page tells of itself decides what it is sent, not what it was sent last."""
    run = opened.run("a", started())
    early = opened.look(run, Seen())
    opened.studio.store.append(run, Metrics(step=5, values={"loss": 1.0}))
    late = opened.look(run, Seen())
    assert late["head"] != early["head"]
    again = opened.look(run, early["seen"])  # type: ignore[arg-type]  # the early one came last
    assert again["head"] == late["head"]


@pytest.mark.parametrize("text", ["", None, "{", "[]", '{"run": 3}', '{"cursor": "x"}', "null", '{"unknown": 1}'])
def test_a_page_that_tells_nonsense_is_sent_everything(text: str | None) -> None:
    assert Seen.read(text) == Seen()
    seen = Seen("run", 3, "running", (("a", 1),), "x", 0.1 + 0.2, "日本")
    assert Seen.read(seen.write()) == seen


def test_without_runs_the_tab_says_so_and_leads_on(opened: Opened) -> None:
    found = opened.look(None, Seen())
    assert found["empty"] == gr.update(visible=True)
    assert opened.look(None, found["seen"]) == {}  # type: ignore[arg-type]


def test_a_tick_sends_nothing_when_nothing_is_new(opened: Opened) -> None:
    run = opened.run("first", started(), *steps(1, 3))
    seen = opened.look(run, Seen())["seen"]
    assert isinstance(seen, Seen)
    assert opened.look(run, seen) == {}
    opened.studio.store.append(run, *steps(4, 4))
    news = opened.look(run, seen)
    assert {"head", "figure", "seen"} <= set(news)
    assert not {"name", "notes", "settings", "yaml"} & set(news)  # what the user types there is left alone
    assert opened.look(run, news["seen"]) == {}  # type: ignore[arg-type]


def test_other_tabs_are_told_when_a_run_begins_keeps_a_checkpoint_or_ends(opened: Opened) -> None:
    """And not of every step: the chain of RLHF and the runs to go on from follow it."""
    run = opened.run("one", started())
    seen = opened.look(run, Seen())["seen"]

    def told(*events: Event) -> bool:
        nonlocal seen
        opened.studio.store.append(run, *events)
        news = opened.look(run, replace(seen, listed=0.0))  # type: ignore[type-var]
        seen = news["seen"]
        return "news" in news

    assert not told(*steps(1, 2))
    assert told(*evaluated(2, 1.5))
    assert not told(*steps(3, 4))
    assert told(ended("done", adapter="adapter"))
    opened.studio.runner.delete(run)
    assert opened.look(run, seen)["news"] == ""  # type: ignore[arg-type]


def test_a_browser_that_remembers_nothing_or_a_lost_run_sees_the_newest(opened: Opened) -> None:
    opened.run("older", started())
    newest = opened.run("newer", started())
    for remembered in (None, "20200101-000000-abcdef"):
        found = opened.look(remembered, Seen())
        assert found["run"] == newest
        assert found["name"] == "newer"


def test_two_browser_tabs_see_the_same(opened: Opened) -> None:
    run = opened.run("first", started(), *steps(1, 3), *evaluated(3, 1.5))
    one, other = opened.look(run, Seen()), opened.look(run, Seen())
    for name in ("head", "words", "figure", "samples", "history"):
        assert one[name] == other[name]


@pytest.mark.parametrize(
    ("events", "status", "buttons"),
    [
        ((), "queued", {"stop"}),
        ((started(), *steps(1, 2)), "interrupted", {"resume"}),
        ((started(), *steps(1, 2), *evaluated(2, 1.0)), "interrupted", {"resume", "compare"}),
        ((started(), *steps(1, 9), *evaluated(9, 1.0), ended("done", adapter="adapter")), "done", {"compare"}),
        (
            (started(), *steps(1, 2), *evaluated(2, 1.0), ended("stopped", adapter="adapter")),
            "stopped",
            {"resume", "compare"},
        ),
        ((started(), ended("failed", key="error.bug", values={"log": "x"})), "failed", {"resume"}),
    ],
)
def test_buttons_fit_the_status(opened: Opened, events: tuple[Event, ...], status: str, buttons: set[str]) -> None:
    found = opened.look(opened.run("a", *events), Seen())
    assert f"chip-{status}" in str(found["head"])
    assert {n for n in ("stop", "resume", "compare") if found[n]["visible"]} == buttons  # type: ignore[index]


def test_a_reward_model_answers_nothing_to_compare(opened: Opened) -> None:
    events = (started(), *steps(1, 9), *evaluated(9, 1.0), ended("done", adapter="adapter"))
    found = opened.look(opened.run("a", *events, changes={"method.kind": "reward"}), Seen())
    assert not found["compare"]["visible"]  # type: ignore[index]


def test_a_run_in_training_can_be_stopped_and_one_about_to_stop_only_once(opened: Opened) -> None:
    run = opened.run("a", started(), *steps(1, 2))
    opened.studio.runner._current = run
    first = opened.look(run, Seen())
    assert first["stop"]["interactive"] is True  # type: ignore[index]
    opened.studio.runner.stop(run)
    then = opened.look(run, first["seen"])  # type: ignore[arg-type]
    assert then["stop"]["interactive"] is False  # type: ignore[index]
    assert "chip-stopping" in str(then["head"])


def test_what_people_and_models_wrote_is_text(opened: Opened) -> None:
    sample = Sample(step=0, prompt=PAYLOAD, text=PAYLOAD, expected=PAYLOAD)
    values = {"folder": PAYLOAD, "free_mb": 1}
    failed = ended("failed", key="error.disk.full", values=values)
    events = (started(), sample, *steps(1, 2), *evaluated(2, 1.0), failed)
    one = opened.run(PAYLOAD, *events, notes=PAYLOAD, changes={"model.source": PAYLOAD})
    other = opened.run(f"{PAYLOAD}2", *events)
    found = opened.look(one, Seen(), marks=(one, other))
    shown = {n: found[n] for n in ("head", "words", "samples", "history", "settings", "overlay_table")}
    for name, html in shown.items():
        assert not re.search(r"<(img|script)", str(html)), name
        assert "&lt;img" in str(html), name
    assert found["name"] == found["notes"] == PAYLOAD


def test_marked_runs_are_laid_over_each_other_with_what_differs(opened: Opened) -> None:
    one = opened.run("one", started(), *steps(1, 3), *evaluated(3, 1.5), changes={"tuner.rank": 4})
    other = opened.run("other", started(), *steps(1, 3), *evaluated(3, 1.25))
    found = opened.look(one, Seen(), marks=(one, other))
    assert found["overlay"] == gr.update(visible=True)
    table = str(found["overlay_table"])
    assert translate("spec.tuner.rank.label") in table
    assert translate("spec.training.epochs.label") not in table
    assert "<code>tuner.rank</code>" in table
    assert "1.500" in table
    assert "1.250" in table
    seen = found["seen"]
    assert isinstance(seen, Seen)
    assert opened.look(one, seen, marks=(one, other)) == {}
    assert opened.look(one, seen, marks=(one,))["overlay"] == gr.update(visible=False)


@pytest.mark.parametrize("language", LANGUAGES)
def test_notes_stand_by_the_chart_with_their_numbers_at_its_steps(opened: Opened, language: str) -> None:
    """And say what is worth a change in a way that is pressed."""
    events = (started(40), *evaluated(0, 2.0), *steps(1, 10), *evaluated(10, 1.0), *steps(11, 20))
    run = opened.run("one", *events, *evaluated(20, 1.5), *steps(21, 30), *evaluated(30, 1.75))
    opened.page = replace(opened.page, language=language)
    found = opened.look(run, Seen())
    told = translate("coach.memorising", language, step=10, best="1", now="1.75")
    assert run_view.shown(told) in str(found["coach"])
    where = translate("ui.coach.where", language, chart=translate("ui.runs.chart.loss", language), step=10)
    assert f"<small>{where}</small>" in str(found["coach"])
    (epochs,) = re.findall('data-settings="([^"]*)"', str(found["coach"]))
    assert json.loads(unescape(epochs)) == {"training.epochs": 0.8}
    loss, *others = json.loads(str(found["figure"]))["charts"]
    title = translate("coach.title.memorising", language)
    assert loss["marks"] == [{"step": 10, "number": 1, "severity": "warn", "label": title}]
    assert not any(chart["marks"] for chart in others)
    opened.studio.store.append(run, *steps(31, 32))
    assert "coach" not in opened.look(run, found["seen"])  # type: ignore[arg-type]  # nothing new is said
    fine = opened.look(opened.run("fine", *events), found["seen"])  # type: ignore[arg-type]
    assert fine["coach"] == ""


def test_what_runs_name_by_ids_is_told_by_names(opened: Opened) -> None:
    one = opened.run("one", started(), *steps(1, 3))
    again = {"model.adapter": one, "method.kind": "grpo", "method.rewards": [{"kind": "contains", "text": PAYLOAD}]}
    other = opened.run("other", started(), *steps(1, 3), changes=again)
    scored = Checkpoint(step=3, path="checkpoint-3", validation_reward=0.625)
    opened.studio.store.append(other, scored)
    table = str(opened.look(one, Seen(), marks=(one, other))["overlay_table"])
    rows = re.findall(r"<tr>.*?</tr>", table)
    (parent,) = [row for row in rows if translate("spec.model.adapter.label") in row]
    assert "<td>–</td><td>one</td>" in parent
    (reward,) = [row for row in rows if translate("ui.runs.checkpoints.reward") in row]
    assert "<td>–</td><td>0.625</td>" in reward
    assert "contains" in table
    assert "<img" not in table
    alike = str(opened.look(one, Seen(), marks=(one, opened.run("third", started())))["overlay_table"])
    assert translate("ui.runs.differ.none") in alike


def test_a_run_that_trained_all_weights_says_so(opened: Opened) -> None:
    events = (started(), *steps(1, 3), ended("done", adapter="model"))
    whole = opened.run("whole", *events, changes={"tuner.kind": "full"})
    small = opened.run("small", *events)
    found = opened.look(whole, Seen(), marks=(whole, small))
    for name in ("settings", "overlay_table"):
        assert translate("spec.tuner.kind.label") in str(found[name])
        assert "<td>full</td>" in str(found[name])
    assert "<td>lora</td>" in str(found["overlay_table"])
    assert translate("spec.tuner.rank.label") not in str(found["settings"])
    assert "–" in str(found["overlay_table"])


def test_how_a_run_computes_is_told(opened: Opened) -> None:
    events = (started().model_copy(update={"how": ("bfloat16", "passes")}), *steps(1, 3), ended("done", adapter="a"))
    head = str(opened.look(opened.run("quick", *events), Seen())["head"])
    assert "bfloat16" in head
    assert translate("ui.runs.how.passes") in head


def test_a_run_of_pairs_tells_its_method_its_settings_and_how_often_the_better_answer_is_ahead(opened: Opened) -> None:
    numbers = [Metrics(step=4, values={"validation_loss": 0.5, "validation_accuracy": 0.875})]
    events = (started(), *evaluated(0, 0.69), *steps(1, 3), *numbers, ended("done", adapter="adapter"))
    found = opened.look(opened.run("pairs", *events, changes={"method.kind": "dpo"}), Seen())
    assert "Prefer better answers (DPO)" in str(found["head"])
    assert re.search(r"tile-accuracy.*88 %", str(found["head"]))
    assert "tile-loss" not in str(found["head"])
    assert translate("ui.runs.say.accuracy", percent=88) in str(found["words"])
    assert "DPO" in str(found["history"])
    for text in ("method.beta", "method.loss", "Prefer better answers (DPO)", translate("spec.method.dpo.beta.label")):
        assert text in str(found["settings"])
    assert "method.loss_on" not in str(found["settings"])
    assert [chart["key"] for chart in json.loads(str(found["figure"]))["charts"]][:2] == ["loss", "accuracy"]


def test_runs_of_different_methods_are_told_apart(opened: Opened) -> None:
    one = opened.run("one", started(), *steps(1, 3), changes={"method.kind": "dpo", "method.beta": 0.2})
    other = opened.run("other", started(), *steps(1, 3), changes={"method.kind": "simpo"})
    table = str(opened.look(one, Seen(), marks=(one, other))["overlay_table"])
    assert translate("ui.runs.overlay.methods") in table
    assert "Prefer better answers (DPO)" in table
    rows = re.findall(r"<tr>.*?</tr>", table)
    (beta,) = [row for row in rows if translate("spec.method.dpo.beta.label") in row]
    assert "<td>0.2</td><td>–</td>" in beta
    same = str(
        opened.look(one, Seen(), marks=(one, opened.run("third", started(), changes={"method.kind": "dpo"})))[
            "overlay_table"
        ]
    )
    assert translate("ui.runs.overlay.methods") not in same


def test_a_waiting_run_can_be_moved_and_one_that_is_over_deleted(opened: Opened) -> None:
    def shown(*events: Event) -> set[str]:
        found = opened.look(opened.run("a", *events), Seen())
        return {n for n in ("sooner", "later", "delete") if found[n]["visible"]}  # type: ignore[index]

    assert shown() == {"sooner", "later"}
    assert shown(started(), ended("stopped")) == {"delete"}
    assert shown(started(), *steps(1, 2)) == {"delete"}  # interrupted: nobody trains it


def test_the_list_finds_runs_by_name_data_preset_notes_and_tags(opened: Opened) -> None:
    opened.studio.runner.set_tags(opened.run("Umbrella", started(), notes="rainy"), ["wet"])
    opened.run("Parasol", started())
    for text, names in (
        ("umbr", {"Umbrella"}),
        ("RAIN", {"Umbrella"}),
        ("wet", {"Umbrella"}),
        ("balanced", {"Umbrella", "Parasol"}),
    ):
        html = str(opened.look(None, Seen(), find=text)["history"])
        assert {name for name in ("Umbrella", "Parasol") if f">{name}<" in html} == names
    assert translate("ui.runs.find.none") in str(opened.look(None, Seen(), find="no such")["history"])


def test_a_long_history_says_how_many_are_not_listed(opened: Opened) -> None:
    for i in range(run_view.LISTED + 7):
        opened.run(f"run {i}")
    html = str(opened.look(None, Seen())["history"])
    assert html.count("run-pick") == run_view.LISTED
    assert translate("ui.runs.find.more", count=7) in html


def test_the_view_holds_while_a_run_writes(opened: Opened) -> None:
    run = opened.run("busy", started(400))

    def write() -> None:
        for i in range(1, 401):
            opened.studio.store.append(run, *steps(i, i))

    writer = threading.Thread(target=write)
    writer.start()
    seen = Seen()
    while writer.is_alive():
        seen = opened.look(run, seen).get("seen", seen)
        assert isinstance(seen, Seen)
    writer.join()
    found = opened.look(run, Seen())
    assert "400" in str(found["head"])


# How a run is told in words


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("state", "key"),
    [
        (state_of(started(), *evaluated(0, 2.0), *evaluated(10, 1.0), ended("done", best_step=10, validation_loss=1.0)),
         "done_better"),
        (state_of(started(), *evaluated(0, 2.0), *evaluated(10, 2.5), ended("done", best_step=10, validation_loss=2.5)),
         "worse"),
        (state_of(started(), ended("done", best_step=10)), "done"),
        (state_of(started(), *evaluated(0, 2.0), *evaluated(4, 1.5),
                  ended("stopped", adapter="adapter", best_step=4, validation_loss=1.5)), "stopped_better"),
    ],
)  # fmt: skip
def test_the_result_is_told_in_a_sentence(state: RunState, key: str, language: str) -> None:
    expected = translate(f"ui.runs.say.{key}", language, before="2.000", after="?", percent="?", step=0)
    told = re.sub(r"<[^>]+>", "", run_view.messages(state, False, language))
    numbers = re.compile(r"[\d.?]+")
    assert numbers.sub("#", told) == numbers.sub("#", run_view.shown(expected))


@pytest.mark.parametrize(("last", "key", "kind"), [(0.75, "done_reward", "good"), (0.25, "reward_worse", "warn")])
def test_a_run_that_is_judged_by_its_reward_is_told_by_it(last: float, key: str, kind: str) -> None:
    rewards = [Metrics(step=step, values={"validation_reward": value}) for step, value in ((0, 0.5), (10, last))]
    state = state_of(started(), *rewards, ended("done", adapter="adapter", best_step=10, validation_reward=last))
    told = run_view.messages(state, False, "en")
    assert f"say-{kind}" in told
    assert run_view.shown(translate(f"ui.runs.say.{key}", before="0.500", after=f"{last:.3f}", step=10)) in told
    head = run_view.headline("a", "", state, "done", translate)
    assert f"0.500 → {last:.3f}" in head
    assert "tile-validation" not in head


def test_an_interrupted_run_names_the_step_it_resumes_from() -> None:
    state = state_of(started(), *steps(1, 5), *evaluated(5, 1.0), *steps(6, 7), alive=False)
    assert "step 5" in run_view.messages(state, False, "en")
    fresh = state_of(started(), *steps(1, 5), alive=False)
    assert translate("ui.runs.say.interrupted_start") in run_view.messages(fresh, False, "en")


def test_notices_are_told_once() -> None:
    notice = Notice(key="notice.train.truncated", values={"rows": 3, "max_length": 64})
    state = state_of(started(), notice, notice)
    assert run_view.messages(state, False, "en").count("say-note") == 1


def test_answers_that_stay_the_same_share_a_row_and_the_expected_one_is_marked() -> None:
    answers = {0: "?", 2: "no", 4: "no", 6: "yes  sir"}
    events = [Sample(step=step, prompt="Well", text=text, expected="yes sir") for step, text in answers.items()]
    html = run_view.samples(state_of(started(), *events), translate)
    assert "2 – 4" in html
    assert html.count("<tr>") == 4  # head, before, 2 - 4, 6; the expected answer's row has a class
    assert html.count('class="hit"') == 1


def test_words_that_are_new_since_the_answer_before_are_marked() -> None:
    answers = {0: "wi wi", 2: "We send it", 4: "We send it <today>", 6: "明日お送りします", 8: "今日お送りします"}
    events = [Sample(step=step, prompt="Well", text=text, expected="") for step, text in answers.items()]
    html = run_view.samples(state_of(started(), *events), translate)
    assert re.findall("<ins>(.*?)</ins>", html) == [" &lt;today&gt;", "今"]  # of another answer altogether nothing is


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (61, "1 min 1 s"), (3700, "1 h 1 min")]
)
def test_durations(seconds: float, expected: str) -> None:
    assert run_view.duration(seconds, translate) == expected


@pytest.mark.parametrize(("count", "expected"), [(999, "999 B"), (1_500_000, "1.5 MB"), (3_210_000_000, "3.21 GB")])
def test_sizes(count: int, expected: str) -> None:
    assert run_view.size(count) == expected
