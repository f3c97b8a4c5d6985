"""Nested SQuAD files become one row per question."""

import json
from pathlib import Path
from typing import Any

import pytest

from studio.data.sources import read_source
from studio.data.squad import flatten_squad, is_squad
from studio.data.tables import Table

QA = {"id": "1", "question": "Q", "answers": [{"text": "A", "answer_start": 0}], "is_impossible": False}
FILE = {
    "version": "2",
    "data": [
        {"title": "T", "paragraphs": [{"context": "C", "qas": [QA, {**QA, "id": "2"}]}, {"context": "D", "qas": [QA]}]},
        {"paragraphs": [{"context": "E", "qas": []}, {"context": "F", "qas": [{**QA, "id": "4"}]}]},
    ],
}


def test_flattening() -> None:
    rows = flatten_squad(FILE)
    assert [(row.get("title"), row["context"], row["id"]) for row in rows] == [
        ("T", "C", "1"), ("T", "C", "2"), ("T", "D", "1"), (None, "F", "4"),
    ]  # fmt: skip
    assert rows[0] == {"title": "T", "context": "C", **QA}
    assert flatten_squad(FILE["data"]) == rows


@pytest.mark.parametrize(
    "value",
    [
        {"data": []}, {"data": [{"question": "Q"}]}, {"data": [3]}, {"data": [{"paragraphs": "text"}]},
        {"data": [{"paragraphs": [{"context": "C"}]}]}, [], {}, 3, {"rows": FILE["data"]},
    ],
)  # fmt: skip
def test_other_files_are_none(value: Any) -> None:
    assert not is_squad(value)


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps(FILE), encoding="utf-8")
    source = read_source(path, tmp_path / "t.parquet", max_bytes=10**6)
    assert [row.values["context"] for row in Table(tmp_path / "t.parquet").read()] == ["C", "C", "D", "F"]
    assert [note.key for note in source.notes] == ["notice.data.squad"]


def test_reading_a_file_too_large_to_hold(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    article = {"paragraphs": [{"context": "C" * 1_000_000, "qas": [QA, {**QA, "id": "2"}]}]}
    path.write_text(json.dumps({"data": [article] * 66}), encoding="utf-8")
    source = read_source(path, tmp_path / "t.parquet", max_bytes=10**8)
    assert (source.rows, source.left_out) == (132, ())
    assert {"key": "notice.data.squad", "articles": 66} in [{"key": n.key, **n.values} for n in source.notes]
    first = next(Table(tmp_path / "t.parquet").read())
    assert first.values["question"] == "Q"
