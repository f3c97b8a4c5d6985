"""The Compare tab: one prompt, the answers of base and tuned model (and of others) side by side, written at once."""

import random
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import gradio as gr

from studio.backend.candidates import Candidate
from studio.backend.compare import Column, CompareUpdate
from studio.backend.talks import Talk, Turn
from studio.data.records import Message
from studio.ui import compare_kept, compare_set, compare_votes
from studio.ui.column_form import EMPTY, base_key, last_place, panels, place_label, seats_of, shown_panel
from studio.ui.compare_stage import Stage, controls_of, how_to_answer
from studio.ui.contestants import choices, find, first_of
from studio.ui.conversation import examples_html, legend_html, talk_html
from studio.ui.page import Page, goto, html

Examples = tuple[tuple[tuple[Message, ...], str], ...]

_EXAMPLES = 6
_SECONDS_BETWEEN_UPDATES = 0.1

# Copying needs no request; the button says so for a moment. Nor does opening what an answer is rewritten in.
_CARD_JS = """
element.addEventListener('click', async event => {
  const card = event.target.closest('.cmp-card');
  const copy = event.target.closest('.cmp-copy');
  if (copy) {
    await navigator.clipboard.writeText(card.querySelector('.cmp-text').textContent);
    const label = copy.textContent;
    copy.textContent = copy.dataset.done;
    setTimeout(() => { copy.textContent = label; }, 1500);
  } else if (event.target.closest('.cmp-edit, .cmp-close')) {
    const editor = card.querySelector('.cmp-editor');
    editor.hidden = !editor.hidden;
    if (!editor.hidden) editor.querySelector('textarea').focus();
  }
});
"""
# What is pressed under an answer reaches the server with the note beside it, or the text that was rewritten.
_VOTE_JS = """
const told = (button) => ({
  ...button.dataset,
  note: button.closest('.cmp-votes')?.querySelector('.cmp-note-box').value || '',
  text: button.closest('.cmp-editor')?.querySelector('textarea').value || '',
});
element.addEventListener('click', event => {
  const button = event.target.closest('[data-do]');
  if (button && !button.disabled) trigger('click', told(button));
});
element.addEventListener('change', event => {
  const cast = event.target.closest('.cmp-votes')?.querySelector('[aria-pressed=true]');
  if (cast && event.target.matches('.cmp-note-box')) trigger('click', told(cast));
});
"""
_EXAMPLE_JS = """
element.addEventListener('click', event => {
  const chip = event.target.closest('.cmp-chip');
  if (chip) trigger('click', {example: Number(chip.dataset.example)});
});
"""
# The newest turn is kept in view while it is written, unless the reader has scrolled up.
_FOLLOW_JS = """
let following = true;
const box = () => element.closest('.cmp-scroll') || element;
box().addEventListener('scroll', () => {
  following = box().scrollHeight - box().scrollTop - box().clientHeight < 60;
});
watch('value', () => { if (following) box().scrollTop = box().scrollHeight; });
"""


def build(page: Page, blocks: gr.Blocks, tab: gr.Tab) -> None:
    """Lay out the tab. What is asked of the models lives in the browser's session, until it is saved."""
    t = page.t
    talk = gr.State(Talk())
    main = gr.State(None)
    examples = gr.State(())
    stops: dict[str, threading.Event] = {}

    with gr.Column(elem_classes="cmp-page", elem_id="compare-page"):
        with gr.Column(visible=False, elem_classes="cmp-empty") as empty:
            html(_nothing(page), elem_id="compare-none")
            with gr.Row(elem_classes="cmp-ways"):
                to_train = gr.Button(t("ui.to_train"), variant="primary", scale=0, min_width=180)
                to_runs = gr.Button(t("ui.compare.to_runs"), scale=0, min_width=180)
        with gr.Column(visible=False) as body:
            with gr.Row(elem_classes="cmp-choice"):
                run = gr.Dropdown([], label=t("ui.compare.run"), elem_id="compare-run", min_width=240)
                step = gr.Dropdown([], label=t("ui.compare.checkpoint"), elem_id="compare-checkpoint", min_width=240)
            with gr.Accordion(t("ui.compare.columns"), open=False, elem_id="compare-columns"):
                html(f'<p class="s-muted">{t("ui.compare.columns_help")}</p>')
                beside = panels(page)
            with gr.Column(elem_classes="cmp-scroll"):
                view = html(js_on_load=_CARD_JS + _VOTE_JS + _FOLLOW_JS, elem_id="compare-talk")
            with gr.Row(elem_classes="cmp-tools", visible=False) as tools:
                again = gr.Button(t("ui.compare.again"), size="sm", scale=0, min_width=0, elem_id="compare-again")
                clear = gr.Button(t("ui.compare.clear"), size="sm", scale=0, min_width=0, elem_id="compare-clear")
                html(legend_html(t), elem_id="compare-legend")
            with gr.Row(elem_classes="cmp-composer"):
                prompt = gr.Textbox(
                    label=t("ui.compare.prompt"), placeholder=t("ui.compare.prompt_hint"), lines=1, max_lines=10,
                    max_length=20_000, scale=1, min_width=120, elem_id="compare-prompt",
                )  # fmt: skip
                send = gr.Button(t("ui.compare.send"), variant="primary", scale=0, elem_id="compare-send")
                stop = gr.Button(t("ui.compare.stop"), variant="stop", scale=0, visible=False, elem_id="compare-stop")
            chips = html(js_on_load=_EXAMPLE_JS, elem_id="compare-examples")
            with gr.Accordion(t("ui.compare.settings"), open=False, elem_id="compare-settings"):
                system, temperature, _, _, seed = options = _settings(page)
            controls = [send, stop, again, clear, tools, run, step]
            stage = Stage(talk, main, examples, view, controls, options, beside, stops)
            blind = compare_votes.build(page, stage, tab)
            compare_set.build(page, stage, blind)
            compare_kept.build(page, stage, tab)

    fields = [widget for panel in beside for widget in panel.inputs]
    opened = [talk, main, examples, view, chips, prompt, system, *fields, *controls]

    def refresh(wanted: str | None, chosen: Candidate | None) -> list[Any]:
        """What there is to compare may have changed since the tab was last open; a conversation is kept."""
        found = page.studio.compare.candidates()
        shown = [gr.update(visible=not found), gr.update(visible=bool(found))]
        if not found:
            return [*shown, *[gr.skip()] * len(opened)]
        if chosen in found and wanted in (chosen.run, None):  # only the lists may have grown
            return [*shown, *[gr.skip()] * (len(opened) - 2), *choices(page, found, chosen)]
        return [*shown, *_opened(page, found, first_of(found, wanted), "")]

    def choose_run(wanted: str) -> list[Any]:
        found = page.studio.compare.candidates()
        return [wanted, *_opened(page, found, first_of(found, wanted), "")]

    def choose_step(wanted: str, now: Talk, chosen: Candidate | None, *values: Any) -> list[Any]:
        found = page.studio.compare.candidates()
        candidate = find(found, chosen.run if chosen else "", wanted)
        last = now.turns[-1].prompt if now.turns else ""
        return _opened(page, found, candidate, last, _by_panel(values))

    def choose_columns(request: gr.Request, now: Talk, chosen: Candidate, *values: Any) -> list[Any]:
        """Other columns begin a conversation of their own. What is being typed elsewhere is left alone: of the panels
        only the labels follow."""
        found = page.studio.compare.candidates()
        told = _by_panel(values)
        fresh = Talk(seats_of(found, chosen, told))
        if request.session_hash in stops or fresh.seats == now.seats:
            return [gr.skip()] * len(changed)
        labels = [place_label(page, found, panel) for panel in told]
        return [fresh, talk_html(fresh, t), _asked_last(now), *labels, *controls_of(fresh, busy=False)]

    def choose_who(number: int) -> Callable[..., list[Any]]:
        def choose(request: gr.Request, now: Talk, chosen: Candidate, *values: Any) -> list[Any]:
            """Another run begins at its result. What is being typed meanwhile is left alone."""
            if request.session_hash in stops:
                return [gr.skip()] * len(replaced)
            found = page.studio.compare.candidates()
            told = [list(panel) for panel in _by_panel(values)]
            told[number][1] = last_place(found, told[number][0])
            fresh = Talk(seats_of(found, chosen, told))
            updates = _fields(page, found, told)
            for update, value in zip(updates, values, strict=True):
                if update["value"] == value:
                    del update["value"]
            return [fresh, talk_html(fresh, t), _asked_last(now), *updates, *controls_of(fresh, busy=False)]

        return choose

    def choose_example(known: Examples, now: Talk, event: gr.EventData, request: gr.Request) -> list[Any]:
        """An example begins a conversation of its own: only so its expected answer means something."""
        if request.session_hash in stops:
            return [gr.skip()] * (4 + len(controls))
        messages, _ = known[event.example]
        fresh = Talk(now.seats)
        buttons = controls_of(fresh, busy=False)
        return [fresh, talk_html(fresh, t), messages[-1].content, _system(messages), *buttons]

    def ask(
        request: gr.Request,
        now: Talk,
        chosen: Candidate | None,
        known: Examples,
        hidden: bool,
        text: str,
        *options: Any,
    ) -> Iterator[list[Any]]:
        if not text.strip() or not now.seats or request.session_hash in stops:
            yield [gr.skip()] * len(written)
            return
        turn = _turn(text, known, now)
        if hidden:
            turn = turn.blinded(len(now.seats), random.Random())
        yield from _answers(page, stops, str(request.session_hash), now, turn, _run_of(chosen), *options)

    def ask_again(request: gr.Request, now: Talk, chosen: Candidate | None, *options: Any) -> Iterator[list[Any]]:
        if not now.turns or request.session_hash in stops:
            yield [gr.skip()] * len(written)
            return
        turn = replace(now.turns[-1], update=None, stopped=False, vote=None, edits=(), failure=None)
        before = replace(now, turns=now.turns[:-1])
        session = str(request.session_hash)
        yield from _answers(page, stops, session, before, turn, _run_of(chosen), *options, box=gr.skip())

    def settle(now: Talk) -> list[Any]:
        """After an error: what was finished before is shown, and the buttons work again."""
        return [talk_html(now, t), *controls_of(now, busy=False)]

    def halt(request: gr.Request) -> None:
        if request.session_hash in stops:
            stops[request.session_hash].set()

    def forget(now: Talk) -> list[Any]:
        fresh = Talk(now.seats)
        return [fresh, talk_html(fresh, t), *controls_of(fresh, busy=False)]

    quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
    written = [talk, view, prompt, *controls]
    changed = [talk, view, prompt, *[panel.place for panel in beside], *controls]
    replaced = [talk, view, prompt, *fields, *controls]
    tab.select(page.guard(refresh), [page.run, main], [empty, body, *opened], **quiet)
    run.input(page.guard(choose_run), run, [page.run, *opened], trigger_mode="always_last", **quiet)
    step.input(
        page.guard(choose_step), [step, talk, main, *fields], opened, trigger_mode="always_last", **quiet
    )  # fmt: skip
    for number, panel in enumerate(beside):
        panel.who.input(
            page.guard(choose_who(number)), [talk, main, *fields], replaced, trigger_mode="always_last", **quiet
        )  # fmt: skip
        gr.on(
            [panel.place.release, panel.folder.submit, panel.folder.blur, panel.system.blur, panel.shots.release],
            page.guard(choose_columns), [talk, main, *fields], changed, trigger_mode="always_last", **quiet,
        )  # fmt: skip
    chips.click(page.guard(choose_example), [examples, talk], [talk, view, prompt, system, *controls], **quiet)
    sent = gr.on([send.click, prompt.submit], page.guard(ask), [talk, main, examples, blind, prompt, *options], written,
                 trigger_mode="once", concurrency_limit=None, **quiet)  # fmt: skip
    resent = again.click(_next_seed, [temperature, seed], seed, queue=False, **quiet).then(
        page.guard(ask_again), [talk, main, *options], written, concurrency_limit=None, **quiet
    )
    for asked in (sent, resent):
        asked.failure(page.guard(settle), talk, [view, *controls], **quiet)
    stop.click(page.guard(halt), None, None, queue=False, **quiet)
    clear.click(page.guard(forget), talk, [talk, view, *controls], **quiet)
    to_train.click(lambda: goto("train"), None, page.tabs, queue=False, **quiet)
    to_runs.click(lambda: goto("runs"), None, page.tabs, queue=False, **quiet)


def _settings(page: Page) -> list[gr.Textbox | gr.Slider | gr.Number]:
    """System prompt, temperature, top-p, longest answer, seed."""

    def told(name: str) -> dict[str, Any]:
        texts = {"label": page.t(f"ui.compare.option.{name}"), "info": page.t(f"ui.compare.option.{name}_help")}
        return {**texts, "elem_id": f"compare-{name.replace('_', '-')}"}

    system = gr.Textbox(lines=2, max_lines=8, **told("system"))
    with gr.Row():
        temperature = gr.Slider(0, 2, 0, step=0.05, min_width=220, **told("temperature"))
        top_p = gr.Slider(0.05, 1, 1, step=0.05, min_width=220, **told("top_p"))
    with gr.Row():
        most = gr.Slider(1, 1024, 128, step=1, min_width=220, **told("max_tokens"))
        seed = gr.Number(0, precision=0, minimum=0, maximum=2**31 - 1, min_width=220, **told("seed"))
    return [system, temperature, top_p, most, seed]


def _nothing(page: Page) -> str:
    title, text = page.t("ui.compare.none_title"), page.t("ui.compare.none")
    return f'<div class="cmp-nothing"><h2 class="s-h2">{title}</h2><p class="s-muted">{text}</p></div>'


def _answers(
    page: Page,
    stops: dict[str, threading.Event],
    session: str,
    now: Talk,
    turn: Turn,
    run: str,
    *options: Any,
    box: Any = "",
) -> Iterator[list[Any]]:
    """All answers as they are written, at most ten pictures a second. The prompt box becomes `box` when they begin;
    from then on it is the user's again."""
    now = replace(now, at=None)
    busy = controls_of(now, busy=True)
    still = [gr.skip()] * len(busy)
    last = 0.0
    request = how_to_answer(run, *options)
    turn = replace(turn, system=request.system)
    asked = zip(now.seats, now.histories(turn), strict=True)
    request = replace(request, columns=tuple(Column(seat.contestant, turns) for seat, turns in asked))
    updates = cast(Generator[CompareUpdate], page.studio.compare.stream(request))
    halted = stops[session] = threading.Event()
    try:
        yield [gr.skip(), talk_html(now.with_turn(turn), page.t), gr.skip(), *busy]
        for update in updates:
            turn = replace(turn, update=update, stopped=halted.is_set() and not update.done)
            if turn.over:
                break
            if time.monotonic() - last >= _SECONDS_BETWEEN_UPDATES:
                last = time.monotonic()
                yield [gr.skip(), talk_html(now.with_turn(turn), page.t), box, *still]
                box = gr.skip()
        done = now.with_turn(turn)
        yield [done, talk_html(done, page.t), box, *controls_of(done, busy=False)]
    finally:
        del stops[session]
        # A closed browser tab ends this generator inside the server's event loop, which must not wait for a model.
        threading.Thread(target=updates.close, daemon=True).start()


def _opened(
    page: Page,
    found: Sequence[Candidate],
    chosen: Candidate,
    prompt: str,
    values: Sequence[Sequence[Any]] | None = None,
) -> list[Any]:
    """A new conversation with `chosen`, beside its base or (`values`) what the panels say; the prompt box holds the
    first example, or `prompt` if it is given."""
    known: Examples = tuple(page.studio.compare.examples(chosen.run, limit=_EXAMPLES))
    values = values or ((base_key(chosen), *EMPTY[1:]), EMPTY, EMPTY)
    talk = Talk(seats_of(found, chosen, values))
    messages = known[0][0] if known else ()
    return [
        talk,
        chosen,
        known,
        talk_html(talk, page.t),
        examples_html(known, page.t),
        prompt or (messages[-1].content if messages else ""),
        _system(messages),
        *_fields(page, found, values),
        *controls_of(talk, busy=False)[:-2],
        *choices(page, found, chosen),
    ]


def _by_panel(values: Sequence[Any]) -> list[Sequence[Any]]:
    """The values of all panels' widgets, panel by panel."""
    width = len(EMPTY)
    return [values[i : i + width] for i in range(0, len(values), width)]


def _fields(page: Page, found: Sequence[Candidate], values: Sequence[Sequence[Any]]) -> list[Any]:
    panels = [shown_panel(page, found, panel, needed=not number) for number, panel in enumerate(values)]
    return [update for panel in panels for update in panel]


def _asked_last(talk: Talk) -> Any:
    """The last question, for the box that it was written in."""
    return talk.turns[-1].prompt if talk.turns else gr.skip()


def _run_of(chosen: Candidate | None) -> str:
    return chosen.run if chosen else ""


def _turn(text: str, known: Examples, now: Talk) -> Turn:
    """A prompt that opens a conversation and is one of the examples brings its expected answer and earlier messages."""
    for messages, expected in () if now.turns else known:
        if messages[-1].content.strip() == text.strip():
            return Turn(text, tuple(m for m in messages[:-1] if m.role != "system"), expected)
    return Turn(text)


def _system(messages: Sequence[Message]) -> str:
    return "\n".join(m.content for m in messages if m.role == "system")


def _next_seed(temperature: float, seed: int) -> Any:
    """Asking again draws anew; without chance (temperature 0) the seed does nothing and stays."""
    return int(seed or 0) + 1 if temperature > 0 else gr.skip()
