"""What every tab is given: the studio, the language, what is chosen, and one way to tell an error."""

import functools
import hashlib
import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.errors import StudioError
from studio.messages import translate
from studio.ui.markup import said

if TYPE_CHECKING:
    from studio.backend.studio import Studio

TABS = ("start", "data", "train", "runs", "compare", "evaluate", "export")
log = logging.getLogger("studio")


@dataclass(frozen=True, slots=True)
class Page:
    """One language's page. `version` and `run` are ids (or None) and survive a refresh of the browser. `again` is told
    the run whose settings are to be used once more, as `use_again` writes it. `follow` is told the next run of a chain,
    as `chain_view` writes it. `news` is another text whenever a run was added, deleted, began, kept a checkpoint or
    ended. `clock` ticks for them outside of the tabs, for what is in a tab lives only from its first visit on. `pairs`
    is another number whenever the open data set is to be read as preference pairs."""

    studio: "Studio"
    language: str
    tabs: gr.Tabs
    version: gr.BrowserState
    run: gr.BrowserState
    again: gr.Textbox = field(default_factory=lambda: gr.Textbox("", visible=False))
    follow: gr.Textbox = field(default_factory=lambda: gr.Textbox("", visible=False))
    news: gr.Textbox = field(default_factory=lambda: gr.Textbox("", visible=False))
    clock: gr.Timer = field(default_factory=lambda: gr.Timer(1.0))
    pairs: gr.Number = field(default_factory=lambda: gr.Number(0, visible=False))

    def t(self, key: str, **values: object) -> str:
        """The sentence of `key` in this page's language."""
        return translate(key, self.language, **values)

    def guard(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """The handler, with its errors shown in a corner of the page; a bug goes to the log with one plain line."""
        if inspect.isgeneratorfunction(handler):

            @functools.wraps(handler)
            def stream(*args: Any) -> Iterator[Any]:
                try:
                    yield from handler(*args)
                except Exception as error:
                    raise self._told(error) from None

            return stream

        @functools.wraps(handler)
        def call(*args: Any) -> Any:
            try:
                return handler(*args)
            except Exception as error:
                raise self._told(error) from None

        return call

    def _told(self, error: Exception) -> gr.Error:
        if isinstance(error, gr.Error):
            return error
        if isinstance(error, StudioError):
            return _toast(error.message(self.language))
        log.error("a handler of the page failed", exc_info=error)
        return _toast(self.t("error.bug", log="logs/studio.log"))


def _toast(message: str) -> gr.Error:
    """Toasts are markup, so what they say is escaped: names of files and columns are in it."""
    return gr.Error(said(message), duration=None, print_exception=False)


def html(value: str = "", **options: Any) -> gr.HTML:
    """A piece of the page's own HTML, styled by the studio's style sheets alone."""
    return gr.HTML(value, padding=False, apply_default_css=False, **options)


def goto(tab: str) -> gr.Tabs:
    """The value that opens another tab."""
    return gr.Tabs(selected=tab)


def chosen(name: str, workspace: object) -> gr.BrowserState:
    """A choice kept by the browser, one per workspace; it is no secret, so the key is fixed and outlives a restart."""
    place = hashlib.sha256(str(workspace).encode()).hexdigest()[:12]
    return gr.BrowserState(None, storage_key=f"studio-{name}-{place}", secret="studio")
