"""Files as people have them: every kind, encoding and fault."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studio.data.sources import Source, read_source
from studio.data.tables import Row, Table
from studio.errors import DataError

ROWS = [{"question": "空の色は？", "answer": "青です。"}, {"question": '1, "2"\n3?', "answer": "4"}]
LIMIT = 50_000_000


def read(path: Path, **options: Any) -> Source:
    target = path.parent / "read.table"
    target.unlink(missing_ok=True)
    return read_source(path, target, **{"max_bytes": LIMIT, **options})


def rows(source: Source, folder: Path) -> list[Row]:
    """Rows of the file read last."""
    found = list(Table(folder / "read.table").read())
    assert len(found) == source.rows
    return found


def values(source: Source, folder: Path) -> list[dict[str, Any]]:
    return [dict(row.values) for row in rows(source, folder)]


def refused(path: Path, key: str, **options: Any) -> DataError:
    """The file is refused with this sentence, which names it and is there in both languages."""
    with pytest.raises(DataError) as caught:
        read(path, **options)
    assert caught.value.key == key
    assert not list(path.parent.glob("read.table*"))
    for language in ("en", "ja"):
        assert options.get("name", path.name) in caught.value.message(language)
    return caught.value


def as_csv(items: list[dict[str, str]]) -> str:
    quoted = [[*items[0]], *([*row.values()] for row in items)]
    return "\r\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in quoted)


KINDS: dict[str, Callable[[list[dict[str, str]]], str]] = {
    "a.jsonl": lambda items: "\n".join(json.dumps(row, ensure_ascii=False) for row in items) + "\n",
    "a.json": lambda items: json.dumps(items, ensure_ascii=False, indent=2),
    "a.csv": as_csv,
}
LONGER = ROWS + [{"question": f"質問{i}：これは何ですか。", "answer": f"答えは{i}です。"} for i in range(30)]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8 (BOM)"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("cp932", "Shift-JIS"),
        ("euc_jp", "EUC-JP"),
        ("iso2022_jp", "ISO-2022-JP"),
    ],
)
def test_every_kind_in_every_encoding(tmp_path: Path, name: str, encoding: str, shown: str) -> None:
    (tmp_path / name).write_bytes(KINDS[name](LONGER).encode(encoding))
    source = read(tmp_path / name)
    assert source.encoding == shown
    assert values(source, tmp_path) == LONGER
    assert [row.id for row in rows(source, tmp_path)] == list(range(1, len(LONGER) + 1))
    told = [note.key for note in source.notes]
    assert told == ([] if shown.startswith("UTF-8") else ["notice.data.encoding"])


def test_short_shift_jis_and_western_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("質問,回答\nこんにちは,はい、どうも\n".encode("cp932"))
    assert values(read(tmp_path / "a.csv"), tmp_path) == [{"質問": "こんにちは", "回答": "はい、どうも"}]
    text = "prompt,completion\nOù est le café ?,Près de l’église, là-bas à Évry.\n".replace("église, ", "église ")
    (tmp_path / "b.csv").write_bytes(text.encode("cp1252"))
    assert values(read(tmp_path / "b.csv"), tmp_path)[0]["prompt"] == "Où est le café ?"


def test_encoding_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("質問,回答\nｱ,ｲ\n".encode("cp932"))
    assert values(read(path, encoding="Shift-JIS"), tmp_path) == [{"質問": "ｱ", "回答": "ｲ"}]
    assert refused(path, "error.data.encoding_wrong", encoding="UTF-8").values["line"] == 1
    refused(path, "error.data.encoding_unknown", encoding="Klingon")


def test_a_few_broken_bytes_are_replaced_and_told(tmp_path: Path) -> None:
    good = "".join(json.dumps({"q": f"質問{i}", "a": "はい"}, ensure_ascii=False) + "\n" for i in range(50))
    (tmp_path / "a.jsonl").write_bytes(good.encode() + b'{"q": "x\xff\xfe", "a": "b"}\n')
    source = read(tmp_path / "a.jsonl")
    assert values(source, tmp_path)[-1]["q"] == "x\ufffd\ufffd"
    assert [(n.key, n.values["count"]) for n in source.notes] == [("notice.data.replaced", 2)]


def test_half_characters_become_replacement_characters(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"q": "\\ud83d", "a": ["\\ud83d\\ude00"]}\n')
    source = read(tmp_path / "a.jsonl")
    assert values(source, tmp_path) == [{"q": "\ufffd", "a": ["😀"]}]
    assert [n.key for n in source.notes] == ["notice.data.replaced"]


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b" \n\n ", "\ufeff \n".encode("utf-16-le")])
@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl"])
def test_empty_file(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, "error.data.empty")


def test_header_only_and_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer\n")
    assert "question, answer" in str(refused(tmp_path / "a.csv", "error.data.header_only"))
    (tmp_path / "a.json").write_text("[]")
    refused(tmp_path / "a.json", "error.data.no_rows")
    (tmp_path / "b.json").write_text("[{}, {}]")
    refused(tmp_path / "b.json", "error.data.no_columns")
    pq.write_table(pa.table({"a": pa.array([], pa.string())}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "error.data.no_rows")


@pytest.mark.parametrize(
    ("name", "content", "key"),
    [
        ("a.csv", b"PK\x03\x04rest", "error.data.archive"),
        ("a.jsonl", b"\x1f\x8b\x08rest", "error.data.archive"),
        ("a.jsonl", b"BZh91AYrest", "error.data.kind_refused"),
        ("a.xlsx", b"q,a", "error.data.excel"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest", "error.data.excel"),
        ("a.pdf", b"q,a", "error.data.pdf"),
        ("a.parquet", b'{"a": 1}', "error.data.parquet"),
        ("a.parquet", b"PAR1 and then nothing", "error.data.parquet"),
        ("a.json", b"Dear diary\nit rained", "error.data.not_json"),
        ("a.jsonl", b"<html><body>no</body></html>", "error.data.not_json"),
        ("a.log", b"Once upon a time\nthere was a fox", "error.data.kind_unknown"),
        ("a.csv", bytes(range(256)) * 20, "error.data.not_text"),
        ("a.bin", random.Random(0).randbytes(5000), "error.data.not_text"),
    ],
)
def test_not_what_the_ending_says(tmp_path: Path, name: str, content: bytes, key: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, key)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.json", '{"q": "1"}\n{"q": "2"}\n', "JSONL"),
        ("a.jsonl", '[\n{"q": "1"},\n{"q": "2"}\n]', "JSON"),
        ("a.csv", '{"q": "1"}\n{"q": "2"}\n', "JSONL"),
        ("a.csv", '[{"q": "1"}, {"q": "2"}]', "JSON"),
        ("a.jsonl", "q,b\n1,x\n2,y\n", "CSV"),
    ],
)
def test_readable_under_another_ending(tmp_path: Path, name: str, content: str, kind: str) -> None:
    (tmp_path / name).write_text(content)
    source = read(tmp_path / name)
    assert source.kind == kind
    assert [row["q"] for row in values(source, tmp_path)] == ["1", "2"]
    assert [n.key for n in source.notes] == ["notice.data.other_kind"]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_separators(tmp_path: Path, delimiter: str) -> None:
    lines = [["prompt", "completion"], ["a, b; c", "d"], ["e", "f"], ["g", "h"]]
    quoted = "\n".join(delimiter.join(f'"{cell}"' for cell in line) for line in lines)
    (tmp_path / "a.csv").write_text(quoted)
    assert values(read(tmp_path / "a.csv"), tmp_path)[0] == {"prompt": "a, b; c", "completion": "d"}


def test_ragged_csv_tells_lines_and_loses_no_count(tmp_path: Path) -> None:
    text = 'q,a\n1,2\n3\n"4\n4",5\n6,7,8\n9,"x"y\n10,11,,\n'
    (tmp_path / "a.csv").write_text(text)
    source = read(tmp_path / "a.csv")
    assert values(source, tmp_path) == [
        {"q": "1", "a": "2"},
        {"q": "4\n4", "a": "5"},
        {"q": "10", "a": "11"},
    ]
    assert [(item.line, item.key) for item in source.left_out] == [
        (3, "error.row.fields"),
        (6, "error.row.fields"),
        (7, "error.row.quote"),
    ]
    assert [row.id for row in rows(source, tmp_path)] == [1, 3, 6]
    note = source.notes[0]
    assert (note.key, note.values) == ("notice.data.left_out", {"count": 3, "rows": 6, "lines": "3, 6, 7"})


def test_mostly_ragged_csv_is_refused_with_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("q,a\n1,2\n" + "x,y,z\n" * 5)
    error = refused(tmp_path / "a.csv", "error.data.mostly_broken")
    assert "line 3" in str(error)
    assert "3 fields" in str(error)
    assert "3行目" in error.message("ja")


def test_a_quotation_mark_never_closed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('q,a\n1,2\n3,"4\n5,6\n7,8\n')
    assert refused(tmp_path / "a.csv", "error.data.quote_open").values["line"] == 3


def test_column_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("q,Q,q,,id,../😀\n1,2,3,4,5,6\n")
    source = read(tmp_path / "a.csv")
    assert list(values(source, tmp_path)[0]) == ["q", "Q", "q (2)", "column 4", "id", "../😀"]
    assert [n.values["number"] for n in source.notes if n.key == "notice.data.renamed"] == [3, 4]


def test_conversations_inside_csv(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": 'He said "hi"'}, {"role": "assistant", "content": "はい"}]
    items = [{"id": str(i), "messages": json.dumps(turns, ensure_ascii=False)} for i in range(3)]
    (tmp_path / "a.csv").write_text(as_csv(items), encoding="utf-8")
    source = read(tmp_path / "a.csv")
    assert [row["messages"] for row in values(source, tmp_path)] == [turns] * 3
    assert [(n.key, n.values) for n in source.notes] == [("notice.data.nested", {"column": "messages"})]
    (tmp_path / "b.csv").write_text(as_csv([*items, {"id": "3", "messages": "[unclear]"}]), encoding="utf-8")
    source = read(tmp_path / "b.csv")
    assert values(source, tmp_path)[0]["messages"] == items[0]["messages"]
    assert source.notes == ()


def test_broken_lines_of_jsonl(tmp_path: Path) -> None:
    lines = ['{"q": 1}', "", '{"q": 2', "[1]", '{"q": NaN}', '{"q": 3}', f'{{"q": {"9" * 5000}}}', '{"q": "\u2028"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    source = read(tmp_path / "a.jsonl")
    assert [(item.line, item.key) for item in source.left_out] == [
        (3, "error.row.json"),
        (4, "error.row.not_object"),
        (7, "error.row.json"),
    ]
    assert [row.id for row in rows(source, tmp_path)] == [1, 4, 5, 7]


def test_broken_json_tells_where(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[\n {"q": 1},\n {"q": 2\n')
    error = refused(tmp_path / "a.json", "error.data.json")
    assert error.values["line"] in (3, 4)


def test_object_where_a_list_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"question": "x", "answer": "y"}')
    assert "question, answer" in str(refused(path, "error.data.json_object"))
    path.write_text('{"messages": [{"role": "user", "content": "x"}]}')
    refused(path, "error.data.json_object")
    path.write_text('{"version": 1, "data": [{"q": "x"}, {"q": "y"}]}')
    source = read(path)
    assert len(values(source, tmp_path)) == 2
    assert [n.key for n in source.notes] == ["notice.data.list_key"]
    path.write_text('{"q": ["x", "y"], "a": ["1", "2"]}')
    assert values(read(path), tmp_path)[1] == {"q": "y", "a": "2"}
    path.write_text('["just", "texts"]')
    refused(path, "error.data.mostly_broken")
    path.write_text("3")
    refused(path, "error.data.not_json")


def test_too_deep_and_too_big(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[" + "[" * 100_000 + "]" * 100_000 + "]")
    refused(path, "error.data.too_deep")
    path.write_text('[{"q": "' + "x" * 3_000_000 + '"}]')
    with pytest.raises(DataError, match="4 MB"):
        read(path, max_bytes=2_000_000)
    deep = '{"q": ' + "[" * 100_000 + "]" * 100_000 + "}"
    (tmp_path / "b.jsonl").write_text('{"q": 1}\n' + deep + '\n{"q": 2}\n')
    assert [item.key for item in read(tmp_path / "b.jsonl").left_out] == ["error.row.too_deep"]


def test_missing_and_odd_files(tmp_path: Path) -> None:
    refused(tmp_path / "none.csv", "error.data.missing")
    (tmp_path / "folder.csv").mkdir()
    refused(tmp_path / "folder.csv", "error.data.nothing_inside")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b\\c.csv", "😀.csv", ".", "x" * 300, "con.csv"])
def test_names_are_only_shown(tmp_path: Path, name: str) -> None:
    (tmp_path / "upload").write_text("q,a\n1,2\n")
    assert read(tmp_path / "upload", name=name).kind == "CSV"
    (tmp_path / "empty").write_text("")
    refused(tmp_path / "empty", "error.data.empty", name=name)


def test_parquet_values(tmp_path: Path) -> None:
    table = pa.table(
        {
            "messages": [[{"role": "user", "content": "x"}], None],
            "when": pa.array([0, 1], pa.timestamp("s")),
            "raw": [b"a", b"\xff"],
            "score": [1.5, None],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    source = read(tmp_path / "a.parquet")
    assert (source.kind, source.encoding) == ("Parquet", None)
    first = values(source, tmp_path)[0]
    assert first["messages"] == [{"role": "user", "content": "x"}]
    assert first["when"] == "1970-01-01T00:00:00"
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(data[:-20])
    refused(tmp_path / "cut.parquet", "error.data.parquet")


def test_any_bytes_are_read_or_refused_never_a_crash(tmp_path: Path) -> None:
    """Whole files, cut and scratched: a table with all rows counted, or a DataError that can be told."""
    random_ = random.Random(1)
    sources = [make(ROWS * 3).encode(code) for make in KINDS.values() for code in ("utf-8", "utf-16", "cp932")]
    for number in range(300):
        data = bytearray(random_.choice(sources))
        for _ in range(random_.randrange(8)):
            place = random_.randrange(len(data))
            action = random_.randrange(3)
            if action == 0:
                data[place] = random_.randrange(256)
            elif action == 1:
                del data[place : place + random_.randrange(1, 9)]
            else:
                data[place:place] = random_.choice([b'"', b"\x00", b"{", b"[", b"\n", b"\\", b"\xff\xfe", b","])
        path = tmp_path / random_.choice(["x.csv", "x.json", "x.jsonl", "x.parquet", "x"])
        path.write_bytes(bytes(data))
        try:
            source = read(path)
        except DataError as error:
            told = {error.message("en"), error.message("ja")}
            if len(told) != 2:
                pytest.fail(f"input {number} is refused without a sentence: {told}")
        else:
            ids = [row.id for row in rows(source, tmp_path)]
            assert len(ids) == source.rows
            assert max(ids) <= len(ids) + len(source.left_out)


def test_real_files(shared: Path, tmp_path: Path) -> None:
    counts = {
        "alpaca_zh_demo.json": 1000,
        "glaive_toolcall_en_demo.json": 300,
        "gsm8k_train_500.jsonl": 500,
        "instruction_ja_dev.jsonl": 324,
        "jcommonsenseqa_valid.json": 1119,
        "jsquad_valid.json": 4442,
        "kto_en_demo.json": 300,
        "openai_toy_chat_defects.jsonl": 5,
        "pii_small.json": 100,
    }
    for name, count in counts.items():
        source = read_source(shared / "data" / name, tmp_path / "read.table", max_bytes=LIMIT)
        assert (source.rows, source.left_out) == (count, ()), name
