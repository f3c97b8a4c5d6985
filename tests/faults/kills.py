"""Kill a run with SIGKILL at random moments, look at what is left, resume, and compare with a run left alone.

    python -m tests.faults.kills --kills 30 [--seed 0]

After every kill the workspace must open, and the record must tell the truth about the run. Each run is resumed until
it is done; then its weights, losses and kept checkpoint must equal the undisturbed run's to the last bit. Kills fall
at a random time, or the moment a checkpoint or the adapter is being written. Needs os.fork (Linux, macOS).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: a forked process must not wait for threads it has not

import argparse
import json
import random
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from studio.backend.datasets import Datasets
from studio.backend.runner import Runner
from studio.runs.events import RunState
from studio.runs.spec import DataSpec, LoraSpec, ModelSpec, RunSpec, TrainingSpec
from studio.runs.store import Store
from studio.settings import Settings
from tests.tiny import save_tiny

_MOMENTS = ("random", "random", "checkpoint", "adapter")


@dataclass
class Report:
    """What was tried and what came of it. `left` counts what the kills left behind; a kill that came after the end
    was recorded is `late` and not counted."""

    kills: int = 0
    late: int = 0
    opened: int = 0
    told_truth: int = 0
    runs: int = 0
    exact: int = 0
    left: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Result:
    """All of a finished run that must repeat."""

    weights: bytes
    curves: tuple[object, ...]
    step: int
    kept: int | None

    @staticmethod
    def of(store: Store, run: str) -> "Result":
        state = RunState().fold(store.events(run))
        assert state.ended is not None
        curves = tuple(tuple(state.curves[name]) for name in ("loss", "validation_loss", "learning_rate", "grad_norm"))
        weights = (store.run_folder(run) / "adapter" / "adapter_model.safetensors").read_bytes()
        return Result(weights, curves, state.step, state.ended.best_step)


class Bench:
    """One workspace with a tiny model and its data; every attempt at a run is a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(workspace=folder / "workspace")
        model = save_tiny(folder / "model")
        rows = [{"prompt": f"What is {i} times {i}?", "completion": f"{i * i}, I believe."} for i in range(40)]
        file = folder / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        store = Store(self.settings.workspace)
        version = Datasets(self.settings, store).import_file(file)
        store.close()
        self.spec = RunSpec(
            data=DataSpec(version=version.id, max_length=96),
            model=ModelSpec(source=str(model)),
            training=TrainingSpec(epochs=3, batch_size=4, accumulation=2, evaluations=5, learning_rate=0.005),
            tuner=LoraSpec(rank=4, alpha=8, dropout=0.1),
        )

    def submit(self) -> str:
        store, runner = self._open()
        run = runner.submit(self.spec).id
        store.close()
        return run

    def _open(self) -> tuple[Store, Runner]:
        store = Store(self.settings.workspace)
        return store, Runner(self.settings, store, Datasets(self.settings, store), worker=False)

    def start(self, run: str) -> int:
        """A new process that trains the run, or goes on with it; its id."""
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            store, runner = self._open()
            if runner.state(run).status != "queued":
                runner.resume(run)
            code = 0 if runner.run_now(run).status == "done" else 1
            store.close()
        finally:
            os._exit(code)

    def look(self, run: str) -> tuple[str, Result | None, bool]:
        """Status, result if done, and whether half-written files lie about."""
        store, runner = self._open()
        status = runner.state(run).status
        known = {c.path for c in runner.state(run).checkpoints}
        folder = store.run_folder(run)
        names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        half = any(n.endswith(".partial") or (n.startswith("checkpoint-") and n not in known) for n in names)
        result = Result.of(store, run) if status == "done" else None
        store.close()
        return status, result, half

    def wait_for_moment(self, moment: str, run: str, seconds: float, process: int) -> None:
        """Sleep until it is time to kill: `seconds`, or the appearance of a file of that moment."""
        end = time.monotonic() + seconds
        folder = self.settings.workspace / "runs" / run
        before = {p.name for p in folder.glob("*")}
        while time.monotonic() < end or moment != "random":
            if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return
            news = {p.name for p in folder.glob("*")} - before
            if moment == "checkpoint" and any(n.startswith("checkpoint-") for n in news):
                return time.sleep(random.random() * 0.02)
            if moment == "adapter" and any(n.startswith("adapter") for n in news):
                return time.sleep(random.random() * 0.005)
            time.sleep(0.001)


def measure(folder: Path, kills: int, seed: int) -> Report:
    import studio.training.train  # noqa: F401 - loaded once, so that the processes begin at once

    random.seed(seed)
    report = Report()
    bench = Bench(folder)
    run = bench.submit()
    began = time.monotonic()
    os.waitpid(bench.start(run), 0)
    seconds = time.monotonic() - began
    status, expected, _ = bench.look(run)
    assert status == "done", "the undisturbed run failed"
    while report.kills < kills:
        run = bench.submit()
        report.runs += 1
        result = None
        while result is None:
            process = bench.start(run)
            killed = report.kills < kills
            if killed:
                bench.wait_for_moment(random.choice(_MOMENTS), run, random.uniform(0, seconds), process)
                os.kill(process, signal.SIGKILL)
            _, code = os.waitpid(process, 0)
            status, result, half = bench.look(run)
            if killed and os.WIFSIGNALED(code) and status == "done":
                report.late += 1
            elif killed and os.WIFSIGNALED(code):
                report.kills += 1
                report.opened += 1
                report.told_truth += status in ("queued", "interrupted")
                report.left[f"{status}{', half-written files' if half else ''}"] += 1
            elif status not in ("done", "queued", "interrupted"):
                raise AssertionError(f"the run ended as {status}")
        report.exact += result == expected
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        report = measure(Path(place), chosen.kills, chosen.seed)
    print(f"kills {report.kills}, workspace opened {report.opened}, record told the truth {report.told_truth}")
    print(f"kills after the end, not counted: {report.late}")
    print(f"runs finished by resuming {report.runs}, exactly equal {report.exact}")
    for name, count in report.left.most_common():
        print(f"  {count:3} x {name}")
    if not report.kills == report.opened == report.told_truth or report.runs != report.exact:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
