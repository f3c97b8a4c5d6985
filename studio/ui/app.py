"""The page in both languages, and the server that shows it to this machine only."""

import asyncio
import contextlib
import json
import locale
import logging
import os
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

# Gradio reads both whenever a page is built. `Blocks.queue()` would do for the second, but builds the whole site again.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_DEFAULT_CONCURRENCY_LIMIT"] = "8"

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.errors import FaultError
from studio.messages import LANGUAGES, translate
from studio.ui import compare_tab, data_tab, evaluate_tab, export_tab, runs_tab, start_tab, train_tab
from studio.ui.api import add_api
from studio.ui.events import quieten, untangle
from studio.ui.page import TABS, Page, chosen, html
from studio.ui.security import OwnPageOnly, listen
from studio.ui.theme import make_theme, read_css

if TYPE_CHECKING:
    from studio.backend.studio import Studio

_TABS = {
    "start": start_tab,
    "data": data_tab,
    "train": train_tab,
    "runs": runs_tab,
    "compare": compare_tab,
    "evaluate": evaluate_tab,
    "export": export_tab,
}
LANGUAGE_COOKIE = "studio-language"
_LANGUAGE_NAMES = {"en": "English", "ja": "日本語"}
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="10" fill="#5b63e6"/>'
    '<path d="M8 21c4 0 4-10 8-10s4 10 8 10" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round"/></svg>'
)
_YEAR_SECONDS = 365 * 24 * 3600
# Gradio copies what is uploaded and downloaded. Every hour those older than a day are deleted; at the end, all.
_COPIES_SECONDS = (3600, 24 * 3600)
_SCRIPTS = ("requests.js", "statuses.js")  # in `assets/js`; the page has them before Gradio's own
# A link to the other language leads to the same tab.
_KEEP_TAB = """
element.addEventListener('click', (event) => {
  const link = event.target.closest('a');
  if (link) link.hash = location.hash;
});
"""
# The open tab stands in the address, so that a refresh comes back to it. It is read off the page itself: however the
# tab was opened, and however busy the studio is, the address follows at once.
_OPEN_TAB = f"""() => {{
  const bar = document.querySelector('#studio-tabs');
  new MutationObserver(() => {{
    const open = bar.querySelector('[role=tab][aria-selected=true]');
    const name = open && open.id.replace(/^tab-|-button$/g, '');
    if (name && (location.hash || '#start') !== '#' + name) history.replaceState(null, '', '#' + name);
  }}).observe(bar, {{subtree: true, attributes: true, attributeFilter: ['aria-selected']}});
  const open = bar.querySelector('[role=tab][aria-selected=true]');
  const tab = location.hash.slice(1);
  const chosen = open && open.id !== 'tab-start-button';  // by a visitor who was faster than this
  return {{__type__: 'update', ...(!chosen && {list(TABS)!r}.includes(tab) && {{selected: tab}})}};
}}"""


def build_app(studio: "Studio", language: str) -> gr.Blocks:
    """The page in one language: seven tabs in the order of the work."""
    with gr.Blocks(
        title=translate("ui.title", language), analytics_enabled=False, fill_width=True, delete_cache=_COPIES_SECONDS
    ) as blocks:
        nowhere = gr.Number(0, visible=False)
        html(_header(language), elem_id="studio-header", js_on_load=_KEEP_TAB)
        tabs = gr.Tabs(elem_id="studio-tabs", selected="start")
        workspace = studio.settings.workspace
        page = Page(studio, language, tabs, chosen("version", workspace), chosen("run", workspace))
        with tabs:
            for name in TABS:
                with gr.Tab(page.t(f"ui.tab.{name}"), id=name, elem_id=f"tab-{name}") as tab:
                    _TABS[name].build(page, blocks, tab)
        blocks.load(None, outputs=tabs, js=_OPEN_TAB, queue=False)
        add_api(blocks, studio, language)
        untangle(blocks)
        quieten(blocks, nowhere)
    return blocks


def _header(language: str) -> str:
    links = "".join(
        f'<a href="/language/{other}" lang="{other}"{" aria-current=true" if other == language else ""}>{name}</a>'
        for other, name in _LANGUAGE_NAMES.items()
    )
    return (
        '<div class="studio-bar"><span class="studio-mark" aria-hidden="true"></span>'
        f'<span class="studio-name">{escape(translate("ui.title", language))}</span>'
        f'<nav class="studio-languages" aria-label="{escape(translate("ui.language", language))}">{links}</nav></div>'
    )


def _head(language: str, assets: Path) -> str:
    """The page's language, its icon, its script, and our words for two places where Gradio has words of its own.

    Gradio tells its own in the browser's language, and an error's title always in English.
    """
    words = {"toast": "ui.toast.title", "drop": "ui.data.drop"}
    style = "".join(
        f"--studio-{name}: {json.dumps(translate(key, language), ensure_ascii=False)};" for name, key in words.items()
    )
    return (
        f'<link rel="icon" href="/favicon.ico"><style>:root {{ {style} }}</style>'
        f'<script>document.documentElement.lang = "{language}"</script>'
        + "".join(f"<script>{(assets / 'js' / name).read_text(encoding='utf-8')}</script>" for name in _SCRIPTS)
    )


class _LanguagePages:
    """ASGI: `/en/...` and `/ja/...` go to that language's page; the rest goes on.

    All pages are built when one is first asked for. Later, handlers are at work, and what they answer with are
    components, which Gradio puts into any page that is being built at that moment.
    """

    def __init__(self, app: ASGIApp, build: Callable[[str], FastAPI], stack: contextlib.AsyncExitStack) -> None:
        self._app = app
        self._build = build
        self._stack = stack
        self._pages: dict[str, FastAPI] = {}
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = scope["path"].split("/")[1] if scope["type"] in ("http", "websocket") else ""
        if first not in LANGUAGES:
            await self._app(scope, receive, send)
            return
        page = await self._page(first)
        # Gradio compresses every answer anew; on the way to the same machine that only takes time.
        headers = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        await page({**scope, "headers": headers}, receive, send)

    async def _page(self, language: str) -> FastAPI:
        async with self._lock:
            if not self._pages:
                pages = {name: await asyncio.to_thread(self._build, name) for name in LANGUAGES}
                for page in pages.values():
                    await _live(page, self._stack)
                self._pages = pages
            return self._pages[language]


async def _live(page: FastAPI, stack: contextlib.AsyncExitStack) -> None:
    """Let a page live until the stack ends, in a task of its own: what its MCP server begins must be ended by the same
    task, and the one that asked for the page first is soon done."""
    began, over = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with page.router.lifespan_context(page):
            began.set()
            await over.wait()

    async def end() -> None:
        over.set()
        await task

    task, waiting = asyncio.create_task(live()), asyncio.create_task(began.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiting.cancel()
        task.result()
    stack.push_async_callback(end)


def create_server(studio: "Studio", mcp: bool = False) -> FastAPI:
    """The whole site. `/` leads to the language chosen before, else to the browser's first that there is. `mcp`: each
    language's endpoints are tools too, for programs that speak the Model Context Protocol.

    Raises FaultError when the package for that is missing.
    """
    if mcp and find_spec("mcp") is None:
        raise FaultError("error.mcp.missing", command=f"{sys.executable} -m pip install 'mcp>=1.30,<2'")
    stack = contextlib.AsyncExitStack()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with stack:
            yield

    def build(language: str) -> FastAPI:
        return gr.mount_gradio_app(
            FastAPI(openapi_url=None),
            build_app(studio, language),
            f"/{language}",
            server_name="127.0.0.1",
            footer_links=[],
            run_history=False,
            allowed_paths=[str(studio.settings.workspace / "exports")],
            show_error=True,
            max_file_size=studio.settings.max_upload_bytes,
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            mcp_server=mcp,
            theme=make_theme(),
            css=read_css(studio.settings.assets),
            head=_head(language, studio.settings.assets),
        )

    site = FastAPI(openapi_url=None, lifespan=lifespan)

    @site.get("/")
    def home(request: Request) -> RedirectResponse:
        language = request.cookies.get(LANGUAGE_COOKIE, "")
        if language not in LANGUAGES:
            language = preferred_language(request.headers.get("accept-language", ""))
        return RedirectResponse(f"/{language}/", status_code=307)

    @site.get("/language/{language}")
    def switch(language: str) -> RedirectResponse:
        language = language if language in LANGUAGES else LANGUAGES[0]
        answer = RedirectResponse(f"/{language}/", status_code=303)
        answer.set_cookie(LANGUAGE_COOKIE, language, max_age=_YEAR_SECONDS, samesite="strict", httponly=True)
        return answer

    @site.get("/favicon.ico")
    def icon() -> Response:
        return Response(_ICON, media_type="image/svg+xml")

    site.add_middleware(_LanguagePages, build=build, stack=stack)
    site.add_middleware(OwnPageOnly)
    return site


def preferred_language(accepted: str) -> str:
    """The studio's language that an Accept-Language header likes best (RFC 9110, 12.5.4); English for none."""
    found = [(0.0, LANGUAGES[0])]
    for part in accepted.split(","):
        tag, _, quality = part.strip().partition(";q=")
        language = tag.strip().lower().split("-")[0]
        with contextlib.suppress(ValueError):
            if language in LANGUAGES:
                found.append((float(quality or 1), language))
    return max(found, key=lambda item: item[0])[1]


def serve(studio: "Studio", port: int = 7860, open_browser: bool = True, mcp: bool = False) -> None:
    """Show the page on 127.0.0.1 until interrupted. Port 0 takes any free one. Raises InputError: port in use; and as
    `create_server`."""
    site = create_server(studio, mcp)
    listener = listen(port)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    _log_with_the_studio()
    server = uvicorn.Server(uvicorn.Config(site, log_config=None, timeout_graceful_shutdown=1))
    language = _shell_language()
    print(translate("ui.serving", language, address=address), flush=True)
    if mcp:
        print(translate("ui.serving.mcp", language, address=f"{address}{language}/gradio_api/mcp/"), flush=True)
    if open_browser:
        threading.Timer(0.1, webbrowser.open, [address]).start()
    server.run(sockets=[listener])


def _log_with_the_studio() -> None:
    """Faults of the server go to the studio's log: in the shell a closed browser would look like one."""
    logger = logging.getLogger("uvicorn")
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.handlers = list(logging.getLogger("studio").handlers) or [logging.NullHandler()]


def _shell_language() -> str:
    name = (locale.getlocale()[0] or "").split("_")[0].lower()
    return name if name in LANGUAGES else LANGUAGES[0]
