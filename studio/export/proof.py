"""The proof of an export: what plain PEFT answers with it is what the run's adapter answers here."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.data.records import Message
from studio.errors import ExportError
from studio.export import plain
from studio.runs.exports import Proof

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

PROMPTS = 4
ANSWER_TOKENS = 48
_PROMPT_TOKENS = 512
_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class ProofAnswer:
    """A greedy answer: its tokens without the end token, and their text."""

    ids: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Lesson:
    """Tokens of a prompt and the answer that is expected to it, which begins at `start` and ends with the end token."""

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as JSON messages (with a system turn, tools, their calls and results, or Japanese), and the tokens
    that the run's tokenizer writes it in."""

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...]
    ids: tuple[int, ...]
    opened: bool
    """Whether it ends with what asks for an answer (`add_generation_prompt`)."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the run's adapter answers: greedy answers and first-token scores, with the settings they were made by.
    `perplexity`: over all answer tokens of the `lessons` (natural exponential of their mean negative log-likelihood);
    None where there are none."""

    prompts: tuple[tuple[Message, ...], ...]
    answers: tuple[ProofAnswer, ...]
    scores: "tuple[torch.Tensor, ...]"
    stops: tuple[int, ...]
    device: str
    dtype: "torch.dtype"
    lessons: tuple[Lesson, ...] = ()
    perplexity: float | None = None
    conversations: tuple[Conversation, ...] = ()


def expect(
    model: Any,
    tokenizer: "PreTrainedTokenizerBase",
    adapter: str,
    prompts: Sequence[Sequence[Message]],
    lock: AbstractContextManager[object],
) -> Expected:
    """Answers of a run's adapter to the first few prompts of handy length, given as the Compare tab gives them."""
    from studio.models.generation import Generation, Sampling, model_context, render_prompt, stop_ids

    longest = min(_PROMPT_TOKENS, model_context(model) - ANSWER_TOKENS)
    handy = [m for m in prompts if len(render_prompt(m, tokenizer)) <= longest][:PROMPTS]
    shown = tuple(tuple(m) for m in handy) or ((Message("user", "Hello!"),),)
    answers, scores = [], []
    for messages in shown:
        generation = Generation(
            model,
            tokenizer,
            [render_prompt(messages, tokenizer)],
            Sampling(max_new_tokens=ANSWER_TOKENS),
            adapters=[adapter],
            lock=lock,
        )
        generation.run()
        stream = generation.answers[0].stream
        answers.append(ProofAnswer(tuple(stream.ids), stream.end()))
        assert generation.first_scores is not None
        scores.append(generation.first_scores[0])
    stops = tuple(sorted(stop_ids(tokenizer, model)))
    return Expected(shown, tuple(answers), tuple(scores), stops, str(model.device), model.dtype)


def prove(expected: Expected, base: Path | None, adapter: Path, scratch: Path) -> Proof:
    """Load the exported files in `adapter` in another process and compare: an adapter of the model at `base`, or a
    whole model. `scratch` is an empty folder.

    Raises ExportError when they cannot be loaded there.
    """
    from safetensors.torch import load_file

    request = {
        "base": str(base) if base else None,
        "adapter": str(adapter),
        "folder": str(scratch),
        "device": expected.device,
        "dtype": str(expected.dtype).removeprefix("torch."),
        "prompts": [[{"role": m.role, "content": m.content} for m in messages] for messages in expected.prompts],
        "stops": list(expected.stops),
        "max_new_tokens": ANSWER_TOKENS,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(Path(plain.__file__))],
            input=json.dumps(request),
            text=True,
            encoding="utf-8",
            capture_output=True,
            cwd=scratch,
            timeout=_SECONDS,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ExportError("error.export.not_loaded", reason=f"> {_SECONDS:.0f} s") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise ExportError("error.export.not_loaded", reason=(lines[-1] if lines else f"exit {done.returncode}")[:300])
    found = json.loads((scratch / "answers.json").read_text(encoding="utf-8"))
    answers = [ProofAnswer(tuple(answer["ids"]), answer["text"]) for answer in found]
    scores = load_file(scratch / "scores.safetensors")
    return compare_outputs(expected, answers, [scores[str(i)] for i in range(len(answers))])


def compare_outputs(expected: Expected, answers: Sequence[ProofAnswer], scores: "Sequence[torch.Tensor]") -> Proof:
    """Whether answers are equal, and scores equal within the rounding of the numbers they were computed in."""
    import torch

    equal = sum(a == b for a, b in zip(answers, expected.answers, strict=True))
    given, wanted = torch.stack(list(scores)), torch.stack(expected.scores)
    largest = float((given - wanted).abs().max())  # not a number, if any is none
    passed = equal == len(expected.answers) and largest <= 64 * torch.finfo(expected.dtype).eps * float(
        wanted.abs().max()
    )
    return Proof(prompts=len(expected.answers), equal=equal, max_score_difference=largest, passed=passed)
