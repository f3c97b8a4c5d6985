"""The constants on top of a reproduction script: the run's own settings, and the losses it came to."""

import re
from typing import Any

from studio.export.facts import CardFacts, RunFacts
from studio.export.names import base_place
from studio.export.script_rewards import reward_pieces
from studio.export.script_text import Code, call, written
from studio.runs.methods import DpoSpec, KtoSpec, OrpoSpec, RolloutSpec, SimpoSpec
from studio.runs.spec import LoraSpec

# Of the run's steps so many are named with their losses.
_TOLD_STEPS = 5
_SELF_EVIDENT = ("base_model_name_or_path", "revision", "inference_mode", "peft_type", "peft_version", "auto_mapping")


def constants(facts: CardFacts, run: RunFacts, pieces: str) -> str:
    """Those that the `pieces` name, the options of trainer and adapter, and the functions that reward."""
    spec = run.spec
    values: dict[str, object] = {
        "HERE": Code("Path(__file__).resolve().parent"),
        "BASE": base_place(facts.base),
        "REVISION": facts.base.commit,
        "DTYPE": Code(f"torch.{run.training.numbers if isinstance(spec.tuner, LoraSpec) else 'float32'}"),
        "MAX_LENGTH": min(spec.data.max_length, facts.base.context_length),
        "SEED": spec.training.seed,
        "KEPT_STEP": run.step,
        **_of_method(facts, run),
        "RECORDED": Code(_recorded(run)),
        "VALIDATION_LOSS": run.loss_after,
    }
    lines = [f"{name} = {written(value)}" for name, value in values.items() if re.search(rf"\b{name}\b", pieces)]
    lines.append(call("OPTIONS = dict", _options(run)))
    if isinstance(spec.tuner, LoraSpec):
        lines.append(call("ADAPTER = LoraConfig", _adapter(facts)))
    if isinstance(spec.method, RolloutSpec):
        lines.append("\n\n" + "\n\n".join(reward_pieces(spec.method.rewards)))
    return "\n".join(lines)


def _recorded(run: RunFacts) -> str:
    losses = run.training.losses
    steps = _told(sorted(step for step in losses if step <= run.step))
    return "".join(("{  # step and loss of the run\n", *(f"    {step}: {losses[step]!r},\n" for step in steps), "}"))


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
