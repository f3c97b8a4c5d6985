"""Text from a model, token by token, for several prompts in one batch.

Rows are padded on the left and never see each other. Each row may run through another adapter of the same base
model (PEFT's mixed batches, https://huggingface.co/docs/peft/developer_guides/lora#inference-with-different-lora-adapters-in-the-same-batch):
base and tuned answer from one set of weights. Sampling draws from generators of its own, so that a run that trains in
the same process goes on undisturbed.
"""

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from studio.data.records import Message, Tool
from studio.data.tokens import prompt_text
from studio.errors import DataError, ModelError
from studio.models.catalog import UNLIMITED_CONTEXT
from studio.models.folder import context_length

BASE = "__base__"  # PEFT's name for a row that no adapter touches
_REPLACEMENT = "\ufffd"


@dataclass(frozen=True, slots=True)
class Sampling:
    """`temperature` 0 takes the likeliest token each time; then `top_p` and `seed` do nothing.

    `top_p`: only the likeliest tokens that together reach this probability are drawn from (Holtzman et al. 2019,
    arXiv:1904.09751). Every row draws from the same `seed`: equal scores give equal answers.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 128
    seed: int = 0


class TextStream:
    """Decodes a growing answer. Its text only ever grows, and never ends in a character that may still be completed."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.ids: list[int] = []
        self.text = ""

    def push(self, token: int) -> str:
        """The text after one more token. Bytes of a character that is not whole yet are held back."""
        self.ids.append(token)
        text = decode(self._tokenizer, self.ids).rstrip(_REPLACEMENT)
        if len(text) > len(self.text):
            self.text = text
        return self.text

    def end(self) -> str:
        """The text when nothing follows any more: bytes that are no character are shown as such."""
        self.text = decode(self._tokenizer, self.ids)
        return self.text


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Token ids as the text they stand for, special tokens left out."""
    text = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text


@dataclass(slots=True)
class Answer:
    """One row of a batch as it grows. `tokens` leaves out the end token; times are the model's, in seconds from the
    start: `first_token_seconds` covers the prompt, `seconds` everything up to the row's last token."""

    stream: TextStream
    tokens: int = 0
    seconds: float = 0.0
    first_token_seconds: float | None = None
    finished: bool = False
    stopped_by_itself: bool = False

    @property
    def text(self) -> str:
        return self.stream.text


class Generation:
    """A batch of answers in the making; `step` adds one token to each row that is not finished.

    `model` is any causal language model, a PEFT model when `adapters` names one per row (`BASE` for none). Each step
    takes `lock`, so that several generations can share the model's weights.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase | Sequence[PreTrainedTokenizerBase],
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        adapters: Sequence[str] | None = None,
        vocabularies: Sequence[int | None] | None = None,
        lock: AbstractContextManager[object] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`tokenizer`: one for all rows, or one for each, which then ends where its own says so. `vocabularies`: how
        many tokens each row may choose from, where that is not all.

        Raises ModelError when a prompt leaves no room for an answer."""
        longest = max(len(prompt) for prompt in prompts)
        context = model_context(model)
        if longest >= context:
            raise ModelError("error.compare.too_long", tokens=longest, context=context)
        tokenizers = list(tokenizer) if isinstance(tokenizer, Sequence) else [tokenizer] * len(prompts)
        self.answers = [Answer(TextStream(own)) for own in tokenizers]
        self.first_scores: torch.Tensor | None = None
        self._model = model
        self._sampling = sampling
        self._adapters = list(adapters) if adapters is not None else None
        self._vocabularies = vocabularies
        self._lock = lock or nullcontext()
        self._clock = clock
        self._room = min(sampling.max_new_tokens, context - longest)
        stops = {id(own): stop_ids(own, model) for own in tokenizers}
        self._stops = [stops[id(own)] for own in tokenizers]
        self._pad = int(tokenizers[0].pad_token_id or 0)  # type: ignore[arg-type]
        device = model.device
        padded = [[self._pad] * (longest - len(p)) + list(p) for p in prompts]
        mask = [[0] * (longest - len(p)) + [1] * len(p) for p in prompts]
        self._ids = torch.tensor(padded, device=device)
        self._mask = torch.tensor(mask, device=device)
        self._cache: Any = None
        self._takes_positions = "position_ids" in inspect.signature(inner(model).forward).parameters
        self._generators = [torch.Generator().manual_seed(sampling.seed) for _ in prompts]
        self._seconds = 0.0

    @property
    def done(self) -> bool:
        return all(answer.finished for answer in self.answers)

    def step(self) -> None:
        """One token more for every unfinished row."""
        began = self._clock()
        with self._lock:
            scores = self._forward()
        if not bool(torch.isfinite(scores).all()):
            raise ModelError("error.compare.not_finite")
        for row, tokens in zip(scores, self._vocabularies or (), strict=bool(self._vocabularies)):
            if tokens is not None:
                row[tokens:] = -torch.inf
        if self.first_scores is None:
            self.first_scores = scores
        known = self._vocabularies or [None] * len(scores)
        tokens = [self._choose(row[:count], i) for i, (row, count) in enumerate(zip(scores, known, strict=True))]
        self._seconds += self._clock() - began
        for answer, token, stops in zip(self.answers, tokens, self._stops, strict=True):
            if not answer.finished:
                self._take(answer, token, stops)
        self._ids = torch.tensor([[t] for t in tokens], device=self._ids.device)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)

    def run(self) -> list[str]:
        """All answers, whole."""
        while not self.done:
            self.step()
        return [answer.text for answer in self.answers]

    def _forward(self) -> torch.Tensor:
        """Scores of the next token, one row each, as float32 on the CPU."""
        inputs: dict[str, Any] = {"input_ids": self._ids, "attention_mask": self._mask, "use_cache": True}
        if self._takes_positions:
            positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)
            inputs["position_ids"] = positions[:, -self._ids.shape[1] :]
        if self._cache is not None:
            inputs["past_key_values"] = self._cache
        if self._adapters is not None:
            inputs["adapter_names"] = self._adapters
        with torch.no_grad():
            output = self._model(**inputs)
        self._cache = output.past_key_values
        return output.logits[:, -1].float().cpu()

    def _choose(self, scores: torch.Tensor, row: int) -> int:
        if self.answers[row].finished:
            return self._pad
        if self._sampling.temperature <= 0:
            return int(scores.argmax())
        return sample(scores, self._sampling, self._generators[row])

    def _take(self, answer: Answer, token: int, stops: frozenset[int]) -> None:
        answer.seconds = self._seconds
        if answer.first_token_seconds is None:
            answer.first_token_seconds = self._seconds
        if token in stops:
            answer.stream.end()
            answer.finished = answer.stopped_by_itself = True
            return
        answer.tokens += 1
        answer.stream.push(token)
        answer.finished = answer.tokens >= self._room


def sample(scores: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """A token drawn from the scores (one row, on the CPU) at a temperature above 0."""
    ordered, ids = torch.softmax(scores.double() / sampling.temperature, dim=-1).sort(descending=True, stable=True)
    before = ordered.cumsum(dim=-1) - ordered
    ordered[(before >= sampling.top_p) & (before > 0)] = 0
    return int(ids[torch.multinomial(ordered, 1, generator=generator)])


def scores_equal(scores: torch.Tensor | None, dtype: torch.dtype) -> bool:
    """Whether all rows are equal but for the rounding of `dtype`: rows of a batch may be summed in another order."""
    if scores is None:
        return False
    tolerance = 4 * torch.finfo(dtype).eps * float(scores.abs().max())
    return bool((scores - scores[:1]).abs().max() <= tolerance)


def sample_answers(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
) -> list[str]:
    """The likeliest way to go on from each prompt (token ids), in one batch. The model's modes and all random numbers
    stay as they were. Of a prompt that leaves no room for an answer only the end is read."""
    if not prompts:
        return []
    room = max(1, model_context(model) - max_new_tokens)
    with _evaluating(model):
        return Generation(
            model, tokenizer, [prompt[-room:] for prompt in prompts], Sampling(max_new_tokens=max_new_tokens)
        ).run()


def render_prompt(
    messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase, tools: Sequence[Tool] = ()
) -> list[int]:
    """Token ids that the answer follows: the very ones that training put before it. Raises ModelError when the model's
    chat template refuses these messages (a system message, for some)."""
    try:
        text = prompt_text(messages, tokenizer, tools)
    except DataError as error:
        raise ModelError("error.model.template", reason=error.values.get("reason", error.message())) from error
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])  # type: ignore[arg-type]


def stop_ids(tokenizer: PreTrainedTokenizerBase, model: Any) -> frozenset[int]:
    """Tokens that end an answer: the tokenizer's end token, those of the model's generation settings, and the special
    token its chat template puts after an answer."""
    found: set[int] = set()
    for ends in (tokenizer.eos_token_id, model.generation_config.eos_token_id):
        if ends is not None:
            found.update(ends if isinstance(ends, list) else [ends])  # type: ignore[arg-type]
    turn_end = _turn_end(tokenizer)
    if turn_end is not None:
        found.add(turn_end)
    return frozenset(found)


def _turn_end(tokenizer: PreTrainedTokenizerBase) -> int | None:
    mark = "mark"
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": mark}]
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    except TemplateError:
        return None
    ids = tokenizer.encode(text.rpartition(mark)[2].lstrip(), add_special_tokens=False)
    return ids[0] if ids and ids[0] in tokenizer.added_tokens_decoder else None


def model_context(model: Any) -> int:
    """The longest sequence the model was made for, in tokens."""
    return context_length(model.config.to_dict()) or UNLIMITED_CONTEXT


def inner(model: Any) -> Any:
    """The model that PEFT wraps, or the model itself."""
    from peft import PeftModel

    return model.get_base_model() if isinstance(model, PeftModel) else model


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Dropout off for a while; every part's mode comes back as it was."""
    training: list[torch.nn.Module] = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
