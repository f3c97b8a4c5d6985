"""The endpoints as programs find them: with gradio_client and over MCP, on a real server."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from studio.backend.studio import Studio
from studio.errors import FaultError
from studio.messages import translate
from studio.settings import Settings
from studio.ui import app
from studio.ui.api import NAMES
from tests.served import served, tiny_assets

STABLE = {
    "list_datasets": [],
    "import_data": ["path", "encoding"],
    "check_data": ["version", "model", "max_length"],
    "list_runs": [],
    "run_status": ["run"],
    "start_run": ["version", "preset", "method", "model", "settings", "name"],
    "stop_run": ["run"],
    "chat": ["run", "prompt", "system", "max_tokens", "temperature", "seed", "step"],
    "evaluate": ["run", "rows", "step"],
    "export": ["run", "target", "numbers", "prompts", "step"],
}
QUICK = {"training.epochs": 1, "training.evaluations": 1, "data.max_length": 64, "tuner.rank": 2}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio whose starter is a tiny model."""
    folder = tmp_path_factory.mktemp("studio")
    with Studio(Settings(workspace=folder / "w", assets=tiny_assets(folder), offline=True)) as studio:
        yield studio


@pytest.fixture(scope="module")
def address(studio: Studio) -> Iterator[str]:
    with served(app.create_server(studio, mcp=True)) as address:
        yield address


@pytest.fixture(scope="module")
def english(address: str) -> Client:
    return Client(f"{address}/en/", verbose=False)


@pytest.fixture(scope="module")
def japanese(address: str) -> Client:
    return Client(f"{address}/ja/", verbose=False)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("データ") / "rows <1>.jsonl"
    lines = [json.dumps({"question": f"What is {n}?", "answer": f"It is {n}."}) for n in range(30)]
    file.write_text("\n".join([*lines, lines[0]]), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def run(english: Client, rows: Path) -> dict[str, Any]:
    """A run that was started and has ended."""
    data = english.predict(path=str(rows), api_name="/import_data")
    run = english.predict(version=data["version"], settings=QUICK, name="Mine", api_name="/start_run")
    while run["status"] in ("queued", "running"):
        time.sleep(0.1)
        run = english.predict(run=run["run"], api_name="/run_status")
    assert run["status"] == "done", run
    return run


def test_names_and_types_are_what_they_were(english: Client) -> None:
    """Whoever changes them breaks programs of others."""
    assert list(STABLE) == list(NAMES)
    told: Any = english.view_api(return_format="dict", print_info=False)
    assert told["unnamed_endpoints"] == {}
    found = {
        name.strip("/"): [one["parameter_name"] for one in about["parameters"]]
        for name, about in told["named_endpoints"].items()
    }
    assert found == STABLE
    starting = told["named_endpoints"]["/start_run"]
    types = {one["parameter_name"]: one["python_type"]["type"] for one in starting["parameters"]}
    assert types["version"] == "str"
    assert types["settings"] == "None | dict(str, Any)"
    assert {"run", "status", "total_steps"} <= {*re.findall(r"\w+", starting["returns"][0]["python_type"]["type"])}


def test_data_is_imported_listed_and_checked(english: Client, japanese: Client, rows: Path) -> None:
    data = english.predict(path=str(rows), api_name="/import_data")
    assert (data["rows"], data["columns"]) == (31, ["question", "answer"])
    assert data in english.predict(api_name="/list_datasets")
    found = {name: one.predict(version=data["version"], api_name="/check_data") for name, one in
             (("en", english), ("ja", japanese))}  # fmt: skip
    duplicate = {name: next(c for c in checks if c["kind"].startswith("duplicate")) for name, checks in found.items()}
    assert duplicate["en"]["count"] == duplicate["ja"]["count"]
    assert duplicate["en"]["message"] != duplicate["ja"]["message"]


def test_a_run_is_started_followed_and_listed(run: dict[str, Any], english: Client) -> None:
    assert (run["name"], run["step"]) == ("Mine", run["total_steps"])
    assert run["validation_loss"] < 20
    assert run in english.predict(api_name="/list_runs")


def test_both_models_answer(run: dict[str, Any], english: Client, studio: Studio) -> None:
    answers = english.predict(run=run["run"], prompt="What is 3?", max_tokens=8, temperature=1, api_name="/chat")
    base, tuned = studio.ask(run["run"], "What is 3?", max_new_tokens=8, temperature=1)
    assert answers == {"base": base.text, "tuned": tuned.text, "identical": tuned.identical}


def test_a_run_is_evaluated_and_exported(run: dict[str, Any], english: Client, studio: Studio) -> None:
    studio.evaluations.set_plan(run["run"], studio.evaluations.plan(run["run"]).model_copy(update={"exams": ()}))
    report = english.predict(run=run["run"], rows=2, api_name="/evaluate")
    assert report["rows"] == 2
    assert report["verdict"]["decision"] in ("deploy", "care", "no")
    export = english.predict(run=run["run"], api_name="/export")
    assert Path(export["file"]).stat().st_size == export["bytes"]
    assert export["equal"] == export["prompts"] > 0
    merged = english.predict(run=run["run"], target="merged", numbers="float32", prompts=2, api_name="/export")
    assert (Path(merged["file"]) / "model.safetensors").is_file()
    assert (merged["equal"], merged["prompts"]) == (2, 2)


def test_a_queued_run_is_stopped(run: dict[str, Any], english: Client) -> None:
    long = {**QUICK, "training.epochs": 50}
    started = [english.predict(version=run["version"], settings=long, api_name="/start_run") for _ in range(2)]
    for one in reversed(started):
        assert english.predict(run=one["run"], api_name="/stop_run")["run"] == one["run"]
    while (status := english.predict(run=started[0]["run"], api_name="/run_status")["status"]) != "stopped":
        assert status in ("queued", "running")
        time.sleep(0.1)
    assert english.predict(run=started[1]["run"], api_name="/run_status")["status"] == "stopped"


@pytest.mark.parametrize(
    ("name", "given", "key", "values"),
    [
        ("run_status", {"run": "nobody"}, "error.run.unknown", {"run": "nobody"}),
        ("export", {"run": "nobody", "target": "zip"}, "error.api.export", {"place": "target"}),
        ("export", {"run": "nobody", "target": "gguf", "numbers": "F8"}, "error.api.export", {"place": "numbers"}),
        ("import_data", {"path": "rows.jsonl"}, "error.api.path", {"path": "rows.jsonl"}),
        ("import_data", {"path": "/no/<b>file</b>"}, "error.api.path", {"path": "/no/<b>file</b>"}),
    ],
)
def test_errors_are_plain_sentences_in_the_pages_language(
    name: str, given: dict[str, Any], key: str, values: dict[str, str], english: Client, japanese: Client
) -> None:
    for language, client in (("en", english), ("ja", japanese)):
        with pytest.raises(AppError) as told:
            client.predict(**given, api_name=f"/{name}")
        sentence = translate(key, language, **{"problem": "…", **values})
        assert str(told.value).startswith(sentence.partition("…")[0])


def test_wrong_settings_are_told_at_once(run: dict[str, Any], english: Client) -> None:
    for settings in ({"training.epochs": 0}, {"no.such": 1}):
        with pytest.raises(AppError, match=next(iter(settings)).split(".")[0]):
            english.predict(version=run["version"], settings=settings, api_name="/start_run")
    for given in ({"preset": "none"}, {"method": "magic"}, {"version": "gone"}, {"model": "/no/model"}):
        asked: dict[str, Any] = {"version": run["version"], "settings": QUICK, **given}
        with pytest.raises(AppError) as told:
            english.predict(**asked, api_name="/start_run")
        assert translate("error.bug", "en", log="logs/studio.log") not in str(told.value)


def test_other_sites_and_names_get_nothing(address: str) -> None:
    for headers in ({"origin": "http://evil.example"}, {"host": "evil.example"}):
        for path in ("gradio_api/info", "gradio_api/mcp/", "gradio_api/call/list_runs"):
            for ask in (httpx2.get, httpx2.post):
                assert ask(f"{address}/en/{path}", headers=headers).status_code == 403


# Model Context Protocol


def over_mcp(address: str, *calls: tuple[str, dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    async def ask() -> tuple[list[Any], list[Any]]:
        async with (
            streamablehttp_client(f"{address}/en/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            return tools, [await session.call_tool(name, given) for name, given in calls]

    # In a thread of its own: where tests in a browser ran before, this one has a loop that goes on.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(ask())).result()


def test_only_the_endpoints_are_tools(address: str, run: dict[str, Any]) -> None:
    tools, (status, unknown) = over_mcp(address, ("run_status", {"run": run["run"]}), ("run_status", {"run": "nobody"}))
    assert {tool.name for tool in tools} == set(STABLE)
    chat = next(tool for tool in tools if tool.name == "chat")
    assert chat.description.startswith("Ask the base model and the tuned one")
    assert chat.inputSchema["properties"]["prompt"]["description"] == "what to ask"
    assert run["run"] in status.content[0].text
    assert "nobody" in unknown.content[0].text
    assert unknown.isError


def test_without_the_switch_there_are_no_tools(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    assert app.build_app(studio, "en").mcp_server is False
    from starlette.testclient import TestClient

    with TestClient(app.create_server(studio), base_url="http://127.0.0.1:1") as client:
        assert client.post("/en/gradio_api/mcp/", json={}).status_code in (404, 405)
    monkeypatch.setattr(app, "find_spec", lambda name: None)
    with pytest.raises(FaultError, match=r"pip install 'mcp"):
        app.create_server(studio, mcp=True)
