"""Which rows are kept out of training."""

from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.errors import StudioError
from studio.ui import findings_view, split_view
from studio.ui.data_bench import QUICK, Bench
from studio.ui.markup import headline, shorten
from studio.ui.page import html

_LOOK = 8


def build(bench: Bench, panel: gr.Tab) -> None:
    """Lay the panel out. Each widget changes its own part of the split; the counts follow."""
    page, datasets, t = bench.page, bench.page.studio.datasets, bench.page.t
    asked, told = gr.Number(0, visible=False), gr.State("")
    with gr.Row(equal_height=False, elem_id="data-split"):
        with gr.Column(scale=2, min_width=300, elem_classes="s-card"):
            html(headline(t("ui.data.split.title"), t("ui.data.split.text")))
            validation = gr.Slider(
                0, 50, 10, step=1, label=t("ui.data.split.validation_share"), elem_id="data-share", buttons=[]
            )
            test = gr.Slider(
                0,
                40,
                0,
                step=1,
                label=t("ui.data.split.test_share"),
                info=t("ui.data.split.test_help"),
                elem_id="data-test",
                buttons=[],
            )
            group = gr.Checkbox(
                label=t("ui.data.split.group"), info=t("ui.data.split.group_help"), elem_id="data-group"
            )
            stratify = gr.Dropdown(
                [], label=t("ui.data.split.stratify"), info=t("ui.data.split.stratify_help"), elem_id="data-stratify"
            )
            seed = gr.Number(
                0, label=t("ui.data.split.seed"), info=t("ui.data.split.seed_help"), precision=0, elem_id="data-seed"
            )
        with gr.Column(scale=3, min_width=300, elem_classes="s-card"):
            counts = html(elem_id="data-split-counts")

    def show(version: Version, old: str) -> tuple[Any, ...]:
        spec = version.split
        if old == _key(version):  # asked twice: a widget that was set in between keeps what it was set to
            return *[gr.skip()] * 5, split_view.counting(t), next(bench.turns), gr.skip()
        none = (t("ui.data.split.stratify_none"), "")
        columns = [(shorten(column.name, 60), column.name) for column in version.columns]
        return (
            round(100 * spec.validation_share),
            round(100 * spec.test_share, 2),
            spec.group_near_duplicates,
            gr.Dropdown(choices=[none, *columns], value=spec.stratify or ""),
            spec.seed,
            split_view.counting(t),
            next(bench.turns),
            _key(version),
        )

    def count(version_id: str | None) -> str:
        version = bench.version(version_id)
        if version is None or version.mapping is None:
            return ""
        try:
            return split_view.split_view(sides(version), t)
        except StudioError as error:
            return findings_view.trouble(error.message(page.language))

    def leave(version_id: str | None, old: str, changed: int) -> tuple[Any, Any]:
        """Other panels are told of another split when one turns to them: findings say what it lets leak."""
        version = bench.version(version_id)
        new = _key(version) if version else ""
        return (changed + 1, new) if old.startswith(f"{version_id} ") and new != old else (gr.skip(), gr.skip())

    def sides(version: Version) -> split_view.Sides:
        spec = version.split
        parts = datasets.split(version.id, spec)
        unusable = version.rows - sum(map(len, (parts.train, parts.validation, parts.test, parts.idle)))
        kept = (
            datasets.kept_rows(version.id, spec, "validation", 0, _LOOK),
            datasets.kept_rows(version.id, spec, "test", 0, _LOOK),
        )
        counts = (len(parts.train), len(parts.validation), len(parts.test))
        return split_view.Sides(spec, counts, unusable, kept, datasets.strata(version.id, spec))

    def on_change(name: str, scale: float = 1) -> Any:
        def change(version_id: str | None, value: Any) -> tuple[Any, Any]:
            version = bench.version(version_id)
            if version is None or version.mapping is None:
                return gr.skip(), gr.skip()
            try:
                datasets.change_split(version.id, {name: value / scale if scale != 1 else value})
            except StudioError as error:
                return gr.skip(), findings_view.trouble(error.message(page.language))
            return next(bench.turns), gr.skip()

        return page.guard(change)

    bench.when_open(panel, "split", show, [told], [validation, test, group, stratify, seed, counts, asked, told])
    asked.change(page.guard(count), page.version, counts, trigger_mode="always_last", show_progress="minimal")
    bench.views.select(page.guard(leave), [page.version, told, bench.changed], [bench.changed, told], **QUICK)
    for events, widget, name, scale in (
        ([validation.input], validation, "validation_share", 100),
        ([test.input], test, "test_share", 100),
        ([group.input], group, "group_near_duplicates", 1),
        ([stratify.input], stratify, "stratify", 1),
        ([seed.submit, seed.blur], seed, "seed", 1),
    ):
        gr.on(
            events,
            on_change(name, scale),
            [page.version, widget],
            [asked, counts],
            trigger_mode="always_last",
            **QUICK,
        )


def _key(version: Version) -> str:
    return f"{version.id} {version.split.model_dump_json()}"
