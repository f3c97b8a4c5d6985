"""A run on a Ray cluster: the same training in several processes, by Ray Train.

The run and its record stay on the machine that asks, which is one of the cluster. The nodes share no disk: a desk on
this machine hands the workers what they need, takes what they report, and keeps the checkpoints that they send. The
first worker reports for all. When one is lost, all begin again from the last checkpoint.
"""

import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.data.cluster import connected, last_line
from studio.errors import FaultError, ResourceError, StudioError
from studio.models.catalog import find_files
from studio.runs.cluster import ClusterSpec, check_cluster
from studio.runs.events import Checkpoint, Ended, Started
from studio.runs.spec import STARTER
from studio.runs.stop import Stop
from studio.runs.store import sync_folder
from studio.training.checkpoints import forget_training_state, resume_point, sweep
from studio.training.desk import Desk
from studio.training.job import TrainingJob
from studio.training.train import Learned, conclude, known_checkpoints, told_errors
from studio.training.worker import MODEL, Left, Parcel, Reached, work

# How often a run is begun from the same checkpoint.
_TRIES = 4
_POLL_SECONDS = 0.1
# How long a stop waits for workers that have not begun, as when a node is gone whose return Ray Train awaits.
_BEGIN_SECONDS = 60.0
# Ray Train looks after its workers every two seconds otherwise; each start and end waits for that.
_QUICK = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25"}


def train_on_cluster(job: TrainingJob, stop: Stop, cluster: ClusterSpec) -> Ended | None:
    """As `train` does, by the workers of a cluster.

    Raises StudioError also when the run cannot be trained there, when the cluster is not there, too small or lost, or
    when workers are lost again and again.
    """
    began = time.monotonic()
    check_cluster(job.spec, cluster)
    with connected(cluster.address, _QUICK), told_errors(job, job.history):
        from ray.exceptions import RayError

        try:
            learned = _Run(job, stop, cluster).learn()
        except RayError as error:  # the cluster itself is gone
            raise FaultError("error.cluster.failed", detail=last_line(error)) from error
    return None if learned is None else conclude(job, learned, time.monotonic() - began)


class _Run:
    """A run on the cluster that this process is connected to."""

    def __init__(self, job: TrainingJob, stop: Stop, cluster: ClusterSpec) -> None:
        """Raises StudioError when the cluster is too small."""
        import ray

        self._job = job
        self._stop = stop
        self._cluster = cluster
        self._on_gpus = _on_gpus(cluster)
        offered = {name: source.folder for name, source in job.sources.items()}
        self._model: str | None = None
        source = job.spec.model.source
        if source == STARTER or Path(source).is_dir():
            files = find_files(source, job.settings)
            self._model, offered[MODEL] = files.fingerprint(), files.folder
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        desk = ray.remote(Desk).options(num_cpus=0, label_selector=here)
        self._desk: Any = desk.remote(offered, job.folder)  # Ray makes its type as it runs
        self._checkpoints: list[Checkpoint] = list(job.history)
        self._started = job.started
        self._came: Reached | Left | StudioError | None = None
        self._asked = "no"

    def learn(self) -> Learned | None:
        """All but the end of the run; None when it was asked to leave."""
        tries, last = 0, None
        while True:
            resumed = resume_point(self._job.folder, self._checkpoints)
            tries = tries + 1 if resumed == last else 1
            last = resumed
            self._checkpoints = known_checkpoints(self._checkpoints, resumed)
            sweep(self._job.folder, self._checkpoints)
            lost = self._attempt(resumed)
            match self._came:
                case Reached(step, stopped):
                    return Learned(step, stopped, tuple(self._checkpoints))
                case Left():
                    return None
                case StudioError() as error:
                    raise error
            if lost is None:
                raise RuntimeError("the workers ended without a word")
            if not _is_loss(lost):
                raise lost
            if tries == _TRIES:
                raise ResourceError("error.cluster.workers_lost", tries=_TRIES, step=resumed.step if resumed else 0)
            self._job.notice("notice.cluster.worker_lost", step=self._checkpoints[-1].step if self._checkpoints else 0)

    def _attempt(self, resumed: Checkpoint | None) -> Exception | None:
        """Begin the workers and take what they report until they have ended; what they failed of, if they did."""
        import ray

        if resumed:
            ray.get(self._desk.offer.remote(resumed.path, self._job.folder / resumed.path))
        parcel = Parcel(
            spec=self._job.spec,
            rows=tuple(self._job.rows),
            skipped=self._job.skipped,
            history=tuple(self._checkpoints),
            started=self._started,
            parts=self._job.parts,
            sources=self._job.sources,
            model=self._model,
            offline=self._job.settings.offline,
            sharded=self._cluster.sharding == "full",
        )
        fitting = _Fitting({"desk": self._desk, "parcel": ray.put(parcel)}, self._cluster, self._on_gpus)
        self._begun = False
        stop_seen: float | None = None
        while True:
            running = fitting.running()
            self._take()
            if not running:
                return fitting.failure
            if self._stop.asked != self._asked:
                self._asked = self._stop.asked
                stop_seen = time.monotonic()
                ray.get(self._desk.ask.remote(self._asked))
            if stop_seen is not None and not self._begun:
                if self._asked == "leave":
                    self._came = Left()
                    return None
                if time.monotonic() - stop_seen > _BEGIN_SECONDS:
                    raise FaultError("error.cluster.no_workers", workers=self._cluster.workers)

    def _take(self) -> None:
        """What the workers have reported goes into the record."""
        import ray

        for news in ray.get(self._desk.take.remote()):
            match news:
                case Reached() | Left() | StudioError():
                    self._came = self._came or news
                    continue
                case Checkpoint():
                    sync_folder(self._job.folder / news.path)
                case Started():
                    self._started, self._begun = news, True
            self._job.report(news)
            if isinstance(news, Checkpoint):
                self._checkpoints.append(news)
                forget_training_state(self._job.folder, self._checkpoints)


class _Fitting:
    """Ray Train at work, in a thread of its own, for it does not come back before the workers have ended."""

    def __init__(self, config: Mapping[str, Any], cluster: ClusterSpec, on_gpus: bool) -> None:
        self._config, self._cluster, self._on_gpus = config, cluster, on_gpus
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._fit, name="studio-cluster", daemon=True)
        self._thread.start()

    def running(self) -> bool:
        """After a moment's wait."""
        self._thread.join(_POLL_SECONDS)
        return self._thread.is_alive()

    def _fit(self) -> None:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        with tempfile.TemporaryDirectory(prefix="studio-ray-", ignore_cleanup_errors=True) as folder:
            trainer = TorchTrainer(
                work,
                train_loop_config=dict(self._config),
                # Numbers are also summed on the processor, whatever the model is trained on.
                torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if self._on_gpus else "gloo"),
                scaling_config=ScalingConfig(num_workers=self._cluster.workers, use_gpu=self._on_gpus),
                run_config=RunConfig(storage_path=folder, failure_config=FailureConfig(max_failures=0)),
            )
            try:
                trainer.fit()
            except Exception as error:
                self.failure = error


def _is_loss(failure: Exception) -> bool:
    """Whether a worker ended without a word, whatever the others then said: they lose their connection to it."""
    from ray.train import WorkerGroupError
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError

    gone = (WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError)  # Ray has no public name for them
    failures = failure.worker_failures.values() if isinstance(failure, WorkerGroupError) else ()
    return any(isinstance(error, gone) for error in failures)


def _on_gpus(cluster: ClusterSpec) -> bool:
    """Whether the workers have an accelerator each. Raises ResourceError when the cluster is too small."""
    import ray

    there = ray.cluster_resources()
    gpus, processors = int(there.get("GPU", 0)), int(there.get("CPU", 0))
    have = gpus or processors
    if have < cluster.workers:
        kind = "gpus" if gpus else "processors"
        raise ResourceError(
            f"error.cluster.too_few.{kind}", address=cluster.address, workers=cluster.workers, count=have
        )
    return gpus > 0
