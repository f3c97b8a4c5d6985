"""A data set leaves with all that is needed to trust it and to make it again."""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard

from studio.backend.data_package import keep_data_package, write_data_package
from studio.backend.datasets import Datasets, Version
from studio.data.recipe import CleanSpec
from studio.errors import InputError, ResourceError, Stopped
from studio.messages import LANGUAGES, translate
from studio.runs.store import Store
from studio.settings import Settings

ROWS = [{"question": f"Question {i} to Acme?", "answer": f"answer {i % 7}", "stars": i % 5} for i in range(40)]
DIRTY = [*ROWS, {"question": "x", "answer": " ", "stars": 1}, ROWS[3], {"question": "cafÃ© a?", "answer": "b c"}]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Datasets, Settings]]:
    settings = Settings(workspace=tmp_path / "workspace")
    store = Store(settings.workspace)
    yield Datasets(settings, store), settings
    store.close()


def imported(datasets: Datasets, folder: Path) -> Version:
    path = folder / "secret place" / "Ann's | data.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in DIRTY), encoding="utf-8")
    return datasets.import_file(path)


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_rows_are_those_of_the_version_and_the_recipe_makes_them_again(
    opened: tuple[Datasets, Settings], tmp_path: Path
) -> None:
    datasets, settings = opened
    first = imported(datasets, tmp_path)
    second = datasets.fix(datasets.fix(first.id, ["repair_text"]).id, ["drop_blank", "drop_duplicates"])
    second = datasets.change_split(second.id, {"validation_share": 0.2, "test_share": 0.1})
    made = write_data_package(datasets, settings, second.id, tmp_path / "out")
    rows = [dict(row.values) for row in datasets.table(second.id).read()]
    assert read(made.path / "rows.jsonl") == rows
    sides = [read(made.path / f"{side}.jsonl") for side in ("train", "validation", "test")]
    assert sorted(str(row) for side in sides for row in side) == sorted(map(str, rows))
    assert [len(side) for side in sides] == list(made.files.values())[1:]
    assert all(sides)

    store = Store(tmp_path / "elsewhere")
    other = Datasets(Settings(workspace=store.folder), store)
    recipe = CleanSpec.from_yaml((made.path / "recipe.yaml").read_text(encoding="utf-8"), "recipe.yaml")
    again = other.clean(imported(other, tmp_path).id, recipe)
    assert again.fingerprint == second.fingerprint
    store.close()


def test_what_was_done_by_hand_later_has_recipes_of_its_own(opened: tuple[Datasets, Settings], tmp_path: Path) -> None:
    datasets, settings = opened
    second = datasets.fix(imported(datasets, tmp_path).id, ["drop_blank", "drop_duplicates"])
    third = datasets.exclude_rows(second.id, [7])
    made = write_data_package(datasets, settings, third.id, tmp_path / "out")
    assert not (made.path / "recipe.yaml").exists()
    store = Store(tmp_path / "elsewhere")
    other = Datasets(Settings(workspace=store.folder), store)
    version = imported(other, tmp_path)
    for number in (1, 2):
        text = (made.path / f"recipe-{number}.yaml").read_text(encoding="utf-8")
        version = other.clean(version.id, CleanSpec.from_yaml(text, "recipe"))
    assert version.fingerprint == third.fingerprint
    store.close()
    card = (made.path / "README.md").read_text(encoding="utf-8")
    assert "`recipe-1.yaml`, `recipe-2.yaml`" in card
    assert translate("ui.data_card.by_hand", "ja", steps=1) in card
    assert "studio data clean" not in card


def test_where_it_comes_from_is_told_and_nothing_of_this_machine(
    opened: tuple[Datasets, Settings], tmp_path: Path
) -> None:
    datasets, settings = opened
    first = imported(datasets, tmp_path)
    second = datasets.fix(first.id, ["drop_blank", "drop_duplicates"])
    folder = write_data_package(datasets, settings, second.id, tmp_path / "out").path
    for file in folder.iterdir():
        assert "secret place" not in file.read_text(encoding="utf-8"), file.name
    lineage = json.loads((folder / "lineage.json").read_text(encoding="utf-8"))
    assert [one["fingerprint"] for one in lineage] == [first.fingerprint, second.fingerprint]
    assert [one["rows"] for one in lineage] == [43, 41]
    assert lineage[0]["name"] == "Ann's | data.jsonl"
    assert [step["dropped"] for step in lineage[1]["report"]["steps"]] == [1, 1]
    card = DatasetCard((folder / "README.md").read_text(encoding="utf-8"))
    assert card.data.get("pretty_name") == "Ann's | data.jsonl"
    assert card.data.get("size_categories") == ["n<1K"]
    for part in (first.fingerprint, second.fingerprint, "`Ann's | data.jsonl`"):
        assert card.text.count(part) == 2, part


def test_findings_are_told_where_they_were_looked_for(opened: tuple[Datasets, Settings], tmp_path: Path) -> None:
    datasets, settings = opened
    first = imported(datasets, tmp_path)
    before = write_data_package(datasets, settings, first.id, tmp_path / "before").path
    assert json.loads((before / "findings.json").read_text(encoding="utf-8")) == {"checked": False, "findings": []}
    card = (before / "README.md").read_text(encoding="utf-8")
    assert all(translate("ui.data_card.unchecked", one) in card for one in LANGUAGES)
    found = datasets.findings(first.id)
    after = write_data_package(datasets, settings, first.id, tmp_path / "after").path
    told = json.loads((after / "findings.json").read_text(encoding="utf-8"))
    assert [one["finding"] for one in told["findings"]] == [one.key.removeprefix("finding.") for one in found]
    assert told["checked"]
    card = (after / "README.md").read_text(encoding="utf-8")
    assert found
    for finding in found:
        assert all(one["rows"] for one in told["findings"])
        assert finding.message("en").split("(")[0] in card.replace("\\", "")


def test_a_zip_and_parquet(opened: tuple[Datasets, Settings], tmp_path: Path) -> None:
    datasets, settings = opened
    version = datasets.fix(imported(datasets, tmp_path).id, ["drop_blank"])
    made = write_data_package(datasets, settings, version.id, tmp_path / "a.zip", "parquet")
    again = write_data_package(datasets, settings, version.id, tmp_path / "b.zip", "parquet")
    assert made.sha256 == again.sha256
    with zipfile.ZipFile(made.path) as archive:
        archive.extractall(tmp_path / "unpacked")
    rows = pq.read_table(tmp_path / "unpacked" / "rows.parquet").to_pylist()
    assert rows == [dict(row.values) for row in datasets.table(version.id).read()]
    assert "rows.jsonl" not in (tmp_path / "unpacked" / "README.md").read_text(encoding="utf-8").split("##")[1]


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(
    opened: tuple[Datasets, Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets, settings = opened
    version = imported(datasets, tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(InputError) as caught:
        write_data_package(datasets, settings, version.id, tmp_path / "full")
    assert caught.value.key == "error.export.target_exists"
    with pytest.raises(InputError) as caught:
        write_data_package(datasets, settings, version.id, tmp_path / "full" / "mine.txt" / "below")
    assert caught.value.key == "error.export.target_refused"
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ResourceError):
        write_data_package(datasets, replace(settings, min_free_bytes=10**18), version.id, tmp_path / "out")

    def fails(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(datasets, "left_out", fails)  # amid the writing
    with pytest.raises(RuntimeError):
        write_data_package(datasets, settings, version.id, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_the_workspace_keeps_one_of_a_version(opened: tuple[Datasets, Settings], tmp_path: Path) -> None:
    datasets, settings = opened
    version = datasets.change_split(imported(datasets, tmp_path).id, {"validation_share": 0.2})
    told: list[float] = []
    first = keep_data_package(datasets, settings, version.id, "jsonl", told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(set(told)) > 3
    second = keep_data_package(datasets, settings, version.id, "parquet")
    assert second.path == first.path
    assert second.path.name == f"ann-s-data-jsonl-package-{version.id}.zip"
    assert [path.name for path in second.path.parent.iterdir()] == [second.path.name]
    with zipfile.ZipFile(second.path) as archive:
        names = set(archive.namelist())
    assert {*second.files} == {"rows.parquet", "train.parquet", "validation.parquet"}
    assert {*second.files, "README.md", "lineage.json", "findings.json"} == names


@pytest.mark.parametrize("after", range(3))
def test_one_that_is_stopped_leaves_the_earlier_one(
    after: int, opened: tuple[Datasets, Settings], tmp_path: Path
) -> None:
    """In all rows, and in those of either side."""
    datasets, settings = opened
    version = datasets.change_split(imported(datasets, tmp_path).id, {"validation_share": 0.2})
    made = keep_data_package(datasets, settings, version.id)
    before = made.path.read_bytes()
    answers = iter([False] * after + [True])
    with pytest.raises(Stopped):
        keep_data_package(datasets, settings, version.id, "parquet", stopping=lambda: next(answers))
    assert next(answers, None) is None
    assert made.path.read_bytes() == before
    assert not list(settings.workspace.rglob("*.partial*"))


def test_an_export_that_begins_does_not_sweep_one_in_the_making(
    opened: tuple[Datasets, Settings], tmp_path: Path
) -> None:
    datasets, settings = opened
    version = imported(datasets, tmp_path)
    seen: list[list[Path]] = []

    def look(share: float) -> None:
        seen.append(list((settings.workspace / "exports").iterdir()))

    keep_data_package(datasets, settings, version.id, "jsonl", look)
    assert seen[0] == []
