"""Steps with settings of their own: find and replace, and rows kept or left out; what each would do is told at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.data.recipe import FilterStep, ReplaceStep, make_step
from studio.errors import InputError, StudioError
from studio.ui.data_bench import QUICK, Bench
from studio.ui.findings_view import trouble
from studio.ui.markup import shorten
from studio.ui.page import html
from studio.ui.recipe_view import preview_told

_BY = ("text", "length", "language", "finding")


@dataclass(frozen=True, slots=True)
class StepForm:
    """`add` is the button that takes the step as `made(*values of fields)`, which raises InputError while something is
    lacking. `choices` are lists that a version fills: see `fill`."""

    add: gr.Button
    fields: tuple[Any, ...]
    made: Callable[..., ReplaceStep | FilterStep]
    choices: tuple[gr.Dropdown, ...]
    fill: Callable[[Version, Sequence[tuple[str, str]], Sequence[tuple[str, str]]], tuple[gr.Dropdown, ...]]


def replace_form(bench: Bench) -> StepForm:
    """Lay out find and replace."""
    t = bench.page.t
    with gr.Row():
        find = gr.Textbox("", label=t("ui.data.clean.find"), elem_id="data-find", max_lines=1, min_width=200)
        put = gr.Textbox(
            "",
            label=t("ui.data.clean.put"),
            placeholder=t("ui.data.clean.put.empty"),
            elem_id="data-put",
            max_lines=1,
            min_width=200,
        )
    exact, expression, columns = _pattern_options(bench, "data-find")
    preview = html(elem_id="data-find-preview")
    add = gr.Button(t("ui.data.clean.add"), size="md", elem_id="data-find-add", elem_classes="d-add")

    def made(find: str, put: str, exact: bool, expression: bool, columns: list[str]) -> ReplaceStep | FilterStep:
        if not find:
            raise InputError("error.clean.find_nothing")
        pattern = _pattern(find, exact, expression, columns)
        return make_step("replace", replace_with=put, **pattern)  # type: ignore[return-value]

    def fill(version: Version, *_: Any) -> tuple[gr.Dropdown, ...]:
        return (_columns(version),)

    form = StepForm(add, (find, put, exact, expression, columns), made, (columns,), fill)
    _preview(bench, form, preview)
    return form


def filter_form(bench: Bench) -> StepForm:
    """Lay out rows to keep or to leave out."""
    t = bench.page.t
    with gr.Row():
        action = gr.Radio(
            [(t("ui.data.clean.drop"), "drop"), (t("ui.data.clean.keep"), "keep")],
            value="drop", label=t("ui.data.clean.action"), elem_id="data-keep-action", min_width=220,
        )  # fmt: skip
        by = gr.Dropdown(
            [(t(f"ui.data.clean.by.{name}"), name) for name in _BY],
            value="text", label=t("ui.data.clean.by"), elem_id="data-keep-by", min_width=220, filterable=False,
        )  # fmt: skip
    with gr.Column(elem_classes="d-plain") as by_text:
        find = gr.Textbox("", label=t("ui.data.clean.contains"), elem_id="data-keep-find", max_lines=1)
        exact, expression, columns = _pattern_options(bench, "data-keep")
    with gr.Row(visible=False) as by_length:
        parts = [(t(f"ui.data.clean.part.{name}"), name) for name in ("answer", "prompt", "all")]
        part = gr.Dropdown(
            parts, value="answer", label=t("ui.data.clean.part"), elem_id="data-keep-part", min_width=160,
            filterable=False,
        )  # fmt: skip
        least = gr.Number(
            None, label=t("ui.data.clean.least"), precision=0, minimum=0, elem_id="data-keep-least", min_width=120
        )
        most = gr.Number(
            None, label=t("ui.data.clean.most"), precision=0, minimum=0, elem_id="data-keep-most", min_width=120
        )
    languages = gr.Dropdown(
        [], multiselect=True, label=t("ui.data.clean.languages"), visible=False, elem_id="data-keep-languages"
    )
    finding = gr.Dropdown([], label=t("ui.data.clean.finding"), visible=False, elem_id="data-keep-finding")
    preview = html(elem_id="data-keep-preview")
    add = gr.Button(t("ui.data.clean.add"), size="md", elem_id="data-keep-add", elem_classes="d-add")
    groups: dict[str, Any] = {"text": by_text, "length": by_length, "language": languages, "finding": finding}

    def made(
        action: str, by: str, find: str, exact: bool, expression: bool, columns: list[str], part: str,
        least: float | None, most: float | None, languages: list[str], finding: str | None,
    ) -> ReplaceStep | FilterStep:  # fmt: skip
        where: dict[str, Any] = {"by": by}
        match by:
            case "text":
                given, where = bool(find), where | _pattern(find, exact, expression, columns)
            case "length":
                given = least is not None or most is not None
                where |= {"part": part, "least": int(least or 0), "most": None if most is None else int(most)}
            case "language":
                given, where = bool(languages), where | {"languages": languages}
            case _:
                given, where = bool(finding), where | {"finding": finding}
        if not given:
            raise InputError("error.clean.filter_nothing")
        return make_step("filter", action=action, where=where)  # type: ignore[return-value]

    def fill(
        version: Version, languages: Sequence[tuple[str, str]], findings: Sequence[tuple[str, str]]
    ) -> tuple[gr.Dropdown, ...]:
        return _columns(version), gr.Dropdown(choices=list(languages)), gr.Dropdown(choices=list(findings))

    by.input(
        lambda chosen: [gr.update(visible=name == chosen) for name in groups],
        by,
        list(groups.values()),
        trigger_mode="always_last",
        **QUICK,
    )
    fields = (action, by, find, exact, expression, columns, part, least, most, languages, finding)
    form = StepForm(add, fields, made, (columns, languages, finding), fill)
    _preview(bench, form, preview)
    return form


def _pattern_options(bench: Bench, name: str) -> tuple[gr.Checkbox, gr.Checkbox, gr.Dropdown]:
    """Match case, regular expression, and the columns looked into."""
    t = bench.page.t
    with gr.Row(elem_classes="d-options"):
        exact = gr.Checkbox(label=t("ui.data.clean.match_case"), elem_id=f"{name}-case", min_width=150)
        expression = gr.Checkbox(label=t("ui.data.clean.regex"), elem_id=f"{name}-regex", min_width=150)
    columns = gr.Dropdown(
        [], multiselect=True, label=t("ui.data.clean.columns"), info=t("ui.data.clean.columns.info"),
        elem_id=f"{name}-columns",
    )  # fmt: skip
    return exact, expression, columns


def _pattern(find: str, exact: bool, expression: bool, columns: list[str]) -> dict[str, Any]:
    return {"find": find, "match_case": exact, "regex": expression, "columns": columns or None}


def _columns(version: Version) -> gr.Dropdown:
    return gr.Dropdown(choices=[(shorten(column.name, 60), column.name) for column in version.columns])


def _preview(bench: Bench, form: StepForm, preview: gr.HTML) -> None:
    """Tell what the step would do whenever something of it changes, or another version is open."""
    page, datasets = bench.page, bench.page.studio.datasets

    def tell(version_id: str | None, model: str, limit: float, *values: Any) -> str:
        version = bench.version(version_id)
        if version is None or version.mapping is None:
            return ""
        try:
            step = form.made(*values)
        except InputError as error:
            return "" if error.key in _LACKING else trouble(error.message(page.language))
        try:
            return preview_told(step, datasets.preview_step(version.id, step, model, int(limit)), page.t)
        except StudioError as error:
            return trouble(error.message(page.language))

    gr.on(
        [*(field.change for field in form.fields), *bench.news, bench.checked.change],
        page.guard(tell),
        [page.version, bench.model, bench.limit, *form.fields],
        preview,
        trigger_mode="always_last",
        **QUICK,
    )


_LACKING = ("error.clean.find_nothing", "error.clean.filter_nothing")
