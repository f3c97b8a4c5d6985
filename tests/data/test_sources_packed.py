"""Archives, folders and several files at once."""

import gzip
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from studio.data.sources import Source, read_source, read_sources
from studio.data.tables import Table
from studio.errors import DataError

LIMIT = 100_000_000
ROWS = [{"q": f"これは質問{i}です", "a": str(i)} for i in range(5)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
CSV = "q,a\n" + "".join(f"{row['q']},{row['a']}\n" for row in ROWS)


def read(path: Path, folder: Path, **options: Any) -> tuple[Source, list[dict[str, Any]]]:
    source = read_source(path, folder / "out" / "table", **{"max_bytes": LIMIT, **options})
    values = [dict(row.values) for row in Table(folder / "out" / "table").read()]
    assert len(values) == source.rows
    assert [item.name for item in (folder / "out").iterdir()] == ["table"]
    return source, values


def refused(path: Path, folder: Path, key: str, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        read_source(path, folder / "out" / "table", **{"max_bytes": LIMIT, **options})
    assert caught.value.key == key
    assert path.name in caught.value.message("en")
    assert path.name in caught.value.message("ja")
    assert list((folder / "out").iterdir()) == []
    return caught.value


@pytest.fixture(autouse=True)
def _out(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()


def zipped(path: Path, files: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def keys(source: Source) -> list[str]:
    return [note.key for note in source.notes]


@pytest.mark.parametrize(("name", "content"), [("a.jsonl.gz", LINES), ("a.csv.gz", CSV), ("a.gz", CSV), ("a.csv", CSV)])
def test_gzip_of_anything(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(content.encode("cp932")))
    source, values = read(tmp_path / name, tmp_path)
    assert values == ROWS
    assert (source.encoding, keys(source)) == ("Shift-JIS", ["notice.data.encoding"])


def test_zip_of_one_and_of_several(tmp_path: Path) -> None:
    hidden: dict[str, str | bytes] = {"__MACOSX/._a.csv": b"\x00\x05", ".DS_Store": b"x", "empty/": b""}
    source, values = read(zipped(tmp_path / "one.zip", {"a.jsonl": LINES, **hidden}), tmp_path)
    assert (values, keys(source)) == (ROWS, [])
    several = {"x/a.jsonl": LINES, "b.csv": CSV + "7\n", "c.csv.gz": gzip.compress(b"q,b\n1,2\n"), "README.md": "Hi"}
    source, values = read(zipped(tmp_path / "s.zip", {**several, **hidden}), tmp_path)
    assert [row["source"] for row in values] == ["s.zip/x/a.jsonl"] * 5 + ["s.zip/b.csv"] * 5 + ["s.zip/c.csv.gz"]
    assert values[-1] == {"q": "1", "a": None, "b": "2", "source": "s.zip/c.csv.gz"}
    assert source.kind == "JSONL, CSV"
    assert [row.id for row in Table(tmp_path / "out" / "table").read()] == [*range(1, 11), 12]
    assert (source.left_out[0].file, source.left_out[0].line, source.left_out_rows) == ("s.zip/b.csv", 7, 1)
    assert keys(source) == [
        "notice.data.files",
        "notice.data.different_columns",
        "notice.data.skipped_files",
        "notice.data.left_out",
    ]
    assert source.notes[1].values == {"count": 1, "first": "s.zip/x/a.jsonl", "names": "s.zip/c.csv.gz"}
    assert source.notes[2].values == {"count": 1, "names": "s.zip/README.md"}


def test_a_column_called_source_stays(tmp_path: Path) -> None:
    files = {"a.csv": "source,q\nx,1\n", "b.csv": "source,q\ny,2\n"}
    _, values = read(zipped(tmp_path / "s.zip", dict(files)), tmp_path)
    assert values[1] == {"source": "y", "q": "2", "source (2)": "s.zip/b.csv"}


def test_names_that_lead_elsewhere_are_only_shown(tmp_path: Path) -> None:
    names = ["../evil.csv", "/etc/evil.csv", "C:\\evil.csv", "a/../../evil.csv", "x" * 300 + ".csv"]
    before = set(tmp_path.rglob("*"))
    path = zipped(tmp_path / "s.zip", dict.fromkeys(names, "q,a\n1,2\n"))
    source, values = read(path, tmp_path)
    assert source.rows == 5
    assert values[0]["source"] == "s.zip/../evil.csv"
    assert set(tmp_path.rglob("*")) - before == {path, tmp_path / "out" / "table"}
    assert not (tmp_path.parent / "evil.csv").exists()


def test_zip_bombs(tmp_path: Path) -> None:
    ratio = zipped(tmp_path / "r.zip", {"a.csv": b"q,a\n" + bytes(60_000_000)})
    assert ratio.stat().st_size < 100_000
    refused(ratio, tmp_path, "error.data.bomb")
    (tmp_path / "r.csv.gz").write_bytes(gzip.compress(b"q,a\n" + bytes(60_000_000)))
    refused(tmp_path / "r.csv.gz", tmp_path, "error.data.bomb")
    many = zipped(tmp_path / "m.zip", {f"{i}.csv": "q,a\n" + os.urandom(500_000).hex() for i in range(3)})
    refused(many, tmp_path, "error.data.too_big_unpacked", max_bytes=2_000_000)
    book = zipped(tmp_path / "b.xlsx", {"xl/workbook.xml": b" " * 60_000_000})
    refused(book, tmp_path, "error.data.bomb")


def test_a_zip_that_lies_about_its_sizes(tmp_path: Path) -> None:
    data = bytearray(zipped(tmp_path / "a.zip", {"a.csv": CSV * 1000}).read_bytes())
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = data.index(mark) + place
        data[start : start + 4] = (10).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(bytes(data))
    refused(tmp_path / "a.zip", tmp_path, "error.data.archive")


def test_encrypted_and_damaged(tmp_path: Path) -> None:
    data = bytearray(zipped(tmp_path / "a.zip", {"a.csv": CSV * 50}).read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    (tmp_path / "a.zip").write_bytes(bytes(data))
    refused(tmp_path / "a.zip", tmp_path, "error.data.encrypted")
    whole = gzip.compress(CSV.encode() * 50)
    (tmp_path / "a.csv.gz").write_bytes(whole[:-20])
    refused(tmp_path / "a.csv.gz", tmp_path, "error.data.archive")
    good = zipped(tmp_path / "b.zip", {"a.csv": CSV * 50}).read_bytes()
    (tmp_path / "b.zip").write_bytes(good[:60] + b"damage" + good[66:])
    refused(tmp_path / "b.zip", tmp_path, "error.data.archive")
    refused(zipped(tmp_path / "c.zip", {}), tmp_path, "error.data.nothing_inside")
    refused(zipped(tmp_path / "d.zip", {"a.png": b"x", "b.exe": b"y"}), tmp_path, "error.data.nothing_inside")
    refused(zipped(tmp_path / "e.docx", {"word/document.xml": b"<x/>"}), tmp_path, "error.data.kind_refused")
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.csv", CSV)
    refused(zipped(tmp_path / "f.zip", {"inner.zip": inner.getvalue()}), tmp_path, "error.data.kind_refused")


def test_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "x.csv").write_text("hidden")
    (folder / "b.jsonl").write_text(LINES, encoding="utf-8")
    (folder / "deep" / "a.csv").write_bytes(CSV.encode("cp932"))
    zipped(folder / "z.zip", {"c.csv": CSV})
    source, values = read(folder, tmp_path)
    assert [row["source"] for row in values[::5]] == ["b.jsonl", "deep/a.csv", "z.zip/c.csv"]
    assert source.encoding == "UTF-8, Shift-JIS"
    (folder / "deep" / "broken.csv").write_text('q,a\n1,"2\n')
    with pytest.raises(DataError, match=r"deep/broken\.csv"):
        read_source(folder, tmp_path / "out" / "table", max_bytes=LIMIT)


def test_several_files(tmp_path: Path) -> None:
    (tmp_path / "upload1").write_text(LINES, encoding="utf-8")
    (tmp_path / "upload2").write_text("q,b\n1,2\n")
    paths = [(tmp_path / "upload1", "x.jsonl"), (tmp_path / "upload2", "y.csv")]
    source = read_sources(paths, tmp_path / "out" / "table", max_bytes=LIMIT)
    assert (source.rows, [c.name for c in source.columns]) == (6, ["q", "a", "source", "b"])
