"""The Data tab: open, look, find faults, clean, split. Layout and thin handlers; the HTML is made in data_view."""

from pathlib import Path
from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.data.formats import Mapping
from studio.data.sources import ENDINGS
from studio.data.splits import SplitSpec
from studio.errors import InputError, StudioError
from studio.ui import data_view, findings_view
from studio.ui.data_view import PAGE_ROWS, ROLES
from studio.ui.findings_view import SHOWN_CHANGES
from studio.ui.markup import ACTIONS, headline, shorten, shown
from studio.ui.page import Page, goto, html

_QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
_LIMIT = 256
_MODEL = "starter"
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


def build(page: Page, blocks: gr.Blocks, tab: gr.Tab) -> None:
    """Lay the tab out. Quick parts show at once; what needs the model's tokenizer follows."""
    t, datasets = page.t, page.studio.datasets
    path = gr.State(None)
    offset = gr.State(0)
    selected = gr.State(None)

    with gr.Column(visible=True) as opener:
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
                    [(t("ui.data.encoding.auto"), ""), *_ENCODINGS],
                    value="",
                    label=t("ui.data.encoding"),
                    info=t("ui.data.encoding.info"),
                    elem_id="data-encoding",
                )
        html(headline(t("ui.data.samples.title"), t("ui.data.samples.text")))
        samples = html(elem_id="data-sample", js_on_load=ACTIONS)
        earlier = html(js_on_load=ACTIONS, elem_id="data-earlier")

    with gr.Column(visible=False) as bench:
        with gr.Row(elem_id="data-head", equal_height=False):
            with gr.Column(scale=5, min_width=300):
                heading = html(elem_id="data-heading")
            with gr.Column(scale=3, min_width=240):
                picker = gr.Dropdown([], label=t("ui.data.version"), elem_id="data-version", filterable=False)
            with gr.Column(scale=2, min_width=180, elem_id="data-go"):
                onward = gr.Button(t("ui.data.next"), variant="primary", size="md", elem_id="data-next")
                other = gr.Button(t("ui.data.other"), elem_id="data-other", size="sm")
        with gr.Accordion(t("ui.data.mapping"), open=False, elem_id="data-mapping") as accordion:
            html(f'<p class="s-muted">{shown(t("ui.data.mapping.help"))}</p>')
            with gr.Row():
                roles = [
                    gr.Dropdown([], label=t(f"ui.data.role.{role}"), min_width=150, elem_id=f"data-role-{role}")
                    for role in ROLES
                ]
            apply = gr.Button(t("ui.data.mapping.apply"), variant="primary", size="md", elem_id="data-mapping-apply")
            again = gr.Dropdown(
                [(t("ui.data.encoding.auto"), ""), *_ENCODINGS],
                value="",
                label=t("ui.data.encoding.again"),
                visible=False,
                elem_id="data-again",
            )
        report = html(js_on_load=ACTIONS, elem_id="data-report")
        findings = html(js_on_load=ACTIONS, elem_id="data-findings")
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=300):
                search = gr.Textbox(
                    placeholder=t("ui.data.search"),
                    show_label=False,
                    container=False,
                    elem_id="data-search",
                    max_lines=1,
                )
                table = html(js_on_load=ACTIONS, elem_id="data-table")
            with gr.Column(scale=2, min_width=300):
                view = html(elem_id="data-view")
        with gr.Row(equal_height=True) as lower:
            with gr.Column(scale=3, min_width=300, elem_classes="s-card"):
                chart = html(elem_id="data-lengths")
                with gr.Row():
                    model = gr.Dropdown(
                        [_MODEL], value=_MODEL, allow_custom_value=True, label=t("ui.data.model"), elem_id="data-model"
                    )
                    limit = gr.Number(
                        _LIMIT, label=t("ui.data.limit"), precision=0, minimum=16, maximum=131_072, elem_id="data-limit"
                    )
            with gr.Column(scale=2, min_width=300, elem_classes="s-card", elem_id="data-split"):
                split = html(elem_id="data-split-counts")
                share = gr.Slider(0, 50, 10, step=1, label=t("ui.data.split.share"), elem_id="data-share")
                seed = gr.Number(0, label=t("ui.data.split.seed"), precision=0, minimum=0, elem_id="data-seed")

    # Opening

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

    # Showing

    def show(version_id: str | None) -> tuple[Any, ...]:
        version = find(page, version_id)
        if version is None:
            return gr.Column(visible=True), gr.Column(visible=False), *[gr.skip()] * (12 + len(ROLES))
        versions = datasets.versions(version.dataset)
        choices = [(data_view.version_label(v, t), v.id) for v in versions]
        names = [("—", ""), *((shorten(column.name, 60), column.name) for column in version.columns)]
        chosen = [getattr(version.mapping, role) or "" if version.mapping else "" for role in ROLES]
        first = rows_page(version, 0, "", None)
        changed = datasets.diff(version.id, 0, SHOWN_CHANGES)
        return (
            gr.Column(visible=False),
            gr.Column(visible=True),
            data_view.heading(version, datasets.left_out(version.id), look_for(version), t),
            gr.Dropdown(choices=choices, value=version.id),
            gr.Accordion(open=version.mapping is None),
            gr.Button(interactive=learnable(version)),
            gr.Row(visible=version.mapping is not None),
            gr.Slider(value=round(100 * version.split.validation_share)),
            gr.Number(value=version.split.seed),
            findings_view.version_report(version, changed, datasets.changed_rows(version.id), t),
            findings_view.waiting(t) if version.mapping else "",
            first,
            0,
            None,
            *(gr.Dropdown(choices=names, value=value) for value in chosen),
        )

    def look_for(version: Version) -> str:
        card = next((card for card in datasets.samples() if card.name == version.sample), None)
        return card.look_for["ja" if page.language == "ja" else "en"] if card else ""

    def rows_page(version: Version, start: int, text: str, row: int | None) -> str:
        cells = datasets.cells(version.id, start, PAGE_ROWS, text or None)
        total = datasets.count(version.id, text or None)
        column = version.mapping.turns if version.mapping else None
        rows = datasets.page(version.id, start, PAGE_ROWS, text or None) if column else []
        talks = {item.id: item.values.get(column) for item in rows if column}
        return data_view.rows_table(version, cells, talks, start, total, row, t)

    def measure(version_id: str | None, name: str, longest: float, part: float, number: float) -> tuple[str, ...]:
        version = find(page, version_id)
        if version is None or version.mapping is None:
            return "", data_view.length_bars(None, t), "", ""
        try:
            found = datasets.findings(version.id, name, int(longest))
            examples = datasets.table(version.id).find({row for item in found for row in item.examples})
            first = datasets.cells(version.id, 0, 1)
            return (
                findings_view.findings_list(found, examples, version.mapping, t),
                data_view.length_bars(datasets.histogram(version.id, name, int(longest)), t),
                split_counts(version, part, number),
                seen(version, first[0].id, name, int(longest)) if first else "",
            )
        except StudioError as error:
            return findings_view.trouble(error.message(page.language)), data_view.length_bars(None, t), "", ""

    def split_counts(version: Version, part: float, number: float) -> str:
        spec = split_of(version, part, number)
        kept = datasets.validation_rows(version.id, spec, 0, 8)
        return data_view.split_bar(*datasets.split_counts(version.id, spec), kept, t)

    def split_of(version: Version, part: float, number: float) -> SplitSpec:
        """What the page asks of the split changes; test rows, groups and strata stay as they were chosen."""
        return version.split.model_copy(update={"validation_share": part / 100, "seed": int(number)})

    def seen(version: Version, row: int, name: str, longest: int) -> str:
        view = datasets.view_row(version.id, row, name, longest)
        return data_view.row_as_seen(row, view, longest, name, t)

    # Acting

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

    def on_split(version_id: str | None, part: float, number: float) -> str:
        version = find(page, version_id)
        if version is None or version.mapping is None:
            return ""
        datasets.set_split(version.id, split_of(version, part, number))
        return split_counts(version, part, number)

    def on_mapping(version_id: str, *names: str) -> str:
        values = {role: name or None for role, name in zip(ROLES, names, strict=True)}
        mapping = Mapping.model_validate({"layout": "columns", **values, "turns": None})
        if values["turns"]:
            mapping = datasets.turns_mapping(version_id, values["turns"]).model_copy(
                update={"system": values["system"]}
            )
        return datasets.set_mapping(version_id, mapping).id

    shown_parts = [
        opener,
        bench,
        heading,
        picker,
        accordion,
        onward,
        lower,
        share,
        seed,
        report,
        findings,
        table,
        offset,
        selected,
        *roles,
    ]
    measured = [findings, chart, split, view]
    asked = [page.version, model, limit, share, seed]

    def shows(trigger: Any, after: Any = None) -> None:
        event = gr.on(trigger, page.guard(show), page.version, shown_parts, **_QUICK)
        event.then(page.guard(measure), asked, measured, show_progress="hidden")

    shows([blocks.load, page.version.change])
    gr.on([blocks.load, tab.select, other.click], page.guard(shelves), outputs=[samples, earlier], **_QUICK)
    other.click(
        lambda: (gr.Column(visible=True), gr.Column(visible=False), None, ""),
        outputs=[opener, bench, file, problem],
        **_QUICK,
    )
    samples.click(page.guard(open_sample), outputs=page.version, **_QUICK)
    gr.on([earlier.click, report.click], chosen_version, outputs=page.version, **_QUICK)
    file.upload(
        page.guard(open_file), [file, encoding], [page.version, path, file, problem, again], show_progress="hidden"
    )
    again.input(page.guard(read_again), [path, again], page.version, show_progress="hidden")
    picker.input(lambda chosen: chosen, picker, page.version, **_QUICK)
    onward.click(lambda: goto("train"), outputs=page.tabs, **_QUICK)
    table.click(
        page.guard(on_table),
        [page.version, search, offset, selected, model, limit],
        [table, view, offset, selected],
        trigger_mode="multiple",
        **_QUICK,
    )
    gr.on(
        [search.submit, search.change],
        page.guard(on_search),
        [page.version, search, selected],
        [table, offset],
        trigger_mode="always_last",
        **_QUICK,
    )
    findings.click(
        page.guard(on_finding),
        [page.version, model, limit],
        [page.version, table, view, offset, selected, search],
        show_progress="hidden",
    )
    gr.on([model.input, limit.submit, limit.blur], page.guard(measure), asked, measured, show_progress="hidden")
    gr.on([share.release, seed.submit, seed.blur], page.guard(on_split), [page.version, share, seed], split, **_QUICK)
    apply.click(page.guard(on_mapping), [page.version, *roles], page.version, **_QUICK).then(
        page.guard(show), page.version, shown_parts, **_QUICK
    ).then(page.guard(measure), asked, measured, show_progress="hidden")


def learnable(version: Version) -> bool:
    """Whether supervised fine-tuning finds answers in its rows; the notes beside the name say why not."""
    return version.mapping is not None and version.mapping.dataset_type not in ("language_modeling", "prompt_only")


def find(page: Page, version: str | None) -> Version | None:
    """The version the browser remembers, if this workspace still has it."""
    try:
        return page.studio.datasets.version(version) if version else None
    except InputError:
        return None
