"""Work that takes a while, done once however many ask for it, and told as it goes."""

import threading
from collections.abc import Callable, Generator, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from studio.errors import Stopped

Made = TypeVar("Made")
Tell = Callable[[float], None]
Stopping = Callable[[], bool]
_TELL_SECONDS = 0.3
_LOOK_SECONDS = 0.2


@contextmanager
def turn(lock: threading.Lock, stopping: Stopping | None) -> Iterator[None]:
    """Wait for a lock and hold it. Raises Stopped soon after `stopping` says so."""
    while not lock.acquire(timeout=_LOOK_SECONDS):
        if stopping and stopping():
            raise Stopped("error.stopped")
    try:
        yield
    finally:
        lock.release()


class Turns:
    """A lock for each of many things."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = {}

    def of(self, key: Hashable, stopping: Stopping | None) -> AbstractContextManager[None]:
        """Wait for the turn of `key`, as `turn` does."""
        with self._lock:
            own = self._locks.setdefault(key, threading.Lock())
        return turn(own, stopping)


def part_of(tell: Tell | None, begin: float, end: float) -> Tell | None:
    """Tells the shares of a part of the work as shares of all of it."""
    return None if tell is None else lambda share: tell(begin + (end - begin) * share)


class _Task:
    def __init__(self, do: Callable[[Tell, Stopping], Any]) -> None:
        self._do = do
        self.made: Any = None
        self._stop = threading.Event()
        self.done = threading.Event()
        self.share = 0.0
        self.watchers = 0
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="studio-work")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def _run(self) -> None:
        try:
            self.made = self._do(self._told, self._stop.is_set)
        except BaseException as error:
            self.error = error
        finally:
            self.done.set()

    def _told(self, share: float) -> None:
        self.share = share


class Work:
    """Tasks under way, by key. A task nobody watches any more is stopped: a closed page costs nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[Hashable, _Task] = {}

    def follow(self, key: Hashable, do: Callable[[Tell, Stopping], Made]) -> Generator[float, None, Made]:
        """Start `do(tell, stopping)`, or join it where it is under way; yields the share done (0 to 1) until it ends,
        and returns what it made (`made = yield from ...`).

        Raises what `do` raised, and Stopped soon after `stop`, however long `do` then takes to end. Closing the
        iterator early stops the task, unless somebody else follows it.
        """
        with self._lock:
            task = self._tasks.get(key)
            if task is None or task.stopping:
                task = self._tasks[key] = _Task(do)
                task.start()
            task.watchers += 1
        try:
            while not task.done.wait(_TELL_SECONDS):
                if task.stopping:
                    raise Stopped("error.stopped")
                yield task.share
        finally:
            with self._lock:
                task.watchers -= 1
                if not task.watchers:
                    task.stop()
                if self._tasks.get(key) is task and (task.done.is_set() or task.stopping):
                    del self._tasks[key]
        if task.error is not None:
            raise task.error
        return task.made

    def stop(self, key: Hashable) -> None:
        """Stop a task for all who follow it. One that is not under way is left alone."""
        with self._lock:
            if task := self._tasks.get(key):
                task.stop()
