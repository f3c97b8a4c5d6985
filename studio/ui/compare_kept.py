"""Comparisons that are kept: saved, opened again, and written to a file, on the Compare tab."""

from typing import Any

import gradio as gr

from studio.backend.talks import Talk
from studio.ui.compare_stage import Stage, controls_of
from studio.ui.conversation import talk_html
from studio.ui.data_bench import SAVE, file_link
from studio.ui.page import Page
from studio.ui.run_view import moment


def build(page: Page, stage: Stage, tab: gr.Tab) -> None:
    """Lay out the part."""
    t = page.t
    with gr.Accordion(t("ui.kept.title"), open=False, elem_id="compare-kept"):
        with gr.Row(elem_classes="cmp-making"):
            name = gr.Textbox("", label=t("ui.kept.name"), max_length=200, min_width=220, elem_id="compare-name")
            save = gr.Button(t("ui.kept.save"), size="md", scale=0, min_width=120, elem_id="compare-save")
            csv = gr.Button(t("ui.kept.csv"), size="md", scale=0, min_width=180, elem_id="compare-csv")
            json = gr.Button(t("ui.kept.json"), size="md", scale=0, min_width=180, elem_id="compare-json")
        with gr.Row(elem_classes="cmp-making"):
            saved = gr.Dropdown([], label=t("ui.kept.saved"), min_width=220, elem_id="compare-saved")
            reopen = gr.Button(t("ui.kept.open"), size="md", scale=0, min_width=120, elem_id="compare-open")
            delete = gr.Button(t("ui.kept.delete"), size="md", scale=0, min_width=120, elem_id="compare-delete")
        link = gr.Textbox("", visible=False)

    def listed(chosen: str | None = None) -> Any:
        found = page.studio.comparisons.saved()
        choices = [(f"{record.name} · {moment(record.changed)}", record.id) for record in found]
        kept = chosen if chosen in [record.id for record in found] else None
        return gr.update(choices=choices, value=kept)

    def keep(now: Talk, words: str) -> list[Any]:
        now = page.studio.comparisons.save(now, words)
        return [now, now.name, listed(now.id)]

    def open_again(request: gr.Request, chosen: str | None) -> list[Any]:
        if not chosen or request.session_hash in stage.stops:
            return [gr.skip()] * (3 + len(stage.controls))
        now = page.studio.comparisons.open(chosen)
        return [now, talk_html(now, t), now.name, *controls_of(now, busy=False)]

    def forget(chosen: str | None) -> Any:
        if chosen:
            page.studio.comparisons.delete(chosen)
        return listed()

    def export(ending: str) -> Any:
        return lambda now: file_link(page.studio.comparisons.export(now, ending))

    quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
    tab.select(page.guard(listed), saved, saved, **quiet)
    save.click(page.guard(keep), [stage.talk, name], [stage.talk, name, saved], **quiet)
    reopen.click(page.guard(open_again), saved, [stage.talk, stage.view, name, *stage.controls], **quiet)
    delete.click(page.guard(forget), saved, saved, **quiet)
    csv.click(page.guard(export(".csv")), stage.talk, link, **quiet)
    json.click(page.guard(export(".jsonl")), stage.talk, link, **quiet)
    link.change(None, link, None, js=SAVE)
