"""Tiny models and a tokenizer made in code: what every test trains on, with no download."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

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


# What a configuration of each shape needs beside its size, to have every part the shape is known for.
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 16},
    "qwen2": {"vocab_size": 272},  # more rows than tokens; transformers' tokenizer for it adds one of its own
    "qwen3": {"head_dim": 8},
    "gemma2": {"head_dim": 8, "sliding_window": 16, "query_pre_attn_scalar": 8, "final_logit_softcapping": 0.1},
    "gemma3_text": {"head_dim": 8, "sliding_window": 16, "query_pre_attn_scalar": 8},
    "phi": {},
    "phi3": {},
    "gpt_neox": {},
    "gpt2": {},
}
# Further ones: experts that a router chooses from, layers of a class of the model's own, no attention at all.
FURTHER_SHAPES: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 4},
    "falcon": {},
    "mamba": {"state_size": 4},
    # Its shared expert has a gate of a single output.
    "qwen2_moe": {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 32,
    },
}


def tiny_model(kind: str = "llama", *, vocabulary: int = 261, seed: int = 0, tied: bool = True) -> "PreTrainedModel":
    """A two-layer random model, 32 wide, of one of `SHAPES` or `FURTHER_SHAPES`.

    `tied`: the output layer is the embedding.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    special = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    size = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
    }
    if kind not in ("phi", "gpt_neox", "gpt2"):
        size["num_key_value_heads"] = 2
    if kind == "gpt2":
        size = {"n_positions": 512, "n_embd": 32, "n_layer": 2, "n_head": 4}
    config = AutoConfig.for_model(
        kind, **{"vocab_size": vocabulary, **size, **special, **(SHAPES | FURTHER_SHAPES)[kind]}
    )
    config.tie_word_embeddings = tied
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config)


def save_tiny(folder: Path, kind: str = "llama", *, tied: bool = True, **tokenizer_options: object) -> Path:
    """A model folder as a user would bring one; returns it."""
    tiny_model(kind, tied=tied).save_pretrained(folder)
    tiny_tokenizer(**tokenizer_options).save_pretrained(folder)  # type: ignore[arg-type]
    return folder
