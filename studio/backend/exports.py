"""Exports: an adapter leaves the studio as a zip, proven to answer outside as it does here."""

import os
import secrets
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from studio.backend.card_facts import card_facts, ended_time
from studio.backend.compare import Comparison
from studio.backend.datasets import Datasets
from studio.backend.engine import load_engine
from studio.backend.report import Reports
from studio.backend.residence import Adapter
from studio.errors import ExportError, InputError, WorkspaceError
from studio.runs.exports import Proof
from studio.runs.spec import RunSpec, with_changes
from studio.runs.store import Store, disk_full, file_words, is_disk_full, sync_folder, told_disk
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.export.proof import Expected
    from studio.models.catalog import ModelIdentity

_CANDIDATES = 24
Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Export:
    """A finished export: the zip, or the folder its files were written to. `sha256` is the zip's."""

    path: Path
    bytes: int
    sha256: str
    proof: Proof


class Exports:
    """Makes exports, one at a time."""

    def __init__(
        self, settings: Settings, store: Store, datasets: Datasets, compare: Comparison, reports: Reports
    ) -> None:
        self._reports = reports
        self._settings = settings
        self._store = store
        self._datasets = datasets
        self._compare = compare
        self._making = threading.Lock()

    @property
    def folder(self) -> Path:
        return self._store.folder / "exports"

    def make(self, run: str, step: int | None = None, progress: Progress | None = None) -> Export:
        """The zip of a run's result, or of one of its checkpoints, in the workspace.

        It appears under its name only after plain PEFT, in another process, gave the same answers with it.
        `progress` is called with the share done and the key of a sentence. Raises StudioError; nothing is left then.
        """
        if self._store.read_only:
            raise WorkspaceError("error.workspace.read_only", folder=str(self._store.folder))
        adapter = self._compare.adapter(run, step)
        if not adapter.folder.is_dir():
            raise ExportError("error.adapter.missing", folder=str(adapter.folder))
        tell = progress or (lambda share, key: None)
        with self._making, told_disk(self.folder):
            self._sweep()
            self._check_room(adapter)
            work = self.folder / f"{secrets.token_hex(6)}.partial"
            try:
                return self._make(adapter, work, tell)
            finally:
                shutil.rmtree(work, ignore_errors=True)

    def _make(self, adapter: Adapter, work: Path, tell: Progress) -> Export:
        load_engine()
        from studio.export import adapter as files
        from studio.export.card import model_card
        from studio.export.proof import prove
        from studio.models.catalog import find_files

        staged, unpacked, scratch = work / "files", work / "unpacked", work / "scratch"
        for folder in (staged, unpacked, scratch):
            folder.mkdir(parents=True)

        # 1. What the run's adapter answers here
        tell(0.05, "ui.export.progress.answers")
        base, expected, sha256, vocabulary = self._expect(adapter, staged)
        self._compare.release()  # one base model in memory is enough, and the proof loads its own

        # 2. The files
        tell(0.35, "ui.export.progress.files")
        written = (
            files.write_model(adapter.folder, staged)
            if adapter.full
            else files.write_adapter(adapter.folder, staged, base)
        )
        if written != sha256:
            raise ExportError("error.export.changed", run=adapter.name)
        spec = self._store.run(adapter.run).spec
        facts = card_facts(self._store, self._datasets, self._reports, adapter, base, expected, sha256, vocabulary)
        (staged / files.CARD).write_text(model_card(facts), encoding="utf-8")
        (staged / files.SPEC).write_text(_public(spec, base).to_yaml(), encoding="utf-8")

        # 3. The zip, and the proof with what is in it
        tell(0.45, "ui.export.progress.pack")
        packed = work / "adapter.zip"
        files.pack(staged, packed, ended_time(self._store, adapter.run))
        files.unpack(packed, unpacked)
        tell(0.55, "ui.export.progress.proof")
        of = None if adapter.full else find_files(adapter.model.source, self._settings).folder
        proof = prove(expected, of, unpacked, scratch)
        if not proof.passed:
            raise ExportError(
                "error.export.not_equal",
                prompts=proof.prompts,
                equal=proof.equal,
                difference=f"{proof.max_score_difference:.3g}",
            )
        target = self.folder / file_name(adapter.name, adapter.run, adapter.step)
        digest, size = files.sha256_of(packed), packed.stat().st_size
        os.replace(packed, target)
        tell(1.0, "ui.export.progress.done")
        return Export(target, size, digest, proof)

    def write(self, run: str, target: Path, step: int | None = None, progress: Progress | None = None) -> Export:
        """Make the export and put it at `target`: a zip if its name ends so, else a new folder.

        Raises InputError when something is there already.
        """
        target = target.expanduser().absolute()
        zipped = target.suffix.lower() == ".zip"
        empty_folder = not zipped and target.is_dir() and not any(target.iterdir())
        if target.exists() and not empty_folder:
            raise InputError("error.export.target_exists", target=str(target))
        made = self.make(run, step, progress)
        load_engine()
        from studio.export.adapter import unpack

        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError("error.export.target_refused", target=str(target), reason=str(error)) from None
        partial = target.with_name(f"{target.name}.{secrets.token_hex(4)}.partial")
        with told_disk(target.parent):
            try:
                if zipped:
                    shutil.copyfile(made.path, partial)
                    with partial.open("rb") as file:
                        os.fsync(file.fileno())
                else:
                    partial.mkdir()
                    unpack(made.path, partial)
                    sync_folder(partial)
                    if target.is_dir():
                        target.rmdir()
                os.replace(partial, target)
            except OSError as error:
                if is_disk_full(error):
                    raise
                raise InputError("error.export.target_refused", target=str(target), reason=str(error)) from None
            finally:
                _remove(partial)
        return replace(made, path=target)

    # What goes in

    def _expect(self, adapter: Adapter, staged: Path) -> "tuple[ModelIdentity, Expected, str, int | None]":
        """The base, the answers to compare with, the adapter's hash, and how many rows the embedding needs where there
        are new ones; the tokenizer is written on the way."""
        from studio.export.adapter import write_tokenizer
        from studio.export.proof import expect

        prompts = [messages for messages, _ in self._compare.examples(adapter.run, _CANDIDATES)]
        with self._compare.lease(adapter) as lease:
            assert lease.adapter_sha256 is not None
            expected = expect(lease.model, lease.tokenizer, lease.adapter_name, prompts, lease.lock)
            write_tokenizer(lease.tokenizer, staged)
            rows = max(lease.tokenizer.get_vocab().values()) + 1
            return lease.identity, expected, lease.adapter_sha256, rows if rows > lease.base_rows else None

    # Room

    def _check_room(self, adapter: Adapter) -> None:
        size = sum(path.stat().st_size for path in adapter.folder.glob("*.safetensors"))
        needed = 3 * size + 30_000_000 + self._settings.min_free_bytes
        if shutil.disk_usage(self.folder).free < needed:
            raise disk_full(self.folder, needed)

    def _sweep(self) -> None:
        """Remove what a killed export left behind."""
        for path in self.folder.glob("*.partial"):
            shutil.rmtree(path, ignore_errors=True)


def file_name(name: str, run: str, step: int | None) -> str:
    """Letters and digits of the run's name, and its id: what users wrote never becomes a path."""
    part = "" if step is None else f"-step{step}"
    return f"{file_words(name) or 'adapter'}-{run}{part}.zip"


def _public(spec: RunSpec, base: "ModelIdentity") -> RunSpec:
    """The spec as it may leave: the base by its name, not by where it lay on this machine."""
    source = spec.model.source if base.commit or spec.model.source == "starter" else base.name
    return with_changes(spec, {"model.source": source})


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
