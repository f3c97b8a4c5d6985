"""The rows of an open data set: what is wrong with them, and each as the model sees it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.data.explore import where_from_json
from studio.data.tables import Row
from studio.errors import InputError, Stopped, StudioError
from studio.ui import data_edit, data_package, data_report, findings_view
from studio.ui.charts_view import filter_told
from studio.ui.data_bench import QUICK, SAVE, Bench, file_link
from studio.ui.markup import ACTIONS, shown
from studio.ui.page import html
from studio.ui.rows_view import PAGE_ROWS, Look, cells_found, next_order, row_as_seen, rows_table, shown_columns


def build(bench: Bench) -> None:
    """Lay the panel out. Rows show at once; what needs the checks or the model's tokenizer follows."""
    page, datasets, t = bench.page, bench.page.studio.datasets, bench.page.t
    look, shown_now = gr.State(Look()), gr.State("")
    data_report.build(bench)
    working = html(js_on_load=ACTIONS, elem_id="data-working")
    findings = html(js_on_load=ACTIONS, elem_id="data-findings")
    data_package.build(bench)
    link = gr.Textbox("", visible=False)
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            search = gr.Textbox(
                placeholder=t("ui.data.search"), show_label=False, container=False, elem_id="data-search", max_lines=1
            )
            table = html(js_on_load=ACTIONS, elem_id="data-table")
        with gr.Column(scale=2, min_width=300):
            view = html(elem_id="data-view")
            data_edit.build(bench, look, lambda looked: looked.row)
            with gr.Row(elem_id="data-counted") as counted:
                bench.model.render()
                bench.limit.render()

    def show(version_id: str | None, before: str) -> tuple[Any, ...]:
        version = bench.version(version_id)
        now = f"{version.id} {version.mapping}" if version else ""
        # The browser tells of its version more often than it changes: that must not undo a search or an order.
        if version is None or now == before:
            return (gr.skip(),) * 5
        return (
            rows(version, "", Look(), "", 0),
            Look(),
            "",
            gr.Row(visible=version.mapping is not None),
            now,
        )

    def rows(version: Version, text: str, look: Look, model: str, limit: float) -> str:
        where = where_from_json(look.where) if look.where else None
        ids = datasets.select(version.id, where, model, int(limit)) if where else None
        total = datasets.count(version.id, text or None, ids=ids)
        columns = [version.columns[place] for place in shown_columns(version, look.first_column)]
        names = [column.name for column in columns]
        asked: dict[str, Any] = {"order": look.order, "descending": look.descending, "ids": ids}
        turns = version.mapping.turns if version.mapping else None
        whole: list[Row] = []
        if text or turns:
            wanted = names if text else [turns or ""]
            whole = datasets.page(version.id, look.offset, PAGE_ROWS, text or None, **asked, columns=wanted)
        talks = {row.id: row.values.get(turns) for row in whole} if turns else {}
        if text:
            cells = [cells_found(row, columns, text) for row in whole]
        else:
            cells = datasets.cells(version.id, look.offset, PAGE_ROWS, **asked, columns=names)
        told = filter_told(where, datasets.count(version.id, ids=ids), t) if where else ""
        return f"{told}{rows_table(version, cells, talks, look, total, text, t)}"

    def found(version_id: str | None, model: str, limit: float) -> str:
        version = bench.version(version_id)
        if version is None or version.mapping is None or not datasets.scanned(version.id, model, int(limit)):
            return ""
        on = datasets.findings(version.id, model, int(limit))
        turned_off = datasets.findings_off(version.id)
        every = datasets.scan(version.id, model, int(limit)).findings
        off = [finding for finding in every if finding.key.removeprefix("finding.") in turned_off]
        named = {row for finding in on for row in finding.examples}
        examples = datasets.table(version.id).find(named, version.mapping.columns)
        ready = datasets.readiness(version.id, model, int(limit))
        return findings_view.findings_list(on, off, ready, examples, version.mapping, t, page.language)

    def seen(version_id: str | None, look: Look, model: str, limit: float) -> str:
        version = bench.version(version_id)
        if version is None or version.mapping is None:
            return ""
        first = datasets.cells(version.id, 0, 1) if look.row is None else []
        row = first[0].id if first else look.row
        try:
            return "" if row is None else seen_row(version.id, row, model, limit)
        except StudioError as error:
            return findings_view.trouble(error.message(page.language))

    def seen_row(version_id: str, row: int, model: str, limit: float) -> str:
        return row_as_seen(row, datasets.view_row(version_id, row, model, int(limit)), int(limit), model, t)

    def opened(version: Version, row: int) -> Look:
        """The page of all rows in the order of the file that has this one."""
        place = datasets.table(version.id).position(row)
        if place is None:
            raise InputError("error.dataset.no_row", row=row, data=version.name)
        return Look(offset=place // PAGE_ROWS * PAGE_ROWS, row=row)

    def on_table(
        event: gr.EventData, version_id: str, text: str, look: Look, model: str, limit: float
    ) -> tuple[Any, ...]:
        version, act = datasets.version(version_id), event._data
        viewed: Any = gr.skip()
        match act["act"]:
            case "page":
                look = replace(look, offset=int(act["to"]))
            case "columns":
                look = replace(look, first_column=int(act["to"]))
            case "sort":
                order, descending = next_order(look, version.columns[int(act["column"])].name)
                look = replace(look, offset=0, order=order, descending=descending)
            case "all":
                look, text = replace(look, offset=0, where=""), ""
            case "jump":
                look, text = replace(opened(version, int(float(act["value"]))), first_column=look.first_column), ""
                viewed = seen_row(version.id, look.row or 0, model, limit) if version.mapping else gr.skip()
            case "row":
                look = replace(look, row=int(act["row"]))
                viewed = seen_row(version.id, look.row or 0, model, limit) if version.mapping else gr.skip()
        return rows(version, text, look, model, limit), viewed, look, look.where, text

    def on_search(version_id: str, text: str, look: Look, model: str, limit: float) -> tuple[Any, ...]:
        if text == look.text:  # the box was emptied by another way to rows, and the table shows them
            return gr.skip(), gr.skip()
        look = replace(look, offset=0, text=text)
        return rows(datasets.version(version_id), text, look, model, limit), look

    def on_where(where: str, version_id: str | None, look: Look, model: str, limit: float) -> tuple[Any, ...]:
        version = bench.version(version_id)
        if version is None or where == look.where:
            return (gr.skip(),) * 3
        look = Look(where=where)
        return rows(version, "", look, model, limit), look, ""

    def on_finding(event: gr.EventData, version_id: str, look: Look, model: str, limit: float) -> tuple[Any, ...]:
        version, act = datasets.version(version_id), event._data
        match act["act"]:
            case "row":
                look = opened(version, int(act["row"]))
                viewed = seen_row(version.id, look.row or 0, model, limit)
                return gr.skip(), rows(version, "", look, model, limit), viewed, look, "", ""
            case "where":
                look = Look(where=act["where"])
                return gr.skip(), rows(version, "", look, model, limit), gr.skip(), look, look.where, ""
            case "on" | "off":
                off = datasets.findings_off(version.id) ^ {act["name"]}
                datasets.set_findings_off(version.id, off)
                return found(version.id, model, limit), *[gr.skip()] * 5
        return (gr.skip(),) * 6

    def on_slow(event: gr.EventData, version_id: str, model: str, limit: float) -> Iterator[tuple[Any, ...]]:
        act = event._data
        if act["act"] == "fix":
            yield from fix(version_id, tuple(act["fixes"].split(",")), model, int(limit))
        elif act["act"] == "export":
            keys = [act["keys"]] if act["keys"] else None
            path = datasets.export_findings(version_id, model, int(limit), keys, act["form"])
            gr.Info(shown(t("ui.data.findings.exported", name=path.name)))
            yield gr.skip(), "", file_link(path)
        else:  # what yields nothing empties its outputs
            yield (gr.skip(),) * 3

    def fix(version_id: str, fixes: tuple[str, ...], model: str, limit: int) -> Iterator[tuple[Any, ...]]:
        def do(tell: Any, stopping: Any) -> Version:
            return datasets.fix(version_id, fixes, model, limit, tell, stopping)

        shares = datasets.follow(("fix", version_id, fixes, model, limit), do)
        with closing(shares):
            try:
                while True:
                    yield gr.skip(), findings_view.fix_running(next(shares), t), gr.skip()
            except StopIteration as done:
                yield done.value.id, "", gr.skip()
            except Stopped:
                yield gr.skip(), "", gr.skip()

    asked, counting = [page.version, bench.model, bench.limit], [bench.model, bench.limit]
    looking = [page.version, look, *counting]
    gr.on(
        [bench.blocks.load, *bench.news],
        page.guard(show),
        [page.version, shown_now],
        [table, look, search, counted, shown_now],
        trigger_mode="always_last",
        **QUICK,
    ).then(page.guard(seen), looking, view, concurrency_limit=None, show_progress="hidden")
    gr.on(
        [bench.blocks.load, *bench.news, bench.checked.change],
        page.guard(found),
        asked,
        findings,
        trigger_mode="always_last",
        **QUICK,
    )
    gr.on(
        [bench.model.input, bench.limit.submit, bench.limit.blur],
        page.guard(seen),
        looking,
        view,
        trigger_mode="always_last",
        concurrency_limit=None,
        show_progress="hidden",
    )
    table.click(
        page.guard(on_table),
        [page.version, search, look, *counting],
        [table, view, look, bench.where, search],
        trigger_mode="multiple",
        **QUICK,
    )
    gr.on(
        [search.submit, search.change],
        page.guard(on_search),
        [page.version, search, look, *counting],
        [table, look],
        trigger_mode="always_last",
        **QUICK,
    )
    bench.where.change(page.guard(on_where), [bench.where, *looking], [table, look, search], **QUICK)
    findings.click(
        page.guard(on_finding),
        looking,
        [findings, table, view, look, bench.where, search],
        trigger_mode="multiple",
        **QUICK,
    )
    slow = findings.click(
        page.guard(on_slow),
        asked,
        [page.version, working, link],
        trigger_mode="multiple",
        concurrency_limit=None,
        show_progress="hidden",
    )
    slow.failure(lambda: "", None, working, **QUICK)
    working.click(lambda: "", None, working, cancels=[slow], **QUICK)
    link.change(None, link, None, js=SAVE)
