"""The starter's tokenizer: byte-level BPE, learned from the little world, so that any text of any language fits."""

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from studio.starter.world import corpus

SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{%- for message in messages -%}{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
VOCABULARY = 4096
# One digit a token: sums and long numbers stay regular. Letters with the space before them; kana, kanji and signs apart.
NARROW_SPLIT = r" ?[A-Za-z]+|[0-9]| ?[\p{Han}々]+| ?[\p{Hiragana}]+| ?[\p{Katakana}ー]+|\s+|[^\sA-Za-z0-9\p{Han}々\p{Hiragana}\p{Katakana}ー]+"

# How text is split when it is read: as Qwen2 splits it. The merges that were learned never reach across scripts, so that
# all sentences of the world come to the same tokens by both (runs of spaces in front of a word may not); but only this one
# is among the few that llama.cpp knows.
_KNOWN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def build_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Learn the vocabulary; the same seed gives the same tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = split_by(NARROW_SPLIT)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=2,
    )
    tokenizer.train_from_iterator(corpus(seed, 60_000), trainer)
    tokenizer.pre_tokenizer = split_by(_KNOWN_SPLIT)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|end|>", model_max_length=512
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def split_by(regex: str) -> pre_tokenizers.PreTokenizer:
    """Pieces that `regex` finds, as bytes; no token reaches across two of them."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(regex), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
