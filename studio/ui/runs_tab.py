"""The Runs tab: the history, one run as it trains, and several laid over each other."""

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import TypeAdapter, ValidationError

from studio.backend.chain import offers
from studio.backend.runner import RunSummary
from studio.errors import InputError
from studio.runs.coach import coach
from studio.runs.events import RunState
from studio.runs.methods import METHODS
from studio.runs.store import RunRecord
from studio.ui import chain_view, run_view
from studio.ui.charts import overlay_charts, run_charts, to_json, with_marks
from studio.ui.checkpoint_view import BRANCH, checkpoints_table
from studio.ui.coach_view import coach_notes
from studio.ui.diagnosis_view import failure
from studio.ui.markup import ACTIONS
from studio.ui.page import Page, chosen, goto
from studio.ui.settings_view import differences_table, settings_table
from studio.ui.use_again import Again, written
from studio.ui.way_view import pressed

HISTORY_SECONDS = 5.0
"""How old the list may get while nothing of the chosen run changes: another tab may have started or renamed one."""

_PICK = """
element.addEventListener('click', event => {
  const card = event.target.closest('[data-run]');
  if (card) trigger('choose', {run: card.dataset.run});
});
element.addEventListener('change', event => {
  if (!event.target.dataset.mark) return;
  trigger('mark', {run: event.target.dataset.mark, on: event.target.checked});
});
watch('value', () => {
  for (const box of element.querySelectorAll('[data-mark]')) box.checked = box.hasAttribute('checked');
});
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What this browser tab shows: when nothing of it changed, a tick sends nothing.

    The page holds it, as JSON, and is given it together with what it tells of: an answer that is lost, or overtaken by
    an older one, is made good by the next tick.
    """

    run: str | None = None
    cursor: int = -1
    status: str = ""
    marked: tuple[tuple[str, int], ...] = ()
    history: str = ""
    listed: float = 0.0
    find: str = ""
    empty: bool = False
    news: str = ""
    coach: str = ""

    @classmethod
    def read(cls, text: str | None) -> "Seen":
        """Nothing is seen where the text is none of ours."""
        try:
            return _SEEN.validate_json(text or "{}")
        except ValidationError:
            return cls()

    def write(self) -> str:
        return _SEEN.dump_json(self).decode()


_SEEN = TypeAdapter(Seen)


def build(page: Page, blocks: gr.Blocks, tab: gr.Tab) -> None:
    """Lay out the tab and wire it."""
    t, runner = page.t, page.studio.runner
    script = (page.studio.settings.assets / "js" / "chart.js").read_text(encoding="utf-8")
    titles = {preset.name: preset.title["ja" if page.language == "ja" else "en"] for preset in page.studio.presets()}
    seen = gr.Textbox("", visible=False)
    marked = chosen("marked", page.studio.settings.workspace)

    def chart(elem_id: str) -> gr.HTML:
        return gr.HTML(
            html_template='<div class="chart-start"></div>', js_on_load=script, apply_default_css=False,
            elem_id=elem_id, elem_classes="charts",
        )  # fmt: skip

    with gr.Column(visible=False, elem_classes="runs-empty") as empty:
        gr.HTML(run_view.empty(t), padding=False)
        to_train = gr.Button(t("ui.to_train"), variant="primary", elem_id="runs-to-train")
    with gr.Row(visible=False, elem_classes="runs-layout", equal_height=False) as layout:
        with gr.Column(scale=1, min_width=280, elem_classes="runs-side"):
            find = gr.Textbox(
                "", show_label=False, placeholder=t("ui.runs.find"), max_lines=1, container=False, elem_id="runs-find"
            )
            history = gr.HTML(elem_id="runs-list", js_on_load=_PICK, apply_default_css=False)
        with gr.Column(scale=3, min_width=320, elem_classes="runs-main"):
            with gr.Column(visible=False, elem_id="runs-overlay", elem_classes="s-card") as overlay:
                with gr.Row(elem_classes="runs-bar"):
                    gr.HTML(f'<h2 class="s-h2">{run_view.shown(t("ui.runs.overlay"))}</h2>')
                    unmark = gr.Button(t("ui.runs.overlay.close"), size="md", elem_id="runs-unmark")
                overlay_chart = chart("runs-overlay-chart")
                overlay_table = gr.HTML(apply_default_css=False)
            head = gr.HTML(elem_id="runs-progress", apply_default_css=False)
            with gr.Row(elem_classes="runs-bar"):
                stop = gr.Button(t("ui.runs.stop"), size="md", elem_id="runs-stop", visible=False)
                resume = gr.Button(
                    t("ui.runs.resume"), variant="primary", size="md", elem_id="runs-resume", visible=False
                )
                compare = gr.Button(
                    t("ui.runs.compare"), variant="primary", size="md", elem_id="runs-compare", visible=False
                )
                again = gr.Button(t("ui.runs.use_again"), size="md", elem_id="runs-again")
                sooner = gr.Button(t("ui.runs.sooner"), size="md", elem_id="runs-sooner", visible=False)
                later = gr.Button(t("ui.runs.later"), size="md", elem_id="runs-later", visible=False)
            words = gr.HTML(elem_id="runs-words", js_on_load=ACTIONS, apply_default_css=False)
            following = gr.HTML(elem_id="runs-next", js_on_load=ACTIONS, apply_default_css=False)
            notes_on_it = gr.HTML(elem_id="runs-coach", js_on_load=ACTIONS, apply_default_css=False)
            figure = chart("runs-chart")
            samples = gr.HTML(elem_id="runs-samples", apply_default_css=False)
            checkpoints = gr.HTML(elem_id="runs-checkpoints", js_on_load=BRANCH, apply_default_css=False)
            with gr.Accordion(t("ui.runs.name_notes"), open=False, elem_id="runs-about"):
                name = gr.Textbox(label=t("ui.runs.name"), max_lines=1, max_length=120, elem_id="runs-name")
                tags = gr.Textbox(
                    label=t("ui.runs.tags"), info=t("ui.runs.tags.help"), max_lines=1, max_length=800,
                    elem_id="runs-tags",
                )  # fmt: skip
                notes = gr.Textbox(label=t("ui.runs.notes"), lines=3, max_length=20_000, elem_id="runs-notes")
                save = gr.Button(t("ui.runs.save"), elem_id="runs-save", size="md")
            with gr.Accordion(t("ui.runs.settings"), open=False, elem_id="runs-settings"):
                settings = gr.HTML(apply_default_css=False)
                # Not gr.Code: its editor is a quarter of all the script that the page would load.
                yaml = gr.Textbox(
                    label="run-spec.yaml",
                    interactive=False, lines=5, max_lines=20, buttons=["copy"], elem_id="runs-yaml",
                )  # fmt: skip
            delete = gr.Button(
                t("ui.runs.delete"), size="md", elem_id="runs-delete", elem_classes="quiet-button", visible=False
            )
            with gr.Column(visible=False, elem_id="runs-delete-ask", elem_classes="s-card") as asking:
                question = gr.HTML(apply_default_css=False)
                with gr.Row(elem_classes="runs-bar"):
                    sure = gr.Button(t("ui.runs.delete.sure"), variant="stop", size="md", elem_id="runs-delete-sure")
                    spare = gr.Button(t("ui.runs.delete.keep"), size="md", elem_id="runs-delete-keep")

    parts = Parts(
        empty, layout, history, overlay, overlay_chart, overlay_table, head, stop, resume, compare, words, figure,
        samples, checkpoints, name, tags, notes, settings, yaml, page.run, seen, sooner, later, delete, asking,
        following, page.news, notes_on_it,
    )  # fmt: skip
    watching: list[Any] = [page.run, marked, find, seen]
    changed = [getattr(parts, field.name) for field in fields(parts)]
    quiet: dict[str, Any] = {"show_progress": "hidden"}

    @page.guard
    def look(run: str | None, marks: list[str] | None, text: str, told: str) -> Any:
        return view(page, parts, titles, run, marks or [], text, Seen.read(told)) or gr.skip()

    @page.guard
    def choose(marks: list[str] | None, text: str, told: str, event: gr.EventData) -> Any:
        found = view(page, parts, titles, event.run, marks or [], text, Seen.read(told))
        return found | {page.run: event.run}

    @page.guard
    def mark(run: str | None, marks: list[str] | None, text: str, told: str, event: gr.EventData) -> Any:
        kept = [m for m in marks or [] if m != event.run] + ([event.run] if event.on else [])
        return view(page, parts, titles, run, kept, text, Seen.read(told)) | {marked: kept}

    @page.guard
    def unmark_all(run: str | None, text: str, told: str) -> Any:
        return view(page, parts, titles, run, [], text, Seen.read(told)) | {marked: []}

    def act(action: Callable[[str], object]) -> Callable[..., Any]:
        @page.guard
        def pressed(run: str | None, marks: list[str] | None, text: str, told: str) -> Any:
            old = Seen.read(told)
            if old.run:
                action(old.run)
            return view(page, parts, titles, run, marks or [], text, replace(old, listed=0.0)) or gr.skip()

        return pressed

    def move(by: int) -> Callable[[str], None]:
        return lambda run: runner.move(run, by)

    def use_again(told: str) -> Any:
        return _again(Seen.read(told).run), goto("train")

    def branch(told: str, event: gr.EventData) -> Any:
        return _again(Seen.read(told).run, event.step), goto("train")

    @page.guard
    def mend(told: str, event: gr.EventData) -> Any:
        """What the button of a note or of a failure offers: the settings of the run, changed; or another tab."""
        run = Seen.read(told).run
        if not run:
            return gr.skip(), gr.skip(), gr.skip()
        if event.act == "look":
            return gr.skip(), runner.record(run).version, goto(event.tab)
        return written(pressed(run, event._data)), gr.skip(), goto("train")

    @page.guard
    def ask(told: str) -> Any:
        run = Seen.read(told).run
        if not run:
            return gr.skip(), gr.skip()
        words = t("ui.runs.delete.ask", name=runner.record(run).name, size=run_view.size(runner.size(run)))
        return gr.update(visible=True), f"<p>{run_view.shown(words)}</p>"

    @page.guard
    def throw_away(marks: list[str] | None, text: str, told: str) -> Any:
        run = Seen.read(told).run
        marks = [mark for mark in marks or [] if mark != run]
        if run:
            freed = runner.delete(run)
            gr.Info(t("ui.runs.deleted", size=run_view.size(freed)), duration=4)
        found = view(page, parts, titles, None, marks, text, Seen())
        return {page.run: None, **found, marked: marks, asking: gr.update(visible=False)}

    @page.guard
    def keep(
        title: str, labels: str, words: str, run: str | None, marks: list[str] | None, text: str, told: str
    ) -> Any:
        old = Seen.read(told)
        if old.run:
            runner.rename(old.run, title)
            runner.set_notes(old.run, words)
            runner.set_tags(old.run, re.split("[,、，]", labels))
        gr.Info(t("ui.runs.saved"), duration=2)
        return view(page, parts, titles, run, marks or [], text, replace(old, listed=0.0, cursor=-1)) or gr.skip()

    @page.guard
    def follow(version: str | None, told: str, event: gr.EventData) -> Any:
        following = chain_view.pressed(event._data)
        run = Seen.read(told).run
        own = runner.record(run).version if run else None
        data = page.studio.suited(following.method, [own, version])
        if data is None:
            learns = METHODS[following.method].learns
            gr.Info(t("ui.chain.no_data", needs=t(f"ui.method.needs.{learns}")), duration=12)
            return gr.skip(), goto("data")
        return chain_view.written(following, data), goto("train")

    # A tick is one small request beside the queue, so that it waits for no slower work of the page.
    page.clock.tick(look, watching, changed, trigger_mode="once", queue=False, **quiet)
    for event in (blocks.load, tab.select, page.run.change):
        event(look, watching, changed, trigger_mode="always_last", **quiet)
    find.change(look, watching, changed, trigger_mode="always_last", **quiet)
    history.choose(choose, watching[1:], changed, **quiet)  # type: ignore[attr-defined]
    history.mark(mark, watching, [*changed, marked], trigger_mode="multiple", **quiet)  # type: ignore[attr-defined]
    unmark.click(unmark_all, [page.run, find, seen], [*changed, marked], **quiet)
    stop.click(act(runner.stop), watching, changed, **quiet)
    resume.click(act(runner.resume), watching, changed, **quiet)
    again.click(use_again, seen, [page.again, page.tabs], **quiet)
    checkpoints.branch(branch, seen, [page.again, page.tabs], **quiet)  # type: ignore[attr-defined]
    for told_in in (notes_on_it, words):
        told_in.click(mend, seen, [page.again, page.version, page.tabs], **quiet)  # type: ignore[attr-defined]
    following.click(follow, [page.version, seen], [page.follow, page.tabs], **quiet)
    sooner.click(act(move(-1)), watching, changed, **quiet)
    later.click(act(move(1)), watching, changed, **quiet)
    delete.click(ask, seen, [asking, question], **quiet)
    spare.click(lambda: gr.update(visible=False), None, asking, **quiet)
    sure.click(throw_away, watching[1:], [*changed, marked], **quiet)
    save.click(keep, [name, tags, notes, *watching], changed, **quiet)
    to_train.click(lambda: goto("train"), None, page.tabs, **quiet)
    compare.click(lambda told: (Seen.read(told).run, goto("compare")), seen, [page.run, page.tabs], **quiet)


def _again(run: str | None, step: int = 0) -> str:
    return written(Again(run, step)) if run else ""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The components that follow the record."""

    empty: gr.Column
    layout: gr.Row
    history: gr.HTML
    overlay: gr.Column
    overlay_chart: gr.HTML
    overlay_table: gr.HTML
    head: gr.HTML
    stop: gr.Button
    resume: gr.Button
    compare: gr.Button
    words: gr.HTML
    figure: gr.HTML
    samples: gr.HTML
    checkpoints: gr.HTML
    name: gr.Textbox
    tags: gr.Textbox
    notes: gr.Textbox
    settings: gr.HTML
    yaml: gr.Textbox
    run: gr.BrowserState
    seen: gr.Textbox
    sooner: gr.Button
    later: gr.Button
    delete: gr.Button
    asking: gr.Column
    following: gr.HTML
    news: gr.Textbox
    coach: gr.HTML


def view(
    page: Page, parts: Parts, titles: dict[str, str], run: str | None, marks: Sequence[str], find: str, old: Seen
) -> dict[Any, Any]:
    """What is new since `old`, by component; empty when nothing is."""
    runner = page.studio.runner
    state = _state(page, run)
    runs = None
    if state is None or find != old.find or run != old.run or not 0 <= time.monotonic() - old.listed < HISTORY_SECONDS:
        runs = runner.runs()
    if state is None:
        if not runs:
            shown: dict[Any, Any] = {parts.empty: gr.update(visible=True), parts.layout: gr.update(visible=False)}
            return shown | {parts.seen: Seen(empty=True).write(), parts.news: ""} if not old.empty else {}
        run = runs[0].record.id
        state = runner.state(run)
    assert run is not None
    preparing = runner.current() == run
    status = run_view.shown_status(state, preparing)
    marked = tuple((m, s.cursor) for m in marks if (s := _state(page, m)) is not None)
    new = replace(old, run=run, cursor=state.cursor, status=status, marked=marked, find=find, empty=False)
    found: dict[Any, Any] = {}
    if (new.run, new.cursor, new.status) != (old.run, old.cursor, old.status):
        record = runner.record(run)
        found |= _run(page, parts, titles, record, state, status)
        new = replace(new, coach=_hash(found[parts.coach]))
        if new.coach == old.coach:  # written anew, its buttons would slip away under a finger while a run trains
            del found[parts.coach]
        if new.run != old.run or old.cursor < 0:
            found |= _about(page, parts, record) | {parts.asking: gr.update(visible=False)}
        if new.status != old.status:
            runs = runs or runner.runs()
    if marked != old.marked:
        found |= _overlay(page, parts, [m for m, _ in marked])
    if runs is not None or marked != old.marked:
        runs = runs or runner.runs()
        html = run_view.history(runs, run, [m for m, _ in marked], titles, find, runner.current(), page.t)
        new = replace(new, history=_hash(html), news=_hash(_news(runs)), listed=time.monotonic())
        if new.history != old.history:
            found[parts.history] = html
        if new.news != old.news:
            found[parts.news] = new.news
    if new == old:
        return {}
    if old.run is None:
        found |= {parts.empty: gr.update(visible=False), parts.layout: gr.update(visible=True), parts.run: run}
    return found | {parts.seen: new.write()}


def _news(runs: Sequence[RunSummary]) -> str:
    """What others can do with the runs."""
    return " ".join(f"{run.record.id} {run.state.status} {len(run.state.checkpoints)}" for run in runs)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _state(page: Page, run: str | None) -> RunState | None:
    """None when there is no such run: the browser may remember one of a workspace that was put aside."""
    try:
        return page.studio.runner.state(run) if run else None
    except InputError:
        return None


def _run(
    page: Page, parts: Parts, titles: dict[str, str], record: RunRecord, state: RunState, status: str
) -> dict[Any, Any]:
    t, studio = page.t, page.studio
    about = run_view.about(record, _data_name(page, record.version), _parent_name(page, record), titles, t)
    writable = not studio.store.read_only
    notes = coach(state, record.spec)
    charts = with_marks(run_charts(state, record.spec.method.kind, t), notes, t)
    return {
        parts.head: run_view.headline(record.name, about, state, status, t),
        parts.words: run_view.messages(
            state,
            not writable,
            page.language,
            studio.runner.where_to_look(record.id),
            failure(state, record.spec, writable, page.language, t),
        ),
        parts.coach: coach_notes(notes, record.spec, writable, page.language, t),
        parts.figure: to_json(record.id, charts, t),
        parts.samples: run_view.samples(state, t),
        parts.checkpoints: checkpoints_table(record.spec, state, writable, t),
        parts.following: _following(page, record) if writable and status in ("done", "stopped") else "",
        parts.stop: gr.update(
            visible=writable and status in ("queued", "preparing", "running", "stopping"),
            interactive=status != "stopping",
            value=t("ui.runs.cancel" if status == "queued" else "ui.runs.stop"),
        ),
        parts.resume: gr.update(
            visible=writable and state.resumable,
            value=t("ui.runs.resume" if state.checkpoints else "ui.runs.again"),
        ),
        parts.compare: gr.update(
            visible=state.usable and record.spec.method.writes, variant="secondary" if state.resumable else "primary"
        ),
        parts.sooner: gr.update(visible=writable and status == "queued"),
        parts.later: gr.update(visible=writable and status == "queued"),
        parts.delete: gr.update(visible=writable and status in ("done", "stopped", "failed", "interrupted")),
    }


def _following(page: Page, record: RunRecord) -> str:
    """What can follow the run; answers after documents even where no data for them is open yet."""
    runs = page.studio.runner.runs()
    found = offers(next(run for run in runs if run.record.id == record.id), runs)
    fit = [one for one in found if one.method == "sft" or page.studio.suited(one.method, [record.version])]
    return chain_view.offer(fit, page.t)


def _parent_name(page: Page, record: RunRecord) -> str:
    """The run or the folder whose adapter this one goes on from, by its name; a run that is gone by its id."""
    if folder := record.spec.model.adapter_folder:
        return Path(folder).name
    parent = record.spec.model.adapter
    try:
        return page.studio.runner.record(parent).name if parent else ""
    except InputError:
        return parent


def _about(page: Page, parts: Parts, record: RunRecord) -> dict[Any, Any]:
    """What does not change while a run trains; what the user types here is left alone."""
    return {
        parts.name: record.name,
        parts.notes: record.notes,
        parts.tags: ", ".join(record.tags),
        parts.settings: settings_table(record.spec, page.language),
        parts.yaml: record.spec.to_yaml(),
    }


def _overlay(page: Page, parts: Parts, marks: Sequence[str]) -> dict[Any, Any]:
    runner = page.studio.runner
    if len(marks) < 2:
        return {parts.overlay: gr.update(visible=False)}
    runs = [(runner.record(m), runner.state(m)) for m in marks]
    charts = overlay_charts([(record.name, state) for record, state in runs], page.t)
    return {
        parts.overlay: gr.update(visible=True),
        parts.overlay_chart: to_json("overlay " + " ".join(marks), charts, page.t),
        parts.overlay_table: differences_table(
            [(record.name, record.spec, state) for record, state in runs], _names(page, runs), page.language
        ),
    }


def _names(page: Page, runs: Sequence[tuple[RunRecord, RunState]]) -> dict[str, str]:
    """What the runs name by ids, in words: their data, and the runs that they go on from."""
    versions = {record.version: _data_name(page, record.version) for record, _ in runs}
    return versions | {record.spec.model.adapter: _parent_name(page, record) for record, _ in runs}


def _data_name(page: Page, version: str) -> str:
    found = page.studio.datasets.version(version)
    return f"{found.name} v{found.number}"
