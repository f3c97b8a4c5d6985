"""Files of every kind, whole and damaged at random, given to the readers.

    python -m tests.faults.fuzz_readers [--examples 2000]

Prints one JSON object: for each kind how many files were read and how many refused, by which sentence, and the
slowest in seconds. A file is read or refused with a sentence, never anything else; and every row of a file that is
read is kept or reported.
"""

import argparse
import csv
import gzip
import io
import json
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some

from studio.data.sources import Source, read_source
from studio.data.tables import Table
from studio.errors import DataError
from tests.data.compound_file import old_workbook
from tests.data.test_documents import pdf
from tests.data.test_excel import workbook

LIMIT = 20_000_000
SECONDS = 20.0
_TEXT = some.text(max_size=12) | some.sampled_from(
    ["", "=1+1", '"', "a,b", "x\ny", "\x00", "\ud83d", "\u202e", "\u200b", "😀", "日本語。", "null", "[{}]", "9" * 25]
)
_VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | _TEXT,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_ROWS = some.lists(some.dictionaries(_TEXT, _VALUES, max_size=4), max_size=8)
_CELLS = some.lists(some.lists(_TEXT, min_size=1, max_size=4), max_size=8)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _csv(rows: list[list[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([[_clean(cell) for cell in row] for row in rows])
    return out.getvalue().encode()


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    texts = [json.dumps(row) for row in rows]
    table = pa.table({"a": texts, "b": list(range(len(rows))), "c": [[{"k": text}] for text in texts]})
    pq.write_table(table, out)
    return out.getvalue()


def _made(make: Callable[[Path], Path], ending: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return make(Path(folder) / f"x{ending}").read_bytes()


def _excel(rows: list[list[str]]) -> bytes:
    kept = [["".join(c for c in _clean(cell) if c.isprintable()) for cell in row] for row in rows]
    return _made(lambda path: workbook(path, {"a": kept, "b": kept[::-1]}), ".xlsx")


def _zip(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", _lines(rows))
        archive.writestr("../b.csv", _csv([["q", "a"], *(["1", "2"] for _ in rows)]))
    return out.getvalue()


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


KINDS: dict[str, some.SearchStrategy[bytes]] = {
    "a.jsonl": _ROWS.map(_lines),
    "b.jsonl": _ROWS.map(
        lambda rows: "\n".join(json.dumps(r, ensure_ascii=False) for r in rows).encode("utf-8", "replace")
    ),
    "a.json": _ROWS.map(lambda rows: json.dumps(rows).encode()),
    "b.json": _ROWS.map(lambda rows: json.dumps({"data": rows}).encode("utf-16")),
    "a.csv": _CELLS.map(_csv),
    "a.tsv": _CELLS.map(lambda rows: _csv(rows).replace(b",", b"\t")),
    "a.parquet": _ROWS.map(_parquet),
    "a.xlsx": _CELLS.map(_excel),
    "a.xls": _CELLS.map(lambda rows: old_workbook([[_clean(c) for c in row] for row in rows] or [[""]])),
    "a.jsonl.gz": _ROWS.map(lambda rows: gzip.compress(_lines(rows))),
    "a.zip": _ROWS.map(_zip),
    "a.txt": some.text(max_size=400).map(lambda text: text.encode("utf-8", "replace")),
    "a.md": some.text(max_size=400).map(lambda text: text.encode("utf-8", "replace")),
    "a.html": some.lists(_TEXT, max_size=5).map(
        lambda texts: "".join(f"<p>{_clean(t)}<b>{_clean(t)}" for t in texts).encode()
    ),
    "a.pdf": some.text("ab c.", max_size=20).map(lambda text: _made(lambda path: pdf(path, [text, text]), ".pdf")),
    "a": some.binary(max_size=300),
}
_DAMAGE = some.lists(
    some.tuples(
        some.floats(0, 1, exclude_max=True),
        some.sampled_from(["set", "cut", "insert", "end", "double"]),
        some.binary(min_size=1, max_size=4)
        | some.sampled_from([b'"', b"\n", b"[", b"{", b"\x00", b"\xff\xfe", b"\r", b","]),
    ),
    max_size=4,
)


def damaged(data: bytes, damage: list[tuple[float, str, bytes]]) -> bytes:
    for share, action, new in damage:
        place = int(share * len(data))
        match action:
            case "set":
                data = data[:place] + new + data[place + len(new) :]
            case "cut":
                data = data[:place] + data[place + len(new) * 3 :]
            case "insert":
                data = data[:place] + new + data[place:]
            case "end":
                data = data[:place]
            case _:
                data = data + data[place:]
    return data


@dataclass
class Counts:
    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0


def check(name: str, data: bytes, counts: Counts) -> None:
    """Read the file; fails where anything but a table or a sentence comes of it."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "file").write_bytes(data)
        began = time.perf_counter()
        try:
            source = read_source(folder / "file", folder / "table", name=name, max_bytes=LIMIT)
        except DataError as error:
            told = {error.message("en"), error.message("ja")}
            assert len(told) == 2, told
            counts.refused[error.key] += 1
            left = {"file"}
        else:
            counts.read += 1
            left = {"file", "table"}
            _check_rows(name, data, source, Table(folder / "table"))
        seconds = time.perf_counter() - began
        counts.slowest = max(counts.slowest, seconds)
        assert seconds < SECONDS, "hangs"
        assert {item.name for item in folder.iterdir()} == left


def _check_rows(name: str, data: bytes, source: Source, table: Table) -> None:
    ids = [row.id for row in table.read()]
    seen = source.rows + source.left_out_rows
    assert len(ids) == source.rows == table.count() > 0
    assert ids == sorted(set(ids))
    assert 1 <= ids[0] <= ids[-1] <= seen
    assert len(source.left_out) == min(source.left_out_rows, 1000)
    assert table.fingerprint() == table.fingerprint()
    if source.kind == "JSONL" and "," not in source.kind and not name.endswith((".gz", ".zip")):
        encoding = {"UTF-8": "utf-8", "UTF-8 (BOM)": "utf-8-sig", "Shift-JIS": "cp932"}.get(source.encoding or "")
        if encoding and encoding != "cp932":
            lines = data.decode(encoding, "replace").split("\n")
            assert seen == sum(bool(line) and not line.isspace() for line in lines)
    if source.kind == "JSON" and source.encoding == "UTF-8":
        whole = json.loads(data.decode("utf-8", "replace"))
        if isinstance(whole, list):
            assert seen == len(whole)


def fuzz(name: str, examples: int) -> Counts:
    """So many files of one kind: a third whole, the others damaged."""
    counts = Counts()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        derandomize=True,
    )
    @given(KINDS[name], _DAMAGE)
    def run(data: bytes, damage: list[tuple[float, str, bytes]]) -> None:
        check(name, damaged(data, damage), counts)

    run()
    return counts


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=2000, help="files of each kind")
    options = parser.parse_args()
    found = {name: fuzz(name, options.examples) for name in KINDS}
    print(
        json.dumps(
            {
                name: {"read": c.read, "refused": dict(c.refused.most_common()), "slowest": round(c.slowest, 3)}
                for name, c in found.items()
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
