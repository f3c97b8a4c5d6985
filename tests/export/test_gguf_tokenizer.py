"""Text comes to the same tokens in llama.cpp as in the tokenizer itself, or the tokenizer is refused."""

import json
import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from llama_cpp import Llama
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AddedToken, AutoTokenizer, PreTrainedTokenizerFast

from studio.errors import ExportError
from studio.export.gguf_model import write_gguf
from studio.export.gguf_splits import PRE_TOKENIZERS
from studio.export.gguf_tokenizer import TokenType, read_gguf_tokenizer
from studio.models.new_tokens import extended_tokenizer, find_new_tokens
from studio.starter.world import corpus
from tests.tiny import CHAT_TEMPLATE, tiny_model, tiny_tokenizer

ROWS = 1200
QWEN2 = next(steps[0] for (steps, _), name in PRE_TOKENIZERS.items() if name == "qwen2")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"  # what ByteLevel splits by itself
LETTERS = "aZé ñ日本語ひカー한국0123456789 \n\t\r'’\"!?。、.,;:/\\<>=+-_()[]{}@#$%^&*|`~🍣½ß\u3000"
WORDS = (
    "'s",
    "'LL",
    "don't",
    "I'M",
    "WORLD",
    "camelCase",
    "/path/",
    "1234567",
    "3.14",
    "東京",
    "ไทย",
    "…",
    "\n\n",
    "  ",
)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Sentences, and letters, words and white space at random."""
    dice = random.Random(0)
    mixed = [
        "".join(dice.choice((dice.choice(LETTERS), *dice.sample(WORDS, 1))) for _ in range(30)) for _ in range(500)
    ]
    return [*islice(corpus(0, 500), 300), *mixed]


def byte_level(texts: list[str], *steps: str, **options: Any) -> PreTrainedTokenizerFast:
    """Byte-level BPE that splits by these expressions; of a word `digits`, by single digits; of none, by GPT-2's."""
    parts: list[Any] = [
        pre_tokenizers.Digits(individual_digits=True)
        if step == "digits"
        else pre_tokenizers.Split(Regex(step), behavior="isolated")
        for step in steps
    ]
    own = not steps or steps[-1] == "digits"
    parts.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=own))
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=ROWS - 10,
        special_tokens=["<|end|>", "<|user|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if options.get("ignore_merges"):  # some words are tokens that no merge leads to
        saved = json.loads(tokenizer.to_str())
        del saved["model"]["merges"][-300:]
        tokenizer = Tokenizer.from_str(json.dumps(saved))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def sentencepiece(texts: list[str], prepare: Callable[[Tokenizer], None]) -> PreTrainedTokenizerFast:
    """As Transformers makes one of SentencePiece's: all pairs that make a token are its merges."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("▁?[^▁]+|▁+"), behavior="isolated")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=ROWS - 10, special_tokens=special, show_progress=False, limit_alphabet=300)
    tokenizer.train_from_iterator([text for text in texts if "\n" not in text], trainer)
    saved = json.loads(tokenizer.to_str())
    saved["pre_tokenizer"] = None
    saved["added_tokens"] = saved["added_tokens"][:3]
    known = set(saved["model"]["vocab"])
    made = ["".join(merge) for merge in saved["model"]["merges"]]
    saved["model"]["merges"] = [
        [token[:cut], token[cut:]]
        for token in dict.fromkeys(made)
        for cut in range(1, len(token))
        if {token[:cut], token[cut:]} <= known
    ]
    rebuilt = Tokenizer.from_str(json.dumps(saved))
    prepare(rebuilt)
    return PreTrainedTokenizerFast(tokenizer_object=rebuilt, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def save(tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    """With a model of so many rows."""
    tokenizer.save_pretrained(folder)
    tiny_model("llama", vocabulary=ROWS).save_pretrained(folder)
    return folder


def read_by_llama(folder: Path) -> Llama:
    write_gguf(folder, folder / "model.gguf", "F16", name="tiny")
    return Llama(str(folder / "model.gguf"), vocab_only=True, verbose=False)


def same(llama: Llama, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> bool:
    """Texts as they are, and with what the tokenizer puts around them."""
    return all(
        llama.tokenize(text.encode(), add_bos=around, special=True)
        == tokenizer(text, add_special_tokens=around).input_ids
        for text in texts
        for around in (False, True)
    )


@pytest.mark.parametrize(("split", "name"), PRE_TOKENIZERS.items(), ids=PRE_TOKENIZERS.values())
def test_text_is_split_as_llama_cpp_splits_it(
    split: tuple[tuple[str, ...], bool], name: str, texts: list[str], tmp_path: Path
) -> None:
    steps, whole = split
    own = steps[:-1] if steps[-1] == GPT2 else steps
    tokenizer = byte_level(texts, *own, ignore_merges=whole)
    folder = save(tokenizer, tmp_path)
    assert read_gguf_tokenizer(folder, ROWS).pre == name
    assert same(read_by_llama(folder), tokenizer, texts)


PREFIXES: dict[str, Callable[[Tokenizer], None]] = {
    "prepend": lambda t: setattr(
        t, "normalizer", normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    ),
    "none": lambda t: setattr(t, "normalizer", normalizers.Replace(" ", "▁")),
    "always": lambda t: (
        setattr(t, "normalizer", None),
        setattr(t, "pre_tokenizer", pre_tokenizers.Metaspace(prepend_scheme="always", split=False)),
    )[0],
    "first": lambda t: (
        setattr(t, "normalizer", None),
        setattr(t, "pre_tokenizer", pre_tokenizers.Metaspace(prepend_scheme="first", split=False)),
    )[0],
    "never": lambda t: (
        setattr(t, "normalizer", None),
        setattr(t, "pre_tokenizer", pre_tokenizers.Metaspace(prepend_scheme="never", split=False)),
    )[0],
}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_sentencepiece_puts_tokens_together_alike(prefix: str, texts: list[str], tmp_path: Path) -> None:
    tokenizer = sentencepiece(texts, PREFIXES[prefix])
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    folder = save(tokenizer, tmp_path)
    found = read_gguf_tokenizer(folder, ROWS)
    assert (found.model, found.space_first, found.adds_bos) == ("llama", prefix in ("prepend", "always", "first"), True)
    begun = prefix in ("always", "first")  # where a space is there already, only llama.cpp puts one more
    assert same(read_by_llama(folder), tokenizer, [text for text in texts if not (begun and text.startswith(" "))])


def test_conversations_of_special_tokens_hold_no_first_space(texts: list[str], tmp_path: Path) -> None:
    tokenizer = sentencepiece(texts, PREFIXES["first"])
    tokenizer.chat_template = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
    llama = read_by_llama(save(tokenizer, tmp_path))
    text = "<s>Hello there.</s>What is it?</s>"
    assert (
        llama.tokenize(text.encode(), add_bos=False, special=True)
        == tokenizer(text, add_special_tokens=False).input_ids
    )


def test_other_merges_are_refused(texts: list[str], tmp_path: Path) -> None:
    tokenizer = sentencepiece(texts, PREFIXES["none"])
    folder = save(tokenizer, tmp_path)
    _change(folder, lambda saved: saved["model"]["merges"].pop(3))
    _refused(folder, "merges")
    save(tokenizer, tmp_path)
    _change(folder, lambda saved: saved["model"]["merges"].sort())
    _refused(folder, "merges")


def test_bytes_that_are_missing_are_named(texts: list[str], tmp_path: Path) -> None:
    folder = save(sentencepiece(texts, PREFIXES["none"]), tmp_path)
    _change(folder, lambda saved: saved["model"]["vocab"].pop("<0x41>"))
    assert "<0x41>" in _refused(folder, "bytes")


def test_an_unknown_split_is_refused(texts: list[str], tmp_path: Path) -> None:
    folder = save(byte_level(texts, r"\p{L}+|\P{L}+"), tmp_path)
    said = _refused(folder, "pre_tokenizer")
    assert r"\\p{L}+|\\P{L}+" in said
    assert "llama-bpe" in said


def test_without_merges_any_split_will_do(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    folder = save(tokenizer, tmp_path)
    assert read_gguf_tokenizer(folder, ROWS).padded == ROWS - 261
    assert same(read_by_llama(folder), tokenizer, ["日本 and\n\n Café's 12<|end|>3"])


@pytest.mark.parametrize(
    ("part", "value", "key"),
    [
        ("normalizer", {"type": "Lowercase"}, "tokenizer_part"),
        ("model", {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0]]}, "tokenizer_kind"),
        (
            "post_processor",
            {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<|user|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                "special_tokens": {"<|user|>": {"id": "<|user|>", "ids": [3], "tokens": ["<|user|>"]}},
            },
            "tokens_around",
        ),
    ],
)
def test_parts_that_llama_cpp_does_not_know_are_refused(
    part: str, value: dict[str, Any], key: str, tmp_path: Path
) -> None:
    folder = save(tiny_tokenizer(), tmp_path)
    _change(folder, lambda saved: saved.update({part: value}))
    _refused(folder, key)


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    folder = save(tiny_tokenizer(), tmp_path)
    with pytest.raises(ExportError, match="261 tokens"):
        read_gguf_tokenizer(folder, 260)


def test_a_tokenizer_without_an_end_is_refused(tmp_path: Path) -> None:
    folder = save(tiny_tokenizer(eos=False), tmp_path)
    for name in ("config.json", "generation_config.json"):
        values = json.loads((folder / name).read_text()) | {"eos_token_id": None}
        (folder / name).write_text(json.dumps(values))
    _refused(folder, "no_end")


def test_all_tokens_that_end_an_answer_do_so_in_llama_cpp(tmp_path: Path) -> None:
    folder = save(tiny_tokenizer(), tmp_path)
    values = json.loads((folder / "generation_config.json").read_text()) | {"eos_token_id": [1, 2, 3, 4]}
    (folder / "generation_config.json").write_text(json.dumps(values))
    found = read_gguf_tokenizer(folder, ROWS, stops=(0,))
    assert found.special | {"pad": 0} == {"eos": 1, "eot": 2, "eom": 3, "bos": 1, "pad": 0}
    assert found.stops == ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|pad|>")
    assert found.unsaid_stops == ("<|assistant|>", "<|pad|>")


def test_tokens_that_were_learned_on(texts: list[str], tmp_path: Path) -> None:
    tokenizer = byte_level(texts, QWEN2)
    new = find_new_tokens(texts * 3, tokenizer, 10)
    assert len(new) == 10
    extended: Any = extended_tokenizer(tokenizer, new)
    assert len(extended) == len(tokenizer) + 10
    assert same(read_by_llama(save(extended, tmp_path)), extended, texts)


def test_the_kinds_of_tokens(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["word"])
    folder = save(tokenizer, tmp_path)
    types = read_gguf_tokenizer(folder, ROWS).types
    assert types[1] == TokenType.CONTROL
    assert types[261] == TokenType.USER_DEFINED
    assert types[100] == TokenType.NORMAL
    assert types[-1] == TokenType.UNUSED
    assert same(read_by_llama(folder), tokenizer, ["a word or two words<|user|>"])


def test_a_template_is_written_without_a_first_token_that_there_is_not(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(chat_template="\n{{ bos_token }}" + CHAT_TEMPLATE)
    folder = save(tokenizer, tmp_path)
    template = read_gguf_tokenizer(folder, ROWS).template
    assert template is not None
    messages = [{"role": "user", "content": "x"}]
    wanted = tokenizer.apply_chat_template(messages, tokenize=False)
    tokenizer.chat_template = template
    tokenizer.bos_token = "<|end|>"  # what llama.cpp would take for it
    assert tokenizer.apply_chat_template(messages, tokenize=False) == wanted == "\n<|user|>x<|end|>"


def test_a_first_token_that_conversations_have_not_is_not_added(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.bos_token = "<|pad|>"
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|pad|> $A", special_tokens=[("<|pad|>", 0)]
    )
    folder = save(tokenizer, tmp_path)
    assert not read_gguf_tokenizer(folder, ROWS).adds_bos
    tokenizer.chat_template = "{{ bos_token }}" + CHAT_TEMPLATE
    assert read_gguf_tokenizer(save(tokenizer, tmp_path), ROWS).adds_bos


def test_tokens_that_take_spaces(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(chat_template="{% for m in messages %}<x>\n{{ m.content }}{% endfor %}")
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken("<x>", rstrip=True)]})
    _refused(save(tokenizer, tmp_path), "token_strips")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<unk>", "<s>", "</s>", "<|endoftext|>"]})
    folder = save(tokenizer, tmp_path)
    assert read_gguf_tokenizer(folder, ROWS).strips
    assert same(read_by_llama(folder), tokenizer, ["<x>\n a<x> b"])
    tokenizer = tiny_tokenizer(chat_template="{% for m in messages %} <x>{{ m.content }}{% endfor %}")
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken("<x>", lstrip=True)]})
    _refused(save(tokenizer, tmp_path), "token_strips")


@pytest.mark.parametrize("name", ["gpt2", "minimind"])
def test_tokenizers_of_others(name: str, shared: Path, texts: list[str], tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(shared / "tokenizers" / name)
    tokenizer.save_pretrained(tmp_path)
    tiny_model("gpt2", vocabulary=len(tokenizer)).save_pretrained(tmp_path)
    assert same(read_by_llama(tmp_path), tokenizer, texts)


def test_unigram_is_refused(shared: Path) -> None:
    with pytest.raises(ExportError, match="Unigram"):
        read_gguf_tokenizer(shared / "tokenizers" / "llm-jp-ver2.2-50k", 60_000)


def _change(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "tokenizer.json"
    saved = json.loads(file.read_text(encoding="utf-8"))
    change(saved)
    file.write_text(json.dumps(saved), encoding="utf-8")


def _refused(folder: Path, key: str) -> str:
    with pytest.raises(ExportError) as caught:
        read_gguf_tokenizer(folder, ROWS)
    assert caught.value.key == f"error.gguf.{key}"
    return caught.value.message()
