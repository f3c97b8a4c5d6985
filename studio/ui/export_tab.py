"""The Export tab: what was tuned, in the form that the next program takes, proven before it is offered."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from studio.backend.candidates import Candidate
from studio.backend.export_plan import Offer, free_bytes
from studio.backend.exports import Export
from studio.backend.making import Making
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
from studio.ui.markup import shown
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
    followed = gr.State("")  # the export under way that is followed here
    wanted_then = gr.State("")  # the run that the other tabs meant when something made elsewhere was chosen here

    with gr.Column(elem_classes="exp-page", elem_id="export-page"):
        with gr.Column(visible=False) as empty:
            html(_nothing(page), elem_id="export-none")
            with gr.Row(elem_classes="cmp-ways"):
                to_train = gr.Button(t("ui.to_train"), variant="primary", scale=0, min_width=180)
                to_runs = gr.Button(t("ui.compare.to_runs"), scale=0, min_width=180)
        with gr.Row(visible=False, elem_classes="cmp-choice") as some:
            run = gr.Dropdown([], label=t("ui.compare.run"), elem_id="export-run", min_width=240)
            step = gr.Dropdown([], label=t("ui.compare.checkpoint"), elem_id="export-checkpoint", min_width=240)
        with gr.Accordion(t("ui.export.elsewhere"), open=False, elem_id="export-elsewhere"):
            html(f'<p class="s-muted">{shown(t("ui.export.elsewhere.help"))}</p>')
            with gr.Row(equal_height=False):
                folder = gr.Textbox(
                    label=t("ui.export.elsewhere.folder"), info=t("ui.export.elsewhere.folder.help"), min_width=240,
                    max_lines=1, max_length=4_096, elem_id="export-folder",
                )  # fmt: skip
                base = gr.Textbox(
                    label=t("ui.export.elsewhere.base"), info=t("ui.export.elsewhere.base.help"), min_width=240,
                    max_lines=1, max_length=4_096, elem_id="export-base",
                )  # fmt: skip
            with gr.Row(elem_classes="ev-buttons"):
                take = gr.Button(
                    t("ui.export.elsewhere.take"), size="md", scale=0, min_width=180, elem_id="export-take"
                )
        outside = html(elem_id="export-outside")
        with gr.Column(visible=False) as body:
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

    page_parts = [empty, some, body, outside]
    lists = [run, step, chosen]
    ways = [target, cards, numbers, plan]
    results = [
        make, cancel, state, download, zipped, files, coded, code, served, serving, folded, card, lies, before, made,
    ]  # fmt: skip
    locked = [run, step, numbers, prompts, rows, take]

    def refresh(
        wanted: str | None,
        now: Candidate | None,
        aim: Target,
        kind: str | None,
        data: bool,
        here: str,
        then: str | None,
    ) -> list[Any]:
        """A finished export stays in sight as long as the same adapter is chosen; one that is under way comes first."""
        found = page.studio.compare.candidates()
        going = page.studio.exports.under_way()
        if going and going[0].id != here and (first := _candidate(page, found, going[0])) is not None:
            aim, kind = going[0].spec.target, going[0].spec.kind
        elif now is not None and ((now in found and wanted in (now.run, None)) or (not now.run and wanted == then)):
            kept = [gr.skip()] * (len(results) - 2)
            return [*_shown(page, found, now), *_ways(page, now, aim, kind, data), *kept, *_made(page, now)]
        elif found:
            first = first_of(found, wanted)
        else:
            return [*_shown(page, found, None), *[gr.skip()] * len((*ways, *results))]
        return [*_shown(page, found, first), *_ways(page, first, aim, kind, data), *_fresh(page, first, aim)]

    def choose_elsewhere(where: str, model: str, aim: Target, data: bool, wanted: str | None) -> list[Any]:
        first = page.studio.exports.elsewhere(model, where)
        found = page.studio.compare.candidates()
        aim = "merged" if first.full and aim == "adapter" else aim
        ways_now = _ways(page, first, aim, None, data)
        return [wanted, *_shown(page, found, first), *ways_now, *_fresh(page, first, aim)]

    def choose_run(wanted: str, aim: Target, kind: str | None, data: bool) -> list[Any]:
        found = page.studio.compare.candidates()
        first = first_of(found, wanted)
        return [wanted, *_shown(page, found, first), *_ways(page, first, aim, kind, data), *_fresh(page, first, aim)]

    def choose_step(wanted: str, now: Candidate, aim: Target, kind: str | None, data: bool) -> list[Any]:
        found = page.studio.compare.candidates()
        first = find(found, now.run, wanted)
        return [*choices(page, found, first), first, *_ways(page, first, aim, kind, data), *_fresh(page, first, aim)]

    def choose_target(now: Candidate, data: bool, event: gr.EventData) -> list[Any]:
        aim = event._data["method"]  # every field of the event is in it
        aim = aim if aim in NUMBERS else "adapter"
        return [*_ways(page, now, aim, None, data), *_fresh(page, now, aim)]

    def choose_numbers(now: Candidate, aim: Target, kind: str | None, count: float, data: bool) -> list[Any]:
        return [_plan(page, now, aim, kind, count, data), *_fresh(page, now, aim)]

    def export(now: Candidate, aim: Target, kind: str | None, count: float, data: bool) -> Iterator[list[Any]]:
        yield from follow(now, aim, page.studio.exports.begin(now.contestant, _spec(aim, kind, count, data)))

    def follow_again(now: Candidate | None, here: str) -> Iterator[list[Any]]:
        """The page was loaded anew, or another one looks at the same studio."""
        going = page.studio.exports.under_way()
        if now is None or not going or going[0].id == here or going[0].who != now.contestant:
            yield [gr.skip()] * (1 + len(results) + len(locked))
        else:
            yield from follow(now, going[0].spec.target, going[0])

    def follow(now: Candidate, aim: Target, making: Making) -> Iterator[list[Any]]:
        hidden, busy, told = gr.update(visible=False), gr.update(interactive=False), None
        stoppable = gr.update(visible=True, interactive=not making.stopping)
        begun = [busy, stoppable, progress_html(making.share, t(making.doing)), hidden, hidden]
        yield [making.id, *begun, *[gr.skip()] * (len(results) - len(begun)), *[busy] * len(locked)]
        try:
            while not making.wait(_SECONDS_BETWEEN_UPDATES):
                if (progress := progress_html(making.share, t(making.doing))) != told:
                    told = progress
                    yield [*[gr.skip()] * 3, progress, *[gr.skip()] * (len(results) - 3 + len(locked))]
            yield ["", *_finished(page, now, making.result()), *_unlocked(locked)]
        except Stopped:
            yield ["", *_fresh(page, now, aim), *_unlocked(locked)]

    def stop(here: str) -> Any:
        for making in page.studio.exports.under_way():
            if making.id == here:
                making.stop()
        return gr.update(interactive=False)

    def pack(path: str) -> list[Any]:
        """One file of a folder, for a download: asked for, since it takes as much room again."""
        packed = page.studio.exports.zipped(Path(path))
        return [gr.update(value=str(packed), visible=True), gr.update(visible=False)]

    quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
    latest: Any = {**quiet, "trigger_mode": "always_last"}
    form = [chosen, target, numbers, prompts, rows]
    every = [*lists, *ways, *results]
    seen = [page.run, chosen, target, numbers, rows, followed, wanted_then]
    fresh = tab.select(page.guard(refresh), seen, [*page_parts, *every], **quiet)
    run.input(page.guard(choose_run), [run, target, numbers, rows], [page.run, *page_parts, *every], **latest)
    step.input(page.guard(choose_step), [step, chosen, target, numbers, rows], every, **latest)
    cards.choose(page.guard(choose_target), [chosen, rows], [*ways, *results], **latest)
    numbers.input(page.guard(choose_numbers), form, [plan, *results], **latest)
    prompts.release(page.guard(choose_numbers), form, [plan, *results], **latest)
    rows.input(page.guard(choose_numbers), form, [plan, *results], **latest)
    looking = f'<p class="s-muted" role="status">{shown(t("ui.train.model.looking"))}</p>'
    taken = take.click(lambda: looking, None, outside, queue=False, trigger_mode="once", **quiet).then(
        page.guard(choose_elsewhere),
        [folder, base, target, rows, page.run],
        [wanted_then, *page_parts, *every],
        **quiet,
    )
    taken.failure(lambda: "", None, outside, queue=False, **quiet)
    going = [followed, *results, *locked]
    for done in (
        make.click(page.guard(export), form, going, concurrency_limit=4, **quiet),
        fresh.success(page.guard(follow_again), [chosen, followed], going, concurrency_limit=8, **quiet),
    ):
        done.failure(
            lambda now, aim: ["", *_fresh(page, now, aim), *_unlocked(locked)], [chosen, target], going, **quiet
        )
    cancel.click(stop, followed, cancel, queue=False, **quiet)
    zipped.click(page.guard(pack), lies, [download, zipped], **quiet)
    to_train.click(lambda: goto("train"), None, page.tabs, queue=False, **quiet)
    to_runs.click(lambda: goto("runs"), None, page.tabs, queue=False, **quiet)


def _spec(aim: Target, kind: str | None, count: float, rows: bool = False) -> ExportSpec:
    known = kind if kind in NUMBERS[aim] else ""
    return ExportSpec(target=aim, numbers=known or "", prompts=int(count), rows=rows)


def _unlocked(locked: list[Any]) -> list[Any]:
    return [gr.update(interactive=True)] * len(locked)


# What is shown


def _candidate(page: Page, found: Sequence[Candidate], making: Making) -> Candidate | None:
    """What an export under way is of; None of a run that was deleted meanwhile."""
    who = making.who
    if not who.run:
        return page.studio.exports.elsewhere(who.base.source, who.folder)
    return next((one for one in found if (one.run, one.step) == (who.run, who.step)), None)


def _shown(page: Page, found: Sequence[Candidate], now: Candidate | None) -> list[Any]:
    """What there is of the tab, a line on what was made elsewhere, both lists, and what is chosen."""
    there = [gr.update(visible=part) for part in (not found, bool(found), now is not None)]
    if now is None:
        return [*there, "", gr.skip(), gr.skip(), None]
    if now.run:
        return [*there, "", *choices(page, found, now), now]
    told = page.t(f"ui.export.elsewhere.{'model' if now.full else 'adapter'}", name=now.name, base=now.base)
    listed = choices(page, found, found[0])[0] | {"value": None} if found else gr.skip()
    nothing = gr.update(choices=[], value=None)
    return [*there, f'<p class="say say-note" role="status">{shown(told)}</p>', listed, nothing, now]


def _ways(page: Page, now: Candidate, aim: Target, kind: str | None, data: bool) -> list[Any]:
    """The targets, the chosen one's kinds of numbers, and what that takes. A target that there is not is not chosen."""
    offers = page.studio.exports.offers_of(now.contestant, rows=data)
    if usual(offers, aim) is None:
        there: list[Target] = [one for one in NUMBERS if usual(offers, one)]
        aim = there[0] if there else "adapter"
    known = number_choices(offers, aim, page.t)
    value = kind if kind in [name for _, name in known] else known[0][1] if known else None
    listed = gr.update(choices=known, value=value, visible=len(known) > 1)
    cards = target_cards(offers, aim, page.t, full=now.full)
    return [aim, cards, listed, _planned(page, offers, aim, value) + left_out(offers, aim, page.t)]


def _plan(page: Page, now: Candidate, aim: Target, kind: str | None, count: float, data: bool) -> str:
    offers = page.studio.exports.offers_of(now.contestant, int(count), data)
    return _planned(page, offers, aim, kind) + left_out(offers, aim, page.t)


def _planned(page: Page, offers: tuple[Offer, ...], aim: Target, kind: str | None) -> str:
    wanted = _spec(aim, kind, 1).kind
    found = next((one for one in offers if (one.spec.target, one.spec.kind) == (aim, wanted)), None)
    return plan_html(found, free_bytes(page.studio.exports.folder), page.t)


def _made(page: Page, now: Candidate) -> list[Any]:
    found = page.studio.exports.made_of(now.contestant)
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
