"""A tokenizer as GGUF holds it: tokens with their types, merges or scores, and which of llama.cpp's ways to split text.

llama.cpp splits text by a name out of a closed list (`src/llama-vocab.cpp`). A wrong one gives other tokens, and those
gibberish, so that what is not recognised is refused.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from studio.errors import ExportError
from studio.export.gguf_splits import PRE_TOKENIZERS, steps_of
from studio.models.folder import read_json, written_template

FILE = "tokenizer.json"
_SPACE = "▁"  # how SentencePiece writes a space
_FAMILY = {"<unk>", "<s>", "</s>", "<|endoftext|>"}  # tokens of Phi-3


class TokenType(IntEnum):
    """GGUF's token types."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class GgufTokenizer:
    """`model`: `gpt2` for byte-level BPE, `llama` for SentencePiece's. `pre`: how text is split. One entry of `tokens`
    and `types` for every row of the embedding, of which `padded` belong to no token. `scores`: of `llama`; `merges`: of
    `gpt2`. `special`: ids by GGUF's name (`bos`, `eos`, `eot`, ...). `space_first`: whether text is begun with a
    space. `unsaid_stops`: tokens that end an answer, for which GGUF has no name left. `strips`: whether special tokens
    take the white space behind them."""

    model: str
    pre: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    scores: tuple[float, ...]
    merges: tuple[str, ...]
    special: dict[str, int]
    adds_bos: bool
    adds_eos: bool
    space_first: bool
    template: str | None
    padded: int
    unsaid_stops: tuple[str, ...]
    strips: bool

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts of the tokens that end an answer."""
        ids = [self.special[name] for name in ("eos", "eot", "eom") if name in self.special]
        return tuple(dict.fromkeys([*(self.tokens[i] for i in ids), *self.unsaid_stops]))


def read_gguf_tokenizer(folder: Path, rows: int, stops: Sequence[int] = ()) -> GgufTokenizer:
    """The tokenizer of a model folder whose embedding has so many rows. `stops`: tokens that end an answer beside those
    that the folder names. Raises ExportError when GGUF cannot hold it."""
    if not (folder / FILE).is_file():
        raise ExportError("error.gguf.no_tokenizer", folder=str(folder))
    saved = read_json(folder, FILE)
    settings = read_json(folder, "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    model = saved.get("model") or {}
    if model.get("type") != "BPE":
        raise ExportError("error.gguf.tokenizer_kind", kind=str(model.get("type")), folder=str(folder))
    tokenizer = Tokenizer.from_file(str(folder / FILE))
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    if max(vocabulary.values()) >= rows:
        raise ExportError("error.gguf.vocabulary", tokens=max(vocabulary.values()) + 1, rows=rows, folder=str(folder))
    added = {entry["id"]: entry for entry in saved.get("added_tokens", [])}
    pieces = _Pieces(folder, saved, vocabulary, added, rows)
    template = _template(folder, settings)
    special, unsaid = _special_ids(folder, settings, vocabulary, model, stops)
    adds_bos, adds_eos = _added_around(folder, tokenizer, special)
    # Conversations are written by their template alone. Only with a first token in it, llama.cpp may add one to text.
    adds_bos = adds_bos and (template is None or _writes_first(template, special, vocabulary))
    built = pieces.sentencepiece(special, template) if model.get("byte_fallback") else pieces.byte_level()
    return GgufTokenizer(
        model="llama" if model.get("byte_fallback") else "gpt2",
        pre=built.pre,
        tokens=built.tokens,
        types=built.types,
        scores=built.scores,
        merges=built.merges,
        special=special,
        adds_bos=adds_bos,
        adds_eos=adds_eos,
        space_first=built.space_first,
        template=template,
        padded=rows - len(set(vocabulary.values())),
        unsaid_stops=unsaid,
        strips=_strips(folder, added.values(), template, vocabulary),
    )


@dataclass(frozen=True, slots=True)
class _Built:
    pre: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    scores: tuple[float, ...] = ()
    merges: tuple[str, ...] = ()
    space_first: bool = False


@dataclass(frozen=True, slots=True)
class _Pieces:
    folder: Path
    saved: dict[str, Any]
    vocabulary: dict[str, int]
    added: dict[int, dict[str, Any]]
    rows: int

    def byte_level(self) -> _Built:
        """Tokens of byte-level BPE, as they are but for the filled rows."""
        merges = [_pair(merge) for merge in self.saved["model"]["merges"]]
        pre = self._pre_tokenizer(merges)
        tokens, types = self._tokens()
        # llama.cpp wants merges. Where there are none, one of two signs that byte-level text never holds.
        return _Built(pre, tokens, types, merges=tuple(f"{a} {b}" for a, b in merges or [(_SPACE, _SPACE)]))

    def sentencepiece(self, special: dict[str, int], template: str | None) -> _Built:
        """Tokens with scores in the order of the merges, which is how llama.cpp puts them together."""
        merges = [_pair(merge) for merge in self.saved["model"]["merges"]]
        made = {a + b for a, b in merges}
        tokens, types = self._tokens(made)
        missing = [byte for byte in range(256) if f"<0x{byte:02X}>" not in self.vocabulary]
        if missing:
            raise ExportError("error.gguf.bytes", token=f"<0x{missing[0]:02X}>", folder=str(self.folder))
        usual = {token for token, kind in zip(tokens, types, strict=True) if kind == TokenType.NORMAL}
        ranks = _ranks(merges, usual)
        if ranks is None:
            raise ExportError("error.gguf.merges", folder=str(self.folder))
        scores = tuple(-float(ranks.get(token, len(merges) + 1000)) for token in tokens)
        special.setdefault("unk", self.vocabulary.get(self.saved["model"].get("unk_token") or "", 0))
        return _Built("default", tokens, types, scores=scores, space_first=self._space_first(template))

    def _tokens(self, made: set[str] | None = None) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """Text and type by row. `made`: of SentencePiece, the tokens that merging gives."""
        by_id = {i: token for token, i in self.vocabulary.items()}
        unknown = self.saved["model"].get("unk_token")
        tokens, types = [], []
        for i in range(self.rows):
            token = by_id.get(i)
            entry = self.added.get(i)
            if token is None:
                token, kind = _unused(i, self.vocabulary), TokenType.UNUSED
            elif made is not None and token == unknown:
                kind = TokenType.UNKNOWN
            elif entry and entry.get("special"):
                kind = TokenType.CONTROL
            elif entry and made is not None and _SPACE in token:
                # Text holds no such sign when tokens are looked for in it: it is merged from spaces, or is a space.
                token, kind = (
                    (token, TokenType.NORMAL)
                    if token in made
                    else (
                        token.replace(_SPACE, " "),
                        TokenType.USER_DEFINED,
                    )
                )
            elif entry:
                kind = TokenType.USER_DEFINED
            elif made is not None and len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
                kind = TokenType.BYTE
            else:
                kind = TokenType.NORMAL
            tokens.append(token)
            types.append(int(kind))
        if len(set(tokens)) < len(tokens):
            raise ExportError("error.gguf.tokens_alike", folder=str(self.folder))
        return tuple(tokens), tuple(types)

    def _pre_tokenizer(self, merges: list[tuple[str, str]]) -> str:
        """llama.cpp's name for how this tokenizer splits text."""
        self._check_normalizer([{"type": "NFC"}])  # llama.cpp leaves it out; text is hardly ever written otherwise
        whole = bool(self.saved["model"].get("ignore_merges"))
        steps = steps_of(self.saved.get("pre_tokenizer"))
        if not merges and not whole and steps is not None:
            return "gpt-2"  # one token a byte, however text is split
        name = PRE_TOKENIZERS.get((steps, whole)) if steps else None
        if name is None:
            found = json.dumps(self.saved.get("pre_tokenizer"), ensure_ascii=False)
            raise ExportError(
                "error.gguf.pre_tokenizer",
                found=found if len(found) <= 300 else found[:300] + "…",
                folder=str(self.folder),
                possible=", ".join(dict.fromkeys(PRE_TOKENIZERS.values())),
            )
        return name

    def _space_first(self, template: str | None) -> bool:
        """Whether a space is put before text, which llama.cpp does at the start and behind special tokens, even where
        one is there already. Raises ExportError when this is no SentencePiece tokenizer."""
        pre = self.saved.get("pre_tokenizer")
        replaced = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
        if pre is not None and pre.get("type") == "Metaspace":
            self._check_normalizer([])
            if pre.get("replacement") != _SPACE or pre.get("split", True):
                raise self._unknown_part("pre_tokenizer")
            scheme = pre.get("prepend_scheme", "always")
            return scheme == "always" or (scheme == "first" and not self._special_in(template))
        if pre is not None and not (pre.get("type") == "Split" and pre.get("pattern") == {"String": " "}):
            raise self._unknown_part(
                "pre_tokenizer"
            )  # a split at spaces finds none: they are written otherwise by then
        found = self._check_normalizer([{"type": "Prepend", "prepend": _SPACE}, replaced])
        if replaced not in found:
            raise self._unknown_part("normalizer")
        return len(found) == 2

    def _special_in(self, template: str | None) -> bool:
        """Whether conversations are written with special tokens: then none of their text is at the start."""
        names = [entry["content"] for entry in self.added.values() if entry.get("special")]
        return template is not None and ("bos_token" in template or any(name in template for name in names))

    def _check_normalizer(self, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The steps of the normalizer, all of them of `known`."""
        normalizer = self.saved.get("normalizer")
        if normalizer is None:
            return []
        found = normalizer["normalizers"] if normalizer.get("type") == "Sequence" else [normalizer]
        if any(step not in known for step in found):
            raise self._unknown_part("normalizer")
        return found

    def _unknown_part(self, part: str) -> ExportError:
        found = json.dumps(self.saved.get(part), ensure_ascii=False)
        return ExportError("error.gguf.tokenizer_part", part=part, found=found[:300], folder=str(self.folder))


def _pair(merge: str | list[str]) -> tuple[str, str]:
    first, second = merge.split(" ", 1) if isinstance(merge, str) else merge
    return first, second


def _ranks(merges: Sequence[tuple[str, str]], usual: set[str]) -> dict[str, int] | None:
    """Token -> rank of its merges. llama.cpp joins any two parts that make a token, the best token first; this is what
    the merges do only if they hold every such pair, and those of one token together. None when they do not."""
    ranks: dict[str, int] = {}
    last = ""
    for rank, (a, b) in enumerate(merges):
        if a + b != last and a + b in ranks:
            return None
        last = a + b
        ranks.setdefault(last, rank)
    pairs = set(merges)
    for token in usual:
        for cut in range(1, len(token)):
            a, b = token[:cut], token[cut:]
            if (len(a) == 1 or a in ranks) and (len(b) == 1 or b in ranks) and (a, b) not in pairs:
                return None
    return ranks


def _template(folder: Path, settings: dict[str, Any]) -> str | None:
    """The chat template. Where there is no first token, llama.cpp would write another one in its place."""
    template = written_template(folder)
    if template is None or settings.get("bos_token") or "bos_token" not in template:
        return template
    # The line break behind a tag of its own is not written.
    return "{% set bos_token = '' %}" + ("\n" if template.startswith("\n") else "") + template


def _writes_first(template: str, special: dict[str, int], vocabulary: dict[str, int]) -> bool:
    """Whether the template begins conversations with the first token."""
    first = next(token for token, i in vocabulary.items() if i == special["bos"])
    return "bos_token" in template or first in template


def _unused(row: int, vocabulary: dict[str, int]) -> str:
    name = f"[PAD{row}]"
    while name in vocabulary:
        name += "_"
    return name


def _special_ids(
    folder: Path,
    settings: dict[str, Any],
    vocabulary: dict[str, int],
    model: dict[str, Any],
    further: Sequence[int],
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Ids of the special tokens by GGUF's names, and texts of the stops that are left over."""
    special = {}
    for name in ("bos", "eos", "pad", "unk"):
        value = settings.get(f"{name}_token")
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str) and text in vocabulary:
            special[name] = vocabulary[text]
    stops: list[int] = [special["eos"]] if "eos" in special else []
    for file in ("generation_config.json", "config.json"):
        if (folder / file).is_file():
            found = read_json(folder, file).get("eos_token_id")
            stops += [i for i in (found if isinstance(found, list) else [found]) if isinstance(i, int)]
    known = {i: token for token, i in vocabulary.items()}
    stops = [i for i in dict.fromkeys([*stops, *further]) if i in known]
    if not stops:
        raise ExportError("error.gguf.no_end", folder=str(folder))
    # Without one, llama.cpp takes any twelfth token for it (`src/llama-vocab.cpp`); so the first token is named, too.
    special |= dict(zip(("eos", "eot", "eom"), stops, strict=False))
    if not model.get("byte_fallback"):
        special.setdefault("bos", special["eos"])
    return special, tuple(known[i] for i in stops[3:])


def _added_around(folder: Path, tokenizer: Tokenizer, special: dict[str, int]) -> tuple[bool, bool]:
    """Whether the tokenizer begins text with its first token and ends it with its end token. Raises ExportError when it
    adds anything else."""
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    whole = tokenizer.encode("a").ids
    for bos in (False, True):
        for eos in (False, True):
            first, last = [special.get("bos")] * bos, [special.get("eos")] * eos
            if whole == [*first, *plain, *last]:
                return bos, eos
    raise ExportError("error.gguf.tokens_around", found=" ".join(tokenizer.encode("a").tokens), folder=str(folder))


def _strips(folder: Path, added: Iterable[dict[str, Any]], template: str | None, vocabulary: dict[str, int]) -> bool:
    """Whether special tokens take the white space behind them. llama.cpp has that for models of one family only, whose
    vocabulary holds certain tokens."""
    used = [entry for entry in added if entry["content"] in (template or "")]
    for entry in used:
        behind = entry.get("rstrip") and not vocabulary.keys() >= _FAMILY
        if behind or entry.get("lstrip") or entry.get("single_word"):
            raise ExportError("error.gguf.token_strips", token=entry["content"], folder=str(folder))
    return any(entry.get("rstrip") for entry in used)
