"""How an export is loaded, target by target: code and commands that a reader copies."""

import shlex
from collections.abc import Mapping

from studio.export.facts import CardFacts
from studio.export.names import base_place
from studio.models.catalog import STARTER
from studio.runs.exports import ExportSpec

_ANSWER_TOKENS = 128
_ASKED = 'messages = [{"role": "user", "content": "Hello!"}]'


def python_code(facts: CardFacts, export: ExportSpec, files: Mapping[str, str]) -> str:
    """Python that loads the export and asks it something; nothing of the studio is needed but the starter's files."""
    if export.target.startswith("gguf"):
        return _llama_cpp(export, files)
    adapter = export.target == "adapter" and not facts.full
    starter = adapter and facts.base.source == STARTER
    base = "str(read_settings().starter)" if starter else repr(base_place(facts.base))
    revision = f", revision={facts.base.commit!r}" if facts.base.commit else ""
    numbers = export.kind or facts.dtype
    load = [
        f"base = {base}",
        f'model = AutoModelForCausalLM.from_pretrained(base, dtype="{numbers}"{revision})',
        *([_room(facts.vocabulary)] if facts.vocabulary else []),
        "model = PeftModel.from_pretrained(model, folder)",
    ]
    lines = [
        *(["from peft import PeftModel"] if adapter else []),
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        *(["from studio.settings import read_settings  # pip install finetuning-studio"] if starter else []),
        "",
        'folder = "."  # where this file lies',
        *(load if adapter else [f'model = AutoModelForCausalLM.from_pretrained(folder, dtype="{numbers}")']),
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        _ASKED,
        "inputs = tokenizer.apply_chat_template(",
        '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True',
        ")",
        "output = model.generate(",
        f"    **inputs, max_new_tokens={_ANSWER_TOKENS}, do_sample=False, eos_token_id={list(facts.stops)},",
        "    pad_token_id=tokenizer.pad_token_id,",
        ")",
        'answer = output[0, inputs["input_ids"].shape[1] :]',
        "print(tokenizer.decode(answer, skip_special_tokens=True))",
    ]
    return "\n".join(lines)


def commands(facts: CardFacts, export: ExportSpec, files: Mapping[str, str]) -> str:
    """Command lines of llama.cpp, and of Ollama where there is a Modelfile; "" where there are none."""
    if not export.target.startswith("gguf"):
        return ""
    file = shlex.quote(_gguf(files))
    model = f"-m {file}" if export.target == "gguf" else f"-m BASE.gguf --lora {file}"
    name = "".join(letter for letter in facts.name.lower() if letter.isascii() and letter.isalnum()) or "tuned"
    ollama = [f"ollama create {name} -f Modelfile", f"ollama run {name}"]
    return "\n".join(
        [
            f"llama-cli {model} --jinja --temp 0",
            f"llama-server {model} --jinja --port 8080",
            *(ollama if "Modelfile" in files else ()),
        ]
    )


def _llama_cpp(export: ExportSpec, files: Mapping[str, str]) -> str:
    file = _gguf(files)
    model = f"{file!r}" if export.target == "gguf" else f'"BASE.gguf", lora_path={file!r}'
    return "\n".join(
        [
            "from llama_cpp import Llama",
            "",
            f"model = Llama({model}, n_ctx=0, verbose=False)  # in the folder where this file lies",
            _ASKED,
            f"output = model.create_chat_completion(messages, max_tokens={_ANSWER_TOKENS}, temperature=0)",
            'print(output["choices"][0]["message"]["content"])',
        ]
    )


def _gguf(files: Mapping[str, str]) -> str:
    return next((name for name in files if name.endswith(".gguf")), "MODEL.gguf")


def _room(rows: int) -> str:
    return f"model.resize_token_embeddings({rows}, mean_resizing=False)  # room for the new tokens"
