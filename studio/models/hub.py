"""Models of the Hugging Face Hub: one look at what is there, then the files, kept in the Hub's own cache.

Nothing here runs unless the user named a Hub model. One request decides: a Hub that cannot be reached is told within
seconds, not after the client's own retries.
"""

import logging
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, set_client_factory, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import disable_progress_bars, validate_repo_id
from huggingface_hub.utils._http import default_client_factory

from studio.errors import ModelError
from studio.models import folder as folders

SECONDS = 10.0
# Of silence, after which a connection counts as broken; the client itself would wait for ever.
SILENCE_SECONDS = 60.0
DEFAULT_REVISION = "main"
_SMALL = ("*.json", "*.txt", "*.model", "*.jinja", "README.md")
_WEIGHTS = ("*.safetensors",)
_REVISION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|[./](?![./]))*")


def _client() -> httpx2.Client:
    client = default_client_factory()
    client.timeout = httpx2.Timeout(SILENCE_SECONDS)
    return client


set_client_factory(_client)
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # the rest is told by the studio


@dataclass(frozen=True, slots=True)
class HubName:
    """`owner/name`, and the branch, tag or commit after an `@`."""

    name: str
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model of the Hub with its small files in `folder`; the weights may not be here yet.

    `files` are all names of the repository, None when the Hub was not asked (the folder is all there is).
    `hashes` are the SHA-256 of the weights that have one there.
    """

    name: HubName
    folder: Path
    commit: str
    files: tuple[str, ...] | None
    hashes: dict[str, str]
    parameters: int | None
    licence: str | None
    reached: bool


def parse_hub_name(source: str) -> HubName | None:
    """The Hub name in `source`, or None if it is none. Safe: no name that passes can leave a folder."""
    name, _, revision = source.partition("@")
    if name.count("/") != 1 or (revision and (len(revision) > 128 or not _REVISION.fullmatch(revision))):
        return None
    if source.endswith("@"):
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return HubName(name, revision or None)


def look_up(name: HubName, *, offline: bool, endpoint: str | None = None, cache: Path | None = None) -> HubModel:
    """What the Hub knows of a model, and its small files. Raises ModelError within seconds when that fails.

    Offline, or when the Hub cannot be reached, a copy in the Hub's cache is used (`reached` is False then).
    """
    if offline:
        return _cached(name, cache, ModelError("error.model.hub_offline", name=name.name))
    try:
        info = HfApi(endpoint=endpoint).model_info(
            name.name, revision=name.revision, timeout=SECONDS, files_metadata=True
        )
    except (OfflineModeIsEnabled, httpx2.TransportError) as error:
        reason = type(error).__name__
        return _cached(name, cache, ModelError("error.model.hub_unreachable", name=name.name, reason=reason))
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code >= 500:
            reason = f"HTTP {error.response.status_code}"
            return _cached(name, cache, ModelError("error.model.hub_unreachable", name=name.name, reason=reason))
        raise _told(name, error) from None
    siblings = info.siblings or []
    card = info.card_data
    licence = card.to_dict().get("license") if card else None
    folder = _download(name, info.sha or DEFAULT_REVISION, _SMALL, endpoint, cache)
    return HubModel(
        name,
        folder,
        info.sha or DEFAULT_REVISION,
        tuple(sorted(s.rfilename for s in siblings)),
        {s.rfilename: s.lfs.sha256 for s in siblings if s.lfs},
        info.safetensors.total if info.safetensors else None,
        licence if isinstance(licence, str) else None,
        reached=True,
    )


def download(model: HubModel, *, endpoint: str | None = None, cache: Path | None = None) -> Path:
    """All files of the model that the studio reads; returns their folder. Only safetensors come as weights."""
    if not model.reached:
        return model.folder
    folder = _download(model.name, model.commit, (*_SMALL, *_WEIGHTS), endpoint, cache)
    _remember(model.name.revision or DEFAULT_REVISION, folder)
    return folder


def _remember(revision: str, folder: Path) -> None:
    """Note in the Hub's cache which commit a branch or tag stands for, so that the copy is found without the Hub.

    The client does so only when it is given the name; it was given the commit, whose files are all here now
    (https://huggingface.co/docs/huggingface_hub/guides/manage-cache).
    """
    if revision == folder.name:
        return
    reference = folder.parents[1] / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    partial = reference.with_name(f"{reference.name}.{secrets.token_hex(4)}.partial")
    partial.write_text(folder.name, encoding="ascii")
    os.replace(partial, reference)


def _cached(name: HubName, cache: Path | None, otherwise: ModelError) -> HubModel:
    try:
        folder = Path(
            snapshot_download(
                name.name,
                revision=name.revision,
                cache_dir=cache,
                allow_patterns=[*_SMALL, *_WEIGHTS],
                local_files_only=True,
            )
        )
    except LocalEntryNotFoundError:
        raise otherwise from None
    return HubModel(name, folder, folder.name, None, {}, None, folders.read_licence(folder), reached=False)


def _download(name: HubName, commit: str, patterns: tuple[str, ...], endpoint: str | None, cache: Path | None) -> Path:
    disable_progress_bars()
    try:
        return Path(
            snapshot_download(
                name.name,
                revision=commit,
                cache_dir=cache,
                endpoint=endpoint,
                allow_patterns=list(patterns),
                # Weights of other frameworks and originals in subfolders: never needed.
                ignore_patterns=["*/*"],
                etag_timeout=SECONDS,
            )
        )
    except HfHubHTTPError as error:
        raise _told(name, error) from None
    except (LocalEntryNotFoundError, httpx2.TransportError) as error:
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError):
            raise _told(name, cause) from None
        reason = type(cause or error).__name__
        raise ModelError("error.model.hub_unreachable", name=name.name, reason=reason) from None


def _told(name: HubName, error: HfHubHTTPError) -> ModelError:
    status = error.response.status_code if error.response is not None else 0
    if isinstance(error, GatedRepoError):
        return ModelError("error.model.hub_gated", name=name.name)
    if isinstance(error, RevisionNotFoundError):
        return ModelError("error.model.hub_revision", name=name.name, revision=name.revision or DEFAULT_REVISION)
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return ModelError("error.model.hub_not_found", name=name.name)
    if status in (401, 403):
        return ModelError("error.model.hub_token", name=name.name)
    return ModelError("error.model.hub_unreachable", name=name.name, reason=f"HTTP {status}")
