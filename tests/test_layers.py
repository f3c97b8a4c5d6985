"""Imports point down, never up; the page opens without torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "studio"
RANKS = {
    "settings": 0, "errors": 0, "messages": 0,
    "data": 1,
    "runs": 2,
    "models": 3,
    "training": 4, "evaluation": 4, "export": 4, "starter": 4,
    "backend": 5,
    "ui": 6, "shell": 6, "__main__": 6,
}  # fmt: skip
SIDEWAYS = {"settings", "errors", "messages", "ui", "shell", "__main__"}
# What page and command line may take from below the backend: plain values, ways to spread work among them.
VALUES = {
    "studio.data.cell_input", "studio.data.step_preview",
    "studio.data.chat_templates",
    "studio.data.explore", "studio.data.formats", "studio.data.records", "studio.data.problems",
    "studio.data.templates", "studio.data.suggestions", "studio.data.histogram", "studio.data.sources",
    "studio.data.checks", "studio.data.changes", "studio.data.recipe", "studio.data.cleaning", "studio.data.mixing",
    "studio.data.samples", "studio.data.splits", "studio.data.export_file", "studio.data.readiness",
    "studio.data.instruction_templates",
    "studio.data.cluster", "studio.data.scan_workers",
    "studio.data.row_kinds", "studio.data.hub_data",
    "studio.data.tables", "studio.data.tokens", "studio.runs.methods", "studio.runs.spec", "studio.runs.presets",
    "studio.runs.cluster", "studio.runs.events", "studio.runs.differences", "studio.data.languages.LANGUAGES",
    "studio.runs.store.RunRecord", "studio.runs.reference", "studio.runs.contestants", "studio.runs.votes",
    "studio.runs.cautions", "studio.runs.rates", "studio.runs.unfit", "studio.runs.coach", "studio.runs.ways",
    "studio.runs.remedies", "studio.runs.exports",
    "studio.evaluation.plan", "studio.evaluation.metrics", "studio.evaluation.intervals", "studio.evaluation.verdict",
    "studio.evaluation.exams", "studio.evaluation.classes", "studio.evaluation.report", "studio.evaluation.advice",
}  # fmt: skip
HEAVY = {"torch", "transformers", "peft", "trl", "accelerate"}
FILES = sorted(PACKAGE.rglob("*.py"))


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Every module a file imports, and whether only for type checkers."""
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from ((f"{node.module}.{a.name}", id(node) in typing_only) for a in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in typing_only) for alias in node.names)


def wrong_imports(path: Path, source: str) -> list[str]:
    own = layer(path)
    wrong = []
    for name, typing_only in imported(ast.parse(source)):
        parts = name.split(".")
        if parts[0] != "studio" or parts[1] not in RANKS:
            continue  # other packages, and `from studio import __version__`
        up = RANKS[parts[1]] > RANKS[own]
        sideways = RANKS[parts[1]] == RANKS[own] and parts[1] != own and own not in SIDEWAYS
        value = typing_only or not VALUES.isdisjoint((name, ".".join(parts[:3])))
        deep = RANKS[own] == 6 and 0 < RANKS[parts[1]] < 5 and not value
        if up or sideways or deep:
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    if path != PACKAGE / "__init__.py":
        assert layer(path) in RANKS, "a new part of the house needs its rank here and in the design"
        assert wrong_imports(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("data/x.py", "from studio.runs.spec import RunSpec"),
        ("training/x.py", "from studio.export import adapter"),
        ("backend/x.py", "import studio.ui.app"),
        ("ui/x.py", "from studio.training.sft import train"),
        ("ui/x.py", "def f():\n    from studio.models.loading import load_model"),
        ("errors.py", "from studio.data import tables"),
    ],
)
def test_the_rule_sees_a_wrong_import(file: str, line: str) -> None:
    assert wrong_imports(PACKAGE / file, line)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_page_knows_gradio(path: Path) -> None:
    names = {name.split(".")[0] for name, _ in imported(ast.parse(path.read_text(encoding="utf-8")))}
    assert layer(path) == "ui" or not names & {"gradio", "gradio_client"}


def loaded(modules: list[str], watched: set[str]) -> list[str]:
    """Which of `watched` a fresh process has loaded after importing `modules`."""
    code = f"import sys, {', '.join(modules)}; print(*[name for name in {sorted(watched)!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=180)
    return done.stdout.split()


@pytest.mark.parametrize(
    "module",
    [
        "studio.ui.app",
        "studio.backend",
        "studio.backend.studio",
        "studio.backend.serving",
        "studio.shell.commands",
        "studio.runs.store",
    ],
)
def test_opens_without_the_heavy_libraries(module: str) -> None:
    assert loaded([module], HEAVY) == []


@pytest.mark.parametrize("name", ["data", "runs"])
def test_data_and_runs_need_neither_torch_nor_gradio(name: str) -> None:
    modules = [
        ".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts) for p in (PACKAGE / name).glob("[a-z]*.py")
    ]
    assert loaded(modules, {*HEAVY, "gradio"}) == []


def test_the_look_into_a_process_sees_what_was_loaded() -> None:
    assert loaded(["json", "sqlite3"], {"sqlite3", "torch"}) == ["sqlite3"]
