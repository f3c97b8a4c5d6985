"""Answers that are JSON: whether they can be read, fit a schema, and hold the expected fields."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import regex
from jsonschema.exceptions import ValidationError

from studio.data.json_text import BadSchema, read_json, read_schema, schema_validator
from studio.data.plain_text import plain_text
from studio.errors import InputError
from studio.evaluation.matching import expected_text
from studio.evaluation.questions import Answer, Question

_FENCED = regex.compile(r"```(?:json)?[^\S\n]*\n(.*?)```", regex.DOTALL | regex.IGNORECASE)
_ABSENT = object()


def expected_json(question: Question) -> dict[str, Any] | list[Any] | None:
    """The object or list that the expected answer is; None where it is something else."""
    text = expected_text(question)
    value = _read(text) if text is not None and text[0] in "{[" else None
    return value if isinstance(value, dict | list) else None


def json_valid(question: Question, answer: Answer) -> float | None:
    """Whether the whole answer is one JSON object or list (RFC 8259), as a program needs it: words or a code fence
    around it make it invalid. None where the expected answer is no JSON object or list."""
    if expected_json(question) is None:
        return None
    return float(isinstance(_read(answer.text), dict | list))


def json_fields(question: Question, answer: Answer) -> float | None:
    """F1 of the fields: how many values of the expected JSON stand at their place in the given one, and how many of the
    given ones were expected. A place is a path of names and positions (`items`, 0, `price`). Texts are equal but for
    case, spaces and width; 1 is 1.0, but neither "1" nor true. JSON inside a code fence or a sentence is read as well;
    without any the score is 0."""
    expected = expected_json(question)
    if expected is None:
        return None
    value = _inside(answer.text)
    if value is _ABSENT:
        return 0.0
    wanted, given = Counter(_fields(expected)), Counter(_fields(value))
    return 2 * (wanted & given).total() / (wanted.total() + given.total())


def schema_metric(schema: str) -> Callable[[Question, Answer], float | None]:
    """Whether the whole answer is JSON that fits the schema. Raises InputError where the schema is none."""
    validator = schema_validator(check_schema(schema))

    def json_schema(question: Question, answer: Answer) -> float | None:
        try:
            validator.validate(read_json(answer.text))
        except (ValueError, RecursionError, ValidationError):
            return 0.0
        return 1.0

    return json_schema


def check_schema(text: str) -> dict[str, Any]:
    """The schema that the user gave. Raises InputError with place and reason."""
    if not text.strip():
        raise InputError("error.metric.no_schema")
    try:
        return read_schema(text)
    except BadSchema as error:
        raise InputError("error.metric.schema", place=error.place, reason=error.reason) from None


def canonical(value: Any) -> tuple[Any, ...]:
    """The same for JSON values that mean the same, and hashable: texts but for case, spaces and width, 1 and 1.0, the
    members of an object in any order. Raises RecursionError for what is nested too deep."""
    match value:
        case str():
            return "text", plain_text(value)
        case bool() | None:
            return "constant", value
        case Mapping():
            return "object", *sorted((name, canonical(item)) for name, item in value.items())
        case list() | tuple():
            return "list", *(canonical(item) for item in value)
        case _:
            return "number", value


def _fields(value: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Path and value of every leaf; an empty object or list is one."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        path, item = waiting.pop()
        if isinstance(item, dict) and item:
            waiting += [((*path, name), inner) for name, inner in item.items()]
        elif isinstance(item, list) and item:
            waiting += [((*path, place), inner) for place, inner in enumerate(item)]
        else:
            yield path, canonical(item)


def _read(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return _ABSENT


def _inside(text: str) -> Any:
    """The JSON object or list of a text: the whole, the last code fence, or from the first bracket to the last."""
    fenced = _FENCED.findall(text)
    opened = min((place for mark in "{[" if (place := text.find(mark)) >= 0), default=-1)
    closed = max(text.rfind("}"), text.rfind("]"))
    for part in (text, *fenced[-1:], text[opened : closed + 1] if 0 <= opened < closed else ""):
        if isinstance(value := _read(part), dict | list):
            return value
    return _ABSENT
