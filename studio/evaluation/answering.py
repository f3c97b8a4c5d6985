"""Many questions to one model: greedy answers in batches, and how likely it finds the answers that were expected.

A batch holds prompts of like length. Rows that have ended leave it, so that the last long answer does not keep all
others computing; answers are those of one prompt at a time, but for the rounding of sums.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedTokenizerBase

from studio.data.tokens import UNTRAINED, Example
from studio.errors import ModelError, Stopped
from studio.models.generation import decode, inner, model_context, stop_ids

# Prompts answered at a time, bytes that what the model keeps of them may take, and scores held at a time where answers
# are judged (128 MB in float32).
ROWS = 128
_CACHE_BYTES = 2**29
_MOST_SCORES = 2**25
# A batch is made smaller when so many of its rows have ended.
_ENDED = 0.25


@dataclass(frozen=True, slots=True)
class Speaker:
    """A model as one contestant uses it. `adapter`: the name of the adapter its rows run through, BASE for none; None
    where the model knows no adapters. `vocabulary`: how many tokens it may choose from, where that is not all.
    `lock` is taken for each step, so that others can use the same weights between them."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    adapter: str | None = None
    vocabulary: int | None = None
    lock: AbstractContextManager[object] = field(default_factory=nullcontext)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, last: int, cache: Any = None) -> Any:
        """The output for `ids` (rows, tokens), with the scores of the `last` tokens at least. `mask` (rows, all tokens
        so far) is 0 where a row is padded, on the left."""
        known = inspect.signature(inner(self.model).forward).parameters
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "use_cache": cache is not None or last == 1}
        if "position_ids" in known:
            inputs["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        if "logits_to_keep" in known:
            inputs["logits_to_keep"] = last
        if cache is not None:
            inputs["past_key_values"] = cache
        if self.adapter is not None:
            inputs["adapter_names"] = [self.adapter] * len(ids)
        with self.lock, torch.no_grad():
            return self.model(**inputs)


@dataclass(frozen=True, slots=True)
class Spoken:
    """An answer. `place`: of which prompt; `ids`: its tokens without the end token; `stopped` by itself."""

    place: int
    text: str
    ids: tuple[int, ...]
    stopped: bool

    @property
    def tokens(self) -> int:
        return len(self.ids)


def speak(
    speaker: Speaker,
    prompts: Sequence[Sequence[int]],
    most_tokens: int,
    *,
    rows: int = ROWS,
    stop: Callable[[], bool] | None = None,
    ended: Callable[[Sequence[int]], bool] | None = None,
) -> Iterator[list[Spoken]]:
    """The likeliest answer to each prompt (token ids), batch by batch, longest prompts first. An answer ends early
    where `ended` says so of its tokens.

    Raises ModelError where a prompt leaves no room for an answer or the scores are no numbers, Stopped soon after
    `stop` says so.
    """
    context = model_context(speaker.model)
    longest = max((len(prompt) for prompt in prompts), default=0)
    if longest >= context:
        raise ModelError("error.compare.too_long", tokens=longest, context=context)
    order = sorted(range(len(prompts)), key=lambda place: -len(prompts[place]))
    while order:
        room = min(most_tokens, context - len(prompts[order[0]]))
        held = (len(prompts[order[0]]) + room) * _cache_bytes(speaker.model)
        count = max(1, min(rows, _CACHE_BYTES // held))
        places, order = order[:count], order[count:]
        yield _batch(speaker, places, [prompts[place] for place in places], room, stop, ended)


def _cache_bytes(model: Any) -> int:
    """At most so many bytes are kept for each token: a key and a value of every layer."""
    config = inner(model).config.get_text_config()
    return 2 * config.num_hidden_layers * config.hidden_size * model.dtype.itemsize


def _batch(
    speaker: Speaker,
    places: Sequence[int],
    prompts: Sequence[Sequence[int]],
    room: int,
    stop: Callable[[], bool] | None,
    ended: Callable[[Sequence[int]], bool] | None,
) -> list[Spoken]:
    ends = stop_ids(speaker.tokenizer, speaker.model)
    ids, mask = _left_padded(prompts, speaker)
    answers: list[list[int]] = [[] for _ in prompts]
    stopped = [False] * len(prompts)
    rows = list(range(len(prompts)))  # those in the batch
    going = set(rows)
    cache: Any = None
    while going:
        if stop and stop():
            raise Stopped("error.stopped")
        output = speaker.forward(ids, mask, 1, cache)
        cache = output.past_key_values
        scores = output.logits[:, -1].float()
        if not bool(torch.isfinite(scores).all()):
            raise ModelError("error.compare.not_finite")
        if speaker.vocabulary is not None:
            scores[:, speaker.vocabulary :] = -torch.inf
        chosen = scores.argmax(dim=1).tolist()
        for row, token in zip(rows, chosen, strict=True):
            if row not in going:
                continue
            if token in ends:
                stopped[row] = True
                going.discard(row)
                continue
            answers[row].append(token)
            if len(answers[row]) >= room or (ended and ended(answers[row])):
                going.discard(row)
        ids = torch.tensor(chosen, device=ids.device)[:, None]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        if going and type(cache) is DynamicCache and len(rows) - len(going) >= _ENDED * len(rows):
            kept = [i for i, row in enumerate(rows) if row in going]
            where = torch.tensor(kept, device=ids.device)
            cache.batch_select_indices(where)
            rows, ids, mask = [rows[i] for i in kept], ids[where], mask[where]
    return [
        Spoken(place, _text(speaker, answer, by_itself), tuple(answer), by_itself)
        for place, answer, by_itself in zip(places, answers, stopped, strict=True)
    ]


def _text(speaker: Speaker, answer: Sequence[int], whole: bool) -> str:
    """What the tokens say; of a character that was cut off at the limit nothing."""
    text = decode(speaker.tokenizer, answer)
    return text if whole else text.rstrip("\ufffd")


def _left_padded(rows: Sequence[Sequence[int]], speaker: Speaker) -> tuple[torch.Tensor, torch.Tensor]:
    longest, pad = max(map(len, rows)), int(speaker.tokenizer.pad_token_id or 0)  # type: ignore[arg-type]
    device = speaker.model.device
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely the model finds an expected answer: `loss`, the negative log-likelihood in nats, summed over its
    `tokens`; `greedy`: whether the model would have said just that."""

    place: int
    loss: float
    tokens: int
    greedy: bool


def judge_likelihood(
    speaker: Speaker, examples: Sequence[Example], *, rows: int = ROWS, stop: Callable[[], bool] | None = None
) -> Iterator[list[Likelihood]]:
    """The likelihood of what each example learns, batch by batch, longest first. Raises Stopped soon after `stop` says
    so."""
    width = int(inner(speaker.model).config.get_text_config().vocab_size)
    order = sorted(range(len(examples)), key=lambda place: -len(examples[place].ids))
    while order:
        if stop and stop():
            raise Stopped("error.stopped")
        scored = max(1, _scored(examples[order[0]]))
        count = max(1, min(rows, _MOST_SCORES // (scored * width)))
        places, order = order[:count], order[count:]
        yield _likelihoods(speaker, places, [examples[place] for place in places])


def _scored(example: Example) -> int:
    """How many of the last tokens' scores are needed: from the one before the first that is learned."""
    first = next((i for i, label in enumerate(example.labels) if i and label != UNTRAINED), len(example.labels))
    return len(example.labels) - first + 1


def _likelihoods(speaker: Speaker, places: Sequence[int], examples: Sequence[Example]) -> list[Likelihood]:
    ids, mask = _left_padded([example.ids for example in examples], speaker)
    last = min(max(map(_scored, examples)), ids.shape[1])
    labels = torch.full_like(ids, UNTRAINED)
    for row, example in enumerate(examples):
        labels[row, -len(example.labels) :] = torch.tensor(example.labels, device=ids.device)
        labels[row, -len(example.labels)] = UNTRAINED  # the first of a row is never predicted
    scores = speaker.forward(ids, mask, max(2, last)).logits[:, -last:]
    found = []
    for place, row, wanted in zip(places, scores[:, :-1], labels[:, -last + 1 :], strict=True):
        learned = wanted != UNTRAINED
        logs = torch.log_softmax(row[learned].float(), dim=-1)
        own = logs.gather(1, wanted[learned][:, None])
        greedy = bool((logs.argmax(dim=-1) == wanted[learned]).all())
        found.append(Likelihood(place, -float(own.sum()), int(learned.sum()), greedy))
    return found
