"""Rows edited, added and left out by hand, beside the row that is looked at."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.data.cell_input import CellError
from studio.errors import StudioError
from studio.ui.data_bench import QUICK, Bench
from studio.ui.findings_view import trouble
from studio.ui.page import html
from studio.ui.row_form import FORM, row_buttons, row_form, typed_texts


def build(bench: Bench, looked_at: gr.State, row_of: Callable[[Any], int | None] = lambda value: value) -> None:
    """Lay the part out, where it is to stand. `row_of(value of looked_at)` is the row that is looked at; None: the
    first."""
    page, datasets, t = bench.page, bench.page.studio.datasets, bench.page.t
    form = html(js_on_load=FORM, elem_id="data-edit")
    kept = gr.State("")

    def buttons(version: Version | None) -> str:
        return "" if version is None or version.mapping is None else row_buttons(1 if version.rows else None, t)

    def show(version_id: str | None, before: str) -> tuple[Any, Any]:
        version = bench.version(version_id)
        now = f"{version.id} {version.mapping}" if version else ""
        # Told again of the same version, a form that was opened meanwhile stays.
        return (gr.skip(), gr.skip()) if now == before else (buttons(version), now)

    def on_form(event: gr.EventData, version_id: str, value: Any) -> tuple[Any, str]:
        version, act = datasets.version(version_id), event._data
        match act["act"]:
            case "add":
                return gr.skip(), row_form(version, None, {}, "", "", t)
            case "edit":
                return gr.skip(), row_form(version, datasets.row(version_id, row_of(value)), {}, "", "", t)
            case "exclude":
                return left_out(version, value)
            case "save":
                return saved(version, int(act["row"]) if act["row"] else None, typed_texts(version, act["typed"]))
        return gr.skip(), buttons(version)

    def left_out(version: Version, value: Any) -> tuple[Any, str]:
        try:
            return datasets.exclude_rows(version.id, [datasets.row(version.id, row_of(value)).id]).id, ""
        except StudioError as error:
            return gr.skip(), buttons(version) + trouble(error.message(page.language))

    def saved(version: Version, row: int | None, typed: dict[str, str]) -> tuple[Any, str]:
        try:
            made = datasets.type_row(version.id, row, typed)
        except StudioError as error:
            wrong = error.column if isinstance(error, CellError) else ""
            before = None if row is None else datasets.row(version.id, row)
            return gr.skip(), row_form(version, before, typed, error.message(page.language), wrong, t)
        if made.id == version.id:
            gr.Info(t("ui.data.edit.nothing"))
        return made.id, buttons(made)

    gr.on(
        [bench.blocks.load, *bench.news], page.guard(show), [page.version, kept], [form, kept],
        trigger_mode="always_last", **QUICK,
    )  # fmt: skip
    form.click(page.guard(on_form), [page.version, looked_at], [page.version, form], trigger_mode="multiple", **QUICK)
