"""Recipes and rows written by hand, through the door the page uses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.backend.datasets import Datasets, Version
from studio.data.cell_input import CellError
from studio.data.recipe import CleanSpec, FilterStep, ReplaceStep, make_step
from studio.errors import DataError, InputError, SpecError
from studio.runs.store import Store
from studio.settings import Settings


@pytest.fixture
def datasets(tmp_path: Path) -> Iterator[Datasets]:
    store = Store(tmp_path / "workspace")
    yield Datasets(Settings(workspace=store.folder), store)
    store.close()


def imported(datasets: Datasets, folder: Path, rows: list[Any]) -> Version:
    path = folder / "upload"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return datasets.import_file(path, "Ann's data.jsonl")


ROWS = [{"question": f"Question {i} to Acme?", "answer": f"answer {i % 7}", "stars": i % 5} for i in range(20)]
DIRTY = [*ROWS, {"question": "x", "answer": " ", "stars": 1}, ROWS[3], {"question": "cafÃ© a?", "answer": "b c"}]


def test_what_each_step_did_is_told_on_its_own(datasets: Datasets, tmp_path: Path) -> None:
    first = imported(datasets, tmp_path, DIRTY)
    second = datasets.fix(first.id, ["repair_text", "drop_blank", "drop_duplicates"])
    third = datasets.restore_rows(second.id, [22])
    assert [v.id for v in datasets.lineage(third.id)] == [first.id, second.id, third.id]
    by_step = [[d.row_id for d in datasets.diff(second.id, step=(second.id, i))] for i in range(3)]
    assert by_step == [[23], [21], [22]]
    assert datasets.changed_rows(second.id, step=(second.id, 1)) == 1
    assert [d.row_id for d in datasets.diff(third.id, since=first.id)] == [21, 22, 23]
    (back,) = datasets.diff(third.id, since=first.id, step=(third.id, 0))
    assert (back.row_id, back.fixes, back.before) == (22, ("drop_duplicates", "restore_rows"), back.after)
    assert datasets.changed_rows(third.id, first.id, (second.id, 2)) == 1
    with pytest.raises(InputError, match="Step 1"):
        datasets.diff(third.id, step=(second.id, 0))


def test_a_recipe_is_saved_without_what_was_done_by_hand_and_read_for_other_data(
    datasets: Datasets, tmp_path: Path
) -> None:
    first = imported(datasets, tmp_path, DIRTY)
    assert datasets.save_recipe(first.id) is None
    second = datasets.exclude_rows(datasets.fix(first.id, ["drop_blank", "drop_duplicates"]).id, [5])
    path = datasets.save_recipe(second.id)
    assert path is not None
    assert path.parent == tmp_path / "workspace" / "exports"
    assert path.name == f"ann-s-data-jsonl-recipe-{second.id}.yaml"
    other = imported(datasets, tmp_path, DIRTY[10:])
    kept, left = datasets.read_recipe(other.id, path, path.name)
    assert ([step.fix for step in kept.steps], left) == (["drop_blank", "drop_duplicates"], 0)
    whole = tmp_path / "whole.yaml"
    whole.write_text(datasets.recipe(second.id).to_yaml(), encoding="utf-8")
    assert datasets.read_recipe(other.id, whole, "whole.yaml") == (kept, 1)
    kept, left = datasets.read_recipe(second.parent or "", whole, "whole.yaml")
    assert ([step.fix for step in kept.steps], left) == (["drop_blank", "drop_duplicates", "exclude_rows"], 0)


@pytest.mark.parametrize(
    ("content", "error", "told"),
    [
        (b"steps: [drop_blnk]", SpecError, "drop_blnk"),
        (b"steps:\n- {fix: replace, find: '(', regex: true}", SpecError, "steps.0"),
        (b"steps:\n- {fix: replace, find: a, columns: [nobody]}", DataError, "nobody"),
        (b"\xff\xfe\x00", DataError, "UTF-8"),
        (b"#" * 1_000_001, DataError, "1,000 kB"),
    ],
)
def test_a_file_that_is_no_recipe_is_told(
    datasets: Datasets, tmp_path: Path, content: bytes, error: type[Exception], told: str
) -> None:
    version = imported(datasets, tmp_path, ROWS)
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    with pytest.raises(error, match=told):
        datasets.read_recipe(version.id, path, "r.yaml")


def test_a_preview_counts_what_cleaning_does(datasets: Datasets, tmp_path: Path) -> None:
    version = imported(datasets, tmp_path, DIRTY)
    for step in (
        make_step("replace", find="acme", replace_with="us"),
        make_step("filter", action="drop", where={"by": "finding", "finding": "duplicate"}),
        make_step("filter", action="keep", where={"by": "finding", "finding": "duplicate"}),
    ):
        assert isinstance(step, ReplaceStep | FilterStep)
        if step.fix == "filter":
            assert datasets.preview_step(version.id, step, None) is None or datasets.scanned(version.id, None)
        datasets.scan(version.id, None)
        told = datasets.preview_step(version.id, step, None)
        assert told is not None
        report = datasets.clean(version.id, CleanSpec(steps=(step,))).report
        assert report is not None
        assert (told.count, told.looked) == (report.changes, version.rows)
        assert 0 < len(told.examples) <= 3
    assert datasets.version(version.id).rows == len(DIRTY)


def test_a_row_typed_by_hand_keeps_the_types(datasets: Datasets, tmp_path: Path) -> None:
    first = imported(datasets, tmp_path, ROWS)
    second = datasets.type_row(first.id, 2, {"stars": " 5 ", "answer": "new"})
    (row,) = datasets.page(second.id, 1, 1)
    assert row.values == {"question": "Question 1 to Acme?", "answer": "new", "stars": 5}
    assert [column.type for column in second.columns] == [column.type for column in first.columns]
    third = datasets.type_row(second.id, None, {"question": "Q", "answer": "A", "stars": ""})
    (last,) = datasets.page(third.id, 20, 1)
    assert (last.id, last.values) == (21, {"question": "Q", "answer": "A", "stars": None})
    assert datasets.type_row(third.id, 2, {"answer": "new"}).id == third.id
    assert datasets.type_row(third.id, 2, {}).id == third.id
    with pytest.raises(CellError, match="`stars`"):
        datasets.type_row(third.id, 2, {"stars": "many"})
    with pytest.raises(InputError, match="Nothing was written"):
        datasets.type_row(third.id, None, {"question": "", "stars": " "})
    with pytest.raises(InputError, match="99"):
        datasets.type_row(third.id, 99, {"answer": "new"})
