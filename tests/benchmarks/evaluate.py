"""How long 1 000 rows take: each asked of the starter and of a run of it, in batches, as an evaluation does.

    python -m tests.benchmarks.evaluate [--rows 1000]

The rows are questions of the starter's own world in phrasings it was never trained on, the run one that learned from a
few of them. Told are the seconds of each contestant, by the record of the evaluation, and of the report.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from studio.backend.studio import Studio
from studio.evaluation.plan import EvaluationPlan
from studio.runs.spec import with_changes
from studio.settings import Settings
from studio.starter.world import exam


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    chosen = parser.parse_args()
    asked = random.Random(0).sample(exam(), round(chosen.rows / 0.4) + 1)
    rows = [{"question": one.text, "answer": one.answer} for one in asked]
    with (
        tempfile.TemporaryDirectory() as place,
        Studio(Settings(workspace=Path(place) / "workspace", offline=True), worker=False) as studio,
    ):
        file = Path(place) / "rows.json"
        file.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
        version = studio.datasets.import_file(file).id
        changes = {"data.split.test_share": 0.4, "data.split.train_share": 0.1, "training.epochs": 1}
        spec = with_changes(studio.default_spec(version), changes)
        run = studio.start(lambda: spec).id
        assert studio.runner.run_now(run).status == "done"
        plan = EvaluationPlan(rows=chosen.rows, exams=())
        began = time.perf_counter()
        studio.evaluations.evaluate(run, plan=plan)
        asked_seconds = time.perf_counter() - began
        began = time.perf_counter()
        report = studio.reports.report(run, plan=plan)
        assert report is not None
        told = {
            "rows": len(report.rows),
            **{one.role: taken.evaluation.seconds for one, taken in zip(report.entrants, report.taken, strict=True)},
            "both_with_loading": asked_seconds,
            "report": time.perf_counter() - began,
        }
        print(json.dumps({name: round(value, 2) for name, value in told.items()}, indent=1))


if __name__ == "__main__":
    main()
