"""Tables keep every value, are paged and searched, and know what they hold."""

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from studio.data.table_writer import whole
from studio.data.tables import Cells, Row, Table, TableWriter, write_table

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
    assert (table.position(20_000), table.position(0), table.position(2**80)) == (19_999, None, None)
    assert (table.find([]), table.find([-1, 2**63])) == ({}, {})


def test_cells_are_short(tmp_path: Path) -> None:
    table = table_of(tmp_path, [{"q": "x" * 5_000_000, "n": [1, None]}, {"q": None, "n": None}])
    first, second = table.cells(0, 5, width=50)
    assert first.texts == ("x" * 50 + "…", "[1,null]")
    assert second.texts == ("", "")
    assert len(table.page(0, 1)[0].values["q"]) == 5_000_000


def test_only_the_columns_wanted_are_read(tmp_path: Path) -> None:
    write_table([Row(i, {"a": f"a{i}", "b": i, "c": f"c{i}"}) for i in range(1, 6)], tmp_path / "t.parquet")
    table = Table(tmp_path / "t.parquet")
    assert table.cells(1, 1, columns=["c", "a"]) == [Cells(2, ("a2", "c2"))]
    assert table.page(0, 9, "c4", columns=["b"]) == [Row(4, {"b": 4})]
    assert table.cells(0, 1, order="b", descending=True, columns=["a"]) == [Cells(5, ("a5",))]
    assert table.find([3], ["c"]) == {3: Row(3, {"c": "c3"})}
    assert table.page(0, 9, "nothing", columns=["b"]) == []


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


def test_batches_and_columns(tmp_path: Path) -> None:
    table = table_of(tmp_path, [{"q": f"{i}", "n": i, "late": [i]} for i in range(20_000)])
    batches = list(table.batches(size=3000))
    assert [len(batch) for batch in batches] == [3000] * 6 + [2000]
    assert [row.id for batch in batches for row in batch] == list(range(1, 20_001))
    some = next(table.batches(size=2, columns=["late", "q"]))
    assert [dict(row.values) for row in some] == [{"q": "0", "late": [0]}, {"q": "1", "late": [1]}]
    assert [dict(row.values) for row in next(table.batches(size=1, columns=[]))] == [{}]


def test_ids_of_a_file_choose_rows(tmp_path: Path) -> None:
    table = table_of(tmp_path, [{"q": f"Row {i}", "n": -i} for i in range(20_000)])
    ids = tmp_path / "ids.parquet"
    pq.write_table(pa.table({"id": [19_000, 3, 7, 99_999]}), ids)
    assert [row.id for row in table.page(0, 10, ids=ids)] == [3, 7, 19_000]
    assert (table.count(ids=ids), table.count("row 2", ids=ids), table.count("row 6", ids=ids)) == (3, 1, 1)
    assert [row.id for row in table.page(1, 10, order="n", ids=ids)] == [7, 3]
    assert [row.id for row in table.page(0, 10, search="row 1", order="n", ids=ids)] == [19_000]
    pq.write_table(pa.table({"id": pa.array([], pa.int64())}), ids)
    assert (table.page(0, 10, ids=ids), table.count(ids=ids)) == ([], 0)


ORDERED: list[Any] = [
    "b", "a", None, "", "a long beginning that many share, 2", "a long beginning that many share, 10", "a\0", "あ",
    "亜", "a", "Ａ", "😀", "\uffff", "a long beginning that many share, 2", "B",
]  # fmt: skip


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("copies", [1, 700])
def test_sorted_by_text(tmp_path: Path, descending: bool, copies: int) -> None:
    folder = tmp_path / "od[d] *na?me'"
    folder.mkdir()
    values = ORDERED * copies
    table = table_of(folder, [{"q": value} for value in values])
    filled = [(value.encode(), i) for i, value in enumerate(values, 1) if value is not None]
    filled.sort(key=lambda item: item[0], reverse=descending)  # stable either way
    expected = [i for _, i in filled] + [i for i, value in enumerate(values, 1) if value is None]
    found = [row.id for row in table.page(0, len(values), order="q", descending=descending)]
    assert found == expected
    for offset in (0, 3, len(values) // 2, len(values) - 2, len(values)):
        page = table.cells(offset, 3, order="q", descending=descending)
        assert [cells.id for cells in page] == expected[offset : offset + 3]
    chosen = [i for i in expected if values[i - 1] and "share" in values[i - 1]]
    assert [r.id for r in table.page(0, 9999, search="SHARE", order="q", descending=descending)] == chosen


@settings(deadline=None, max_examples=60, database=None)
@given(
    some.lists(
        some.none() | some.tuples(some.sampled_from([0, 6, 7, 8, 455, 456, 2000]), some.text("ab\0é", max_size=9)),
        min_size=1,
        max_size=40,
    ),
    some.booleans(),
    some.data(),
)
def test_a_page_in_order_is_a_part_of_the_whole(
    parts: list[tuple[int, str] | None], descending: bool, data: some.DataObject
) -> None:
    """Texts that begin alike, for as many bytes as are read at once and more."""
    values = [part and "x" * part[0] + part[1] for part in parts]
    with tempfile.TemporaryDirectory() as made:
        table = table_of(Path(made), [{"q": value, "last": ""} for value in values])
        filled = sorted(
            ((value.encode(), i) for i, value in enumerate(values, 1) if value is not None),
            key=lambda item: item[0],
            reverse=descending,
        )
        expected = [i for _, i in filled] + [i for i, value in enumerate(values, 1) if value is None]
        offset, limit = data.draw(some.integers(0, len(values))), data.draw(some.integers(1, 5))
        page = table.cells(offset, limit, order="q", descending=descending)
        assert [cells.id for cells in page] == expected[offset : offset + limit]


@pytest.mark.parametrize("clustered", [False, True])
def test_pages_in_order_of_texts_that_begin_alike(tmp_path: Path, clustered: bool) -> None:
    """Many rows of few templates, and rows that begin otherwise: before them, after them, in the middle of them."""
    dice = random.Random(4)
    system = "You are kind. " * 30
    begins = [f"{system}Translate: ", f"{system}Sum up: ", f"{system}Sum up: the ", "", "zz", "é" * 200]
    values = [
        dice.choices(begins, [8, 6, 2, 0.1, 0.1, 1])[0] + "".join(dice.choices("ab\0é", k=dice.randint(0, 9)))
        for _ in range(2_994)
    ]
    values[1000:1000] = [system[:100] + end for end in "Az\0bAé"]  # few, and so in no sample
    if clustered:
        values.sort()
    table = Table(tmp_path / "t.parquet")
    with TableWriter(table.path) as writer:
        for start in range(0, len(values), 500):
            writer.extend(range(start + 1, start + 501), [{"q": value} for value in values[start : start + 500]])
            writer._write()
    for down in (False, True):
        expected = sorted(range(len(values)), key=lambda i: values[i].encode(), reverse=down)
        for offset in (*range(0, len(values), 251), *range(2_520, 2_980, 20)):
            page = table.cells(offset, 20, order="q", descending=down)
            assert [cells.id - 1 for cells in page] == expected[offset : offset + 20]


def test_sorted_by_number(tmp_path: Path) -> None:
    values = [10, 9, None, -1, 2.5, 2**70, -(2**70), 0, 9, float("inf"), 1e16, -0.0, float("nan"), -2.5]
    table = table_of(tmp_path, [{"n": value} for value in values])
    up = table.page(0, 99, order="n")
    assert [row.values["n"] for row in up][:-1] == [
        -(2**70), -2.5, -1, 0, -0.0, 2.5, 9, 9, 10, 1e16, 2**70, float("inf"), None,
    ]  # fmt: skip
    assert up[-1].id == 13  # which is no number
    down = table.page(0, 99, order="n", descending=True)
    assert [row.id for row in down][-8:] == [5, 8, 12, 4, 14, 7, 3, 13]
    assert [row.id for row in down if row.values["n"] == 9] == [2, 9]


def test_search_in_any_case_and_script(tmp_path: Path) -> None:
    values = ["Straße", "ÉCOLE café", "ЁЖ ёж", "東京タワー", "kelvin K", "a.b*c[d]", "\x00nul", "ＡＢＣ", None]
    table = table_of(tmp_path, [{"q": value, "n": [value]} for value in values])
    asked = {
        "STRASSE": 0,
        "straße": 1,
        "école CAFÉ": 1,
        "ёЖ": 1,
        "京タ": 1,
        "KELVIN": 1,
        "a.B*": 1,
        "a?b": 0,
        "\x00N": 1,
    }
    assert {text: table.count(text) for text in [*asked, "ａｂ"]} == {**asked, "ａｂ": 1}
    assert table.count("\ud800") == 0
    numbers = [12, -7, 2.5, 10**30, 1e300, float("inf"), float("nan")]
    kinds = table_of(
        tmp_path,
        [{"i": 12, "n": number, "b": flag} for number, flag in zip(numbers, [True, False] * 4, strict=False)],
        "kinds.parquet",
    )
    assert [column.type for column in kinds.columns] == ["integer", "number", "boolean"]
    asked = {"2": 7, "-7": 1, ".5": 1, "E+3": 1, "INFIN": 1, "nan": 1, "TRUE": 4, "als": 3, "q": 0, "1 2": 0}
    assert {text: kinds.count(text) for text in asked} == asked
    long = table_of(tmp_path, [{"q": "ab" * 100_000}, {"q": "b" * 5000}], "long.parquet")
    assert [long.count(text) for text in ("AB" * 90_000, "B" * 5000, "a" * 1001, "aB" * 400)] == [1, 1, 0, 1]
    assert len(table.page(0, 3, search="a")) == 3


@settings(deadline=None, max_examples=60, database=None)
@given(
    some.lists(
        some.dictionaries(
            some.sampled_from(["a", "b", "A", "", "\ud800", "\udc00", "id", "c0"]),
            some.none() | some.text(max_size=4) | some.integers() | some.floats(allow_nan=False) | some.booleans()
            | some.lists(some.text(max_size=2), max_size=2) | some.just({"k": "\ud83d"}),
            max_size=5,
        ),
        max_size=30,
    ),
    some.integers(1, 7),
)  # fmt: skip
def test_rows_come_back_whatever_they_are(rows: list[dict[str, Any]], group: int) -> None:
    """However the rows fall into row groups and parts, the table is the same."""
    with tempfile.TemporaryDirectory() as made:
        once = table_of(Path(made), rows, "once.parquet")
        for every in (1, 2, 99):
            with TableWriter(Path(made) / "parts.parquet") as writer:
                for number, start in enumerate(range(0, len(rows), group), 1):
                    some_rows = rows[start : start + group]
                    writer.extend(range(start + 1, start + 1 + len(some_rows)), some_rows)
                    if number % every == 0:
                        writer._write()
            parts = Table(Path(made) / "parts.parquet")
            assert parts.columns == once.columns
            assert parts.fingerprint() == once.fingerprint()
            assert list(parts.read()) == list(once.read())
        assert sorted(item.name for item in Path(made).iterdir()) == ["once.parquet", "parts.parquet"]
        names = [whole(name) for name in dict.fromkeys(name for row in rows for name in row)]
        assert len({column.name for column in once.columns}) == len(names)
        for row, found in zip(rows, once.read(), strict=True):
            for name in ("a", "b", "A", "", "id", "c0"):
                value = row.get(name)
                if not isinstance(value, str | dict) or value == {}:
                    assert found.values.get(name) == value


def test_a_change_of_a_column_at_the_end(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "t.parquet") as writer:
        for start in range(0, 30_000, 1000):
            writer.add(Row(i, {"a": f"[{i}]" if i % 2 else "", "b": str(i)}) for i in range(start, start + 1000))
        writer.change("a", lambda cell: json.loads(cell) if cell else None)
        writer.title("b", "a")
    table = Table(tmp_path / "t.parquet")
    assert [(c.name, c.type) for c in table.columns] == [("a", "list"), ("a (2)", "text")]
    assert dict(table.page(29_999, 1)[0].values) == {"a": [29_999], "a (2)": "29999"}
    assert dict(table.page(0, 1)[0].values) == {"a": None, "a (2)": "0"}


def test_nothing_is_left_of_a_table_that_failed(tmp_path: Path) -> None:
    def rows() -> Iterator[Row]:
        for i in range(40_000):
            yield Row(i, {"a": i if i < 20_000 else str(i)})
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_table(rows(), tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []
