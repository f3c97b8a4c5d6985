"""Opening data: a file of one's own, a sample, or what was opened before."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio.data.sources import ENDINGS
from studio.errors import StudioError
from studio.ui import data_view, findings_view
from studio.ui.data_bench import QUICK
from studio.ui.markup import ACTIONS, headline
from studio.ui.page import Page, html

_ENCODINGS = (
    ("UTF-8", "utf-8"),
    ("UTF-16", "utf-16"),
    ("Shift-JIS (Windows)", "cp932"),
    ("EUC-JP", "euc_jp"),
    ("ISO-2022-JP", "iso2022_jp"),
    ("Windows-1252", "cp1252"),
    ("GB18030", "gb18030"),
    ("Big5", "big5"),
    ("EUC-KR", "cp949"),
    ("Windows-1251", "cp1251"),
)


@dataclass(frozen=True, slots=True)
class Around:
    """What of the tab the opener speaks to: `bench` is shown in its place, and `other` leads back to it. `path` is the
    file that was opened, `again` the list of encodings to read it again with."""

    opener: gr.Column
    bench: gr.Column
    other: gr.Button
    path: gr.State
    again: gr.Dropdown


def build(page: Page, blocks: gr.Blocks, tab: gr.Tab, around: Around) -> None:
    """Lay out the opener into its column."""
    t, datasets = page.t, page.studio.datasets
    with around.opener:
        html(headline(t("ui.data.open.title"), t("ui.data.open.text")))
        problem = html(elem_id="data-problem")
        with gr.Row(equal_height=True, elem_id="data-own"):
            with gr.Column(scale=3, min_width=280):
                file = gr.File(
                    label=t("ui.data.file"),
                    file_types=list(ENDINGS),
                    file_count="single",
                    elem_id="data-file",
                    height=170,
                )
            with gr.Column(scale=2, min_width=260):
                encoding = gr.Dropdown(
                    encodings(page),
                    value="",
                    label=t("ui.data.encoding"),
                    info=t("ui.data.encoding.info"),
                    elem_id="data-encoding",
                )
        html(headline(t("ui.data.samples.title"), t("ui.data.samples.text")))
        samples = html(elem_id="data-sample", js_on_load=ACTIONS)
        earlier = html(js_on_load=ACTIONS, elem_id="data-earlier")

    def open_sample(event: gr.EventData) -> str:
        return datasets.open_sample(event._data["name"]).id

    def open_file(name: str | None, chosen: str) -> tuple[Any, ...]:
        if name is None:
            return gr.skip(), None, None, "", gr.skip()
        try:
            version = datasets.import_file(Path(name), encoding=chosen or None)
        except StudioError as error:
            return gr.skip(), None, None, findings_view.trouble(error.message(page.language)), gr.skip()
        return version.id, name, None, "", gr.Dropdown(value=chosen, visible=True)

    def read_again(name: str | None, chosen: str) -> Any:
        return datasets.import_file(Path(name), encoding=chosen or None).id if name else gr.skip()

    def chosen_version(event: gr.EventData) -> str:
        return event._data["version"]

    def shelves() -> tuple[str, str]:
        language = "ja" if page.language == "ja" else "en"
        cards = data_view.sample_cards(datasets.samples(), language, t)
        return cards, data_view.earlier_sets(datasets.versions(), t)

    gr.on([blocks.load, tab.select, around.other.click], page.guard(shelves), outputs=[samples, earlier], **QUICK)
    around.other.click(
        lambda: (gr.Column(visible=True), gr.Column(visible=False), None, ""),
        outputs=[around.opener, around.bench, file, problem],
        **QUICK,
    )
    samples.click(page.guard(open_sample), outputs=page.version, **QUICK)
    earlier.click(chosen_version, outputs=page.version, **QUICK)
    file.upload(
        page.guard(open_file),
        [file, encoding],
        [page.version, around.path, file, problem, around.again],
        show_progress="hidden",
    )
    around.again.input(page.guard(read_again), [around.path, around.again], page.version, show_progress="hidden")


def encodings(page: Page) -> list[tuple[str, str]]:
    """The choices of a list of encodings; the first finds it out by itself."""
    return [(page.t("ui.data.encoding.auto"), ""), *_ENCODINGS]
