"""The Export tab: what was tuned, in the form that the next program takes, proven before it is offered."""

import queue
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import gradio as gr

from studio.backend.candidates import Candidate
from studio.backend.export_plan import Offer, free_bytes
from studio.backend.exports import Export
from studio.backend.serving import hints
from studio.errors import Stopped
from studio.runs.exports import MOST_PROMPTS, NUMBERS, ExportSpec, Target
from studio.ui.contestants import choices, find, first_of
from studio.ui.export_view import (
    card_html,
    code_html,
    files_html,
    left_out,
    made_html,
    number_choices,
    plan_html,
    progress_html,
    read_package,
    result_html,
    serving_html,
    target_cards,
    usual,
)
from studio.ui.method_view import CHOOSE
from studio.ui.page import Page, goto, html
from studio.ui.publish_view import build_publish

_SECONDS_BETWEEN_UPDATES = 0.3

_COPY_JS = """
element.addEventListener('click', async event => {
  const button = event.target.closest('.exp-copy');
  if (!button) return;
  await navigator.clipboard.writeText(button.parentElement.querySelector('.exp-copied')?.textContent
    ?? element.querySelector('.exp-copied').textContent);
  const label = button.textContent;
  button.textContent = button.dataset.done;
  setTimeout(() => { button.textContent = label; }, 1500);
});
"""


def build(page: Page, blocks: gr.Blocks, tab: gr.Tab) -> None:
    """Lay out the tab."""
    t = page.t
    chosen = gr.State(None)
    target = gr.State("adapter")
    asked = gr.State("")  # which export of `stops` was asked for here
    stops: dict[str, threading.Event] = {}

    with gr.Column(elem_classes="exp-page", elem_id="export-page"):
        with gr.Column(visible=False) as empty:
            html(_nothing(page), elem_id="export-none")
            with gr.Row(elem_classes="cmp-ways"):
                to_train = gr.Button(t("ui.to_train"), variant="primary", scale=0, min_width=180)
                to_runs = gr.Button(t("ui.compare.to_runs"), scale=0, min_width=180)
        with gr.Column(visible=False) as body:
            with gr.Row(elem_classes="cmp-choice"):
                run = gr.Dropdown([], label=t("ui.compare.run"), elem_id="export-run", min_width=240)
                step = gr.Dropdown([], label=t("ui.compare.checkpoint"), elem_id="export-checkpoint", min_width=240)
            cards = html(js_on_load=CHOOSE, elem_id="export-target")
            with gr.Row(elem_classes="exp-columns"):
                with gr.Column(min_width=300, elem_classes="s-card exp-make"):
                    numbers = gr.Dropdown([], label=t("ui.export.numbers"), elem_id="export-numbers", visible=False)
                    plan = html(elem_id="export-plan")
                    with gr.Accordion(t("ui.export.more"), open=False, elem_id="export-more"):
                        prompts = gr.Slider(
                            1, MOST_PROMPTS, ExportSpec().prompts, step=1,
                            label=t("ui.export.prompts"), info=t("ui.export.prompts.help"), elem_id="export-prompts",
                        )  # fmt: skip
                        rows = gr.Checkbox(
                            False, label=t("ui.export.rows"), info=t("ui.export.rows.help"), elem_id="export-rows"
                        )
                    with gr.Row(elem_classes="exp-buttons"):
                        make = gr.Button(t("ui.export.make"), variant="primary", elem_id="export-make")
                        cancel = gr.Button(t("ui.export.cancel"), visible=False, elem_id="export-cancel")
                    state = html(js_on_load=_COPY_JS, elem_id="export-state")
                    with gr.Row(elem_classes="exp-buttons"):
                        download = gr.DownloadButton(
                            t("ui.export.download"), variant="primary", visible=False, elem_id="export-download"
                        )
                        zipped = gr.Button(t("ui.export.zip"), visible=False, elem_id="export-zip")
                with gr.Column(min_width=300, elem_classes="s-card"):
                    files = html(files_html(None, t))
            with gr.Column(visible=False, elem_classes="s-card") as coded:
                code = html(js_on_load=_COPY_JS, elem_id="export-code")
            with gr.Column(visible=False, elem_classes="s-card") as served:
                serving = html(js_on_load=_COPY_JS, elem_id="export-serving")
            with gr.Accordion(t("ui.export.card"), open=False, visible=False, elem_id="export-card") as folded:
                card = html()
            lies = gr.State(None)
            build_publish(page, lies)
            with gr.Column(elem_classes="s-card", visible=False) as before:
                made = html(elem_id="export-made")

    lists = [run, step, chosen]
    ways = [target, cards, numbers, plan]
    results = [
        make, cancel, state, download, zipped, files, coded, code, served, serving, folded, card, lies, before, made,
    ]  # fmt: skip
    locked = [run, step, numbers, prompts, rows]

    def refresh(wanted: str | None, now: Candidate | None, aim: Target, kind: str | None) -> list[Any]:
        """A finished export stays in sight as long as the same adapter is chosen."""
        found = page.studio.compare.candidates()
        shown = [gr.update(visible=not found), gr.update(visible=bool(found))]
        if not found:
            return [*shown, *[gr.skip()] * len((*lists, *ways, *results))]
        if now in found and wanted in (now.run, None):
            kept = [gr.skip()] * (len(results) - 2)
            return [*shown, *choices(page, found, now), now, *_ways(page, now, aim, kind), *kept, *_made(page, now)]
        first = first_of(found, wanted)
        return [*shown, *choices(page, found, first), first, *_ways(page, first, aim, kind), *_fresh(page, first, aim)]

    def choose_run(wanted: str, aim: Target, kind: str | None) -> list[Any]:
        found = page.studio.compare.candidates()
        first = first_of(found, wanted)
        return [wanted, *choices(page, found, first), first, *_ways(page, first, aim, kind), *_fresh(page, first, aim)]

    def choose_step(wanted: str, now: Candidate, aim: Target, kind: str | None) -> list[Any]:
        found = page.studio.compare.candidates()
        first = find(found, now.run, wanted)
        return [*choices(page, found, first), first, *_ways(page, first, aim, kind), *_fresh(page, first, aim)]

    def choose_target(now: Candidate, event: gr.EventData) -> list[Any]:
        aim = event._data["method"]  # every field of the event is in it
        aim = aim if aim in NUMBERS else "adapter"
        return [*_ways(page, now, aim, None), *_fresh(page, now, aim)]

    def choose_numbers(now: Candidate, aim: Target, kind: str | None, count: float) -> list[Any]:
        return [_plan(page, now, aim, kind, count), *_fresh(page, now, aim)]

    def export(now: Candidate, aim: Target, kind: str | None, count: float, data: bool) -> Iterator[list[Any]]:
        own, hidden, busy = uuid.uuid4().hex, gr.update(visible=False), gr.update(interactive=False)
        stops[own] = threading.Event()
        shown = gr.update(visible=True, interactive=True)
        begun = [busy, shown, progress_html(0, t("ui.export.begin")), hidden, hidden, *[gr.skip()] * 10]
        yield [own, *begun, *[busy] * len(locked)]
        making, news = _start(page, now, _spec(aim, kind, count, data), stops[own])
        try:
            while not making.done():
                try:
                    share, key = news.get(timeout=_SECONDS_BETWEEN_UPDATES)
                except queue.Empty:
                    continue
                yield [*[gr.skip()] * 3, progress_html(share, t(key)), *[gr.skip()] * (12 + len(locked))]
            yield [gr.skip(), *_finished(page, now, making.result()), *_unlocked(locked)]
        except Stopped:
            yield [gr.skip(), *_fresh(page, now, aim), *_unlocked(locked)]
        finally:
            stops.pop(own, None)

    def stop(own: str) -> Any:
        if own in stops:
            stops[own].set()
        return gr.update(interactive=False)

    def pack(now: Candidate, aim: Target, kind: str | None, count: float) -> list[Any]:
        """One file of a folder, for a download: asked for, since it takes as much room again."""
        path = page.studio.exports.zipped(now.run, now.step, _spec(aim, kind, count))
        return [gr.update(value=str(path), visible=True), gr.update(visible=False)]

    quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
    latest: Any = {**quiet, "trigger_mode": "always_last"}
    form = [chosen, target, numbers, prompts]
    every = [*lists, *ways, *results]
    tab.select(page.guard(refresh), [page.run, chosen, target, numbers], [empty, body, *every], **quiet)
    run.input(page.guard(choose_run), [run, target, numbers], [page.run, *every], **latest)
    step.input(page.guard(choose_step), [step, chosen, target, numbers], every, **latest)
    cards.choose(page.guard(choose_target), chosen, [*ways, *results], **latest)
    numbers.input(page.guard(choose_numbers), form, [plan, *results], **latest)
    prompts.release(page.guard(choose_numbers), form, [plan, *results], **latest)
    done = make.click(page.guard(export), [*form, rows], [asked, *results, *locked], concurrency_limit=4, **quiet)
    done.failure(
        lambda now, aim: [*_fresh(page, now, aim), *_unlocked(locked)], [chosen, target], [*results, *locked], **quiet
    )
    cancel.click(stop, asked, cancel, queue=False, **quiet)
    zipped.click(page.guard(pack), form, [download, zipped], **quiet)
    to_train.click(lambda: goto("train"), None, page.tabs, queue=False, **quiet)
    to_runs.click(lambda: goto("runs"), None, page.tabs, queue=False, **quiet)


def _spec(aim: Target, kind: str | None, count: float, rows: bool = False) -> ExportSpec:
    known = kind if kind in NUMBERS[aim] else ""
    return ExportSpec(target=aim, numbers=known or "", prompts=int(count), rows=rows)


def _start(
    page: Page, now: Candidate, spec: ExportSpec, stop: threading.Event
) -> tuple[Future[Export], "queue.SimpleQueue[tuple[float, str]]"]:
    """Begin the export in a thread of its own: it goes on to its end although the browser's tab is closed."""
    news: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()
    pool = ThreadPoolExecutor(1, "studio-export")

    def told(share: float, key: str) -> None:
        news.put((share, key))

    making = pool.submit(page.studio.exports.make, now.run, now.step, spec, told, stop.is_set)
    pool.shutdown(wait=False)
    return making, news


def _unlocked(locked: list[Any]) -> list[Any]:
    return [gr.update(interactive=True)] * len(locked)


# What is shown


def _ways(page: Page, now: Candidate, aim: Target, kind: str | None) -> list[Any]:
    """The targets, the chosen one's kinds of numbers, and what that takes. A target that there is not is not chosen."""
    offers = page.studio.exports.offers(now.run, now.step)
    if usual(offers, aim) is None:
        there: list[Target] = [one for one in NUMBERS if usual(offers, one)]
        aim = there[0] if there else "adapter"
    known = number_choices(offers, aim, page.t)
    value = kind if kind in [name for _, name in known] else known[0][1] if known else None
    listed = gr.update(choices=known, value=value, visible=len(known) > 1)
    cards = target_cards(offers, aim, page.t, full=now.full)
    return [aim, cards, listed, _planned(page, offers, aim, value) + left_out(offers, aim, page.t)]


def _plan(page: Page, now: Candidate, aim: Target, kind: str | None, count: float) -> str:
    offers = page.studio.exports.offers(now.run, now.step, int(count))
    return _planned(page, offers, aim, kind) + left_out(offers, aim, page.t)


def _planned(page: Page, offers: tuple[Offer, ...], aim: Target, kind: str | None) -> str:
    wanted = _spec(aim, kind, 1).kind
    found = next((one for one in offers if (one.spec.target, one.spec.kind) == (aim, wanted)), None)
    return plan_html(found, free_bytes(page.studio.exports.folder), page.t)


def _made(page: Page, now: Candidate) -> list[Any]:
    found = page.studio.exports.made(now.run)
    return [gr.update(visible=bool(found)), made_html(found, page.t)]


def _fresh(page: Page, now: Candidate, aim: Target) -> list[Any]:
    """No export yet, in the order of what is shown of one."""
    hidden = gr.update(visible=False)
    ready = gr.update(interactive=True, variant="primary")
    files = files_html(None, page.t, aim, full=now.full)
    return [ready, hidden, "", hidden, hidden, files, hidden, "", hidden, "", hidden, "", None, *_made(page, now)]


def _finished(page: Page, now: Candidate, made: Export) -> list[Any]:
    """What `_fresh` clears."""
    package = read_package(made.path)
    code = code_html(package, page.t)
    single = made.path if made.path.is_file() else _only_gguf(made)
    return [
        gr.update(interactive=True, variant="secondary"),
        gr.update(visible=False),
        result_html(made, page.t),
        gr.update(value=str(single), visible=True) if single else gr.update(visible=False),
        gr.update(visible=made.path.is_dir()),
        files_html(package.files, page.t),
        gr.update(visible=bool(code)),
        code,
        gr.update(visible=True),
        serving_html(hints(page.studio, made), page.t),
        gr.update(visible=True),
        card_html(package, page.t),
        str(made.path),
        *_made(page, now),
    ]


def _only_gguf(made: Export) -> Any:
    """The file that llama.cpp takes, which is all that many need of the folder."""
    return next(iter(sorted(made.path.glob("*.gguf"))), None)


def _nothing(page: Page) -> str:
    title, text = page.t("ui.export.none_title"), page.t("ui.export.none")
    return f'<div class="cmp-nothing"><h2 class="s-h2">{title}</h2><p class="s-muted">{text}</p></div>'
