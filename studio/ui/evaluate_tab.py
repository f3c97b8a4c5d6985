"""The Evaluate tab: is it better at the task, what did it forget, would a prompt have done, shall it be deployed."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gradio as gr

from studio.backend.candidates import Candidate
from studio.backend.report import Report
from studio.data.splits import TESTED_FROM
from studio.errors import StudioError
from studio.evaluation.plan import EvaluationPlan
from studio.ui.contestants import choices, find, first_of
from studio.ui.evaluate_form import build_form, plan_of, values_of
from studio.ui.evaluate_view import entrant_names, results_html, rows_html, verdict_html
from studio.ui.export_view import progress_html
from studio.ui.markup import ACTIONS, act_button, said, shown
from studio.ui.page import Page, goto, html
from studio.ui.use_again import Again, written
from studio.ui.way_view import pressed

_FIRST = ("worse", 0)
"""The order and the page of the rows that are shown first."""


def build(page: Page, blocks: gr.Blocks, tab: gr.Tab) -> None:
    """Lay out the tab."""
    t, evaluations = page.t, page.studio.evaluations
    chosen, place = gr.State(None), gr.State(_FIRST)

    with gr.Column(elem_classes="ev-page", elem_id="evaluate-page"):
        with gr.Column(visible=False) as empty:
            html(_nothing(page), elem_id="evaluate-none")
            with gr.Row(elem_classes="cmp-ways"):
                to_train = gr.Button(t("ui.to_train"), variant="primary", scale=0, min_width=180)
                to_runs = gr.Button(t("ui.compare.to_runs"), scale=0, min_width=180)
        with gr.Column(visible=False) as body:
            with gr.Row(elem_classes="cmp-choice"):
                run = gr.Dropdown([], label=t("ui.compare.run"), elem_id="evaluate-run", min_width=240)
                step = gr.Dropdown([], label=t("ui.compare.checkpoint"), elem_id="evaluate-checkpoint", min_width=240)
            verdict = html(js_on_load=ACTIONS, elem_id="evaluate-verdict")
            with gr.Column(elem_classes="s-card ev-ask"):
                html(f'<p class="s-muted">{shown(t("ui.evaluate.about"))}</p>')
                with gr.Row(elem_classes="ev-buttons"):
                    begin = gr.Button(t("ui.evaluate.begin"), variant="primary", scale=0, min_width=180,
                                      elem_id="evaluate-begin")  # fmt: skip
                    stop = gr.Button(t("ui.evaluate.stop"), scale=0, min_width=120, visible=False,
                                     elem_id="evaluate-stop")  # fmt: skip
                state = html(js_on_load=ACTIONS, elem_id="evaluate-state")
                with gr.Accordion(t("ui.evaluate.form"), open=False, elem_id="evaluate-form"):
                    form, bring, judge_key = build_form(page)
            results = html(js_on_load=ACTIONS, elem_id="evaluate-results")
            rows = html(js_on_load=ACTIONS, elem_id="evaluate-rows")

    lists = [run, step, chosen]
    views = [verdict, results, rows, place]
    buttons = [begin, stop, state]

    def opened(found: Any, now: Candidate) -> list[Any]:
        plan = evaluations.plan(now.run)
        idle = [gr.update(visible=True), gr.update(visible=False), _asked(page, now, plan)]
        return [*choices(page, found, now), now, *values_of(page, now.run, plan), *idle, *_views(page, now, plan)]

    def refresh(wanted: str | None, now: Candidate | None) -> list[Any]:
        found = page.studio.compare.candidates()
        shown_now = [gr.update(visible=not found), gr.update(visible=bool(found))]
        if not found:
            return [*shown_now, *[gr.skip()] * (len(lists) + len(form.inputs) + len(buttons) + len(views))]
        same = now if now in found and wanted in (now.run, None) else first_of(found, wanted)
        return [*shown_now, *opened(found, same)]

    def choose_run(wanted: str) -> list[Any]:
        found = page.studio.compare.candidates()
        return [wanted, *opened(found, first_of(found, wanted))]

    def choose_step(wanted: str, now: Candidate) -> list[Any]:
        found = page.studio.compare.candidates()
        return opened(found, find(found, now.run, wanted))

    def evaluate(now: Candidate, key: str, *values: Any) -> Iterator[list[Any]]:
        plan = plan_of(values)
        evaluations.set_plan(now.run, plan)
        still = [gr.skip()] * len(views)
        yield [gr.update(visible=False), gr.update(visible=True), progress_html(0, t("ui.evaluate.going")), *still]
        ended = [gr.update(visible=True), gr.update(visible=False)]
        try:
            with closing(evaluations.follow(now.run, now.step, plan, key)) as shares:
                for share in shares:
                    yield [gr.skip(), gr.skip(), progress_html(share, t("ui.evaluate.going")), *still]
        except StudioError:
            yield [*ended, "", *_views(page, now, plan)]
            raise  # what was answered is shown all the same
        yield [*ended, _asked(page, now, plan), *_views(page, now, plan)]

    def redraw(now: Candidate, *values: Any) -> list[Any]:
        """Other metrics, other lines of the rule: nobody is asked again."""
        plan = plan_of(values)
        evaluations.set_plan(now.run, plan)
        return _views(page, now, plan)

    def change_version(now: Candidate, *values: Any) -> list[Any]:
        """Other data has other sides, and other metrics suit it."""
        plan = plan_of(values)
        side = "all" if plan.version else evaluations.plan(now.run).side
        return values_of(page, now.run, plan.model_copy(update={"side": side, "metrics": ()}))

    def add_exam(file: str, now: Candidate, *values: Any) -> list[Any]:
        plan = plan_of(values)
        exam = evaluations.questions.import_exam(file)
        return values_of(page, now.run, plan.model_copy(update={"exams": (*plan.exams, exam)}))

    def turn(now: Candidate, before: tuple[str, int], event: gr.EventData) -> list[Any]:
        told = event._data
        after = (told["order"], 0) if told["act"] == "order" else (before[0], int(told["page"]))
        report = page.studio.reports.report(now.run, now.step)
        return [_rows(page, report, after) if report else "", after]

    def mend(now: Candidate, event: gr.EventData) -> list[Any]:
        """What the button of a piece of advice offers."""
        told = event._data
        if told["act"] == "change":
            return [written(pressed(now.run, told)), gr.skip(), goto("train")]
        if told["act"] == "replay":
            data = evaluations.run_spec(now.run).data.version
            mixed = page.studio.mixtures.add_replay(data, float(told["share"])).id
            changes = json.loads(told["settings"])
            again = Again(now.run, 0, {**changes, "data.version": mixed, "data.mapping": None})
            return [written(again), mixed, goto("train")]
        return [gr.skip()] * 3

    def to_split(now: Candidate) -> list[Any]:
        return [evaluations.run_spec(now.run).data.version, goto("data")]

    quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
    asked = [chosen, *form.inputs]
    all_views = [*lists, *form.inputs, *buttons, *views]
    tab.select(page.guard(refresh), [page.run, chosen], [empty, body, *all_views], **quiet)
    run.input(page.guard(choose_run), run, [page.run, *all_views], trigger_mode="always_last", **quiet)
    step.input(page.guard(choose_step), [step, chosen], all_views, trigger_mode="always_last", **quiet)
    going = begin.click(
        page.guard(evaluate), [chosen, judge_key, *form.inputs], [*buttons, *views], concurrency_limit=4, **quiet
    )
    idle = [gr.update(visible=True), gr.update(visible=False)]
    stopped = f'<p class="s-muted" role="status">{shown(t("ui.evaluate.stopped"))}</p>'
    # Gradio tells a cancelled event as failed too; of both it is true. Until then another press would be lost.
    going.failure(lambda: [*idle, stopped], None, buttons, **quiet)
    stop.click(lambda: [gr.update(visible=False), stopped], None, [stop, state], cancels=[going], queue=False, **quiet)
    redrawn = [form.metrics.input, form.json_schema.blur, form.least_rows.change]
    redrawn += [s.release for s in form.lines]
    gr.on(redrawn, page.guard(redraw), asked, views, trigger_mode="always_last", **quiet)
    form.version.input(page.guard(change_version), asked, form.inputs, trigger_mode="always_last", **quiet)
    bring.upload(page.guard(add_exam), [bring, *asked], form.inputs, **quiet)
    rows.click(page.guard(turn), [chosen, place], [rows, place], **quiet)
    state.click(page.guard(to_split), chosen, [page.version, page.tabs], **quiet)
    verdict.click(page.guard(mend), chosen, [page.again, page.version, page.tabs], **quiet)
    to_train.click(lambda: goto("train"), None, page.tabs, queue=False, **quiet)
    to_runs.click(lambda: goto("runs"), None, page.tabs, queue=False, **quiet)


def _asked(page: Page, now: Candidate, plan: EvaluationPlan) -> str:
    """What is asked, in a line; the form below is closed at first. Why nothing can be is told with the results."""
    try:
        rows = len(page.studio.evaluations.questions.task(now.run, plan).questions)
    except StudioError:
        return ""
    _, _, test = page.studio.evaluations.side_rows(now.run, plan.version)
    side = "no_test" if plan.side == "validation" and not test else plan.side
    told = page.t(f"ui.evaluate.asked.{side}", rows=rows, least=TESTED_FROM)
    exams = page.t("ui.evaluate.asked.exams") if plan.exams else ""
    offer = f" {act_button('split', page.t('ui.evaluate.split'), 's-small')}" if side == "no_test" else ""
    return f'<p class="s-muted">{shown(told)} {shown(exams)}{offer}</p>'


def _views(page: Page, now: Candidate, plan: EvaluationPlan) -> list[Any]:
    """Verdict, results, rows, and which of them; empty as long as nothing was asked."""
    try:
        report = page.studio.reports.report(now.run, now.step, plan)
    except StudioError as error:
        return [_told(error.message(page.language)), "", "", _FIRST]
    if report is None:
        return ["", "", "", _FIRST]
    names = entrant_names(report.entrants, page.language)
    return [
        verdict_html(report, not page.studio.store.read_only, page.language, page.t),
        results_html(report, names, page.language, page.t),
        _rows(page, report, _FIRST),
        _FIRST,
    ]


def _rows(page: Page, report: Report, place: tuple[str, int]) -> str:
    return rows_html(report, entrant_names(report.entrants, page.language), *place, page.language, page.t)


def _told(message: str) -> str:
    return f'<p class="s-card ev-told" role="status">{said(message)}</p>'


def _nothing(page: Page) -> str:
    title, text = page.t("ui.evaluate.none_title"), page.t("ui.evaluate.none")
    return f'<div class="cmp-nothing"><h2 class="s-h2">{title}</h2><p class="s-muted">{text}</p></div>'
