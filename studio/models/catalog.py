"""What a base model is, told from its files before anything is loaded.

A source is `starter` (the built-in model), a folder of this machine, or a Hub name `owner/name`, where an `@` may
name a branch, tag or commit. A folder that exists wins over a Hub name that looks the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.errors import ModelError, StudioError
from studio.models import folder as folders
from studio.runs.events import Notice
from studio.settings import Settings

STARTER = "starter"
# A model whose configuration names no longest sequence (ALiBi, for one) is limited by the spec's `max_length` alone.
UNLIMITED_CONTEXT = 131_072
_HASHED_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which weights these are. `fingerprint` is a SHA-256 over those of the weight files; `parameters` counts numbers
    stored there; `context_length` is in tokens."""

    name: str
    source: str
    fingerprint: str
    licence: str | None
    context_length: int
    parameters: int
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the page tells of a model. `fingerprint` is None as long as the weights are not here, or where reading
    them all would take long; `parameters` is None when only the download will tell. `width` is the hidden size."""

    name: str
    source: str
    fingerprint: str | None
    parameters: int | None
    context_length: int
    licence: str | None
    has_chat_template: bool
    downloaded: bool
    notices: tuple[Notice, ...]
    width: int | None = None


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's files, whole and on this machine. `hashes` are SHA-256 the Hub told, by file name."""

    name: str
    source: str
    folder: Path
    config: dict[str, Any]
    weights: tuple[str, ...]
    hashes: dict[str, str]
    licence: str | None
    commit: str | None

    def fingerprint(self) -> str:
        """Reads every weight the first time, unless the Hub told the hashes."""
        return folders.fingerprint([self.hashes.get(n) or folders.file_sha256(self.folder / n) for n in self.weights])

    def identity(self) -> ModelIdentity:
        return ModelIdentity(
            self.name,
            self.source,
            self.fingerprint(),
            self.licence,
            folders.context_length(self.config) or UNLIMITED_CONTEXT,
            folders.count_parameters(self.folder, self.weights),
            self.commit,
        )


def describe(source: str, settings: Settings) -> ModelInfo:
    """Name, size and licence of a model; of the Hub only small files are fetched. Raises ModelError."""
    place = _place(source, settings)
    if place.hub is not None:
        from studio.models import hub

        found = hub.look_up(place.hub, offline=settings.offline)
        config = folders.read_config(found.folder)
        weights = folders.weight_files(found.folder, found.files)
        folders.check_tokenizer_files(found.folder, found.files)
        here = all((found.folder / name).is_file() for name in weights)
        hashed = all(name in found.hashes for name in weights)
        digest = folders.fingerprint([found.hashes[name] for name in weights]) if hashed else None
        parameters = folders.count_parameters(found.folder, weights) if here else found.parameters
        folder, licence = found.folder, found.licence
    else:
        files = find_files(source, settings)
        size = sum((files.folder / name).stat().st_size for name in files.weights)
        digest = files.fingerprint() if size <= _HASHED_BYTES else None
        parameters = folders.count_parameters(files.folder, files.weights)
        folder, config, licence, here = files.folder, files.config, files.licence, True
    templated = folders.has_chat_template(folder)
    return ModelInfo(
        place.name,
        source,
        digest,
        parameters,
        folders.context_length(config) or UNLIMITED_CONTEXT,
        licence,
        templated,
        here,
        () if templated else (_no_template_notice(place.name),),
        folders.hidden_width(config),
    )


def width_here(source: str, settings: Settings) -> int | None:
    """The hidden size of a model whose configuration is on this machine; nothing is fetched for it."""
    try:
        place = _place(source, settings)
        folder = place.folder
        if place.hub is not None:
            from studio.models import hub

            folder = hub.look_up(place.hub, offline=True).folder
        return folders.hidden_width(folders.read_config(folder))
    except StudioError:
        return None


def find_files(source: str, settings: Settings) -> ModelFiles:
    """All files of the model, fetched from the Hub if it is one of its names. Raises ModelError saying what lacks."""
    place = _place(source, settings)
    folder, hashes, licence, commit = place.folder, {}, None, None
    if place.hub is not None:
        from studio.models import hub

        found = hub.look_up(place.hub, offline=settings.offline)
        folders.read_config(found.folder)
        folders.weight_files(found.folder, found.files)  # refused before a byte of weights is fetched
        folders.check_tokenizer_files(found.folder, found.files)
        folder, hashes, licence, commit = hub.download(found), found.hashes, found.licence, found.commit
    config = folders.read_config(folder)
    weights = folders.weight_files(folder)
    folders.check_tokenizer_files(folder)
    return ModelFiles(
        place.name, source, folder, config, weights, hashes, licence or folders.read_licence(folder), commit
    )


def is_on_hub(source: str, settings: Settings) -> bool:
    """Whether a source names a model of the Hub. The Hub is not asked."""
    try:
        return _place(source, settings).hub is not None
    except ModelError:
        return False


def problems_of(source: str, settings: Settings) -> tuple[str, Path | None, tuple[StudioError, ...]]:
    """The model's name, the folder with its small files, and all that lacks or is refused there; no folder where there
    is none, or its configuration cannot be read."""
    try:
        place = _place(source, settings)
        folder, present = place.folder, None
        if place.hub is not None:
            from studio.models import hub

            found = hub.look_up(place.hub, offline=settings.offline)
            folder, present = found.folder, found.files
    except StudioError as error:
        return source, None, (error,)
    told: list[StudioError] = []
    readable = True
    try:
        folders.read_config(folder)
    except StudioError as error:
        told.append(error)
        readable = error.key == "error.model.remote_code"
        if not folder.is_dir():
            return place.name, None, (error,)
    for check in (lambda: _whole_weights(folder, present), lambda: folders.check_tokenizer_files(folder, present)):
        try:
            check()
        except StudioError as error:
            told.append(error)
    return place.name, folder if readable else None, tuple(told)


def _whole_weights(folder: Path, present: Sequence[str] | None) -> None:
    for name in folders.weight_files(folder, present):
        if (folder / name).is_file():
            folders.read_header(folder / name)


def find_tokenizer(source: str, settings: Settings) -> tuple[str, Path]:
    """The model's name, and a folder with its tokenizer and configuration; weights are not fetched for it."""
    place = _place(source, settings)
    folder = place.folder
    if place.hub is not None:
        from studio.models import hub

        folder = hub.look_up(place.hub, offline=settings.offline).folder
    folders.read_config(folder)
    folders.check_tokenizer_files(folder)
    return place.name, folder


def _no_template_notice(name: str) -> Notice:
    return Notice(key="notice.model.no_template", values={"model": name})


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    folder: Path
    hub: Any = None


def _place(source: str, settings: Settings) -> _Place:
    if source == STARTER:
        return _Place(STARTER, settings.starter)
    if not source.strip() or "\0" in source:
        raise ModelError("error.model.no_name")
    try:
        folder = Path(source).expanduser()
        exists = folder.exists()
    except (OSError, RuntimeError):  # a name longer than the system allows; a `~user` that does not exist
        raise ModelError("error.model.folder_missing", folder=source[:200]) from None
    if exists:
        folder = folder.resolve()
        return _Place(folder.name, folder)
    if source[0] in "~./\\" or folder.is_absolute():
        raise ModelError("error.model.folder_missing", folder=source)
    from studio.models.hub import parse_hub_name

    name = parse_hub_name(source)
    if name is None:
        raise ModelError("error.model.unknown_source", source=source)
    return _Place(name.name, folder, name)
