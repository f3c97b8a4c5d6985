"""What was done to the rows on the way to the version that is open; rows brought back, steps undone."""

from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.ui.changes_view import PAGE_CHANGES, Changes, version_report
from studio.ui.data_bench import QUICK, Bench
from studio.ui.markup import ACTIONS
from studio.ui.page import html


def build(bench: Bench) -> None:
    """Lay the report out; it is empty for a version that no fix made."""
    page, datasets, t = bench.page, bench.page.studio.datasets, bench.page.t
    report = html(js_on_load=ACTIONS, elem_id="data-report")
    # Of which version what is looked at: what it is compared with, the step and the page. It outlives being shown anew.
    kept: gr.State = gr.State(("", None, None, 0))

    def told(version: Version, since: str | None, step: tuple[str, int] | None = None, offset: int = 0) -> str:
        if version.report is None or version.parent is None:
            return ""
        lineage = datasets.lineage(version.id)
        place = next((i for i, known in enumerate(lineage) if known.id == since), len(lineage) - 2)
        base = lineage[place].id
        others = {known.id: known for known in (lineage[0], lineage[-2]) if known.id != base}
        rows = datasets.diff(version.id, offset, PAGE_CHANGES, base, step)
        total = datasets.changed_rows(version.id, base, step)
        return version_report(Changes(lineage[place:], tuple(others.values()), step, offset, total, rows), t)

    def show(version_id: str | None, known: tuple[Any, ...]) -> str:
        version = bench.version(version_id)
        if version is None:
            return ""
        looked: tuple[Any, ...] = known[1:] if known[0] == version.id else (None, None, 0)
        return told(version, *looked)

    def on_report(event: gr.EventData, version_id: str) -> tuple[Any, ...]:
        act = event._data
        match act["act"]:
            case "version":
                return act["version"], gr.skip(), gr.skip()
            case "restore":
                made = datasets.restore_rows(version_id, [int(act["row"])])
                return made.id, gr.skip(), (made.id, act["since"], None, 0)
        step = (act["version"], int(act["place"])) if act.get("version") else None
        known = (version_id, act["since"], step, int(act.get("offset", 0)))
        return gr.skip(), told(datasets.version(version_id), *known[1:]), known

    gr.on(
        [bench.blocks.load, *bench.news], page.guard(show), [page.version, kept], report,
        trigger_mode="always_last", **QUICK,
    )  # fmt: skip
    report.click(page.guard(on_report), page.version, [page.version, report, kept], trigger_mode="multiple", **QUICK)
