"""Tool calls held against the functions that may be called."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from studio.data.records import Message, Passage, Record, Tool, record_sides

if TYPE_CHECKING:
    import jsonschema

# Words for types that are no JSON Schema, as function lists of other origins write them.
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None, "int": "integer", "str": "string",
          "list": "array", "bool": "boolean", "String": "string"}  # fmt: skip


def bad_calls(record: Record) -> Iterator[str]:
    """What is wrong with each call of the record: the function is not among its tools, or arguments do not fit."""
    tools = () if isinstance(record, Passage) else record.tools
    if not tools:
        return
    for side in record_sides(record):
        for turn in side:
            yield from _bad(turn, tools)


def _bad(turn: Message, tools: tuple[Tool, ...]) -> Iterator[str]:
    for call in turn.tool_calls:
        function = next((f for f in map(_function, tools) if f.get("name") == call.name), None)
        if function is None:
            yield call.name
            continue
        parameters = function.get("parameters")
        if isinstance(parameters, Mapping) and parameters and (check := _validator(_key(parameters))) is not None:
            error = next(check.iter_errors(dict(call.arguments)), None)
            if error is not None:
                yield f"{call.name}: {error.message}"


def _function(tool: Tool) -> Mapping[str, Any]:
    inner = tool.get("function")
    return inner if isinstance(inner, Mapping) else tool


def _key(parameters: Mapping[str, Any]) -> bytes:
    return orjson.dumps(dict(parameters), option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)


@lru_cache(maxsize=4096)
def _validator(parameters: bytes) -> "jsonschema.Draft202012Validator | None":
    """None where the schema itself is none: then nothing can be said against a call."""
    import jsonschema

    schema = _plain(orjson.loads(parameters))
    if not isinstance(schema, dict):
        return None
    if "type" not in schema and "properties" not in schema:
        schema = {"type": "object", "properties": schema} if all(isinstance(v, dict) for v in schema.values()) else {}
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError:
        return None
    return jsonschema.Draft202012Validator(schema)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: _plain(item) for key, item in value.items() if key != "$ref"}
    if isinstance(made.get("type"), str) and made["type"] in _TYPES:
        known = _TYPES[made.pop("type")]
        made |= {"type": known} if known else {}
    return made
