"""An export under way: it goes on although nobody looks, and whoever looks again finds it."""

import secrets
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from studio.runs.contestants import Contestant
from studio.runs.exports import ExportSpec

if TYPE_CHECKING:
    from studio.backend.exports import Export

Progress = Callable[[float, str], None]
"""Told the share that is done (0 to 1) and the key of a sentence that says at what it is."""


class Making:
    """`who` is exported as `spec` says. `share` of it is done (0 to 1), and `doing` the key of a sentence that says at
    what it is. `id` is its own."""

    def __init__(
        self, who: Contestant, spec: ExportSpec, make: Callable[[Progress, Callable[[], bool]], "Export"]
    ) -> None:
        self.id = secrets.token_hex(8)
        self.who, self.spec = who, spec
        self.share, self.doing = 0.0, "ui.export.begin"
        self._make = make
        self._stop, self._done = threading.Event(), threading.Event()
        self._made: Export | BaseException | None = None
        threading.Thread(target=self._run, daemon=True, name="studio-export").start()

    @property
    def done(self) -> bool:
        return self._done.is_set()

    def wait(self, seconds: float) -> bool:
        """Whether it is done, within so many seconds."""
        return self._done.wait(seconds)

    def stop(self) -> None:
        """It ends soon, and leaves nothing."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def result(self) -> "Export":
        """Waits for it. Raises what making it raised: StudioError, Stopped."""
        self._done.wait()
        if isinstance(self._made, BaseException):
            raise self._made
        assert self._made is not None
        return self._made

    def _run(self) -> None:
        try:
            self._made = self._make(self._told, self._stop.is_set)
        except BaseException as error:  # raised again by `result`
            self._made = error
        finally:
            self._done.set()

    def _told(self, share: float, doing: str) -> None:
        self.share, self.doing = share, doing
