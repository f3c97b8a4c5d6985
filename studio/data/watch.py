"""Whoever waits for files to be read: told how far it is, and asked whether it is still wanted."""

from collections.abc import Callable
from dataclasses import dataclass

from studio.errors import Stopped

# What is left to do when all is read: the end of the table.
_READ = 0.97


@dataclass(slots=True)
class Watch:
    """`tell` is told shares from 0 to 1 that never fall; `stopping` says that nobody waits any more.

    A file may be gone through several times, to look at it first; `at` says where a reader is, and only `rows` that
    are handed on tell the share.
    """

    tell: Callable[[float], None] | None = None
    stopping: Callable[[], bool] | None = None
    files: int = 1
    file: int = 0
    _place: float = 0.0
    _told: float = 0.0

    def look(self) -> None:
        """Raises Stopped when nobody waits any more."""
        if self.stopping and self.stopping():
            raise Stopped("error.stopped")

    def begin(self, file: int, files: int) -> None:
        """The next of several files."""
        self.file, self.files, self._place = file, files, 0.0

    def at(self, place: float) -> None:
        """The reader is at this part (0 to 1) of the file."""
        self._place = place
        self.look()

    def rows(self) -> None:
        """Rows up to here were handed on."""
        share = (self.file + self._place) / self.files * _READ
        if self.tell and share > self._told:
            self._told = share
            self.tell(share)
        self.look()
