"""Exports and data sets on the Hugging Face Hub: what would go where is told first, and sent once that is agreed to."""

import os
import secrets
import shutil
import threading
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml
from huggingface_hub import RepoCard, get_token
from pydantic import TypeAdapter, ValidationError

from studio.backend.work import Stopping, Tell, Work, turn
from studio.errors import InputError, WorkspaceError
from studio.export.hub import CARD, Place, Published, Remote, check_name, files_of, look, push
from studio.messages import translate
from studio.runs.store import Store, disk_full, told_disk
from studio.settings import Settings

_ROWS = {".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".xlsx", ".xls"}
_CARD_BYTES = 1_000_000
_RECORD = TypeAdapter(tuple[Published, ...])


@dataclass(frozen=True, slots=True)
class Parcel:
    """What would be sent, and what the Hub says of where it is to go. `files`: name and bytes of each. `with_rows`:
    those that hold rows of data. `licence`: that of the card, None where it names none. `changed`: when `source` was
    written."""

    source: Path
    place: Place
    found: Remote
    files: tuple[tuple[str, int], ...]
    with_rows: tuple[str, ...]
    licence: str | None
    changed: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.files)


class Publishing:
    """Sends to the Hub, one thing at a time. No token is ever kept: it is given to each call."""

    def __init__(self, settings: Settings, store: Store, endpoint: str | None = None) -> None:
        self._settings = settings
        self._store = store
        self._endpoint = endpoint
        self._sending = threading.Lock()
        self._work = Work()

    def has_token(self) -> bool:
        """Whether this machine has a token of its own: `HF_TOKEN`, or what `hf auth login` left."""
        return not self._settings.offline and get_token() is not None

    def look(self, source: Path, place: Place, token: str = "") -> Parcel:
        """What `push` would do. Asks the Hub, sends nothing. `source`: a folder with a card, or a zip of one. Without a
        `token`, the machine's own counts. Raises StudioError where it would not do."""
        check_name(place.repo)
        known = self._token(token)
        files, card, changed = _contents(source)
        licence = _licence(source, card)
        found = look(place, known, endpoint=self._endpoint)
        with_rows = tuple(name for name, _ in files if PurePosixPath(name).suffix.lower() in _ROWS)
        return Parcel(source, place, found, files, with_rows, licence, changed)

    def push(
        self, parcel: Parcel, token: str = "", *, tell: Tell | None = None, stopping: Stopping | None = None
    ) -> Published:
        """Send what was looked at to where it was looked at, private unless that was asked otherwise.

        Nothing shows on the Hub before all of it is there. Raises StudioError, also when either side has changed since
        the look; Stopped soon after `stopping` says so. Another push sends only the files that are missing.
        """
        known = self._token(token)
        with turn(self._sending, stopping), told_disk(self._store.folder), self._folder(parcel) as folder:
            if look(parcel.place, known, endpoint=self._endpoint) != parcel.found:
                raise InputError("error.hub.changed", repo=parcel.place.repo)
            made = push(
                folder, parcel.place, known, parcel.found, tell=tell, stopping=stopping, endpoint=self._endpoint
            )
            self._note(parcel.source, made)
        return made

    def follow(self, parcel: Parcel, token: str = "") -> Generator[float, None, Published]:
        """`push` in a thread of its own; yields the share done (0 to 1), and returns what it made. Closing the iterator
        early stops it, unless somebody else follows the same push; so does `stop`, for all."""
        return self._work.follow(_key(parcel), lambda tell, stop: self.push(parcel, token, tell=tell, stopping=stop))

    def stop(self, parcel: Parcel) -> None:
        """Stop the push that is followed: nothing of it shows on the Hub, unless it shows already."""
        self._work.stop(_key(parcel))

    def pushed(self, source: Path) -> tuple[Published, ...]:
        """Where an export of the workspace was pushed to, newest first. What was pushed from elsewhere is not kept."""
        try:
            kept = _RECORD.validate_json(self._record(source).read_bytes())
        except FileNotFoundError:
            return ()
        except ValidationError:
            raise WorkspaceError("error.hub.record", file=str(self._record(source))) from None
        return kept[::-1]

    def _token(self, given: str) -> str:
        if self._settings.offline:
            raise InputError("error.hub.offline")
        token = given.strip() or get_token()
        if not token:
            raise InputError("error.hub.token_missing")
        return token

    @contextmanager
    def _folder(self, parcel: Parcel) -> Iterator[Path]:
        """The files as they were looked at, in a folder: that of the export, or one for the time being."""
        if _contents(parcel.source)[::2] != (parcel.files, parcel.changed):
            raise InputError("error.hub.changed", repo=parcel.place.repo)
        if parcel.source.is_dir():
            yield parcel.source
            return
        place = self._store.folder / "publishing"
        shutil.rmtree(place, ignore_errors=True)  # what a killed push left
        needed = parcel.bytes + self._settings.min_free_bytes
        if shutil.disk_usage(self._store.folder).free < needed:
            raise disk_full(self._store.folder, needed)
        try:
            _extract(parcel.source, place)
            if dict(_contents(place)[0]) != dict(parcel.files):  # names that lead elsewhere
                raise InputError("error.hub.no_export", source=str(parcel.source))
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _record(self, source: Path) -> Path:
        return self._store.folder / "exports" / f"{source.name}.pushed.json"

    def _note(self, source: Path, made: Published) -> None:
        record = self._record(source)
        if source.absolute().parent != record.parent:
            return
        kept = (*self.pushed(source)[::-1], made)
        partial = record.with_name(f"{record.name}.{secrets.token_hex(4)}.partial")
        with partial.open("wb") as file:
            file.write(_RECORD.dump_json(kept, indent=1))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, record)


def _key(parcel: Parcel) -> tuple[Path, str, str]:
    return parcel.source, parcel.place.repo_type, parcel.place.repo.lower()


def _contents(source: Path) -> tuple[tuple[tuple[str, int], ...], str, tuple[int, ...]]:
    """Name and size of each file, the card, and when they were written. Raises InputError where it is no export."""
    if source.is_dir():
        files = files_of(source)
        stats = [path.stat() for path in files.values()]
        card = files[CARD].read_bytes()[:_CARD_BYTES]
        sizes = tuple(zip(files, (s.st_size for s in stats), strict=True))
        return sizes, card.decode("utf-8", errors="replace"), tuple(s.st_mtime_ns for s in stats)
    try:
        with zipfile.ZipFile(source) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            with archive.open(CARD) as file:
                card = file.read(_CARD_BYTES)
    except (OSError, zipfile.BadZipFile):
        raise InputError("error.hub.no_export", source=str(source)) from None
    except KeyError:
        raise InputError("error.hub.no_card", folder=str(source)) from None
    sizes = tuple(sorted((entry.filename, entry.file_size) for entry in entries))
    return sizes, card.decode("utf-8", errors="replace"), (source.stat().st_mtime_ns,)


def _extract(source: Path, place: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            archive.extractall(place)
    except zipfile.BadZipFile:
        raise InputError("error.hub.no_export", source=str(source)) from None


def _licence(source: Path, card: str) -> str | None:
    """What the front matter of a card names. Raises InputError where the Hub could not read it."""
    try:
        named = RepoCard(card).data.to_dict().get("license")
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError("error.hub.card", source=str(source), card=CARD, reason=reason) from None
    return str(named) if named else None


def terms(parcel: Parcel, language: str) -> tuple[tuple[str, str], ...]:
    """All that is to be agreed to before anything is sent, as a name and a sentence each."""

    def say(key: str, **values: object) -> str:
        return translate(f"ui.publish.{key}", language, **values)

    place, found = parcel.place, parcel.found
    who = say("who.private" if place.private else "who.public")
    if found.commit is None:
        there = say("there.nothing")
    elif found.files:
        there = say("there.files", files=len(found.files))
    else:
        there = say("there.empty")
    rows = say("rows.some", names=", ".join(parcel.with_rows)) if parcel.with_rows else say("rows.none")
    told = {
        "where": say(f"where.{place.repo_type}", repo=place.repo),
        "account": found.account,
        "who": who,
        "there": there,
        "files": say("files.told", files=len(parcel.files), mb=f"{parcel.bytes / 1e6:,.1f}"),
        "rows": rows,
        "licence": parcel.licence or say("licence.none"),
    }
    return tuple((say(name), text) for name, text in told.items())
