"""What assets/programs.*.md shows is run as it stands, but for addresses, and the names of files and runs."""

import contextlib
import io
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from studio.backend import Studio
from studio.backend.serving import chat_service
from studio.messages import LANGUAGES
from studio.shell.command_line import build_parser
from studio.ui.api import NAMES
from studio.ui.app import create_server
from tests.served import served

FOLDER = Path(__file__).parents[1] / "assets"
DOCS = {language: (FOLDER / f"programs.{language}.md").read_text(encoding="utf-8") for language in LANGUAGES}
EXAMPLES = dict(re.findall(r"<!-- (\w+) -->\n```python\n(.*?)```", DOCS["en"], re.DOTALL))
PAGE, CHAT, RUN = "http://127.0.0.1:7860", "http://127.0.0.1:7870", "20260101-120000-abc123"


def shown(name: str, folder: Path, changes: Mapping[str, str]) -> list[str]:
    """The lines that an example prints in this folder."""
    code = EXAMPLES[name]
    for text, other in changes.items():
        assert text in code
        code = code.replace(text, other)
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, name, "exec"), {})
    return printed.getvalue().splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples run, with the data that they name."""
    folder = tmp_path_factory.mktemp("work")
    rows = [f"Where is parcel {n}?,Parcel {n} is at the depot." for n in range(24)]
    (folder / "questions.csv").write_text("\n".join(["question,answer", *rows]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def notebook(folder: Path) -> list[str]:
    return shown("notebook", folder, {})


@pytest.fixture(scope="module")
def studio(folder: Path, notebook: list[str]) -> Iterator[Studio]:
    """The notebook's workspace, opened again."""
    with Studio.open(folder / "my-project") as studio:
        yield studio


def test_the_notebook_trains_asks_evaluates_and_exports(notebook: list[str], folder: Path) -> None:
    steps, verdict, export = notebook
    done, *answers = steps.split(" ", steps.count("/"))[-2:]
    assert re.fullmatch(r"(\d+)/\1", done), steps
    assert answers[0].count("|") == 1
    assert verdict.split()[0] in ("deploy", "care", "no")
    assert export == f"{folder / 'adapter.zip'} True"


def test_the_client_does_the_same_through_the_page(studio: Studio, folder: Path) -> None:
    with served(create_server(studio)) as address:
        data = str(folder / "questions.csv")
        _, *findings, answers, export = shown("client", folder, {PAGE: address, "/data/questions.csv": data})
    assert findings == ["info Rows that can be used: 24. Training wants 200 or more."]
    assert answers.count("|") == 1
    assert Path(export.split()[0]).is_file()


def test_openai_s_client_asks_base_and_run(studio: Studio, folder: Path) -> None:
    run = studio.runner.runs()[-1].record.id
    base, tuned = studio.ask(run, "Where is my parcel?", max_new_tokens=200)
    with chat_service(studio, run) as service, served(service.app) as address:
        assert shown("openai", folder, {CHAT: address, RUN: run}) == [base.text, tuned.text]


def test_both_languages_show_the_same_code_and_every_endpoint() -> None:
    code = {language: re.findall(r"```\w+\n.*?```", text, re.DOTALL) for language, text in DOCS.items()}
    assert code["en"] == code["ja"]
    for text in DOCS.values():
        assert re.findall(r"^\| `/(\w+)`", text, re.MULTILINE) == list(NAMES)


def test_the_command_is_understood() -> None:
    for line in re.findall(r"```sh\n(.*?)\n```", DOCS["en"], re.DOTALL):
        options = build_parser("en").parse_args(shlex.split(line)[1:])
        assert (options.action, options.port) == ("serve", 7870)
