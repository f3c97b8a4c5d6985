"""Would more data help? Short runs on 25, 50 and 100 % of the training rows, measured on the same validation rows.

All of them take the same number of steps: a smaller part is read more often. With the same number of epochs, the
smaller parts would also be trained less, and less training looks just like less data. What too many rounds over few
rows spoil is left out, because the best evaluation of each run is what counts. The parts are nested (the rows of a
quarter are among those of the half), so that no difference comes from other rows.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor
from typing import Any

from studio.backend.datasets import Datasets
from studio.backend.runner import Runner
from studio.data.splits import SplitSpec
from studio.errors import DataError, InputError
from studio.messages import translate
from studio.runs.spec import RunSpec, with_changes

SHARES = (0.25, 0.5, 1.0)
UNFINISHED = ("queued", "running")
# Fewer validation rows than this tell nothing; smaller differences, as a share of the loss, come and go with the seed.
FEW = 20
_NOTABLE = 0.02
_MOST_EPOCHS = 100.0


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One run. `loss`: its best validation loss, None until it has one. `progress`: the part done, 0 to 1."""

    run: str
    share: float
    rows: int | None
    loss: float | None
    status: str
    progress: float = 0.0


@dataclass(frozen=True, slots=True)
class CurveReading:
    """What the runs say, as a sentence key and its values; `points` from the smallest part to the largest."""

    points: tuple[CurvePoint, ...]
    key: str
    values: dict[str, Any]

    def message(self, language: str = "en") -> str:
        """The sentence in `language`."""
        return translate(self.key, language, **self.values)


@dataclass(frozen=True, slots=True)
class CurveOutline:
    """What a learning curve would take: rows of each run by its share, smallest first; `steps` of each run."""

    parts: tuple[tuple[float, int], ...]
    validation_rows: int
    steps: int


class LearningCurve:
    """Queues the runs of a learning curve and reads what came of them."""

    def __init__(self, datasets: Datasets, runner: Runner) -> None:
        self._datasets = datasets
        self._runner = runner
        self._starting = threading.Lock()

    def outline(self, spec: RunSpec, shares: Sequence[float] = SHARES) -> CurveOutline:
        """What `start` would do. Raises InputError when there are no validation rows to measure on."""
        planned = self.plan(spec, shares)
        parts = tuple((one.data.split.train_share, self._rows(spec, one.data.split.train_share)) for one in planned)
        validation = self._counts(spec, spec.data.split)[1]
        return CurveOutline(parts, validation, planned[-1].total_steps(parts[-1][1]))

    def plan(self, spec: RunSpec, shares: Sequence[float] = SHARES) -> tuple[RunSpec, ...]:
        """The settings of each run, smallest part first. The last, with all rows, is `spec` itself, with fewer epochs
        where the smallest part would have to be read more often than a run may.

        Raises InputError when there are no validation rows to measure on, DataError when there are none to learn from.
        """
        if not spec.data.split.validation_share:
            raise InputError("error.curve.no_validation")
        if spec.method.judged_by != "loss":
            raise InputError("error.curve.by_reward")
        self._datasets.check_lessons(spec.data.version, spec.data.mapping, spec.method.learns)
        rows = [self._rows(spec, share) for share in sorted(shares)]
        if not rows[0]:
            raise DataError("error.train.no_rows")
        steps = min(spec.total_steps(rows[-1]), int(_MOST_EPOCHS) * spec.steps_per_epoch(rows[0]))
        return tuple(
            with_changes(spec, {"data.split.train_share": share, "training.epochs": _epochs(spec, steps, count)})
            for share, count in zip(sorted(shares), rows, strict=True)
        )

    def _rows(self, spec: RunSpec, share: float) -> int:
        return self._counts(spec, spec.data.split.model_copy(update={"train_share": share}))[0]

    def _counts(self, spec: RunSpec, split: SplitSpec) -> tuple[int, int, int]:
        return self._datasets.split_counts(spec.data.version, split, spec.method.learns, spec.data.mapping)

    def start(self, spec: RunSpec, shares: Sequence[float] = SHARES, name: str = "", language: str = "en") -> list[str]:
        """Queue the runs, each named by its part; their ids, smallest part first. They are remembered with the
        version (`of`); while those of an earlier start still wait or train, these are they."""
        title = name or self._datasets.version(spec.data.version).name
        with self._starting:
            going = self.of(spec.data.version)
            if any(self._runner.state(run).status in UNFINISHED for run in going):
                return list(going)
            runs = [
                self._runner.submit(
                    one,
                    translate("ui.curve.run", language, name=title, share=f"{one.data.split.train_share:.0%}"),
                ).id
                for one in self.plan(spec, shares)
            ]
            self._datasets.set_curve(spec.data.version, runs)
        return runs

    def of(self, version: str) -> tuple[str, ...]:
        """The runs that were started last on this version; none where no curve was."""
        return self._datasets.curve(version)

    def stop(self, runs: Sequence[str]) -> None:
        """Take those that wait off the queue, and stop the one in training. Those that are done stay."""
        for run in reversed(runs):
            if self._runner.state(run).status in UNFINISHED:
                self._runner.stop(run)

    def resume(self, runs: Sequence[str]) -> None:
        """Queue again what was stopped, interrupted or failed."""
        for run in runs:
            if self._runner.state(run).resumable:
                self._runner.resume(run)

    def read(self, runs: Sequence[str]) -> CurveReading:
        """What the runs say so far, in words with numbers."""
        points = tuple(sorted(map(self._point, runs), key=lambda point: point.share))
        validation = min((self._validation_rows(run) for run in runs), default=0)
        return CurveReading(points, *_read(points, validation))

    def _point(self, run: str) -> CurvePoint:
        state, spec = self._runner.state(run), self._runner.record(run).spec
        losses = [point.validation_loss for point in state.checkpoints if point.validation_loss is not None]
        rows = state.started.train_rows if state.started else None
        loss = min(losses, default=None) if state.status == "done" else None
        return CurvePoint(run, spec.data.split.train_share, rows, loss, state.status, state.share)

    def _validation_rows(self, run: str) -> int:
        started = self._runner.state(run).started
        return started.validation_rows if started else 0


def _epochs(spec: RunSpec, steps: int, rows: int) -> float:
    """So many that `rows` rows take `steps` steps: what `spec` says where that is it, else the shortest number."""
    if spec.total_steps(rows) == steps:
        return spec.training.epochs
    per_epoch = spec.steps_per_epoch(rows)
    tried = (floor(steps / per_epoch * 10**digits) / 10**digits for digits in range(12))
    return next(epochs for epochs in tried if ceil(epochs * per_epoch) == steps)


def _read(points: Sequence[CurvePoint], validation_rows: int) -> tuple[str, dict[str, Any]]:
    failed = [point for point in points if point.status in ("failed", "stopped", "interrupted")]
    losses = [point.loss for point in points if point.loss is not None]
    if failed:
        return "ui.curve.failed", {"count": len(failed)}
    if len(losses) < len(points) or len(points) < 2:
        return "ui.curve.waiting", {"done": len(losses), "runs": len(points)}
    half, whole = losses[-2], losses[-1]
    rise = half / whole - 1
    values: dict[str, Any] = {
        "rows": points[-1].rows,
        "part_rows": points[-2].rows,
        "loss": f"{whole:.3f}",
        "part_loss": f"{half:.3f}",
        "rise": f"{abs(rise):.1%}",
    }
    if validation_rows < FEW:
        return "ui.curve.few", {**values, "validation": validation_rows, "wanted": FEW}
    if rise < _NOTABLE:
        return ("ui.curve.worse" if rise < -_NOTABLE else "ui.curve.flat"), values
    steady = all(a >= b for a, b in pairwise(losses))
    return ("ui.curve.more" if steady else "ui.curve.uneven"), values
