"""Only this machine's own page may talk to the studio.

The studio listens on 127.0.0.1, which alone does not keep web pages out: a page of another site can send requests
to 127.0.0.1 (refused by its Origin), and a name of its own can be made to point there (DNS rebinding; refused by
the Host header). https://fetch.spec.whatwg.org/#origin-header
"""

import errno
import os
import socket
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.errors import InputError

_OWN_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


def host_name(header: str) -> str | None:
    """The name in a Host header, without port and brackets."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def allowed(host: str, origin: str | None) -> bool:
    """Whether a request comes from the studio's own page (or from a program of this machine that sends no Origin)."""
    if host_name(host) not in _OWN_NAMES:
        return False
    if origin is None:
        return True
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


class OwnPageOnly:
    """ASGI middleware that answers 403 to whatever `allowed` refuses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            if not allowed(headers.get(b"host", ""), headers.get(b"origin")):
                if scope["type"] == "http":
                    await PlainTextResponse("Forbidden", status_code=403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def listen(port: int) -> socket.socket:
    """A socket of this machine alone. Raises InputError: the port is in use, or the system does not give it."""
    # asyncio sends at once (TCP_NODELAY) only where the protocol is named; else each answer waits up to 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()  # whoever comes before the server is ready waits
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise InputError("error.port.in_use", port=port) from None
        raise InputError("error.port.refused", port=port, reason=error.strerror or str(error)) from None
    return listener
