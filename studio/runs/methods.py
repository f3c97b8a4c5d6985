"""The methods a run can train by: what each learns from, and its settings.

Defaults are those of the papers or of TRL (https://huggingface.co/docs/trl), named where they stand.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from studio.data.lessons import Learns, natural, teaches
from studio.data.records import DatasetType
from studio.runs.rewards import LengthReward, ModelReward, Reward

BASIC: dict[str, Any] = {"level": "basic"}


class Part(BaseModel):
    """A part of a RunSpec."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Method(Part):
    """`learns`: what rows must hold. `least_rows`: the smallest batch the method can learn from. `writes`: what comes
    out writes answers, and so can be chatted with; a reward model only scores them. `judged_by`: what tells on the
    validation rows how good it is: a low loss, or a high reward."""

    learns: ClassVar[Learns]
    least_rows: ClassVar[int] = 1
    writes: ClassVar[bool] = True
    judged_by: ClassVar[Literal["loss", "reward"]] = "loss"

    @property
    def reward_runs(self) -> tuple[str, ...]:
        """Ids of the runs whose reward models are asked, each once."""
        return ()


class SftSpec(Method):
    """Supervised fine-tuning: learn to give the answers of the rows."""

    learns: ClassVar[Learns] = "answers"
    kind: Literal["sft"] = "sft"
    loss_on: Literal["answer", "all"] = "answer"


class CptSpec(Method):
    """Continued pre-training: read on in documents, every token of them learned.

    `packed`: passages follow each other, an end token between them, in blocks of the longest length. `new_tokens`: as
    many are added to the vocabulary, at most, for what the tokenizer cuts into many pieces (`models/new_tokens.py`).
    """

    learns: ClassVar[Learns] = "text"
    kind: Literal["cpt"] = "cpt"
    packed: bool = True
    new_tokens: Annotated[int, Field(ge=0, le=4000, json_schema_extra={"unit": "tokens"})] = 0


class DpoSpec(Method):
    """Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290): make the better answer likelier than the
    worse one, by how much the base model already does.

    `loss`: `sigmoid` as in the paper; `ipo` (Azar et al. 2023, arXiv:2310.12036) aims at a margin instead of growing it
    for ever. `beta`: how closely to stay with the base model; 0.1 in the paper and in TRL. `sft_weight`: how much the
    better answer is learned beside; 0.2 in Llama 3 (arXiv:2407.21783, section 4.1.4). Without it the better answer may
    become unlikelier too, as long as the worse one does more so, most of all where both differ in little (Pal et al.
    2024, arXiv:2402.13228).
    """

    learns: ClassVar[Learns] = "pairs"
    kind: Literal["dpo"] = "dpo"
    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    beta: Annotated[float, Field(gt=0, le=10, json_schema_extra=BASIC)] = 0.1
    sft_weight: Annotated[float, Field(ge=0, le=10)] = 0.2


class SimpoSpec(Method):
    """Simple preference optimisation (Meng et al. 2024, arXiv:2405.14734): no base model to compare with; the mean
    log-probability per token is the reward.

    `beta` and `margin` (gamma) are in the paper's ranges: beta 2.0-2.5, gamma/beta 0.3-0.8. `sft_weight` as in DPO; the
    paper has none, CPO-SimPO adds it (Xu et al. 2024, arXiv:2401.08417).
    """

    learns: ClassVar[Learns] = "pairs"
    kind: Literal["simpo"] = "simpo"
    beta: Annotated[float, Field(gt=0, le=100, json_schema_extra=BASIC)] = 2.0
    margin: Annotated[float, Field(ge=0, le=100)] = 1.0
    sft_weight: Annotated[float, Field(ge=0, le=10)] = 0.2


class OrpoSpec(Method):
    """Odds ratio preference optimisation (Hong et al. 2024, arXiv:2403.07691): supervised fine-tuning on the better
    answer and a penalty on the odds of the worse one, in one step and without a base model to compare with.

    `beta`: weight of the penalty (lambda in the paper), 0.1 there and in TRL.
    """

    learns: ClassVar[Learns] = "pairs"
    kind: Literal["orpo"] = "orpo"
    beta: Annotated[float, Field(gt=0, le=10, json_schema_extra=BASIC)] = 0.1


class KtoSpec(Method):
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv:2402.01306): learn from thumbs up and down, each on
    its own.

    `beta` as in DPO. Both weights are 1 where thumbs up and down are about as many; the paper wants the sum of the
    weights of either kind within a ratio of 1 to 4/3.
    """

    learns: ClassVar[Learns] = "ratings"
    least_rows: ClassVar[int] = 2  # each question is compared with another row's answer
    kind: Literal["kto"] = "kto"
    beta: Annotated[float, Field(gt=0, le=10, json_schema_extra=BASIC)] = 0.1
    liked_weight: Annotated[float, Field(gt=0, le=100)] = 1.0
    disliked_weight: Annotated[float, Field(gt=0, le=100)] = 1.0


class RewardSpec(Method):
    """Reward model (Stiennon et al. 2020, arXiv:2009.01325; Ouyang et al. 2022, arXiv:2203.02155): learn to score
    answers, so that the better one of a pair gets more. RLOO and GRPO then train against it."""

    learns: ClassVar[Learns] = "pairs"
    writes: ClassVar[bool] = False
    kind: Literal["reward"] = "reward"


class RolloutSpec(Method):
    """What the methods share that let the model answer and learn from the rewards of its answers.

    A step takes `training.batch_size` rows, and of each draws `samples_per_row` answers. `beta`: how closely to stay
    with the model as it began, by the divergence from it (KL).
    """

    learns: ClassVar[Learns] = "prompts"
    judged_by: ClassVar[Literal["loss", "reward"]] = "reward"
    rewards: Annotated[tuple[Reward, ...], Field(min_length=1, max_length=16, json_schema_extra=BASIC)] = (
        LengthReward(),
    )
    samples_per_row: Annotated[int, Field(ge=2, le=64, json_schema_extra={**BASIC, "unit": "answers"})] = 4
    max_new_tokens: Annotated[int, Field(ge=1, le=8192, json_schema_extra={**BASIC, "unit": "tokens"})] = 64
    temperature: Annotated[float, Field(gt=0, le=5)] = 1.0
    beta: Annotated[float, Field(ge=0, le=10, json_schema_extra=BASIC)] = 0.05

    @property
    def reward_runs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(reward.run for reward in self.rewards if isinstance(reward, ModelReward)))


class RlooSpec(RolloutSpec):
    """REINFORCE leave-one-out (Ahmadian et al. 2024, arXiv:2402.14740): an answer is good when it gets more than the
    mean of the other answers to its question. The divergence is taken off the reward; 0.05 of it in TRL.
    """

    kind: Literal["rloo"] = "rloo"


class GrpoSpec(RolloutSpec):
    """Group relative policy optimisation (Shao et al. 2024, arXiv:2402.03300): an answer is good when it gets more than
    the mean of all answers to its question, in units of their standard deviation. The divergence is a part of the
    loss; 0.04 of it in the paper. Against rewards that differ by 0.2 it so weighs a fifth of what it does in RLOO: the
    presets have more of it for the starter. Tokens of all answers count alike, as in TRL (DAPO, Yu et al. 2025,
    arXiv:2503.14476).
    """

    kind: Literal["grpo"] = "grpo"
    beta: Annotated[float, Field(ge=0, le=10, json_schema_extra=BASIC)] = 0.04


MethodSpec = Annotated[
    SftSpec | CptSpec | DpoSpec | SimpoSpec | OrpoSpec | KtoSpec | RewardSpec | RlooSpec | GrpoSpec,
    Field(discriminator="kind"),
]
METHODS: dict[str, type[Method]] = {
    "sft": SftSpec,
    "cpt": CptSpec,
    "dpo": DpoSpec,
    "simpo": SimpoSpec,
    "orpo": OrpoSpec,
    "kto": KtoSpec,
    "reward": RewardSpec,
    "rloo": RlooSpec,
    "grpo": GrpoSpec,
}


def natural_method(kind: DatasetType) -> str:
    """The method that makes the most of rows of this kind."""
    return next(name for name, method in METHODS.items() if method.learns == natural(kind))


def methods_for(kind: DatasetType) -> list[str]:
    """The methods that rows of this kind can teach, the natural one first."""
    able = [name for name, method in METHODS.items() if teaches(kind, method.learns)]
    return sorted(able, key=lambda name: METHODS[name].learns != natural(kind))
