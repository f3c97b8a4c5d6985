"""Where a run is trained that one machine is too small for. It is recorded with a run's turn, beside its settings: the
same settings and data come to the same on one machine and on several, but for the order in which numbers are added."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.data.spec_files import spec_error
from studio.errors import InputError, PlanError, SpecError
from studio.runs.methods import METHODS, CptSpec, RolloutSpec
from studio.runs.spec import LoraSpec, RunSpec


class ClusterSpec(BaseModel):
    """A Ray cluster, by its address (`host:port`, `auto` or `local`), and how many workers share each batch there.

    Every worker holds the whole model (data parallelism; Li et al. 2020, arXiv:2006.15704), or with `sharding` `full`
    its part of every weight (fully sharded data parallelism; Zhao et al. 2023, arXiv:2304.11277).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: Annotated[str, Field(min_length=1, max_length=300)] = "local"
    workers: Annotated[int, Field(ge=1, le=1024)] = 2
    sharding: Literal["none", "full"] = "none"


def parse_cluster(values: Mapping[str, Any]) -> ClusterSpec:
    """Raises SpecError that tells every problem, each with its path."""
    try:
        return ClusterSpec.model_validate(values)
    except ValidationError as error:
        raise spec_error(error, under="cluster.") from None


def check_cluster(spec: RunSpec, cluster: ClusterSpec) -> None:
    """Raises PlanError that tells every reason why the run cannot be trained there."""
    if problems := tuple(_problems(spec, cluster)):
        raise PlanError("error.cluster.problems", problems=problems)


def _problems(spec: RunSpec, cluster: ClusterSpec) -> Iterator[InputError]:
    if isinstance(spec.method, RolloutSpec):
        able = ", ".join(name for name, method in METHODS.items() if not issubclass(method, RolloutSpec))
        yield SpecError("error.cluster.method", method=spec.method.kind, able=able)
    batch, workers = spec.training.batch_size, cluster.workers
    if batch % workers:
        below = batch - batch % workers
        sizes = f"{below}, {below + workers}" if below else str(workers)
        yield SpecError("error.cluster.batch", batch_size=batch, workers=workers, sizes=sizes)
    if cluster.sharding == "full":
        yield from _sharding_problems(spec)
    if spec.training.report_to:
        yield SpecError("error.cluster.trackers", trackers=", ".join(spec.training.report_to))


def _sharding_problems(spec: RunSpec) -> Iterator[InputError]:
    """What needs a weight whole before training: four bits pack it, DoRA takes its length, new tokens enlarge it."""
    if spec.tuner.quantisation != "none":
        yield SpecError("error.cluster.sharding.four_bits")
    if isinstance(spec.tuner, LoraSpec) and spec.tuner.variant == "dora":
        yield SpecError("error.cluster.sharding.dora")
    if isinstance(spec.method, CptSpec) and spec.method.new_tokens:
        yield SpecError("error.cluster.sharding.new_tokens")
