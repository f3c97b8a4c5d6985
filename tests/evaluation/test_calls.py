"""Tool calls in what models write."""

import json
from pathlib import Path

import pytest

from studio.data.records import ToolCall
from studio.data.tool_calls import accepted_calls, read_tools
from studio.evaluation.calls import tool_call, written_calls
from tests.evaluation.rows import answer, question

WEATHER = ToolCall("get_weather", {"city": "東京", "days": 2})
ONE = '{"name": "get_weather", "arguments": {"city": "東京", "days": 2}}'
OTHER = '{"name": "get_time", "arguments": {"zone": "Asia/Tokyo"}}'
TIME = ToolCall("get_time", {"zone": "Asia/Tokyo"})
TOOLS = ({"type": "function", "function": {"name": "get_weather"}},)


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{ONE}\n</tool_call>",
        f"Let me look.\n<tool_call>{ONE}</tool_call>",
        f"<tool_call>{ONE}",
        f"<functioncall> {ONE} <|endoftext|>",
        f"[TOOL_CALLS] [{ONE}]",
        f"<|python_tag|>{ONE}",
        ONE,
        f"[{ONE}]",
        f"```json\n{ONE}\n```",
        '{"name": "get_weather", "parameters": {"city": "東京", "days": 2}}',
        '{"function": {"name": "get_weather", "arguments": "{\\"city\\": \\"東京\\", \\"days\\": 2}"}}',
        '{"tool_calls": [{"id": "1", "function": {"name": "get_weather", "arguments": {"days": 2, "city": "東京"}}}]}',
        '<function=get_weather>{"city": "東京", "days": 2}</function>',
        "<tool_call>\n<function=get_weather>\n<parameter=city>\n東京\n</parameter>\n<parameter=days>\n2\n</parameter>\n"
        "</function>\n</tool_call>",
        'get_weather(city="東京", days=2)',
        "[get_weather(city='東京', days=2)]",
        WEATHER.text,
    ],
)
def test_the_usual_forms_are_read(text: str) -> None:
    found = written_calls(text)
    assert not found.broken
    assert [(call.name, dict(call.arguments)) for call in found.calls] == [(WEATHER.name, dict(WEATHER.arguments))]
    assert tool_call(question(calls=[WEATHER], tools=TOOLS), answer(text)) == 1
    assert tool_call(question(expected="It rains.", tools=TOOLS), answer(text)) == 0


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>{ONE}</tool_call>\n<tool_call>{OTHER}</tool_call>",
        f"<tool_call>{OTHER}</tool_call><tool_call>{ONE}</tool_call>",
        f"[{OTHER}, {ONE}]",
        f"{ONE}\n{OTHER}",
        "[get_time(zone='Asia/Tokyo'), get_weather(city='東京', days=2)]",
    ],
)
def test_several_calls_in_any_order(text: str) -> None:
    asked = question(calls=[WEATHER, TIME])
    assert tool_call(asked, answer(text)) == 1
    assert tool_call(asked, answer(ONE)) == 0
    assert tool_call(question(calls=[WEATHER, WEATHER]), answer(text)) == 0
    assert tool_call(question(calls=[WEATHER]), answer(text)) == 0


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        ('{"days": 2.0, "city": " 東京"}', 1),
        ('{"city": "東京"}', 0),
        ('{"city": "東京", "days": "2"}', 0),
        ('{"city": "東京", "days": true}', 0),
        ('{"city": "大阪", "days": 2}', 0),
        ('{"city": "東京", "days": 2, "unit": "C"}', 0),
        ("[1]", 0),
    ],
)
def test_all_arguments_count(arguments: str, right: float) -> None:
    text = f'<tool_call>{{"name": "get_weather", "arguments": {arguments}}}</tool_call>'
    assert tool_call(question(calls=[WEATHER]), answer(text)) == right


@pytest.mark.parametrize(
    "text", ["<tool_call>{broken</tool_call>", "[TOOL_CALLS] soon", "<function=f>{", '<tool_call>{"a": 1}']
)
def test_a_broken_call_is_wrong_whatever_is_expected(text: str) -> None:
    assert written_calls(text).broken
    assert tool_call(question(calls=[WEATHER]), answer(text)) == 0
    assert tool_call(question(expected="No.", tools=TOOLS), answer(text)) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It is sunny in Tokyo.",
        "東京は晴れです。",
        '{"name": "Ann", "age": 3}',
        '{"weather": "sunny"}',
        "[1, 2]",
        "[東京]",
        "f(x)",
        "print('hello')",
        "[" * 5000,
        "f(" * 5000,
        "The call get_weather(city='東京') would tell.",
        "{" * 100_000,
        "f(x=1, x=1)",
        "f(x=b'1')",
        "f(x=open('/etc/passwd'))",
        "f(x=" + "-" * 9_000 + "1)",
        "f(x=" + "-" * 90_000 + "1)",
        "<tool_call" * 10_000,
    ],
)
def test_words_are_no_calls(text: str) -> None:
    assert not written_calls(text).any
    assert tool_call(question(expected="No.", tools=TOOLS), answer(text)) == 1
    assert tool_call(question(calls=[WEATHER], tools=TOOLS), answer(text)) == 0


def test_nothing_is_said_of_rows_without_functions() -> None:
    assert tool_call(question("It rains."), answer(ONE)) is None


def test_the_calls_of_the_function_calling_leaderboard(shared: Path) -> None:
    for name, expects in (("bfcl_simple_python_dev.jsonl", True), ("bfcl_irrelevance_dev.jsonl", False)):
        for line in (shared / "data" / name).read_text("utf-8").splitlines():
            row = json.loads(line)
            calls = accepted_calls(row["ground_truth"], "ground_truth") if expects else ()
            asked = question(calls=calls, tools=read_tools(row["function"], "function"))
            python = [f"{call.name}({', '.join(f'{k}={v!r}' for k, v in call.arguments.items())})" for call in calls]
            for text in (
                ("\n".join(call.text for call in calls), f"[{', '.join(python)}]") if expects else ("I can't.",)
            ):
                assert tool_call(asked, answer(text)) == 1, text
            assert tool_call(asked, answer("I can't." if expects else ONE)) == 0
