"""Workbooks, written here by hand: their first sheet with rows."""

import zipfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from studio.data.sources import Source, read_source
from studio.data.tables import Table
from studio.errors import DataError

NS = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def cell(place: str, value: Any) -> str:
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{place}"><v>{value}</v></c>'
    if value == "DATE":
        return f'<c r="{place}" s="1"><v>45292</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'


def workbook(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    with zipfile.ZipFile(path, "w") as book:
        parts = "".join(f'<sheet name="{escape(name)}" sheetId="{i}" r:id="r{i}"/>' for i, name in enumerate(sheets, 1))
        book.writestr("xl/workbook.xml", f'<workbook {NS} xmlns:r="{RELATIONS}"><sheets>{parts}</sheets></workbook>')
        package = "http://schemas.openxmlformats.org/package/2006/relationships"
        root = f'<Relationship Id="r1" Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/>'
        book.writestr("_rels/.rels", f'<Relationships xmlns="{package}">{root}</Relationships>')
        links = "".join(
            f'<Relationship Id="r{i}" Type="{RELATIONS}/worksheet" Target="worksheets/s{i}.xml"/>'
            for i in range(1, len(sheets) + 1)
        )
        book.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{package}">{links}</Relationships>')
        styles = f'<styleSheet {NS}><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>'
        book.writestr("xl/styles.xml", styles)
        for i, rows in enumerate(sheets.values(), 1):
            body = "".join(
                f'<row r="{n}">'
                + "".join(cell(f"{chr(65 + c)}{n}", v) for c, v in enumerate(row) if v != "")
                + "</row>"
                for n, row in enumerate(rows, 1)
                if row
            )
            book.writestr(f"xl/worksheets/s{i}.xml", f"<worksheet {NS}><sheetData>{body}</sheetData></worksheet>")
    return path


def read(path: Path, folder: Path) -> tuple[Source, list[dict[str, Any]]]:
    source = read_source(path, folder / "table", max_bytes=10**8)
    return source, [dict(row.values) for row in Table(folder / "table").read()]


def test_values_and_sheets(tmp_path: Path) -> None:
    rows = [
        ["question", "n", "when", "ok", ""],
        ["空の色は？", 3, "DATE", True],
        [],
        ["=cmd|' /C calc'!A0", 2.5, "", False, "beyond the names"],
        ["“1” & <2>\n3", "", "", ""],
    ]
    path = workbook(tmp_path / "a.xlsx", {"Notes": [["only a title"]], "データ": rows, "More": [["x"], ["y"]]})
    source, values = read(path, tmp_path)
    assert source.kind == "Excel"
    assert list(values[0]) == ["question", "n", "when", "ok", "column 5"]
    assert [list(row.values()) for row in values] == [
        ["空の色は？", 3, "2024-01-01", True, None],
        ["=cmd|' /C calc'!A0", 2.5, None, False, "beyond the names"],
        ["“1” & <2>\n3", None, None, None, None],
    ]
    assert [n.values for n in source.notes if n.key == "notice.data.sheet"] == [
        {"sheet": "データ", "others": "Notes, More"}
    ]


def test_no_rows_and_damage(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(workbook(tmp_path / "a.xlsx", {"Empty": [], "Title": [["q", "a"]]}), tmp_path)
    assert caught.value.key == "error.data.no_rows"
    with zipfile.ZipFile(tmp_path / "b.xlsx", "w") as book:
        book.writestr("xl/workbook.xml", "<not closed")
    with pytest.raises(DataError) as caught:
        read(tmp_path / "b.xlsx", tmp_path)
    assert caught.value.key == "error.data.excel"
