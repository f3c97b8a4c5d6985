"""An export on its way: what is exported, how, and the folders it is made in."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from studio.backend.residence import Adapter
from studio.backend.work import Stopping
from studio.runs.exports import ExportSpec
from studio.runs.spec import LoraSpec
from studio.runs.store import Store
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.models.catalog import ModelFiles


@dataclass(frozen=True, slots=True)
class Source:
    """What is exported: an adapter and its base, or a whole model that was tuned of it. `held`: the numbers that a run
    computed in which held its base in 4 bits."""

    adapter: Adapter
    base: "ModelFiles"
    held: str | None = None

    @property
    def weights(self) -> "ModelFiles":
        """Whose weights the adapter is merged into; of a whole model its own."""
        if not self.adapter.full:
            return self.base
        from studio.models.folder import read_config, weight_files

        folder = self.adapter.folder
        return replace(self.base, folder=folder, config=read_config(folder), weights=weight_files(folder), hashes={})


@dataclass(frozen=True, slots=True)
class ExportJob:
    """`work`: the folder that all of it is made in, beside its place. `stopping` is asked whether somebody wants it to
    end; whoever is told so raises Stopped."""

    source: Source
    spec: ExportSpec
    work: Path
    stopping: Stopping

    @property
    def staged(self) -> Path:
        """What is given away in the end."""
        return self.work / "files"

    @property
    def scratch(self) -> Path:
        """What writing and proof need beside it."""
        return self.work / "scratch"

    @property
    def tokenizer(self) -> Path:
        """The run's tokenizer, as every target takes it from."""
        return self.work / "tokenizer"


def begin_job(source: Source, spec: ExportSpec, work: Path, stopping: Stopping) -> ExportJob:
    """With its folders, empty."""
    job = ExportJob(source, spec, work, stopping)
    for folder in (job.staged, job.scratch, job.tokenizer):
        folder.mkdir()
    return job


def find_source(adapter: Adapter, store: Store, settings: Settings) -> Source:
    """Raises ModelError when the base model is not there any more, or damaged."""
    from studio.models.catalog import find_files

    base = find_files(adapter.model.source, settings)
    tuner = store.run(adapter.run).spec.tuner if adapter.run else None
    if not isinstance(tuner, LoraSpec) or tuner.quantisation == "none":
        return Source(adapter, base)
    from studio.models.device import detect_device
    from studio.models.folder import count_parameters

    parameters = count_parameters(base.folder, base.weights)
    return Source(adapter, base, detect_device().numbers(adapter.model.precision, parameters))
