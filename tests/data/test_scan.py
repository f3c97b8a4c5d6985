"""A scan finds the same in one process and in several, in the order of the rows; it can be stopped, kept and read."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from studio.data.checks import CheckOptions
from studio.data.formats import Mapping
from studio.data.scan import Scan, scan
from studio.data.scan_workers import SMALL, on_this_machine
from studio.data.tables import Row, Table, write_table
from studio.errors import DataError, Stopped

PAIR = Mapping(prompt="q", answer="a")


def table(path: Path, rows: int) -> Table:
    """Every 1000th row has a mail address, every 1500th copies the one before, every 2000th has no answer."""
    values = [
        {"q": f"Where is parcel {i}?", "a": f"Parcel {i} is on its way.", "source": f"f{i % 2}"} for i in range(rows)
    ]
    for i in range(1000, rows, 1000):
        values[i]["a"] = f"Write to shop{i}@example.com."
    for i in range(1500, rows, 1500):
        values[i] = dict(values[i - 1])
    for i in range(1998, rows, 2000):
        values[i]["a"] = " "
    built = [Row(2 * i + 1, item) for i, item in enumerate(values)]  # ids with gaps, as after cleaning
    write_table(built, path / "table.parquet")
    return Table(path / "table.parquet")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return table(tmp_path_factory.mktemp("large"), SMALL + 5_000)


def test_rows_are_exact_and_in_order(large: Table) -> None:
    found = scan(large, PAIR, CheckOptions(near=False), spread=on_this_machine(1))
    rows = large.rows
    copies = set(range(1500, rows, 1500))
    mails = set(range(1000, rows, 1000)) - copies
    blank = set(range(1998, rows, 2000))
    assert found.rows("finding.duplicate").tolist() == [2 * i + 1 for i in sorted(copies)]
    assert found.rows("finding.email").tolist() == [2 * i + 1 for i in sorted(mails)]
    assert found.rows("finding.blank").tolist() == [2 * i + 1 for i in sorted(blank)]
    assert found.features["id"].to_pylist() == [2 * i + 1 for i in range(rows)]
    assert found.features["source"].to_pylist()[:3] == ["f0", "f1", "f0"]
    by_key = {finding.key: finding for finding in found.findings}
    assert by_key["finding.email"].count == len(mails)
    assert by_key["finding.email"].examples == tuple(found.rows("finding.email")[:10].tolist())
    assert found.rows("finding.unheard_of").tolist() == []


def test_several_processes_find_the_same(large: Table) -> None:
    told: list[float] = []
    one = scan(large, PAIR, CheckOptions(near=False), spread=on_this_machine(1))
    two = scan(large, PAIR, CheckOptions(near=False), spread=on_this_machine(2), progress=told.append)
    assert two.findings == one.findings
    assert two.features.equals(one.features)
    assert all(np.array_equal(one.rows(key), two.rows(key)) for key in one.keys)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 2


@pytest.mark.parametrize("workers", [1, 2])
def test_it_can_be_stopped(large: Table, workers: int) -> None:
    with pytest.raises(Stopped):
        scan(large, PAIR, CheckOptions(), spread=on_this_machine(workers), stop=lambda: True)


def test_it_is_kept_whole(large: Table, tmp_path: Path) -> None:
    made = scan(large, PAIR, CheckOptions(near=False))
    made.save(tmp_path / "scan")
    again = Scan.load(tmp_path / "scan")
    assert again.findings == made.findings
    assert again.features.equals(made.features)
    assert all(np.array_equal(again.rows(key), made.rows(key)) for key in made.keys)
    (tmp_path / "scan" / "features.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError):
        Scan.load(tmp_path / "scan")


def test_findings_can_be_turned_off(large: Table) -> None:
    all_keys = set(scan(large, PAIR, CheckOptions(near=False), spread=on_this_machine(1)).keys)
    off = scan(
        large, PAIR, CheckOptions(near=False, off=frozenset({"email", "duplicate", "blank"})), spread=on_this_machine(1)
    )
    assert all_keys - set(off.keys) == {"finding.email", "finding.duplicate", "finding.blank"}
    assert off.rows("finding.email").tolist() == []
    only = scan(large, PAIR, CheckOptions(only=frozenset({"blank"})), spread=on_this_machine(1))
    assert only.keys == ("finding.blank",)


def test_an_error_in_a_process_is_told(large: Table, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        scan(large, Mapping(prompt_template="{q"), CheckOptions(), spread=on_this_machine(2))


def test_a_table_without_a_row_group(tmp_path: Path) -> None:
    write_table([], tmp_path / "empty.parquet")
    found = scan(Table(tmp_path / "empty.parquet"), PAIR, CheckOptions())
    assert found.findings == ()
    assert isinstance(found.features, pa.Table)
    assert found.features.num_rows == 0
