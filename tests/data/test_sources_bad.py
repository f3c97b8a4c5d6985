"""Hostile and broken files: told clearly, never a crash, and never much memory."""

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studio.data import json_rows, reading
from studio.data.encodings import TextFile
from studio.data.sources import Source, read_source
from studio.data.tables import Table
from studio.errors import DataError


def read(path: Path, **options: Any) -> tuple[Source, list[dict[str, Any]]]:
    source = read_source(path, path.parent / "table", **{"max_bytes": 10**12, **options})
    return source, [dict(row.values) for row in Table(path.parent / "table").read()]


def refused(path: Path, key: str) -> DataError:
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.key == key
    assert path.name in caught.value.message("en")
    assert path.name in caught.value.message("ja")
    assert not (path.parent / "table").exists()
    return caught.value


def with_hole(path: Path, before: bytes, size: int, after: bytes) -> Path:
    """A file with `size` zero bytes in it that take no room on the disk."""
    with path.open("wb") as file:
        file.write(before)
        file.seek(size, os.SEEK_CUR)
        file.write(after)
    return path


GOOD = b'{"q": "a sentence that is long enough to look like text"}\n' * 10_000


def test_a_line_of_gigabytes_is_left_out(tmp_path: Path) -> None:
    path = with_hole(tmp_path / "a.jsonl", GOOD + b'{"q": "', 2_000_000_000, b'"}\n{"q": "last"}\n')
    tracemalloc.start()
    source, values = read(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 400_000_000
    assert (source.rows, source.left_out_rows, values[-1]) == (10_001, 1, {"q": "last"})
    assert [(item.line, item.key) for item in source.left_out] == [(10_001, "error.row.too_long")]
    assert source.left_out[0].text.startswith('{"q": "')
    (tmp_path / "table").unlink()
    only = with_hole(tmp_path / "b.jsonl", b'{"q": "' + b"x" * 400_000, 100_000_000, b'"}\n')
    refused(only, "error.data.mostly_broken")


def test_a_long_line_of_csv(tmp_path: Path) -> None:
    rows = b"".join(b"%d,some text that is long enough\n" % i for i in range(20_000))
    path = with_hole(tmp_path / "a.csv", b"q,a\n" + rows, 100_000_000, b"\n1,2\n")
    source, values = read(path)
    assert (source.rows, source.left_out_rows, values[-1]) == (20_001, 1, {"q": "1", "a": "2"})
    assert (source.left_out[0].line, source.left_out[0].key) == (20_002, "error.row.too_long")
    (tmp_path / "table").unlink()
    path = with_hole(tmp_path / "b.csv", b"q,a\n" + rows + b'"', 100_000_000, b'",1\n')
    source, _ = read(path)
    assert (source.rows, [item.line for item in source.left_out]) == (20_000, [20_002])
    (tmp_path / "table").unlink()
    (tmp_path / "c.csv").write_bytes(b"q,a\n" + rows + b'1,"' + b"2,3\n" * 17_000_000)
    assert refused(tmp_path / "c.csv", "error.data.row_too_long").values["line"] == 20_002


def test_a_list_too_long_to_be_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [{"q": f"質問{i}", "n": 2**70 + i, "deep": [[{"k": None}]]} for i in range(20_000)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(items, ensure_ascii=False, indent=1), encoding="utf-8")
    at_once = read(path)
    parts = json.dumps({"version": "1", "data": items, "more": {"x": 1}})
    (tmp_path / "b.json").write_text(parts)
    monkeypatch.setattr(json_rows, "_AT_ONCE_BYTES", 1000)
    assert read(path) == at_once
    source, values = read(tmp_path / "b.json")
    assert values == at_once[1]
    assert [note.key for note in source.notes] == ["notice.data.list_key"]
    (tmp_path / "table").unlink()
    text = path.read_text(encoding="utf-8")
    place = text.index('"質問15000"')
    for broken, key in (
        (text[:place] + "x" + text[place:], "error.data.json"),
        (text[:place], "error.data.json"),
        (text + "]", "error.data.json"),
        (text[:-2] + ",]", "error.data.json"),
    ):
        path.write_text(broken, encoding="utf-8")
        told = refused(path, key)
        with pytest.raises(json.JSONDecodeError) as at_once_told:
            json.loads(broken)
        assert told.values["line"] in (at_once_told.value.lineno, at_once_told.value.lineno + 1)
    (tmp_path / "c.json").write_text('{"a": 1, "b": [1, 2], "c": [{"x": 1}]}' + " " * 1000)
    refused(tmp_path / "c.json", "error.data.json_object")


def test_encoding_that_turns_out_otherwise_late(tmp_path: Path) -> None:
    text = GOOD + '{"q": "これは日本語です。そうですね。"}\n'.encode("cp932") * 3
    (tmp_path / "a.jsonl").write_bytes(text)
    source, values = read(tmp_path / "a.jsonl")
    assert (source.encoding, values[-1]) == ("Shift-JIS", {"q": "これは日本語です。そうですね。"})
    (tmp_path / "a.csv").write_bytes(b"q,a\n" + b"1,2\n" * 200_000 + "これは,です\n".encode("euc_jp"))
    source, values = read(tmp_path / "a.csv")
    assert (source.encoding, values[-1]) == ("EUC-JP", {"q": "これは", "a": "です"})


def test_numbers_and_depth_that_the_quick_reader_would_change(tmp_path: Path) -> None:
    nested: Any = "x"
    for _ in range(100):
        nested = [nested]
    rows = [{"n": 2**64, "deep": nested}, {"n": -(2**63) - 1}, {"n": 2**63}, {"n": 1e300}, {"n": [2**200]}]
    lines = [json.dumps(row) for row in rows]
    deep = '{"q": ' + "[" * 700 + "]" * 700 + "}"
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, deep]))
    source, values = read(tmp_path / "a.jsonl")
    assert [row["n"] for row in values] == [row["n"] for row in rows]
    assert values[0]["deep"] == nested
    assert [(item.line, item.key) for item in source.left_out] == [(6, "error.row.too_deep")]
    (tmp_path / "a.json").write_text("[" + ",".join([*lines, deep]) + "]")
    source, values = read(tmp_path / "a.json")
    assert [row["n"] for row in values] == [row["n"] for row in rows]
    assert [(item.line, item.key) for item in source.left_out] == [(6, "error.row.too_deep")]


def test_many_columns(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(10_000)]
    lines = [",".join(names)] + [",".join(map(str, range(10_000)))] * 3
    (tmp_path / "a.csv").write_text("\n".join(lines))
    source, values = read(tmp_path / "a.csv")
    assert (source.rows, len(source.columns), values[2]["c9999"]) == (3, 10_000, "9999")
    table = Table(tmp_path / "table")
    assert len(table.cells(0, 3)[0].texts) == 10_000
    assert table.count("9999") == 3
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({f"k{i}": i}) + "\n" for i in range(2000)))
    assert read(tmp_path / "a.jsonl")[1][1999]["k1999"] == 1999
    (tmp_path / "table").unlink()
    (tmp_path / "b.jsonl").write_text(json.dumps({f"k{i}": i for i in range(20_001)}))
    refused(tmp_path / "b.jsonl", "error.data.too_many_columns")


def test_odd_text_stays_as_it_is(tmp_path: Path) -> None:
    names = ["q'; DROP TABLE rows; --", "\u202eevil\u202c", "a\u200bb", "c\x00d"]
    cells = ["=cmd|' /C calc'!A0", "\u202egnp.exe\u202c", "zero\u200bwidth\ufeff", "nul\x00byte"]
    (tmp_path / "a.jsonl").write_text(json.dumps(dict(zip(names, cells, strict=True))), encoding="utf-8")
    _, values = read(tmp_path / "a.jsonl")
    assert values == [dict(zip(names, cells, strict=True))]
    table = Table(tmp_path / "table")
    for name in names:
        assert len(table.page(0, 1, order=name)) == 1
    assert [table.count(text) for text in ("\u202egnp", "zero\u200b", "nul\x00b", "' /C", "DROP")] == [1, 1, 1, 1, 0]
    (tmp_path / "b.csv").write_text("q,a\n1,nul\x00byte\n", encoding="utf-8")
    assert read(tmp_path / "b.csv")[1] == [{"q": "1", "a": "nul\x00byte"}]


def test_broken_parquet(tmp_path: Path) -> None:
    table = pa.table({"q": [f"row {i}" for i in range(5000)]})
    pq.write_table(table, tmp_path / "a.parquet", compression="none")
    data = (tmp_path / "a.parquet").read_bytes()
    for number, broken in enumerate(
        (data[:-8] + b"\xff\xff\xff\x7fPAR1", data[:-1], data[:50] + data[-50:], data[:-100] + bytes(92) + data[-8:])
    ):
        (tmp_path / f"{number}.parquet").write_bytes(broken)
        refused(tmp_path / f"{number}.parquet", "error.data.parquet")
    bad = pa.table({"q": pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())})
    pq.write_table(bad, tmp_path / "b.parquet")
    refused(tmp_path / "b.parquet", "error.data.parquet")


def test_too_long_lines_are_counted_wherever_pieces_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 50)
    monkeypatch.setattr(reading, "MAX_ROW_BYTES", 50_000_000)
    text = '{"q": 1}\n' + '{"q": "' + "x" * 200 + '"}\n' + '{"q": 2}\n' + '{"q": "' + "y" * 90 + '"}'
    (tmp_path / "a.jsonl").write_text(text)
    for size in (1, 2, 3, 7, 50, 100, 209, 210, 211, 1000):

        def blocks(_: TextFile, size: int = size) -> Any:
            return (text[i : i + size].encode() for i in range(0, len(text), size))

        monkeypatch.setattr(TextFile, "blocks", blocks)
        source, values = read(tmp_path / "a.jsonl")
        long = [item.line for item in source.left_out]
        assert [row["q"] for row in values if not isinstance(row["q"], str)] == [1, 2]
        assert source.rows + source.left_out_rows == 4
        assert set(long) <= {2, 4}
