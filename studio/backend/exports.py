"""Exports: what was tuned leaves the studio, proven by the program that is to use it to answer as it does here."""

import hashlib
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from studio.backend.candidates import Candidate, find_weights
from studio.backend.card_facts import card_facts, ended_time
from studio.backend.compare import Comparison
from studio.backend.datasets import Datasets
from studio.backend.engine import load_engine
from studio.backend.export_answers import Answered, ask_run
from studio.backend.export_files import prove_files, write_files
from studio.backend.export_job import ExportJob, begin_job, find_source
from studio.backend.export_plan import Absent, Offer, offer, offers, pace_of
from studio.backend.making import Making, Progress
from studio.backend.placing import free_target, make_room, put, refused
from studio.backend.report import Reports
from studio.backend.residence import Adapter
from studio.backend.training_rows import most_bytes, write_training_rows
from studio.backend.work import turn
from studio.errors import ExportError, InputError, StudioError, WorkspaceError
from studio.runs.contestants import Contestant
from studio.runs.exports import ExportSpec, Proof
from studio.runs.spec import ModelSpec, RunSpec, with_changes
from studio.runs.store import Store, file_words, told_disk
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.models.catalog import ModelFiles, ModelIdentity

log = logging.getLogger("studio")
_RECORD = ".json"
_PACED = 8
_CLOSE_SECONDS = 10.0
# What fetching a model of the Hub again puts right.
_GONE = {
    "error.model.hub_offline", "error.model.no_config", "error.model.no_weights", "error.model.shard_missing",
    "error.model.no_tokenizer",
}  # fmt: skip


class Export(BaseModel, frozen=True):
    """A finished export: a zip, or a folder with its files. `sha256` is the zip's, or that of its largest file; `files`
    are bytes by name. `seconds` it took, of which `told_seconds` were told. `run` is "" for what was made elsewhere;
    `outside` says what that was, where the workspace keeps the export. `window`: as of an Offer."""

    path: Path
    bytes: int
    sha256: str
    proof: Proof
    spec: ExportSpec = ExportSpec()
    run: str = ""
    step: int | None = None
    created: float = 0.0
    seconds: float = 0.0
    told_seconds: float = 0.0
    files: dict[str, int] = {}
    outside: Contestant | None = None
    window: int = 0


class Exports:
    """Makes exports, one at a time. What a killed one left is swept up when the workspace is opened."""

    def __init__(
        self, settings: Settings, store: Store, datasets: Datasets, compare: Comparison, reports: Reports
    ) -> None:
        self._reports = reports
        self._settings = settings
        self._store = store
        self._datasets = datasets
        self._compare = compare
        self._making = threading.Lock()
        self._under_way: list[Making] = []
        self._lock = threading.Lock()
        if not store.read_only:
            self._sweep()
            for packed in self.folder.glob("*.partial"):
                with suppress(OSError):  # it is in nobody's way
                    packed.unlink()
            for record in self.folder.glob(f"*{_RECORD}"):
                _read(record, tell=True)

    def close(self) -> None:
        """Stop what is under way; nothing of it is left."""
        for making in self.under_way():
            making.stop()
        for making in self.under_way():
            making.wait(_CLOSE_SECONDS)

    @property
    def folder(self) -> Path:
        return self._store.folder / "exports"

    # What there is

    def offers(
        self, run: str, step: int | None = None, prompts: int = ExportSpec().prompts, rows: bool = False
    ) -> tuple[Offer, ...]:
        """Every way to export a run's result, or one of its checkpoints, with size and time, or why it cannot be;
        `prompts` are asked for the proof, with the training `rows` or without. Raises InputError when there is no such
        run or checkpoint."""
        return self._offers(self._compare.adapter(run, step), prompts, rows)

    def offers_of(self, who: Contestant, prompts: int = ExportSpec().prompts, rows: bool = False) -> tuple[Offer, ...]:
        """As `offers`, of a run or of what was made elsewhere."""
        return self._offers(self.adapter(who, offline=True), prompts, rows)

    def _offers(self, adapter: Adapter, prompts: int, rows: bool) -> tuple[Offer, ...]:
        return offers(adapter, self._files(adapter), prompts, self._pace(), self._rows_bytes(adapter) if rows else 0)

    def adapter(self, who: Contestant, *, offline: bool = False) -> Adapter:
        """What is exported: a run's, an adapter made elsewhere, or a model as it is. `offline`: nothing is fetched.
        Raises InputError, and ModelError when there is no such model."""
        if (found := find_weights(self._store, who).adapter) is not None:
            return found
        from studio.models.catalog import find_files

        settings = replace(self._settings, offline=True) if offline else self._settings
        files = find_files(who.base.source, settings)
        return Adapter("", files.name, None, files.folder, None, who.base, None, full=True)

    def elsewhere(self, base: str = "", folder: str = "") -> Candidate:
        """What was made elsewhere: the adapter in `folder`, for the model that it names unless `base` says another; or
        without a folder the model `base` as it is. A model of the Hub is fetched. Raises StudioError: what is wrong
        with either, or that the adapter says it was made for other weights."""
        from studio.models.adapter_base import check_base
        from studio.models.adapter_folder import look_at_adapter
        from studio.models.catalog import find_files

        source, found = base.strip(), None
        if folder := folder.strip():
            found = look_at_adapter(Path(folder))
            if found.problems:
                raise found.problems[0]
            folder, source = str(found.folder), source or found.base
        if not source:
            raise InputError("error.export.no_model")
        files = find_files(source, self._settings)
        if found is not None:
            check_base(found, files, self._settings)
        who = Contestant(base=ModelSpec(source=source), folder=folder)
        adapter = self.adapter(who)
        return Candidate("", adapter.name, None, None, source, full=adapter.full, model=who.base, folder=folder)

    def made(self, run: str | None = None) -> tuple[Export, ...]:
        """The exports that lie in the workspace, newest first."""
        found = [export for file in self.folder.glob(f"*{_RECORD}") if (export := _read(file))]
        there = [export for export in found if export.path.exists() and run in (None, export.run)]
        return tuple(sorted(there, key=lambda export: -export.created))

    def made_of(self, who: Contestant) -> tuple[Export, ...]:
        """Those of a run, or of what was made elsewhere, newest first."""
        return tuple(one for one in self.made(who.run) if one.outside == (None if who.run else who))

    def zipped(self, path: Path) -> Path:
        """An export of the workspace, that is a folder, as one zip beside it. Raises InputError when there is none,
        ResourceError when the disk has no room for it once more."""
        load_engine()
        from studio.export.adapter import pack

        made = next((one for one in self.made() if one.path == path), None)
        if made is None or not made.path.is_dir():
            raise InputError("error.export.none", path=str(path))
        target = made.path.with_name(f"{made.path.name}.zip")
        partial = target.with_name(f"{target.name}.partial")
        with told_disk(self.folder):
            make_room(self.folder, made.bytes + self._settings.min_free_bytes)
            try:
                pack(made.path, partial, made.created)
                os.replace(partial, target)
            finally:
                partial.unlink(missing_ok=True)
        return target

    # Making

    def make(
        self,
        run: str,
        step: int | None = None,
        spec: ExportSpec | None = None,
        progress: Progress | None = None,
        stopping: Callable[[], bool] | None = None,
    ) -> Export:
        """The export of a run's result, or of one of its checkpoints, in the workspace, in place of an earlier one.

        It appears under its name only after the program that is to use it, in another process, gave the same answers
        with it. `progress` is called with the share done and the key of a sentence. Raises StudioError, Stopped soon
        after `stopping` says so; nothing is left then.
        """
        self._writable()
        who = Contestant(base=self._compare.adapter(run, step).model, run=run, step=step)
        return self._make_here(who, spec or ExportSpec(), progress, stopping)

    def begin(self, who: Contestant, spec: ExportSpec) -> Making:
        """As `make`, in a thread of its own; of what was made elsewhere too. One alike that is under way is joined."""

        def make(tell: Progress, stopping: Callable[[], bool]) -> Export:
            return self._make_here(who, spec, tell, stopping)

        with self._lock:
            going = [one for one in self._under_way if not one.done]
            making = next((one for one in going if (one.who, one.spec) == (who, spec) and not one.stopping), None)
            if making is None:
                making = Making(who, spec, make)
                going.append(making)
            self._under_way = going
        return making

    def under_way(self) -> tuple[Making, ...]:
        """Those that were begun and are not done, the first one first."""
        with self._lock:
            return tuple(one for one in self._under_way if not one.done)

    def _make_here(
        self,
        who: Contestant,
        spec: ExportSpec,
        progress: Progress | None,
        stopping: Callable[[], bool] | None,
    ) -> Export:
        self._writable()
        adapter = self.adapter(who)
        target = self.folder / file_name(adapter.name, who.run or _digest(who), who.step, spec)
        made = self._export(adapter, spec, target, progress, stopping)
        made = made.model_copy(update={"outside": None if who.run else who})
        _keep(made, target.with_name(target.name + _RECORD))
        return made

    def write(
        self,
        run: str,
        target: Path,
        step: int | None = None,
        spec: ExportSpec | None = None,
        progress: Progress | None = None,
        stopping: Callable[[], bool] | None = None,
    ) -> Export:
        """Make the export at `target`: a zip if its name ends so, else a new folder.

        Raises InputError when something is there already, or nothing can be written there.
        """
        self._writable()
        target = free_target(target)
        return self._export(self._compare.adapter(run, step), spec or ExportSpec(), target, progress, stopping)

    def write_outside(
        self,
        base: ModelSpec,
        folder: Path | None,
        target: Path,
        spec: ExportSpec | None = None,
        progress: Progress | None = None,
        stopping: Callable[[], bool] | None = None,
    ) -> Export:
        """As `write`, of an adapter that was made elsewhere, in `folder`, on a base model; without one of that model as
        it is. Raises ModelError where the two do not fit, or the adapter says that it was made for other weights."""
        adapter = self.adapter(Contestant(base=base, folder=str(folder or "")))
        target = free_target(target)
        return self._export(adapter, spec or ExportSpec(), target, progress, stopping)

    def _writable(self) -> None:
        if self._store.read_only:
            raise WorkspaceError("error.workspace.read_only", folder=str(self._store.folder))

    def _export(
        self,
        adapter: Adapter,
        spec: ExportSpec,
        target: Path,
        progress: Progress | None,
        stopping: Callable[[], bool] | None,
    ) -> Export:
        began, stop = time.monotonic(), stopping or (lambda: False)
        if not adapter.folder.is_dir():
            raise ExportError("error.adapter.missing", folder=str(adapter.folder))
        load_engine()
        source = find_source(adapter, self._store, self._settings)
        planned = offer(adapter, source.base, spec, rows_bytes=self._rows_bytes(adapter) if spec.rows else 0)
        if planned.refusal is not None:
            raise planned.refusal
        with turn(self._making, stop), told_disk(target.parent):
            self._sweep()
            make_room(target.parent, planned.room_bytes + self._settings.min_free_bytes)
            work = target.parent / f"{secrets.token_hex(6)}.partial"
            with refused(target):
                work.mkdir()
            try:
                job = begin_job(source, spec, work, stop)
                made = self._make(job, target, progress or (lambda share, key: None))
            finally:
                shutil.rmtree(work, ignore_errors=True)  # what is left is no export; why it ended is told
        took = {"created": time.time(), "seconds": time.monotonic() - began, "told_seconds": planned.seconds}
        took["window"] = planned.window
        return made.model_copy(update=took)

    def _make(self, job: ExportJob, target: Path, tell: Progress) -> Export:
        from studio.export.adapter import sha256_of

        spec, adapter, staged = job.spec, job.source.adapter, job.staged

        # 1. What the run's adapter answers here
        answers = _part(tell, 0.05, 0.35, "ui.export.progress.answers")
        found = ask_run(job, self._compare, self._settings, answers)

        # 2. The files
        error = write_files(job, found, _part(tell, 0.35, 0.55, f"ui.export.progress.files.{spec.target}"))

        # 3. The proof
        proving = _part(tell, 0.55, 0.9, f"ui.export.progress.proof.{spec.target}")
        proof = prove_files(job, found, proving).model_copy(update={"weight_error": error})
        if not proof.passed:
            raise not_proven(proof)

        # 4. What tells of it
        tell(0.9, "ui.export.progress.pack")
        if spec.rows and adapter.run:
            write_training_rows(self._store, self._datasets, self._settings, adapter.run, staged)
        hashes = {path.name: sha256_of(path) for path in sorted(staged.iterdir())}
        self._write_card(job, found, proof, hashes)
        stamp = ended_time(self._store, adapter.run) if adapter.run else 0.0
        sizes = {path.name: path.stat().st_size for path in sorted(staged.iterdir())}
        zipped = target.suffix.lower() == ".zip"
        digest = put(staged, job.work, target, stamp)
        tell(1.0, "ui.export.progress.done")
        return Export(
            path=target,
            bytes=target.stat().st_size if zipped else sum(sizes.values()),
            sha256=digest or hashes[max(hashes, key=lambda name: sizes[name])],
            proof=proof,
            spec=spec,
            run=adapter.run,
            step=adapter.step,
            files=sizes,
        )

    def _write_card(self, job: ExportJob, found: Answered, proof: Proof, hashes: dict[str, str]) -> None:
        from studio.export.adapter import CARD, SPEC
        from studio.export.card import model_card
        from studio.export.gguf_look import window_of
        from studio.export.script import FILE, reproduction

        adapter, staged = job.source.adapter, job.staged
        facts = card_facts(self._store, self._datasets, self._reports, adapter, found)
        window = window_of(job.source.base.folder) if job.spec.target.startswith("gguf") else 0
        card = model_card(replace(facts, window=window), job.spec, proof, hashes)
        (staged / CARD).write_text(card, encoding="utf-8")
        if (script := reproduction(facts)) is not None:
            (staged / FILE).write_text(script, encoding="utf-8")
        if not adapter.run:
            return
        recorded = self._store.run(adapter.run).spec
        (staged / SPEC).write_text(_public(recorded, found.identity).to_yaml(), encoding="utf-8")

    def _sweep(self) -> None:
        """Remove what a killed export left behind."""
        for path in self.folder.glob("*.partial"):
            shutil.rmtree(path, ignore_errors=True)

    def _files(self, adapter: Adapter) -> "ModelFiles | Absent | StudioError":
        """The base model's, or what is wrong with them; PyTorch is not loaded for it. Nothing is fetched: a model of
        the Hub that a run was trained on is here, or was deleted since, and an export would fetch it again."""
        from studio.models.catalog import find_files, is_on_hub

        source, started = adapter.model.source, adapter.started
        try:
            return find_files(source, replace(self._settings, offline=True))
        except StudioError as error:
            gone = error.key in _GONE and not self._settings.offline and is_on_hub(source, self._settings)
            if not gone or started is None:
                return error
        return Absent(started.parameters)

    def _rows_bytes(self, adapter: Adapter) -> int:
        return most_bytes(self._datasets, self._store.run(adapter.run).spec.data.version) if adapter.run else 0

    def _pace(self) -> float:
        return pace_of([(one.told_seconds, one.seconds) for one in self.made()[:_PACED]])


def not_proven(proof: Proof) -> ExportError:
    """Why an export is not given: what the other program did otherwise."""
    if proof.rendered < proof.conversations:
        return ExportError(
            "error.export.not_rendered",
            program=proof.program,
            conversations=proof.conversations,
            rendered=proof.rendered,
        )
    difference = "?" if proof.max_score_difference is None else f"{proof.max_score_difference:.3g}"
    before, after = proof.perplexity or (float("nan"), float("nan"))
    return ExportError(
        "error.export.not_equal",
        program=proof.program,
        prompts=proof.prompts,
        equal=proof.equal,
        difference=difference,
        first=f"{proof.first_tokens:.1%}",
        before=f"{before:.4g}",
        after=f"{after:.4g}",
    )


# Where it goes


def file_name(name: str, run: str, step: int | None, spec: ExportSpec | None = None) -> str:
    """Letters and digits of the run's name, and its id: what users wrote never becomes a path. A zip, or a folder where
    there is a whole model in it."""
    spec = spec or ExportSpec()
    part = "" if step is None else f"-step{step}"
    stem = f"{file_words(name) or 'adapter'}-{run}{part}"
    if spec.target == "adapter":
        return f"{stem}.zip"
    return f"{stem}-{spec.target}-{spec.kind}"


def _digest(who: Contestant) -> str:
    """What was made elsewhere has no id."""
    return hashlib.sha256(f"{who.base.source}\n{who.folder}".encode()).hexdigest()[:8]


def _keep(made: Export, file: Path) -> None:
    partial = file.with_name(file.name + ".partial")
    partial.write_text(made.model_dump_json(indent=1) + "\n", encoding="utf-8")
    os.replace(partial, file)


def _read(file: Path, *, tell: bool = False) -> Export | None:
    """None where it is none that can be read: a file of somebody else, or of another release. The log may `tell`."""
    try:
        return Export.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        if tell:
            log.warning("%s is no record of an export, so none is shown for it: %s", file, error)
        return None


def _part(tell: Progress, begin: float, end: float, key: str) -> Callable[[float], None]:
    """Tells the shares of a part of the work as shares of all of it."""
    tell(begin, key)
    return lambda share: tell(begin + (end - begin) * share, key)


def _public(spec: RunSpec, base: "ModelIdentity") -> RunSpec:
    """The spec as it may leave: the base by its name, not by where it lay on this machine."""
    source = spec.model.source if base.commit or spec.model.source == "starter" else base.name
    return with_changes(spec, {"model.source": source})
