"""The proof of an export: what the program that is to use it answers is what the run answers here."""

import inspect
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.data import records
from studio.data.records import Message
from studio.data.tokens import TemplateRefusal, prompt_text, tokenize, turns_of
from studio.errors import ExportError, Stopped
from studio.export import plain
from studio.export.conversations import CONVERSATIONS
from studio.runs.exports import Proof

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

ANSWER_TOKENS = 48
FIRST_TOKENS = 20
# Of 16- and 8-bit numbers: the share of the first tokens that are the same, and how far the perplexity may be off.
_LEAST_SAME, _MOST_OFF = 0.95, 0.01
_PROMPT_TOKENS = 512
_SECONDS = 3600.0
_LOOK_SECONDS = 0.2
_ROUNDING = 64
_MERGED_ROUNDING = 4096

Prompt = tuple[tuple[Message, ...], str]
"""What is asked, and the answer that is expected."""
Tell = Callable[[float], None]
Stopping = Callable[[], bool]


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
    that the run's tokenizer writes it in, those that ask for an answer included."""

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...]
    ids: tuple[int, ...]


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
    adapter: str | None,
    prompts: Sequence[Prompt],
    count: int,
    lock: AbstractContextManager[object] | None = None,
    *,
    tell: Tell = lambda share: None,
    stopping: Stopping = lambda: False,
) -> Expected:
    """Answers of a run to the first `count` prompts of handy length, given as the Compare tab gives them. `adapter`:
    its name on the model, where there may be several."""
    from studio.models.generation import Generation, Sampling, model_context, render_prompt, stop_ids

    longest = min(_PROMPT_TOKENS, model_context(model) - ANSWER_TOKENS)
    handy = [prompt for prompt in prompts if len(render_prompt(prompt[0], tokenizer)) <= longest][:count]
    asked = handy or [((Message("user", "Hello!"),), "")]
    answers, scores = [], []
    for number, (messages, _) in enumerate(asked, 1):
        _check(stopping)
        generation = Generation(
            model,
            tokenizer,
            [render_prompt(messages, tokenizer)],
            Sampling(max_new_tokens=ANSWER_TOKENS),
            adapters=[adapter] if adapter else None,
            lock=lock,
        )
        generation.run()
        stream = generation.answers[0].stream
        answers.append(ProofAnswer(tuple(stream.ids), stream.end()))
        assert generation.first_scores is not None
        scores.append(generation.first_scores[0])
        tell(number / len(asked))
    lessons = tuple(_lessons(asked, tokenizer, model_context(model)))
    return Expected(
        prompts=tuple(messages for messages, _ in asked),
        answers=tuple(answers),
        scores=tuple(scores),
        stops=tuple(sorted(stop_ids(tokenizer, model))),
        device=str(model.device),
        dtype=model.dtype,
        lessons=lessons,
        perplexity=_perplexity(model, lessons, adapter, lock, stopping),
        conversations=tuple(_conversations(tokenizer)),
    )


def _lessons(prompts: Sequence[Prompt], tokenizer: "PreTrainedTokenizerBase", longest: int) -> Iterator[Lesson]:
    for messages, answer in prompts:
        if answer:
            example = tokenize(records.Conversation(messages, answer), tokenizer, longest)
            if len(example.ids) > example.prompt_tokens:
                yield Lesson(example.ids, example.prompt_tokens)


def _perplexity(
    model: Any,
    lessons: Sequence[Lesson],
    adapter: str | None,
    lock: AbstractContextManager[object] | None,
    stopping: Stopping,
) -> float | None:
    import torch

    from studio.models.generation import inner

    takes_positions = "position_ids" in inspect.signature(inner(model).forward).parameters
    total, count = 0.0, 0
    for lesson in lessons:
        _check(stopping)
        ids = torch.tensor([lesson.ids], device=model.device)
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if takes_positions:
            inputs["position_ids"] = torch.arange(ids.shape[1], device=model.device)[None]
        if adapter:
            inputs["adapter_names"] = [adapter]
        with torch.no_grad(), lock or nullcontext():
            scores = model(**inputs).logits[0].float()
        answer = ids[0, lesson.start :]
        loss = torch.nn.functional.cross_entropy(scores[lesson.start - 1 : -1], answer, reduction="sum")
        total, count = total + float(loss), count + len(answer)
    return math.exp(total / count) if count else None


def _conversations(tokenizer: "PreTrainedTokenizerBase") -> Iterator[Conversation]:
    """Those that the template takes: some have no system turn, or know nothing of tools."""
    for messages, tools in CONVERSATIONS:
        try:
            text = prompt_text(messages, tokenizer, tools)
        except TemplateRefusal:
            continue
        ids: Any = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        yield Conversation(tuple(turns_of(messages)), tools, tuple(ids))


# By plain PEFT and Transformers


def prove(
    expected: Expected,
    base: Path | None,
    folder: Path,
    scratch: Path,
    *,
    numbers: str | None = None,
    merged: bool = False,
    stopping: Stopping = lambda: False,
) -> Proof:
    """Load the exported files in `folder` in another process and compare: an adapter of the model at `base`, or a whole
    model. `scratch` is an empty folder. `numbers`: those that the model is loaded in; None: those of the run. `merged`:
    the adapter is in the weights, which rounds otherwise.

    Raises ExportError when they cannot be loaded there, Stopped soon after `stopping` says so.
    """
    import torch
    from safetensors.torch import load_file

    own = str(expected.dtype).removeprefix("torch.")
    request = {
        "base": str(base) if base else None,
        "adapter": str(folder),
        "folder": str(scratch),
        "device": expected.device,
        "dtype": numbers or own,
        "prompts": [[{"role": m.role, "content": m.content} for m in messages] for messages in expected.prompts],
        "lessons": [{"ids": lesson.ids, "start": lesson.start} for lesson in expected.lessons],
        "conversations": [{"messages": c.messages, "tools": c.tools} for c in expected.conversations],
        "stops": list(expected.stops),
        "max_new_tokens": ANSWER_TOKENS,
    }
    run_apart(Path(plain.__file__), request, scratch, stopping)
    found = json.loads((scratch / "answers.json").read_text(encoding="utf-8"))
    answers = [ProofAnswer(tuple(answer["ids"]), answer["text"]) for answer in found["answers"]]
    scores = load_file(scratch / "scores.safetensors")
    exact = (numbers or own) == own and (not merged or expected.dtype == torch.float32)
    return compare_outputs(
        expected,
        answers,
        [scores[str(i)] for i in range(len(answers))],
        perplexity=found["perplexity"],
        rendered=[tuple(ids) for ids in found["rendered"]],
        program=found["program"],
        tolerance=(_MERGED_ROUNDING if merged else _ROUNDING) if exact else None,
    )


def run_apart(script: Path, request: dict[str, Any], scratch: Path, stopping: Stopping) -> None:
    """Run a Python file that knows nothing of the studio, with a JSON request, in a process of its own.

    Raises ExportError with its last words when it fails, Stopped soon after `stopping` says so.
    """
    with (scratch / "errors.txt").open("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=scratch,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"},
        )
        try:
            assert process.stdin is not None
            with process.stdin:
                process.stdin.write(json.dumps(request).encode())
            left = _SECONDS
            while (code := _wait(process)) is None:
                _check(stopping)
                left -= _LOOK_SECONDS
                if left < 0:
                    raise ExportError("error.export.not_loaded", reason=f"> {_SECONDS:.0f} s")
        except BrokenPipeError:  # it ended before it had read the request; its last words tell why
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        lines = errors.read().strip().splitlines()
    if code:
        raise ExportError("error.export.not_loaded", reason=(lines[-1] if lines else f"exit {code}")[:300])


def _wait(process: "subprocess.Popen[bytes]") -> int | None:
    try:
        return process.wait(_LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return None


# Comparing


def compare_outputs(
    expected: Expected,
    answers: Sequence[ProofAnswer],
    scores: "Sequence[torch.Tensor]",
    *,
    perplexity: float | None = None,
    rendered: Sequence[tuple[int, ...]] = (),
    program: str = "",
    tolerance: float | None = _ROUNDING,
) -> Proof:
    """What came of it. With a `tolerance` it passes when all answers are equal, and the scores but for their rounding:
    so many times the precision of the run's numbers. Without (16- and 8-bit numbers), when they are `close_enough`.
    Whatever the numbers, every conversation must come to the same tokens."""
    import torch

    equal = sum(a == b for a, b in zip(answers, expected.answers, strict=True))
    given, wanted = torch.stack(list(scores)), torch.stack(expected.scores)
    largest = float((given - wanted).abs().max())  # not a number, if any is none
    first = same_first_tokens(expected.answers, answers)
    both = None if perplexity is None or expected.perplexity is None else (expected.perplexity, perplexity)
    same = sum(a == b.ids for a, b in zip(rendered, expected.conversations, strict=True))
    if tolerance is not None:
        size = float(wanted.abs().max())
        passed = equal == len(answers) and largest <= tolerance * torch.finfo(expected.dtype).eps * size
    else:
        passed = close_enough(first, both)
    return Proof(
        program=program,
        prompts=len(expected.answers),
        equal=equal,
        first_tokens=first,
        max_score_difference=largest,
        perplexity=both,
        conversations=len(expected.conversations),
        rendered=same,
        passed=passed and same == len(expected.conversations),
    )


def close_enough(first_tokens: float, perplexity: tuple[float, float] | None) -> bool:
    """Whether 16- or 8-bit numbers did little harm."""
    off = abs(perplexity[1] / perplexity[0] - 1) if perplexity else 0.0
    return first_tokens >= _LEAST_SAME and off <= _MOST_OFF


def same_first_tokens(wanted: Sequence[ProofAnswer], given: Sequence[ProofAnswer]) -> float:
    """The share of the first tokens of all answers that are the same; of an answer that ends earlier, all that the
    other goes on with are not."""
    same = count = 0
    for one, other in zip(wanted, given, strict=True):
        a, b = one.ids[:FIRST_TOKENS], other.ids[:FIRST_TOKENS]
        same += sum(x == y for x, y in zip(a, b, strict=False))
        count += max(len(a), len(b))
    return same / count if count else 1.0


def _check(stopping: Stopping) -> None:
    if stopping():
        raise Stopped("error.stopped")
