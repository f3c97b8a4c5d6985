"""Would more data help? Short runs on parts of the rows tell."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.errors import StudioError
from studio.runs.spec import RunSpec, with_changes
from studio.ui import curve_view, findings_view
from studio.ui.data_bench import QUICK, Bench
from studio.ui.markup import headline, shown
from studio.ui.page import goto, html

_PRESET = "quick-look"
# The best evaluation of each run counts: with few of them, a small part's best moment would be missed.
_EVALUATIONS = 4
_SECONDS = 2.0


def build(bench: Bench, panel: gr.Tab) -> None:
    """Lay the panel out: what would be done, or the curve as it is measured."""
    page, studio, t = bench.page, bench.page.studio, bench.page.t
    curves = studio.learning_curve
    asked, seen = gr.Number(0, visible=False), gr.State("")
    timer = gr.Timer(_SECONDS, active=False)
    with gr.Column(elem_classes="s-card", elem_id="data-curve"):
        html(headline(t("ui.more.title"), t("ui.more.text")))
        plan = html(elem_id="curve-plan")
        found = html(elem_id="curve-found")
        with gr.Row(elem_id="curve-do"):
            start = gr.Button(t("ui.more.start"), variant="primary", size="md", elem_id="curve-start", visible=False)
            resume = gr.Button(t("ui.more.resume"), variant="primary", size="md", elem_id="curve-resume", visible=False)
            stop = gr.Button(t("ui.more.stop"), size="md", elem_id="curve-stop", visible=False)
            look = gr.Button(t("ui.more.look"), size="md", elem_id="curve-look", visible=False)
    parts = [found, start, resume, stop, look, timer, seen]

    def spec_of(version: Version, model: str, limit: float) -> RunSpec:
        changes = {"data.max_length": limit, "training.evaluations": _EVALUATIONS}
        return with_changes(studio.default_spec(version.id, _PRESET, model), changes)

    def state(version: Version, old: str | None = None) -> tuple[Any, ...]:
        """The curve of this version as the record tells it; nothing where it is as `old`."""
        runs = curves.of(version.id)
        if not runs:
            gone = gr.Button(visible=False)
            return "", gr.Button(t("ui.more.start"), visible=True), gone, gone, gone, gr.Timer(active=False), ""
        reading = curves.read(runs)
        current = studio.runner.current()
        queue = [*([current] if current else ()), *studio.runner.queue()]
        first = min((queue.index(run) for run in runs if run in queue), default=0)
        made = curve_view.curve_view(reading, first, current, page.language, t)
        if made == old:
            return (gr.skip(),) * len(parts)
        unfinished = any(point.status in curve_view.UNFINISHED for point in reading.points)
        halted = any(point.status in ("stopped", "interrupted", "failed") for point in reading.points)
        return (
            made,
            gr.Button(t("ui.more.again"), visible=not unfinished, variant="secondary"),
            gr.Button(visible=halted and not unfinished),
            gr.Button(visible=unfinished),
            gr.Button(visible=True),
            gr.Timer(active=unfinished),
            made,
        )

    def show(version: Version) -> tuple[Any, ...]:
        return (f'<p class="s-muted d-waiting">{shown(t("ui.more.counting"))}</p>', next(bench.turns), *state(version))

    def outline(version_id: str | None, model: str, limit: float) -> Iterator[Any]:
        """What would be done, and then how long it would take; where there is a curve, it alone is shown."""
        version = bench.version(version_id)
        if version is None or version.mapping is None or curves.of(version.id):
            yield "", gr.skip()
            return
        try:
            spec = spec_of(version, model, limit)
            told, busy = curves.outline(spec), studio.runner.current() is not None
            yield curve_view.outline_view(told, None, busy, t), gr.Button(interactive=True)
            if not busy:
                seconds = len(told.parts) * studio.estimate(spec).seconds
                yield curve_view.outline_view(told, seconds, busy, t), gr.skip()
        except StudioError as error:
            yield findings_view.trouble(error.message(page.language)), gr.Button(interactive=False)

    def tick(version_id: str | None, view: str, old: str) -> Any:
        version = bench.version(version_id)
        if version is None or view != "more":
            return (*(gr.skip(),) * 5, gr.Timer(active=False), gr.skip())
        return state(version, old)

    def on_start(version_id: str, model: str, limit: float) -> tuple[Any, ...]:
        version = studio.datasets.version(version_id)
        curves.start(spec_of(version, model, limit), language=page.language)
        return ("", *state(version))

    def on_stop(version_id: str) -> tuple[Any, ...]:
        curves.stop(curves.of(version_id))
        return state(studio.datasets.version(version_id))

    def on_resume(version_id: str) -> tuple[Any, ...]:
        curves.resume(curves.of(version_id))
        return state(studio.datasets.version(version_id))

    def on_look(version_id: str) -> tuple[Any, Any]:
        return curves.of(version_id)[-1], goto("runs")

    bench.when_open(panel, "more", show, [], [plan, asked, *parts])
    settings = [page.version, bench.model, bench.limit]
    gr.on(
        [asked.change, bench.model.input, bench.limit.submit], page.guard(outline), settings, [plan, start],
        trigger_mode="always_last", show_progress="hidden",
    )  # fmt: skip
    timer.tick(page.guard(tick), [page.version, bench.view, seen], parts, **QUICK)
    start.click(page.guard(on_start), settings, [plan, *parts], show_progress="hidden")
    stop.click(page.guard(on_stop), page.version, parts, **QUICK)
    resume.click(page.guard(on_resume), page.version, parts, **QUICK)
    look.click(page.guard(on_look), page.version, [page.run, page.tabs], **QUICK)
