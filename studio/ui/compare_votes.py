"""Votes on the Compare tab: cast under the answers, counted, and made into data."""

from typing import Any

import gradio as gr

from studio.backend.talks import Talk
from studio.ui.compare_stage import Stage
from studio.ui.conversation import talk_html
from studio.ui.page import Page, goto, html
from studio.ui.votes_view import standings_html


def build(page: Page, stage: Stage, tab: gr.Tab) -> gr.Checkbox:
    """Lay out the part; what is returned hides the names of who answers."""
    t = page.t
    with gr.Accordion(t("ui.votes.title"), open=False, elem_id="compare-votes") as folded:
        blind = gr.Checkbox(
            label=t("ui.votes.blind"), info=t("ui.votes.blind_help"), elem_id="compare-blind", container=False
        )
        standings = html(elem_id="compare-standings")
        with gr.Row(elem_classes="cmp-making"):
            who = gr.Textbox(
                "", label=t("ui.votes.who"), info=t("ui.votes.who_help"), max_length=200, min_width=200,
                elem_id="compare-who",
            )  # fmt: skip
            kind = gr.Radio(
                [(t(f"ui.votes.kind.{name}"), name) for name in ("pairs", "thumbs")], value="pairs",
                label=t("ui.votes.kind"), min_width=260, elem_id="compare-kind",
            )  # fmt: skip
            make = gr.Button(t("ui.votes.make"), size="md", scale=0, min_width=260, elem_id="compare-make-set")

    def act(now: Talk, name: str, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        """What was pressed under an answer; while others are being written nothing is."""
        if request.session_hash in stage.stops:
            return (gr.skip(),) * 3
        data = event._data
        comparisons = page.studio.comparisons
        place = int(data["turn"]) if data.get("turn") else 0
        column = int(data["column"]) if data.get("column") else None
        if data["do"] == "page":
            now = now.turned_to(int(data["at"]) if data["at"] else None)
        elif data["do"] == "undo":
            now = comparisons.withdraw(now, place)
        elif data["do"] == "edit":
            now = comparisons.vote(now, place, "edit", column, edited=data["text"], who=name)
        else:
            now = comparisons.vote(now, place, data["verdict"], column, note=data["note"], who=name)
        return now, talk_html(now, t), standings_html(page.studio.votes.standings(), t)

    def count() -> str:
        return standings_html(page.studio.votes.standings(), t)

    def make_set(chosen: str) -> tuple[Any, ...]:
        made = page.studio.votes.make_set(t(f"ui.votes.set.{chosen}"), chosen)  # type: ignore[arg-type]
        return made.version.id, goto("data")

    quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
    stage.view.click(page.guard(act), [stage.talk, who], [stage.talk, stage.view, standings], **quiet)
    gr.on([tab.select, folded.expand], page.guard(count), None, standings, **quiet)
    make.click(page.guard(make_set), kind, [page.version, page.tabs], **quiet)
    return blind
