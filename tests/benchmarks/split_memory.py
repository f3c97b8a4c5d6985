"""Memory and time of splitting a large data set, each kind of split in a process of its own.

    python -m tests.benchmarks.split_memory [--rows 1000000] [--only plain]

Prints one JSON object for each kind: rows on each side, seconds, and the most memory in use (megabytes), of which
`idle_mb` was in use before.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from studio.backend.datasets import Datasets
from studio.data.splits import SplitSpec
from studio.runs.store import Store
from studio.settings import Settings

KINDS = {
    "plain": SplitSpec(test_share=0.1),
    "stratified": SplitSpec(stratify="topic"),
    "grouped": SplitSpec(group_near_duplicates=True),
}
WORDS = ["river", "stone", "garden", "window", "letter", "morning", "winter", "answer", "number", "people", "doctor"]


def write_rows(path: Path, rows: int) -> None:
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            asked = " ".join(rng.choices(WORDS, k=8))
            told = " ".join(rng.choices(WORDS, k=24))
            row = {"question": f"{asked} {number}?", "answer": f"{told}.", "topic": f"topic {number % 40}"}
            file.write(json.dumps(row) + "\n")


def measure(workspace: Path, kind: str) -> None:
    store = Store(workspace)
    datasets = Datasets(Settings(workspace=workspace), store)
    version = datasets.versions()[0]
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    counts = datasets.split_counts(version.id, KINDS[kind])
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = {"kind": kind, "rows": version.rows, "counts": counts, "seconds": round(seconds, 1)}
    print(json.dumps({**told, "idle_mb": idle // 1024, "peak_mb": peak // 1024}), flush=True)
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--in-workspace", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.in_workspace:
        measure(chosen.in_workspace, chosen.only)
        return
    with tempfile.TemporaryDirectory() as place:
        workspace = Path(place) / "workspace"
        write_rows(Path(place) / "rows.jsonl", chosen.rows)
        store = Store(workspace)
        Datasets(Settings(workspace=workspace), store).import_file(Path(place) / "rows.jsonl")
        store.close()
        for kind in [chosen.only] if chosen.only else KINDS:
            command = [sys.executable, "-m", __spec__.name, "--in-workspace", str(workspace), "--only", kind]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
