"""Every setting has a widget, and what the widgets hold becomes a RunSpec or tells every problem."""

import gradio as gr
import pytest

from studio.errors import SpecError
from studio.messages import LANGUAGES
from studio.runs.spec import RunSpec, spec_fields, with_changes
from studio.ui.forms import CHOSEN_ABOVE, cautions, form_fields, info, make_widgets, problems, to_spec, values_of

FIELDS = [*form_fields("basic"), *form_fields("advanced")]
PATHS = [field.path for field in FIELDS]


def test_every_setting_is_in_the_form_once_and_six_come_first() -> None:
    assert sorted([*PATHS, *CHOSEN_ABOVE]) == sorted(field.path for field in spec_fields())
    assert len(set(PATHS)) == len(PATHS)
    assert len(form_fields("basic")) == 6


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_setting_has_a_widget_that_shows_its_default(language: str) -> None:
    with gr.Blocks():
        widgets = make_widgets(FIELDS, RunSpec(), language)
    for widget in widgets:
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
    values = values_of(spec, PATHS)
    assert to_spec(RunSpec(), PATHS, values) == spec
    floats = [float(v) if type(v) is int else v for v in values]  # what a number widget gives
    assert to_spec(RunSpec(), PATHS, floats) == spec


def test_a_changed_setting_drops_the_name_of_the_preset() -> None:
    base = RunSpec(preset="balanced")
    values = values_of(base, PATHS)
    assert to_spec(base, PATHS, values).preset == "balanced"
    values[PATHS.index("tuner.rank")] = 3
    assert to_spec(base, PATHS, values).preset == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_problems_are_told_at_once_each_with_its_path(language: str) -> None:
    values = values_of(RunSpec(), PATHS)
    for path, value in (("tuner.rank", 2.5), ("training.learning_rate", 3), ("training.epochs", None)):
        values[PATHS.index(path)] = value
    with pytest.raises(SpecError) as caught:
        to_spec(RunSpec(), PATHS, values)
    found = dict(problems(caught.value, language))
    assert set(found) == {"tuner.rank", "training.learning_rate", "training.epochs"}
    assert "2.5" in found["tuner.rank"]
    assert "tuner.rank" in found["tuner.rank"]


def test_a_problem_between_settings_is_told_too() -> None:
    values = values_of(RunSpec(), PATHS)
    values[PATHS.index("training.patience")] = 50
    with pytest.raises(SpecError) as caught:
        to_spec(RunSpec(), PATHS, values)
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
    ],
)
def test_what_is_often_regretted_is_said(
    changes: dict[str, object], rows: int, small: bool, expected: set[str]
) -> None:
    found = cautions(with_changes(RunSpec(), changes), rows, small)
    assert {key.rsplit(".", 1)[1] for key, _ in found} == expected
