"""Splits of kept versions: the same as of rows in memory, from numbers alone, and what they let leak."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio.backend.datasets import Datasets, Version
from studio.backend.runner import Runner
from studio.data import lessons
from studio.data.explore import FindingRows
from studio.data.formats import to_conversation
from studio.data.mapping import Mapping
from studio.data.scan_workers import SMALL
from studio.data.splits import SplitSpec, split
from studio.errors import DataError
from studio.runs.spec import DataSpec, RunSpec
from studio.runs.store import Store
from studio.settings import Settings

SPECS = (
    SplitSpec(),
    SplitSpec(seed=7, validation_share=0.2, test_share=0.1, train_share=0.5),
    SplitSpec(stratify="topic"),
    SplitSpec(group_near_duplicates=True, stratify="topic", test_share=0.1),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "workspace")
    yield opened
    opened.close()


@pytest.fixture
def opened(store: Store) -> Datasets:
    return Datasets(Settings(workspace=store.folder), store)


def imported(datasets: Datasets, folder: Path, rows: list[Any]) -> Version:
    path = folder / "upload"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return datasets.import_file(path, "my data.jsonl")


def talks(count: int) -> list[dict[str, Any]]:
    """Some of them copies, some unusable, some nearly the same as another."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(500)]
    rows: list[dict[str, Any]] = []
    for number in range(count):
        rows.append({
            "question": " ".join(rng.choices(words, k=6)) + f" {number}",
            "answer": " " if number % 11 == 0 else " ".join(rng.choices(words, k=12)),
            "topic": [None, "a", 3, ["b"]][number % 4],
        })  # fmt: skip
        if number % 7 == 6:
            rows.append({**rows[-3], "topic": "copy"})
        if number % 5 == 4:
            rows.append({**rows[-2], "answer": str(rows[-2]["answer"]) + " indeed."})
    return rows


@pytest.mark.parametrize(("spec", "count"), [*((spec, 300) for spec in SPECS), (SPECS[1], SMALL)])
def test_the_split_is_that_of_the_rows(opened: Datasets, tmp_path: Path, spec: SplitSpec, count: int) -> None:
    version = imported(opened, tmp_path, talks(count))
    table, mapping = opened.table(version.id), version.mapped()
    rows = [(row.id, found) for row in table.read() if (found := to_conversation(row, mapping))]
    topics = {row.id: row.values["topic"] for row in table.read()}
    features = opened.scan(version.id, None).features
    cluster = dict(zip(features["id"].to_pylist(), features["cluster"].to_pylist(), strict=True))
    expected = split(
        rows,
        spec,
        np.array([cluster[i] for i, _ in rows]) if spec.group_near_duplicates else None,
        [topics[i] for i, _ in rows] if spec.stratify else None,
    )
    found = opened.split(version.id, spec)
    for side in ("train", "validation", "test", "idle"):
        assert getattr(found, side).tolist() == getattr(expected, side).tolist()
    sides = (len(expected.train), len(expected.validation), len(expected.test))
    assert opened.split_counts(version.id, spec) == sides
    assert len(rows) < version.rows
    read, skipped = opened.lessons(version.id, None)
    assert (list(read), len(read), skipped) == (rows, len(rows), version.rows - len(rows))
    assert list(read) == rows


def test_scores_of_a_large_table_are_kept(
    opened: Datasets, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = imported(opened, tmp_path, talks(SMALL))
    first = opened.split(version.id, SplitSpec(seed=5)).validation.tolist()
    asked: list[int] = []

    def counted(*_: Any, **__: Any) -> Any:
        asked.append(1)
        return score(*_, **__)

    score = lessons.score
    monkeypatch.setattr("studio.backend.splits.score", counted)
    again = Datasets(Settings(workspace=store.folder), store)
    assert again.split(version.id, SplitSpec(seed=5)).validation.tolist() == first
    assert again.split_counts(version.id, SplitSpec(seed=5, validation_share=0.3))[1] > len(first)
    assert asked == []
    path = next(opened.table(version.id).path.parent.glob("scores/*.parquet"))
    path.write_bytes(path.read_bytes()[:-50])
    broken = Datasets(Settings(workspace=store.folder), store)
    assert broken.split(version.id, SplitSpec(seed=5)).validation.tolist() == first
    assert asked == [1]
    for seed in range(4):
        opened.split(version.id, SplitSpec(seed=seed))
    assert len(list(path.parent.iterdir())) == 4


def test_what_the_split_lets_leak_is_found(opened: Datasets, store: Store, tmp_path: Path) -> None:
    version = imported(opened, tmp_path, talks(400))
    opened.set_split(version.id, SplitSpec(validation_share=0.3))
    found = {f.key: f for f in opened.findings(version.id, None)}["finding.split_leak"]
    assert (found.severity, found.fix) == ("warning", "drop_near_duplicates")
    parts = opened.split(version.id, SplitSpec(validation_share=0.3))
    rows = opened.page(version.id, 0, 999, ids=opened.select(version.id, FindingRows(finding="split_leak"), None))
    assert len(rows) == found.count > 10
    train = {row.values["question"] for row in opened.table(version.id).find(parts.train.tolist()).values()}
    assert {row.id for row in rows} <= set(parts.validation.tolist())
    assert all(row.values["question"] in train for row in rows)
    assert opened.export_findings(version.id, None, keys=[found.key]).read_text("utf-8-sig").count("split_leak") > 10

    for spec in (SplitSpec(validation_share=0.3, group_near_duplicates=True), SplitSpec(validation_share=0)):
        opened.set_split(version.id, spec)
        assert "finding.split_leak" not in {f.key for f in opened.findings(version.id, None)}
    opened.set_split(version.id, SplitSpec(validation_share=0, test_share=0.3))
    assert "finding.split_leak" in {f.key for f in opened.findings(version.id, None)}
    opened.set_findings_off(version.id, ["split_leak"])
    assert "finding.split_leak" not in {f.key for f in opened.findings(version.id, None)}
    opened.set_findings_off(version.id, [])
    fixed = opened.fix(version.id, ["drop_duplicates", "drop_near_duplicates"])
    assert "finding.split_leak" not in {f.key for f in opened.findings(fixed.id, None)}


def test_examples_are_rows_of_the_right_side(opened: Datasets, tmp_path: Path) -> None:
    version = imported(opened, tmp_path, talks(2_000))
    spec = SplitSpec(validation_share=0.4)
    kept = opened.kept_rows(version.id, spec, "validation", 3, 5)
    assert [row.row_id for row in kept] == opened.split(version.id, spec).validation[3:8].tolist()
    examples = opened.examples(version.id, spec, 600)
    assert [answer for _, answer in examples[3:8]] == [row.answer for row in kept]
    assert len(examples) == 600
    everything = opened.examples(version.id, SplitSpec(validation_share=0), 10_000)
    assert len(everything) == len(opened.lessons(version.id, None)[0])


def test_an_unknown_column_to_keep_in_proportion(opened: Datasets, tmp_path: Path) -> None:
    version = imported(opened, tmp_path, talks(30))
    with pytest.raises(DataError) as caught:
        opened.split(version.id, SplitSpec(stratify="nope"))
    assert "topic" in caught.value.message("ja")


def test_strata_of_a_column_of_any_length(opened: Datasets, tmp_path: Path) -> None:
    """One long value must not make all of them take as much memory."""
    rows = [{**row, "topic": f"t{number}"} for number, row in enumerate(talks(3_000))]
    rows[5]["topic"] = "x" * 2_000_000
    version = imported(opened, tmp_path, rows)
    assert sum(opened.split_counts(version.id, SplitSpec(stratify="topic"))) > 2_000


@pytest.mark.parametrize(
    ("row", "kind"), [({"text": "A passage. " * 9}, "language_modeling"), ({"prompt": "Why?"}, "prompt_only")]
)
def test_data_without_answers_says_so(opened: Datasets, tmp_path: Path, row: dict[str, str], kind: str) -> None:
    version = imported(opened, tmp_path, [row] * 30)
    assert version.mapped().dataset_type == kind
    with pytest.raises(DataError) as caught:
        opened.check_lessons(version.id)
    assert caught.value.key == "error.train.learns.answers"
    assert "my data.jsonl" in caught.value.message("ja")
    with pytest.raises(DataError) as caught:
        Runner(opened._settings, opened._store, opened, worker=False).submit(RunSpec(data=DataSpec(version=version.id)))
    assert caught.value.key == "error.train.learns.answers"
    if kind == "language_modeling":
        opened.check_lessons(version.id, Mapping(prompt="text", answer="text"))
