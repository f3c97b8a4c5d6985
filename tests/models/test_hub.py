"""The Hub, played by a server in this process: every way it can fail is told, and told soon."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from studio.errors import ModelError
from studio.messages import LANGUAGES
from studio.models import folder as folders
from studio.models.hub import HubName, download, look_up, parse_hub_name
from tests.hub_server import COMMIT, StandIn, running
from tests.tiny import save_tiny


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def hub(saved: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with running(StandIn(saved)) as server:
        yield server


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
    hub.requests.clear()
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
