"""New tokens for what a tokenizer cuts into many pieces, and their embeddings.

Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) is learned on: of all neighbouring pieces in the texts the
most frequent two become one token, again and again. Whatever holds none of these pairs is cut as before. A new token's
embedding begins as the mean of those of the pieces that it stands for (Gee et al. 2022, arXiv:2402.09977).

Rows are added for the new tokens alone. Padding to a round number of rows would add some that no token has, and that
everybody who loads the model would fill with other random numbers.
"""

import heapq
import json
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from studio.errors import ModelError
from studio.models.loading import LoadedModel

FILE = "new_tokens.json"
# A token that is rarer learns next to nothing.
LEAST_SEEN = 5
_SHOWN = 12
# Words begin with the sign for a space; without a pre-tokenizer a text is one piece, and pairs would cross words.
_WORD = re.compile(r"[▁Ġ]*[^▁Ġ]+|[▁Ġ]+")
_TOKENIZER = "tokenizer.json"

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class NewTokens:
    """`merges`: the two pieces of each token, in the order in which they were found; a piece may itself be new.
    `before` and `after`: the tokens of the texts without them and with them. `shown`: those that save most, as text."""

    merges: tuple[Pair, ...]
    before: int
    after: int
    shown: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.merges)

    @property
    def saved_share(self) -> float:
        """0 to 1."""
        return 1 - self.after / self.before if self.before else 0.0

    def write(self, folder: Path) -> None:
        """Beside the weights that were trained with them."""
        values = {"merges": self.merges, "before": self.before, "after": self.after, "shown": self.shown}
        (folder / FILE).write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_new_tokens(folder: Path) -> NewTokens | None:
    """Those that the weights in `folder` were trained with, if any. Raises ModelError when the file is damaged."""
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        merges = tuple((str(a), str(b)) for a, b in values["merges"])
        shown = tuple(str(text) for text in values["shown"])
        return NewTokens(merges, int(values["before"]), int(values["after"]), shown)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError("error.adapter.damaged", file=str(file), reason=str(error)[:200]) from None


# Finding


def find_new_tokens(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, count: int) -> NewTokens:
    """At most `count` tokens, fewer where the texts hold no more pairs that are frequent.

    Raises ModelError when the tokenizer is of a kind that cannot be extended.
    """
    backend = _backend(tokenizer)
    words = Counter(word for text in texts for word in _words(text, backend))
    pieces = [[token.value for token in backend.model.tokenize(word)] for word in words]
    times = list(words.values())
    before = sum(len(cut) * n for cut, n in zip(pieces, times, strict=True))
    merges = _learn(pieces, times, set(backend.get_vocab()), count)
    lengths = _lengths(merges)
    saved: Counter[str] = Counter()
    for cut, n in zip(pieces, times, strict=True):
        for piece in cut:
            if piece in lengths:
                saved[piece] += (lengths[piece] - 1) * n
    shown = (str(backend.decoder.decode([piece]) if backend.decoder else piece) for piece, _ in saved.most_common())
    whole = [text.strip() for text in shown if "\ufffd" not in text and text.strip()]
    return NewTokens(merges, before, before - saved.total(), tuple(dict.fromkeys(whole[:_SHOWN])))


def _backend(tokenizer: PreTrainedTokenizerBase) -> Any:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    kind = type(backend.model).__name__ if backend is not None else type(tokenizer).__name__
    model = backend.model if backend is not None else None
    marked = model is not None and (
        getattr(model, "continuing_subword_prefix", None) or getattr(model, "end_of_word_suffix", None)
    )
    if kind != "BPE" or marked:
        raise ModelError("error.model.new_tokens_tokenizer", kind=kind)
    return backend


def _words(text: str, backend: Any) -> list[str]:
    """The pieces within which tokens are made."""
    if backend.normalizer is not None:
        text = backend.normalizer.normalize_str(text)
    parts = [text]
    if backend.pre_tokenizer is not None:
        parts = [part for part, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
    return [word for part in parts for word in _WORD.findall(part)]


def _learn(words: list[list[str]], times: Sequence[int], known: set[str], count: int) -> tuple[Pair, ...]:
    """The pairs that were merged, in order; `words` are left merged. Of pairs as frequent the first in the alphabet."""
    seen: Counter[Pair] = Counter()
    places: defaultdict[Pair, set[int]] = defaultdict(set)
    for place, word in enumerate(words):
        for pair in pairwise(word):
            seen[pair] += times[place]
            places[pair].add(place)
    waiting = [(-n, pair) for pair, n in seen.items()]
    heapq.heapify(waiting)
    found: list[Pair] = []
    made: set[str] = set()
    while waiting and len(found) < count:
        n, pair = heapq.heappop(waiting)
        if seen[pair] != -n:  # it has become rarer since
            if seen[pair] >= LEAST_SEEN:
                heapq.heappush(waiting, (-seen[pair], pair))
            continue
        if -n < LEAST_SEEN:
            break
        joined = pair[0] + pair[1]
        if joined in known or joined in made or any(piece.startswith("<0x") for piece in pair):
            continue
        found.append(pair)
        made.add(joined)
        changed: set[Pair] = set()
        for place in places.pop(pair):
            word = words[place]
            for old in pairwise(word):
                seen[old] -= times[place]
            words[place] = word = _merged(word, pair)
            for new in pairwise(word):
                seen[new] += times[place]
                places[new].add(place)
                changed.add(new)
        for new in changed:
            heapq.heappush(waiting, (-seen[new], new))
    return tuple(found)


def _merged(word: Sequence[str], pair: Pair) -> list[str]:
    made: list[str] = []
    place = 0
    while place < len(word):
        if tuple(word[place : place + 2]) == pair:
            made.append(pair[0] + pair[1])
            place += 2
        else:
            made.append(word[place])
            place += 1
    return made


def _lengths(merges: Sequence[Pair]) -> dict[str, int]:
    """How many tokens of the old vocabulary each new one stands for."""
    found: dict[str, int] = {}
    for left, right in merges:
        found[left + right] = found.get(left, 1) + found.get(right, 1)
    return found


# Using


def first_new_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id after all that the tokenizer has."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def with_new_tokens(loaded: LoadedModel, new: NewTokens | None) -> LoadedModel:
    """The model with a row more for each new token, and the tokenizer that makes them. Draws no random numbers.

    Raises ModelError where this model or its tokenizer cannot have them.
    """
    if not new:
        return loaded
    first = first_new_id(loaded.tokenizer)
    pieces = _pieces(new.merges, loaded.tokenizer)
    tokenizer = extended_tokenizer(loaded.tokenizer, new)
    _extend(loaded.model, first, pieces)
    return replace(loaded, tokenizer=tokenizer)


def extended_tokenizer(tokenizer: PreTrainedTokenizerBase, new: NewTokens | None) -> PreTrainedTokenizerBase:
    """A tokenizer that makes the new tokens, and every other as before. It loads from its files alone."""
    if not new:
        return tokenizer
    _backend(tokenizer)
    first = first_new_id(tokenizer)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tokenizer.save_pretrained(folder)
        state = json.loads((folder / _TOKENIZER).read_text(encoding="utf-8"))
        model = state["model"]
        # Tokens that stand beside the model's vocabulary are numbered after it: in it they keep their numbers.
        for added in state["added_tokens"]:
            model["vocab"].setdefault(added["content"], added["id"])
        for number, (left, right) in enumerate(new.merges):
            model["vocab"][left + right] = first + number
            model["merges"].append([left, right])
        (folder / _TOKENIZER).write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")
        extended = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    extended.clean_up_tokenization_spaces = False
    wanted = tokenizer.get_vocab() | {a + b: first + number for number, (a, b) in enumerate(new.merges)}
    if extended.get_vocab() != wanted:
        raise ModelError("error.model.new_tokens_tokenizer", kind=type(tokenizer).__name__)
    return extended


def _pieces(merges: Sequence[Pair], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """For each new token the old ones that it stands for."""
    known = tokenizer.get_vocab()
    found: dict[str, list[int]] = {}
    for left, right in merges:
        halves = [found[piece] if piece in found else [known[piece]] for piece in (left, right)]
        found[left + right] = halves[0] + halves[1]
    return list(found.values())


def _extend(model: Any, first: int, pieces: Sequence[Sequence[int]]) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    needed = first + len(pieces)
    if needed > rows:
        with torch.random.fork_rng([]):  # the rows are filled below
            model.resize_token_embeddings(needed, mean_resizing=False)
    layers = embedding_layers(model)
    with torch.no_grad():
        for layer in layers.values():
            weight = layer.weight
            means = [weight[list(ids)].float().mean(dim=0) for ids in pieces]
            weight[first:needed] = torch.stack(means).to(weight.dtype)
            bias = getattr(layer, "bias", None)
            if bias is not None:
                bias[first:needed] = torch.stack([bias[list(ids)].float().mean() for ids in pieces]).to(bias.dtype)


def embedding_layers(model: Any) -> dict[str, Any]:
    """The layers that have a row for each token, by their names: the embedding, and the output where it is another."""
    layers = [model.get_input_embeddings()]
    head = model.get_output_embeddings()
    if head is not None and head.weight is not layers[0].weight:
        layers.append(head)
    return {name: module for name, module in model.named_modules() if any(module is layer for layer in layers)}
