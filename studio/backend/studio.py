"""The studio as one object: it opens the workspace and owns everything the page and the command line call."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from studio.backend.chain import Next
from studio.backend.compare import Column, ColumnState, CompareRequest, Comparison
from studio.backend.comparisons import Comparisons
from studio.backend.datasets import Datasets
from studio.backend.engine import load_engine
from studio.backend.evaluations import Evaluations
from studio.backend.exports import Export, Exports
from studio.backend.learning_curve import LearningCurve
from studio.backend.mixtures import Mixtures
from studio.backend.publishing import Publishing
from studio.backend.report import Report, Reports
from studio.backend.room import Room
from studio.backend.runner import Runner
from studio.backend.sources import find_sources, given_ranks, look_at_folder
from studio.backend.versions import Version
from studio.backend.votes import Votes
from studio.data.chat_templates import TemplateUse
from studio.data.records import Message
from studio.data.scan_workers import BOTH_CORES, Spread
from studio.data.splits import SplitSpec
from studio.errors import InputError, ModelError, SpecError, Stopped, TrainingError
from studio.evaluation.plan import make_plan
from studio.models.adapter_folder import read_adapter_shape
from studio.models.catalog import ModelInfo, describe, find_tokenizer, width_here
from studio.models.recommended import Fit, RecommendedModel, recommended_models
from studio.runs.cautions import Caution, cautions
from studio.runs.cluster import ClusterSpec
from studio.runs.events import Ended, RunState
from studio.runs.exports import ExportSpec
from studio.runs.methods import METHODS
from studio.runs.presets import Preset, find_preset, list_presets
from studio.runs.problems import Problem
from studio.runs.spec import STARTER, RunSpec, with_changes
from studio.runs.store import RunRecord, Store
from studio.runs.unfit import Unfit, UnfitError
from studio.settings import Settings, read_settings

if TYPE_CHECKING:
    from studio.models.shape import ModelShape
    from studio.training.estimate import Estimate

LOG_FILE = "studio.log"
_LOG_BYTES = 2_000_000
_LOOK_SECONDS = 0.25


class Models:
    """What is known of a base model before it is loaded."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._widths: dict[str, int | None] = {}

    def describe(self, source: str) -> ModelInfo:
        """`starter`, a folder or a Hub name. Raises ModelError; a Hub that cannot be reached is told in seconds."""
        found = describe(source, self._settings)
        self._widths[source] = found.width
        return found

    def look(self, source: str) -> None:
        """Makes the size of a model known, where it can be; what is wrong with a model is told elsewhere."""
        if self.width(source) is None:
            with suppress(ModelError):
                self.describe(source)

    def width(self, source: str) -> int | None:
        """The hidden size of a model, as far as it is known without asking the Hub."""
        return width_here(source, self._settings) or self._widths.get(source)

    def recommended(self, language: str = "en") -> tuple[tuple[RecommendedModel, Fit], ...]:
        """Open models of the Hub that know this language, smallest first, and whether this machine can tune them: by
        the memory that is free now, of the accelerator where there is one that is in use already."""
        torch = sys.modules.get("torch")  # loading it takes seconds, which a list is not worth
        on_gpu = torch is not None and torch.cuda.is_available()
        free = torch.cuda.mem_get_info()[0] if torch and on_gpu else psutil.virtual_memory().available
        models = recommended_models(self._settings.assets)
        return tuple((m, m.fit(free, 2 if on_gpu else 4)) for m in models if language in m.languages)


class Studio:
    """The open studio. `worker` starts the thread that trains; the command line trains in its own instead. `spread`:
    who checks and cleans the row groups of tables.

    Raises WorkspaceError when another studio holds the workspace for writing (unless `read_only`).
    """

    def __init__(
        self, settings: Settings, *, read_only: bool = False, worker: bool = True, spread: Spread = BOTH_CORES
    ) -> None:
        self.settings = settings
        self.store = Store(settings.workspace, read_only=read_only)
        self._log = None if read_only else _open_log(settings.workspace / "logs")
        self._close_lock = threading.Lock()
        self._closed = False
        self.models = Models(settings)
        self.datasets = Datasets(settings, self.store, spread)
        self.mixtures = Mixtures(self.datasets)
        self.compare = Comparison(settings, self.store, self.datasets)
        self.votes = Votes(self.store, self.datasets)
        self.comparisons = Comparisons(self.store, self.compare, self.votes)
        self.evaluations = Evaluations(self.store, self.datasets, self.mixtures, self.compare)
        self.reports = Reports(self.evaluations)
        self.exports = Exports(settings, self.store, self.datasets, self.compare, self.reports)
        self.publishing = Publishing(settings, self.store)
        self.runner = Runner(
            settings,
            self.store,
            self.datasets,
            worker=worker,
            evaluate=lambda run, stopping: self.evaluations.evaluate(run, stopping=stopping),
        )
        self.learning_curve = LearningCurve(self.datasets, self.runner)
        self._room = Room(settings)

    # One call per step, for notebooks and programs

    @classmethod
    def open(cls, workspace: str | Path | None = None) -> Self:
        """The studio on a folder, which is made where there is none; None: the one that the page opens. Queued runs
        train in the background. Close it at the end, or use `with`. Raises WorkspaceError as `Studio` does."""
        return cls(read_settings(Path(workspace) if workspace is not None else None))

    def import_data(self, path: str | Path, encoding: str | None = None) -> Version:
        """A new data set from a file, an archive or a folder. Raises DataError: what is wrong, where, what to do."""
        return self.datasets.import_file(Path(path).expanduser().absolute(), encoding=encoding)

    def train(self, spec: RunSpec, name: str = "", progress: Callable[[RunState], None] | None = None) -> RunRecord:
        """Train a run and come back when it has ended; `progress` sees its state a few times a second. Interrupted (the
        stop button of a notebook) it stops after its step and keeps what it has learned.

        Raises what `start` raises, and the error that the run failed with.
        """
        run = self.start(lambda: spec, name)
        if not self.runner.works:
            threading.Thread(target=self.runner.run_now, args=(run.id,), name="studio-training", daemon=True).start()
        while True:
            try:
                ended = self._wait(run.id, progress)
                break
            except KeyboardInterrupt:
                self.runner.stop(run.id)
        if ended.status == "failed":
            raise (InputError if ended.wrong_input else TrainingError)(ended.key or "error.bug", **ended.values)
        return run

    def _wait(self, run: str, progress: Callable[[RunState], None] | None) -> Ended:
        while True:
            state = self.runner.state(run)
            if progress:
                progress(state)
            if self._closed:
                raise Stopped("error.run.closed")
            if state.ended is not None and self.runner.current() != run:
                return state.ended
            time.sleep(_LOOK_SECONDS)

    def ask(
        self,
        run: str,
        prompt: str,
        *,
        system: str = "",
        step: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_new_tokens: int = 128,
        seed: int = 0,
    ) -> tuple[ColumnState, ColumnState]:
        """What the base model answers, and what the run (or one of its checkpoints) does. Raises StudioError."""
        turns = (Message("user", prompt),)
        columns = tuple(Column(who, turns) for who in self.compare.beside_base(run, step))
        *_, last = self.compare.stream(CompareRequest(columns, system, temperature, top_p, max_new_tokens, seed))
        base, tuned = last.columns
        return base, tuned

    def evaluate(
        self, run: str, step: int | None = None, progress: Callable[[float], None] | None = None, **changes: Any
    ) -> Report:
        """Ask base and tuned model rows that were never trained on, and general questions; figures and verdict.
        `changes`: settings of the `EvaluationPlan` that are to be other than last time. Raises StudioError."""
        plan = make_plan({**self.evaluations.plan(run).model_dump(), **changes})
        self.evaluations.evaluate(run, step, plan, progress)
        self.evaluations.set_plan(run, plan)
        report = self.reports.report(run, step, plan)
        assert report is not None, "all were asked"
        return report

    def export(
        self,
        run: str,
        to: str | Path,
        spec: ExportSpec | None = None,
        step: int | None = None,
        progress: Callable[[float, str], None] | None = None,
    ) -> Export:
        """An export of the run (or one of its checkpoints), its adapter if nothing else is asked for, proven and put at
        `to`: a zip if its name ends so, else a new folder. Raises StudioError."""
        return self.exports.write(run, Path(to), step, spec, progress)

    # Settings of runs

    def presets(self) -> list[Preset]:
        """The named starting points, in order."""
        return list_presets(self.settings.presets)

    def default_spec(
        self,
        version: str,
        preset: str = "quick-look",
        model: str = "starter",
        method: str | None = None,
        tuner: str = "lora",
    ) -> RunSpec:
        """Settings to begin with: the preset's, for a dataset version ("" for none yet) as it is split, a base model, a
        tuner and a method; without one, the natural method of the data. The learning rate goes by the size of the
        model, as far as that is known (`Models.width`). Raises InputError."""
        kind = method or self.datasets.natural_method(version)
        split = self.datasets.version(version).split if version else SplitSpec()
        chosen = {
            "method.kind": kind,
            "data.version": version,
            "data.split": split.model_dump(mode="json"),
            "model.source": model,
            "tuner.kind": tuner,
        }
        spec = with_changes(RunSpec(), chosen)
        return find_preset(self.settings.presets, preset).apply(spec, self.models.width(model))

    def following(self, run: str, method: str, version: str = "", reward: str = "", step: int = 0) -> RunSpec:
        """Settings of a run that goes on from this one's adapter (or that of a checkpoint) by another method, its
        preset's for that method; the adapter's shape, the chat template and the longest length are this run's.
        `reward`: the run whose reward model judges."""
        before = self.store.run(run).spec
        names = {preset.name for preset in self.presets()}
        preset = before.preset if before.preset in names else self.presets()[0].name
        spec = self.default_spec(version, preset, before.model.source, method)
        kept = before.model_dump(mode="json")
        tuner = kept["tuner"] | ({"dropout": 0} if METHODS[method].learns == "prompts" else {})
        adapter = {"model.adapter": run, "model.adapter_step": step}
        model = {name: getattr(before.model, name) for name in ("precision", "chat_template")}
        changes = {"tuner": tuner, **{f"model.{name}": value for name, value in model.items()}, **adapter}
        judged = {"method.rewards": [{"kind": "model", "run": reward}]} if reward else {}
        return with_changes(spec, {**changes, **judged, "data.max_length": before.data.max_length})

    def next_run(self, following: Next, version: str) -> RunSpec:
        """Settings of the next run of a chain, on this data."""
        if following.parent:
            return self.following(following.parent, following.method, version, following.reward)
        judge = self.store.run(following.reward).spec.model if following.reward else None
        spec = self.default_spec(version, self.presets()[0].name, judge.source if judge else STARTER, following.method)
        if judge is None:
            return spec
        judged = {"method.rewards": [{"kind": "model", "run": following.reward}]}
        return with_changes(spec, {**judged, "model.chat_template": judge.chat_template})

    def suited(self, method: str, versions: Sequence[str | None]) -> str | None:
        """The first of these dataset versions whose rows can teach the method."""
        known = {record.id for record in self.store.versions()}
        return next((v for v in versions if v in known and method in self.datasets.methods(v)), None)

    def problems(self, asked: RunSpec | SpecError, *, wait: bool = True) -> list[Problem]:
        """All that stands in the way of a run, told before anything is loaded, each with the setting it is about; also
        of settings that are no RunSpec. Without `wait` only what is known at once."""
        return self.runner.preflight.problems(asked, wait=wait)

    def start(
        self, make: Callable[[], RunSpec], name: str = "", token: str | None = None, cluster: ClusterSpec | None = None
    ) -> RunRecord:
        """Queue a run as `Runner.submit` does, with the settings that `make` puts together. Of settings that are no
        RunSpec the PlanError tells what else stands in the way. Raises UnfitError where its estimate does not fit this
        machine."""
        return self.runner.submit(self._made(make, cluster), name, token, cluster)

    def sweep(
        self, make: Callable[[], RunSpec], path: str, values: Sequence[Any], name: str = "", token: str | None = None,
        cluster: ClusterSpec | None = None,
    ) -> list[RunRecord]:  # fmt: skip
        """Queue runs as `Runner.sweep` does. Raises as `start`."""
        return self.runner.sweep(self._made(make, cluster), path, values, name, token, cluster)

    def _made(self, make: Callable[[], RunSpec], cluster: ClusterSpec | None) -> RunSpec:
        try:
            spec = make()
        except SpecError as error:
            self.runner.preflight.check(error)
            raise
        if cluster is None:
            self._room.check(spec)
        return spec

    def shape(self, spec: RunSpec) -> "ModelShape":
        """What the model of a run is made of, told without its weights. Raises ModelError."""
        _, folder = find_tokenizer(spec.model.source, self.settings)
        load_engine()
        from studio.models.shape import read_shape

        shape = read_shape(folder, scores=not spec.method.writes)
        return replace(shape, given=given_ranks(self.store, spec))

    def adapter_settings(self, folder: str) -> dict[str, Any]:
        """The settings of a run that goes on from the adapter in this folder, by their paths. Raises ModelError."""
        shape = read_adapter_shape(Path(folder.strip()))
        tuner = {f"tuner.{name}": value for name, value in shape.settings.items()}
        return {"model.adapter": "", "model.adapter_step": 0, "model.adapter_folder": folder, **tuner}

    def cautions(self, spec: RunSpec) -> list[Caution]:
        """What is often regretted about these settings, before anything is measured."""
        data = spec.data
        rows, _, _ = self.datasets.split_counts(data.version, data.split, spec.method.learns, data.mapping)
        width = self.models.describe(spec.model.source).width
        replays = self.mixtures.replayed(spec.data.version) is not None
        use = self.template_use(spec, wait=True)
        return [*cautions(spec, rows, width, replays=replays, template=use), *self.adapter_cautions(spec)]

    def adapter_cautions(self, spec: RunSpec) -> list[Caution]:
        """Layers that are left as they are, where the model was looked at. And an adapter may say that it was made for
        another model, though its layers fit. Names alone prove nothing: often they are paths of another machine."""
        if single := self.runner.preflight.left_out(spec, wait=False):
            return [("ui.train.caution.left_out", {"count": len(single), "layer": single[0]}), *self._other_base(spec)]
        return self._other_base(spec)

    def _other_base(self, spec: RunSpec) -> list[Caution]:
        if not spec.model.adapter_folder:
            return []
        base = look_at_folder(spec).base
        model = self.settings.starter.name if spec.model.source == STARTER else spec.model.source
        if not base or Path(base).name.lower() == Path(model).name.lower():
            return []
        return [("ui.train.caution.adapter_base", {"base": base, "model": model})]

    def template_use(self, spec: RunSpec, *, wait: bool = False) -> TemplateUse | None:
        """How the chat template of a run's model is used; without `wait` None until the model was looked at."""
        return self.runner.preflight.template_use(spec, wait=wait)

    def estimate(self, spec: RunSpec) -> "Estimate":
        """What a run would take, told before it starts; time and memory come from a short measured probe."""
        self.runner.preflight.check(spec)
        load_engine(training=True)
        from studio.training.estimate import estimate

        rows, skipped = self.datasets.lessons(spec.data.version, spec.data.mapping, spec.method.learns)
        parts = self.datasets.split(spec.data.version, spec.data.split, spec.data.mapping)
        try:
            told = estimate(spec, self.settings, rows, skipped, parts, find_sources(self.store, spec))
        except UnfitError as error:
            self._room.note(spec, error.unfit)
            raise
        self._room.note(spec, told.unfit)
        return told

    def unfit(self, spec: RunSpec) -> Unfit | None:
        """Why a plan does not fit this machine, by its estimate; None where it fits, or was not measured."""
        return self._room.unfit(spec)

    def close(self) -> None:
        """Leave the worker, give the models' memory back, and let another studio in."""
        with self._close_lock:
            if self._closed:
                return
            self._closed = True
        self.runner.close()
        self.exports.close()
        self.compare.close()
        self.store.close()
        if self._log is not None:
            self._log()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open_log(folder: Path) -> Callable[[], None]:
    """Tracebacks of the studio go to `studio.log`; returns what closes it."""
    handler = RotatingFileHandler(folder / LOG_FILE, maxBytes=_LOG_BYTES, backupCount=2, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("studio")
    logger.addHandler(handler)

    def close() -> None:
        logger.removeHandler(handler)
        handler.close()

    return close
