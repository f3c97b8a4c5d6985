"""The proof of a GGUF file: what llama.cpp answers with it is what the run answers here."""

import json
from collections.abc import Callable
from pathlib import Path

from studio.errors import ExportError
from studio.export.llama_cpp_kinds import has_llama_cpp
from studio.export.proof import ANSWER_TOKENS, Expected, ProofAnswer, compare_outputs, run_apart
from studio.runs.exports import FEW_BITS, Proof

_ANSWERS = Path(__file__).with_name("llama_cpp_answers.py")


def prove_gguf(
    expected: Expected,
    file: Path,
    scratch: Path,
    *,
    kind: str,
    adapter: Path | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Proof:
    """Load a GGUF file in llama.cpp, with the adapter that is another one, and compare. `kind`: the numbers of the
    file; few bits pass whatever they answer, if every conversation comes to the same tokens. `scratch` is an empty
    folder.

    Raises ExportError when llama-cpp-python is not installed or cannot run the file, Stopped soon after `stopping` says
    so.
    """
    import torch
    from safetensors.torch import load_file

    if not has_llama_cpp():
        raise ExportError("error.gguf.proof_needs_llama_cpp")
    request = {
        "file": str(file),
        "adapter": str(adapter) if adapter else None,
        "folder": str(scratch),
        "threads": torch.get_num_threads(),
        "prompts": [[{"role": m.role, "content": m.content} for m in messages] for messages in expected.prompts],
        "lessons": [{"ids": lesson.ids, "start": lesson.start} for lesson in expected.lessons],
        "conversations": [{"messages": c.messages, "tools": c.tools} for c in expected.conversations],
        "max_new_tokens": ANSWER_TOKENS,
    }
    try:
        run_apart(_ANSWERS, request, scratch, stopping)
    except ExportError as error:
        raise ExportError("error.gguf.not_loaded", file=file.name, reason=error.values.get("reason", "")) from error
    found = json.loads((scratch / "answers.json").read_text(encoding="utf-8"))
    scores = load_file(scratch / "scores.safetensors")
    proof = compare_outputs(
        expected,
        [ProofAnswer(tuple(answer["ids"]), answer["text"]) for answer in found["answers"]],
        [scores[str(i)] for i in range(len(found["answers"]))],
        perplexity=found["perplexity"],
        rendered=[tuple(ids) for ids in found["rendered"]],
        program=found["program"],
        tolerance=None,
    )
    if kind in FEW_BITS:
        return proof.model_copy(update={"passed": proof.rendered == proof.conversations})
    return proof
