"""Checking on several processes: plain child processes that talk over pipes.

They import neither the caller's main module nor what it has loaded (a model, the page), and end with it, however it
ends. `python -m studio.data.scan_worker` is one of them.
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
from typing import Any, BinaryIO, Protocol, TypeVar

from studio.errors import Stopped

Made = TypeVar("Made", covariant=True)
# Chunks each process may be ahead of the one that is waited for: results that nobody has taken yet take memory.
_AHEAD = 2


class Work(Protocol[Made]):
    """Something that can be sent to another process and does a chunk of its work there."""

    def run(self, chunk: int, /) -> Made: ...


def spread(job: Work[Made], chunks: int, workers: int, stop: Callable[[], bool] | None) -> Iterator[Made]:
    """The parts in the order of the chunks, made by `workers` processes. Raises Stopped when `stop` says so."""
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
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
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
    while True:
        try:
            chunk: int = pickle.load(asked)
        except EOFError:
            return
        try:
            answer: Any = job.run(chunk)
        except Exception as error:  # told to the process that asked, which raises it
            answer = error
        pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()
