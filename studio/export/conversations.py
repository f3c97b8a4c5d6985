"""Conversations that every export is shown: whoever writes them in tokens must come to the same ones as the run did.

They hold what templates and tokenizers differ in: a system turn, several turns, tools with a call and its result, line
breaks and spaces in a row, Japanese, and signs that are several bytes long.
"""

from typing import Any

from studio.data.records import Message, ToolCall

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of the coming days. 天気を返します。",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["place"],
        },
    },
}

_USER, _ANSWER = Message("user", "How are you?"), Message("assistant", "Fine, thank you. And you?")
_CALL = ToolCall("weather", {"place": "京都", "days": 2}, "call_1")

CONVERSATIONS: tuple[tuple[tuple[Message, ...], tuple[dict[str, Any], ...]], ...] = (
    ((_USER,), ()),
    ((Message("system", "You answer in one short sentence."), _USER), ()),
    ((_USER, _ANSWER, Message("user", "What is 12 + 345?\n\n  Show  it:\n- step by step\n- in words")), ()),
    (
        (
            Message("system", "あなたは丁寧な助手です。"),
            Message("user", "東京の天気は？「晴れ」かな！？"),
            Message("assistant", "晴れです。気温は28℃、湿度は約60％です。"),
            Message("user", "ありがとう。では、コーヒーを二つお願いします〜♪"),
        ),
        (),
    ),
    ((Message("user", "Café naïve — 🍣 𠮷野家\t<b>&amp;</b> it's, they'll, 1,234.5%"),), ()),
    ((Message("system", "Use the tools."), _USER), (WEATHER,)),
    (
        (
            Message("user", "Will it rain in 京都?"),
            Message("assistant", "", (_CALL,)),
            Message("tool", '{"rain": true}', name="weather", call_id="call_1"),
            Message("assistant", "Yes, take an umbrella."),
            Message("user", "Thanks!"),
        ),
        (WEATHER,),
    ),
)
"""Messages, and the tools that can be called."""

PROMPTS: tuple[tuple[tuple[Message, ...], str], ...] = tuple(
    ((Message("user", text),), "")
    for text in (
        "Hello!",
        "こんにちは！",
        "What can you do?",
        "日本の首都はどこですか？",
        "Name three colours.",
        "一週間の曜日を順番に言ってください。",
        "Once upon a time",
        "むかしむかし、あるところに",
    )
)
"""Asked where there is no data to take prompts from; nothing is known of what is a good answer."""
