"""Who does the work on a table's row groups: this process, several on this machine, or what a caller brings
(`cluster.py`). The work is the same, and so is what it makes.

The processes are plain child processes that talk over pipes. They import neither the caller's main module nor what it
has loaded (a model, the page), and end with it, however it ends. `python -m studio.data.scan_worker` is one of them.
"""

import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol, TypeVar

import pyarrow as pa

from studio.data.tables import Outline, Table
from studio.errors import Stopped

Made = TypeVar("Made")
MadeOf = TypeVar("MadeOf", covariant=True)
# Below this, starting processes costs more than they save (0.9 s to start; at 30 000 rows a second of
# the slower layouts it is won back here, at 60 000 of plain pairs a little later).
SMALL = 20_000
# Chunks each process may be ahead of the one that is waited for: results that nobody has taken yet take memory.
_AHEAD = 2


class Work(Protocol[MadeOf]):
    """Something that can be sent to another process and does a chunk of its work there: a row group of `table`, which
    is read for it. It opens no file itself, so that it can be done on another machine. `cost`: how many times the work
    of checking a row it is."""

    cost: ClassVar[int]

    @property
    def table(self) -> Outline: ...

    def run(self, chunk: int, shard: pa.Table, /) -> MadeOf: ...


class Spread(Protocol):
    """What a job makes of each row group, in their order. Raises Stopped soon after `stop` says so."""

    def __call__(self, job: Work[Made], stop: Callable[[], bool] | None, /) -> Iterator[Made]: ...


def in_this_process(job: Work[Made], stop: Callable[[], bool] | None) -> Iterator[Made]:
    """One row group after the other."""
    table = Table(job.table.path)
    for chunk in range(table.groups):
        if stop and stop():
            raise Stopped("error.stopped")
        yield job.run(chunk, table.shard(chunk))


def on_this_machine(workers: int) -> Spread:
    """On at most so many processes; in this one where there is little to do, for starting another costs a second."""

    def spread(job: Work[Made], stop: Callable[[], bool] | None) -> Iterator[Made]:
        table = Table(job.table.path)
        if table.rows * job.cost < SMALL:
            return in_this_process(job, stop)
        return _on_processes(job, table.groups, min(workers, table.groups), stop)

    return spread


BOTH_CORES = on_this_machine(2)


def _on_processes(job: Work[Made], chunks: int, workers: int, stop: Callable[[], bool] | None) -> Iterator[Made]:
    own = threading.local()
    started: list[subprocess.Popen[bytes]] = []

    def ask(chunk: int) -> Made:
        if not hasattr(own, "worker"):
            own.worker = _start(job)
            started.append(own.worker)
        return _answer(own.worker, chunk)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="scan")
    try:
        waiting: deque[Future[Made]] = deque()
        for chunk in range(chunks):
            waiting.append(pool.submit(ask, chunk))
            if len(waiting) > workers * _AHEAD:
                yield _result(waiting.popleft(), stop)
        while waiting:
            yield _result(waiting.popleft(), stop)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in started:
            worker.kill()
        pool.shutdown(wait=True)
        for worker in started:
            worker.communicate()


def _result(future: Future[Made], stop: Callable[[], bool] | None) -> Made:
    while not _done(future):
        if stop and stop():
            raise Stopped("error.stopped")
    return future.result()


def _done(future: Future[Any]) -> bool:
    try:
        future.exception(timeout=0.1)
    except TimeoutError:
        return False
    return True


def _start(job: Work[Any]) -> subprocess.Popen[bytes]:
    home = str(Path(__file__).parents[2])
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    worker = subprocess.Popen(
        [sys.executable, "-m", "studio.data.scan_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Every process is one thread's work: the tokenizers' own threads would only stand in each other's way.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TOKENIZERS_PARALLELISM": "false"},
    )
    if worker.stdin is None or worker.stdout is None:
        raise RuntimeError("pipes were asked for")
    pickle.dump(job, worker.stdin)
    return worker


def _answer(worker: "subprocess.Popen[bytes]", chunk: int) -> Any:
    if worker.stdin is None or worker.stdout is None:
        raise RuntimeError("pipes were asked for")
    try:
        pickle.dump(chunk, worker.stdin)
        worker.stdin.flush()
        answer = pickle.load(worker.stdout)
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise RuntimeError(f"a scanning process ended with {worker.wait()}") from error
    if isinstance(answer, BaseException):
        raise answer
    return answer


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """The other side: a job, then chunk after chunk, until there is nobody to ask."""
    job: Work[Any] = pickle.load(asked)
    table = Table(job.table.path)
    while True:
        try:
            chunk: int = pickle.load(asked)
        except EOFError:
            return
        try:
            answer: Any = job.run(chunk, table.shard(chunk))
        except Exception as error:  # told to the process that asked, which raises it
            answer = error
        pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()
