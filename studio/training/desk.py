"""What passes between a run's machine and its workers on a cluster: events, the wish to stop, and files."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from studio.errors import ResourceError
from studio.runs.store import disk_full, is_disk_full

PIECE_BYTES = 32_000_000
"""Files travel in pieces, so that none has to fit into memory."""


class Desk:
    """A Ray actor on the run's machine. What workers report waits here until it is taken.

    `offered`: the folders that workers may read, by name; `kept`: the run's folder, in which they may write. Names of
    files are single names, never paths.
    """

    def __init__(self, offered: Mapping[str, Path], kept: Path) -> None:
        self._offered = dict(offered)
        self._kept = kept
        self._news: list[Any] = []
        self._asked = "no"

    def report(self, *news: Any) -> None:
        self._news += news

    def take(self) -> list[Any]:
        """What was reported since the last time."""
        news, self._news = self._news, []
        return news

    def ask(self, asked: str) -> None:
        self._asked = asked

    def asked(self) -> str:
        return self._asked

    def offer(self, name: str, folder: Path) -> None:
        self._offered[name] = folder

    def files(self, name: str) -> dict[str, int]:
        """The files of a folder and their sizes in bytes."""
        return {path.name: path.stat().st_size for path in sorted(self._offered[name].iterdir()) if path.is_file()}

    def read(self, name: str, file: str, begin: int) -> bytes:
        with (self._offered[name] / _single(file)).open("rb") as opened:
            opened.seek(begin)
            return opened.read(PIECE_BYTES)

    def write(self, name: str, file: str, begin: int, piece: bytes) -> ResourceError | None:
        """A piece of a file of a checkpoint; a full disk is told to who sends it."""
        folder = self._kept / _single(name)
        try:
            folder.mkdir(exist_ok=True)
            with (folder / _single(file)).open("r+b" if begin else "wb") as opened:
                opened.seek(begin)
                opened.write(piece)
        except OSError as error:
            if is_disk_full(error):
                return disk_full(self._kept)
            raise
        return None


def _single(name: str) -> str:
    if PurePosixPath(name).name != name or name == ".." or "\\" in name:
        raise ValueError(name)
    return name


def fetch(desk: Any, name: str, target: Path) -> Path:
    """A folder of the run's machine, copied here. `desk`: the handle of the actor."""
    import ray

    target.mkdir(parents=True, exist_ok=True)
    files: Any = ray.get(desk.files.remote(name))
    for file, size in files.items():
        with (target / _single(file)).open("wb") as opened:
            while opened.tell() < size:
                opened.write(ray.get(desk.read.remote(name, file, opened.tell())))
    return target


def send(desk: Any, folder: Path) -> None:
    """A checkpoint's files, copied to the run's folder. Raises ResourceError when the disk there is full."""
    import ray

    for path in sorted(folder.iterdir()):
        with path.open("rb") as opened:
            for begin in range(0, max(1, path.stat().st_size), PIECE_BYTES):
                piece = opened.read(PIECE_BYTES)
                full: Any = ray.get(desk.write.remote(folder.name, path.name, begin, piece))
                if full is not None:
                    raise full
