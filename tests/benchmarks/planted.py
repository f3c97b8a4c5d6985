"""Planted faults: precision and recall of every finding. `python -m tests.benchmarks.planted` prints the table."""

import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from studio.data.checks import CheckOptions
from studio.data.scan import Scan, scan
from studio.data.scan_workers import on_this_machine
from studio.data.tables import Row, Table, write_table
from tests.data import planted
from tests.data.planted import Planted

SETS: Mapping[str, Callable[..., Planted]] = {
    "pairs": planted.planted_pairs,
    "chats": planted.planted_chats,
    "json": planted.planted_json,
    "splits": planted.planted_splits,
}
# True of a whole table, not of rows in it.
OF_THE_WHOLE = ("few_rows", "few_for_method", "few_answers", "label_imbalance", "length_preference")


@dataclass(frozen=True)
class Score:
    """`wrong`: places where the finding was made and nothing planted; `missed`: the other way round."""

    planted: int
    found: int
    wrong: tuple[int, ...]
    missed: tuple[int, ...]

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
    return scan(Table(folder / "planted.parquet"), made.mapping, CheckOptions(), spread=on_this_machine(workers))


def scores(made: Planted, found: Scan) -> dict[str, Score]:
    """Of every finding that was planted or made."""
    names = {key.removeprefix("finding.") for key in found.keys} | set(made.faults)
    told = {}
    for name in sorted(names.difference(OF_THE_WHOLE)):
        hits = set((found.rows(f"finding.{name}") - 1).tolist())
        wanted, allowed = made.faults.get(name, set()), made.allowed.get(name, set())
        wrong = hits - wanted - allowed
        counted = hits - (allowed - wanted)
        told[name] = Score(len(wanted), len(counted), tuple(sorted(wrong)), tuple(sorted(wanted - hits)))
    return told


def main() -> None:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    print(f"{'set':8} {'finding':20} {'planted':>7} {'found':>7} {'precision':>9} {'recall':>7}")
    for name, plant in SETS.items():
        made = plant(seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            found = scanned(made, Path(folder))
        for finding, score in scores(made, found).items():
            print(f"{name:8} {finding:20} {score.planted:7} {score.found:7} {score.precision:9.3f} {score.recall:7.3f}")
            if "-v" in sys.argv:
                for place in (*score.wrong[:3], *score.missed[:3]):
                    print("        ", place in score.wrong, made.rows[place])


if __name__ == "__main__":
    main()
