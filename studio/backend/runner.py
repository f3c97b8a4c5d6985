"""The queue of runs and the one worker that trains them.

The queue is the record itself: a run whose last milestone is `Queued` waits its turn, also across restarts.
"""

import gc
import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from studio.backend.datasets import Datasets
from studio.backend.engine import load_engine
from studio.backend.preflight import Preflight
from studio.backend.sources import find_sources
from studio.data.cluster import check_installed, reach
from studio.errors import FaultError, InputError, Stopped, StudioError, check_together
from studio.runs.cluster import ClusterSpec, check_cluster
from studio.runs.events import Ended, Event, Notice, Queued, RunState, Stamped, StopRequested
from studio.runs.spec import RunSpec, with_changes
from studio.runs.stop import Stop
from studio.runs.store import RunRecord, Store, disk_full, is_disk_full, new_id
from studio.runs.trackers import check_trackers, where_to_look
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.training.job import TrainingJob

log = logging.getLogger("studio")

# Training holds the interpreter in short bursts. Handing it over after half a millisecond instead of Python's five
# keeps the page quick: each answer of the page takes many turns.
_SWITCH_SECONDS = 0.0005
# How long a closing studio waits for the run in training to save a checkpoint.
_CLOSE_SECONDS = 30.0
# How many values of a setting are tried at once, how many tags a run may have, and how long one may be.
SWEEP = 4
_TAGS, _TAG = 20, 40


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A line of the history: the state has no curves, only first and last values."""

    record: RunRecord
    state: RunState
    dataset_name: str


class Runner:
    """Submits, stops, resumes and watches runs. With `worker`, a thread trains what is queued.

    `train` is the training method; None: `studio.training.train.train`, loaded when a run begins. `evaluate` is called
    with a run that has ended with a result and asks for it (`training.evaluate`), and with what says to stop.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        datasets: Datasets,
        *,
        worker: bool,
        train: "Callable[[TrainingJob, Stop], Ended | None] | None" = None,
        evaluate: Callable[[str, Callable[[], bool]], None] | None = None,
    ) -> None:
        self._method = train
        self._evaluate = evaluate
        self._settings = settings
        self._store = store
        self._datasets = datasets
        self.preflight = Preflight(settings, store, datasets)
        self._wake = threading.Condition()
        self._current: str | None = None
        self._stop = Stop()
        self._closing = self._closed = False
        self._tokens: dict[str, str] = {}
        self._states: dict[str, RunState] = {}
        self._known: dict[str, RunState] = {}
        self._seen: dict[str, int] = {}
        self._states_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        if worker and not store.read_only:
            self._thread = threading.Thread(target=self._work, name="studio-runner", daemon=True)
            self._thread.start()

    # What users ask for

    def submit(
        self, spec: RunSpec, name: str = "", token: str | None = None, cluster: ClusterSpec | None = None
    ) -> RunRecord:
        """Queue a new run, for this machine or a cluster. The same `token` (one press of a button) never makes two.
        Raises InputError; PlanError tells all that stands in its way."""
        version = self._datasets.version(spec.data.version)
        mapping = spec.data.mapping or version.mapping
        if mapping is None:
            raise InputError("error.train.no_mapping", data=version.name)
        spec = spec.model_copy(update={"data": spec.data.model_copy(update={"mapping": mapping})})
        check_together(
            lambda: self.preflight.check(spec),
            lambda: check_trackers(spec.training.report_to, offline=self._settings.offline),
            *(() if cluster is None else (lambda: check_cluster(spec, cluster), lambda: _can_reach(cluster))),
        )
        with self._wake:
            if token and token in self._tokens:
                return self._store.run(self._tokens[token])
            run = new_id()
            record = self._store.add_run(run, _clean_name(name) or version.name, spec, Queued(cluster=cluster))
            if token:
                self._tokens[token] = run
            self._wake.notify_all()
        return record

    def stop(self, run: str) -> None:
        """Ask a running run to stop after its step; it saves a usable adapter. A queued one is cancelled."""
        with self._wake:
            if run == self._current:
                if self._stop.asked == "no":
                    self._store.append(run, StopRequested())
                    self._stop.stop()
                return
            self.cancel(run)

    def cancel(self, run: str) -> None:
        """Take a waiting run off the queue. What it has learned in earlier legs stays."""
        with self._wake:
            state = self.state(run)
            if state.status != "queued" or run == self._current:
                raise InputError("error.run.not_queued", run=self._store.run(run).name)
            self._store.append(run, Ended(status="stopped", step=state.step, key="notice.run.cancelled"))

    def resume(self, run: str) -> None:
        """Queue an interrupted, stopped or failed run again, where it was trained before; it goes on from its last
        checkpoint."""
        with self._wake:
            state = self.state(run)
            if not state.resumable:
                raise InputError("error.run.not_resumable", run=self._store.run(run).name)
            self._store.append(run, Queued(cluster=state.cluster))
            self._wake.notify_all()

    def sweep(
        self,
        spec: RunSpec,
        path: str,
        values: Sequence[Any],
        name: str = "",
        token: str | None = None,
        cluster: ClusterSpec | None = None,
    ) -> list[RunRecord]:
        """Queue a run for each of two to four values of one setting, named by its value; the rest is as in `spec`.

        Raises InputError when it is another number of values, SpecError when one of them cannot be.
        """
        chosen = list(dict.fromkeys(values))
        if not 2 <= len(chosen) <= SWEEP:
            raise InputError("error.run.sweep", most=SWEEP)
        specs = [with_changes(spec, {path: value}) for value in chosen]
        title = _clean_name(name) or self._datasets.version(spec.data.version).name
        setting = path.rpartition(".")[2]
        return [
            self.submit(one, f"{title} · {setting} {value}", f"{token} {value}" if token else None, cluster)
            for one, value in zip(specs, chosen, strict=True)
        ]

    def move(self, run: str, by: int) -> None:
        """Let a waiting run wait for so many others less (below 0) or more. Raises InputError when it does not wait."""
        with self._wake:
            waiting = self.queue()
            if run not in waiting:
                raise InputError("error.run.not_queued", run=self._store.run(run).name)
            order = [other for other in waiting if other != run]
            order.insert(max(0, waiting.index(run) + by), run)
            moved = next((i for i, (a, b) in enumerate(zip(waiting, order, strict=True)) if a != b), len(order))
            for other in order[moved:]:  # the record has the order: who was queued later waits longer
                self._store.append(other, Queued(cluster=self.state(other).cluster))

    def size(self, run: str) -> int:
        """Bytes that its files take."""
        return self._store.run_size(run)

    def delete(self, run: str) -> int:
        """Remove a run with all it has learned; the bytes that are free again. Raises InputError while it waits or
        trains."""
        with self._wake:
            record = self._store.run(run)
            if run == self._current or self.state(run).status in ("queued", "running"):
                raise InputError("error.run.busy", run=record.name)
            freed = self._store.delete_run(run)
            with self._states_lock:
                for known in (self._states, self._known, self._seen):
                    known.pop(run, None)
            return freed

    def set_tags(self, run: str, tags: Sequence[str]) -> None:
        """Short words to find runs by; each once, in order."""
        words = dict.fromkeys(filter(None, (_clean_name(tag)[:_TAG] for tag in tags)))
        self._store.set_run(run, tags=list(words)[:_TAGS])

    def rename(self, run: str, name: str) -> None:
        self._store.set_run(run, name=_clean_name(name) or self._store.run(run).version)

    def set_notes(self, run: str, notes: str) -> None:
        self._store.set_run(run, notes=notes[:20_000])

    # What watchers ask for

    def current(self) -> str | None:
        """The run in training in this process."""
        return self._current

    @property
    def works(self) -> bool:
        """Whether a worker of this process trains what is queued."""
        return self._thread is not None

    def queue(self) -> list[str]:
        """Waiting runs, first come first."""
        waiting = [(state.last_time or 0.0, run) for run, state in self._outlines().items() if state.status == "queued"]
        return [run for _, run in sorted(waiting) if run != self._current]

    def twin(self, run: str) -> RunRecord | None:
        """Another run with the same settings and data that waits or is in training, such as one that was started on a
        second page."""
        spec = self._store.run(run).spec
        others = (one for one in self.runs() if one.record.id != run and one.state.status in ("queued", "running"))
        return next((one.record for one in others if one.record.spec == spec), None)

    def runs(self) -> list[RunSummary]:
        """The history, newest first."""
        outlines = self._outlines()
        names = {v.id: f"{v.name} v{v.number}" for v in self._store.versions()}
        return [
            RunSummary(record, outlines.get(record.id, RunState()), names.get(record.version, "?"))
            for record in self._store.runs()
        ]

    def parents(self, model: str) -> list[RunSummary]:
        """Runs of this base model whose adapter, or one of its checkpoints, can be gone on from, newest first."""
        return [
            run
            for run in self._runs_of(model)
            if run.state.usable and run.record.spec.method.writes and run.record.spec.tuner.kind == "lora"
        ]

    def reward_models(self, model: str) -> list[RunSummary]:
        """Runs of this base model that have come to an end with a reward model, newest first."""
        return [
            run
            for run in self._runs_of(model)
            if run.state.ended and run.state.ended.adapter and not run.record.spec.method.writes
        ]

    def _runs_of(self, model: str) -> list[RunSummary]:
        return [run for run in self.runs() if run.record.spec.model.source == model]

    def record(self, run: str) -> RunRecord:
        return self._store.run(run)

    def cursor(self, run: str) -> int:
        """A number that grows when there is something new to see of the run."""
        return self._store.cursor(run)

    def state(self, run: str) -> RunState:
        """Everything about a run, curves included; only new events are read. Treat the curves as read-only."""
        with self._states_lock:
            known = self._states.get(run, RunState())
            news: list[Stamped] = self._store.events(run, known.cursor)
            if news:
                known = known.fold(news)
                self._states[run] = known
            elif not known.cursor:
                self._store.run(run)  # an unknown run is told, not shown as queued
            return self._living(run, known)

    def where_to_look(self, run: str) -> list[tuple[str, Mapping[str, Any]]]:
        """How the numbers are looked at that the run tells others, as sentence keys with their values."""
        if self.state(run).started is None:
            return []
        return where_to_look(self._store.run(run).spec.training.report_to, self._store.run_folder(run))

    def _outlines(self) -> dict[str, RunState]:
        """Only runs with news since the last look are read."""
        with self._states_lock:
            cursors = self._store.cursors()
            news = [run for run, cursor in cursors.items() if self._seen.get(run) != cursor]
            if news:
                self._known |= self._store.outlines(news if self._seen else None)
                self._seen = cursors
            return {run: self._living(run, self._known[run]) for run in cursors}

    def _living(self, run: str, state: RunState) -> RunState:
        if state.status == "running" and run != self._current and not self._elsewhere():
            return replace(state, status="interrupted")
        return state

    def _elsewhere(self) -> bool:
        return self._store.read_only and self._store.writer_alive()

    # The worker

    def _work(self) -> None:
        while True:
            with self._wake:
                waiting = self.queue()
                while not self._closing and not waiting:
                    self._wake.wait()
                    waiting = self.queue()
                if self._closing:
                    return
                self._begin(waiting[0])
            self._train(waiting[0])

    def run_now(self, run: str) -> Ended:
        """Train a queued run in this thread, before all others: for the command line."""
        with self._wake:
            self._begin(run)
        ended = self._train(run)
        assert ended is not None, "only close() lets a run go unfinished"
        return ended

    def _begin(self, run: str) -> None:
        self._stop = Stop()
        self._current = run

    def _train(self, run: str) -> Ended | None:
        switch = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            ended = self._trained(run)
            if ended is not None and ended.adapter:
                _free_memory()
                self._evaluate_ended(run)
            return ended
        finally:
            sys.setswitchinterval(switch)
            _free_memory()
            with self._wake:
                self._current = None
                self._wake.notify_all()

    def _trained(self, run: str) -> Ended | None:
        try:
            return self._attempt(run)
        except StudioError as error:
            ended = Ended(
                status="failed",
                step=self.state(run).step,
                wrong_input=isinstance(error, InputError),
                key=error.key,
                values=_plain(error.values),
            )
        except _Left:
            return None
        except Exception:
            log.exception("run %s failed", run)
            ended = Ended(
                status="failed", step=self.state(run).step, key="error.bug", values={"log": "logs/studio.log"}
            )
        try:
            self._store.append(run, ended)
        except FaultError:
            # Not even this fits on the disk: the run shows as interrupted, which is as true.
            log.exception("run %s: its end could not be recorded", run)
        return ended

    def _evaluate_ended(self, run: str) -> None:
        """What cannot be evaluated is told; the run has its result all the same."""
        spec = self._store.run(run).spec
        if self._evaluate is None or not spec.training.evaluate or not spec.method.writes:
            return
        try:
            self._evaluate(run, lambda: self._closing)
        except Stopped:
            return
        except StudioError as error:
            why = Notice(key=error.key, values=_plain(error.values))
            self._store.append(run, Notice(key="notice.evaluate.failed"), why)
        except Exception:
            log.exception("run %s could not be evaluated", run)
            bug = Notice(key="error.bug", values={"log": "logs/studio.log"})
            self._store.append(run, Notice(key="notice.evaluate.failed"), bug)

    def _attempt(self, run: str) -> Ended | None:
        spec = self._store.run(run).spec
        folder = self._store.run_folder(run)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(self._settings.workspace) from None
            raise
        self._datasets.check_lessons(spec.data.version, spec.data.mapping, spec.method.learns)
        from studio.training.job import ONE_TRAINER, TrainingJob

        known = self.state(run)
        train = self._method
        if train is None:
            load_engine(training=True)
            train = _training(known.cluster)
        rows, skipped = self._datasets.lessons(spec.data.version, spec.data.mapping, spec.method.learns)
        sources = find_sources(self._store, spec)
        job = TrainingJob(
            spec=spec,
            settings=self._settings,
            folder=folder,
            rows=rows,
            skipped=skipped,
            history=known.checkpoints,
            append=lambda *events: self._record(run, *events),
            started=known.started,
            parts=self._datasets.split(spec.data.version, spec.data.split, spec.data.mapping),
            sources=sources,
            name=self._store.run(run).name,
            told_training=known.last_step("loss"),
            told_validation=known.last_step("validation_loss", "validation_reward"),
        )
        with ONE_TRAINER:  # a probe that measures a plan ends within seconds
            return train(job, self._stop)

    def _record(self, run: str, *events: Event) -> None:
        if self._closed:
            raise _Left
        self._store.append(run, *events)

    def interrupt(self) -> None:
        """Stop the run in training as a user would, without recording who asked: for Ctrl-C on the command line."""
        self._stop.stop()

    def close(self) -> None:
        """Leave the worker. A run in training saves a checkpoint and shows as interrupted next time."""
        with self._wake:
            self._closing = True
            self._stop.leave()
            self._wake.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_SECONDS)
        self._closed = True


def _training(cluster: ClusterSpec | None) -> "Callable[[TrainingJob, Stop], Ended | None]":
    if cluster is None:
        from studio.training.train import train

        return train
    from studio.training.cluster import train_on_cluster

    return partial(train_on_cluster, cluster=cluster)


class _Left(Exception):
    """A run reports after its studio was closed: it has nowhere to go on."""


def _can_reach(cluster: ClusterSpec) -> None:
    check_installed()
    reach(cluster.address)


def _free_memory() -> None:
    """Give back what a run held: trainer and model hold each other, and CUDA's memory stays with torch."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _clean_name(name: str) -> str:
    """One line of at most 120 characters; names are only shown, never used as a path."""
    return " ".join(name.split())[:120]


def _plain(values: dict[str, object]) -> dict[str, object]:
    return {k: v if isinstance(v, int | float | str | None) else str(v) for k, v in values.items()}
