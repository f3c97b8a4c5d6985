"""Templates put columns into text, and nothing else; what is wrong with one is told with its field."""

from typing import Any

import pytest

from studio.data.formats import Mapping, convert
from studio.data.problems import RowProblem
from studio.data.records import Conversation, Message
from studio.data.tables import Row
from studio.data.templates import NoValue, check_template, fill_template, parse_template, template_columns
from studio.errors import DataError

ROW: dict[str, Any] = {
    "question": "何？", "choice0": "犬", "choice1": "猫", "label": 1, "letter": "B", "my col": " x ", "n": None,
    "options": ["a", "b"], "answers": {"text": ["one"], "start": [3]}, "Question [EN]": "What?", "flag": True, "s": "0",
    "by": "choice1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{question}", "何？"),
        ("Q: {question}\n0. {choice0}\n1. {choice1}", "Q: 何？\n0. 犬\n1. 猫"),
        ("{choice{label}}", "猫"),
        ("{choice{s}}{choice{label}}", "犬猫"),
        ("{options[0]}", "a"),
        ("{ {by}}", "猫"),
        ("{options[{label}]}", "b"),
        ("{options[{letter}]}", "b"),
        ("{answers[text][0]}", "one"),
        ("{my col}|{n}|{label}|{flag}", " x ||1|true"),
        ("{Question [EN]}", "What?"),
        ("{options}", '["a", "b"]'),
        ("{{question}} {{{question}}}", "{question} {何？}"),
        ('{{"a": "{question}"}}', '{"a": "何？"}'),
        ("no field", "no field"),
        ("", ""),
    ],
)
def test_templates_are_filled(template: str, text: str) -> None:
    check_template(template, ROW)
    assert (fill_template(template, ROW) or "") == text


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ("{choice{question}}", "choice{question}"),
        ("{options[2]}", "options[2]"),
        ("{options[-1]}", "options[-1]"),
        ("{options[__class__]}", "options[__class__]"),
        ("{question[0]}", "question[0]"),
        ("{answers[nope]}", "answers[nope]"),
    ],
)
def test_a_row_without_the_value_is_told_by_its_field(template: str, field: str) -> None:
    check_template(template, ROW)
    with pytest.raises(NoValue) as caught:
        fill_template(template, ROW)
    assert field in caught.value.field.source


@pytest.mark.parametrize(
    ("template", "key", "told"),
    [
        ("{question", "error.template.brace", "{question"),
        ("question}", "error.template.brace", "question}"),
        ("a {b {c {d}}}", "error.template.brace", "{b {c"),
        ("{}", "error.template.empty", "1"),
        ("ab{ }", "error.template.empty", "3"),
        ("{choice{}}", "error.template.empty", "1"),
        ("{Question}", "error.template.unknown", "Question"),
        ("{choice{nope}}", "error.template.unknown", "nope"),
        ("{nope[0]}", "error.template.unknown", "nope"),
        ("{question.__class__}", "error.template.unknown", "question.__class__"),
        ("{question!r:>10}", "error.template.unknown", "question!r:>10"),
    ],
)
def test_what_is_wrong_is_told(template: str, key: str, told: str) -> None:
    with pytest.raises(DataError) as caught:
        check_template(template, ROW)
    assert caught.value.key == key
    for language in ("en", "ja"):
        assert told in caught.value.message(language)
    if key == "error.template.unknown":
        assert "Question [EN]" in caught.value.message()


def test_columns_of_a_template() -> None:
    template = "{question} {choice{label}} {options[{letter}]} {answers[text][0]} {question}"
    assert template_columns(template) == ("question", "label", "options", "letter", "answers")
    check_template(template, ROW)
    assert parse_template("{{}}") == ("{}",)


def test_all_columns_a_mapping_needs() -> None:
    names = ["label", "choice0", "choice1", "choices", "x.y", "question", "other"]
    mapping = Mapping(prompt="question", answer_template="{choice{label}}")
    assert mapping.needed(names) == ("label", "choice0", "choice1", "choices", "question")
    assert mapping.columns == ("question", "label")
    assert Mapping(prompt="question", answer_template="{x.{y}}").needed(names) == ("x.y", "question")
    assert Mapping(turns="other", label="label").needed(names) == ("label", "other")
    assert Mapping(prompt="question", ranked="other", ranks="label").needed(names) == ("label", "question", "other")
    assert Mapping(text="other").needed(names) == ("other",)


def test_rows_through_templates() -> None:
    mapping = Mapping(
        system_template="Answer {label}.",
        prompt_template="{question}\n{choice0}/{choice1}",
        answer_template="{choice{label}}",
    )
    asked = (Message("system", "Answer 1."), Message("user", "何？\n犬/猫"))
    assert convert(Row(1, ROW), mapping) == Conversation(asked, "猫")
    assert mapping.dataset_type == "prompt_completion"
    assert mapping.columns == ("label", "question", "choice0", "choice1")
    missing = convert(Row(2, {**ROW, "label": 9}), mapping)
    assert isinstance(missing, RowProblem)
    assert (missing.kind, missing.detail) == ("no_field", "choice{label}")
    for language in ("en", "ja"):
        assert "{choice{label}}" in missing.message(language)
    blank = convert(Row(3, {**ROW, "choice1": "　"}), mapping)
    assert isinstance(blank, RowProblem)
    assert blank.kind == "blank_answer"


def test_a_template_beside_a_column() -> None:
    mapping = Mapping(prompt="question", answer_template="It is {letter}.")
    assert convert(Row(1, ROW), mapping) == Conversation((Message("user", "何？"),), "It is B.")
    constant = Mapping(prompt="question", answer_template="I do not know.")
    assert convert(Row(1, ROW), constant) == Conversation((Message("user", "何？"),), "I do not know.")
