"""A server of an app in this process, and a studio's assets with a tiny model in place of the starter."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from studio.settings import Settings
from tests.tiny import save_tiny


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """The address of the app."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=120)
    assert not thread.is_alive()


def tiny_assets(folder: Path) -> Path:
    """Made in this folder, for `Settings.assets`."""
    assets = folder / "assets"
    assets.mkdir()
    for path in Settings(workspace=folder).assets.iterdir():
        if path.name != "starter":
            (assets / path.name).symlink_to(path)
    save_tiny(assets / "starter")
    return assets
