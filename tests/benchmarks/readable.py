"""Whether answers can be read: measures that need no reader.

An answer that a reward model likes may be no language any more. Such answers are not ended, hold bytes that are no
characters, words that nobody knows, or are unlikely to the model that was begun with.
"""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from studio.data.records import Message
from studio.models.generation import decode, render_prompt, stop_ids

_AT_ONCE = 64
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Readable:
    """Shares are of the answers: `cut`, at the longest length; `broken`, with a replacement character. `known_words`:
    of all words, those of the rows and the starter's world. `perplexity`: of the answers' tokens, by each model."""

    cut: float
    broken: float
    known_words: float
    perplexity: dict[str, float]

    def told(self) -> dict[str, Any]:
        return asdict(self)


def words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


@torch.inference_mode()
def readable(
    model: Any,
    judges: dict[str, Any],
    tokenizer: Any,
    prompts: Sequence[Sequence[Message]],
    known: Collection[str],
    tokens: int,
    *,
    seed: int | None = None,
) -> tuple[Readable, list[str]]:
    """Measures and texts of one answer to each prompt: the likeliest, or one drawn at temperature 1 by this seed.
    `judges`: the models that tell how likely the answers are."""
    ends = stop_ids(tokenizer, model)
    chats: list[tuple[list[int], list[int]]] = []
    for begin in range(0, len(prompts), _AT_ONCE):
        chats += _answered(model, tokenizer, [render_prompt(p, tokenizer) for p in prompts[begin:][:_AT_ONCE]], tokens,
                           ends, seed)  # fmt: skip
    texts = [decode(tokenizer, [i for i in answer if i not in ends]) for _, answer in chats]
    every = [word for text in texts for word in words(text)]
    found = Readable(
        cut=round(sum(answer[-1] not in ends for _, answer in chats) / len(chats), 3),
        broken=round(sum(REPLACEMENT in text for text in texts) / len(texts), 3),
        known_words=round(sum(word in known for word in every) / max(1, len(every)), 4),
        perplexity={name: round(perplexity(judge, chats), 2) for name, judge in judges.items()},
    )
    return found, texts


def _answered(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], tokens: int, ends: Collection[int], seed: int | None
) -> list[tuple[list[int], list[int]]]:
    """Each prompt with its answer, the end token included."""
    width = max(map(len, prompts))
    ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    drawn = {} if seed is None else {"do_sample": True, "temperature": 1.0, "top_k": 0}
    with torch.random.fork_rng():
        torch.manual_seed(seed or 0)
        made = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=tokens, eos_token_id=sorted(ends),
            pad_token_id=tokenizer.pad_token_id, **drawn,
        )  # fmt: skip
    found = []
    for prompt, row in zip(prompts, made[:, width:].tolist(), strict=True):
        last = next((place for place, token in enumerate(row) if token in ends), len(row) - 1)
        found.append((prompt, row[: last + 1]))
    return found


def perplexity(model: Any, chats: Sequence[tuple[list[int], list[int]]]) -> float:
    """Of the answers' tokens, after their prompts."""
    loss, count = 0.0, 0
    for prompt, answer in chats:
        labels = torch.tensor([[-100] * len(prompt) + answer])
        loss += float(model(input_ids=torch.tensor([prompt + answer]), labels=labels).loss) * len(answer)
        count += len(answer)
    return math.exp(loss / count)
