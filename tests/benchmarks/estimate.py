"""How near the estimate is to what a run then takes.

    python -m tests.benchmarks.estimate [--models starter 135m] [--methods sft dpo ...] [--tuners lora qlora full]

For every model, method and tuner, each in a process of its own: the estimate, told before the run as on the page, and
the run itself (Linux only). Reported are seconds and peak memory of both and the ratio told / took; 1 is exact, 0.85
to 1.15 is wanted. Other work on the machine moves seconds: `load` is that of the last minute, and `processor` the
processor's seconds for each of the run's.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

from studio.data.records import Conversation, Message, Passage, Preference, PromptOnly, Rated
from studio.runs.methods import METHODS
from studio.runs.spec import RunSpec, with_changes
from studio.settings import Settings
from studio.training.job import TrainingJob

TUNERS: dict[str, dict[str, Any]] = {
    "lora": {},
    "qlora": {"tuner.quantisation": "nf4"},
    "full": {"tuner.kind": "full"},
}
MODELS = ("starter", "135m")


def make_rows(method: str, count: int) -> list[tuple[int, Any]]:
    """Rows of log-normal length of what the method learns from."""
    from tests.benchmarks.speed import make_rows as conversations

    made: list[tuple[int, Any]] = []
    for i, talk in conversations(count):
        prompt, answer = talk.prompt, (Message("assistant", talk.answer[:400] or "yes"),)
        worse = (Message("assistant", talk.answer[:200][::-1] or "no"),)
        match METHODS[method].learns:
            case "answers":
                made.append((i, Conversation(prompt, talk.answer)))
            case "text":
                made.append((i, Passage(talk.answer)))
            case "pairs":
                made.append((i, Preference(prompt, answer, worse)))
            case "ratings":
                made.append((i, Rated(prompt, answer, i % 2 == 0)))
            case _:
                made.append((i, PromptOnly(prompt)))
    return made


def measure(model: str, method: str, tuner: str, rows: int, place: Path) -> dict[str, Any]:
    """One estimate and one run."""
    from studio.runs.stop import Stop
    from studio.training.estimate import estimate
    from studio.training.train import train

    changes = {"model.source": model, "method.kind": method, "data.max_length": 512, "training.epochs": 1,
               "training.evaluations": 2, "training.learning_rate": 1e-5, **TUNERS[tuner]}  # fmt: skip
    spec = with_changes(RunSpec(), changes)
    folder = place / "run"
    folder.mkdir(parents=True)
    settings, data = Settings(workspace=folder), make_rows(method, rows)
    if "rewards" in type(spec.method).model_fields:
        spec = with_changes(spec, {"method.max_new_tokens": 32})
    told = estimate(spec, settings, data, 0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak of the memory begins anew
    used = time.process_time()
    ended = train(TrainingJob(spec, settings, folder, data, 0, (), lambda *events: None), Stop())
    assert ended is not None
    peak = peak_bytes()
    return {
        "model": Path(model).name, "method": method, "tuner": tuner,
        "told_seconds": round(told.seconds, 1), "took_seconds": round(ended.seconds, 1),
        "seconds": round(told.seconds / ended.seconds, 2),
        "processor": round((time.process_time() - used) / ended.seconds, 2),
        "told_mb": told.memory_bytes // 1_000_000, "took_mb": peak // 1_000_000,
        "memory": round(told.memory_bytes / peak, 2), "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def peak_bytes() -> int:
    """The most memory that this process had, as Linux counts it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--tuners", nargs="+", choices=list(TUNERS), default=list(TUNERS))
    parser.add_argument("--rows", type=int, default=64)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if "135m" in chosen.models:
            from tests.benchmarks.speed import save_model

            save_model(place / "135m")
        for model, method, tuner in product(chosen.models, chosen.methods, chosen.tuners):
            if tuner == "full" and (method == "reward" or METHODS[method].learns == "prompts"):
                continue  # these need an adapter
            source = str(place / model) if model != "starter" else model
            with multiprocessing.get_context("spawn").Pool(1) as alone:
                folder = place / f"{model}-{method}-{tuner}"
                print(json.dumps(alone.apply(measure, (source, method, tuner, chosen.rows, folder))), flush=True)


if __name__ == "__main__":
    main()
