"""Tool calls in what a model wrote, and whether they are the expected ones.

Read are the forms in which open models write calls:

- `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` (Hermes, Qwen, the studio's own templates), and
  `<functioncall> {...}` (Glaive);
- `<function=name>{...}</function>` (Llama 3.1), with `<parameter=...>` inside too (Qwen3-Coder);
- `[TOOL_CALLS] [{...}]` (Mistral) and `<|python_tag|>{...}` (Llama 3);
- the whole answer, or its code fence, being a call as JSON, a list of such, or one a line; `parameters` for
  `arguments`, arguments as an object or its JSON text, and OpenAI's {"function": {...}} around them;
- `[name(argument=value), ...]` (Llama 3.2, Berkeley Function Calling Leaderboard).
"""

import ast
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import regex

from studio.data.json_text import read_json
from studio.data.problems import Unusable
from studio.data.records import ToolCall
from studio.data.tool_calls import text_calls, turn_calls
from studio.evaluation.questions import Answer, Question
from studio.evaluation.structured import canonical

_TAGGED = regex.compile(
    r"<(tool_call|functioncall|tool_code)>\s*(.*?)\s*(?:</\1>|<\|endoftext\|>|(?=<\1>)|\Z)", regex.DOTALL
)
_FUNCTION = regex.compile(r"<function=([^>\n]{1,200})>\s*(.*?)\s*(?:</function>|\Z)", regex.DOTALL)
_PARAMETER = regex.compile(r"<parameter=([^>\n]{1,200})>\n?(.*?)\n?</parameter>", regex.DOTALL)
_LEAD = regex.compile(r"^\s*(?:\[TOOL_CALLS\]|<\|python_tag\|>)\s*")
_FENCED = regex.compile(r"^```\w*[^\S\n]*\n(.*)\n?```$", regex.DOTALL)
_PYTHON = regex.compile(r"^\[?\s*[A-Za-z_][\w.]*\(.*\)\s*\]?$", regex.DOTALL)
_LONGEST = 100_000
_LONGEST_PYTHON = 10_000


@dataclass(frozen=True, slots=True)
class WrittenCalls:
    """The calls of an answer. `broken`: one was begun that cannot be read; then there are none."""

    calls: tuple[ToolCall, ...]
    broken: bool = False

    @property
    def any(self) -> bool:
        return self.broken or bool(self.calls)


def tool_call(question: Question, answer: Answer) -> float | None:
    """Whether exactly the expected calls were made: each name and all arguments, in any order. Where functions may be
    called and none is expected, it is right to call none. A call that cannot be read is wrong. None where the row has
    neither functions nor calls."""
    expected = question.expected.tool_calls
    if not expected and not question.tools:
        return None
    given = written_calls(answer.text)
    if not expected:
        return float(not given.any)
    return float(_meanings(given.calls) == _meanings(expected))


def _meanings(calls: tuple[ToolCall, ...]) -> "Counter[Any]":
    return Counter((call.name, canonical(dict(call.arguments))) for call in calls)


def written_calls(text: str) -> WrittenCalls:
    """The calls in a text, in the order in which they stand there."""
    text = text[:_LONGEST].strip()
    try:
        if "<function=" in text:
            return WrittenCalls(tuple(_function(name, inner) for name, inner in _FUNCTION.findall(text)))
        if tagged := _TAGGED.findall(text):
            return WrittenCalls(tuple(call for _, inner in tagged for call in _json_calls(inner)))
        if lead := _LEAD.match(text):
            return WrittenCalls(_json_calls(text[lead.end() :]))
    except (Unusable, ValueError, RecursionError):
        return WrittenCalls((), broken=True)
    return WrittenCalls(_bare(text))


def _bare(text: str) -> tuple[ToolCall, ...]:
    """Of an answer that says by no mark that it is a call: only where the whole is one."""
    if fenced := _FENCED.match(text):
        text = fenced[1].strip()
    try:
        if text[:1] in ("{", "[") and (text[1:].lstrip()[:1] in ("{", '"')):
            return _json_calls(text)
        if len(text) <= _LONGEST_PYTHON and _PYTHON.match(text):
            return _python_calls(text)
    except (Unusable, ValueError, RecursionError, SyntaxError, MemoryError, TypeError):
        pass
    return ()


def _json_calls(text: str) -> tuple[ToolCall, ...]:
    """One call, a list of calls, or a call a line. Raises ValueError or Unusable."""
    try:
        value = read_json(text)
    except json.JSONDecodeError:
        if "\n" not in text:
            raise
        value = [read_json(line) for line in text.splitlines() if line.strip()]
    items = value if isinstance(value, list) else [value]
    if items and all(isinstance(item, dict) and "tool_calls" in item for item in items):
        return tuple(call for item in items for call in turn_calls(item, "", 1))
    if not all(isinstance(item, dict) and _named(item) for item in items):
        raise ValueError("no call")
    return text_calls(json.dumps(items), "", 1)


def _named(item: dict[str, Any]) -> bool:
    """JSON that has a name is a call only with arguments."""
    function = item.get("function", item)
    return isinstance(function, dict) and ("arguments" in function or "parameters" in function)


def _function(name: str, inner: str) -> ToolCall:
    if parameters := _PARAMETER.findall(inner):
        return ToolCall(name.strip(), {key.strip(): _value(value) for key, value in parameters})
    arguments = read_json(inner) if inner else {}
    if not isinstance(arguments, dict):
        raise ValueError("arguments are an object")
    return ToolCall(name.strip(), arguments)


def _value(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return text


def _python_calls(text: str) -> tuple[ToolCall, ...]:
    """Calls written as in Python, read as a syntax tree: nothing is run."""
    body = ast.parse(text, mode="eval").body
    nodes = body.elts if isinstance(body, ast.List) else [body]
    return tuple(_python_call(node) for node in nodes)


def _python_call(node: ast.expr) -> ToolCall:
    if not isinstance(node, ast.Call) or node.args or not all(word.arg for word in node.keywords):
        raise ValueError("no call with named arguments")
    arguments = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}
    if len(arguments) < len(node.keywords):
        raise ValueError("an argument given twice")
    json.dumps(arguments)
    return ToolCall(ast.unparse(node.func), arguments)
