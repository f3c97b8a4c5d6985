"""Command lines with which other programs serve an export, as far as each of them takes what it is."""

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from studio.runs.exports import Target

# vllm/config/lora.py, MaxLoRARanks (vLLM 0.27): the least of them that holds an adapter's rank is to be named.
_VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True, slots=True)
class ServingHint:
    """How `program` serves an export: what to type, one line after the other, and the key of a sentence to say with it.
    Without commands it cannot, and the sentence says why and what can be done."""

    program: str
    commands: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Exported:
    """An export as far as it matters to who serves it. `path`: of `adapter` and `merged` the folder, or the zip of it;
    of the others the GGUF file, with its Modelfile beside it. `base`: folder or Hub name of the base model, and of the
    latter the `revision`, if one was asked for. `whole`: of a run that trained all weights, so that its `adapter` is a
    model. `rank`: the highest of any layer. `run` is "" where none made it."""

    target: Target
    path: Path
    name: str
    run: str
    step: int | None
    workspace: Path
    base: str
    revision: str = ""
    whole: bool = False
    rank: int = 0
    dora: bool = False
    new_tokens: bool = False


def serving_hints(made: Exported) -> tuple[ServingHint, ...]:
    """The program that fits the export best comes first, the studio's own server last; all listen on this machine
    alone. Paths are quoted for a POSIX shell."""
    own = _studio(made)
    if made.target == "gguf":
        return (_ollama(made), _llama_server(made), *own)
    if made.target == "gguf-adapter":
        return (_llama_server(made), *own)
    if made.path.suffix.lower() != ".zip":
        return (_vllm(made), _transformers(made), *own)
    folder = made.path.with_suffix("")
    unpack = shlex.join(["python3", "-m", "zipfile", "-e", str(made.path), str(folder)])
    unpacked = replace(made, path=folder)
    hints = (_vllm(unpacked), _transformers(unpacked))
    return (*(replace(hint, commands=(unpack, *hint.commands)) if hint.commands else hint for hint in hints), *own)


def _studio(made: Exported) -> tuple[ServingHint, ...]:
    if not made.run:  # of what was made elsewhere it has nothing to serve
        return ()
    words = ["studio", "serve", made.run, *([] if made.step is None else ["--step", str(made.step)])]
    words += ["--workspace", str(made.workspace)]
    return (_hint("Fine-Tuning Studio", words, note="ui.export.serve.studio"),)


def served_name(made: Exported) -> str:
    """Letters and digits of the run's name, where they are ASCII: a name that every program takes."""
    return re.sub(r"[^a-z0-9]+", "-", made.name.lower()).strip("-") or f"run-{made.run}"


def _vllm(made: Exported) -> ServingHint:
    local, name = ["--host", "127.0.0.1"], served_name(made)
    if _is_whole(made):
        return _hint("vLLM", ["vllm", "serve", str(made.path), "--served-model-name", name, *local])
    # vllm/lora/peft_helper.py, `_validate_features`: of DoRA and of layers trained as a whole it takes none.
    if made.dora:
        return ServingHint("vLLM", (), "ui.export.serve.vllm_dora")
    if made.new_tokens:
        return ServingHint("vLLM", (), "ui.export.serve.vllm_tokens")
    rank = next((most for most in _VLLM_RANKS if most >= made.rank), None)
    if rank is None:
        return ServingHint("vLLM", (), "ui.export.serve.vllm_rank")
    lora = ["--enable-lora", "--max-lora-rank", str(rank), "--lora-modules", f"{name}={made.path}"]
    template = ["--chat-template", str(made.path / "chat_template.jinja")]
    base = [made.base, *(["--revision", made.revision] if made.revision else [])]
    return _hint("vLLM", ["vllm", "serve", *base, *lora, *template, *local])


def _transformers(made: Exported) -> ServingHint:
    if not _is_whole(made):  # transformers 5.24 looks for a config.json, which an adapter has not
        return ServingHint("Transformers", (), "ui.export.serve.transformers_adapter")
    return _hint("Transformers", ["transformers", "serve", str(made.path)], note="ui.export.serve.transformers")


def _ollama(made: Exported) -> ServingHint:
    name = served_name(made)
    create = ["ollama", "create", name, "-f", str(made.path.with_name("Modelfile"))]
    return _hint("Ollama", create, ["ollama", "run", name])


def _llama_server(made: Exported) -> ServingHint:
    if made.target == "gguf":
        return _hint("llama.cpp", ["llama-server", "-m", str(made.path), "--alias", served_name(made)])
    command = ["llama-server", "-m", "BASE.gguf", "--lora", str(made.path)]
    return _hint("llama.cpp", command, note="ui.export.serve.llama_base")


def _is_whole(made: Exported) -> bool:
    return made.whole or made.target == "merged"


def _hint(program: str, *commands: list[str], note: str = "") -> ServingHint:
    return ServingHint(program, tuple(shlex.join(words) for words in commands), note)
