"""A set of prompts on the Compare tab: asked in one go, each by itself."""

import random
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from studio.backend.candidates import Candidate
from studio.backend.comparisons import prompts_of
from studio.backend.talks import Talk, Turn
from studio.data.records import Message
from studio.ui.compare_stage import Stage, controls_of, how_to_answer
from studio.ui.conversation import talk_html
from studio.ui.page import Page, html

_MOST_ROWS = 200


def build(page: Page, stage: Stage, blind: gr.Checkbox) -> None:
    """Lay out the part."""
    t = page.t
    with gr.Accordion(t("ui.compare.set"), open=False, elem_id="compare-set"):
        text = gr.Textbox(
            "", label=t("ui.compare.set.prompts"), info=t("ui.compare.set.prompts_help"), lines=4, max_lines=12,
            max_length=200_000, elem_id="compare-set-prompts",
        )  # fmt: skip
        with gr.Row(elem_classes="cmp-making"):
            rows = gr.Slider(
                0, _MOST_ROWS, 0, step=1, label=t("ui.compare.set.rows"), info=t("ui.compare.set.rows_help"),
                min_width=240, elem_id="compare-set-rows",
            )  # fmt: skip
            go = gr.Button(t("ui.compare.set.ask"), size="md", scale=0, min_width=180, elem_id="compare-set-ask")
        state = html(elem_id="compare-set-state")

    def ask(
        request: gr.Request, now: Talk, chosen: Candidate | None, hidden: bool, written: str, count: int, *options: Any
    ) -> Iterator[list[Any]]:
        session = str(request.session_hash)
        if not now.seats or chosen is None or session in stage.stops:
            yield [gr.skip()] * len(outputs)
            return
        known = page.studio.compare.examples(chosen.run, limit=int(count)) if count else ()
        turns = [*prompts_of(written), *turns_of(known)]
        if hidden:
            turns = [turn.blinded(len(now.seats), random.Random()) for turn in turns]
        fresh, empty = now, Talk(now.seats, at=0)
        stop = stage.stops[session] = threading.Event()
        try:
            for fresh in page.studio.comparisons.ask_all(empty, turns, how_to_answer(chosen.run, *options), stop):
                done = t("ui.compare.set.done", done=len(fresh.turns), count=len(turns))
                yield [fresh, talk_html(fresh, t), _told(done), *controls_of(fresh, busy=True)]
        finally:
            del stage.stops[session]
        yield [fresh, talk_html(fresh, t), gr.skip(), *controls_of(fresh, busy=False)]

    quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
    outputs = [stage.talk, stage.view, state, *stage.controls]
    asked = go.click(
        page.guard(ask), [stage.talk, stage.main, blind, text, rows, *stage.options], outputs,
        trigger_mode="once", concurrency_limit=None, **quiet,
    )  # fmt: skip
    asked.failure(lambda now: controls_of(now, busy=False), stage.talk, stage.controls, **quiet)


def turns_of(examples: Sequence[tuple[tuple[Message, ...], str]]) -> list[Turn]:
    """Validation rows as turns: the last question, what was said before it, and the answer that is expected."""
    return [Turn(messages[-1].content, tuple(messages[:-1]), expected) for messages, expected in examples]


def _told(text: str) -> str:
    return f'<p class="cmp-note" role="status">{text}</p>'
