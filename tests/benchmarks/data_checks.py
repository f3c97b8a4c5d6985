"""How fast the checks are. `python -m tests.benchmarks.data_checks [rows] [--cluster]` prints one JSON object.

`checks`: rows a second of all checks but near duplicates and token counts, from Parquet to findings: in one process and
in two, by the clock, and in one by its processor time, which other jobs on the machine hardly change. `load`: how many
processes wanted a core in the last minute.
`near_en`, `near_ja`: rows a second of near duplicates on rows of about 230 characters, 5 % of them copies with 5-15 % of their
characters changed; recall is the share of copies found, precision the share of found rows that are copies. rensa and
datasketch, where they are installed, sign 5-character shingles with 128 permutations in as many bands as give them
about the same recall; what they find is not verified. All in one process, seconds of its processor time.
`--cluster` measures only the checks, on two processes and on a local Ray cluster of two workers, three times in turn:
the median of each, and the seconds until the cluster is there and has done its first row groups, which are not part of it.
"""

import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from studio.data.checks import CheckOptions
from studio.data.cluster import on_cluster
from studio.data.formats import Mapping
from studio.data.near_duplicates import Clusters, care_for, grams_of, join_near, pairs_of
from studio.data.parts import BATCH
from studio.data.scan import scan
from studio.data.scan_workers import Spread, in_this_process, on_this_machine
from studio.data.tables import Row, Table, write_table
from tests.data.planted import clean_rows, edited

SHINGLE, PERMUTATIONS = 5, 128
BANDS = 64  # of two values each: copies with one character in seven changed share a quarter of their shingles
_SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wo xa yu zi tran ster con ment ing pro est ly th"


_CHARACTERS = "日月火水木金土山川田人口目耳手足力男女子学校先生本語文字東西南北大小中上下左右車電話時間分年週末朝昼夜春夏秋冬のはがをにでともへやかしたるいまです"


def words(dice: random.Random, language: str, count: int = 8_000) -> list[str]:
    """Invented words, the first of them the shortest."""
    syllables = list(_CHARACTERS) if language == "ja" else _SYLLABLES.split()
    made = {"".join(dice.choice(syllables) for _ in range(dice.choice((1, 2, 2, 3, 3, 4)))) for _ in range(3 * count)}
    return sorted(sorted(made)[:count], key=len)


def texts(rows: int, dice: random.Random, language: str) -> tuple[list[str], set[int]]:
    """Texts of about 230 characters in words as frequent as Zipf has them, and the places of the copies among them."""
    known = words(dice, language)
    space = "" if language == "ja" else " "
    weights = [1 / (place + 3) for place in range(len(known))]
    made = [space.join(dice.choices(known, weights, k=160))[: dice.randint(200, 260)] for _ in range(int(rows * 0.95))]
    copies = set()
    for source in dice.sample(range(len(made)), rows - len(made)):
        copies.add(len(made))
        made.append(edited(made[source], dice.uniform(0.05, 0.15), dice))
    return made, copies


def written(rows: int, folder: Path) -> tuple[Table, float]:
    """A table, and how many characters its rows have."""
    dice = random.Random(0)
    pool = clean_rows(min(rows, 20_000), dice)
    rounds = zip(range(rows), _again(pool), strict=False)
    values = [{"question": f"{i}: {row['question']}", "answer": row["answer"]} for i, row in rounds]
    built = [Row(i, row) for i, row in enumerate(values, 1)]
    write_table(built, folder / "table.parquet")
    return Table(folder / "table.parquet"), sum(len(row["question"]) + len(row["answer"]) for row in values) / rows


def seconds(table: Table, spread: Spread) -> float:
    begun = time.perf_counter()
    scan(table, Mapping(prompt="question", answer="answer"), CheckOptions(near=False), spread=spread)
    return time.perf_counter() - begun


def checks(rows: int, folder: Path) -> dict[str, Any]:
    table, characters = written(rows, folder)
    spreads = {1: in_this_process, 2: on_this_machine(2)}
    rates = {f"rows_per_second_{w}": round(rows / seconds(table, spread)) for w, spread in spreads.items()}
    processor = time.process_time()
    seconds(table, in_this_process)
    rates["rows_per_processor_second"] = round(rows / (time.process_time() - processor))
    return {"rows": rows, "characters_per_row": round(characters), **rates}


def on_ray(rows: int, folder: Path) -> dict[str, Any]:
    table, characters = written(rows, folder)
    (folder / "small").mkdir()
    small, _ = written(20_000, folder / "small")
    begun = time.perf_counter()
    os.environ.update(RAY_worker_niceness="0")  # as the processes it is measured against
    with on_cluster("local") as spread:
        seconds(small, spread)
        started = time.perf_counter() - begun
        rounds = [(seconds(table, on_this_machine(2)), seconds(table, spread)) for _ in range(3)]
    here, there = (round(rows / median(times)) for times in zip(*rounds, strict=True))
    return {
        "rows": rows,
        "characters_per_row": round(characters),
        "row_groups": table.groups,
        "rows_per_second_2": here,
        "rows_per_second_ray_2": there,
        "seconds_to_start_ray": round(started, 1),
    }


def _again(pool: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    while True:
        yield from pool


def ours(rows: list[str]) -> set[int]:
    clusters = Clusters(len(rows))
    folded = [text.casefold() for text in rows]
    care = care_for(len(rows))
    grams = np.concatenate([grams_of(folded[i : i + BATCH], care) + np.uint64(i) for i in range(0, len(rows), BATCH)])
    pairs = pairs_of(grams, care)
    join_near(clusters, pairs.tolist(), ((place, folded[place]) for place in np.unique(pairs).tolist()), 0.8)
    return {place for place, root in enumerate(clusters.roots().tolist()) if root != place}


def _shingles(text: str) -> set[str]:
    return {text[i : i + SHINGLE] for i in range(len(text) - SHINGLE + 1)}


def rensa_alone(rows: list[str]) -> set[int]:
    rensa: Any = import_module("rensa")
    # Its quickest way: rows that share a band with any other, not with which.
    signed = rensa.RMinHash.digest_matrix_from_token_sets([_shingles(text) for text in rows], PERMUTATIONS, 42)
    index = rensa.RMinHashLSH(0.25, PERMUTATIONS, BANDS)
    flags = index.query_duplicate_flags_matrix_one_shot(signed)
    return {place for place, flag in enumerate(flags) if flag}


def datasketch_alone(rows: list[str]) -> set[int]:
    datasketch: Any = import_module("datasketch")
    index = datasketch.MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, PERMUTATIONS // BANDS))
    found = set()
    for place, text in enumerate(rows):
        sketch = datasketch.MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([shingle.encode() for shingle in _shingles(text)])
        if index.query(sketch):
            found.add(place)
        index.insert(place, sketch)
    return found


def near(finder: Callable[[list[str]], set[int]], rows: list[str], copies: set[int]) -> dict[str, Any]:
    begun = time.process_time()
    found = finder(rows)
    seconds = time.process_time() - begun
    right = len(found & copies)
    return {
        "rows": len(rows),
        "rows_per_second": round(len(rows) / seconds),
        "recall": round(right / len(copies), 4),
        "precision": round(right / max(len(found), 1), 4),
    }


def main() -> None:
    words = [word for word in sys.argv[1:] if word != "--cluster"]
    rows = int(words[0]) if words else 100_000
    if "--cluster" in sys.argv:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps({"cluster": on_ray(rows, Path(folder))}))
        return
    with tempfile.TemporaryDirectory() as folder:
        told: dict[str, Any] = {"checks": checks(rows, Path(folder)), "load": os.getloadavg()[0]}
    for language in ("en", "ja"):
        made, copies = texts(min(rows, 50_000), random.Random(1), language)
        found = {"ours": near(ours, made, copies)}
        if find_spec("rensa"):
            found["rensa"] = near(rensa_alone, made, copies)
        if find_spec("datasketch"):
            found["datasketch"] = near(datasketch_alone, *texts(2_000, random.Random(1), language))
        told[f"near_{language}"] = found
    print(json.dumps(told))


if __name__ == "__main__":
    main()
