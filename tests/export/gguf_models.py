"""Tiny model folders to be written as GGUF, and what llama.cpp makes of the files."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from llama_cpp import Llama
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from tests.tiny import SHAPES, tiny_model, tiny_tokenizer

IDS = list(range(5, 45))
_GGML_F32 = 0


def save_random(folder: Path, kind: str = "llama", *, tied: bool = False, **settings: Any) -> PreTrainedModel:
    """A model folder in which no weight is 0 or 1, as norms and biases are at first; returns the model."""
    config = tiny_model(kind, tied=tied).config.to_dict() | settings
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * (0.2 if weight.ndim < 2 else 0.05))
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    if "vocab_size" in SHAPES.get(kind, {}):  # the tokenizer that transformers makes of it has one token more
        AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    return model


def scores(model: Any, ids: list[int] = IDS) -> NDArray[np.float32]:
    """Of transformers, of every next token."""
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].numpy()


def llama_scores(file: Path, ids: list[int] = IDS, adapter: Path | None = None) -> NDArray[np.float32]:
    """Of llama.cpp, which keeps 16 bits of what it has read by default; here it keeps all."""
    llama = Llama(
        str(file),
        lora_path=str(adapter) if adapter else None,
        n_ctx=64,
        logits_all=True,
        n_threads=1,
        n_threads_batch=1,
        type_k=_GGML_F32,
        type_v=_GGML_F32,
        verbose=False,
    )
    llama.eval(ids)
    found = np.array(llama.scores[: len(ids)])
    llama.close()
    return found


def off(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """The largest difference, as a share of the largest score."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())
