"""Every setting has a widget, and what the widgets hold becomes a RunSpec or tells every problem."""

import json
from pathlib import Path

import gradio as gr
import pytest

from studio.errors import SpecError
from studio.messages import LANGUAGES
from studio.runs.methods import METHODS
from studio.runs.presets import list_presets
from studio.runs.spec import RunSpec, every_field, spec_fields, with_changes
from studio.settings import Settings
from studio.ui.forms import (
    CHOSEN_ABOVE,
    RATES,
    REWARDS,
    SMALL_RATES,
    Widget,
    cautions,
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
        else:
            assert widget.component.value == widget.field.default
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


def test_a_problem_between_settings_is_told_too() -> None:
    values = values_of(RunSpec(), FIELDS)
    values[PATHS.index("training.patience")] = 50
    with pytest.raises(SpecError) as caught:
        to_spec(RunSpec(), FIELDS, values)
    assert [path for path, _ in problems(caught.value, "en")] == [""]


@pytest.mark.parametrize(
    ("changes", "rows", "small", "expected"),
    [
        ({}, 300, True, set()),
        ({"training.learning_rate": 0.02}, 300, True, {"rate_high"}),
        ({"training.learning_rate": 0.002}, 300, True, set()),
        ({"training.learning_rate": 0.002}, 300, False, {"rate_high"}),
        ({"training.learning_rate": 0.000001}, 300, False, {"rate_low"}),
        ({"training.epochs": 20}, 300, True, {"epochs"}),
        ({"training.batch_size": 100}, 300, True, {"batch"}),
        ({"data.split.validation_share": 0}, 300, True, {"no_validation"}),
        ({}, 12, True, {"batch", "few_rows"}),
        ({"method.kind": "dpo"}, 300, False, {"rate_high"}),  # the rate of answers is far too high for preferences
        ({"method.kind": "dpo", "training.learning_rate": 2e-5}, 300, False, set()),
        ({"method.kind": "dpo", "training.learning_rate": 1e-7}, 300, False, {"rate_low"}),
        ({"method.kind": "dpo", "training.learning_rate": 2e-5, "training.epochs": 4}, 300, False, {"epochs"}),
        ({"method.kind": "dpo", "training.learning_rate": 2e-5, "method.beta": 0.001}, 300, False, {"beta_low"}),
        ({"method.kind": "kto", "training.learning_rate": 2e-5, "method.beta": 2}, 300, False, {"beta_high"}),
        ({"method.kind": "simpo", "training.learning_rate": 2e-5, "method.margin": 3}, 300, False, {"margin_high"}),
        ({"method.kind": "orpo", "training.learning_rate": 8e-5, "method.beta": 2}, 300, False, {"penalty_high"}),
        ({"method.kind": "cpt", "training.learning_rate": 2e-4}, 12, False, {"batch", "forgets_answers"}),
    ],
)
def test_what_is_often_regretted_is_said(
    changes: dict[str, object], rows: int, small: bool, expected: set[str]
) -> None:
    found = cautions(with_changes(RunSpec(), changes), rows, small)
    assert {key.rsplit(".", 1)[1] for key, _ in found} == expected


def test_little_text_is_told_once_its_tokens_are_counted() -> None:
    spec = with_changes(RunSpec(), {"method.kind": "cpt"})
    few = [values for key, values in cautions(spec, 300, True, 5_000) if key.endswith("few_tokens")]
    assert few == [{"tokens": "5,000"}]
    assert not [key for key, _ in cautions(spec, 300, True, 5_000_000) if key.endswith("few_tokens")]


def test_every_preset_keeps_to_the_usual_rates() -> None:
    for preset in list_presets(Settings(workspace=Path()).presets):
        for kind in METHODS:
            for source, rates in (("starter", SMALL_RATES), ("owner/name", RATES)):
                spec = preset.apply(with_changes(RunSpec(), {"method.kind": kind, "model.source": source}))
                keys = {key.rsplit(".", 1)[1] for key, _ in cautions(spec, 300, source == "starter")}
                assert keys <= {"forgets_answers"}, (preset.name, kind, source, rates.get(kind))


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


def test_all_weights_are_warned_of_at_a_tenth_of_the_rates() -> None:
    spec = with_changes(RunSpec(), {"model.source": "owner/name", "training.learning_rate": 3e-4})
    assert "ui.train.caution.rate_high" not in dict(cautions(spec, 300, False))
    high = dict(cautions(with_changes(spec, {"tuner.kind": "full"}), 300, False))["ui.train.caution.rate_high"]
    assert (high["low"], high["high"]) == ("1e-05", "5e-05")
