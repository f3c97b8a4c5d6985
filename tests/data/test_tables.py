"""Tables keep every value, are paged and searched, and know what they hold."""

from pathlib import Path
from typing import Any

import pytest

from studio.data.tables import Row, Table, write_table

NESTED: list[dict[str, Any]] = [
    {"text": "a", "n": 1, "mixed": "x", "turns": [{"role": "user", "content": "Straße “1”"}], "flag": True},
    {"text": "", "n": 2.5, "mixed": 3, "turns": [], "flag": None, "late": {"k": [None, False]}},
    {"text": "\x00 \u2028 😀 b", "n": 2**70, "mixed": None, "turns": None},
]


def table_of(folder: Path, values: list[dict[str, Any]], name: str = "t.parquet") -> Table:
    write_table((Row(i, item) for i, item in enumerate(values, 1)), folder / name)
    return Table(folder / name)


def test_every_value_comes_back(tmp_path: Path) -> None:
    table = table_of(tmp_path, NESTED)
    names = [column.name for column in table.columns]
    assert [dict(row.values) for row in table.read()] == [{n: item.get(n) for n in names} for item in NESTED]
    types = {column.name: column.type for column in table.columns}
    assert types == {
        "text": "text", "n": "number", "mixed": "mixed", "turns": "list", "flag": "boolean", "late": "object",
    }  # fmt: skip


@pytest.mark.parametrize("names", [("", " "), ("a", "A"), ("id", "c0"), ("x.y", "../z"), ('"', "'"), ("😀", "?*[")])
def test_any_column_name(tmp_path: Path, names: tuple[str, str]) -> None:
    table = table_of(tmp_path, [{names[0]: "1", names[1]: "2"}])
    assert dict(table.page(0, 1)[0].values) == {names[0]: "1", names[1]: "2"}
    assert table.count("2") == 1


def test_pages_and_search(tmp_path: Path) -> None:
    folder = tmp_path / "od[d] *na?me'"
    folder.mkdir()
    table = table_of(folder, [{"q": f"Row {i}", "turns": [{"content": f'Say "{i}"\n東京'}]} for i in range(20_000)])
    assert table.rows == 20_000
    assert [row.id for row in table.page(19_998, 10)] == [19_999, 20_000]
    assert [row.id for row in table.page(0, 3, "ROW 1999")] == [2000, 19991, 19992]
    assert table.count("row 1999") == 11
    assert table.count('say "7"\n東') == 1
    assert table.count("%") == table.count("' OR 1=1") == 0
    assert table.find([5, 99_999]) == {5: table.page(4, 1)[0]}
    assert (table.position(20_000), table.position(0)) == (19_999, None)


def test_cells_are_short(tmp_path: Path) -> None:
    table = table_of(tmp_path, [{"q": "x" * 5_000_000, "n": [1, None]}, {"q": None, "n": None}])
    first, second = table.cells(0, 5, width=50)
    assert first.texts == ("x" * 50 + "…", "[1,null]")
    assert second.texts == ("", "")
    assert len(table.page(0, 1)[0].values["q"]) == 5_000_000


def test_fingerprint_follows_the_content(tmp_path: Path) -> None:
    one = table_of(tmp_path, NESTED, "1.parquet").fingerprint()
    assert one == table_of(tmp_path, NESTED, "2.parquet").fingerprint()
    others = [NESTED[::-1], [{**NESTED[0], "text": "b"}, *NESTED[1:]], [{**NESTED[0], "text": None}, *NESTED[1:]]]
    assert len({one, *(table_of(tmp_path, v, "3.parquet").fingerprint() for v in others)}) == 4


def test_written_whole_or_not_at_all(tmp_path: Path) -> None:
    table = table_of(tmp_path, [{"q": "old"}])
    (tmp_path / "t.parquet.partial").mkdir()
    with pytest.raises(IsADirectoryError):
        table_of(tmp_path, [{"q": "new"}])
    assert table.page(0, 1)[0].values["q"] == "old"
