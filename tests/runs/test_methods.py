"""Every kind of data has a natural method, and every method is told in plain words in both languages."""

from typing import get_args

import pytest

from studio.data.lessons import LEARNS, teaches
from studio.data.records import DatasetType
from studio.messages import LANGUAGES, catalogue, translate
from studio.runs.methods import METHODS, methods_for, natural_method


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("prompt_completion", "sft"),
        ("conversational", "sft"),
        ("language_modeling", "cpt"),
        ("preference", "dpo"),
        ("unpaired_preference", "kto"),
    ],
)
def test_the_natural_method_of_data(kind: DatasetType, method: str) -> None:
    assert natural_method(kind) == method
    assert methods_for(kind)[0] == method


@pytest.mark.parametrize("kind", get_args(DatasetType))
def test_a_method_is_offered_where_the_data_teaches_it(kind: DatasetType) -> None:
    able = methods_for(kind)
    assert set(able) == {name for name, method in METHODS.items() if teaches(kind, method.learns)}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", list(METHODS))
def test_a_method_is_told_in_plain_words(name: str, language: str) -> None:
    everyday, term = (translate(f"ui.method.{name}.{part}", language) for part in ("name", "term"))
    assert term.casefold() not in everyday.casefold()
    # The first line of a card is its title: a longer one would break on a telephone.
    assert len(translate("ui.method.full", language, name=everyday, term=term)) <= (42 if language == "en" else 22)
    assert len(translate(f"ui.method.{name}.when", language)) > 30
    assert translate(f"ui.method.{name}.read.loss", language)


def test_no_sentence_tells_of_a_method_that_is_not_there() -> None:
    told = {key.split(".")[2] for key in catalogue("en") if key.startswith("ui.method.")}
    assert told == {*METHODS, "full", "needs"}
    needs = {key.removeprefix("ui.method.needs.") for key in catalogue("en") if key.startswith("ui.method.needs.")}
    assert needs == set(LEARNS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_notes_of_data_name_the_methods_as_the_train_tab_does(language: str) -> None:
    for kind, methods in (
        ("language_modeling", ("cpt",)),
        ("preference", ("dpo", "sft")),
        ("unpaired_preference", ("kto", "sft")),
    ):
        for method in methods:
            name, term = (translate(f"ui.method.{method}.{part}", language) for part in ("name", "term"))
            full = translate("ui.method.full", language, name=name, term=term)
            assert full in translate(f"notice.mapping.{kind}", language)
