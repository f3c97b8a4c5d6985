"""Memory and speed of all checks over a large table, near duplicates among them, in two processes as on the page.

    python -m tests.benchmarks.scan_memory [--rows 2000000] [--table FILE]

Prints one JSON object: rows a second from Parquet to findings, and the most resident memory (megabytes): of all
processes together, sampled twenty times a second, and of the largest alone, as the system counts it. `idle_mb` was in
use before. Rows are questions and answers in English and Japanese, one of fifty an edited copy of another. With
`--table` the rows are kept there, and taken from there where they are there already.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from studio.data.checks import CheckOptions
from studio.data.formats import Mapping
from studio.data.scan import scan
from studio.data.tables import Row, Table, write_table
from tests.data.planted import clean_rows, edited

_SECONDS = 0.05
_CHUNK = 1_000


def rows(count: int) -> Iterator[Row]:
    """So many, made one chunk after the other: no more than a chunk is held."""
    for begin in range(0, count, _CHUNK):
        dice = random.Random(begin)
        made = clean_rows(min(_CHUNK, count - begin), dice)
        for place in range(50, len(made), 50):
            source = made[dice.randrange(place)]
            made[place] = {name: edited(text, dice.uniform(0.05, 0.15), dice) for name, text in source.items()}
        yield from (Row(begin + place, row) for place, row in enumerate(made, 1))


def measure(path: Path) -> None:
    """All checks, in a process of its own."""
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    table = Table(path)
    began = time.perf_counter()
    found = scan(table, Mapping(prompt="question", answer="answer"), CheckOptions())
    seconds = time.perf_counter() - began
    told = {
        "rows": table.rows,
        "seconds": round(seconds, 1),
        "rows_per_second": round(table.rows / seconds),
        "findings": {finding.key.removeprefix("finding."): finding.count for finding in found.findings},
        "idle_mb": idle // 1024,
        "largest_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(told), flush=True)


def _resident(process: psutil.Process) -> int:
    """Bytes of the process and of all that it started."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def watched(path: Path) -> dict[str, object]:
    """What `measure` tells, and the most memory of its processes together."""
    command = [sys.executable, "-m", __spec__.name, "--measure", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        process, peak = psutil.Process(running.pid), 0
        while running.poll() is None:
            try:
                peak = max(peak, _resident(process))
            except psutil.NoSuchProcess:
                break
            time.sleep(_SECONDS)
        told, _ = running.communicate()
    if running.returncode:
        raise SystemExit(running.returncode)
    return {**json.loads(told), "together_mb": peak // 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        measure(chosen.measure)
        return
    with tempfile.TemporaryDirectory() as place:
        path = chosen.table or Path(place) / "table.parquet"
        if not path.exists():
            write_table(rows(chosen.rows), path)
        print(json.dumps(watched(path)))


if __name__ == "__main__":
    main()
