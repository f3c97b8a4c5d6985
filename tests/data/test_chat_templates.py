"""Chat templates for models without one: every token is where it belongs, and a chat goes on from what was learned."""

from typing import Any

import pytest

from studio.data.chat_templates import TEMPLATES, ChatTemplate, cut_markers, resolved
from studio.data.records import Conversation, Message, PromptOnly, Record, ToolCall
from studio.data.tokens import UNTRAINED, prompt_text, refusal, tokenize
from studio.models.loading import with_template
from tests.tiny import tiny_tokenizer

NAMES = tuple(TEMPLATES)
SYSTEM, ASKED, ANSWERED = "丁寧に。", "Hi\nthere", "Hello."
TALK = (
    Message("system", SYSTEM),
    Message("user", ASKED),
    Message("assistant", ANSWERED),
    Message("user", "ありがとう。"),
)
ANSWER = " どういたしまして！\n\n"
WRITTEN = {
    "plain": (
        "丁寧に。\n\n### User:\nHi\nthere\n\n### Assistant:\nHello.<|end|>\n\n"
        "### User:\nありがとう。\n\n### Assistant:\n"
    ),
    "alpaca": (
        "丁寧に。\n\n### Instruction:\nHi\nthere\n\n### Response:\nHello.<|end|>\n\n"
        "### Instruction:\nありがとう。\n\n### Response:\n"
    ),
    "chatml": (
        "<|im_start|>system\n丁寧に。<|im_end|>\n<|im_start|>user\nHi\nthere<|im_end|>\n"
        "<|im_start|>assistant\nHello.<|end|>\n<|im_start|>user\nありがとう。<|im_end|>\n<|im_start|>assistant\n"
    ),
}
TOOL = {"type": "function", "function": {"name": "weather", "description": "天気", "parameters": {}}}
CALL = ToolCall("weather", {"city": "東京", "days": 2}, "call_0001")


def templated(name: ChatTemplate, *, marks: bool = False) -> Any:
    """The tiny tokenizer with this template; `marks`: ChatML's markers are tokens of it."""
    tokenizer = tiny_tokenizer(chat_template=None)
    if marks:
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return with_template(tokenizer, name)


def ids(text: str, tokenizer: Any) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("marks", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_conversation_is_written_token_for_token(name: ChatTemplate, marks: bool) -> None:
    """System, several turns, Japanese; the answer begins where the prompt of a chat ends, and stops with the end
    token. Earlier answers are learned with their end tokens, and nothing beside."""
    tokenizer = templated(name, marks=marks)
    assert prompt_text(TALK, tokenizer) == WRITTEN[name]
    example = tokenize(Conversation(TALK, ANSWER), tokenizer, 2000)
    prompt = ids(WRITTEN[name], tokenizer)
    assert example.ids == (*prompt, *ids(ANSWER, tokenizer), tokenizer.eos_token_id)
    assert example.prompt_tokens == len(prompt)
    learned = [i for i, label in zip(example.ids, example.labels, strict=True) if label != UNTRAINED]
    end = tokenizer.eos_token_id
    assert tuple(learned) == (*ids(ANSWERED, tokenizer), end, *ids(ANSWER, tokenizer), end)


@pytest.mark.parametrize("name", NAMES)
def test_every_prompt_of_a_chat_is_the_beginning_of_what_is_learned(name: ChatTemplate) -> None:
    """As texts by plain transformers, turn by turn, with a system turn and without."""
    tokenizer = templated(name)
    for turns in (TALK, TALK[1:], TALK[1:2]):
        told = [{"role": turn.role, "content": turn.content} for turn in turns]
        for number, turn in enumerate(told):
            if turn["role"] == "assistant":
                prompt = tokenizer.apply_chat_template(told[:number], tokenize=False, add_generation_prompt=True)
                until = tokenizer.apply_chat_template(told[: number + 1], tokenize=False)
                whole = tokenizer.apply_chat_template(told, tokenize=False)
                assert until == f"{prompt}{turn['content']}{tokenizer.eos_token}"
                assert whole.startswith(until)


def test_the_plain_template_is_what_it_was() -> None:
    """Runs made with it go on with the same tokens."""
    assert TEMPLATES["plain"] == (
        "{{- bos_token -}}"
        "{%- for message in messages -%}"
        "{%- if message['role'] == 'system' -%}{{- message['content'] + '\n\n' -}}"
        "{%- elif message['role'] == 'assistant' -%}"
        "{{- '### Assistant:\n' + message['content'] + eos_token -}}"
        "{%- if not loop.last -%}{{- '\n\n' -}}{%- endif -%}"
        "{%- else -%}{{- '### User:\n' + message['content'] + '\n\n' -}}{%- endif -%}"
        "{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '### Assistant:\n' -}}{%- endif -%}"
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_beginning_token_stands_first(name: ChatTemplate) -> None:
    tokenizer = templated(name)
    tokenizer.bos_token = "<|system|>"
    assert prompt_text(TALK[1:2], tokenizer).startswith("<|system|>")


TOOLS: list[Record] = [
    Conversation((Message("user", "天気は？"),), "", (TOOL,), (CALL,)),
    Conversation(
        (
            Message("system", SYSTEM),
            Message("user", "天気は？"),
            Message("assistant", "見ます。", (CALL, CALL)),
            Message("tool", "晴れ", name="weather", call_id="call_0001"),
        ),
        "晴れです。",
        (TOOL,),
    ),
    PromptOnly((Message("user", "天気は？"),), (TOOL,)),
]


@pytest.mark.parametrize("record", TOOLS)
def test_tools_are_written_in_chatml_and_refused_elsewhere(record: Record) -> None:
    assert refusal(record, templated("chatml")) is None
    for name in NAMES[:2]:
        refused = refusal(record, templated(name))
        assert refused is not None
        assert "chatml" in refused.message()


def test_a_chat_with_tools_token_for_token() -> None:
    tokenizer = templated("chatml")
    call = '<tool_call>\n{"name": "weather", "arguments": {"city": "東京", "days": 2}}\n</tool_call>'
    tools = (
        'These functions can be called:\n<tools>\n{"type": "function", "function": {"name": "weather", "description": '
        '"天気", "parameters": {}}}\n</tools>\nA call is written so:\n<tool_call>\n'
        '{"name": "its name", "arguments": {"argument": "value"}}\n</tool_call><|im_end|>\n'
    )
    first, last = (tokenize(record, tokenizer, 4000) for record in TOOLS[:2])
    asked = "<|im_start|>user\n天気は？<|im_end|>\n<|im_start|>assistant\n"
    assert first.ids == ids(f"<|im_start|>system\n{tools}{asked}{call}<|end|>", tokenizer)
    assert first.answer_tokens == len(ids(f"{call}<|end|>", tokenizer))
    said = f"見ます。\n{call}\n{call}<|end|>\n<|im_start|>tool\n<tool_response>\n晴れ\n</tool_response><|im_end|>\n"
    begin = f"<|im_start|>system\n{SYSTEM}\n\n{tools}"
    text = f"{begin}{asked}{said}<|im_start|>assistant\n晴れです。<|end|>"
    assert last.ids == ids(text, tokenizer)
    assert last.trained_tokens == len(ids(f"見ます。\n{call}\n{call}<|end|>晴れです。<|end|>", tokenizer))


def test_markers_that_are_no_tokens_are_counted() -> None:
    assert cut_markers(templated("chatml"), "chatml") == {"<|im_start|>": 12, "<|im_end|>": 10}
    assert cut_markers(templated("chatml", marks=True), "chatml") == {}
    for name in ("own", "plain", "alpaca"):
        assert cut_markers(templated("chatml"), name) == {}


def test_own_is_plain_where_there_is_none() -> None:
    assert resolved("own", own=True) == "own"
    assert resolved("own", own=False) == resolved("plain", own=False) == resolved("plain", own=True) == "plain"
