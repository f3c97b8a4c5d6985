"""RunSpec: all problems in one pass, each with its path; steps counted as the Trainer counts them."""

import pytest

from studio.errors import SpecError
from studio.messages import LANGUAGES, catalogue
from studio.runs.spec import RunSpec, every_field, load_spec, parse_spec, spec_fields, with_changes


def test_yaml_and_back() -> None:
    spec = with_changes(RunSpec(), {"training.epochs": 1.5, "tuner.rank": 4, "data.version": "20260101-abc"})
    assert load_spec(spec.to_yaml(), "spec.yaml") == spec


def test_every_problem_is_told_at_once_with_its_path() -> None:
    values = {"training": {"epochs": -1, "batch_size": "many"}, "tuner": {"rnk": 3}, "data": {"max_length": 4}}
    with pytest.raises(SpecError) as error:
        parse_spec(values)
    for language in LANGUAGES:
        lines = error.value.message(language).splitlines()
        assert len(lines) == 5
        for path in ("training.epochs", "training.batch_size", "tuner.rnk", "data.max_length"):
            assert any(path in line for line in lines)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"training.patience": 5, "training.evaluations": 3}, "Early stopping"),
        ({"training.patience": 1, "data.split.validation_share": 0}, "validation rows"),
    ],
)
def test_settings_that_do_not_go_together(changes: dict[str, object], word: str) -> None:
    with pytest.raises(SpecError) as error:
        with_changes(RunSpec(), changes)
    assert word in str(error.value)


def test_an_unknown_setting_is_told_with_the_known_ones() -> None:
    with pytest.raises(SpecError) as error:
        with_changes(RunSpec(), {"training.epoch": 1})
    assert "training.epochs" in str(error.value)


@pytest.mark.parametrize("text", ["training: [", "- a list", "just words", ""])
def test_yaml_that_holds_no_settings(text: str) -> None:
    with pytest.raises(SpecError):
        load_spec(text, "spec.yaml")


def test_yaml_never_makes_objects() -> None:
    with pytest.raises(SpecError):
        load_spec("training: !!python/object/apply:os.system ['true']", "spec.yaml")


@pytest.mark.parametrize(
    ("rows", "batch", "accumulation", "epochs", "steps"),
    [(10, 2, 2, 2, 6), (1, 8, 1, 3, 3), (100, 8, 1, 1, 13), (9, 3, 1, 0.5, 2), (5, 8, 4, 0.01, 1)],
)
def test_steps(rows: int, batch: int, accumulation: int, epochs: float, steps: int) -> None:
    changes = {"training.batch_size": batch, "training.accumulation": accumulation, "training.epochs": epochs}
    spec = with_changes(RunSpec(), changes)
    assert spec.total_steps(rows) == steps
    interval = spec.evaluation_interval(rows)
    assert 1 <= interval <= steps
    assert -(-steps // interval) <= spec.training.evaluations


def test_every_setting_has_help_in_both_languages() -> None:
    assert sum(field.level == "basic" for field in spec_fields()) == 6
    for field in every_field():
        for language in LANGUAGES:
            assert field.label(language)
            assert field.help(language)
            assert f"spec.{field.text}.help" in catalogue(language)
