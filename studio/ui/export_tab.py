"""The Export tab: an adapter as a zip that plain PEFT loads, proven before it is offered."""

import queue
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import gradio as gr

from studio.backend.candidates import Candidate
from studio.backend.exports import Export
from studio.ui.contestants import choices, find, first_of
from studio.ui.export_view import card_html, code_html, files_html, progress_html, read_package, result_html
from studio.ui.page import Page, goto, html

_SECONDS_BETWEEN_UPDATES = 0.3

_COPY_JS = """
element.addEventListener('click', async event => {
  const button = event.target.closest('.exp-copy');
  if (!button) return;
  await navigator.clipboard.writeText(element.querySelector('.exp-copied').textContent);
  const label = button.textContent;
  button.textContent = button.dataset.done;
  setTimeout(() => { button.textContent = label; }, 1500);
});
"""


def build(page: Page, blocks: gr.Blocks, tab: gr.Tab) -> None:
    """Lay out the tab."""
    t = page.t
    chosen = gr.State(None)

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
            with gr.Row(elem_classes="exp-columns"):
                with gr.Column(min_width=300, elem_classes="s-card"):
                    files = html(files_html(None, t))
                with gr.Column(min_width=300, elem_classes="s-card exp-make"):
                    html(f'<p class="s-muted">{t("ui.export.about")}</p>')
                    make = gr.Button(t("ui.export.make"), variant="primary", elem_id="export-make")
                    state = html(js_on_load=_COPY_JS, elem_id="export-state")
                    download = gr.DownloadButton(
                        t("ui.export.download"), variant="primary", visible=False, elem_id="export-download"
                    )
            with gr.Column(visible=False, elem_classes="s-card") as coded:
                code = html(js_on_load=_COPY_JS, elem_id="export-code")
            with gr.Accordion(t("ui.export.card"), open=False, visible=False, elem_id="export-card") as folded:
                card = html()

    lists = [run, step, chosen]
    results = [make, state, download, files, coded, code, folded, card, run, step]

    def refresh(wanted: str | None, now: Candidate | None) -> list[Any]:
        """A finished export stays in sight as long as the same adapter is chosen."""
        found = page.studio.compare.candidates()
        shown = [gr.update(visible=not found), gr.update(visible=bool(found))]
        if not found:
            return [*shown, *[gr.skip()] * (len(lists) + len(results) - 2)]
        if now in found and wanted in (now.run, None):
            return [*shown, *choices(page, found, now), now, *[gr.skip()] * (len(results) - 2)]
        first = first_of(found, wanted)
        return [*shown, *choices(page, found, first), first, *_fresh(page, first)]

    def choose_run(wanted: str) -> list[Any]:
        found = page.studio.compare.candidates()
        first = first_of(found, wanted)
        return [wanted, *choices(page, found, first), first, *_fresh(page, first)]

    def choose_step(wanted: str, now: Candidate) -> list[Any]:
        found = page.studio.compare.candidates()
        first = find(found, now.run, wanted)
        return [*choices(page, found, first), first, *_fresh(page, first)]

    def export(now: Candidate) -> Iterator[list[Any]]:
        busy = gr.update(interactive=False)
        hidden = gr.update(visible=False)
        yield [busy, progress_html(0, t("ui.export.begin")), hidden, *[gr.skip()] * 5, busy, busy]
        making, news = _start(page, now)
        while not making.done():
            try:
                share, key = news.get(timeout=_SECONDS_BETWEEN_UPDATES)
            except queue.Empty:
                continue
            yield [gr.skip(), progress_html(share, t(key)), *[gr.skip()] * 8]
        yield _finished(page, making.result())

    quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
    tab.select(page.guard(refresh), [page.run, chosen], [empty, body, *lists, *results[:-2]], **quiet)
    run.input(page.guard(choose_run), run, [page.run, *lists, *results[:-2]], trigger_mode="always_last", **quiet)
    step.input(page.guard(choose_step), [step, chosen], [*lists, *results[:-2]], trigger_mode="always_last", **quiet)
    made = make.click(page.guard(export), chosen, results, concurrency_limit=4, **quiet)
    made.failure(lambda now: [*_fresh(page, now), *[gr.update(interactive=True)] * 2], chosen, results, **quiet)
    to_train.click(lambda: goto("train"), None, page.tabs, queue=False, **quiet)
    to_runs.click(lambda: goto("runs"), None, page.tabs, queue=False, **quiet)


def _start(page: Page, now: Candidate) -> tuple[Future[Export], "queue.SimpleQueue[tuple[float, str]]"]:
    """Begin the export in a thread of its own: it goes on to its end although the browser's tab is closed."""
    news: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()
    pool = ThreadPoolExecutor(1, "studio-export")
    making = pool.submit(page.studio.exports.make, now.run, now.step, lambda share, key: news.put((share, key)))
    pool.shutdown(wait=False)
    return making, news


def _fresh(page: Page, now: Candidate) -> list[Any]:
    """No export yet: button, state, download, files, code, card."""
    hidden = gr.update(visible=False)
    ready = gr.update(interactive=True, variant="primary")
    return [ready, "", hidden, files_html(None, page.t, full=now.full), hidden, "", hidden, ""]


def _finished(page: Page, made: Export) -> list[Any]:
    """What `_fresh` clears, and the two lists to choose from again."""
    package = read_package(made.path)
    return [
        gr.update(interactive=True, variant="secondary"),
        result_html(made, page.t),
        gr.update(value=str(made.path), visible=True),
        files_html(package, page.t),
        gr.update(visible=True),
        code_html(package, page.t),
        gr.update(visible=True),
        card_html(package, page.t),
        *[gr.update(interactive=True)] * 2,
    ]


def _nothing(page: Page) -> str:
    title, text = page.t("ui.export.none_title"), page.t("ui.export.none")
    return f'<div class="cmp-nothing"><h2 class="s-h2">{title}</h2><p class="s-muted">{text}</p></div>'
