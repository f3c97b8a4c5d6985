"""The Data tab: open data, then look, clean, see, split and mix it, each in a panel of its own."""

from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.ui import (
    data_charts,
    data_clean,
    data_curve,
    data_mapping,
    data_mix,
    data_opener,
    data_rows,
    data_scan,
    data_split,
    data_view,
)
from studio.ui.data_bench import QUICK, VIEWS, learnable, make_bench
from studio.ui.page import Page, goto, html


def build(page: Page, blocks: gr.Blocks, tab: gr.Tab) -> None:
    """Lay the tab out: the opener, or in its place the panels of the data set that is open."""
    t, datasets = page.t, page.studio.datasets
    paths = gr.State(None)
    opener = gr.Column(visible=True)
    with gr.Column(visible=False, elem_id="data-open") as open_set:
        with gr.Row(elem_id="data-head", equal_height=False):
            with gr.Column(scale=5, min_width=300):
                heading = html(elem_id="data-heading")
            with gr.Column(scale=3, min_width=240):
                picker = gr.Dropdown([], label=t("ui.data.version"), elem_id="data-version", filterable=False)
            with gr.Column(scale=2, min_width=180, elem_id="data-go"):
                onward = gr.Button(t("ui.to_train"), variant="primary", size="md", elem_id="data-next")
                other = gr.Button(t("ui.data.other"), elem_id="data-other", size="sm")
        views = gr.Tabs(elem_id="data-views", selected="rows", overflow_behavior="wrap", render=False)
        bench = make_bench(page, blocks, views)
        again = data_mapping.build(bench)
        data_scan.build(bench)
        views.render()
        with views:
            panels = {name: gr.Tab(t(f"ui.data.panel.{name}"), id=name, elem_id=f"data-panel-{name}") for name in VIEWS}
        with panels["rows"]:
            data_rows.build(bench)
        with panels["clean"]:
            data_clean.build(bench, panels["clean"])
        with panels["charts"]:
            data_charts.build(bench, panels["charts"])
        with panels["split"]:
            data_split.build(bench, panels["split"])
        with panels["mix"]:
            data_mix.build(bench, panels["mix"])
        with panels["more"]:
            data_curve.build(bench, panels["more"])
    data_opener.build(page, blocks, tab, data_opener.Around(opener, open_set, other, paths, again))

    def show(version_id: str | None) -> tuple[Any, ...]:
        version = bench.version(version_id)
        if version is None:
            return gr.Column(visible=True), gr.Column(visible=False), *[gr.skip()] * (3 + len(VIEWS))
        choices = [(data_view.version_label(v, t), v.id) for v in datasets.versions(version.dataset)]
        mapped = version.mapping is not None
        return (
            gr.Column(visible=False),
            gr.Column(visible=True),
            data_view.heading(version, datasets.left_out(version.id), look_for(version), t),
            gr.Dropdown(choices=choices, value=version.id),
            gr.Button(interactive=learnable(version)),
            *(gr.Tab(interactive=mapped or name == "rows") for name in VIEWS),
        )

    def look_for(version: Version) -> str:
        card = next((card for card in datasets.samples() if card.name == version.sample), None)
        return card.look_for["ja" if page.language == "ja" else "en"] if card else ""

    gr.on(
        [blocks.load, page.version.change, bench.changed.change],
        page.guard(show),
        page.version,
        [opener, open_set, heading, picker, onward, *panels.values()],
        trigger_mode="always_last",
        **QUICK,
    )
    panels["rows"].select(None, None, bench.view, js="() => 'rows'", **QUICK)
    picker.input(lambda chosen: chosen, picker, page.version, trigger_mode="always_last", **QUICK)
    onward.click(lambda: goto("train"), outputs=page.tabs, **QUICK)
