"""README's commands are real, and its pictures are there."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from studio.shell.command_line import build_parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line]
STUDIO = [line for line in COMMANDS if line.split()[0].endswith("studio")]
# What .ci/run does to find the test command.
EXTRACT = "sed -n '/^<!-- test command -->$/,/^```$/p' README.md | sed -n '3p'"


def test_the_first_command_installs_and_opens() -> None:
    assert COMMANDS[0] == "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/studio"


def test_the_second_command_installs_and_tests_everything() -> None:
    assert COMMANDS[1] == "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/python -m pytest"


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert EXTRACT in script
    assert "pytest" not in script  # no second wording that could drift
    done = subprocess.run(["bash", "-c", EXTRACT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == COMMANDS[1]


@pytest.mark.parametrize("line", STUDIO)
def test_a_studio_command_is_understood(line: str) -> None:
    options = build_parser("en").parse_args(shlex.split(line)[1:])
    assert options.action


def test_every_command_is_shown() -> None:
    shown = {build_parser("en").parse_args(shlex.split(line)[1:]).action for line in STUDIO}
    assert shown >= {
        "open",
        "run",
        "resume",
        "runs",
        "export",
        "chat",
        "evaluate",
        "check",
        "settings",
        "serve",
        "push",
    }


@pytest.mark.parametrize("place", re.findall(r"\]\((?!https?:)([^)#]+)\)|src=\"([^\"]+)\"", README))
def test_what_is_linked_exists(place: tuple[str, str]) -> None:
    assert (ROOT / (place[0] or place[1])).is_file()


def test_every_tab_has_its_picture() -> None:
    for tab in ("start", "data", "train", "runs", "compare", "export"):
        assert f"assets/screenshots/{tab}.png" in README
