"""Learning rates by method, by how a model is tuned and by its size: what is usual, and why.

Three things decide:

Method. `LARGE` tells what is usual for LoRA on models of 7 to 8 billion parameters, whose hidden size is 4096. Answers:
1e-4 to 5e-4 (Schulman et al. 2025, "LoRA Without Regret"; the Alignment Handbook's Zephyr with QLoRA and TRL's script
have 2e-4). Texts: 2e-4 at most (Biderman et al. 2024, arXiv:2405.09673). Pairs and thumbs: ten times the 5e-7 of full
tuning (Tülu 3, arXiv:2411.15124; Ethayarajh et al. 2024, arXiv:2402.01306), as Zephyr with QLoRA and TRL's script for
DPO have it; SimPO 3e-7 to 1e-6 of full tuning (Meng et al. 2024, arXiv:2405.14734), ORPO 8e-6 (Hong et al. 2024,
arXiv:2403.07691). Scores: ten times the 3e-6 of Tülu 3's reward model. By trying: ten times the 1e-6 of TRL's RLOO and
GRPO. Few rows take larger steps than the hundred thousands of these recipes: the presets lie in the upper half.

Tuner. All weights learn best at about a tenth of the rates of LoRA, whatever the model and the rank (Schulman et al.
2025; Tinker's cookbook has the factor of 10 too).

Size. The smaller a model, the larger its steps may be: the best rate of LoRA falls with the hidden size to the power of
-0.781 (`size_factor`), as fitted to Llama models of 1 to 70 billion parameters (Schulman et al. 2025; in Tinker's
cookbook 5e-4 * (2000 / hidden size) ** 0.781). `tests/runs/test_rates.py` holds it against the published recipes of
models from 0.4 to 70 billion. Two things differ. Qwen models vary less with their size (a power of 0.0775): small ones
take larger steps here than there, but far from what goes wrong. And SmolLM2 was taught to chat at rates three times as
large and more (all weights, 1e-3 at 0.1 and 0.4 billion parameters, 3e-4 at 1.7): its million rows in batches of 128
bear that, a few hundred rows would not.

The starter is far smaller than any model of these papers. Its rates are measured (presets/quick-look.yaml), and no
model gets larger ones.
"""

from dataclasses import dataclass

from studio.runs.spec import STARTER, FullSpec, RunSpec

FULL_RATE = 10
"""How many times the rates of full tuning LoRA takes."""
LARGE_WIDTH = 4096
"""Of Llama and Mistral models of 7 to 8 billion parameters."""
_POWER = 0.781


@dataclass(frozen=True, slots=True)
class Rates:
    """Learning rates of LoRA: `low` to `high` is usual, above `limit` most runs go wrong."""

    low: float
    high: float
    limit: float

    def times(self, factor: float) -> "Rates":
        return Rates(self.low * factor, self.high * factor, self.limit * factor)

    def at_most(self, other: "Rates") -> "Rates":
        return Rates(min(self.low, other.low), min(self.high, other.high), min(self.limit, other.limit))


LARGE = {
    "sft": Rates(1e-4, 5e-4, 1e-3),
    "cpt": Rates(5e-5, 2e-4, 5e-4),
    "dpo": Rates(5e-6, 5e-5, 1e-4),
    "simpo": Rates(5e-6, 8e-5, 2e-4),
    "orpo": Rates(8e-6, 8e-5, 3e-4),
    "kto": Rates(5e-6, 5e-5, 1e-4),
    "reward": Rates(2e-5, 1e-4, 5e-4),
    "rloo": Rates(5e-6, 5e-5, 1e-4),
    "grpo": Rates(5e-6, 5e-5, 1e-4),
}
STARTER_RATES = {
    "sft": Rates(1e-3, 5e-3, 5e-3),
    "cpt": Rates(5e-4, 3e-3, 5e-3),
    "dpo": Rates(1e-4, 3e-4, 5e-4),
    "simpo": Rates(1e-4, 3e-4, 5e-4),
    "orpo": Rates(1e-3, 3e-3, 5e-3),
    "kto": Rates(2e-4, 1e-3, 2e-3),
    "reward": Rates(5e-4, 2e-3, 5e-3),
    "rloo": Rates(2e-4, 1e-3, 3e-3),
    "grpo": Rates(1e-4, 5e-4, 1e-3),
}


def size_factor(width: int | None) -> float:
    """How many times the rates of a model 4096 wide one of this width takes; of an unknown width (None) just these."""
    return (LARGE_WIDTH / width) ** _POWER if width else 1.0


def scaled(large: float, starter: float, width: int | None) -> float:
    """The rate of a model of this width, from that of a large one and of the starter, which bounds it; two digits."""
    return float(f"{min(large * size_factor(width), starter):.2g}")


def usual_rates(spec: RunSpec, width: int | None) -> Rates:
    """What is usual for this method and tuner on a model of this width."""
    kind = spec.method.kind
    found = STARTER_RATES[kind]
    if spec.model.source != STARTER:
        found = LARGE[kind].times(size_factor(width)).at_most(found)
    return found.times(1 / FULL_RATE) if isinstance(spec.tuner, FullSpec) else found
