"""The version that is open, taken away with its recipe: a zip to download, and on the Hugging Face Hub if wanted."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gradio as gr

from studio.backend.data_package import DataPackage, Form, keep_data_package
from studio.errors import Stopped
from studio.ui.data_bench import QUICK, SAVE, Bench, file_link, stoppable
from studio.ui.export_view import Sentence, progress_html
from studio.ui.markup import shown
from studio.ui.page import html
from studio.ui.publish_view import build_publish
from studio.ui.run_view import size


def build(bench: Bench) -> None:
    """Lay the block out, folded. What was made is shown as long as the version that is open is as it was then."""
    page, t = bench.page, bench.page.t
    datasets, settings = page.studio.datasets, page.studio.settings
    with gr.Accordion(t("ui.data.package"), open=False, elem_id="data-package", elem_classes="exp-page"):
        html(f'<p class="s-muted">{shown(t("ui.data.package.text"))}</p>')
        with gr.Row(elem_id="data-package-do", equal_height=False):
            form = gr.Radio(
                [("JSONL", "jsonl"), ("Parquet", "parquet")], value="jsonl", label=t("ui.data.package.form"),
                elem_id="data-package-form", min_width=200,
            )  # fmt: skip
            with gr.Row(elem_classes="ev-buttons"):
                make = gr.Button(
                    t("ui.data.package.make"), variant="primary", scale=0, min_width=260, elem_id="data-package-make"
                )
                stop = gr.Button(
                    t("ui.data.package.stop"), scale=0, min_width=120, visible=False, elem_id="data-package-stop"
                )
        state = html(elem_id="data-package-state")
        link, lies = gr.Textbox("", visible=False), gr.State(None)
        build_publish(page, lies, dataset=True, name="data-publish")

    busy = [gr.update(interactive=False), gr.update(visible=True)]
    idle = [gr.update(interactive=True), gr.update(visible=False)]

    def pack(version_id: str, form: Form) -> Iterator[list[Any]]:
        version = datasets.version(version_id)
        shares = datasets.follow(
            ("package", form, repr(version)),
            lambda tell, stopping: keep_data_package(datasets, settings, version.id, form, tell, stopping),
        )
        yield [*busy, progress_html(0, t("ui.data.package.going")), "", None]
        with closing(shares):
            try:
                while True:
                    yield [gr.skip(), gr.skip(), progress_html(next(shares), t("ui.data.package.going")), "", None]
            except StopIteration as done:
                made: DataPackage = done.value
                address = file_link(made.path)
                yield [*idle, package_html(made, address, t), address, str(made.path)]
            except Stopped:
                yield [*idle, "", "", None]

    shown_parts = [make, stop, state, link, lies]
    packing = make.click(
        page.guard(pack), [page.version, form], shown_parts,
        trigger_mode="once", concurrency_limit=None, show_progress="hidden",
    )  # fmt: skip
    # Through the queue: of a state that changes without it, the page is not told.
    gr.on(bench.news, lambda: [*idle, "", "", None], None, shown_parts, cancels=[packing], show_progress="hidden")
    stoppable(packing, stop, lambda: [*idle, ""], [make, stop, state])
    link.change(None, link, None, js=SAVE, **QUICK)


def package_html(made: DataPackage, address: str, t: Sentence) -> str:
    """What was made: its name and size, and the files of rows in it."""
    counts = {name: shown(t("ui.data.package.rows", rows=count)) for name, count in made.files.items()}
    rows = "".join(
        f'<li><code>{shown(name)}</code><span class="exp-for">{count}</span></li>' for name, count in counts.items()
    )
    told = t("ui.data.package.made", name=made.path.name, size=size(made.path.stat().st_size))
    again = f'<a href="{shown(address)}" download>{shown(t("ui.data.package.again"))}</a>'
    return f'<div role="status"><p>{shown(told)} {again}</p><ul class="exp-files">{rows}</ul></div>'
