"""Opening data: files, a folder, pasted text, a Hub data set, a sample, or what was opened before."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.data.hub_data import HubParts, parse_dataset_name
from studio.errors import StudioError
from studio.ui import data_view, findings_view
from studio.ui.data_bench import QUICK
from studio.ui.markup import ACTIONS, headline, shown
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
_HUB_ROWS = 10_000
_QUIET: Any = {"show_progress": "hidden"}
# `do(tell, stopping)` makes a version.
Do = Callable[[Callable[[float], None], Callable[[], bool]], Version]


@dataclass(frozen=True, slots=True)
class Around:
    """What of the tab the opener speaks to: `bench` is shown in its place, and `other` leads back to it. `paths` are
    the files that were opened, `again` the list of encodings to read them again with."""

    opener: gr.Column
    bench: gr.Column
    other: gr.Button
    paths: gr.State
    again: gr.Dropdown


@dataclass(frozen=True, slots=True)
class Importing:
    """What shows an import under way in place of everything else, and every component that it changes.

    `home` remembers where it began, "opener" or "bench": there it leads back to.
    """

    page: Page
    around: Around
    box: gr.Column
    bar: gr.HTML
    cancel: gr.Button
    problem: gr.HTML
    file: gr.File
    home: gr.State

    @property
    def outputs(self) -> list[Any]:
        around = self.around
        places = [self.box, around.opener, around.bench]
        return [self.page.version, *places, self.bar, self.problem, self.file, around.paths, around.again, self.home]

    def run(
        self, name: str, do: Do, paths: list[str] | None, encoding: str = "", home: str = "opener"
    ) -> Iterator[tuple[Any, ...]]:
        """Do it and tell how far it is. What is wrong is told in the opener, which is there again at once."""
        page = self.page
        following = page.studio.datasets.follow(object(), do)
        try:
            made = yield from self._told(name, home, following)
        except StudioError as error:
            if home == "bench":
                raise
            yield self.back(home, error.message(page.language))
            return
        again = gr.Dropdown(value=encoding, visible=paths is not None)
        hidden = gr.Column(visible=False)
        yield made.id, hidden, hidden, gr.Column(visible=True), "", "", None, paths, again, home

    def _told(
        self, name: str, home: str, following: Generator[float, None, Version]
    ) -> Generator[tuple[Any, ...], None, Version]:
        hidden, seen = gr.Column(visible=False), gr.Column(visible=True)
        before: Any = ""  # wiped out once: the last share may come after what a cancelled import is told by
        with closing(following):
            while True:
                try:
                    share = next(following)
                except StopIteration as end:
                    return end.value
                bar = data_view.import_bar(name, share, self.page.t)
                yield gr.skip(), seen, hidden, hidden, bar, before, gr.skip(), gr.skip(), gr.skip(), home
                before = gr.skip()

    def back(self, home: str, told: str = "") -> tuple[Any, ...]:
        """Back where it began, with what is to be told. All that was typed is still there.

        A cancelled event counts as failed, so without anything to tell, what was told stays.
        """
        problem = findings_view.trouble(told) if told else gr.skip()
        opener, bench = gr.Column(visible=home == "opener"), gr.Column(visible=home == "bench")
        return gr.skip(), gr.Column(visible=False), opener, bench, "", problem, None, gr.skip(), gr.skip(), home


def build(page: Page, blocks: gr.Blocks, tab: gr.Tab, around: Around) -> None:
    """Lay the opener out into its column."""
    t, datasets = page.t, page.studio.datasets
    with gr.Column(visible=False, elem_id="data-importing", elem_classes="s-card") as box:
        bar = html(elem_id="data-import-bar")
        cancel = gr.Button(t("ui.data.import.cancel"), elem_id="data-cancel", size="md")
    with around.opener:
        html(headline(t("ui.data.open.title"), t("ui.data.open.text")))
        problem = html(elem_id="data-problem")
        with gr.Tabs(elem_id="data-ways", overflow_behavior="wrap"):
            with gr.Tab(t("ui.data.way.files"), elem_id="data-way-files"):
                file, folder, encoding = _files(page)
            with gr.Tab(t("ui.data.way.paste"), elem_id="data-way-paste"):
                text, name, open_text = _paste(page)
            with gr.Tab(t("ui.data.way.hub"), elem_id="data-way-hub"):
                hub = _Hub.laid_out(page)
        html(headline(t("ui.data.samples.title"), t("ui.data.samples.text")))
        samples = html(elem_id="data-sample", js_on_load=ACTIONS)
        earlier = html(js_on_load=ACTIONS, elem_id="data-earlier")
    importing = Importing(page, around, box, bar, cancel, problem, file, gr.State("opener"))

    def on_files(paths: list[str] | None, chosen: str, home: str = "opener") -> Iterator[Any]:
        if paths:
            files = [(Path(path), Path(path).name) for path in paths]
            name = files[0][1] + (f" +{len(files) - 1}" if len(files) > 1 else "")
            yield from importing.run(
                name,
                lambda tell, stopping: datasets.import_files(files, chosen or None, tell, stopping),
                [str(path) for path in paths],
                chosen,
                home,
            )

    def on_again(paths: list[str] | None, chosen: str) -> Iterator[Any]:
        yield from on_files(paths, chosen, "bench")

    def on_text(pasted: str, called: str) -> Iterator[Any]:
        name = called.strip() or t("ui.data.paste.name")
        yield from importing.run(name, lambda tell, stopping: datasets.import_text(pasted, name, tell, stopping), None)

    def on_hub(asked: str, config: str | None, split: str | None, rows: float | None) -> Iterator[Any]:
        try:
            dataset = replace(parse_dataset_name(asked), config=config or None, split=split or None)
        except StudioError as error:
            yield importing.back("opener", error.message(page.language))
            return
        most = int(rows) if rows else None
        yield from importing.run(
            dataset.name, lambda tell, stopping: datasets.import_hub(dataset, most, tell, stopping), None
        )

    def on_cancel(home: str) -> tuple[Any, ...]:
        return importing.back(home, t("ui.data.import.cancelled"))

    def open_sample(event: gr.EventData) -> str:
        return datasets.open_sample(event._data["name"]).id

    def chosen_version(event: gr.EventData) -> str:
        return event._data["version"]

    def shelves() -> tuple[str, str]:
        language = "ja" if page.language == "ja" else "en"
        cards = data_view.sample_cards(datasets.samples(), language, t)
        return cards, data_view.earlier_sets(datasets.versions(), t)

    gr.on([blocks.load, tab.select, around.other.click], page.guard(shelves), outputs=[samples, earlier], **QUICK)
    around.other.click(
        lambda: (None, None, ""),  # nothing is open: the same data can be opened again
        outputs=[page.version, file, problem],
        **QUICK,
    )
    samples.click(page.guard(open_sample), outputs=page.version, **QUICK)
    earlier.click(chosen_version, outputs=page.version, **QUICK)
    hub.wire(problem)
    asked = {
        file.upload: (on_files, [file, encoding]),
        folder.upload: (on_files, [folder, encoding]),
        open_text.click: (on_text, [text, name]),
        hub.open.click: (on_hub, hub.asked),
    }
    events: list[Any] = [on(page.guard(do), given, importing.outputs, **_QUIET) for on, (do, given) in asked.items()]
    again = [around.paths, around.again]
    events.append(
        around.again.input(page.guard(on_again), again, importing.outputs, trigger_mode="always_last", **_QUIET)
    )
    for event in events:
        event.failure(importing.back, importing.home, importing.outputs, **QUICK)
    cancel.click(on_cancel, importing.home, importing.outputs, cancels=events, **QUICK)


def _files(page: Page) -> tuple[gr.File, gr.UploadButton, gr.Dropdown]:
    """The box for files, the button for a folder, and the list of encodings."""
    t = page.t
    with gr.Row(equal_height=True, elem_id="data-own"):
        with gr.Column(scale=3, min_width=280):
            # Any file may come: what cannot be read is told with its reason, in the page's language.
            file = gr.File(label=t("ui.data.file"), file_count="multiple", elem_id="data-file", height=190)
        with gr.Column(scale=2, min_width=260):
            folder = gr.UploadButton(
                t("ui.data.folder"), file_count="directory", elem_id="data-folder", size="md", variant="secondary"
            )
            encoding = gr.Dropdown(
                encodings(page),
                value="",
                label=t("ui.data.encoding"),
                info=t("ui.data.encoding.info"),
                elem_id="data-encoding",
            )
    html(f'<p class="s-muted d-hint">{shown(t("ui.data.documents"))}</p>')
    return file, folder, encoding


def _paste(page: Page) -> tuple[gr.Textbox, gr.Textbox, gr.Button]:
    """The box to paste into, its name, and the button that opens it."""
    t = page.t
    text = gr.Textbox(
        label=t("ui.data.paste"),
        placeholder=t("ui.data.paste.hint"),
        lines=8,
        max_lines=16,
        elem_id="data-paste",
    )
    with gr.Row(equal_height=False, elem_classes="d-formline"):
        name = gr.Textbox(
            t("ui.data.paste.name"), label=t("ui.data.paste.called"), max_lines=1, elem_id="data-paste-name", scale=3
        )
        button = gr.Button(
            t("ui.data.paste.open"), variant="primary", size="md", elem_id="data-paste-open", scale=1, min_width=180
        )
    return text, name, button


@dataclass(frozen=True, slots=True)
class _Hub:
    """A Hub data set: its name is looked up first, then configuration and split can be chosen."""

    page: Page
    name: gr.Textbox
    look: gr.Button
    found: gr.Column
    config: gr.Dropdown
    split: gr.Dropdown
    rows: gr.Number
    open: gr.Button

    @classmethod
    def laid_out(cls, page: Page) -> "_Hub":
        t = page.t
        with gr.Row(equal_height=False, elem_classes="d-formline"):
            name = gr.Textbox(
                label=t("ui.data.hub.name"),
                placeholder="owner/name",
                info=t("ui.data.hub.info"),
                max_lines=1,
                elem_id="data-hub",
                scale=3,
            )
            look = gr.Button(t("ui.data.hub.look"), size="md", elem_id="data-hub-look", scale=1, min_width=180)
        with gr.Column(visible=False, elem_id="data-hub-found") as found:
            with gr.Row():
                config = gr.Dropdown([], label=t("ui.data.hub.config"), min_width=180, elem_id="data-hub-config")
                split = gr.Dropdown([], label=t("ui.data.hub.split"), min_width=180, elem_id="data-hub-split")
                rows = gr.Number(
                    _HUB_ROWS,
                    label=t("ui.data.hub.rows"),
                    info=t("ui.data.hub.rows.info"),
                    precision=0,
                    minimum=1,
                    min_width=180,
                    elem_id="data-hub-rows",
                )
            button = gr.Button(t("ui.data.hub.open"), variant="primary", size="md", elem_id="data-hub-open")
        return cls(page, name, look, found, config, split, rows, button)

    @property
    def asked(self) -> list[Any]:
        return [self.name, self.config, self.split, self.rows]

    def wire(self, problem: gr.HTML) -> None:
        """Look the name up on demand; another name begins anew."""
        page, datasets = self.page, self.page.studio.datasets

        def look(asked: str, config: str | None) -> Iterator[tuple[Any, ...]]:
            yield data_view.waiting(page.t("ui.data.hub.waiting")), *[gr.skip()] * 3
            try:
                parts = datasets.hub_parts(replace(parse_dataset_name(asked), config=config))
            except StudioError as error:
                told = findings_view.trouble(error.message(page.language))
                yield told, gr.Column(visible=False), gr.skip(), gr.skip()
                return
            yield "", gr.Column(visible=True), *_choices(parts)

        def look_anew(asked: str) -> Iterator[tuple[Any, ...]]:
            yield from look(asked, None)

        outputs = [problem, self.found, self.config, self.split]
        gr.on([self.look.click, self.name.submit], page.guard(look_anew), self.name, outputs, **_QUIET)
        self.config.input(page.guard(look), [self.name, self.config], outputs, trigger_mode="always_last", **_QUIET)
        self.name.change(lambda: gr.Column(visible=False), outputs=self.found, **QUICK)


def _choices(parts: HubParts) -> tuple[gr.Dropdown, gr.Dropdown]:
    return (
        gr.Dropdown(choices=list(parts.configs), value=parts.config),
        gr.Dropdown(choices=list(parts.splits), value=parts.split),
    )


def encodings(page: Page) -> list[tuple[str, str]]:
    """The choices of a list of encodings; the first finds it out by itself."""
    return [(page.t("ui.data.encoding.auto"), ""), *_ENCODINGS]
