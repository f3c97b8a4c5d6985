"""The site: languages, what it lets out, and that it opens without torch."""

import errno
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from starlette.testclient import TestClient

from studio.backend.studio import Studio
from studio.errors import InputError
from studio.messages import LANGUAGES, translate
from studio.settings import Settings
from studio.ui import app
from studio.ui.app import LANGUAGE_COOKIE, build_app, create_server, listen, preferred_language

OWN = "http://127.0.0.1:7860"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("workspace")
    with Studio(replace(Settings(workspace=folder), max_upload_bytes=1_000), worker=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(studio: Studio) -> Iterator[TestClient]:
    with TestClient(create_server(studio), base_url=OWN, follow_redirects=False) as opened:
        yield opened


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("ja", "ja"),
        ("ja-JP,ja;q=0.9,en;q=0.8", "ja"),
        ("en-GB,en;q=0.9,ja;q=0.8", "en"),
        ("fr,ja;q=0.3", "ja"),
        ("de-DE, fr;q=0.5", "en"),
        ("ja;q=0,en;q=0.1", "en"),
        ("ja;q=broken", "en"),
    ],
)
def test_the_browsers_first_language_is_taken(accepted: str, language: str) -> None:
    assert preferred_language(accepted) == language


def test_no_page_is_built_while_another_one_answers(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """What handlers answer with would become part of it."""
    built: list[str] = []

    def build(studio: Studio, language: str) -> gr.Blocks:
        built.append(language)
        return build_app(studio, language)

    monkeypatch.setattr(app, "build_app", build)
    with TestClient(create_server(studio), base_url=OWN) as client:
        assert client.get("/ja/").status_code == 200
        assert sorted(built) == ["en", "ja"]
        assert client.get("/en/").status_code == 200
    assert len(built) == 2


def test_a_chosen_language_is_remembered_before_the_browsers(client: TestClient) -> None:
    assert client.get("/", headers={"accept-language": "ja"}).headers["location"] == "/ja/"
    switched = client.get("/language/en")
    assert switched.headers["location"] == "/en/"
    assert f"{LANGUAGE_COOKIE}=en" in switched.headers["set-cookie"]
    assert client.get("/", headers={"accept-language": "ja"}).headers["location"] == "/en/"
    assert client.get("/language/../../evil").status_code in (303, 404)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_its_page_with_seven_tabs(client: TestClient, language: str) -> None:
    config = client.get(f"/{language}/config").json()
    tabs = [item["props"] for item in config["components"] if item["type"] == "tabitem"]
    labels = [tab["label"] for tab in tabs if tab.get("elem_id", "").startswith("tab-")]
    names = ("start", "data", "train", "runs", "compare", "evaluate", "export")
    assert labels == [translate(f"ui.tab.{name}", language) for name in names]
    assert config["analytics_enabled"] is False


def test_our_words_in_gradios_pieces_are_readable(client: TestClient) -> None:
    assert translate("ui.data.drop", "ja") in client.get("/ja/").text


def test_only_exports_are_let_out(client: TestClient, studio: Studio) -> None:
    secret = studio.settings.workspace / "studio.db"
    for path in (secret, Path("/etc/passwd"), studio.settings.workspace / "exports" / ".." / "studio.db"):
        assert client.get(f"/en/gradio_api/file={path}").status_code in (403, 404)
    offered = studio.settings.workspace / "exports" / "adapter.zip"
    offered.write_bytes(b"zip")
    assert client.get(f"/en/gradio_api/file={offered}").content == b"zip"


def test_an_upload_beyond_the_limit_is_refused(client: TestClient) -> None:
    url = "/en/gradio_api/upload"
    assert client.post(url, files={"files": ("small.csv", b"a" * 500)}).status_code == 200
    assert client.post(url, files={"files": ("large.csv", b"a" * 5_000)}).status_code == 413
    foreign = {"origin": "http://evil.example"}
    assert client.post(url, files={"files": ("small.csv", b"a")}, headers=foreign).status_code == 403


def test_copies_of_uploads_are_gone_once_they_are_old_or_the_studio_closes(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    exported = studio.settings.workspace / "exports" / "kept.zip"
    exported.write_bytes(b"zip")
    with TestClient(create_server(studio), base_url=OWN) as opened:
        answer = opened.post("/en/gradio_api/upload", files={"files": ("mine.csv", b"question,answer")})
        copy = Path(answer.json()[0])
        assert copy.is_relative_to(tmp_path)
        assert copy.read_bytes() == b"question,answer"
    assert not copy.exists()
    assert exported.exists()
    frequency, age = build_app(studio, "en").delete_cache or (0, 0)
    assert 0 < frequency <= age
    assert age >= 12 * 3600  # the same upload can be read again with another encoding all day


def test_the_page_opens_without_torch() -> None:
    code = (
        "import sys, studio.ui.app, studio.backend.studio\n"
        "print(sorted({'torch', 'transformers', 'peft', 'trl', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_port_is_open_to_this_machine_only_and_answers_at_once() -> None:
    listener = listen(0)
    host, port = listener.getsockname()
    assert host == "127.0.0.1"
    assert listener.proto == socket.IPPROTO_TCP  # else asyncio lets each answer wait for the one before (40 ms)
    with pytest.raises(InputError, match=str(port)) as caught:
        listen(port)
    assert caught.value.key == "error.port.in_use"
    listener.close()


def test_a_port_that_the_system_keeps_is_not_told_as_one_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(self: socket.socket, address: tuple[str, int]) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")  # as of port 80, where one is not root

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(InputError, match=r"port 80 .*Permission denied"):
        listen(80)


def test_gradio_writes_no_editor_stubs() -> None:
    import gradio.component_meta

    assert gradio.component_meta.create_or_modify_pyi.__module__ == "studio.ui"


def test_what_follows_a_value_is_told_the_last_of_them(studio: Studio) -> None:
    """A handler that is busy with one change of a value hears of the next: Gradio drops that where the first trigger is
    another event, such as the loading of the page, and what is shown stays that of the value before."""
    dropping = [
        (function.name, function.targets)
        for function in build_app(studio, "en").fns.values()
        if function.fn and function.trigger_mode == "once"
        if any(event in ("change", "input") for _, event in function.targets)
    ]
    assert dropping == []


def test_handlers_that_wait_for_the_last_trigger_share_no_event(studio: Studio) -> None:
    """Gradio would have them keep each other going."""
    functions = build_app(studio, "en").fns.values()
    shared = Counter(target for function in functions for target in function.targets)
    waiting = [f for f in functions if f.trigger_mode == "always_last" and f.trigger_after is None]
    tangled = [f.name for f in waiting if not f.collects_event_data and any(shared[t] > 1 for t in f.targets)]
    assert waiting
    assert tangled == []


def test_a_handler_that_shows_no_progress_tells_none_to_what_it_fills(studio: Studio) -> None:
    """Or the page copies all of that whenever any handler begins or ends. What is told instead stands first, where the
    page looks first."""
    functions = [f for f in build_app(studio, "en").fns.values() if f.fn and f.show_progress == "hidden"]
    assert len(functions) > 100
    told = {block._id for function in functions for block in function.show_progress_on or function.outputs}
    assert len(told) == 1
    assert min(told) < min(block._id for function in functions for block in function.outputs)
