"""JSON as models write it, and the schemas it is held against (https://json-schema.org)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012


class BadSchema(ValueError):
    """`place`: the line and column of the text, or the path in the schema; `reason`: in the words of the library."""

    def __init__(self, place: str, reason: str) -> None:
        self.place = place
        self.reason = (reason.splitlines() or [""])[0][:200]
        super().__init__(f"{self.place}: {self.reason}")


def read_json(text: str) -> Any:
    """The one value that the text is. Raises ValueError: for what is no JSON, also Python's NaN and Infinity, and for
    what is nested too deep to be read."""
    try:
        return json.loads(text, parse_constant=_no_json)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is Python's, not JSON's")


def read_schema(text: str) -> dict[str, Any]:
    """A JSON schema that stands alone: nothing is fetched. Raises BadSchema."""
    try:
        schema = read_json(text)
    except json.JSONDecodeError as error:
        raise BadSchema(f"{error.lineno}:{error.colno}", error.msg) from None
    except ValueError as error:
        raise BadSchema("1:1", str(error)) from None
    if not isinstance(schema, dict):
        raise BadSchema("$", "a schema is an object: {...}")
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
        resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
        for reference in _references(schema):
            try:
                resolver.lookup(reference)
            except Unresolvable as error:
                raise BadSchema(reference, str(error)) from None
    except SchemaError as error:
        raise BadSchema(error.json_path, error.message) from None
    except RecursionError:
        raise BadSchema("$", "nested too deep") from None
    return schema


def _references(schema: Any) -> Iterator[str]:
    for name, value in schema.items() if isinstance(schema, dict) else ():
        if name in ("$ref", "$dynamicRef") and isinstance(value, str):
            yield value
        yield from _references(value)
    for value in schema if isinstance(schema, list) else ():
        yield from _references(value)


def schema_validator(schema: Mapping[str, Any]) -> Validator:
    """The judge of a schema, of the draft that it names or the newest. It fetches nothing."""
    return validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())
