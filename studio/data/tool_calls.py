"""Functions that a model may call, and its calls, as files write them.

OpenAI: `tools` is a list of {"type": "function", "function": {...}} or of the functions alone; a turn's `tool_calls` is
a list of {"function": {"name", "arguments"}}, the arguments an object or its JSON text. ShareGPT: `tools` is that list
as JSON text, and the turn of `function_call` is {"name", "arguments"} as JSON text, or a list of such.
"""

import json
from typing import Any

from studio.data.problems import Unusable, type_name
from studio.data.records import Tool, ToolCall

CALL_KEYS = ("tool_calls", "function_call")


def read_tools(cell: Any, column: str) -> tuple[Tool, ...]:
    """The functions of a cell, each as Transformers takes it; members that are null are left away."""
    value = _from_json(cell, column, "bad_tools") if isinstance(cell, str) else cell
    if value is None or value == []:
        return ()
    items = value if isinstance(value, list) else [value]
    return tuple(
        _tool(_from_json(item, column, "bad_tools") if isinstance(item, str) else item, column) for item in items
    )


def _tool(item: Any, column: str) -> Tool:
    function = item.get("function", item) if isinstance(item, dict) else item
    if not isinstance(function, dict):
        raise Unusable("bad_tools", column, type_name(function))
    if not isinstance(function.get("name"), str) or not function["name"].strip():
        raise Unusable("bad_tools", column, "name")
    return {"type": "function", "function": _without_nulls(function)}


def _without_nulls(value: Any) -> Any:
    """A Parquet file gives every object the members of all others, as nulls."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def turn_calls(turn: dict[str, Any], column: str, number: int) -> tuple[ToolCall, ...]:
    """The calls of an OpenAI turn; none where it has none."""
    calls = turn.get("tool_calls") or ()
    single = turn.get("function_call")
    if not isinstance(calls, list | tuple):
        raise Unusable("bad_tool_call", column, str(number))
    return tuple(_call(item, column, number) for item in (*calls, *([single] if single else [])))


def text_calls(content: str, column: str, number: int) -> tuple[ToolCall, ...]:
    """The calls that a turn's text holds as JSON."""
    value = _from_json(content, column, "bad_tool_call", str(number))
    items = value if isinstance(value, list) else [value]
    if not items:
        raise Unusable("bad_tool_call", column, str(number))
    return tuple(_call(item, column, number) for item in items)


def _call(item: Any, column: str, number: int) -> ToolCall:
    function = item.get("function", item) if isinstance(item, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"].strip():
        raise Unusable("bad_tool_call", column, str(number))
    arguments = function.get("arguments", function.get("parameters"))
    if isinstance(arguments, str):
        arguments = _from_json(arguments, column, "bad_tool_call", str(number)) if arguments.strip() else {}
    if arguments is not None and not isinstance(arguments, dict):
        raise Unusable("bad_tool_call", column, str(number))
    call_id = item.get("id")
    return ToolCall(function["name"], arguments or {}, call_id if isinstance(call_id, str) else None)


def accepted_calls(cell: Any, column: str) -> tuple[ToolCall, ...]:
    """Calls made of the first accepted value of each argument, as the Berkeley Function Calling Leaderboard lists them:
    [{function: {argument: [value, ...]}}]. An empty text as the first value says that the argument may be left away.
    """
    value = _from_json(cell, column, "bad_tool_call", "1") if isinstance(cell, str) else cell
    if value is None or value == []:
        raise Unusable("blank_answer", column)
    calls = []
    for number, item in enumerate(value if isinstance(value, list) else [value], 1):
        if not isinstance(item, dict) or len(item) != 1:
            raise Unusable("bad_tool_call", column, str(number))
        ((name, accepted),) = item.items()
        if not isinstance(accepted, dict) or not all(isinstance(v, list) and v for v in accepted.values()):
            raise Unusable("bad_tool_call", column, str(number))
        calls.append(ToolCall(name, {key: _first(v[0]) for key, v in accepted.items() if v[0] != ""}))
    return tuple(calls)


def _first(value: Any) -> Any:
    """Within an object, each member lists its accepted values again."""
    if isinstance(value, dict) and all(isinstance(item, list) and item for item in value.values()):
        return {key: _first(item[0]) for key, item in value.items() if item[0] != ""}
    return value


def _from_json(text: str, column: str, kind: Any, detail: str = "JSON") -> Any:
    if not text.strip() and kind == "bad_tools":
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unusable(kind, column, detail) from None
