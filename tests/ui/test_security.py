"""Only the studio's own page, opened under this machine's own name, may talk to the studio."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from studio.ui.security import OwnPageOnly, allowed

OWN = "127.0.0.1:7860"


@pytest.mark.parametrize("host", [OWN, "localhost:7860", "LOCALHOST", "[::1]:7860", "127.0.0.1"])
def test_own_names_are_let_in(host: str) -> None:
    assert allowed(host, None)
    assert allowed(host, f"http://{host}")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:7860",
        "127.0.0.1.evil.example",
        "evil.example@127.0.0.2",
        "0.0.0.0:7860",
        "[::1",
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused(host: str) -> None:
    assert not allowed(host, None)
    assert not allowed(host, f"http://{host}")


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://127.0.0.1:9999",
        "http://localhost:7860",
        "file://",
        "http://127.0.0.1",
    ],
)
def test_another_page_may_not_ask_anything(origin: str) -> None:
    assert not allowed(OWN, origin)


def test_refused_requests_never_reach_the_app() -> None:
    reached = []

    def answer(request: object) -> PlainTextResponse:
        reached.append(request)
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])
    app.add_middleware(OwnPageOnly)
    client = TestClient(app, base_url=f"http://{OWN}")
    assert client.get("/", headers={"host": "evil.example"}).status_code == 403
    assert client.post("/", headers={"origin": "http://evil.example"}).status_code == 403
    assert not reached
    assert client.post("/", headers={"origin": f"http://{OWN}"}).status_code == 200
    assert client.get("/").status_code == 200
