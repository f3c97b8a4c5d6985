"""How each kind of model is written down in GGUF: its numbers by name, and what is done to its tensors.

What llama.cpp computes is fixed by `general.architecture`; a setting it does not compute is refused, never left out.
Facts: llama.cpp's own converter (`conversion/`) and graphs (`src/models/`), and the keys of `gguf.constants.Keys`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from studio.errors import ExportError

Facts: TypeAlias = dict[str, int | float | bool | str | list[bool]]
"""Metadata by GGUF key without the architecture's prefix."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """`config.json` of the model in `folder`."""

    values: dict[str, Any]
    folder: Path

    def integer(self, *keys: str, default: int | None = None) -> int:
        """The first of these keys that is set, else the default. Raises ExportError."""
        return int(self._number(keys, default))

    def real(self, *keys: str, default: float | None = None) -> float:
        """As `integer`, with a fraction."""
        return float(self._number(keys, default))

    def text(self, key: str, default: str) -> str:
        value = self.values.get(key)
        return value if isinstance(value, str) else default

    @property
    def heads(self) -> int:
        return self.integer("num_attention_heads", "n_head")

    @property
    def key_heads(self) -> int:
        return self.integer("num_key_value_heads", default=self.heads)

    @property
    def width(self) -> int:
        return self.integer("hidden_size", "n_embd")

    @property
    def head_width(self) -> int:
        return self.integer("head_dim", default=self.width // self.heads)

    @property
    def layers(self) -> int:
        return self.integer("num_hidden_layers", "n_layer")

    @property
    def context(self) -> int:
        return self.integer("max_position_embeddings", "n_positions")

    @property
    def tied(self) -> bool:
        """Whether the output layer is the embedding; what a configuration leaves out is its class's default."""
        tied = self.values.get("tie_word_embeddings")
        return tied if isinstance(tied, bool) else self.values.get("model_type") in ("gemma2", "gemma3_text", "gpt2")

    def rope(self, kind: str = "full_attention") -> dict[str, Any]:
        """Settings of the rotary embedding, in Transformers 5's names whatever version wrote them."""
        found = self.values.get("rope_parameters") or self.values.get("rope_scaling") or {}
        rope = dict(found.get(kind, {}) if kind in found or "sliding_attention" in found else found)
        rope.setdefault("rope_type", rope.get("type") or "default")
        theta = "rope_local_base_freq" if kind == "sliding_attention" else "rope_theta"
        rope.setdefault("rope_theta", self.values.get(theta) or self.values.get("rotary_emb_base") or 10000.0)
        share = self.values.get("partial_rotary_factor", self.values.get("rotary_pct"))
        if share is not None:
            rope.setdefault("partial_rotary_factor", share)
        return rope

    def refuse(self, setting: str, value: object) -> ExportError:
        """The error for a setting that llama.cpp does not compute."""
        return ExportError("error.gguf.setting", setting=setting, value=value, folder=str(self.folder))

    def _number(self, keys: tuple[str, ...], default: float | None) -> int | float:
        for key in keys:
            value = self.values.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                return value
        if default is None:
            raise ExportError("error.gguf.config", setting=keys[0], folder=str(self.folder))
        return default


Rows: TypeAlias = Callable[[str, int, ModelConfig], NDArray[np.intp] | None]
Extra: TypeAlias = Callable[[ModelConfig], dict[str, NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class Shape:
    """`name`: the architecture in GGUF. `facts`: its numbers. `only`: settings with the values that it computes; one
    that is not set is as it should be. `rows`: the order in which a tensor's output rows (its name without the ending)
    are written; None: as they are. `turned`: endings of tensors stored input by output. `shifted`: its norms are stored
    less one. `extra`: tensors that no file holds. `skipped`: endings of tensors that are no weights.
    `own_output`: whether the embedding is written again as the output layer where both are one. `window`: whether a
    sliding window is kept to."""

    name: str
    facts: Callable[[ModelConfig], Facts]
    only: dict[str, tuple[object, ...]] = field(default_factory=dict)
    rows: Rows = lambda name, count, config: None
    turned: tuple[str, ...] = ()
    shifted: bool = False
    extra: Extra = lambda config: {}
    skipped: tuple[str, ...] = ("rotary_emb.inv_freq",)
    own_output: bool = False
    window: bool = False


def shape_of(config: ModelConfig) -> Shape:
    """The description of a model. Raises ExportError when GGUF, or what reads it, cannot hold the model."""
    kind = config.values.get("model_type")
    shape = SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None:
        raise ExportError(
            "error.gguf.architecture", kind=str(kind), folder=str(config.folder), possible=", ".join(SHAPES)
        )
    for setting, allowed in shape.only.items():
        value = config.values.get(setting, allowed[0])
        if value not in allowed:
            raise config.refuse(setting, value)
    return shape


def _plain(config: ModelConfig, *scalings: str) -> Facts:
    """What nearly all of them say: sizes, heads, the norm, the rotary embedding with these kinds of scaling too."""
    return {
        "block_count": config.layers,
        "context_length": config.context,
        "embedding_length": config.width,
        "feed_forward_length": config.integer("intermediate_size"),
        "attention.head_count": config.heads,
        "attention.head_count_kv": config.key_heads,
        "attention.key_length": config.head_width,
        "attention.value_length": config.head_width,
        "attention.layer_norm_rms_epsilon": config.real("rms_norm_eps", default=1e-6),
        **_rope(config, *scalings),
    }


def _rope(config: ModelConfig, *further: str) -> Facts:
    """The rotary embedding; `further` are the kinds of scaling that the caller writes itself."""
    rope = config.rope()
    kind = rope["rope_type"]
    facts: Facts = {"rope.freq_base": float(rope["rope_theta"])}
    if kind in ("linear", "yarn"):
        facts["rope.scaling.type"] = kind
        facts["rope.scaling.factor"] = float(rope["factor"])
    if kind == "yarn":
        for setting in ("attention_factor", "mscale", "mscale_all_dim"):
            if rope.get(setting) is not None:
                raise config.refuse(f"rope_parameters.{setting}", rope[setting])
        facts["rope.scaling.original_context_length"] = int(
            rope.get("original_max_position_embeddings") or config.context
        )
        facts["rope.scaling.yarn_beta_fast"] = float(rope.get("beta_fast") or 32)
        facts["rope.scaling.yarn_beta_slow"] = float(rope.get("beta_slow") or 1)
    elif kind not in ("default", "linear", *further):
        raise config.refuse("rope_parameters.rope_type", kind)
    return facts


def _llama(config: ModelConfig) -> Facts:
    return _plain(config, "llama3") | {
        "vocab_size": config.integer("vocab_size"),
        "rope.dimension_count": config.head_width,
    }


def _llama_extra(config: ModelConfig) -> dict[str, NDArray[np.float32]]:
    """By how much Llama 3 slows each pair of its rotary embedding: fast ones not at all, slow ones by the factor."""
    rope = config.rope()
    if rope["rope_type"] != "llama3":
        return {}
    pairs = np.arange(0, config.head_width, 2, dtype=np.float64) / config.head_width
    length = 2 * math.pi * float(rope["rope_theta"]) ** pairs
    factor, low, high = float(rope["factor"]), float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    known = float(rope["original_max_position_embeddings"])
    smooth = np.clip((known / length - low) / (high - low), 0, 1)
    return {"rope_freqs.weight": (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)}


def _llama_rows(name: str, count: int, config: ModelConfig) -> NDArray[np.intp] | None:
    """llama.cpp turns neighbouring rows of a head against each other, Transformers its two halves."""
    if not name.endswith(("q_proj", "k_proj")):
        return None
    heads = config.heads if name.endswith("q_proj") else config.key_heads
    return np.arange(count).reshape(heads, 2, -1).swapaxes(1, 2).ravel()


def _gemma2(config: ModelConfig) -> Facts:
    _check_gemma(config, every=2, large=46)
    return _plain(config) | {
        "attention.sliding_window": config.integer("sliding_window", default=4096),
        "attn_logit_softcapping": config.real("attn_logit_softcapping", default=50.0),
        "final_logit_softcapping": config.real("final_logit_softcapping", default=30.0),
    }


def _gemma3(config: ModelConfig) -> Facts:
    _check_gemma(config, every=6, large=62)
    local = config.rope("sliding_attention")
    if local["rope_type"] != "default":
        raise config.refuse("rope_parameters.sliding_attention.rope_type", local["rope_type"])
    facts = _plain(config) | {
        "attention.sliding_window": config.integer("sliding_window", default=4096),
        "rope.freq_base_swa": float(local["rope_theta"]),
    }
    cap = config.values.get("final_logit_softcapping")
    return facts | ({"final_logit_softcapping": float(cap)} if cap else {})


def _check_gemma(config: ModelConfig, every: int, large: int) -> None:
    """Every so many layers one looks at everything; scores are scaled by the head's width, but in the largest model."""
    layers = config.values.get("layer_types")
    usual = ["sliding_attention" if (i + 1) % every else "full_attention" for i in range(config.layers)]
    if layers is not None and layers != usual:
        raise config.refuse("layer_types", "/".join(map(str, layers)))
    if layers is None and config.integer("sliding_window_pattern", "_sliding_window_pattern", default=every) != every:
        raise config.refuse("sliding_window_pattern", config.values["sliding_window_pattern"])
    scale = config.integer("query_pre_attn_scalar", default=config.head_width)
    if scale != (config.width // config.heads if config.layers == large else config.head_width):
        raise config.refuse("query_pre_attn_scalar", scale)


def _phi3(config: ModelConfig) -> Facts:
    facts = _plain(config, "longrope", "su")
    rope = config.rope()
    facts["rope.dimension_count"] = int(config.head_width * float(rope.get("partial_rotary_factor") or 1.0))
    known = config.integer("original_max_position_embeddings", default=config.context)
    facts["rope.scaling.original_context_length"] = known
    facts["attention.sliding_window"] = 0
    if rope["rope_type"] in ("longrope", "su"):
        factor = config.context / known
        scale = math.sqrt(1 + math.log(factor) / math.log(known)) if factor > 1 else 1.0
        facts["rope.scaling.type"] = "longrope"
        facts["rope.scaling.attn_factor"] = float(rope.get("attention_factor") or scale)
    return facts


def _phi3_extra(config: ModelConfig) -> dict[str, NDArray[np.float32]]:
    rope = config.rope()
    if rope["rope_type"] not in ("longrope", "su"):
        return {}
    return {
        f"rope_factors_{length}.weight": np.array(rope[f"{length}_factor"], dtype=np.float32)
        for length in ("long", "short")
    }


def _gpt2(config: ModelConfig) -> Facts:
    return {
        "block_count": config.layers,
        "context_length": config.context,
        "embedding_length": config.width,
        "feed_forward_length": config.integer("n_inner", default=4 * config.width),
        "attention.head_count": config.heads,
        "attention.layer_norm_epsilon": config.real("layer_norm_epsilon", default=1e-5),
    }


def _gpt_neox(config: ModelConfig) -> Facts:
    rope = config.rope()
    if rope["rope_type"] != "default":
        raise config.refuse("rope_parameters.rope_type", rope["rope_type"])
    return {
        "block_count": config.layers,
        "context_length": config.context,
        "embedding_length": config.width,
        "feed_forward_length": config.integer("intermediate_size"),
        "attention.head_count": config.heads,
        "attention.layer_norm_epsilon": config.real("layer_norm_eps", default=1e-5),
        "rope.dimension_count": int(config.head_width * float(rope.get("partial_rotary_factor") or 0.25)),
        "rope.freq_base": float(rope["rope_theta"]),
        "use_parallel_residual": config.values.get("use_parallel_residual", True) is True,
    }


def _gpt_neox_rows(name: str, count: int, config: ModelConfig) -> NDArray[np.intp] | None:
    """Query, key and value follow each other head by head; llama.cpp wants all queries first."""
    if not name.endswith("query_key_value"):
        return None
    return np.arange(count).reshape(config.heads, 3, -1).swapaxes(0, 1).ravel()


_GEMMA: dict[str, tuple[object, ...]] = {
    "hidden_activation": ("gelu_pytorch_tanh", None),
    "use_bidirectional_attention": (None, False),
}
_BUFFERS = ("rotary_emb.inv_freq", ".attn.bias", ".masked_bias", ".attention.bias")

SHAPES: dict[str, Shape] = {
    "llama": Shape("llama", _llama, {"hidden_act": ("silu",)}, _llama_rows, extra=_llama_extra),
    "mistral": Shape("llama", _llama, {"hidden_act": ("silu",)}, _llama_rows),
    "qwen2": Shape("qwen2", _plain, {"hidden_act": ("silu",)}),
    "qwen3": Shape("qwen3", _plain, {"hidden_act": ("silu",), "attention_bias": (False,)}),
    "gemma2": Shape(
        "gemma2",
        _gemma2,
        {**_GEMMA, "tie_word_embeddings": (True,)},
        shifted=True,
        window=True,
    ),
    "gemma3_text": Shape(
        "gemma3",
        _gemma3,
        {**_GEMMA, "attn_logit_softcapping": (None,), "attention_bias": (False,)},
        shifted=True,
        window=True,
    ),
    "phi3": Shape("phi3", _phi3, {"hidden_act": ("silu",)}, extra=_phi3_extra),
    "gpt2": Shape(
        "gpt2",
        _gpt2,
        {
            "activation_function": ("gelu_new", "gelu_pytorch_tanh", "gelu"),
            "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False,),
            "add_cross_attention": (False,),
        },
        turned=("c_attn.weight", "c_proj.weight", "c_fc.weight"),
        skipped=_BUFFERS,
    ),
    "gpt_neox": Shape(
        "gptneox",
        _gpt_neox,
        {"hidden_act": ("gelu", "gelu_new", "gelu_fast"), "attention_bias": (True,)},
        _gpt_neox_rows,
        skipped=_BUFFERS,
        own_output=True,
    ),
}
