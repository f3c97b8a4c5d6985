"""Checking and cleaning on a Ray cluster: the same jobs, as a Ray Data pipeline over the row groups of a table.

The table stays on the machine that asks, which is one of the cluster. Its row groups are read there, as they are
wanted, and reach the workers through Ray's object store: the nodes share no disk. So does the code of the studio; the
packages it needs have to be installed on every node. Ray Data holds reading back where workers or the one who takes
the results are behind, and does a row group again whose worker or node was lost.
"""

import logging
import os
import pickle
import secrets
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from studio.data.scan_workers import Made, Spread, Work
from studio.data.tables import Table
from studio.errors import FaultError, InputError, ResourceError, Stopped

if TYPE_CHECKING:
    from ray import ObjectRef

LOCAL = "local"
# Row groups read at a time; what is read ahead is bounded by Ray's object store.
_READERS = 2
# How often a row group is begun: Ray itself would begin again for ever one that always ends its worker.
_TRIES = 4
_REACH_SECONDS = 5
_POLL_SECONDS = 0.1
# The studio's own code goes to the nodes without what only the page and training need.
_NOT_SENT = ["/assets", "/presets", "**/__pycache__"]
# Ray would report its use on the network, and connect anew when it is asked anything after it was left. The others make
# it listen on this machine only.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_AUTO_CONNECT": "0"}
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
# What opens HTTP/2, and so gRPC (RFC 9113, 3.4): a fixed text and settings, here none. The other side sends its own.
_SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS


@contextmanager
def on_cluster(address: str) -> Iterator[Spread]:
    """Checking and cleaning on the Ray cluster at `address`. Raises what `connected` raises."""
    with connected(address):
        yield _Cluster()


@contextmanager
def connected(address: str, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Connected to the Ray cluster at `address` (`host:port`, or `auto` for one this machine is part of); `local`
    starts one on this machine alone, which nobody else can use, and ends it afterwards. `environment`: variables that
    are set meanwhile.

    Raises FaultError when Ray is not installed or the cluster does not answer, InputError where it is no address.
    """
    check_installed()
    with ExitStack() as stack:
        stack.enter_context(_environment(environment or {}))
        if address == LOCAL:
            stack.enter_context(_environment({**_QUIET, **_LOOPBACK, "RAY_AUTH_TOKEN": _token()}))
            # Sockets lie in it, whose paths must be short; else its logs would stay.
            short = "/tmp" if os.name == "posix" else None
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="ray", dir=short, ignore_cleanup_errors=True)
            )
            options = {"include_dashboard": False, "_temp_dir": folder, "_node_ip_address": "127.0.0.1"}
        else:
            reach(address)
            stack.enter_context(_environment(_QUIET))
            options = {}
        import ray

        sent = {"py_modules": [str(Path(__file__).parents[1])], "excludes": _NOT_SENT}
        try:
            ray.init(address, runtime_env=sent, log_to_driver=False, logging_level=logging.ERROR, **options)
        except (OSError, RuntimeError, ValueError) as error:
            raise FaultError("error.cluster.unreachable", address=address, detail=last_line(error)) from error
        stack.callback(ray.shutdown)
        if address == LOCAL and {node["NodeManagerAddress"] for node in ray.nodes()} != {"127.0.0.1"}:
            # Ray was begun before in this process, and would listen to other machines.
            raise FaultError("error.cluster.restart")
        yield


def check_installed() -> None:
    """Raises FaultError, with the command that installs Ray."""
    if find_spec("ray") is None:
        raise FaultError("error.cluster.missing", command=f"{sys.executable} -m pip install 'ray[data,train]>=2.60'")


@cache
def _token() -> str:
    """What keeps others of this machine out. Ray reads it once in a process."""
    return secrets.token_hex(32)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def reach(address: str) -> None:
    """Raises InputError where it is no address, FaultError when no Ray answers there within seconds: Ray itself takes
    minutes to say so. `auto` and `local` are not asked."""
    if address in ("auto", LOCAL):
        return
    host, _, port = address.rpartition(":")
    if not host or "//" in address or not port.isdecimal() or int(port) > 65_535:
        raise InputError("error.cluster.address", address=address)
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _REACH_SECONDS) as line:
            if os.environ.get("RAY_USE_TLS") == "1":
                return  # Ray's own setting: nothing is said in the clear
            line.sendall(_GREETING)
            answer = line.recv(len(_SETTINGS))
    except OSError as error:
        raise FaultError("error.cluster.unreachable", address=address, detail=last_line(error)) from error
    if answer[3:4] != _SETTINGS[3:4]:
        raise FaultError("error.cluster.other", address=address)


def last_line(error: BaseException) -> str:
    """What an error of Ray comes to."""
    return str(error).strip().rpartition("\n")[2] or type(error).__name__


class _Cluster:
    """The cluster this process is connected to, as a way to spread work."""

    def __init__(self) -> None:
        import ray

        self._here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        self._idle: list[Any] = []  # handles of _Foreman; Ray makes their types as it runs

    def __call__(self, job: Work[Made], stop: Callable[[], bool] | None, /) -> Iterator[Made]:
        import ray
        from ray.exceptions import RayError

        chunks = Table(job.table.path).groups
        if not chunks:
            return
        foreman = self._idle.pop() if self._idle else self._new_foreman()
        done = False
        try:
            _got(foreman.start.remote(job.table.path.absolute(), chunks, (ray.put(job),), self._here), stop)
            taken = iter(lambda: _got(foreman.take.remote(), stop), None)
            for chunk, row in zip(range(chunks), taken, strict=True):
                came, made = pickle.loads(row)
                if isinstance(made, BaseException):
                    raise made
                if came != chunk:
                    raise RuntimeError(f"part {came} came in the place of {chunk}")
                yield made
            done = True
        except RayError as error:
            raise FaultError("error.cluster.failed", detail=last_line(error)) from error
        finally:
            if done:
                self._idle.append(foreman)
            else:
                ray.kill(foreman)  # and with it what it has under way

    def _new_foreman(self) -> Any:
        import ray

        # In a process of its own, for Ray Data cannot be asked to leave off while it waits for a worker; two calls at
        # once, so that workers can ask it while a result is waited for.
        return ray.remote(_Foreman).options(num_cpus=0, max_concurrency=2, label_selector=self._here).remote()


def _got(asked: Any, stop: Callable[[], bool] | None) -> Any:
    import ray

    while not ray.wait([asked], timeout=_POLL_SECONDS)[0]:
        if stop and stop():
            raise Stopped("error.stopped")
    return ray.get(asked)


class _Foreman:
    """Runs the pipeline, and counts how often each row group was begun."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()
        self._made: Iterator[pa.Table] = iter(())

    def start(self, path: Path, chunks: int, job: "Sequence[ObjectRef]", here: dict[str, str]) -> None:
        """`job` is in a tuple, so that it comes as a reference."""
        import ray
        import ray.data

        reading = partial(_read, path=path)
        working = partial(_work, job=job[0], foreman=ray.get_runtime_context().current_actor)
        readers = ray.data.TaskPoolStrategy(size=_READERS)
        dataset = ray.data.from_items([{"chunk": chunk} for chunk in range(chunks)], override_num_blocks=chunks)
        dataset = dataset.map(reading, num_cpus=0, compute=readers, label_selector=here)
        dataset = dataset.map(working, num_cpus=1)
        dataset.context.execution_options.preserve_order = True
        dataset.context.enable_progress_bars = False
        self._begun.clear()
        self._made = iter(dataset.iter_batches(batch_size=1, prefetch_batches=0, batch_format="pyarrow"))

    def begin(self, chunk: int) -> int:
        self._begun[chunk] += 1
        return self._begun[chunk]

    def take(self) -> bytes | None:
        """What was made of the next row group; None after the last."""
        made = next(self._made, None)
        return None if made is None else made["made"][0].as_py()


def _read(row: dict[str, Any], path: Path) -> dict[str, Any]:
    """On the machine that asks: a row group as bytes."""
    sink = pa.BufferOutputStream()
    shard = Table(path).shard(row["chunk"])
    with pa.ipc.new_stream(sink, shard.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(shard)
    return {"chunk": row["chunk"], "shard": sink.getvalue().to_pybytes()}


def _work(row: dict[str, Any], job: "ObjectRef", foreman: Any) -> dict[str, Any]:
    """On a worker. What goes wrong in the work is told to who asked, who raises it."""
    import ray

    chunk = row["chunk"]
    try:
        begun: Any = ray.get(foreman.begin.remote(chunk))
        if begun > _TRIES:
            raise ResourceError("error.cluster.worker_lost", tries=_TRIES, part=chunk + 1)
        made = _fetched(job).run(chunk, pa.ipc.open_stream(row["shard"]).read_all())
    except ImportError as error:
        made = FaultError("error.cluster.package", detail=str(error))
    except Exception as error:
        made = error
    return {"made": pickle.dumps((chunk, made), pickle.HIGHEST_PROTOCOL)}


@lru_cache(maxsize=1)
def _fetched(job: "ObjectRef") -> Work[Any]:
    """The job, which can be large, once for all its row groups that a process does."""
    import ray

    return ray.get(job)
