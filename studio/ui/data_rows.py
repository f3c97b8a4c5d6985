"""The rows of an open data set: what is wrong with them, and each as the model sees it."""

from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.errors import StudioError
from studio.ui import data_edit, data_report, data_view, findings_view
from studio.ui.data_bench import QUICK, Bench
from studio.ui.data_view import PAGE_ROWS
from studio.ui.markup import ACTIONS
from studio.ui.page import html


def build(bench: Bench) -> None:
    """Lay the panel out. Rows show at once; what needs the model's tokenizer follows."""
    page, datasets, t = bench.page, bench.page.studio.datasets, bench.page.t
    offset, selected = gr.State(0), gr.State(None)
    data_report.build(bench)
    findings = html(js_on_load=ACTIONS, elem_id="data-findings")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            search = gr.Textbox(
                placeholder=t("ui.data.search"), show_label=False, container=False, elem_id="data-search", max_lines=1
            )
            table = html(js_on_load=ACTIONS, elem_id="data-table")
        with gr.Column(scale=2, min_width=300):
            view = html(elem_id="data-view")
            data_edit.build(bench, selected)
    with gr.Column(elem_classes="s-card") as lower:
        chart = html(elem_id="data-lengths")
        with gr.Row():
            bench.model.render()
            bench.limit.render()

    def show(version_id: str | None) -> tuple[Any, ...]:
        version = bench.version(version_id)
        if version is None:
            return (gr.skip(),) * 5
        return (
            findings_view.waiting(t) if version.mapping else "",
            rows_page(version, 0, "", None),
            0,
            None,
            gr.Column(visible=version.mapping is not None),
        )

    def rows_page(version: Version, start: int, text: str, row: int | None) -> str:
        cells = datasets.cells(version.id, start, PAGE_ROWS, text or None)
        total = datasets.count(version.id, text or None)
        column = version.mapping.turns if version.mapping else None
        rows = datasets.page(version.id, start, PAGE_ROWS, text or None) if column else []
        talks = {item.id: item.values.get(column) for item in rows if column}
        return data_view.rows_table(version, cells, talks, start, total, row, t)

    def measure(version_id: str | None, name: str, longest: float) -> tuple[str, ...]:
        version = bench.version(version_id)
        if version is None or version.mapping is None:
            return "", data_view.length_bars(None, t), ""
        try:
            found = datasets.findings(version.id, name, int(longest))
            examples = datasets.table(version.id).find({row for item in found for row in item.examples})
            first = datasets.cells(version.id, 0, 1)
            return (
                findings_view.findings_list(found, examples, version.mapping, t),
                data_view.length_bars(datasets.histogram(version.id, name, int(longest)), t),
                seen(version, first[0].id, name, int(longest)) if first else "",
            )
        except StudioError as error:
            return findings_view.trouble(error.message(page.language)), data_view.length_bars(None, t), ""

    def seen(version: Version, row: int, name: str, longest: int) -> str:
        view = datasets.view_row(version.id, row, name, longest)
        return data_view.row_as_seen(row, view, longest, name, t)

    def on_table(
        event: gr.EventData, version_id: str, text: str, start: int, row: int | None, name: str, longest: float
    ) -> tuple[Any, ...]:
        version, act = datasets.version(version_id), event._data
        if act["act"] == "page":
            start = int(act["offset"])
            return rows_page(version, start, text, row), gr.skip(), start, row
        row = int(act["row"])
        viewed = seen(version, row, name, int(longest)) if version.mapping else ""
        return rows_page(version, start, text, row), viewed, start, row

    def on_search(version_id: str, text: str, row: int | None) -> tuple[str, int]:
        return rows_page(datasets.version(version_id), 0, text, row), 0

    def on_finding(event: gr.EventData, version_id: str, name: str, longest: float) -> tuple[Any, ...]:
        act = event._data
        if act["act"] == "fix":
            fixed = datasets.fix(version_id, act["fixes"].split(","), name, int(longest))
            return fixed.id, gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip()
        version, row = datasets.version(version_id), int(act["row"])
        start = (datasets.table(version_id).position(row) or 0) // PAGE_ROWS * PAGE_ROWS
        viewed = seen(version, row, name, int(longest))
        return gr.skip(), rows_page(version, start, "", row), viewed, start, row, ""

    asked, measured = [page.version, bench.model, bench.limit], [findings, chart, view]
    gr.on(
        [bench.blocks.load, *bench.news],
        page.guard(show),
        page.version,
        [findings, table, offset, selected, lower],
        **QUICK,
    ).then(page.guard(measure), asked, measured, show_progress="hidden")
    gr.on(
        [bench.model.input, bench.limit.submit, bench.limit.blur],
        page.guard(measure),
        asked,
        measured,
        show_progress="hidden",
    )
    table.click(
        page.guard(on_table),
        [page.version, search, offset, selected, bench.model, bench.limit],
        [table, view, offset, selected],
        trigger_mode="multiple",
        **QUICK,
    )
    gr.on(
        [search.submit, search.change],
        page.guard(on_search),
        [page.version, search, selected],
        [table, offset],
        trigger_mode="always_last",
        **QUICK,
    )
    findings.click(
        page.guard(on_finding),
        asked,
        [page.version, table, view, offset, selected, search],
        show_progress="hidden",
    )
