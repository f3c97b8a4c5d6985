"""Planted faults: precision and recall of every finding. `python -m tests.benchmarks.planted` prints the table, set by
set and of all together."""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from studio.data.lessons import read_records
from studio.data.measures import measure
from studio.data.scan import Scan, scan
from studio.data.scan_workers import on_this_machine
from studio.data.set_checks import split_leak
from studio.data.splits import split
from studio.data.tables import Row, Table, write_table
from tests.data.planted import Planted
from tests.data.planted_sets import SETS
from tests.tiny import tiny_tokenizer


@dataclass(frozen=True)
class Score:
    """`wrong`: places where the finding was made and nothing planted; `missed`: the other way round."""

    planted: int
    found: int
    wrong: tuple[int, ...]
    missed: tuple[int, ...]

    def __add__(self, other: "Score") -> "Score":
        """Of both sets together."""
        return Score(
            self.planted + other.planted,
            self.found + other.found,
            self.wrong + other.wrong,
            self.missed + other.missed,
        )

    @property
    def precision(self) -> float:
        return 1 - len(self.wrong) / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        return 1 - len(self.missed) / self.planted if self.planted else 1.0


def scanned(made: Planted, folder: Path, workers: int = 1) -> Scan:
    """All checks over the rows; ids are the places, from 1."""
    built = [Row(place, row) for place, row in enumerate(made.rows, 1)]
    write_table(built, folder / "planted.parquet")
    return checked(Table(folder / "planted.parquet"), made, workers)


def checked(table: Table, made: Planted, workers: int = 1) -> Scan:
    """All checks over a table of the set, with the tokens of its model and its split where it has them."""
    faulty = ()
    if made.template is not None:
        tokenizer = tiny_tokenizer(chat_template=made.template)
        faulty = measure(table, made.mapping, tokenizer, made.options.max_length).faulty
    found = scan(table, made.mapping, made.options, measured=faulty, spread=on_this_machine(workers))
    if made.split is None:
        return found
    parts = split(list(read_records(table, made.mapping)), made.split)
    return found.having(split_leak(parts.train, np.concatenate([parts.validation, parts.test]), found.features))


def scores(made: Planted, found: Scan) -> dict[str, Score]:
    """Of every finding that was planted or made."""
    names = {key.removeprefix("finding.") for key in found.keys} | set(made.faults)
    told = {}
    for name in sorted(names):
        hits = set((found.rows(f"finding.{name}") - 1).tolist())
        wanted, allowed = made.faults.get(name, set()), made.allowed.get(name, set())
        wrong = hits - wanted - allowed
        counted = hits - (allowed - wanted)
        told[name] = Score(len(wanted), len(counted), tuple(sorted(wrong)), tuple(sorted(wanted - hits)))
    return told


def main() -> None:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    sums: dict[str, Score] = {}
    print(f"{'set':21} {'finding':20} {'planted':>7} {'found':>7} {'precision':>9} {'recall':>7}")
    for name, plant in SETS.items():
        made = plant(seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            found = scanned(made, Path(folder))
        for finding, score in scores(made, found).items():
            print(_line(name, finding, score))
            sums[finding] = sums.get(finding, Score(0, 0, (), ())) + score
            if "-v" in sys.argv:
                for place in (*score.wrong[:3], *score.missed[:3]):
                    print("        ", place in score.wrong, made.rows[place])
    for finding, score in sorted(sums.items()):
        print(_line("all", finding, score))


def _line(name: str, finding: str, score: Score) -> str:
    told = f"{score.planted:7} {score.found:7} {score.precision:9.3f} {score.recall:7.3f}"
    return f"{name:21} {finding:20} {told}"


if __name__ == "__main__":
    main()
