"""Form widgets made from RunSpec's fields, and their values <-> RunSpec."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import gradio as gr

from studio.errors import SpecError
from studio.messages import translate
from studio.runs.spec import RunSpec, SpecField, spec_fields, with_changes

CHOSEN_ABOVE = {"model.source"}
"""Fields with a place of their own on the page."""


_ORDER = ("training", "tuner", "data", "method", "model")


@dataclass(frozen=True, slots=True)
class Widget:
    """A setting and what shows it."""

    field: SpecField
    component: gr.Number | gr.Radio | gr.Dropdown | gr.Checkbox | gr.Textbox


def form_fields(level: Literal["basic", "advanced"]) -> list[SpecField]:
    """The settings of one level: how to train first, then the adapter, then how rows are read."""
    fields = [field for field in spec_fields() if field.level == level and field.path not in CHOSEN_ABOVE]
    return sorted(fields, key=lambda field: _ORDER.index(group(field.path)))


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
        "elem_id": f"set-{field.path.replace('.', '-')}",
    }
    annotation = field.info.annotation
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
    values = values_of(spec, [field.path for field in fields])
    return [make_widget(field, value, language) for field, value in zip(fields, values, strict=True)]


def _step(field: SpecField) -> float:
    """What one press of an arrow key changes."""
    if field.info.annotation is int:
        return 1
    return 0.5 if field.default >= 1 else 10 ** int(f"{field.default or 0.05:e}".split("e")[1])


def values_of(spec: RunSpec, paths: Sequence[str]) -> list[Any]:
    """The spec's values at dotted paths, for the widgets."""
    nested = spec.model_dump(mode="json")
    found = []
    for path in paths:
        value: Any = nested
        for part in path.split("."):
            value = value[part]
        found.append(value)
    return found


def to_spec(base: RunSpec, paths: Sequence[str], values: Sequence[Any]) -> RunSpec:
    """`base` with the widgets' values. Its preset's name stays only while nothing of it was changed.

    Raises SpecError that tells every problem, each with its path.
    """
    changes: Mapping[str, Any] = dict(zip(paths, values, strict=True))
    spec = with_changes(base, changes)
    changed = values_of(spec, paths) != values_of(base, paths)
    return spec.model_copy(update={"preset": ""}) if changed else spec


def problems(error: SpecError, language: str) -> list[tuple[str, str]]:
    """(path, sentence) of each problem; the path of one between several settings is empty."""
    first, *lines = error.message(language).split("\n")
    found = error.values.get("problems")
    if not isinstance(found, tuple) or len(found) != len(lines):
        return [("", "\n".join((first, *lines)))]
    return [(str(problem[0]), line.removeprefix("- ")) for problem, line in zip(found, lines, strict=True)]


def cautions(spec: RunSpec, rows: int, small_model: bool) -> list[tuple[str, dict[str, Any]]]:
    """What is allowed but often regretted, as sentence keys with their values. `rows` are those trained on.

    The usual learning rates of LoRA: about ten times those of full fine-tuning, 1e-4 to 5e-4 for models of billions of
    parameters (Schulman et al. 2025, "LoRA Without Regret"); small models take more.
    """
    training = spec.training
    usual_low, usual_high, limit = (0.001, 0.003, 0.005) if small_model else (0.0001, 0.0005, 0.001)
    found: list[tuple[str, dict[str, Any]]] = []
    if training.learning_rate > limit:
        values = {"rate": f"{training.learning_rate:g}", "low": f"{usual_low:g}", "high": f"{usual_high:g}"}
        found.append(("ui.train.caution.rate_high", values))
    elif training.learning_rate < usual_low / 20:
        found.append(("ui.train.caution.rate_low", {"rate": f"{training.learning_rate:g}", "low": f"{usual_low:g}"}))
    if training.epochs > 6:
        found.append(("ui.train.caution.epochs", {"epochs": f"{training.epochs:g}"}))
    together = training.batch_size * training.accumulation
    if rows and together * 4 > rows and rows > 1:
        found.append(("ui.train.caution.batch", {"batch": together, "rows": rows}))
    if not spec.data.split.validation_share:
        found.append(("ui.train.caution.no_validation", {}))
    if rows < 50:
        found.append(("ui.train.caution.few_rows", {"rows": rows}))
    return found
