"""An export on the Hugging Face Hub: asked about first, uploaded file by file, and visible all at once.

The token goes with each request and is kept nowhere. Files are read through an object of ours, so that what was sent is
told and can be stopped; the library then takes its plain HTTPS transfer instead of its Xet client, whose progress is
no public interface. What the storage has of an earlier push is not sent again: the unit is a file.
"""

import io
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DatasetInfo, HfApi, ModelInfo
from huggingface_hub.errors import (
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from pydantic import BaseModel

from studio import __version__
from studio.errors import ExportError, InputError, Stopped, StudioError
from studio.models.hub import parse_hub_name

RepoType = Literal["model", "dataset"]
Tell = Callable[[float], None]
Stopping = Callable[[], bool]

CARD = "README.md"
# The Hub writes it into every new repository.
_ATTRIBUTES = ".gitattributes"
_AGENT = f"finetuning-studio/{__version__}"
_TOKEN = re.compile(r"[\x21-\x7e]{8,4096}")
# Of the time a file takes, so much goes into its hash; of the whole push, so much is over when all files are sent.
_HASHING, _SENDING = 0.1, 0.95
_REASON_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Place:
    """The repository that is asked for. `replace`: what is in it may go."""

    repo: str
    private: bool = True
    replace: bool = False
    repo_type: RepoType = "model"


@dataclass(frozen=True, slots=True)
class Remote:
    """What the Hub says before anything is sent. `account`: whose token it is. `commit`: None where there is no such
    repository yet. `files`: what is in it."""

    account: str
    commit: str | None
    files: tuple[str, ...]


class Published(BaseModel, frozen=True, extra="forbid"):
    """An export as it is on the Hub. `bytes` are those of its files, `time` is in seconds since 1970."""

    repo: str
    repo_type: RepoType
    private: bool
    url: str
    commit: str
    files: int
    bytes: int
    time: float


def files_of(folder: Path) -> dict[str, Path]:
    """All files below a folder, by the names they get. Raises InputError where it is not fit to be published: no card,
    a link (which may lead anywhere), a name that the Hub keeps for itself."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise InputError("error.hub.link", folder=str(folder), name=name)
        if path.is_file():
            found[name] = path
    for name, path in found.items():
        try:
            CommitOperationAdd(name, path)
        except ValueError:
            raise InputError("error.hub.file_name", folder=str(folder), name=name) from None
    if CARD not in found:
        raise InputError("error.hub.no_card", folder=str(folder))
    return found


def check_name(repo: str) -> None:
    """Raises InputError where this is no `owner/name`."""
    name = parse_hub_name(repo)
    if name is None or name.revision:
        raise InputError("error.hub.name", repo=repo)


def look(place: Place, token: str, *, endpoint: str | None = None) -> Remote:
    """Ask the Hub whether this token may write there and what is there. Raises StudioError where it would not do."""
    check_name(place.repo)
    if not _TOKEN.fullmatch(token):  # the library would quote it in an error
        raise InputError("error.hub.token_form")
    api = _api(token, endpoint)
    with _told(place, token):
        who = api.whoami()
        _check_rights(place, who)
        try:
            info = _info(api, place)
        except RepositoryNotFoundError:
            return Remote(str(who["name"]), None, ())
    if info.id.lower() != place.repo.lower():
        raise InputError("error.hub.renamed", repo=place.repo, now=info.id)
    if bool(info.private) != place.private:
        raise InputError("error.hub.is_public" if place.private else "error.hub.is_private", repo=place.repo)
    files = tuple(sorted(s.rfilename for s in info.siblings or () if s.rfilename != _ATTRIBUTES))
    if files and not place.replace:
        raise InputError("error.hub.exists", repo=place.repo, files=len(files))
    return Remote(str(who["name"]), info.sha, files)


def push(
    folder: Path,
    place: Place,
    token: str,
    found: Remote,
    *,
    tell: Tell | None = None,
    stopping: Stopping | None = None,
    endpoint: str | None = None,
) -> Published:
    """Upload a folder into the repository as `look` found it, and show it there by one commit, which takes away what
    was there before. Returns when the Hub lists the same files.

    Raises StudioError, and Stopped soon after `stopping` says so; nothing of it is visible then, and another push goes
    on with the files that are missing.
    """
    files = files_of(folder)
    upload = _Upload(files, tell, stopping)
    api = _api(token, endpoint)
    added: list[CommitOperationAdd] = []
    with _told(place, token, upload), ExitStack() as stack:
        parent = found.commit or _create(api, place)
        for name, path in files.items():
            file = stack.enter_context(_Watched(path, upload.read))
            one = CommitOperationAdd(name, file)
            upload.hashed(one.upload_info.size)
            api.preupload_lfs_files(place.repo, [one], repo_type=place.repo_type, num_threads=1)
            # It forgets the content of what it sent; small files go with the commit.
            upload.arrived(one.upload_info.size, kept=one.path_or_fileobj == b"")
            added.append(one)
        upload.committing = True
        gone = [CommitOperationDelete(name) for name in found.files if name not in files]
        made = api.create_commit(
            place.repo,
            [*added, *gone],
            commit_message="Upload from Fine-Tuning Studio",
            repo_type=place.repo_type,
            parent_commit=parent,
        )
        _check_result(api, place, made.oid, added)
    if tell:
        tell(1.0)
    return Published(
        repo=place.repo,
        repo_type=place.repo_type,
        private=place.private,
        url=str(made.repo_url),
        commit=made.oid,
        files=len(files),
        bytes=upload.total,
        time=time.time(),
    )


class _Upload:
    """How far an upload is. Each file is read twice: for its hash, and to be sent."""

    def __init__(self, files: dict[str, Path], tell: Tell | None, stopping: Stopping | None) -> None:
        self.total = sum(path.stat().st_size for path in files.values())
        self.kept = 0
        self._over = 0
        self.committing = False
        self._tell, self._stopping = tell, stopping
        self._begin, self._step = 0.0, _HASHING

    def read(self, place: int) -> None:
        """The file at hand was read up to here. Raises Stopped when it is time; a commit cannot be taken back."""
        if self.committing:
            return
        self.check()
        if self._tell and self.total:
            self._tell(_SENDING * (self._over + self._begin + self._step * place) / self.total)

    def hashed(self, size: int) -> None:
        """The file at hand is next to be sent."""
        self._begin, self._step = _HASHING * size, 1 - _HASHING

    def arrived(self, size: int, *, kept: bool) -> None:
        """The file at hand is done. `kept`: the Hub has it, and need not be sent it again."""
        self._over += size
        self.kept += size if kept else 0
        self._begin, self._step = 0.0, _HASHING
        self.read(0)

    def check(self) -> None:
        if self._stopping and self._stopping():
            raise Stopped("error.stopped")


class _Watched(io.BufferedReader):
    """A file that tells how far it was read; who is told may stop the reader by an error."""

    def __init__(self, path: Path, told: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path))
        self._told = told

    def read(self, size: int | None = -1, /) -> bytes:
        read = super().read(size)
        self._told(self.tell())
        return read


def _api(token: str, endpoint: str | None) -> HfApi:
    """A client that names the studio and nothing of this machine."""
    return HfApi(endpoint=endpoint, token=token, headers={"user-agent": _AGENT})


def _info(api: HfApi, place: Place, commit: str | None = None) -> ModelInfo | DatasetInfo:
    ask = api.dataset_info if place.repo_type == "dataset" else api.model_info
    return ask(place.repo, revision=commit, files_metadata=commit is not None)


def _check_rights(place: Place, who: dict[str, Any]) -> None:
    """What the account can tell: whether the token may write at all, and whose repositories. Of fine-grained tokens the
    Hub judges itself, before anything is sent."""
    key = who.get("auth", {}).get("accessToken", {})
    if key.get("role") == "read":
        raise InputError("error.hub.token_reads", account=who["name"])
    owners = [who["name"], *(org["name"] for org in who.get("orgs", ()) if org.get("roleInOrg") != "read")]
    owner = place.repo.partition("/")[0]
    if owner.lower() not in {name.lower() for name in owners}:
        raise InputError("error.hub.not_yours", owner=owner, account=who["name"], owners=", ".join(owners))


def _create(api: HfApi, place: Place) -> str:
    """A new repository, empty; returns its first commit. Raises InputError where the Hub does not make it as asked: an
    organisation may have rules of its own."""
    api.create_repo(place.repo, private=place.private, repo_type=place.repo_type)
    info = _info(api, place)
    if bool(info.private) != place.private:
        raise InputError("error.hub.is_public" if place.private else "error.hub.is_private", repo=place.repo)
    return str(info.sha)


def _check_result(api: HfApi, place: Place, commit: str, added: list[CommitOperationAdd]) -> None:
    """Raises ExportError unless the repository shows the files that were sent, and no others."""
    info = _info(api, place, commit)
    shown = {s.rfilename: (s.size, s.lfs.sha256 if s.lfs else None) for s in info.siblings or ()}
    shown.pop(_ATTRIBUTES, None)
    wrong = {name for name in shown if name not in {one.path_in_repo for one in added}}
    for one in added:
        size, digest = shown.get(one.path_in_repo, (None, None))
        if size != one.upload_info.size or digest not in (None, one.upload_info.sha256.hex()):
            wrong.add(one.path_in_repo)
    if wrong:
        raise ExportError("error.hub.not_equal", repo=place.repo, files=", ".join(sorted(wrong)))


# What can go wrong

# What the library raises where a request fails; its own ValueError and RuntimeError stand for answers of the Hub that
# it could not use, and for uploads that failed.
_FAILURES = (HfHubHTTPError, httpx2.TransportError, OfflineModeIsEnabled, RuntimeError, ValueError)


@contextmanager
def _told(place: Place, token: str, upload: _Upload | None = None) -> Iterator[None]:
    """What the library raises, as a StudioError. `from None`: a request and its headers hang on the library's."""
    try:
        yield
    except StudioError:
        raise
    except _FAILURES as error:
        raise _studio_error(_cause(error), place, token, upload) from None
    except FileNotFoundError as error:
        raise InputError("error.hub.gone", file=str(error.filename)) from None


def _cause(error: BaseException) -> BaseException:
    """The failed request, or the wish to stop, of which the library made an error of its own."""
    known = (StudioError, HfHubHTTPError, httpx2.TransportError, OfflineModeIsEnabled)
    one: BaseException | None = error
    while one is not None and not isinstance(one, known):
        one = one.__cause__
    return one or error


def _studio_error(error: BaseException, place: Place, token: str, upload: _Upload | None) -> StudioError:
    if isinstance(error, StudioError):
        return error
    response = error.response if isinstance(error, HfHubHTTPError) else None
    status = response.status_code if response is not None else 0
    said = response.headers.get("X-Error-Message", "") if response is not None else ""
    reason = _short(said or (f"HTTP {status}" if status else f"{type(error).__name__}: {error}"), token)
    if status == 401 and "expired" in said.lower():
        return InputError("error.hub.token_expired")
    if status == 401:
        return InputError("error.hub.token_wrong")
    if status == 403:
        return InputError("error.hub.no_right", repo=place.repo, reason=reason)
    if status in (409, 412):
        return InputError("error.hub.changed", repo=place.repo)
    if status == 404 and upload:
        return InputError("error.hub.changed", repo=place.repo)
    if 400 <= status < 500 and status not in (408, 429):
        return ExportError("error.hub.refused", repo=place.repo, reason=reason)
    if isinstance(error, (RuntimeError, ValueError)) and not isinstance(error, OfflineModeIsEnabled):
        return ExportError("error.hub.refused", repo=place.repo, reason=reason)
    if upload is None:
        return ExportError("error.hub.unreachable", repo=place.repo, reason=reason)
    key = "error.hub.unsure" if upload.committing else "error.hub.broken"
    return ExportError(key, repo=place.repo, reason=reason, sent=_mb(upload.kept), total=_mb(upload.total))


def _short(text: str, token: str) -> str:
    return " ".join(text.replace(token, "…").split())[:_REASON_CHARACTERS]


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f}"
