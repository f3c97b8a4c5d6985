"""The summary is made of findings alone; their rows can be written to a file."""

import csv
import json
from pathlib import Path

import pytest

from studio.data.checks import CheckOptions
from studio.data.formats import Mapping
from studio.data.readiness import export_findings, readiness
from studio.data.scan import Scan, scan
from studio.data.tables import Row, Table, write_table

GOOD = [{"q": f"question {i}", "a": f"answer {i}"} for i in range(200)]


def scanned(folder: Path, rows: list[dict[str, str]]) -> tuple[Scan, Table]:
    built = [Row(i, row) for i, row in enumerate(rows, 1)]
    write_table(built, folder / "table.parquet")
    table = Table(folder / "table.parquet")
    return scan(table, Mapping(prompt="q", answer="a"), CheckOptions()), table


@pytest.mark.parametrize(
    ("rows", "state", "errors", "warnings"),
    [
        (GOOD, "ready", 0, 0),
        ([*GOOD, {"q": "x", "a": "me@example.com"}, {"q": "", "a": "me@example.com"}], "look", 1, 1),
        ([*GOOD, *[{"q": "", "a": "y"}] * 20], "fix", 20, 0),
        ([{"q": "", "a": ""}], "empty", 1, 0),
        (GOOD[:30], "ready", 0, 0),
    ],
)
def test_states(rows: list[dict[str, str]], state: str, errors: int, warnings: int, tmp_path: Path) -> None:
    found = readiness(scanned(tmp_path, rows)[0])
    assert (found.state, found.with_errors, found.with_warnings) == (state, errors, warnings)
    assert found.clean == len(rows) - errors - warnings
    assert found.message("en") != found.message("ja")


def test_export(tmp_path: Path) -> None:
    found, table = scanned(tmp_path, [*GOOD, {"q": "=1+1", "a": "me@example.com, 改行\n"}, {"q": "", "a": "y"}])
    assert export_findings(found, table, tmp_path / "all.csv") == 2
    with (tmp_path / "all.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["finding", "row", "q", "a"]
    assert ["email", "201", "'=1+1", "me@example.com, 改行\n"] in rows
    assert export_findings(found, table, tmp_path / "one.jsonl", ["finding.blank"]) == 1
    line = json.loads((tmp_path / "one.jsonl").read_text(encoding="utf-8"))
    assert line == {"finding": "blank", "row": 202, "values": {"q": "", "a": "y"}}
