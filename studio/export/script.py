"""The reproduction script of an export: the same training in plain Transformers, PEFT and TRL, to be read and run.

It is written of the run's own settings, with constants on top; what it cannot do alike is told in it and in the card.
"""

import json
import re
import textwrap
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from studio.export import script_parts as parts
from studio.export.facts import CardFacts, RunFacts
from studio.export.names import base_place
from studio.messages import translate
from studio.runs.methods import CptSpec, DpoSpec, KtoSpec, OrpoSpec, RewardSpec, RolloutSpec, SftSpec, SimpoSpec
from studio.runs.rewards import ContainsReward, ExactReward, JsonReward, LengthReward, RegexReward, Reward
from studio.runs.spec import LoraSpec

FILE = "reproduce.py"
_LIBRARIES = ("torch", "transformers", "peft", "trl", "datasets", "accelerate")
# Of the run's steps so many are named with their losses.
_TOLD_STEPS = 5
_SELF_EVIDENT = ("base_model_name_or_path", "revision", "inference_mode", "peft_type", "peft_version", "auto_mapping")
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
_COMPARED = (
    "Losses of the run stand below, and are printed beside those this comes to. Sums are taken in another order, and "
    "what that rounds away grows: first steps are the same to six digits, later ones to about three."
)
_STANDARD = ("argparse", "copy", "json", "math", "random", "unicodedata", "pathlib")


def why_not(facts: CardFacts) -> str | None:
    """The name of the sentence that says why there is no script; None: there is one."""
    if facts.run is None:
        return "elsewhere"
    method = facts.run.spec.method
    if facts.vocabulary is not None:
        return "new_tokens"
    if isinstance(method, RolloutSpec) and any(_reward(0, reward) is None for reward in method.rewards):
        return "rewards"
    return None


def differences(run: RunFacts) -> tuple[str, ...]:
    """The names of the sentences that say in what the script's training is not the run's to the last digit."""
    spec = run.spec
    method, tuner = spec.method, spec.tuner
    summed = isinstance(method, SftSpec | CptSpec)
    found = {
        "rollouts": isinstance(method, RolloutSpec),
        "dropout": isinstance(tuner, LoraSpec) and tuner.dropout > 0,
        "accumulation": not summed and not isinstance(method, RolloutSpec) and spec.training.accumulation > 1,
        "bfloat16": run.training.numbers == "bfloat16",
        "four_bits": tuner.quantisation == "nf4",
    }
    return tuple(name for name, true in found.items() if true)


def reproduction(facts: CardFacts) -> str | None:
    """The script; None where `why_not` says why there is none."""
    run = facts.run
    if run is None or why_not(facts):
        return None
    body = "\n\n".join(piece.rstrip("\n") + "\n" for piece in _pieces(run))
    constants = _constants(facts, run)
    text = f"{constants}\n\n\n{body}"
    return f'"""{_about(facts, run)}"""\n\n{_imports(text)}\n\n{text}'


def _about(facts: CardFacts, run: RunFacts) -> str:
    """What stands on top. Nothing that users wrote, for it is in the script's own words."""
    libraries = [f"{name}=={version(name).split('+')[0]}" for name in (*_LIBRARIES, *_more(run))]
    validates = bool(run.data.validation_rows)
    files = "train.jsonl and validation.jsonl" if validates else "train.jsonl"
    count = f"{run.data.train_rows} and {run.data.validation_rows}" if validates else f"{run.data.train_rows}"
    rows = [
        f"The rows are {files}, one JSON object a line in TRL's forms: the {count} rows that the run",
        "learned from, in its order. They are in an export only where its maker wanted them there.",
    ]
    made = [
        f"Made by Fine-Tuning Studio {facts.studio_version} of run {run.id}; all settings are in run-spec.yaml.",
        *([] if _draws(run) else [_COMPARED]),
    ]
    told = [translate(f"ui.export.card.script.differs.{name}", "en") for name in differences(run)]
    parent = " --parent FOLDER_OF_THE_ADAPTER_IT_WENT_ON_FROM" if run.training.parent else ""
    return "\n".join(
        [
            "Trains what lies beside this file anew, with Transformers, PEFT and TRL alone.",
            "",
            _filled("pip install " + " ".join(libraries), "    ", " \\\\"),
            f"    python {FILE} --base NAME_OR_FOLDER --rows FOLDER --out FOLDER{parent}",
            "",
            _filled(" ".join(rows)),
            "",
            _filled(" ".join(made)),
            *(("", "What is not the same to the last digit:") if told else ()),
            *(_filled(f"- {one}") for one in told),
            "",
        ]
    )


def _filled(text: str, before: str = "", end: str = "") -> str:
    lines = textwrap.wrap(text, 110, initial_indent=before, subsequent_indent=before and before * 2)
    return f"{end}\n".join(lines)


def _draws(run: RunFacts) -> bool:
    """Whether answers are drawn and rewarded: there is no loss to compare."""
    return isinstance(run.spec.method, RolloutSpec)


def _more(run: RunFacts) -> tuple[str, ...]:
    method = run.spec.method
    rewards = method.rewards if isinstance(method, RolloutSpec) else ()
    return (
        *(("bitsandbytes",) if run.spec.tuner.quantisation == "nf4" else ()),
        *(("regex",) if any(isinstance(reward, RegexReward) for reward in rewards) else ()),
        *(("jsonschema",) if any(isinstance(reward, JsonReward) for reward in rewards) else ()),
    )


def _imports(text: str) -> str:
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


# Constants


def _constants(facts: CardFacts, run: RunFacts) -> str:
    spec, training = run.spec, run.training
    length = min(spec.data.max_length, facts.base.context_length)
    values: dict[str, object] = {
        "HERE": _Code("Path(__file__).resolve().parent"),
        "BASE": base_place(facts.base),
        "REVISION": facts.base.commit,
        "DTYPE": _Code(f"torch.{'float32' if not isinstance(spec.tuner, LoraSpec) else training.numbers}"),
        "MAX_LENGTH": length,
        "SEED": spec.training.seed,
        "KEPT_STEP": run.step,
        **_of_method(facts, run),
    }
    wanted = "\n".join(_pieces(run))
    lines = [f"{name} = {_written(value)}" for name, value in values.items() if re.search(rf"\b{name}\b", wanted)]
    if not _draws(run):
        steps = _told(sorted(step for step in training.losses if step <= run.step))
        recorded = "".join(f"    {step}: {training.losses[step]!r},\n" for step in steps)
        lines.append(f"RECORDED = {{  # step and loss of the run\n{recorded}}}")
    if run.loss_after is not None and not _draws(run):
        lines.append(f"VALIDATION_LOSS = {run.loss_after!r}")
    lines.append(_call("OPTIONS = dict", _options(run)))
    if isinstance(spec.tuner, LoraSpec):
        lines.append(_call("ADAPTER = LoraConfig", _adapter(facts)))
    if isinstance(spec.method, RolloutSpec):
        names = [f"reward_{place}_{reward.kind}" for place, reward in enumerate(spec.method.rewards)]
        functions = [_reward(place, reward) for place, reward in enumerate(spec.method.rewards)]
        said = [parts.SAID] if any("said(" in (text or "") for text in functions) else []
        lines.append("\n\n" + "\n\n".join((*said, *(text for text in functions if text))))
        lines.append(f"\nREWARDS = [{', '.join(names)}]\n")
    return "\n".join(lines)


class _Code(str):
    """Stands in the script as it is."""

    def __repr__(self) -> str:
        return str(self)


def _written(value: object) -> str:
    """As Python has it, texts in double quotes."""
    if isinstance(value, str) and not isinstance(value, _Code):
        return json.dumps(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return repr(value)


def _call(name: str, values: dict[str, Any]) -> str:
    return "\n".join((f"{name}(", *(f"    {key}={_written(value)}," for key, value in values.items()), ")"))


def _told(steps: list[int]) -> list[int]:
    """The first and last of them, and some between."""
    if len(steps) <= _TOLD_STEPS:
        return steps
    return [steps[round(part * (len(steps) - 1) / (_TOLD_STEPS - 1))] for part in range(_TOLD_STEPS)]


def _of_method(facts: CardFacts, run: RunFacts) -> dict[str, object]:
    match run.spec.method:
        case DpoSpec(loss=loss, beta=beta, sft_weight=weight):
            losses = {loss: 1.0, **({"sft": weight} if weight else {})}
            return {"BETA": beta, "LOSSES": list(losses), "WEIGHTS": list(losses.values())}
        case SimpoSpec(beta=beta, margin=margin, sft_weight=weight):
            return {"BETA": beta, "MARGIN": margin, "SFT_WEIGHT": weight}
        case OrpoSpec(beta=beta):
            return {"BETA": beta}
        case KtoSpec(beta=beta, liked_weight=liked, disliked_weight=disliked):
            return {"BETA": beta, "LIKED": liked, "DISLIKED": disliked}
        case RolloutSpec() as method:
            return {
                "BETA": method.beta,
                "SAMPLES": method.samples_per_row,
                "ANSWER_TOKENS": method.max_new_tokens,
                "TEMPERATURE": method.temperature,
                "WEIGHTS": [reward.weight for reward in method.rewards],
                "STOPS": list(facts.stops),
            }
    return {}


def _options(run: RunFacts) -> dict[str, Any]:
    spec, training = run.spec, run.spec.training
    drawn = spec.method.samples_per_row if isinstance(spec.method, RolloutSpec) else 1
    return {
        "max_steps": run.training.total_steps,
        "per_device_train_batch_size": training.batch_size * drawn,
        "per_device_eval_batch_size": training.batch_size * drawn,
        "gradient_accumulation_steps": training.accumulation,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": training.schedule,
        "warmup_steps": int(training.warmup_share * run.training.total_steps),
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "activation_checkpointing": training.gradient_checkpointing,
        "bf16": run.training.numbers == "bfloat16",
        "seed": training.seed,
        "data_seed": training.seed,
        **({"router_aux_loss_coef": 0.0} if spec.method.writes else {}),
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
    }


def _adapter(facts: CardFacts) -> dict[str, Any]:
    """What of the adapter's configuration is not as it usually is."""
    from peft import LoraConfig

    usual = LoraConfig().to_dict()
    given = {key: value for key, value in facts.adapter_config.items() if key not in _SELF_EVIDENT}
    return {
        key: sorted(value) if isinstance(value, list) and key == "target_modules" else value
        for key, value in given.items()
        if (key in usual and value != usual[key]) or key == "target_modules"
    }


# Pieces


def _pieces(run: RunFacts) -> list[str]:
    """The functions, in the order in which they are called."""
    spec = run.spec
    lora = isinstance(spec.tuner, LoraSpec)
    parent = run.training.parent is not None
    validates = run.loss_after is not None and not _draws(run)
    arguments = parts.ARGUMENTS.replace("@PARENT@", parts.PARENT_ARGUMENT if parent else "")
    return [
        arguments,
        *_rows(run),
        *([parts.SEEDS] if lora else []),
        _model(run),
        *([_with_adapter(run)] if lora else []),
        *_trainer(run, validates),
        parts.STOP,
        _main(run, validates),
    ]


def _rows(run: RunFacts) -> list[str]:
    method = run.spec.method
    match method:
        case CptSpec(packed=packed):
            return [parts.CPT_ROWS.replace("@PACK@", parts.CPT_PACKED if packed else parts.CPT_CUT)]
        case RolloutSpec():
            return [parts.PROMPT_ROWS]
        case SftSpec(loss_on=loss_on):
            every = loss_on == "all"
            made = parts.SFT_ROWS.replace(
                "; only answers are learned@ALL@", "" if every else "; only answers are learned"
            )
            return [
                parts.CHATS,
                made.replace("token if @LEARNED@ else -100", "token" if every else "token if own else -100"),
            ]
        case KtoSpec():
            return [parts.CHATS, parts.KTO_ROWS]
        case RewardSpec():
            return [parts.CHATS, parts.REWARD_ROWS]
    return [parts.CHATS, parts.PAIR_ROWS]


def _model(run: RunFacts) -> str:
    spec = run.spec
    four = spec.tuner.quantisation == "nf4"
    kind = "AutoModelForCausalLM" if spec.method.writes else "AutoModelForSequenceClassification"
    labels = "" if spec.method.writes else ", num_labels=1"
    bits = (
        ",\n        quantization_config=BitsAndBytesConfig(\n"
        '            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,\n'
        "            bnb_4bit_compute_dtype=DTYPE,\n        ),\n"
        '        device_map="cuda" if torch.cuda.is_available() else "cpu",'
    )
    return (
        parts.MODEL.replace("@KIND@", kind)
        .replace("@LOADED@", labels + (bits if four else ""))
        .replace("@PACKED@", parts.FOUR_BITS_MEND if four else "")
    )


def _with_adapter(run: RunFacts) -> str:
    parent = run.training.parent is not None
    more = ("" if run.spec.method.writes else parts.ADAPTER_SCORE) + (parts.ADAPTER_PARENT if parent else "")
    return parts.ADAPTER.replace("@PARENT@", ", parent" if parent else "").replace("@MORE@", more)


def _trainer(run: RunFacts, validates: bool) -> list[str]:
    method = run.spec.method
    copied = "None" if isinstance(run.spec.tuner, LoraSpec) else "copy.deepcopy(model).requires_grad_(False).eval()"
    judged = [parts.EVALUATED] if validates else []
    match method:
        case SftSpec() | CptSpec():
            make, _, own = parts.SFT_TRAINER.partition("\n\ndef validation_loss")
            return [make, *([f"def validation_loss{own}"] if validates else [])]
        case DpoSpec():
            return [parts.DPO_TRAINER.replace("@REFERENCE@", copied), *judged]
        case KtoSpec():
            return [parts.KTO_TRAINER.replace("@REFERENCE@", copied), *judged]
        case SimpoSpec():
            return [parts.SIMPO_LOSS, parts.MEAN_PAIR_TRAINER, *judged]
        case OrpoSpec():
            return [parts.ORPO_LOSS, parts.MEAN_PAIR_TRAINER, *judged]
        case RewardSpec():
            return [parts.REWARD_TRAINER, *judged]
    name = method.kind.upper()  # type: ignore[attr-defined]  # RLOO or GRPO
    return [parts.ROLLOUT_TRAINER.replace("@CONFIG@", f"{name}Config").replace("@TRAINER@", f"{name}Trainer")]


def _main(run: RunFacts, validates: bool) -> str:
    spec = run.spec
    lora, four = isinstance(spec.tuner, LoraSpec), spec.tuner.quantisation == "nf4"
    parent = ", given.parent" if run.training.parent else ""
    likelihood = isinstance(spec.method, SftSpec | CptSpec)
    filled = {
        "@VALIDATED@": parts.VALIDATED if validates else "",
        "@MODEL@": f"with_adapter(load_model(given.base){parent})"
        if lora
        else "load_model(given.base).requires_grad_(True)",
        "@VALIDATION@": "Dataset.from_list(validation)" if validates and not likelihood else "None",
        "@COMPARED@": "" if _draws(run) else parts.COMPARED,
        "@AFTER@": parts.FLOAT_AFTER if four else "",
        "@JUDGED@": parts.JUDGED.replace("@ROWS@", "validation" if likelihood else "None") if validates else "",
        "@ONLY@": ', selected_adapters=["default"]' if lora else "",
    }
    text = parts.MAIN
    for mark, value in filled.items():
        text = text.replace(mark, value)
    return (
        text.replace("    trainer = make_trainer(", f"{parts.FLOAT_BEFORE}    trainer = make_trainer(")
        if four
        else text
    )


def _reward(place: int, reward: Reward) -> str | None:
    """The function that rewards; None where it takes a part of the studio. What users wrote is filled in last."""
    values: dict[str, str] = {"NAME": f"reward_{place}_{reward.kind}"}
    match reward:
        case JsonReward(json_schema=schema) if schema.strip():
            text, check = parts.REWARD_JSON, f"            jsonschema.validate(value, json.loads({schema!r}))\n"
            values |= {"FITS": " and fits the schema", "ERRORS": ", jsonschema.ValidationError", "CHECK": check}
        case JsonReward():
            text, none = parts.REWARD_JSON.replace("value = json", "json"), {"FITS": "", "ERRORS": "", "CHECK": ""}
            values |= none
        case ContainsReward(text=wanted, ignore_case=fold):
            text = parts.REWARD_CONTAINS
            values |= {"FOLD": repr(fold), "TEXT": repr(wanted)}
        case RegexReward(pattern=pattern):
            text = parts.REWARD_REGEX
            values |= {"PATTERN": repr(pattern)}
        case LengthReward(low=low, high=high):
            text = parts.REWARD_LENGTH
            values |= {"LOW": str(low), "HIGH": str(high)}
        case ExactReward(ignore_case=fold):
            text = parts.REWARD_EXACT
            values |= {"FOLD": repr(fold)}
        case _:
            return None
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text
