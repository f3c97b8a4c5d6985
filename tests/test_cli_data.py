"""`studio data import|clean|split|mix`, as a shell runs them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from studio.__main__ import main

ROWS = [{"question": f"質問{i}", "answer": f"answer {i}", "kind": "ab"[i % 2]} for i in range(40)]
Shell = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    def run(*words: object) -> tuple[int, dict[str, Any], str]:
        code = main([*map(str, words), "--json"])
        output = capsys.readouterr()
        assert len(output.out.splitlines()) == 1
        return code, json.loads(output.out), output.err

    return run


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return written(tmp_path / "data.jsonl", [*ROWS, {"question": "x", "answer": " ", "kind": "a"}, ROWS[3]])


def test_import_keeps_the_data_set(shell: Shell, data: Path, tmp_path: Path) -> None:
    code, found, _ = shell("data", "import", data, "--workspace", tmp_path / "workspace")
    assert (code, found["rows"], found["layout"]) == (0, 42, "question_answer")
    assert (tmp_path / "workspace" / "datasets" / found["version"] / "table.parquet").is_file()


def test_a_folder_is_imported_as_one_table(shell: Shell, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    (folder / "inner").mkdir(parents=True)
    data.rename(folder / "inner" / "data.jsonl")
    (folder / "more.csv").write_text("question,answer\na,b\n")
    code, found, _ = shell("data", "import", folder, "--workspace", tmp_path / "workspace")
    assert (code, found["name"], found["rows"], found["layout"]) == (0, "many", 43, "question_answer")
    code, found, _ = shell("data", "check", folder)
    assert (code, found["rows"]) == (0, 43)
    (tmp_path / "empty").mkdir()
    code, found, _ = shell("data", "import", tmp_path / "empty", "--workspace", tmp_path / "workspace")
    assert code == 2
    code, found, _ = shell("data", "import", tmp_path / "none", "--workspace", tmp_path / "workspace")
    assert code == 2


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_clean(shell: Shell, data: Path, tmp_path: Path, ending: str) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("steps: [drop_blank, drop_duplicates, {fix: replace, find: answer, replace_with: reply}]")
    out = tmp_path / "out" / f"clean.{ending}"
    code, found, _ = shell("data", "clean", data, "--recipe", recipe, "--to", out)
    assert (code, found["rows_before"], found["rows_after"]) == (0, 42, 40)
    assert [(s["fix"], s["dropped"], s["changed"]) for s in found["steps"]] == [
        ("drop_blank", 1, 0), ("drop_duplicates", 1, 0), ("replace", 0, 40),
    ]  # fmt: skip
    expected = [{**row, "answer": row["answer"].replace("answer", "reply")} for row in ROWS]
    if ending == "jsonl":
        assert read(out) == expected
    elif ending == "parquet":
        assert pq.read_table(out).to_pylist() == expected
    else:
        assert out.read_text(encoding="utf-8-sig").splitlines()[1] == "質問0,reply 0,a"
    code, found, _ = shell("data", "clean", out, "--recipe", recipe, "--to", tmp_path / "again.jsonl")
    assert (code, found["rows_after"], found["steps"]) == (0, 40, [])
    assert read(tmp_path / "again.jsonl") == expected


def test_what_is_wrong_is_told(shell: Shell, data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("steps: [drop_blnk]")
    code, found, _ = shell("data", "clean", data, "--recipe", recipe, "--to", tmp_path / "out.jsonl")
    assert (code, found["key"]) == (2, "error.spec.invalid")
    recipe.write_text("steps: [drop_blank]")
    code, found, _ = shell("data", "clean", data, "--recipe", recipe, "--to", tmp_path / "out.docx")
    assert (code, found["key"]) == (2, "error.export_file.ending")
    code, found, _ = shell("data", "clean", tmp_path / "nope", "--recipe", recipe, "--to", tmp_path / "out.csv")
    assert (code, found["key"]) == (2, "error.cli.no_file")
    code, found, _ = shell("data", "split", data, "--to", tmp_path / "parts", "--stratify", "nope")
    assert (code, found["key"]) == (2, "error.split.unknown_column")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.jsonl", "recipe.yaml"]


def test_split(shell: Shell, data: Path, tmp_path: Path) -> None:
    words = (
        "data",
        "split",
        data,
        "--validation",
        0.2,
        "--test",
        0.1,
        "--stratify",
        "kind",
        "--to",
        tmp_path / "parts",
    )
    code, found, _ = shell(*words)
    assert (code, found["train"], found["validation"], found["test"], found["unusable"]) == (0, 29, 8, 4, 1)
    parts = [read(tmp_path / "parts" / f"{name}.jsonl") for name in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [29, 8, 4]
    asked = [{row["question"] for row in part} for part in parts]
    assert not asked[0] & asked[1]
    assert not (asked[0] | asked[1]) & asked[2]
    assert [sum(row["kind"] == "a" for row in part) for part in parts[1:]] == [4, 2]


def test_mix(shell: Shell, data: Path, tmp_path: Path) -> None:
    written(tmp_path / "other.jsonl", [{"prompt": f"Say {i}.", "completion": f"{i}"} for i in range(10)])
    spec = tmp_path / "mix.yaml"
    spec.write_text(
        "parts:\n- {data: data.jsonl, task: shop, cap: 20}\n- {data: other.jsonl, held_out: true}\n"
        "replay: {share: 0.3}\n"
    )
    code, planned, _ = shell("data", "mix", spec, "--plan")
    assert (code, [part["task"] for part in planned["parts"]]) == (0, ["shop", "other.jsonl", "replay"])
    assert planned["parts"][2]["share"] == pytest.approx(0.3, abs=0.06)
    code, found, _ = shell("data", "mix", spec, "--to", tmp_path / "mix.jsonl")
    assert (code, found["rows"]) == (0, planned["rows"])
    rows = read(tmp_path / "mix.jsonl")
    assert len(rows) == found["rows"]
    assert {row["task"] for row in rows} == {"shop", "replay"}
    assert [row["task"] for row in read(tmp_path / "mix.held_out.jsonl")] == ["other.jsonl"] * 10
    code, found, _ = shell("data", "mix", spec)
    assert (code, found["key"]) == (2, "error.cli.required")


def test_export_of_a_version(shell: Shell, data: Path, tmp_path: Path) -> None:
    workspace = ("--workspace", tmp_path / "workspace")
    _, opened, _ = shell("data", "import", data, *workspace)
    code, found, _ = shell("data", "export", opened["version"], "--to", tmp_path / "out.zip", *workspace)
    assert (code, found["files"]["rows.jsonl"]) == (0, 42)
    assert (tmp_path / "out.zip").is_file()
    code, found, _ = shell("data", "export", opened["version"], "--to", tmp_path / "out.zip", *workspace)
    assert code != 0
    assert "out.zip" in str(found["error"])
    code, found, _ = shell("data", "export", "nothing", "--to", tmp_path / "out", *workspace)
    assert code != 0
    assert not (tmp_path / "out").exists()
