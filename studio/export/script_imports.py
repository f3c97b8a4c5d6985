"""The imports of a reproduction script: those that its text uses."""

import re
from collections.abc import Iterator

_Imports = tuple[tuple[str, tuple[str, ...]], ...]

# Each module with what is taken from it, as they are written one below the other; without names it is itself imported.
_STANDARD: _Imports = (
    *((module, ()) for module in ("argparse", "copy", "json", "math", "random", "unicodedata")),
    ("pathlib", ("Path",)),
)
_LIBRARIES: _Imports = (
    *((module, ()) for module in ("jsonschema", "regex", "torch")),
    ("datasets", ("Dataset",)),
    ("peft", ("LoraConfig", "get_peft_model", "get_peft_model_state_dict", "set_peft_model_state_dict")),
    ("peft.tuners.lora", ("LoraLayer",)),
    ("safetensors.torch", ("load_file",)),
    ("torch", ("nn",)),
    ("transformers", ("AutoModelForCausalLM", "AutoModelForSequenceClassification", "AutoTokenizer",
                      "BitsAndBytesConfig", "TrainerCallback")),
    ("trl", ("DPOConfig", "DPOTrainer", "GRPOConfig", "GRPOTrainer", "KTOConfig", "KTOTrainer", "RewardConfig",
             "RewardTrainer", "RLOOConfig", "RLOOTrainer", "SFTConfig", "SFTTrainer")),
    ("trl.trainer.kto_trainer", ("DataCollatorForUnpairedPreference",)),
)  # fmt: skip


def imports(text: str) -> str:
    """The standard library's, an empty line, and the others."""
    return "\n".join((*_lines(_STANDARD, text), "", *_lines(_LIBRARIES, text)))


def _lines(wanted: _Imports, text: str) -> Iterator[str]:
    for module, names in wanted:
        used = [name for name in names or (module,) if re.search(rf"\b{name}\b[.()\],]", text)]
        if used:
            yield f"from {module} import {', '.join(used)}" if names else f"import {module}"
