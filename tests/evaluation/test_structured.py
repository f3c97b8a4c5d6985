"""Answers that are JSON."""

import json
from typing import Any

import pytest

from studio.errors import InputError
from studio.evaluation.structured import json_fields, json_valid, schema_metric
from tests.evaluation.rows import answer, question

ORDER: dict[str, Any] = {
    "名前": "山田",
    "items": [{"price": 120, "tags": ["a", "b"]}, {"price": 80, "tags": []}],
    "paid": True,
}
TEXT = json.dumps(ORDER, ensure_ascii=False)


def changed(**values: Any) -> str:
    return json.dumps({**ORDER, **values}, ensure_ascii=False)


@pytest.mark.parametrize(
    ("given", "right"),
    [
        (TEXT, 1),
        ("\n" + json.dumps(ORDER, indent=2) + "\n", 1),
        ("[]", 1),
        ('{"another": "thing"}', 1),
        (f"```json\n{TEXT}\n```", 0),
        (f"Here: {TEXT}", 0),
        (TEXT[:-1], 0),
        ("42", 0),
        ("null", 0),
        ('{"a": NaN}', 0),
        ("[" * 100_000, 0),
        ('{"a": ' * 50_000 + "1" + "}" * 50_000, 0),
        ("{'a': 1}", 0),
        ("", 0),
    ],
)
def test_valid(given: str, right: float) -> None:
    assert json_valid(question(TEXT), answer(given)) == right


@pytest.mark.parametrize(
    ("given", "score"),
    [
        (TEXT, 1),
        (f"Sure!\n```json\n{TEXT}\n```\nDone.", 1),
        (f"答えは {TEXT} です。", 1),
        (json.dumps({name: ORDER[name] for name in ("paid", "items", "名前")}), 1),
        (changed(名前=" ﾔﾏﾀﾞ "), 6 / 7),
        (changed(名前="　山田　"), 1),
        (changed(paid=1), 6 / 7),
        (changed(paid="true"), 6 / 7),
        (changed(extra=1), 2 * 7 / 15),
        (json.dumps({"名前": "山田"}), 2 * 1 / 8),
        (changed(items=ORDER["items"][::-1]), 2 * 2 / 14),
        ("{}", 0),
        ("no JSON", 0),
        ("} {", 0),
        ("", 0),
    ],
)
def test_fields(given: str, score: float) -> None:
    assert json_fields(question(TEXT), answer(given)) == pytest.approx(score)


def test_numbers_are_compared_as_numbers() -> None:
    assert json_fields(question('{"a": 1, "b": 0}'), answer('{"a": 1.0, "b": false}')) == 0.5
    assert json_fields(question("[1e2]"), answer("[100]")) == 1
    assert json_fields(question("{}"), answer("{}")) == 1


@pytest.mark.parametrize("text", ["", "words", "42", '"{}"', "{broken"])
def test_nothing_is_said_where_no_json_is_expected(text: str) -> None:
    assert json_valid(question(text), answer("{}")) is None
    assert json_fields(question(text), answer("{}")) is None


PERSON = {"type": "object", "required": ["名前"], "properties": {"名前": {"type": "string"}, "age": {"minimum": 0}}}


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ('{"名前": "山田"}', 1),
        ('{"名前": 3}', 0),
        ('{"名前": "a", "age": -1}', 0),
        ("{}", 0),
        ("", 0),
        ("{", 0),
        ("null", 0),
    ],
)
def test_a_schema(given: str, right: float) -> None:
    assert schema_metric(json.dumps(PERSON))(question("anything"), answer(given)) == right


def test_a_schema_that_refers_to_itself_and_an_answer_without_end() -> None:
    schema = json.dumps(
        {"$ref": "#/$defs/list", "$defs": {"list": {"type": "array", "items": {"$ref": "#/$defs/list"}}}}
    )
    fits = schema_metric(schema)
    assert fits(question(""), answer("[[], [[]]]")) == 1
    assert fits(question(""), answer("[" * 900 + "]" * 900)) in (0, 1)
    assert fits(question(""), answer("[" * 90_000 + "]" * 90_000)) == 0


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ('{"type": "object",\n "required": [}', "2:15"),
        ("", None),
        ("[]", "$"),
        ('{"properties": {"a": {"type": "thing"}}}', "$.properties.a.type"),
        ('{"items": {"$ref": "#/nowhere"}}', "#/nowhere"),
        ('{"items": {"$ref": "https://example.com/a.json"}}', "https://example.com/a.json"),
        ('{"minimum": NaN}', "1:1"),
    ],
)
def test_a_schema_that_is_none(schema: str, place: str | None) -> None:
    with pytest.raises(InputError) as error:
        schema_metric(schema)
    for language in ("en", "ja"):
        assert place is None or place in error.value.message(language)
    assert error.value.key == ("error.metric.no_schema" if place is None else "error.metric.schema")
