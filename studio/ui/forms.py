"""Form widgets made from RunSpec's fields, and their values <-> RunSpec."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import gradio as gr

from studio.errors import SpecError
from studio.messages import translate
from studio.runs.methods import CptSpec, DpoSpec, KtoSpec, OrpoSpec, SimpoSpec
from studio.runs.spec import TUNERS, FullSpec, RunSpec, SpecField, method_fields, spec_fields, with_changes

CHOSEN_ABOVE = {"model.source", "model.adapter", "model.adapter_step"}
"""Fields with a place of their own on the page."""
REWARDS = "method.rewards"
"""The setting that is a list, shown as JSON to the form that fills it."""
FEW_TOKENS = 100_000
"""Of text; below, a model learns how it sounds rather than what it says."""

_ORDER = ("training", "tuner", "data", "model")
Level = Literal["basic", "advanced"]


@dataclass(frozen=True, slots=True)
class Widget:
    """A setting and what shows it."""

    field: SpecField
    component: gr.Number | gr.Radio | gr.Dropdown | gr.Checkbox | gr.Textbox


def form_fields(level: Level) -> list[SpecField]:
    """The settings of one level that every run has: how to train first, then the adapter, then how rows are read."""
    fields = [field for field in spec_fields() if field.level == level and field.path not in CHOSEN_ABOVE]
    return sorted((field for field in fields if not field.method), key=lambda field: _ORDER.index(group(field.path)))


def form_method_fields(level: Level, method: str) -> list[SpecField]:
    """The settings of one level that only this method has."""
    return [field for field in method_fields(method) if field.level == level]


def group(path: str) -> str:
    """Part of the spec a setting belongs to, such as `training`."""
    return path.split(".")[0]


def info(field: SpecField, language: str) -> str:
    """Help of the setting, with its bounds and unit."""
    bounds, hint = field.bounds, ""
    unit = translate(f"ui.form.unit.{field.unit}", language) if field.unit else ""
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if low is not None and high is not None and high < 2**31 - 1:
        key = "ui.form.above" if "gt" in bounds else "ui.form.between"
        hint = translate(key, language, low=f"{low:,g}", high=f"{high:,.6g}", unit=unit).strip()
    return translate("ui.form.help", language, help=field.help(language), hint=hint) if hint else field.help(language)


def make_widget(field: SpecField, value: Any, language: str) -> Widget:
    """The widget of a setting, showing `value`.

    It checks nothing itself: RunSpec tells all problems at once, in the page's language.
    """
    common: dict[str, Any] = {
        "label": field.label(language),
        "info": info(field, language),
        "elem_id": f"set-{field.text.replace('.', '-')}",
    }
    annotation = field.info.annotation
    if field.path == REWARDS:  # a form of its own fills it
        return Widget(field, gr.Textbox(value, visible=False, label=common["label"], elem_id=common["elem_id"]))
    if annotation is bool:
        return Widget(field, gr.Checkbox(value, **common))
    if get_origin(annotation) is Literal:
        choices = list(get_args(annotation))
        if len(choices) <= 3:
            return Widget(field, gr.Radio(choices, value=value, **common))
        return Widget(field, gr.Dropdown(choices, value=value, **common))
    if annotation in (int, float):
        return Widget(field, gr.Number(value, step=_step(field), **common))
    return Widget(field, gr.Textbox(value, max_lines=1, **common))


def make_widgets(fields: Sequence[SpecField], spec: RunSpec, language: str) -> list[Widget]:
    """A widget for each setting, showing what `spec` holds."""
    return [make_widget(field, value, language) for field, value in zip(fields, values_of(spec, fields), strict=True)]


def _step(field: SpecField) -> float:
    """What one press of an arrow key changes."""
    if field.info.annotation is int:
        return 1
    return 0.5 if field.default >= 1 else 10 ** int(f"{field.default or 0.05:e}".split("e")[1])


def values_of(spec: RunSpec, fields: Sequence[SpecField]) -> list[Any]:
    """What the widgets of these settings show of the spec. Those of other methods and tuners are left as they are."""
    nested = spec.model_dump(mode="json")
    found = []
    for field in fields:
        if not belongs(field, spec.method.kind, spec.tuner.kind):
            found.append(gr.skip())
            continue
        value: Any = nested
        for part in field.path.split("."):
            value = value[part]
        found.append(json.dumps(value, ensure_ascii=False) if field.path == REWARDS else value)
    return found


def belongs(field: SpecField, method: str, tuner: str) -> bool:
    """Whether a run of this method and tuner has the setting."""
    return field.text in {own.text for own in spec_fields(method, tuner)}


def to_spec(base: RunSpec, fields: Sequence[SpecField], values: Sequence[Any]) -> RunSpec:
    """`base` with the widgets' values. Its preset's name stays only while nothing of it was changed.

    Raises SpecError that tells every problem, each with its path.
    """
    asked = list(zip(fields, values, strict=True))
    chosen = next((value for field, value in asked if field.path == "tuner.kind"), None)
    tuner = chosen if chosen in TUNERS else base.tuner.kind
    given = [(field, value) for field, value in asked if belongs(field, base.method.kind, tuner)]
    spec = with_changes(base, {f.path: json.loads(value) if f.path == REWARDS else value for f, value in given})
    own = [field for field, _ in given]
    changed = tuner != base.tuner.kind or values_of(spec, own) != values_of(base, own)
    return spec.model_copy(update={"preset": ""}) if changed else spec


def problems(error: SpecError, language: str) -> list[tuple[str, str]]:
    """(path, sentence) of each problem; the path of one between several settings is empty."""
    first, *lines = error.message(language).split("\n")
    found = error.values.get("problems")
    if not isinstance(found, tuple) or len(found) != len(lines):
        return [("", "\n".join((first, *lines)))]
    return [(str(problem[0]), line.removeprefix("- ")) for problem, line in zip(found, lines, strict=True)]


@dataclass(frozen=True, slots=True)
class Rates:
    """Learning rates of LoRA: `low` to `high` is usual, above `limit` most runs go wrong."""

    low: float
    high: float
    limit: float


# Large models. Answers: about ten times the rates of full fine-tuning, 1e-4 to 5e-4 for billions of parameters
# (Schulman et al. 2025, "LoRA Without Regret"). Texts: 2e-4 at most (Biderman et al. 2024, arXiv:2405.09673). Pairs and
# thumbs: ten times the 5e-7 of full tuning; TRL's own scripts have 5e-6 for DPO with LoRA and 8e-5 for SimPO and ORPO.
RATES = {
    "sft": Rates(1e-4, 5e-4, 1e-3),
    "cpt": Rates(5e-5, 2e-4, 5e-4),
    "dpo": Rates(5e-6, 5e-5, 1e-4),
    "simpo": Rates(5e-6, 8e-5, 2e-4),
    "orpo": Rates(8e-6, 8e-5, 3e-4),
    "kto": Rates(5e-6, 5e-5, 1e-4),
    # Scores: 1e-4 in TRL. By trying: 1e-6 for full tuning in TRL, ten times it for LoRA.
    "reward": Rates(5e-5, 2e-4, 1e-3),
    "rloo": Rates(5e-6, 5e-5, 1e-4),
    "grpo": Rates(5e-6, 5e-5, 1e-4),
}
# The starter, as measured (presets/quick-look.yaml); other small models are much like it.
SMALL_RATES = {
    "sft": Rates(1e-3, 3e-3, 5e-3),
    "cpt": Rates(5e-4, 3e-3, 5e-3),
    "dpo": Rates(1e-4, 3e-4, 5e-4),
    "simpo": Rates(1e-4, 3e-4, 5e-4),
    "orpo": Rates(1e-3, 3e-3, 5e-3),
    "kto": Rates(2e-4, 1e-3, 2e-3),
}


Caution = tuple[str, dict[str, Any]]


def cautions(spec: RunSpec, rows: int, small_model: bool, tokens: int | None = None) -> list[Caution]:
    """What is allowed but often regretted, as sentence keys with their values. `rows` are those trained on, `tokens`
    those of one pass, where they were counted."""
    found: list[Caution] = [*_rate_cautions(spec, small_model), *_method_cautions(spec, tokens), *_epoch_cautions(spec)]
    together = spec.training.batch_size * spec.training.accumulation
    if rows and together * 4 > rows and rows > 1:
        found.append(("ui.train.caution.batch", {"batch": together, "rows": rows}))
    if not spec.data.split.validation_share:
        found.append(("ui.train.caution.no_validation", {}))
    if rows < 50 and spec.method.learns != "text":
        found.append(("ui.train.caution.few_rows", {"rows": rows}))
    return found


# All weights learn at a tenth of the rates of LoRA (Schulman et al. 2025).
_FULL = 10


def _rate_cautions(spec: RunSpec, small_model: bool) -> Iterator[Caution]:
    rate, known = spec.training.learning_rate, SMALL_RATES if small_model else RATES
    usual = known.get(spec.method.kind, known["sft"])
    if isinstance(spec.tuner, FullSpec):
        usual = Rates(usual.low / _FULL, usual.high / _FULL, usual.limit / _FULL)
    values = {"rate": f"{rate:g}", "low": f"{usual.low:g}", "high": f"{usual.high:g}"}
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
