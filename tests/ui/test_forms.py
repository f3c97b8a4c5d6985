"""Every setting has a widget, and what the widgets hold becomes a RunSpec or tells every problem."""

import json

import gradio as gr
import pytest

from studio.errors import SpecError
from studio.messages import LANGUAGES
from studio.runs.methods import METHODS
from studio.runs.spec import RunSpec, every_field, spec_fields, with_changes
from studio.ui.forms import (
    CHOSEN_ABOVE,
    REWARDS,
    Widget,
    form_fields,
    form_method_fields,
    info,
    make_widgets,
    problems,
    to_spec,
    values_of,
)

COMMON = [*form_fields("basic"), *form_fields("advanced")]
FIELDS = [*COMMON, *form_method_fields("advanced", "sft")]
OWN = [field for kind in METHODS for level in ("basic", "advanced") for field in form_method_fields(level, kind)]
PATHS = [field.path for field in FIELDS]


def test_every_setting_is_in_the_form_once_and_six_come_first() -> None:
    texts = [field.text for field in (*COMMON, *OWN)]
    assert sorted([*texts, *CHOSEN_ABOVE]) == sorted(f.text for f in every_field() if not f.text.startswith("reward."))
    assert len(set(texts)) == len(texts)
    assert len(form_fields("basic")) == 6


@pytest.mark.parametrize("kind", list(METHODS))
def test_the_settings_of_a_method_are_those_of_the_run_and_others_are_left_alone(kind: str) -> None:
    base = with_changes(RunSpec(preset="balanced"), {"method.kind": kind})
    fields = [*COMMON, *OWN]
    values = values_of(base, fields)
    assert [type(value) is dict for value in values] == [field.method not in (None, kind) for field in fields]
    values = ["nonsense" if field.method not in (None, kind) else v for field, v in zip(fields, values, strict=True)]
    assert to_spec(base, fields, values) == base


def test_a_problem_of_a_methods_setting_is_told_by_its_own_name() -> None:
    base = with_changes(RunSpec(), {"method.kind": "simpo"})
    fields = [*COMMON, *OWN]
    values = [
        -1 if field.text == "method.simpo.beta" else v for field, v in zip(fields, values_of(base, fields), strict=True)
    ]
    with pytest.raises(SpecError) as caught:
        to_spec(base, fields, values)
    ((path, told),) = problems(caught.value, "en")
    assert path == "method.beta"
    assert "how sharply" in told


def made(language: str) -> list[Widget]:
    """All widgets, each showing what a run begins with."""
    with gr.Blocks():
        widgets = make_widgets(COMMON, RunSpec(), language)
        for kind in METHODS:
            own = [field for field in OWN if field.method == kind]
            widgets += make_widgets(own, with_changes(RunSpec(), {"method.kind": kind}), language)
    return widgets


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_setting_has_a_widget_that_shows_its_default(language: str) -> None:
    widgets = made(language)
    assert len({widget.component.elem_id for widget in widgets}) == len(widgets)
    for widget in widgets:
        if widget.field.path == REWARDS:
            told = [reward.model_dump() for reward in widget.field.default]
            assert json.loads(str(widget.component.value)) == told
            assert not widget.component.visible
        elif isinstance(widget.field.default, tuple):  # several of a list may be chosen
            assert widget.component.value == list(widget.field.default)
        else:  # what is not set is told as an empty text
            told = "" if widget.field.default is None else widget.field.default
            assert widget.component.value == told
        assert widget.component.label == widget.field.label(language)
        for name in ("minimum", "maximum"):  # the widget would round or refuse in English before RunSpec can speak
            assert getattr(widget.component, name, None) is None


def test_bounds_are_told_beside_the_help() -> None:
    told = {field.path: info(field, "en") for field in FIELDS}
    assert told["tuner.rank"].endswith("(1 to 512)")
    assert told["training.epochs"].endswith("(more than 0, up to 100 passes)")
    assert told["data.max_length"].endswith("(16 to 131,072 tokens)")
    assert "(" not in told["method.loss_on"]


def test_values_go_there_and_back() -> None:
    spec = with_changes(RunSpec(), {"tuner.rank": 4, "training.learning_rate": 3e-4, "training.keep_best": False})
    values = values_of(spec, FIELDS)
    assert to_spec(RunSpec(), FIELDS, values) == spec
    floats = [float(v) if type(v) is int else v for v in values]  # what a number widget gives
    assert to_spec(RunSpec(), FIELDS, floats) == spec


def test_several_are_chosen_of_a_list() -> None:
    values = values_of(RunSpec(), FIELDS)
    place = PATHS.index("training.report_to")
    assert values[place] == []
    values[place] = ["wandb", "tensorboard"]
    assert to_spec(RunSpec(), FIELDS, values).training.report_to == ("wandb", "tensorboard")
    (widget,) = [w for w in made("en") if w.field.path == "training.report_to"]
    assert widget.component.choices == [  # type: ignore[union-attr]
        ("TensorBoard", "tensorboard"), ("Trackio", "trackio"), ("Weights & Biases", "wandb"),
    ]  # fmt: skip


def test_a_changed_setting_drops_the_name_of_the_preset() -> None:
    base = RunSpec(preset="balanced")
    values = values_of(base, FIELDS)
    assert to_spec(base, FIELDS, values).preset == "balanced"
    values[PATHS.index("tuner.rank")] = 3
    assert to_spec(base, FIELDS, values).preset == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_problems_are_told_at_once_each_with_its_path(language: str) -> None:
    values = values_of(RunSpec(), FIELDS)
    for path, value in (("tuner.rank", 2.5), ("training.learning_rate", 3), ("training.epochs", None)):
        values[PATHS.index(path)] = value
    with pytest.raises(SpecError) as caught:
        to_spec(RunSpec(), FIELDS, values)
    found = dict(problems(caught.value, language))
    assert set(found) == {"tuner.rank", "training.learning_rate", "training.epochs"}
    assert "2.5" in found["tuner.rank"]
    assert "tuner.rank" in found["tuner.rank"]


def test_a_problem_between_settings_is_told_at_one_of_them() -> None:
    values = values_of(RunSpec(), FIELDS)
    values[PATHS.index("training.patience")] = 50
    with pytest.raises(SpecError) as caught:
        to_spec(RunSpec(), FIELDS, values)
    assert [path for path, _ in problems(caught.value, "en")] == ["training.patience"]


def test_all_weights_instead_of_an_adapter() -> None:
    """The settings of the adapter are left out, and come back untouched with it."""
    fields = list(spec_fields())
    lora = RunSpec()
    shown = dict(zip((field.path for field in fields), values_of(lora, fields), strict=True))
    full = to_spec(lora, fields, list({**shown, "tuner.kind": "full"}.values()))
    assert full == with_changes(lora, {"tuner.kind": "full"})
    again = dict(zip(shown, values_of(full, fields), strict=True))
    assert again["tuner.kind"] == "full"
    assert again["tuner.rank"] == gr.skip()
    assert to_spec(full, fields, list(shown.values())) == lora
