"""The reproduction script of an export: the same training in plain Transformers, PEFT and TRL, to be read and run.

It is written of the run's own settings, with constants on top; what it cannot do alike is told in it and in the card.
Its pieces import nothing of the studio: each does what the studio's own code does, said in the fewest words for one
run; `tests/export/test_script.py` runs them against runs of the studio.
"""

import textwrap
from importlib.metadata import version

from studio.export.facts import CardFacts, RunFacts
from studio.export.script_constants import constants
from studio.export.script_imports import imports
from studio.export.script_main import arguments_piece, main_piece
from studio.export.script_model import model_pieces
from studio.export.script_rewards import can_reward
from studio.export.script_rows import row_pieces
from studio.export.script_trainer import trainer_pieces
from studio.messages import translate
from studio.runs.methods import CptSpec, RolloutSpec, SftSpec
from studio.runs.rewards import JsonReward, RegexReward
from studio.runs.spec import LoraSpec

FILE = "reproduce.py"
_LIBRARIES = ("torch", "transformers", "peft", "trl", "datasets", "accelerate")
_COMPARED = (
    "Losses of the run stand below, and are printed beside those this comes to. Sums are taken in another order, and "
    "what that rounds away grows: first steps are the same to six digits, later ones to about three."
)


def why_not(facts: CardFacts) -> str | None:
    """The name of the sentence that says why there is no script; None: there is one."""
    if facts.run is None:
        return "elsewhere"
    method = facts.run.spec.method
    if facts.vocabulary is not None:
        return "new_tokens"
    if isinstance(method, RolloutSpec) and not can_reward(method.rewards):
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
    pieces = "\n\n".join(piece.rstrip("\n") + "\n" for piece in _pieces(run))
    text = f"{constants(facts, run, pieces)}\n\n\n{pieces}"
    return f'"""{_about(facts, run)}"""\n\n{imports(text)}\n\n{text}'


def _pieces(run: RunFacts) -> list[str]:
    """The functions, in the order in which they are called."""
    validates = run.loss_after is not None and not isinstance(run.spec.method, RolloutSpec)
    return [
        arguments_piece(run),
        *row_pieces(run),
        *model_pieces(run),
        *trainer_pieces(run, validates),
        main_piece(run, validates),
    ]


# What stands on top


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
        *([] if isinstance(run.spec.method, RolloutSpec) else [_COMPARED]),
    ]
    told = [translate(f"ui.export.card.script.differs.{name}", "en") for name in differences(run)]
    parent = " --parent FOLDER_OF_THE_ADAPTER_IT_WENT_ON_FROM" if run.training.parent else ""
    return "\n".join(
        [
            "Trains what lies beside this file anew, with Transformers, PEFT and TRL alone.",
            "",
            _wrapped("pip install " + " ".join(libraries), "    ", " \\\\"),
            f"    python {FILE} --base NAME_OR_FOLDER --rows FOLDER --out FOLDER{parent}",
            "",
            _wrapped(" ".join(rows)),
            "",
            _wrapped(" ".join(made)),
            *(("", "What is not the same to the last digit:") if told else ()),
            *(_wrapped(f"- {one}") for one in told),
            "",
        ]
    )


def _wrapped(text: str, before: str = "", end: str = "") -> str:
    lines = textwrap.wrap(text, 110, initial_indent=before, subsequent_indent=before and before * 2)
    return f"{end}\n".join(lines)


def _more(run: RunFacts) -> tuple[str, ...]:
    method = run.spec.method
    rewards = method.rewards if isinstance(method, RolloutSpec) else ()
    return (
        *(("bitsandbytes",) if run.spec.tuner.quantisation == "nf4" else ()),
        *(("regex",) if any(isinstance(reward, RegexReward) for reward in rewards) else ()),
        *(("jsonschema",) if any(isinstance(reward, JsonReward) for reward in rewards) else ()),
    )
