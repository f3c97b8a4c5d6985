"""Hints for other servers: only what fits, safe in a shell, and understood by the program where it is here."""

import shlex
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from studio.export.serving import Exported, served_name, serving_hints
from studio.messages import LANGUAGES, translate
from studio.runs.exports import NUMBERS
from studio.shell.command_line import build_parser
from tests.models.adapters import save_adapter
from tests.tiny import save_tiny

PLAIN = Exported("adapter", Path("/tmp/out"), "My run", "20260101-1", None, Path("/tmp/w"), "owner/base", rank=12)


def commands(made: Exported) -> dict[str, tuple[str, ...]]:
    return {hint.program: hint.commands for hint in serving_hints(made)}


def words(made: Exported, program: str) -> list[str]:
    return shlex.split(commands(made)[program][0])


def option(line: list[str], name: str) -> str:
    return line[line.index(name) + 1]


@pytest.mark.parametrize("folder", ["/tmp/my files/it's", "/tmp/出力 フォルダー", "/tmp/$(rm -rf)"])
def test_paths_reach_the_program_as_they_are(folder: str) -> None:
    for target in NUMBERS:
        path = Path(folder) / ("model.gguf" if target.startswith("gguf") else "")
        for hint in serving_hints(replace(PLAIN, target=target, path=path)):
            given = [word for line in hint.commands for word in shlex.split(line)]
            outside = hint.program in ("Fine-Tuning Studio",) or not hint.commands
            assert outside or any(folder in word for word in given)
            assert not any(word.startswith(("rm", "fi")) for word in given)


def test_an_adapter_is_served_over_its_base_with_room_for_its_rank() -> None:
    line = words(PLAIN, "vLLM")
    assert line[:3] == ["vllm", "serve", "owner/base"]
    assert "--revision" not in line
    assert option(words(replace(PLAIN, revision="abc"), "vLLM"), "--revision") == "abc"
    assert option(line, "--max-lora-rank") == "16"
    assert option(line, "--lora-modules") == "my-run=/tmp/out"
    assert option(line, "--chat-template") == "/tmp/out/chat_template.jinja"
    assert option(words(replace(PLAIN, rank=16), "vLLM"), "--max-lora-rank") == "16"
    assert option(words(replace(PLAIN, rank=300), "vLLM"), "--max-lora-rank") == "320"


def test_a_zip_is_unpacked_first(tmp_path: Path) -> None:
    packed = tmp_path / "my adapter.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("chat_template.jinja", "")
    unpack, serve = commands(replace(PLAIN, path=packed))["vLLM"]
    subprocess.run(shlex.split(unpack), check=True)
    assert Path(option(shlex.split(serve), "--chat-template")).is_file()
    assert serving_hints(replace(PLAIN, path=packed, dora=True))[0].commands == ()


@pytest.mark.parametrize("change", [{"dora": True}, {"new_tokens": True}, {"rank": 600}])
def test_what_vllm_does_not_take_is_told_and_the_merged_model_offered(change: dict[str, int]) -> None:
    first = serving_hints(replace(PLAIN, **change))[0]  # type: ignore[arg-type]
    assert (first.program, first.commands) == ("vLLM", ())
    for language in LANGUAGES:
        assert translate(first.note, language)
    assert commands(replace(PLAIN, target="merged", **change))["vLLM"]  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"target": "merged"}, {"whole": True}])
def test_a_whole_model_needs_no_base(change: dict[str, object]) -> None:
    made = replace(PLAIN, **change)  # type: ignore[arg-type]
    assert words(made, "vLLM")[:3] == ["vllm", "serve", "/tmp/out"]
    assert words(made, "Transformers") == ["transformers", "serve", "/tmp/out"]
    assert all("owner/base" not in line for lines in commands(made).values() for line in lines)


def test_gguf_goes_to_ollama_and_llama_cpp() -> None:
    made = replace(PLAIN, target="gguf", path=Path("/tmp/out/m.gguf"))
    found = commands(made)
    assert found["Ollama"] == ("ollama create my-run -f /tmp/out/Modelfile", "ollama run my-run")
    assert found["llama.cpp"] == ("llama-server -m /tmp/out/m.gguf --alias my-run",)
    assert not found.keys() & {"vLLM", "Transformers"}
    adapter = words(replace(made, target="gguf-adapter"), "llama.cpp")
    assert option(adapter, "--lora") == "/tmp/out/m.gguf"


def test_a_name_in_japanese_becomes_one_that_programs_take() -> None:
    assert served_name(replace(PLAIN, name="日本語")) == "run-20260101-1"
    assert served_name(replace(PLAIN, name="Über 2.0 日本!")) == "ber-2-0"


def test_the_studios_own_command_is_understood() -> None:
    options = build_parser("en").parse_args(words(replace(PLAIN, step=4), "Fine-Tuning Studio")[1:])
    assert (options.action, options.run, options.step, options.workspace) == ("serve", "20260101-1", 4, Path("/tmp/w"))


def test_transformers_serves_whole_models_alone(tmp_path: Path) -> None:
    """Why no adapter is offered to it."""
    from transformers.cli.serving.model_manager import ModelManager

    model, adapter = save_tiny(tmp_path / "model"), save_adapter(tmp_path / "adapter")
    manager = ModelManager(force_model=str(model))
    assert str(model) in manager.loaded_models
    manager.shutdown()
    with pytest.raises(ValueError, match="Unrecognized model"):
        manager._load_model(str(adapter))
