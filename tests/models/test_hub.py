"""The Hub, played by a server in this process: every way it can fail is told, and told soon."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from studio.errors import ModelError
from studio.messages import LANGUAGES
from studio.models import folder as folders
from studio.models.hub import HubName, download, look_up, parse_hub_name
from tests.tiny import save_tiny

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class StandIn(ThreadingHTTPServer):
    """A Hub with one model, `owner/tiny`. `status` answers every question with an error instead; `asked` are the
    paths that were asked for."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.files["pytorch_model.bin"] = b"a pickle nobody should fetch"
        self.status: int | None = None
        self.error_code = ""
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: StandIn  # type: ignore[assignment]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.server.asked.append(self.path)
        if self.server.status is not None:
            return self._send(self.server.status, b"{}", {"X-Error-Code": self.server.error_code}, body)
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/owner/tiny/tree/"):
            return self._send(200, json.dumps(self._tree()).encode(), {"Content-Type": "application/json"}, body)
        if path.startswith("/api/models/owner/tiny"):
            revision = path.partition("/revision/")[2]
            if revision not in ("", "main", COMMIT):
                return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)
            return self._send(200, json.dumps(self._info()).encode(), {"Content-Type": "application/json"}, body)
        name = path.rpartition("/")[2]
        if path == f"/owner/tiny/resolve/{COMMIT}/{name}" and name in self.server.files:
            raw = self.server.files[name]
            digest = hashlib.sha256(raw).hexdigest()
            return self._send(200, raw, {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT}, body)
        return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)

    def _info(self) -> dict[str, Any]:
        siblings = []
        for name, raw in self.server.files.items():
            entry: dict[str, Any] = {"rfilename": name, "size": len(raw), "blobId": "b"}
            if name.endswith((".safetensors", ".bin")):
                entry["lfs"] = {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw), "pointerSize": 130}
            siblings.append(entry)
        return {
            "id": "owner/tiny", "modelId": "owner/tiny", "sha": COMMIT, "siblings": siblings, "tags": [],
            "cardData": {"license": "apache-2.0"}, "safetensors": {"parameters": {"F32": 1234}, "total": 1234},
        }  # fmt: skip

    def _tree(self) -> list[dict[str, Any]]:
        tree = []
        for name, raw in self.server.files.items():
            entry: dict[str, Any] = {"type": "file", "path": name, "size": len(raw), "oid": "b"}
            if name.endswith((".safetensors", ".bin")):
                entry["lfs"] = {"oid": hashlib.sha256(raw).hexdigest(), "size": len(raw), "pointerSize": 130}
            tree.append(entry)
        return tree

    def _send(self, status: int, raw: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if body:
            self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def hub(saved: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    server = StandIn(saved)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


NAME = HubName("owner/tiny")


def test_a_model_is_looked_up_then_fetched(hub: StandIn, saved: Path, tmp_path: Path) -> None:
    found = look_up(NAME, offline=False, endpoint=hub.address, cache=tmp_path)
    assert (found.commit, found.parameters, found.licence, found.reached) == (COMMIT, 1234, "apache-2.0", True)
    assert not any("safetensors" in path for path in hub.asked if "/resolve/" in path)  # a look costs no weights
    assert folders.read_config(found.folder)["model_type"] == "llama"
    folder = download(found, endpoint=hub.address, cache=tmp_path)
    assert (folder / "model.safetensors").read_bytes() == (saved / "model.safetensors").read_bytes()
    assert found.hashes["model.safetensors"] == folders.file_sha256(folder / "model.safetensors")
    assert not any(".bin" in path for path in hub.asked)  # pickles are never fetched


def test_a_copy_serves_when_the_hub_is_gone(hub: StandIn, tmp_path: Path) -> None:
    download(look_up(NAME, offline=False, endpoint=hub.address, cache=tmp_path), endpoint=hub.address, cache=tmp_path)
    hub.status = 503
    again = look_up(NAME, offline=False, endpoint=hub.address, cache=tmp_path)
    assert not again.reached
    assert (download(again) / "model.safetensors").is_file()
    hub.asked.clear()
    assert look_up(NAME, offline=True, cache=tmp_path).folder == again.folder
    assert not hub.asked


@pytest.mark.parametrize(
    ("status", "code", "key"),
    [
        (404, "RepoNotFound", "hub_not_found"),
        (401, "RepoNotFound", "hub_not_found"),
        (403, "GatedRepo", "hub_gated"),
        (403, "", "hub_token"),
        (500, "", "hub_unreachable"),
        (503, "", "hub_unreachable"),
        (429, "", "hub_unreachable"),
    ],
)
def test_refusals_of_the_hub(status: int, code: str, key: str, hub: StandIn, tmp_path: Path) -> None:
    hub.status, hub.error_code = status, code
    began = time.monotonic()
    with pytest.raises(ModelError) as caught:
        look_up(NAME, offline=False, endpoint=hub.address, cache=tmp_path)
    assert caught.value.key == f"error.model.{key}"
    assert all("owner/tiny" in caught.value.message(language) for language in LANGUAGES)
    assert time.monotonic() - began < 10


def test_a_revision_that_is_none(hub: StandIn, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        look_up(HubName("owner/tiny", "v9"), offline=False, endpoint=hub.address, cache=tmp_path)
    assert caught.value.key == "error.model.hub_revision"
    assert "v9" in caught.value.message()


def test_no_network_is_told_in_seconds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with socket.socket() as free:  # a port at which nobody listens
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(ModelError) as caught:
        look_up(NAME, offline=False, endpoint=f"http://127.0.0.1:{port}", cache=tmp_path)
    assert caught.value.key == "error.model.hub_unreachable"
    assert time.monotonic() - began < 10


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ModelError) as caught:
        look_up(NAME, offline=False, endpoint="http://hub.invalid", cache=tmp_path)
    assert caught.value.key == "error.model.hub_unreachable"


def test_access_that_ends_before_the_weights_are_fetched(hub: StandIn, tmp_path: Path) -> None:
    found = look_up(NAME, offline=False, endpoint=hub.address, cache=tmp_path)
    hub.status = 403
    with pytest.raises(ModelError) as caught:
        download(found, endpoint=hub.address, cache=tmp_path)
    assert caught.value.key in ("error.model.hub_token", "error.model.hub_unreachable")
    with pytest.raises(ModelError):  # small files alone are no copy of the model
        look_up(NAME, offline=True, cache=tmp_path)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("owner/name", HubName("owner/name")),
        ("owner/name@v1.0", HubName("owner/name", "v1.0")),
        ("owner/name@refs/pr/1", HubName("owner/name", "refs/pr/1")),
        ("owner.x/na_me-1.5B", HubName("owner.x/na_me-1.5B")),
    ],
)
def test_hub_names(source: str, name: HubName) -> None:
    assert parse_hub_name(source) == name


@pytest.mark.parametrize(
    "source",
    ["", "/", "a", "a/b/c", "a/", "/b", "a/b@", "a/b@../c", "a/b@/c", "a/..", "../b", "a /b", "a/😀", "a\\b/c"],
)
def test_what_is_no_hub_name(source: str) -> None:
    assert parse_hub_name(source) is None
