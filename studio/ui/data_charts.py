"""What the rows of an open data set are made of: lengths against the limit, languages, turns, sources, duplicates."""

from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.ui.charts_view import charts_view, lengths_view
from studio.ui.data_bench import QUICK, Bench, go
from studio.ui.markup import ACTIONS, headline
from studio.ui.page import html

# The panel of rows is shown first, so the table is there only with the next frame.
_TO_TABLE = "() => { setTimeout(() => document.querySelector('#data-table')?.scrollIntoView({block: 'start'}), 60); }"


def build(bench: Bench, panel: gr.Tab) -> None:
    """Lay the panel out. Its charts come from the checks, so they show when those are done."""
    page, datasets, t = bench.page, bench.page.studio.datasets, bench.page.t
    lengths = html(js_on_load=ACTIONS, elem_id="data-lengths")
    charts = html(js_on_load=ACTIONS, elem_id="data-charts")

    def show(version: Version, model: str, limit: float) -> tuple[str, str]:
        if not datasets.scanned(version.id, model, int(limit)):
            title = headline(t("ui.data.charts.title"), t("ui.data.charts.unchecked"))
            return f'<section class="s-card">{title}</section>', ""
        title = headline(t("ui.data.charts.title"), t("ui.data.charts.text"))
        return (
            lengths_view(datasets.histogram(version.id, model, int(limit)), t),
            f"{title}{charts_view(datasets.charts(version.id, model, int(limit)), t)}",
        )

    def checked(version_id: str | None, model: str, limit: float) -> Any:
        version = bench.version(version_id)
        return gr.skip() if version is None or version.mapping is None else show(version, model, limit)

    def on_bar(event: gr.EventData) -> tuple[str, gr.Tabs]:
        return event._data["where"], go("rows")

    asked, outputs = [bench.model, bench.limit], [lengths, charts]
    bench.when_open(panel, "charts", show, asked, outputs)
    bench.checked.change(page.guard(checked), [page.version, *asked], outputs, **QUICK)
    for place in (lengths, charts):
        place.click(page.guard(on_bar), None, [bench.where, bench.views], **QUICK).then(js=_TO_TABLE)
