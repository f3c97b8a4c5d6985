"""The Hub as far as the studio talks to it, played by a server in this process: what it has, what it was asked, and
every way in which it can fail."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TINY = "owner/tiny"
TOKEN = "hf_aSecretOfTheOwner0123456789"
Server = TypeVar("Server", bound=ThreadingHTTPServer)
_BIG = 10_000
_LARGE = (".safetensors", ".bin", ".gguf", ".parquet")


def large(name: str, raw: bytes) -> bool:
    """Whether a file goes to the storage of large files."""
    return name.endswith(_LARGE) or len(raw) > _BIG


@dataclass
class Repository:
    """`commits`, newest last: an id and all files as they are then."""

    private: bool
    commits: list[tuple[str, dict[str, bytes]]]

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1][1]

    @property
    def head(self) -> str:
        return self.commits[-1][0]


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Fault:
    """The requests that `of` picks fail, `times` of them: with a `status` (and the Hub's words), or, without one, by a
    connection that breaks, or falls silent for `silent` seconds, once `after` bytes of the body came."""

    of: Callable[[str, str], bool]
    status: int | None = None
    message: str = ""
    after: int = 0
    silent: float = 0
    times: int = 1_000


class StandIn(ThreadingHTTPServer):
    """A Hub with one model, `owner/tiny`, made of a folder's files, and an account, `owner`, that may write. `status`
    answers every question with an error instead; `asked` are the paths that were asked for. `storage`: large files by
    their SHA-256, `received`: the bytes of each that came. `part_bytes`: larger ones are to come in parts."""

    daemon_threads = True

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()} if folder else {}
        self.files["pytorch_model.bin"] = b"a pickle nobody should fetch"
        self.status: int | None = None
        self.error_code = ""
        self.requests: list[Asked] = []
        self.faults: list[Fault] = []
        self.accounts: dict[str, dict[str, Any]] = {TOKEN: account("owner")}
        self.repositories = {("model", TINY): Repository(False, [(COMMIT, self.files)])}
        self.storage: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.received: dict[str, int] = {}
        self.part_bytes: int | None = None
        self.forced_private: bool | None = None
        self.ignored: set[str] = set()
        self.renamed: dict[str, str] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def asked(self) -> list[str]:
        return [one.path for one in self.requests]

    def fault(self, method: str, path: str) -> Fault | None:
        for one in self.faults:
            if one.times and one.of(method, path):
                one.times -= 1
                return one
        return None


def account(name: str, role: str = "write", orgs: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
    """What the Hub tells of a token: whose it is, what it may, and the organisations with the part played in them."""
    return {
        "type": "user", "name": name, "orgs": [{"type": "org", "name": org, "roleInOrg": part} for org, part in orgs],
        "auth": {"type": "access_token", "accessToken": {"displayName": "studio", "role": role}},
    }  # fmt: skip


@contextmanager
def running(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Broken(Exception):
    """The connection is to break here."""


class Replies(BaseHTTPRequestHandler):
    """How the Hub writes its answers."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece: two of them wait for each other

    def reply_json(self, value: object) -> None:
        self.reply(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def reply(self, status: int, raw: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class _Handler(Replies):
    server: StandIn  # type: ignore[assignment]

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.server
        hub.requests.append(Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        fault = hub.fault(self.command, self.path)
        try:
            body = self._body(fault)
        except _Broken:
            self.close_connection = True
            return
        if hub.status is not None:
            return self.reply(hub.status, b"{}", {"X-Error-Code": hub.error_code})
        if fault is not None and fault.status is not None:
            return self.reply(fault.status, b"{}", {"X-Error-Message": fault.message})
        split = urlsplit(self.path)
        try:
            self._route(unquote(split.path), split.query, body)
        except BrokenPipeError:
            self.close_connection = True

    def _body(self, fault: Fault | None) -> bytes:
        left = int(self.headers.get("Content-Length") or 0)
        if fault is None or fault.status is not None:
            return self.rfile.read(left)
        self.rfile.read(min(left, fault.after))
        time.sleep(fault.silent)
        raise _Broken

    def _route(self, path: str, query: str, body: bytes) -> None:
        if path == "/api/whoami-v2":
            return self._who()
        if path == "/api/validate-yaml":
            return self.reply_json({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path.startswith("/storage/"):
            return self._store(path.removeprefix("/storage/"), query, body)
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        for kind in ("model", "dataset"):
            if path.startswith(f"/api/{kind}s/"):
                return self._api(kind, path.removeprefix(f"/api/{kind}s/"), body)
        return self._file(path)

    # Asking

    def _who(self) -> None:
        who = self._account()
        if who is None:
            return self.reply(401, b"{}", {"X-Error-Message": "Invalid credentials in Authorization header"})
        return self.reply_json(who)

    def _account(self) -> dict[str, Any] | None:
        return self.server.accounts.get((self.headers.get("authorization") or "").removeprefix("Bearer "))

    def _api(self, kind: str, path: str, body: bytes) -> None:
        owner, name, *rest = path.split("/")
        id_ = f"{owner}/{name}"
        repository = self.server.repositories.get((kind, id_))
        if repository is None or (repository.private and self._account() is None):
            return self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        if rest and rest[0] == "preupload":
            return self._preupload(repository, json.loads(body))
        if rest and rest[0] == "commit":
            return self._commit(kind, id_, repository, body)
        revision = rest[1] if len(rest) > 1 else "main"
        known = {"main": repository.files, **dict(repository.commits)}
        if revision not in known:
            return self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        files = known[revision]
        if rest and rest[0] == "tree":
            return self.reply_json([_entry(n, raw, "path") for n, raw in files.items()])
        commit = repository.head if revision == "main" else revision
        return self.reply_json(
            {
                "id": self.server.renamed.get(id_, id_), "modelId": id_, "sha": commit, "tags": [],
                "private": repository.private,
                "siblings": [_entry(n, raw, "rfilename") for n, raw in files.items()],
                "cardData": {"license": "apache-2.0"}, "safetensors": {"parameters": {"F32": 1234}, "total": 1234},
            }
        )  # fmt: skip

    def _file(self, path: str) -> None:
        name = path.rpartition("/")[2]
        if path == f"/{TINY}/resolve/{COMMIT}/{name}" and name in self.server.files:
            raw = self.server.files[name]
            return self.reply(200, raw, {"ETag": f'"{hashlib.sha256(raw).hexdigest()}"', "X-Repo-Commit": COMMIT})
        return self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    # Writing

    def _create(self, asked: dict[str, Any]) -> None:
        who = self._account()
        owner = asked.get("organization") or (who or {}).get("name")
        key = (asked.get("type") or "model", f"{owner}/{asked['name']}")
        if who is None:
            return self.reply(401, b"{}", {"X-Error-Message": "Invalid credentials in Authorization header"})
        if key in self.server.repositories:
            return self.reply(409, b"{}", {"X-Error-Message": "You already created this repo"})
        private = asked["visibility"] == "private" if self.server.forced_private is None else self.server.forced_private
        commit = secrets.token_hex(20)
        self.server.repositories[key] = Repository(private, [(commit, {".gitattributes": b"*.bin filter=lfs\n"})])
        prefix = "datasets/" if key[0] == "dataset" else ""
        return self.reply_json({"url": f"{self.server.address}/{prefix}{key[1]}"})

    def _preupload(self, repository: Repository, asked: dict[str, Any]) -> None:
        files = []
        for one in asked["files"]:
            raw = repository.files.get(one["path"])
            is_large = one["path"].endswith(_LARGE) or one["size"] > _BIG
            oid = None if raw is None else (_sha256(raw) if is_large else _git_hash(raw))
            mode, ignore = "lfs" if is_large else "regular", one["path"] in self.server.ignored
            files.append({"path": one["path"], "uploadMode": mode, "shouldIgnore": ignore, "oid": oid})
        return self.reply_json({"files": files})

    def _batch(self, asked: dict[str, Any]) -> None:
        if self._account() is None:
            return self.reply(401, b"{}", {})
        objects: list[dict[str, Any]] = []
        for one in asked["objects"]:
            oid, size = one["oid"], one["size"]
            if oid in self.server.storage:
                objects.append(one)
                continue
            href, part = f"{self.server.address}/storage/{oid}", self.server.part_bytes
            upload: dict[str, Any] = {"href": href}
            if part and size > part:
                upload["header"] = {"chunk_size": str(part)}
                upload["header"] |= {str(i + 1): f"{href}?part={i + 1}" for i in range(-(-size // part))}
            objects.append({**one, "actions": {"upload": upload}})
        return self.reply_json({"transfer": "basic", "objects": objects})

    def _store(self, oid: str, query: str, body: bytes) -> None:
        """A large file, or a part of it; what does not have the hash it is to have is refused."""
        hub = self.server
        if self.command == "PUT":
            hub.received[oid] = hub.received.get(oid, 0) + len(body)
        if query:
            number = int(query.removeprefix("part="))
            hub.parts.setdefault(oid, {})[number] = body
            return self.reply(200, b"", {"ETag": f'"{number}"'})
        if self.command == "POST":
            body = b"".join(raw for _, raw in sorted(hub.parts.pop(oid).items()))
        if _sha256(body) != oid:
            return self.reply(422, b"{}", {"X-Error-Message": "not the content that was told"})
        hub.storage[oid] = body
        return self.reply(200, b"{}", {})

    def _commit(self, kind: str, id_: str, repository: Repository, body: bytes) -> None:
        if self._account() is None:
            return self.reply(401, b"{}", {})
        header, *lines = [json.loads(line) for line in body.splitlines()]
        if header["value"].get("parentCommit") not in (None, repository.head):
            return self.reply(412, b"{}", {"X-Error-Message": "A commit has happened since"})
        files = dict(repository.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "deletedFile":
                del files[value["path"]]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                files[value["path"]] = self.server.storage[value["oid"]]
        commit = secrets.token_hex(20)
        repository.commits.append((commit, files))
        prefix = "datasets/" if kind == "dataset" else ""
        url = f"{self.server.address}/{prefix}{id_}/commit/{commit}"
        return self.reply_json({"commitUrl": url, "commitOid": commit, "success": True})


def _entry(name: str, raw: bytes, key: str) -> dict[str, Any]:
    entry: dict[str, Any] = {key: name, "type": "file", "size": len(raw), "blobId": "b", "oid": "b"}
    if large(name, raw):
        digest = _sha256(raw)
        entry["lfs"] = {"sha256": digest, "oid": digest, "size": len(raw), "pointerSize": 130}
    return entry


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _git_hash(raw: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(raw) + raw).hexdigest()
