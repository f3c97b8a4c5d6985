"""Which rows are kept out of training."""

import gradio as gr

from studio.backend.datasets import Version
from studio.data.splits import SplitSpec
from studio.ui import data_view
from studio.ui.data_bench import QUICK, Bench
from studio.ui.page import html


def build(bench: Bench, panel: gr.Tab) -> None:
    """Lay the panel out."""
    page, datasets, t = bench.page, bench.page.studio.datasets, bench.page.t
    with gr.Column(elem_classes="s-card", elem_id="data-split"):
        counts = html(elem_id="data-split-counts")
        share = gr.Slider(0, 50, 10, step=1, label=t("ui.data.split.share"), elem_id="data-share")
        seed = gr.Number(0, label=t("ui.data.split.seed"), precision=0, minimum=0, elem_id="data-seed")

    def show(version: Version) -> tuple[gr.Slider, gr.Number, str]:
        part, number = round(100 * version.split.validation_share), version.split.seed
        return gr.Slider(value=part), gr.Number(value=number), told(version, version.split)

    def told(version: Version, spec: SplitSpec) -> str:
        kept = datasets.validation_rows(version.id, spec, 0, 8)
        return data_view.split_bar(*datasets.split_counts(version.id, spec), kept, t)

    def on_split(version_id: str | None, part: float, number: float) -> str:
        version = bench.version(version_id)
        if version is None or version.mapping is None:
            return ""
        # What is asked here changes; test rows, groups and strata stay as they were chosen.
        spec = version.split.model_copy(update={"validation_share": part / 100, "seed": int(number)})
        datasets.set_split(version.id, spec)
        return told(version, spec)

    bench.when_open(panel, "split", show, [], [share, seed, counts])
    gr.on([share.release, seed.submit, seed.blur], page.guard(on_split), [page.version, share, seed], counts, **QUICK)
