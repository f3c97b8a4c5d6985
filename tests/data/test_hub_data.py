"""Hub data sets, from folders of this machine and from a stand-in for the Hub: no network."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studio.data.hub_data import (
    HubDataset,
    HubParts,
    list_hub,
    list_parts,
    look_up,
    parse_dataset_name,
    read_dataset,
    read_hub,
)
from studio.data.tables import Table
from studio.errors import DataError
from studio.messages import LANGUAGES
from tests.hub_server import COMMIT, Replies, running

NAME = HubDataset("owner/tiny")
CARD = """---
configs:
- config_name: ja
  data_files: [{split: train, path: ja/train.parquet}, {split: dev, path: ja/dev.parquet}]
- config_name: en
  data_files: [{split: train, path: en/train.parquet}]
---
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hub") / "tiny"
    for config, text in (("ja", "空の色は？"), ("en", "What colour is the sky?")):
        (made / config).mkdir(parents=True)
        rows = {"q": [text, "b", "c"], "turns": [[{"role": "user"}], None, []], "n": [1, 2, None]}
        pq.write_table(pa.table(rows), made / config / "train.parquet")
    pq.write_table(pa.table({"q": ["x", "y"]}), made / "ja" / "dev.parquet")
    (made / "README.md").write_text(CARD)
    return made


def test_a_folder_like_those_of_the_hub(folder: Path, tmp_path: Path) -> None:
    asked = HubDataset("owner/tiny", config="ja")
    source, found = read_dataset(str(folder), asked, None, tmp_path / "table", max_bytes=10**8)
    assert (found.config, found.split, source.kind, source.rows) == ("ja", "train", "Hub", 3)
    assert [dict(row.values) for row in Table(tmp_path / "table").read()] == [
        {"q": "空の色は？", "turns": [{"role": "user"}], "n": 1},
        {"q": "b", "turns": None, "n": 2},
        {"q": "c", "turns": [], "n": None},
    ]
    asked = HubDataset("owner/tiny", config="ja", split="dev")
    source, _ = read_dataset(str(folder), asked, None, tmp_path / "table", max_bytes=10**8, rows=1)
    assert (source.rows, [n.key for n in source.notes]) == (1, ["notice.data.first_rows"])


@pytest.mark.parametrize(
    ("asked", "key", "shown"),
    [
        (HubDataset("owner/tiny"), "error.hub_data.config", "ja, en"),
        (HubDataset("owner/tiny", config="de"), "error.hub_data.config", "“de”"),
        (HubDataset("owner/tiny", config="ja", split="test"), "error.hub_data.split", "train, dev"),
    ],
)
def test_what_is_not_there(folder: Path, tmp_path: Path, asked: HubDataset, key: str, shown: str) -> None:
    with pytest.raises(DataError) as caught:
        read_dataset(str(folder), asked, None, tmp_path / "table", max_bytes=10**8)
    assert caught.value.key == key
    assert shown in caught.value.message("en")
    with pytest.raises(DataError, match="0 MB"):
        read_dataset(str(folder), HubDataset("o/t", config="ja"), None, tmp_path / "table", max_bytes=10)
    assert list(tmp_path.iterdir()) == []


def test_what_it_is_divided_into(folder: Path) -> None:
    assert list_parts(str(folder), NAME, None) == HubParts(("ja", "en"), "ja", ("train", "dev"), "train")
    english = list_parts(str(folder), HubDataset("owner/tiny", config="en", split="dev"), None)
    assert (english.config, english.splits, english.split) == ("en", ("train",), "train")
    with pytest.raises(DataError, match="ja, en"):
        list_parts(str(folder), HubDataset("owner/tiny", config="de"), None)
    with pytest.raises(DataError, match="owner/tiny"):
        list_hub(NAME, offline=True)


@pytest.mark.parametrize(
    ("text", "name", "revision"),
    [
        ("owner/tiny", "owner/tiny", None),
        (" https://huggingface.co/datasets/owner/tiny/ ", "owner/tiny", None),
        ("owner/tiny@refs/convert/parquet", "owner/tiny", "refs/convert/parquet"),
    ],
)
def test_names(text: str, name: str, revision: str | None) -> None:
    assert parse_dataset_name(text) == HubDataset(name, revision)


@pytest.mark.parametrize("text", ["", "csv", "../x", "a/b/c", "/etc/passwd", "owner/..", "owner/x@../../y", "a b/c"])
def test_no_names(text: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_dataset_name(text)
    assert caught.value.key == "error.hub_data.name"


class StandIn(ThreadingHTTPServer):
    """A Hub with one data set; `status` answers every question with an error instead."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        self.status: int | None = None
        self.error_code = ""
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(Replies):
    server: StandIn  # type: ignore[assignment]

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, sent: bytes = b"") -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        if self.server.status is not None:
            return self.reply(self.server.status, b"{}", {"X-Error-Code": self.server.error_code})
        path = self.path.partition("?")[0]
        base = "/api/datasets/owner/tiny"
        if path in (base, f"{base}/revision/main", f"{base}/revision/{COMMIT}"):
            siblings = [{"rfilename": name} for name in self.server.files]
            info = {"id": "owner/tiny", "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}
            return self.reply_json(info)
        if path.startswith(f"{base}/tree/{COMMIT}"):
            return self.reply_json(
                self._tree(path.removeprefix(f"{base}/tree/{COMMIT}").strip("/"), "recursive=T" in self.path)
            )
        if path.startswith(f"{base}/paths-info/"):
            paths = json.loads(sent)["paths"]
            return self.reply_json([item for item in self._tree("", True) if item["path"] in paths])
        name = path.removeprefix(f"/datasets/owner/tiny/resolve/{COMMIT}/")
        name = name.removeprefix("/datasets/owner/tiny/resolve/main/")
        if name in self.server.files:
            raw, status, headers = self.server.files[name], 200, {"ETag": '"e"', "X-Repo-Commit": COMMIT}
            span = self.headers.get("Range")
            if span:
                first, _, last = span.removeprefix("bytes=").partition("-")
                end = min(int(last or len(raw)), len(raw) - 1)
                headers["Content-Range"] = f"bytes {first}-{end}/{len(raw)}"
                raw, status = raw[int(first) : end + 1], 206
            return self.reply(status, raw, headers)
        return self.reply(404, b"{}", {"X-Error-Code": "EntryNotFound" if "/resolve/" in path else "RepoNotFound"})

    def _tree(self, under: str, recursive: bool) -> list[dict[str, Any]]:
        files = {n: raw for n, raw in self.server.files.items() if n.startswith(f"{under}/" if under else "")}
        folders = {n.rpartition("/")[0] for n in files if "/" in n} - {under}
        items: list[dict[str, Any]] = [{"type": "directory", "path": f, "oid": "d", "size": 0} for f in folders]
        items += [{"type": "file", "path": n, "oid": "b", "size": len(raw)} for n, raw in files.items()]
        return items if recursive else [i for i in items if "/" not in i["path"].removeprefix(under).strip("/")]


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with running(StandIn(folder)) as server:
        yield server


def refused(key: str, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        look_up(options.pop("dataset", NAME), **{"offline": False, **options})
    assert caught.value.key == key
    for language in LANGUAGES:
        assert "owner/tiny" in caught.value.message(language)
    return str(caught.value)


def test_the_hub_is_asked_once(hub: StandIn) -> None:
    assert look_up(NAME, offline=False, endpoint=hub.address) == COMMIT
    assert len(hub.asked) == 1


def test_code_is_never_run(hub: StandIn, tmp_path: Path) -> None:
    hub.files = {"tiny.py": b"raise SystemExit", "README.md": b""}
    told = refused("error.hub_data.code", endpoint=hub.address)
    assert "tiny.py" in told
    assert "refs/convert/parquet" in told
    assert len(hub.asked) == 1


@pytest.mark.parametrize(
    ("status", "code", "key"),
    [
        (404, "RepoNotFound", "error.hub_data.not_found"),
        (401, "RepoNotFound", "error.hub_data.not_found"),
        (404, "RevisionNotFound", "error.hub_data.revision"),
        (403, "GatedRepo", "error.hub_data.gated"),
        (403, "", "error.hub_data.token"),
        (500, "", "error.hub_data.unreachable"),
    ],
)
def test_every_refusal_is_told(hub: StandIn, status: int, code: str, key: str) -> None:
    hub.status, hub.error_code = status, code
    refused(key, endpoint=hub.address)


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused("error.hub_data.offline", offline=True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    refused("error.hub_data.unreachable", endpoint=closed)
    with pytest.raises(DataError, match="HF_HUB_OFFLINE"):
        read_hub(NAME, tmp_path / "table", offline=True, max_bytes=1)


PROGRAM = """
import sys, json
from pathlib import Path
from studio.data.hub_data import HubDataset, read_hub
from studio.data.tables import Table
target = Path(sys.argv[1])
source, found = read_hub(HubDataset("owner/tiny", config="ja"), target, offline=False, max_bytes=10**8)
rows = [row.values["q"] for row in Table(target).read()]
print(json.dumps([rows, found.revision, found.config, found.split]))
"""


def test_streamed_from_the_hub(hub: StandIn, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "table")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:] + "\n".join(hub.asked)
    assert json.loads(done.stdout.splitlines()[-1]) == [["空の色は？", "b", "c"], COMMIT, "ja", "train"]
