"""The LoRA adapter of a spec."""

from typing import TYPE_CHECKING

from studio.errors import ModelError
from studio.runs.spec import LoraSpec

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel


def lora_config(spec: LoraSpec, model: "PreTrainedModel") -> "LoraConfig":
    """PEFT's configuration for `model`, whatever its architecture. Raises ModelError if no layer can be adapted."""
    from peft import LoraConfig
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    layers = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    head = model.get_output_embeddings()
    names = [
        name
        for name, module in layers.items()
        if module is not head and (spec.targets == "all-linear" or "attn" in name or "attention" in name)
    ]
    if not names:
        raise ModelError("error.model.no_layers", targets=spec.targets, model=type(model).__name__)
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=spec.rank,
        lora_alpha=spec.alpha,  # type: ignore[arg-type]  # PEFT divides it; a fraction is fine
        lora_dropout=spec.dropout,
        target_modules=_suffixes(names, layers),
        fan_in_fan_out=any(isinstance(layers[name], Conv1D) for name in names),
        bias="none",
    )


def _suffixes(names: list[str], layers: dict[str, object]) -> list[str]:
    """The shortest endings that name just these layers, so that the adapter's configuration stays readable."""
    wanted = set(names)
    for depth in (1, 2):
        endings = {".".join(name.split(".")[-depth:]) for name in names}
        hit = {name for name in layers if any(name == e or name.endswith(f".{e}") for e in endings)}
        if hit == wanted:
            return sorted(endings)
    return sorted(names)
