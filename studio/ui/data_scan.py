"""The checks of an open data set: they begin by themselves, tell how far they are, and can be stopped."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.errors import Stopped, StudioError
from studio.ui.data_bench import QUICK, Bench
from studio.ui.findings_view import scan_running, scan_stopped
from studio.ui.markup import ACTIONS
from studio.ui.page import html


def build(bench: Bench) -> None:
    """A line above the panels while the checks run, or were stopped; `bench.checked` is told when they are done."""
    page, datasets, t = bench.page, bench.page.studio.datasets, bench.page.t
    line = html(js_on_load=ACTIONS, elem_id="data-scan")
    begun, anew = gr.Number(0, visible=False), gr.Number(0, visible=False)
    asked = gr.State("")

    def follow(version_id: str, model: str, limit: float, done: float) -> Iterator[tuple[Any, Any]]:
        version = datasets.version(version_id)
        try:
            with closing(datasets.follow_scan(version.id, model, int(limit))) as shares:
                for share in shares:
                    yield scan_running(share, version.rows, t), gr.skip()
        except Stopped:
            yield scan_stopped(t), gr.skip()
        except StudioError as error:
            yield scan_stopped(t, error.message(page.language)), gr.skip()
        else:
            yield "", done + 1

    def begin(
        version_id: str | None, model: str, limit: float | None, times: float, done: float, before: str
    ) -> tuple[Any, ...]:
        version = bench.version(version_id)
        if version is None or version.mapping is None or limit is None:
            return "", "", gr.skip(), gr.skip(), ""
        now = _asked(version, model, limit)
        if datasets.scanned(version.id, model, int(limit)):
            return (gr.skip(),) * 5 if now == before and done else ("", now, gr.skip(), done + 1, "")
        return scan_running(0, version.rows, t), now, times + 1, gr.skip(), ""

    def left(version_id: str | None, model: str, limit: float | None, before: str, times: float) -> Any:
        version = bench.version(version_id)
        if version is None or version.mapping is None or limit is None:
            return gr.skip()
        return gr.skip() if _asked(version, model, limit) == before else times + 1

    def on_line(event: gr.EventData, version_id: str, times: float) -> tuple[Any, Any]:
        if event._data["act"] == "stop":
            return scan_stopped(t), gr.skip()
        return scan_running(0, datasets.version(version_id).rows, t), times + 1

    question = [page.version, bench.model, bench.limit]
    following = begun.change(
        page.guard(follow),
        [*question, bench.checked],
        [line, bench.checked],
        trigger_mode="multiple",
        concurrency_limit=None,
        show_progress="hidden",
    )
    following.failure(lambda: scan_stopped(t), None, line, **QUICK)
    gr.on(
        [bench.blocks.load, *bench.news, bench.model.input, bench.limit.submit, anew.change],
        page.guard(begin),
        [*question, begun, bench.checked, asked],
        [line, asked, begun, bench.checked, bench.where],
        cancels=[following],
        trigger_mode="always_last",
        **QUICK,
    )
    # Only what was changed is asked anew: whoever leaves the field as it was must not stop the checks.
    bench.limit.blur(page.guard(left), [*question, asked, anew], anew, **QUICK)
    line.click(page.guard(on_line), [page.version, begun], [line, begun], cancels=[following], **QUICK)


def _asked(version: Version, model: str, limit: float) -> str:
    mapping = version.mapping.model_dump_json() if version.mapping else ""
    return f"{version.id} {model} {int(limit)} {mapping}"
