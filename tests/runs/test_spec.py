"""RunSpec: all problems in one pass, each with its path; steps counted as the Trainer counts them."""

import pytest

from studio.data.spec_files import each_problem
from studio.errors import SpecError
from studio.messages import LANGUAGES, catalogue
from studio.runs.spec import (
    LoraSpec,
    RunSpec,
    UnusableSpec,
    every_field,
    load_spec,
    parse_spec,
    spec_fields,
    with_changes,
)


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


def test_what_does_not_go_together_is_told_beside_what_cannot_be() -> None:
    """All of it, as far as the settings that are wrong do not decide it."""
    changes = {
        "method.kind": "grpo", "tuner.dropout": 0.1, "tuner.rank": 0, "training.patience": 9, "training.epochs": 0,
    }  # fmt: skip
    with pytest.raises(SpecError) as error:
        with_changes(RunSpec(), changes)
    told = [path for path, _ in each_problem(error.value)]
    assert sorted(told) == ["training.epochs", "training.patience", "tuner.dropout", "tuner.rank"]
    left = error.value.usable
    assert isinstance(left, UnusableSpec)
    assert left.wrong == {"tuner.rank", "training.epochs"}
    assert (left.spec.tuner, left.spec.training.patience) == (LoraSpec(dropout=0.1), 9)
    with pytest.raises(SpecError) as error:  # how many evaluations there are to be is not known
        with_changes(RunSpec(), {"training.patience": 9, "training.evaluations": 0})
    assert [path for path, _ in each_problem(error.value)] == ["training.evaluations"]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"method.kind": "no"}, "method"),
        ({"tuner.kind": "no"}, "tuner"),
        ({"data.split.validation_share": 7}, "data.split.validation_share"),
    ],
)
def test_the_rest_of_wrong_settings_can_be_used(changes: dict[str, object], wrong: str) -> None:
    with pytest.raises(SpecError) as error:
        with_changes(RunSpec(), {**changes, "model.source": "m", "data.version": "v"})
    assert len(list(each_problem(error.value))) == 1
    left = error.value.usable
    assert isinstance(left, UnusableSpec)
    assert left.wrong == {wrong}
    assert left.spec == with_changes(RunSpec(), {"model.source": "m", "data.version": "v"})


def test_a_list_with_a_wrong_item_is_told_by_the_item() -> None:
    with pytest.raises(SpecError) as error:
        with_changes(RunSpec(), {"method.kind": "grpo", "method.rewards": [{"kind": "length", "weight": "x"}]})
    assert [path for path, _ in each_problem(error.value)] == ["method.rewards.0.weight"]


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
