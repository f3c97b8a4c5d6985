"""Tiny models and a tokenizer made in code: what every test trains on, with no download."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def tiny_tokenizer(
    *, chat_template: str | None = CHAT_TEMPLATE, pad: bool = True, eos: bool = True
) -> "PreTrainedTokenizerFast":
    """A byte-level tokenizer (261 ids): any text, no training."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>" if pad else None,
        eos_token="<|end|>" if eos else None,
    )
    fast.chat_template = chat_template
    return fast


def tiny_model(kind: str = "llama", *, vocabulary: int = 261, seed: int = 0) -> "PreTrainedModel":
    """A two-layer random model, 32 wide. `kind`: llama or gpt2."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    special = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "llama":
            return LlamaForCausalLM(
                LlamaConfig(
                    vocab_size=vocabulary,
                    hidden_size=32,
                    intermediate_size=64,
                    num_hidden_layers=2,
                    num_attention_heads=4,
                    num_key_value_heads=2,
                    max_position_embeddings=512,
                    tie_word_embeddings=True,
                    **special,
                )
            )
        return GPT2LMHeadModel(
            GPT2Config(vocab_size=vocabulary, n_positions=512, n_embd=32, n_layer=2, n_head=4, **special)
        )


def save_tiny(folder: Path, kind: str = "llama", **tokenizer_options: object) -> Path:
    """A model folder as a user would bring one; returns it."""
    tiny_model(kind).save_pretrained(folder)
    tiny_tokenizer(**tokenizer_options).save_pretrained(folder)  # type: ignore[arg-type]
    return folder
