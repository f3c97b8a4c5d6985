"""How quick the record is: 1 000 runs in the history, a run of 20 000 steps.

python -m tests.benchmarks.record [--runs 1000] [--steps 20000] [--steps-each 200]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from studio.runs.events import Checkpoint, Ended, Event, Metrics, Queued, RunState, Started
from studio.runs.spec import RunSpec
from studio.runs.store import Store, new_id


def started(steps: int) -> Started:
    return Started(
        total_steps=steps, train_rows=270, validation_rows=30, trainable_parameters=100_000, parameters=3_400_000,
        device="CPU", base_fingerprint="f" * 64, base_name="starter",
    )  # fmt: skip


def metrics(step: int) -> Metrics:
    values = {"loss": 3.0 / step, "learning_rate": 1e-3, "grad_norm": 0.7, "epoch": step / 34, "seconds": step * 0.1}
    return Metrics(step=step, values={**values, "tokens_per_second": 4000.0, "memory_bytes": 9e8})


def fill(store: Store, steps: int, *, checkpoints: int = 6) -> str:
    """Record a finished run as training does, in few commits."""
    run = new_id()
    store.add_run(run, "benchmark", RunSpec(), Queued())
    events: list[Event] = [started(steps), Metrics(step=0, values={"validation_loss": 4.0})]
    for step in range(1, steps + 1):
        events.append(metrics(step))
        if step % max(1, steps // checkpoints) == 0:
            events.append(Metrics(step=step, values={"validation_loss": 2.0}))
            events.append(Checkpoint(step=step, path=f"checkpoint-{step}", validation_loss=2.0))
    events.append(Ended(status="done", step=steps, adapter="adapter", adapter_sha256="a" * 64, validation_loss=2.0))
    store.append(run, *events)
    return run


def best_of(times: int, work: Callable[[], object]) -> float:
    """Seconds of the quickest of some tries."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def measure(folder: Path, runs: int, steps: int, steps_each: int) -> dict[str, float]:
    store = Store(folder)
    for _ in range(runs):
        fill(store, steps_each)
    long = fill(store, steps)
    listing = best_of(3, lambda: (store.outlines(), store.runs()))
    events = store.events(long)
    state = RunState().fold(events)
    store.append(long, metrics(steps + 1))

    def one_more() -> None:
        state.fold(store.events(long, state.cursor))

    result = {
        "runs": runs + 1,
        "list_all_runs_seconds": listing,
        "open_long_run_seconds": best_of(3, lambda: RunState().fold(store.events(long))),
        "one_more_point_seconds": best_of(20, one_more),
        "append_point_seconds": best_of(50, lambda: store.append(long, metrics(steps + 2))),
    }
    store.close()
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--steps-each", type=int, default=200)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(measure(Path(place) / "w", chosen.runs, chosen.steps, chosen.steps_each), indent=1))
