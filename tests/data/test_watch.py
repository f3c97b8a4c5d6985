"""Imports that are followed and stopped: whatever the kind of file, nothing is left behind."""

import gzip
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studio.data.sources import read_source, read_sources, read_text
from studio.data.tables import Table
from studio.data.watch import Watch
from studio.errors import Stopped

ROWS = [{"question": f"質問 {i}", "answer": f"answer {i} " * 20} for i in range(12_000)]
TURNS = json.dumps([{"role": "user", "content": "x"}]).replace('"', '""')
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
CSV = "question,answer\n" + "".join(f"{row['question']},{row['answer']}\n" for row in ROWS)


def excel(path: Path) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in (("question", "answer"), *((f"q{i}", "a") for i in range(6_000))):
        sheet.append(row)
    book.save(path)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", LINES)
        archive.writestr("b.jsonl", LINES)


FILES: Mapping[str, Callable[[Path], object]] = {
    "a.jsonl": lambda path: path.write_text(LINES, encoding="utf-8"),
    "a.json": lambda path: path.write_text(json.dumps(ROWS), encoding="utf-8"),
    "a.csv": lambda path: path.write_text(CSV, encoding="utf-8"),
    "turns.csv": lambda path: path.write_text("id,turns\n" + f'1,"{TURNS}"\n' * 20_000),
    "sjis.csv": lambda path: path.write_text(CSV, encoding="cp932"),
    "one line.jsonl": lambda path: path.write_text('{"a": "' + "x" * 66_000_000),
    "a.parquet": lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path),
    "a.xlsx": excel,
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(LINES.encode(), 1)),
    "a.zip": zipped,
    "a.txt": lambda path: path.write_text("A long text. " * 300_000),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, write in FILES.items():
        write(folder / name)
    return folder


class Asked:
    """Says stop when it is asked for the `last` time."""

    def __init__(self, last: int) -> None:
        self.times = 0
        self.last = last

    def __call__(self) -> bool:
        self.times += 1
        return self.times >= self.last


@pytest.mark.parametrize("name", FILES)
def test_an_import_can_be_stopped_at_any_time_and_leaves_nothing(files: Path, tmp_path: Path, name: str) -> None:
    never = Asked(10**9)
    shares: list[float] = []
    if name == "one line.jsonl":  # refused when it is read
        never.times = 60
    else:
        read_source(files / name, tmp_path / "table.parquet", max_bytes=10**9, watch=Watch(shares.append, never))
        (tmp_path / "table.parquet").unlink()
        assert shares == sorted(shares)
        assert 0 < shares[0] <= shares[-1] <= 1
        assert never.times >= 4
    for last in {1, 2, never.times // 3, never.times // 2, never.times - 1, never.times} - {0}:
        asked = Asked(last)
        with pytest.raises(Stopped):
            read_source(files / name, tmp_path / "table.parquet", max_bytes=10**9, watch=Watch(None, asked))
        assert asked.times == last
        assert list(tmp_path.iterdir()) == []


def test_the_share_grows_over_several_files(files: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    paths = [(files / name, name) for name in ("a.jsonl", "a.csv", "a.parquet")]
    read_sources(paths, tmp_path / "table.parquet", max_bytes=10**9, watch=Watch(shares.append))
    assert shares == sorted(shares)
    for third in range(3):
        assert any(third / 3 < share <= (third + 1) / 3 for share in shares)
    assert len(shares) > 6
    assert Table(tmp_path / "table.parquet").rows == 3 * len(ROWS)


def test_pasted_text_too(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        read_text(CSV, tmp_path / "table.parquet", name="x", max_bytes=10**9, watch=Watch(None, Asked(5)))
    assert list(tmp_path.iterdir()) == []
