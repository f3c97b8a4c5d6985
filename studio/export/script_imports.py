"""The imports of a reproduction script: those that its text uses."""

import re
from collections.abc import Iterable

_IMPORTS = """\
import argparse
import copy
import json
import math
import random
import regex
import unicodedata
import jsonschema
from pathlib import Path
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, BitsAndBytesConfig, TrainerCallback
)
from trl import (
    DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer, RLOOConfig,
    RLOOTrainer, SFTConfig, SFTTrainer
)
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference
"""
_STANDARD = ("argparse", "copy", "json", "math", "random", "unicodedata", "pathlib")


def imports(text: str) -> str:
    """Those whose names stand in the text."""

    def used(names: Iterable[str]) -> list[str]:
        return [name for name in names if re.search(rf"\b{name}\b[.()\],]", text)]

    standard, others = [], []
    for line in re.sub(r"\(\n(.*?)\n\)", r"\1", _IMPORTS, flags=re.DOTALL).replace(",\n", ",").splitlines():
        module = line.split()[1].split(".")[0]
        head, _, names = line.partition(" import ") if line.startswith("from") else (line, "", line.split()[1])
        if found := used(name.strip() for name in names.split(",")):
            made = line if not line.startswith("from") else f"{head} import {', '.join(found)}"
            (standard if module in _STANDARD else others).append(made)
    return "\n".join((*sorted(standard, key=lambda one: one.startswith("from")), "", *_first_plain(others)))


def _first_plain(lines: list[str]) -> list[str]:
    return sorted(lines, key=lambda one: (one.startswith("from"), one))
