"""The Compare tab: one prompt, the base model's answer beside the tuned one's, both written at once."""

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import gradio as gr

from studio.backend.candidates import Candidate
from studio.backend.compare import Column, CompareRequest, CompareUpdate
from studio.data.records import Message
from studio.runs.contestants import Contestant
from studio.ui.contestants import choices, find, first_of
from studio.ui.conversation import Talk, Turn, examples_html, legend_html, talk_html
from studio.ui.page import Page, goto, html

Examples = tuple[tuple[tuple[Message, ...], str], ...]

_EXAMPLES = 6
_SECONDS_BETWEEN_UPDATES = 0.1

# Copying needs no request; the button says so for a moment.
_COPY_JS = """
element.addEventListener('click', async event => {
  const button = event.target.closest('.cmp-copy');
  if (!button) return;
  await navigator.clipboard.writeText(button.closest('.cmp-card').querySelector('.cmp-text').textContent);
  const label = button.textContent;
  button.textContent = button.dataset.done;
  setTimeout(() => { button.textContent = label; }, 1500);
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
    """Lay out the tab. What is asked of the models lives in the browser's session, not in the workspace."""
    t = page.t
    talk = gr.State(Talk())
    examples = gr.State(())
    stops: dict[str, threading.Event] = {}  # of the answers being written, by browser session

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
            with gr.Column(elem_classes="cmp-scroll"):
                view = html(js_on_load=_COPY_JS + _FOLLOW_JS, elem_id="compare-talk")
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
    opened = [talk, examples, view, chips, prompt, system, *controls]

    def refresh(wanted: str | None, now: Talk) -> list[Any]:
        """What there is to compare may have changed since the tab was last open; a conversation is kept."""
        found = page.studio.compare.candidates()
        shown = [gr.update(visible=not found), gr.update(visible=bool(found))]
        current = now.contestant
        if not found:
            return [*shown, *[gr.skip()] * len(opened)]
        if current in found and wanted in (current.run, None):  # only the lists may have grown
            return [*shown, *[gr.skip()] * (len(opened) - 2), *choices(page, found, current)]
        return [*shown, *_opened(page, found, first_of(found, wanted), "")]

    def choose_run(wanted: str) -> list[Any]:
        found = page.studio.compare.candidates()
        return [wanted, *_opened(page, found, first_of(found, wanted), "")]

    def choose_step(wanted: str, now: Talk) -> list[Any]:
        found = page.studio.compare.candidates()
        chosen = find(found, now.contestant.run if now.contestant else "", wanted)
        return _opened(page, found, chosen, now.turns[-1].prompt if now.turns else "")

    def choose_example(known: Examples, now: Talk, event: gr.EventData, request: gr.Request) -> list[Any]:
        """An example begins a conversation of its own: only so its expected answer means something."""
        if request.session_hash in stops:
            return [gr.skip()] * (4 + len(controls))
        messages, _ = known[event.example]
        fresh = Talk(now.contestant)
        controls_now = _controls(fresh, busy=False)
        return [fresh, talk_html(fresh, t), messages[-1].content, _system(messages), *controls_now]

    def ask(request: gr.Request, now: Talk, known: Examples, text: str, *options: Any) -> Iterator[list[Any]]:
        if not text.strip() or now.contestant is None or request.session_hash in stops:
            yield [gr.skip()] * len(written)
            return
        yield from _answers(page, stops, str(request.session_hash), now, _turn(text, known, now), *options)

    def ask_again(request: gr.Request, now: Talk, *options: Any) -> Iterator[list[Any]]:
        if not now.turns or request.session_hash in stops:
            yield [gr.skip()] * len(written)
            return
        turn = replace(now.turns[-1], update=None, stopped=False)
        before = replace(now, turns=now.turns[:-1])
        yield from _answers(page, stops, str(request.session_hash), before, turn, *options, box=gr.skip())

    def settle(now: Talk) -> list[Any]:
        """After an error: what was finished before is shown, and the buttons work again."""
        return [talk_html(now, t), *_controls(now, busy=False)]

    def halt(request: gr.Request) -> None:
        if request.session_hash in stops:
            stops[request.session_hash].set()

    def forget(now: Talk) -> list[Any]:
        fresh = Talk(now.contestant)
        return [fresh, talk_html(fresh, t), *_controls(fresh, busy=False)]

    quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
    written = [talk, view, prompt, *controls]
    tab.select(page.guard(refresh), [page.run, talk], [empty, body, *opened], **quiet)
    run.input(page.guard(choose_run), run, [page.run, *opened], trigger_mode="always_last", **quiet)
    step.input(page.guard(choose_step), [step, talk], opened, trigger_mode="always_last", **quiet)
    chips.click(page.guard(choose_example), [examples, talk], [talk, view, prompt, system, *controls], **quiet)
    sent = gr.on([send.click, prompt.submit], page.guard(ask), [talk, examples, prompt, *options], written,
                 trigger_mode="once", concurrency_limit=None, **quiet)  # fmt: skip
    resent = again.click(_next_seed, [temperature, seed], seed, queue=False, **quiet).then(
        page.guard(ask_again), [talk, *options], written, concurrency_limit=None, **quiet
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
    page: Page, stops: dict[str, threading.Event], session: str, now: Talk, turn: Turn, *options: Any, box: Any = ""
) -> Iterator[list[Any]]:
    """Both answers as they are written, at most ten pictures a second. The prompt box becomes `box` when they begin;
    from then on it is the user's again."""
    busy = _controls(now, busy=True)
    still = [gr.skip()] * len(busy)
    last = 0.0
    updates = cast(Generator[CompareUpdate], page.studio.compare.stream(_request(now, turn, *options)))
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
        yield [done, talk_html(done, page.t), box, *_controls(done, busy=False)]
    finally:
        del stops[session]
        # A closed browser tab ends this generator inside the server's event loop, which must not wait for a model.
        threading.Thread(target=updates.close, daemon=True).start()


def _controls(talk: Talk, *, busy: bool) -> list[Any]:
    """Send or Stop, regenerate, clear, their row, run, checkpoint."""
    idle = not busy
    return [
        gr.update(visible=idle),
        gr.update(visible=busy),
        gr.update(interactive=idle),
        gr.update(interactive=idle),
        gr.update(visible=bool(talk.turns)),
        gr.update(interactive=idle),
        gr.update(interactive=idle),
    ]


def _opened(page: Page, found: Sequence[Candidate], chosen: Candidate, prompt: str) -> list[Any]:
    """A new conversation with `chosen`; the prompt box holds the first example, or `prompt` if it is given."""
    known: Examples = tuple(page.studio.compare.examples(chosen.run, limit=_EXAMPLES))
    talk = Talk(chosen)
    messages = known[0][0] if known else ()
    return [
        talk,
        known,
        talk_html(talk, page.t),
        examples_html(known, page.t),
        prompt or (messages[-1].content if messages else ""),
        _system(messages),
        *_controls(talk, busy=False)[:-2],
        *choices(page, found, chosen),
    ]


def _request(
    now: Talk, turn: Turn, system: str, temperature: float, top_p: float, most: float, seed: float | None
) -> CompareRequest:
    """What the widgets say, asked of both columns; an emptied seed box is 0."""
    assert now.contestant is not None
    tuned = now.contestant.contestant
    base = Contestant(base=tuned.base)
    columns = zip((base, tuned), now.histories(turn), strict=True)
    return CompareRequest(
        tuple(Column(contestant, turns) for contestant, turns in columns),
        system=system,
        temperature=temperature,
        top_p=top_p,
        max_new_tokens=int(most),
        seed=int(seed or 0),
    )


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
