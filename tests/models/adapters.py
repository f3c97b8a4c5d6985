"""Adapters with random weights, strong enough to change every answer: made in a blink, with no training."""

from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from studio.runs.spec import LoraSpec
from studio.training.lora import lora_config
from tests.tiny import tiny_model


def save_adapter(
    folder: Path,
    kind: str = "llama",
    *,
    seed: int = 1,
    strength: float = 0.3,
    rank: int = 4,
    dropout: float = 0.0,
    targets: Literal["all-linear", "attention"] = "all-linear",
) -> Path:
    """An adapter of the tiny model of that kind, in PEFT's own format; returns its folder. Strength 0 does nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        base = tiny_model(kind)
        model = get_peft_model(
            base, lora_config(LoraSpec(rank=rank, alpha=2 * rank, dropout=dropout, targets=targets), base)
        )
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=strength)
    model.save_pretrained(str(folder))
    return folder


def save_plain(folder: Path, kind: str = "llama", *, seed: int = 1, strength: float = 0.3, **options: Any) -> Path:
    """An adapter as PEFT itself makes it, with these options of its configuration; returns its folder."""
    layers = ["c_attn", "c_proj"] if kind == "gpt2" else ["q_proj", "v_proj", "down_proj"]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LoraConfig(**{"task_type": "CAUSAL_LM", "r": 3, "lora_alpha": 5, "target_modules": layers, **options})
        model = get_peft_model(tiny_model(kind), config)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=strength)
            elif "magnitude" in name:
                parameter.data *= 1.5
    model.save_pretrained(str(folder))
    return folder


def save_for(
    model: Path, folder: Path, *, seed: int = 1, strength: float = 0.5, variant: Literal["lora", "dora"] = "lora"
) -> Path:
    """An adapter of the model in this folder; returns its own."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        base = AutoModelForCausalLM.from_pretrained(model)
        tuned = get_peft_model(base, lora_config(LoraSpec(rank=4, alpha=8, variant=variant), base))
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=strength)
    tuned.save_pretrained(str(folder))
    return folder
