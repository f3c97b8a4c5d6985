"""Answers of a GGUF file as anybody gets them: llama-cpp-python alone, in a process of its own.

Run as a script: reads a JSON request from standard input, writes `answers.json` and `scores.safetensors` into the
folder the request names. It imports nothing of the studio, so that what it shows holds without the studio.
"""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from llama_cpp.llama_chat_format import Jinja2ChatFormatter
from numpy.typing import NDArray
from safetensors.numpy import save_file

_BATCH = 256


def main() -> None:
    request: dict[str, Any] = json.load(sys.stdin)
    words = llama_cpp.Llama(request["file"], vocab_only=True, verbose=False)
    prompts = [_rendered(words, messages, None) for messages in request["prompts"]]
    rendered = [_rendered(words, each["messages"], each["tools"]) for each in request["conversations"]]
    longest = max(
        [len(ids) + request["max_new_tokens"] for ids in prompts] + [len(each["ids"]) for each in request["lessons"]]
    )
    llama = llama_cpp.Llama(
        request["file"],
        lora_path=request["adapter"],
        n_ctx=longest + 1,
        n_batch=_BATCH,
        n_threads=request["threads"],
        n_threads_batch=request["threads"],
        verbose=False,
    )
    answers, scores = [], {}
    for i, ids in enumerate(prompts):
        first, answer = _answer(llama, ids, request["max_new_tokens"])
        scores[str(i)] = first
        answers.append({"ids": answer, "text": _text(llama, answer)})
    found = {
        "program": f"llama.cpp (llama-cpp-python {llama_cpp.__version__})",
        "answers": answers,
        "perplexity": _perplexity(llama, request["lessons"]),
        "rendered": rendered,
    }
    folder = Path(request["folder"])
    save_file(scores, folder / "scores.safetensors")
    (folder / "answers.json").write_text(json.dumps(found), encoding="utf-8")


def _vocab(llama: llama_cpp.Llama) -> Any:
    return llama_cpp.llama_model_get_vocab(llama.model)


def _rendered(llama: llama_cpp.Llama, messages: list[Any], tools: list[Any] | None) -> list[int]:
    """A conversation by the file's own template, in tokens by its own tokenizer."""
    first, end = (
        llama_cpp.llama_vocab_get_text(_vocab(llama), token).decode() if token >= 0 else ""
        for token in (llama.token_bos(), llama.token_eos())
    )
    template = llama.metadata["tokenizer.chat_template"]
    text = Jinja2ChatFormatter(template, eos_token=end, bos_token=first)(messages=messages, tools=tools or None).prompt
    return llama.tokenize(text.encode(), add_bos=False, special=True)


def _answer(llama: llama_cpp.Llama, prompt: list[int], most: int) -> tuple[NDArray[np.float32], list[int]]:
    """Scores of the first token, and the greedy answer without what ended it."""
    _forget(llama)
    scores = first = next(_scores(llama, prompt, 0, len(prompt) - 1))
    ids: list[int] = []
    while len(ids) < most:
        token = int(scores.argmax())
        if llama_cpp.llama_vocab_is_eog(_vocab(llama), token):
            break
        ids.append(token)
        scores = next(_scores(llama, [token], len(prompt) + len(ids) - 1, 0))
    return first, ids


def _perplexity(llama: llama_cpp.Llama, lessons: list[dict[str, Any]]) -> float | None:
    total, count = 0.0, 0
    for lesson in lessons:
        ids, start = lesson["ids"], lesson["start"]
        _forget(llama)
        for wanted, scores in zip(ids[start:], _scores(llama, ids[:-1], 0, start - 1), strict=True):
            exact = scores.astype(np.float64)
            top = exact.max()
            total += top + math.log(np.exp(exact - top).sum()) - exact[wanted]
            count += 1
    return math.exp(total / count) if count else None


def _forget(llama: llama_cpp.Llama) -> None:
    memory = llama_cpp.llama_get_memory(llama.ctx)
    assert memory is not None
    llama_cpp.llama_memory_clear(memory, True)


def _scores(llama: llama_cpp.Llama, ids: list[int], past: int, start: int) -> Iterator[NDArray[np.float32]]:
    """Scores of the token after each one from `start` on; the first stands at the position `past`. Never more of them
    are held than those of a batch."""
    for place in range(0, len(ids), _BATCH):
        part = ids[place : place + _BATCH]
        batch = llama_cpp.llama_batch_init(len(part), 0, 1)
        batch.n_tokens = len(part)
        for i, token in enumerate(part):
            batch.token[i], batch.pos[i] = token, past + place + i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            batch.logits[i] = place + i >= start
        code = llama_cpp.llama_decode(llama.ctx, batch)
        llama_cpp.llama_batch_free(batch)
        if code:
            raise RuntimeError(f"llama_decode: {code}")
        for i in range(max(0, start - place), len(part)):
            row = llama_cpp.llama_get_logits_ith(llama.ctx, i)
            yield np.ctypeslib.as_array(row, shape=(llama.n_vocab(),)).copy()


def _text(llama: llama_cpp.Llama, ids: list[int]) -> str:
    # An answer may be cut within a sign of several bytes; transformers writes the same sign for that.
    text = llama.detokenize(ids).decode(errors="replace")
    # Where every text is begun with a space, that one is not part of it.
    begun = llama.metadata.get("tokenizer.ggml.add_space_prefix") == "true"
    return text.removeprefix(" ") if begun else text


if __name__ == "__main__":
    main()
