"""Rows written for other programs come back, and no cell becomes a formula."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from studio.data.export_rows import as_text, export_csv, export_jsonl
from studio.data.sources import read_source
from studio.data.tables import Row, Table

VALUES: list[dict[str, Any]] = [
    {"q": "空の色は？", "n": 1, "turns": [{"role": "user", "content": "a\nb"}]},
    {"q": "=cmd|' /C calc'!A0", "n": None, "turns": None},
    {"q": 'He said "hi",\r\nthen left', "n": -2.5, "turns": []},
]
ROWS = [Row(i, item) for i, item in enumerate(VALUES, 1)]


def test_jsonl_comes_back(tmp_path: Path) -> None:
    assert export_jsonl(iter(ROWS), tmp_path / "a.jsonl") == 3
    source = read_source(tmp_path / "a.jsonl", tmp_path / "table", max_bytes=10**6)
    assert source.notes == ()
    assert [dict(row.values) for row in Table(tmp_path / "table").read()] == VALUES


def test_csv_is_text(tmp_path: Path) -> None:
    assert export_csv(iter(ROWS), ["q", "n", "turns"], tmp_path / "a.csv") == 3
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["q", "n", "turns"]
    assert lines[1] == ["空の色は？", "1", json.dumps(VALUES[0]["turns"], ensure_ascii=False)]
    assert lines[2] == ["'=cmd|' /C calc'!A0", "", ""]
    assert lines[3] == ['He said "hi",\r\nthen left', "-2.5", "[]"]
    assert read_source(tmp_path / "a.csv", tmp_path / "table", max_bytes=10**6).rows == 3
    assert [item.name for item in tmp_path.iterdir() if "partial" in item.name] == []


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd", "-cmd", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "-1+2", "+81 3 1234"]
)
def test_formulas_become_text(text: str) -> None:
    assert as_text(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "-1", "+1.5e3", "-.5", "a=b", "'=1", "“=1”", "1-2"])
def test_other_text_stays(text: str) -> None:
    assert as_text(text) == text
