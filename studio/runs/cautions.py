"""What is allowed in the settings of a run, but often regretted: each risk by its name. Pure."""

from collections.abc import Iterator
from typing import Any

from studio.data.chat_templates import TemplateUse
from studio.runs.methods import CptSpec, DpoSpec, KtoSpec, OrpoSpec, RolloutSpec, SimpoSpec
from studio.runs.rates import usual_rates
from studio.runs.spec import FullSpec, LoraSpec, RunSpec

FEW_TOKENS = 100_000
"""Of text; below, a model learns how it sounds rather than what it says."""
FEW_ROWS = 50
FEW_ROWS_FOR_ALL_WEIGHTS = 1000
LARGE_RANK = 32
STRONG = 4
"""What an adapter adds is usually multiplied by two (alpha twice the rank); the presets of the starter take four."""
FORGETTING = {"ui.train.caution.rate_high", "ui.train.caution.epochs", "ui.train.caution.few_rows_full"}
"""The risks of which forgetting is one: general data mixed in holds against it (tests/benchmarks/replay.py)."""


Caution = tuple[str, dict[str, Any]]


def cautions(
    spec: RunSpec,
    rows: int,
    width: int | None,
    tokens: int | None = None,
    *,
    replays: bool = False,
    template: TemplateUse | None = None,
) -> list[Caution]:
    """What is allowed but often regretted, as sentence keys with their values. `rows` are those trained on, `tokens`
    those of one pass, where they were counted. `width`: the model's hidden size, if known. `replays`: general data is
    mixed in. `template`: the chat's, if known."""
    found: list[Caution] = [
        *_rate_cautions(spec, width),
        *_method_cautions(spec, tokens),
        *_epoch_cautions(spec),
        *_row_cautions(spec, rows),
        *_strength_cautions(spec),
        *(template_cautions(template) if template else ()),
    ]
    together = spec.training.batch_size * spec.training.accumulation
    if rows and together * 4 > rows and rows > 1:
        found.append(("ui.train.caution.batch", {"batch": together, "rows": rows}))
    if not spec.data.split.validation_share:
        found.append(("ui.train.caution.no_validation", {}))
    if not replays and FORGETTING & {key for key, _ in found}:
        found.append(("ui.train.caution.no_replay", {}))
    return found


def _rate_cautions(spec: RunSpec, width: int | None) -> Iterator[Caution]:
    rate, usual = spec.training.learning_rate, usual_rates(spec, width)
    values = {"rate": f"{rate:g}", "low": f"{usual.low:.2g}", "high": f"{usual.high:.2g}"}
    if rate > usual.limit:
        yield "ui.train.caution.rate_high", values
    elif rate < usual.low / 20:
        yield "ui.train.caution.rate_low", values


def _epoch_cautions(spec: RunSpec) -> Iterator[Caution]:
    """Answers are learned by heart after some passes; of text, what was read more than four times teaches less and less
    (Muennighoff et al. 2023, arXiv:2305.16264); pairs and thumbs are usually seen once to three times (Tunstall et al.
    2023, arXiv:2310.16944; Meng et al. 2024, arXiv:2405.14734)."""
    most = {"answers": 6, "text": 4}.get(spec.method.learns, 3)
    if spec.training.epochs > most:
        yield "ui.train.caution.epochs", {"epochs": f"{spec.training.epochs:g}"}


def _row_cautions(spec: RunSpec, rows: int) -> Iterator[Caution]:
    """A hundred careful rows can teach a form, a thousand a behaviour (Zhou et al. 2023, "LIMA", arXiv:2305.11206);
    rank 16 to 64 holds what a few thousand rows say (Schulman et al. 2025; Biderman et al. 2024, arXiv:2405.09673)."""
    if spec.method.learns == "text":
        return
    if rows < FEW_ROWS:
        yield "ui.train.caution.few_rows", {"rows": rows}
    elif isinstance(spec.tuner, FullSpec) and rows < FEW_ROWS_FOR_ALL_WEIGHTS:
        yield "ui.train.caution.few_rows_full", {"rows": f"{rows:,}"}
    if isinstance(spec.tuner, LoraSpec) and spec.tuner.rank > LARGE_RANK and rows < 10 * spec.tuner.rank:
        yield "ui.train.caution.rank_high", {"rank": spec.tuner.rank, "rows": f"{rows:,}"}


def _strength_cautions(spec: RunSpec) -> Iterator[Caution]:
    """rsLoRA divides alpha by the root of the rank, LoRA by the rank (Kalajdzievski 2023, arXiv:2312.03732): what is
    usual with one is many times as strong with the other."""
    tuner = spec.tuner
    if not isinstance(tuner, LoraSpec) or tuner.variant != "rslora" or spec.model.parent:
        return
    if tuner.alpha / tuner.rank**0.5 > STRONG:
        values = {"times": f"{tuner.rank**0.5:.2g}", "alpha": f"{tuner.alpha:g}"}
        yield "ui.train.caution.strength", values | {"usual": f"{tuner.alpha / tuner.rank**0.5:.2g}"}


def template_cautions(template: TemplateUse) -> Iterator[Caution]:
    """Another chat template than the model's own or the adapter's, and markers that are no tokens."""
    if template.own and template.chosen != "own":
        yield "ui.train.caution.other_template", {"template": template.chosen}
    if template.adapter:
        yield "ui.train.caution.adapter_template", {"theirs": template.adapter, "ours": template.chosen}
    elif template.adapter == "":
        yield "ui.train.caution.adapter_template_unknown", {"ours": template.chosen}
    if template.cut:
        markers = ", ".join(template.cut)
        pieces = max(template.cut.values())
        yield "notice.model.cut_markers", {"template": template.chosen, "markers": markers, "pieces": pieces}


def _method_cautions(spec: RunSpec, tokens: int | None) -> Iterator[Caution]:
    """What the settings of a method do at their ends."""
    match spec.method:
        case CptSpec():
            yield "ui.train.caution.forgets_answers", {}
            if tokens is not None and tokens < FEW_TOKENS:
                yield "ui.train.caution.few_tokens", {"tokens": f"{tokens:,}"}
        case DpoSpec(beta=beta) | KtoSpec(beta=beta) if beta < 0.01:
            yield "ui.train.caution.beta_low", {"beta": f"{beta:g}"}
        case DpoSpec(beta=beta) | KtoSpec(beta=beta) if beta > 1:
            yield "ui.train.caution.beta_high", {"beta": f"{beta:g}"}
        case SimpoSpec(beta=beta, margin=margin) if margin > beta:
            yield "ui.train.caution.margin_high", {"margin": f"{margin:g}", "beta": f"{beta:g}"}
        case OrpoSpec(beta=beta) if beta > 1:
            yield "ui.train.caution.penalty_high", {"beta": f"{beta:g}"}
        case RolloutSpec():
            yield from _rollout_cautions(spec.method)


def _rollout_cautions(method: RolloutSpec) -> Iterator[Caution]:
    """Answers that are alike cannot be compared; what nothing holds near where it began learns to please the reward
    alone (Gao et al. 2022, arXiv:2210.10760)."""
    if method.temperature < 0.5:
        yield "ui.train.caution.temperature_low", {"temperature": f"{method.temperature:g}"}
    elif method.temperature > 1.5:
        yield "ui.train.caution.temperature_high", {"temperature": f"{method.temperature:g}"}
    if method.beta < 0.005:
        yield "ui.train.caution.kl_low", {"beta": f"{method.beta:g}"}
    elif method.beta > 0.5:
        yield "ui.train.caution.kl_high", {"beta": f"{method.beta:g}"}
    if method.samples_per_row < 4:
        yield "ui.train.caution.few_samples", {"samples": method.samples_per_row}
