"""What the panels of an open data set share: the version, the model it is looked at with, and which rows are shown."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.errors import InputError
from studio.runs.methods import methods_for
from studio.ui.page import Page

VIEWS = ("rows", "clean", "charts", "split", "mix", "more")
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
# Has the browser save the file behind a link.
SAVE = """(link) => {
  if (!link) return;
  const save = document.createElement('a');
  save.href = link;
  save.download = '';
  document.body.append(save);
  save.click();
  save.remove();
}"""
_LIMIT = 256
_MODEL = "starter"


@dataclass(frozen=True, slots=True)
class Bench:
    """`view` names the panel that is open (one of VIEWS); `where` the rows that the table shows: JSON, "" for all.

    `opened` is the version that is open, "" for none: it tells of another version once, while the browser's own value
    is told again whenever a handler that could have changed it is done. `changed` counts what was set anew for it,
    such as its columns, and `checked` how often its checks came to their end. `model` and `limit` are made here and
    laid out by the panel of rows. `turns` numbers what is asked for, each once: of two changes on their way at the same
    time, the one that comes last is a change too.
    """

    page: Page
    blocks: gr.Blocks
    views: gr.Tabs
    view: gr.Textbox
    opened: gr.Textbox
    changed: gr.Number
    checked: gr.Number
    model: gr.Dropdown
    limit: gr.Number
    where: gr.Textbox
    turns: Iterator[int] = field(default_factory=lambda: count(1))

    def version(self, version: str | None) -> Version | None:
        """The version the browser remembers, if this workspace still has it."""
        try:
            return self.page.studio.datasets.version(version) if version else None
        except InputError:
            return None

    @property
    def news(self) -> list[Any]:
        """Triggers: another version was chosen, or the one that is open was set anew."""
        return [self.opened.change, self.changed.change]

    def when_open(
        self, panel: gr.Tab, name: str, show: Callable[..., Any], inputs: list[Any], outputs: list[Any]
    ) -> None:
        """Have `show(version, *inputs)` fill a panel: when it is opened, and when the version changes while it is open.

        `version` is a Version that has a mapping; without one the panel stays as it is.
        """

        def fill(version_id: str | None, *values: Any) -> Any:
            version = self.version(version_id)
            return gr.skip() if version is None or version.mapping is None else show(version, *values)

        # Which panel is open the browser knows: only that one asks the studio.
        turn = gr.Number(0, visible=False)
        panel.select(None, None, self.view, js=f"() => '{name}'", **QUICK)
        gr.on(
            self.news, None, [self.view, turn], turn, js=f"(view, turn) => view === '{name}' ? turn + 1 : turn", **QUICK
        )
        gr.on(
            [panel.select, turn.change], self.page.guard(fill), [self.page.version, *inputs], outputs,
            trigger_mode="always_last", **QUICK,
        )  # fmt: skip


def make_bench(page: Page, blocks: gr.Blocks, views: gr.Tabs) -> Bench:
    """The shared parts, before any panel is laid out."""
    model = gr.Dropdown(
        [_MODEL],
        value=_MODEL,
        allow_custom_value=True,
        label=page.t("ui.data.model"),
        elem_id="data-model",
        render=False,
    )
    limit = gr.Number(
        _LIMIT,
        label=page.t("ui.data.limit"),
        precision=0,
        minimum=16,
        maximum=131_072,
        elem_id="data-limit",
        render=False,
    )
    # No States: of what changes these without the queue, the page is not told.
    changed, checked = gr.Number(0, visible=False), gr.Number(0, visible=False)
    opened, where = gr.Textbox("", visible=False), gr.Textbox("", visible=False)
    page.version.change(None, page.version, opened, js="(version) => version || ''", queue=False)
    view = gr.Textbox(VIEWS[0], visible=False)
    return Bench(page, blocks, views, view, opened, changed, checked, model, limit, where)


def stoppable(work: Any, button: gr.Button, stopped: Callable[[], Any], outputs: list[Any]) -> None:
    """Have a button stop the work of an event, and show what `stopped` gives."""
    button.click(stopped, None, outputs, cancels=[work], **QUICK)
    # Once more when it did stop, or broke off: a message that was under way shows the work as going on.
    work.failure(stopped, None, outputs, **QUICK)


def file_link(path: Path) -> str:
    """A link to a file of the workspace's `exports`; another one each time the file is written."""
    return f"gradio_api/file={path}#{path.stat().st_mtime_ns}"


def go(view: str) -> gr.Tabs:
    """The value that opens another panel."""
    return gr.Tabs(selected=view)


def learnable(version: Version) -> bool:
    """Whether some method learns from its rows; the notes beside the name say which, or why none does."""
    return version.mapping is not None and bool(methods_for(version.mapping.dataset_type))


def answers(version: Version) -> bool:
    """Whether its rows hold answers to learn."""
    return version.mapping is not None and "sft" in methods_for(version.mapping.dataset_type)
