"""Runs of every kind, served: asked over the protocol they answer what Compare shows."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from studio.backend.serving import BASE_NAME, chat_service, hints
from studio.backend.studio import Studio
from studio.data.records import Message
from studio.errors import InputError, ModelError
from studio.messages import catalogue
from studio.runs.events import Queued
from studio.runs.exports import ExportSpec
from studio.runs.spec import with_changes
from tests.backend.asked import PROMPT, beside_base, last
from tests.backend.made import Made, make, save_models
from tests.backend.test_new_tokens import PROMPT as NEW_TOKENS_PROMPT
from tests.backend.test_new_tokens import Place
from tests.models.adapters import save_for, save_plain
from tests.tiny import CHAT_TEMPLATE, save_tiny, tiny_model, tiny_tokenizer

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_models(tmp_path_factory.mktemp("models"))
    save_tiny(folder / "qwen2", "qwen2")
    return folder


@pytest.fixture(scope="module")
def made(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    made = make(tmp_path_factory.mktemp("studio"), models)
    yield made
    made.studio.close()


def body(model: str, text: str = PROMPT[0].content, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 10, **fields}


def answer(client: TestClient, model: str, text: str = PROMPT[0].content, **fields: Any) -> str:
    """The whole answer, which is the same in pieces: but for bytes at the end that are no character, never streamed."""
    whole = client.post(CHAT, json=body(model, text, **fields))
    assert whole.status_code == 200, whole.text
    content = whole.json()["choices"][0]["message"]["content"]
    lines = client.post(CHAT, json=body(model, text, stream=True, **fields)).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    parts = [json.loads(line.removeprefix("data: "))["choices"][0]["delta"] for line in lines[:-2]]
    assert "".join(part.get("content") or "" for part in parts).rstrip("\ufffd") == content.rstrip("\ufffd")
    return content


def check_equal(studio: Studio, run: str, text: str = PROMPT[0].content, step: int | None = None) -> None:
    """Bytes at the end that are no character are shown nowhere in Compare."""
    request = beside_base(studio, run, step, max_new_tokens=10, turns=(Message("user", text),))
    shown = last(studio, request)
    with chat_service(studio, run, step) as service, TestClient(service.app) as client:
        for _ in range(2):  # switched to and fro
            for name, column in ((BASE_NAME, shown.base), (run, shown.tuned)):
                assert answer(client, name, text).rstrip("\ufffd") == column.text
    assert shown.base.text != shown.tuned.text


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2"])
def test_answers_are_those_of_compare(kind: str, made: Made) -> None:
    """The tiny Qwen's chat template is not Qwen's own, by which transformers takes answers apart."""
    run = made.run(kind, strength=2.0)
    check_equal(made.studio, run)
    check_equal(made.studio, run, step=4)


def test_dora_is_served_though_it_shares_no_batch(made: Made, tmp_path: Path) -> None:
    starter = made.studio.settings.starter
    adapters = [save_for(starter, tmp_path / str(seed), seed=seed, variant="dora") for seed in (1, 2)]
    check_equal(made.studio, made.run(base=starter, adapters=adapters))


def test_whole_models_and_new_tokens_are_served(tmp_path: Path) -> None:
    place = Place(tmp_path)
    text = NEW_TOKENS_PROMPT[0].content
    spec = place.spec("cpt", place.text, method__new_tokens=10)
    adapter = place.train(spec, "read")
    whole = place.train(with_changes(spec, {"tuner.kind": "full", "training.learning_rate": 0.01}), "whole")
    for run in (adapter, whole):
        check_equal(place.studio, run, text)
    with chat_service(place.studio, adapter) as service, TestClient(service.app) as client:
        fields = {"logit_bias": {"270": 100, "70": 50}}  # 270 is a new token, whose row the base has in memory too
        assert answer(client, adapter, text, **fields) != answer(client, BASE_NAME, text, **fields) == "b" * 10
    place.studio.close()


def test_an_end_token_is_never_shown_though_it_is_no_special_one(made: Made, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(chat_template=CHAT_TEMPLATE.replace("<|end|>", "<|done|>"))
    tokenizer.add_tokens(["<|done|>"])
    tokenizer.save_pretrained(tmp_path / "base")
    tiny_model(vocabulary=262).save_pretrained(tmp_path / "base")
    adapters = [save_for(tmp_path / "base", tmp_path / str(seed), seed=seed) for seed in (1, 2)]
    run = made.run(base=tmp_path / "base", adapters=adapters)
    with chat_service(made.studio, run) as service, TestClient(service.app) as client:
        for name in (BASE_NAME, run):
            assert answer(client, name, logit_bias={"261": 100}) == ""


def test_a_temperature_draws_and_a_seed_repeats(made: Made) -> None:
    run = made.run()
    with chat_service(made.studio, run) as service, TestClient(service.app) as client:
        drawn = [answer(client, run, temperature=1.0, seed=seed) for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]
        assert answer(client, run, temperature=0) == answer(client, run)


def test_what_it_serves_is_listed_and_known_by_its_name(made: Made) -> None:
    run = made.run(name="My run")
    with chat_service(made.studio, run) as service, TestClient(service.app) as client:
        assert [one["id"] for one in client.get("/v1/models").json()["data"]] == [BASE_NAME, run]
        assert client.post(CHAT, json=body("My run")).json()["model"] == run
        for path in ("/load_model", "/reset", "/v1/completions", "/v1/audio/transcriptions"):
            assert client.post(path, json={"model": "gpt2"}).status_code == 404


@pytest.mark.parametrize(
    ("fields", "status", "key"),
    [
        ({"model": "gpt2"}, 404, "error.serve.model"),
        ({"messages": []}, 400, "error.serve.request"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "error.serve.request"),
        ({"temperature": -1}, 400, "error.serve.request"),
        ({"max_tokens": 0}, 400, "error.serve.request"),
        ({"logit_bias": {"x": 1}}, 400, "error.serve.request"),
        ({"n": 2}, 400, "error.serve.field"),
        ({"response_format": {"type": "json_object"}}, 400, "error.serve.field"),
        ({"generation_config": "{}"}, 400, "error.serve.field"),
        ({"messages": [{"role": "user", "content": "x" * 600}]}, 400, "error.compare.too_long"),
        ({"chat_template_kwargs": {"tokenize": 0}}, 400, "error.model.template"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(
    fields: dict[str, Any], status: int, key: str, made: Made, served: TestClient
) -> None:
    told = served.post(CHAT, json={**body(BASE_NAME), **fields})
    assert (told.status_code, told.json()["error"]["code"]) == (status, key)
    assert catalogue("ja")[key].split("{")[0] in told.json()["error"]["message"]


@pytest.fixture(scope="module")
def served(made: Made) -> Iterator[TestClient]:
    with chat_service(made.studio, made.run(), language="ja") as service, TestClient(service.app) as client:
        yield client


def test_what_asks_for_nothing_more_is_taken(served: TestClient) -> None:
    fields = {"n": 1, "stream_options": {"include_usage": True}, "user": "me", "tool_choice": None, "logprobs": False}
    found = served.post(CHAT, json=body(BASE_NAME, max_tokens=600, **fields)).json()
    assert found["usage"]["total_tokens"] <= 512  # as far as the model reads


def test_hints_are_those_of_the_exports_files(made: Made, tmp_path: Path) -> None:
    run = made.run(name="My run")
    made_there = made.studio.exports.make(run, spec=ExportSpec(prompts=1))
    unpack, serve = (shlex.split(line) for line in hints(made.studio, made_there)[0].commands)
    subprocess.run(unpack, check=True)
    folder = Path(serve[serve.index("--lora-modules") + 1].partition("=")[2])
    assert (folder / "adapter_config.json").is_file()
    assert (folder / "chat_template.jinja").is_file()
    assert serve[2] == str(made.models / "llama")
    assert serve[serve.index("--max-lora-rank") + 1] == "8"  # the run's is 4
    dora = made.run(adapters=[save_plain(tmp_path / str(seed), seed=seed, use_dora=True) for seed in (1, 2)])
    first = hints(made.studio, made_there.model_copy(update={"run": dora}))[0]
    assert (first.program, first.commands) == ("vLLM", ())


def test_runs_that_cannot_be_served_are_told(made: Made, tmp_path: Path) -> None:
    reward = with_changes(made.studio.default_spec(made.version), {"method.kind": "reward"})
    made.studio.store.add_run("scores", "Scores", reward, Queued())
    moved = shutil.copytree(made.models / "llama", tmp_path / "moved")
    changed = made.run(base=moved)
    tiny_model(seed=9).save_pretrained(moved)
    for run, step, key in (
        ("nobody", None, "error.run.unknown"),
        ("scores", None, "error.run.scores"),
        (made.run(), 5, "error.run.no_checkpoint"),
        (changed, None, "error.compare.base_changed"),
    ):
        with pytest.raises((InputError, ModelError)) as told, chat_service(made.studio, run, step):
            pass
        assert told.value.key == key
