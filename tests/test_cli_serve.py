"""`studio serve` as programs use it: its own process, asked by OpenAI's own client."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import openai
import pytest

from studio.__main__ import main
from studio.data.records import Message
from studio.messages import translate
from studio.settings import Settings
from tests.backend.asked import Sides, beside_base, last
from tests.backend.made import Made, make
from tests.models.adapters import save_for

ROOT = Path(__file__).parents[1]
QUESTIONS = ("What is the capital of France?", "日本の首都はどこですか？")
TOKENS = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("studio")
    made = make(folder, folder)
    yield made
    made.studio.close()


@pytest.fixture(scope="module")
def run(made: Made, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of the built-in model."""
    starter = Settings(workspace=made.models).starter
    adapters = [save_for(starter, tmp_path_factory.mktemp("adapter"), seed=seed) for seed in (1, 2)]
    return made.run(base=starter, name="My run", adapters=adapters)


@pytest.fixture(scope="module")
def process(made: Made, run: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The server, beside an open studio, and its address."""
    words = ["serve", run, "--port", "0", "--workspace", str(made.studio.settings.workspace)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "studio", *words], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        told = ""
        for line in process.stderr:
            told += line
            if found := re.search(r"http://127\.0\.0\.1:\d+/v1", line):
                yield process, found[0]
                break
        else:
            pytest.fail(told)
        process.kill()


@pytest.fixture(scope="module")
def client(process: tuple[subprocess.Popen[str], str]) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=process[1], api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def shown(made: Made, run: str) -> dict[str, Sides]:
    """What Compare answers."""
    asked = {
        text: beside_base(made.studio, run, turns=(Message("user", text),), max_new_tokens=TOKENS) for text in QUESTIONS
    }
    return {text: last(made.studio, request) for text, request in asked.items()}


def test_base_and_run_are_listed(client: openai.OpenAI, run: str) -> None:
    assert [model.id for model in client.models.list()] == ["base", run]


@pytest.mark.parametrize("text", QUESTIONS)
def test_both_answer_as_compare_does_whole_and_in_pieces(
    text: str, client: openai.OpenAI, run: str, shown: dict[str, Sides]
) -> None:
    assert shown[text].base.text != shown[text].tuned.text
    for model, column in (("base", shown[text].base), (run, shown[text].tuned)):
        ask = client.chat.completions.create
        whole = ask(model=model, messages=[{"role": "user", "content": text}], max_tokens=TOKENS)
        assert whole.choices[0].message.content == column.text
        assert whole.usage
        assert whole.usage.completion_tokens == column.tokens
        assert whole.choices[0].finish_reason == ("length" if column.tokens == TOKENS else "stop")
        parts = list(ask(model=model, messages=[{"role": "user", "content": text}], max_tokens=TOKENS, stream=True))
        assert "".join(part.choices[0].delta.content or "" for part in parts) == column.text
        assert len(parts) > 3


def test_an_unknown_model_is_told(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="There is no model “gpt2” here"):
        client.chat.completions.create(model="gpt2", messages=[{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"host": "evil.example"}])
def test_pages_of_other_sites_get_nothing(headers: dict[str, str], process: tuple[subprocess.Popen[str], str]) -> None:
    assert httpx2.get(f"{process[1]}/models", headers=headers).status_code == 403
    assert httpx2.get(f"{process[1]}/models").status_code == 200


def test_a_port_in_use_and_an_unknown_run_are_told(
    made: Made, run: str, process: tuple[subprocess.Popen[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    port = process[1].split(":")[2].split("/")[0]
    place = ("--workspace", str(made.studio.settings.workspace), "--language", "ja")
    assert main(["serve", run, "--port", port, *place]) == 2
    assert translate("error.port.in_use", "ja", port=port) in capsys.readouterr().err
    assert main(["serve", "nobody", "--port", "0", *place]) == 2
    assert "nobody" in capsys.readouterr().err


def test_ctrl_c_ends_it(process: tuple[subprocess.Popen[str], str]) -> None:
    """The last test: all others ask the same server."""
    process[0].send_signal(signal.SIGINT)
    assert process[0].stderr
    assert process[0].stderr.read().strip() == translate("cli.interrupted", "en")
    assert process[0].wait(10) == 1
