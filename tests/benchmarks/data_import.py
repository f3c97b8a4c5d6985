"""How quick a big file is opened, and how quick its table is to look at.

    python -m tests.benchmarks.data_import [--rows 1000000] [--keep FOLDER]

Prints one JSON object. `ratio`: the seconds of the import by those of DuckDB reading the same file and writing it as
Parquet (best of three each, in turn; goal 2); `memory_gb`: the most the importing process held (goal 1.5).
`page`, `sort`, `search`: seconds of the worst of each kind, as the page asks for them: twenty rows and, for a search,
how many there are (goal 0.5); `worst` names them. Each is asked once, in a process that has not asked before.
"""

import argparse
import itertools
import json
import multiprocessing
import random
import re
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import duckdb

from studio.data.sources import read_source
from studio.data.tables import Table

PAGE = 20


def write_rows(path: Path, rows: int) -> None:
    """About 620 bytes a row: four in five of made-up English, one of Japanese; with repeated and rare words."""
    random_ = random.Random(0)
    weights = list(itertools.accumulate(1 / (i + 5) for i in range(8000)))
    english = ["".join(random_.choices("etaoinshrdlucmfwypvbgkjqxz", k=random_.randint(2, 9))) for _ in range(8000)]
    japanese = [
        "".join(chr(random_.randint(0x3041, 0x3096)) for _ in range(random_.randint(2, 5))) for _ in range(8000)
    ]
    texts = [
        [" ".join(random_.choices(english, cum_weights=weights, k=36)).capitalize() + ". " for _ in range(20_000)],
        ["、".join(random_.choices(japanese, cum_weights=weights, k=13)) + "。" for _ in range(5_000)],
    ]
    with path.open("w", encoding="utf-8") as file:
        for i in range(rows):
            of = texts[i % 5 == 0]
            one, two, three = random_.choice(of), random_.choice(of), random_.choice(of)
            completion = f"{one[random_.randint(0, 50) :]}{two}\n{three[: len(three) // 3]}{i * 7919 % rows}"
            row = {"prompt": f"{i} {one[: random_.randint(40, 140)]}", "completion": completion, "id": i}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def import_file(path: Path, target: Path) -> tuple[float, float]:
    """Seconds, and the most memory this process held, in GB."""
    seconds = timed(lambda: read_source(path, target, max_bytes=10**12))
    status = Path("/proc/self/status").read_text()
    return seconds, int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1e6


def duckdb_copy(path: Path, target: Path) -> float:
    def copy() -> None:
        with duckdb.connect() as connection:
            connection.execute(f"COPY (SELECT * FROM read_json('{path}')) TO '{target}' (FORMAT parquet)")

    return timed(copy)


def questions(rows: int) -> dict[str, dict[str, Any]]:
    """Pages as they are asked for: name -> the arguments of `Table.cells`."""
    near_end = rows * 9 // 10
    asked: dict[str, dict[str, Any]] = {
        "page first": {"offset": 0},
        "page late": {"offset": near_end},
        "page last": {"offset": rows - PAGE},
    }
    for column in ("prompt", "completion", "id"):
        for descending in (False, True):
            for offset in (0, rows // 2):
                name = f"sort {column} {'down' if descending else 'up'} from {offset}"
                asked[name] = {"offset": offset, "order": column, "descending": descending}
    searches = ("zzqxzz", "the", "task", "e t", f"{rows // 3} ", "にほ", "、", "É", "NOT THERE AT ALL", "kk")
    for text in searches:
        asked[f"search “{text}”"] = {"offset": 0, "search": text}
    asked["search late"] = {"offset": 1000, "search": "e", "order": None}
    asked["search sorted"] = {"offset": 100, "search": "ta", "order": "completion"}
    return asked


def ask(path: Path, arguments: dict[str, Any]) -> float:
    def look() -> None:
        table = Table(path)
        table.cells(limit=PAGE, **arguments)
        table.count(arguments.get("search"))

    return timed(look)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="a folder for the file, to use it again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.keep or Path(made)
        path = folder / f"rows-{options.rows}.jsonl"
        if not path.is_file():
            write_rows(path, options.rows)
        spawned = multiprocessing.get_context("spawn")
        ours, theirs, memory = [], [], []
        for _ in range(3):
            theirs.append(duckdb_copy(path, Path(made) / "duckdb.parquet"))
            with ProcessPoolExecutor(1, spawned) as fresh:
                seconds, held = fresh.submit(import_file, path, Path(made) / "table.parquet").result()
            ours.append(seconds)
            memory.append(held)
        found = {}
        with ProcessPoolExecutor(1, spawned) as fresh:
            fresh.submit(ask, Path(made) / "table.parquet", {"offset": 1, "order": "id", "search": "warm"}).result()
            for name, arguments in questions(options.rows).items():
                found[name] = fresh.submit(ask, Path(made) / "table.parquet", arguments).result()
        worst = {
            kind: max((n for n in found if n.startswith(kind)), key=found.__getitem__)
            for kind in ("page", "sort", "search")
        }
        print(
            json.dumps(
                {
                    "rows": options.rows,
                    "file_mb": path.stat().st_size // 1_000_000,
                    "table_mb": (Path(made) / "table.parquet").stat().st_size // 1_000_000,
                    "import": round(min(ours), 2),
                    "duckdb": round(min(theirs), 2),
                    "ratio": round(min(ours) / min(theirs), 2),
                    "memory_gb": round(max(memory), 2),
                    **{kind: round(found[name], 3) for kind, name in worst.items()},
                    "worst": worst,
                    "all": {name: round(seconds, 3) for name, seconds in found.items()},
                },
                ensure_ascii=False,
            )
        )


if __name__ == "__main__":
    main()
