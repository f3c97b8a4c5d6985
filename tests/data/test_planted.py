"""Known numbers of every fault are planted into clean rows; each finding tells them, and hardly anything else."""

from pathlib import Path

import pytest

from tests.benchmarks.planted import SETS, scanned, scores

FLOOR = 0.95


@pytest.mark.parametrize("name", SETS)
def test_precision_and_recall_of_every_finding(name: str, tmp_path: Path) -> None:
    made = SETS[name](seed=5)
    told = scores(made, scanned(made, tmp_path))
    assert set(made.faults) <= set(told)
    low = {
        finding: (score.precision, score.recall, [made.rows[place] for place in (*score.wrong, *score.missed)][:3])
        for finding, score in told.items()
        if min(score.precision, score.recall) < FLOOR
    }
    assert low == {}


def test_clean_rows_have_no_finding(tmp_path: Path) -> None:
    made = SETS["pairs"](rows=1_500, of_each=0)
    assert scanned(made, tmp_path).findings == ()
