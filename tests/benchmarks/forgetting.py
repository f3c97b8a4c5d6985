"""How much a narrow tuning wipes out, by learning rate, epochs and replay: the grid of real runs on the starter.

    python -m tests.benchmarks.forgetting [--seeds 0 1 2]

A sample of a shop's letters is learned with the preset's learning rate and with a tenth of it, for one epoch and for
eight, alone and with 20 % of the tokens from what the starter was taught. Measured after each run as in
`tests.benchmarks.replay`: the exam of the starter (general ability, 400 questions of both languages), and on letters
held out the loss per answer token and the share answered to the letter (the task).

Prints a table and one JSON object; each run as it ends to standard error.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # TRL's own trainer would try to report its use

import argparse
import json
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

from studio.backend.studio import Studio
from studio.runs.spec import with_changes
from studio.settings import Settings
from tests.benchmarks.replay import drawn, measure, open_task, summed_up, tune

RATES = (5e-3, 5e-4)
EPOCHS = (1, 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--questions", type=int, default=200, help="of each language; 0: the whole exam")
    chosen = parser.parse_args()
    questions = drawn(chosen.questions)
    began = time.perf_counter()
    told: dict[str, Any] = {"questions": len(questions), "seeds": chosen.seeds, "runs": []}
    with (
        tempfile.TemporaryDirectory() as place,
        Studio(Settings(workspace=Path(place) / "workspace", offline=True), worker=False) as studio,
    ):
        task = open_task(studio, "support-en", 0.2)
        told["base"] = summed_up([measure(studio.settings.starter, None, questions, task)])
        print("| rate | epochs | replay | exam | letters to the letter | loss |\n|---|---|---|---|---|---|")
        print(f"| (base) | | | {told['base']['exam_all']:.1%} | {told['base']['task_exact']:.1%} | |", flush=True)
        for rate, epochs, (replay, version) in product(RATES, EPOCHS, ((0, task.narrow), (0.2, task.replay))):
            runs = []
            for seed in chosen.seeds:
                changes = {"training.learning_rate": rate, "training.epochs": epochs, "training.seed": seed}
                adapter, took = tune(studio, with_changes(studio.default_spec(version.id, "quick-look"), changes))
                runs.append({**measure(studio.settings.starter, adapter, questions, task), **took})
                print(rate, epochs, replay, seed, runs[-1], file=sys.stderr, flush=True)
            found = summed_up(runs)
            told["runs"].append({"rate": rate, "epochs": epochs, "replay": replay, **found})
            exam, exact, loss = found["exam_all"], found["task_exact"], found["task_loss"]
            print(f"| {rate:g} | {epochs} | {replay:.0%} | {exam:.1%} | {exact:.1%} | {loss:.3f} |", flush=True)
    told["seconds"] = round(time.perf_counter() - began, 1)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
