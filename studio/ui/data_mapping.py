"""Which column is what, chosen by hand."""

from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.data.formats import Mapping
from studio.ui.data_bench import QUICK, Bench
from studio.ui.data_opener import encodings
from studio.ui.data_view import ROLES
from studio.ui.markup import shorten, shown
from studio.ui.page import html


def build(bench: Bench) -> gr.Dropdown:
    """Lay the panel out, closed where the columns are known. Returns the list of encodings to read the file again
    with."""
    page, datasets, t = bench.page, bench.page.studio.datasets, bench.page.t
    with gr.Accordion(t("ui.data.mapping"), open=False, elem_id="data-mapping") as panel:
        html(f'<p class="s-muted">{shown(t("ui.data.mapping.help"))}</p>')
        with gr.Row():
            roles = [
                gr.Dropdown([], label=t(f"ui.data.role.{role}"), min_width=150, elem_id=f"data-role-{role}")
                for role in ROLES
            ]
        apply = gr.Button(t("ui.data.mapping.apply"), variant="primary", size="md", elem_id="data-mapping-apply")
        again = gr.Dropdown(
            encodings(page), value="", label=t("ui.data.encoding.again"), visible=False, elem_id="data-again"
        )

    def show(version_id: str | None) -> Any:
        version = bench.version(version_id)
        if version is None:
            return gr.skip()
        names = [("—", ""), *((shorten(column.name, 60), column.name) for column in version.columns)]
        return (
            gr.Accordion(open=version.mapping is None),
            *(gr.Dropdown(choices=names, value=value) for value in _chosen(version)),
        )

    def on_apply(version_id: str, count: int, *names: str) -> int:
        values = {role: name or None for role, name in zip(ROLES, names, strict=True)}
        mapping = Mapping.model_validate({"layout": "columns", **values, "turns": None})
        if values["turns"]:
            mapping = datasets.turns_mapping(version_id, values["turns"]).model_copy(
                update={"system": values["system"]}
            )
        datasets.set_mapping(version_id, mapping)
        return count + 1

    gr.on([bench.blocks.load, *bench.news], page.guard(show), page.version, [panel, *roles], **QUICK)
    apply.click(page.guard(on_apply), [page.version, bench.changed, *roles], bench.changed, **QUICK)
    return again


def _chosen(version: Version) -> list[str]:
    return [getattr(version.mapping, role) or "" if version.mapping else "" for role in ROLES]
