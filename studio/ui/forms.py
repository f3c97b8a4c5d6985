"""Form widgets made from RunSpec's fields, and their values <-> RunSpec."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import gradio as gr

from studio.errors import SpecError
from studio.messages import translate
from studio.runs.spec import (
    ADAPTER_FOLDER,
    TUNERS,
    RunSpec,
    SpecField,
    method_fields,
    spec_fields,
    with_changes,
)

CHOSEN_ABOVE = {"model.source", "model.adapter", "model.adapter_step", "model.adapter_folder"}
"""Fields with a place of their own on the page."""
REWARDS = "method.rewards"
"""The setting that is a list, shown as JSON to the form that fills it."""

_ORDER = ("training", "tuner", "data", "model")
Level = Literal["basic", "advanced"]


@dataclass(frozen=True, slots=True)
class Widget:
    """A setting and what shows it."""

    field: SpecField
    component: gr.Number | gr.Radio | gr.Dropdown | gr.Checkbox | gr.CheckboxGroup | gr.Textbox


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
    if get_origin(annotation) is tuple:
        name, (several, _) = field.path.rpartition(".")[2], get_args(annotation)
        choices = [(translate(f"ui.form.{name}.{choice}", language), choice) for choice in get_args(several)]
        return Widget(field, gr.CheckboxGroup(choices, value=list(value), **common))
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
        found.append(json.dumps(value, ensure_ascii=False) if field.path == REWARDS else "" if value is None else value)
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


def with_parent(fields: Sequence[SpecField], values: Sequence[Any]) -> list[Any]:
    """The widgets' values where what is gone on from was chosen: a folder among the runs, and its name beside them. One
    that is not named yet is told as a problem."""
    given = {field.path: value for field, value in zip(fields, values, strict=True)}
    own: dict[str, Any] = {"model.adapter_folder": ""}
    if given["model.adapter"] == ADAPTER_FOLDER:
        named = str(given["model.adapter_folder"] or "").strip()
        own = {"model.adapter": "", "model.adapter_step": 0, "model.adapter_folder": named or " "}
    return [own.get(field.path, value) for field, value in zip(fields, values, strict=True)]


def problems(error: SpecError, language: str) -> list[tuple[str, str]]:
    """(path, sentence) of each problem; the path of one between several settings is empty."""
    first, *lines = error.message(language).split("\n")
    found = error.values.get("problems")
    if not isinstance(found, tuple) or len(found) != len(lines):
        return [("", "\n".join((first, *lines)))]
    return [(str(problem[0]), line.removeprefix("- ")) for problem, line in zip(found, lines, strict=True)]
