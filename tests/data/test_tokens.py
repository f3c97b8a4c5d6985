"""What is trained is what is seen: the prompt as a chat gives it, the end token learned, the text shown whole."""

from pathlib import Path
from typing import Any

import pytest

from studio.data.formats import convert, recognise
from studio.data.records import Conversation, Message, Passage, Preference, PromptOnly, Rated, Record, ToolCall
from studio.data.sources import read_source
from studio.data.tables import Table
from studio.data.tokens import (
    UNTRAINED,
    Lengths,
    TemplateRefusal,
    lengths,
    prompt_text,
    special_tokens_in,
    tokenize,
    view,
)
from studio.errors import DataError
from tests.tiny import CHAT_TEMPLATE, tiny_tokenizer

ONE = Conversation((Message("user", "空の色は？"),), "青です。😀")
TWO = Conversation(
    (Message("system", "Be kind."), Message("user", "Hi"), Message("assistant", "Hello!"), Message("user", "Bye")),
    "See you.",
)
# ChatML as many models write it: a line end behind each turn, and one trained nowhere.
CHATML = (
    "{% for m in messages %}<|user|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|user|>assistant\n{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + CHAT_TEMPLATE
NO_END = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
# Earlier answers are shown without what stands before a bar, as templates do with reasoning.
SHORTENED = (
    "{% for m in messages %}<|{{ m['role'] }}|>"
    "{{ m['content'] if loop.last else m['content'].split('|')[-1] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(params=["tiny", "chatml", "no_end", "minimind", "llm-jp-ver2.2-50k", "gpt2"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    if request.param == "tiny":
        return tiny_tokenizer()
    if request.param == "chatml":
        return tiny_tokenizer(chat_template=CHATML)
    if request.param == "no_end":
        return tiny_tokenizer(chat_template=NO_END)
    from transformers import AutoTokenizer

    folder: Path = request.getfixturevalue("shared") / "tokenizers" / request.param
    loaded = AutoTokenizer.from_pretrained(folder)
    loaded.chat_template = loaded.chat_template or NO_END
    return loaded


def ids_of(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("conversation", [ONE, TWO])
def test_training_prompt_is_the_chat_prompt(tokenizer: Any, conversation: Conversation) -> None:
    example = tokenize(conversation, tokenizer, 10_000)
    chat = ids_of(tokenizer, prompt_text(conversation.prompt, tokenizer))
    assert list(example.ids[: len(chat)]) == chat
    assert example.prompt_tokens == len(chat)
    assert example.prompt_tokens + example.answer_tokens == len(example.ids)
    assert not example.truncated


@pytest.mark.parametrize("conversation", [ONE, TWO])
def test_answer_and_end_are_trained(tokenizer: Any, conversation: Conversation) -> None:
    example = tokenize(conversation, tokenizer, 10_000)
    tail = list(example.labels[example.prompt_tokens :])
    assert tail == list(example.ids[example.prompt_tokens :])
    assert tail[-1] in tokenizer.all_special_ids
    assert tokenizer.decode(tail, skip_special_tokens=True).strip().endswith(conversation.answer.strip())


def test_every_answer_of_a_conversation_is_trained() -> None:
    tokenizer = tiny_tokenizer()
    example = tokenize(TWO, tokenizer, 1000)
    trained = [i for i, label in zip(example.ids, example.labels, strict=True) if label != UNTRAINED]
    assert tokenizer.decode(trained) == "Hello!<|end|>See you.<|end|>"
    everything = tokenize(TWO, tokenizer, 1000, loss_on="all")
    assert everything.labels == everything.ids == example.ids


def test_answers_the_template_rewrites_are_read_not_learned() -> None:
    tokenizer = tiny_tokenizer(chat_template=SHORTENED)
    prompt = (Message("user", "Hi"), Message("assistant", "thinking|Hello"), Message("user", "Bye"))
    example = tokenize(Conversation(prompt, "x|See you"), tokenizer, 1000)
    trained = [i for i, label in zip(example.ids, example.labels, strict=True) if label != UNTRAINED]
    assert tokenizer.decode(trained) == "x|See you<|end|>"
    assert tokenizer.decode(list(example.ids)) == prompt_text(prompt, tokenizer) + "x|See you<|end|>"


def test_the_line_end_behind_the_last_turn_is_not_trained() -> None:
    tokenizer = tiny_tokenizer(chat_template=CHATML)
    assert str(tokenizer.decode(list(tokenize(ONE, tokenizer, 1000).ids))).endswith("😀<|end|>")


@pytest.mark.parametrize("max_length", [1, 2, 20, 25, 40, 1000])
def test_cutting(max_length: int) -> None:
    tokenizer = tiny_tokenizer()
    whole = tokenize(ONE, tokenizer, 10_000)
    example = tokenize(ONE, tokenizer, max_length)
    assert example.ids == whole.ids[:max_length]
    assert example.labels == whole.labels[:max_length]
    assert (example.prompt_tokens, example.answer_tokens) == (whole.prompt_tokens, whole.answer_tokens)
    assert example.truncated == (len(whole.ids) > max_length)
    measured = next(lengths([(9, ONE)], tokenizer, max_length))
    assert measured == Lengths(9, whole.prompt_tokens, whole.answer_tokens, example.trained_tokens, example.truncated)
    assert measured.lost == (max_length <= whole.prompt_tokens)


@pytest.mark.parametrize(
    "conversation", [ONE, TWO, Conversation((Message("user", "a  b\t\n c "),), "ｶﾞ か\u3099 é e\u0301\n\n")]
)
@pytest.mark.parametrize("loss_on", ["answer", "all"])
def test_the_view_shows_every_character_once(tokenizer: Any, conversation: Conversation, loss_on: Any) -> None:
    _, spans = view(conversation, tokenizer, 10_000, loss_on)
    shown = "".join(span.text for span in spans)
    assert shown.startswith(prompt_text(conversation.prompt, tokenizer))
    assert conversation.answer.rstrip() in shown
    assert "\ufffd" not in shown
    example = tokenize(conversation, tokenizer, 10_000, loss_on)
    assert sum(span.tokens for span in spans) == len(example.ids)
    trained = sum(label != UNTRAINED for label in example.labels)
    assert sum(span.tokens for span in spans if span.trained) == trained


def test_japanese_shows_whole_and_coloured() -> None:
    _, spans = view(ONE, tiny_tokenizer(), 1000)
    assert [span.text for span in spans if span.trained] == ["青", "で", "す", "。", "😀", "<|end|>"]
    assert [span.tokens for span in spans if span.trained] == [3, 3, 3, 3, 4, 1]


def test_the_view_of_a_cut_row() -> None:
    tokenizer = tiny_tokenizer()
    for max_length in range(1, 60):
        example, spans = view(ONE, tokenizer, max_length)
        assert example == tokenize(ONE, tokenizer, max_length)
        assert "".join(span.text for span in spans) == "<|user|>空の色は？<|end|><|assistant|>青です。😀<|end|>"
        assert sum(span.tokens for span in spans) == len(example.ids)
        assert any(span.cut for span in spans) == example.truncated


def test_a_huge_row_is_viewed_in_part() -> None:
    _, spans = view(Conversation((Message("user", "x"),), "y" * 300_000), tiny_tokenizer(), 64)
    assert len(spans) <= 65
    assert sum(len(span.text) for span in spans) < 5_000


def test_many_rows_as_one_by_one(tokenizer: Any) -> None:
    rows = [(i, Conversation((Message("user", f"何{i}" * (i % 5)), *ONE.prompt), f"{i}")) for i in range(600)]
    measured = list(lengths(rows, tokenizer, 30))
    assert [item.row_id for item in measured] == [i for i, _ in rows]
    for item, (_, conversation) in list(zip(measured, rows, strict=True))[::97]:
        example = tokenize(conversation, tokenizer, 30)
        assert (item.total_tokens, item.trained_tokens) == (
            example.prompt_tokens + example.answer_tokens,
            example.trained_tokens,
        )


def test_templates_that_refuse() -> None:
    tokenizer = tiny_tokenizer(chat_template=NO_SYSTEM)
    with pytest.raises(TemplateRefusal) as caught:
        tokenize(TWO, tokenizer, 100)
    for language in ("en", "ja"):
        assert "no system turn" in caught.value.message(language)
    measured = list(lengths([(1, ONE), (2, TWO), (3, ONE)], tokenizer, 100))
    assert [item.refused for item in measured] == [None, "no system turn", None]
    assert not measured[1].lost


def test_no_template() -> None:
    with pytest.raises(DataError) as caught:
        tokenize(ONE, tiny_tokenizer(chat_template=None), 100)
    assert caught.value.key == "error.data.no_template"


def test_without_an_end_token_the_template_must_end_the_turn() -> None:
    example = tokenize(ONE, tiny_tokenizer(pad=False, eos=False), 1000)
    assert example.labels[-1] == 1  # <|end|>, written by the template


# Tools

TOOLS = ({"type": "function", "function": {"name": "find_city", "parameters": {"type": "object", "properties": {}}}},)
CALL = ToolCall("find_city", {"name": "東京", "n": 2})
CALLED = Conversation(
    (
        Message("user", "東京は？"),
        Message("assistant", "", (CALL, CALL)),
        Message("tool", '{"found": true}', name="find_city"),
        Message("tool", "[]"),
    ),
    "ありました。",
    TOOLS,
)
CALLING = Conversation((Message("user", "東京は？"),), "探します。", TOOLS, (CALL,))
# Writes tools, calls and results; the tests leave parts of it away.
WITH_TOOLS = {
    "tools": "{% for t in tools or [] %}<|system|>{{ t['function']['name'] }}<|end|>{% endfor %}",
    "tool": "{% if m['role'] == 'tool' %}<|user|>{{ m['content'] }}<|end|>{% else %}",
    "role": "<|{{ m['role'] }}|>{{ m['content'] }}",
    "tool_calls": "{% for c in m.get('tool_calls', []) %}[{{ c['function'] | tojson }}]{% endfor %}",
}
_GENERATION = "{% if add_generation_prompt %}<|assistant|>{% endif %}"


def tool_template(*parts: str) -> str:
    tools, tool, role, calls = (text if part in (*parts, "role") else "" for part, text in WITH_TOOLS.items())
    tool = tool or "{% if m['role'] == 'tool' %}{% else %}"
    return f"{tools}{{% for m in messages %}}{tool}{role}{calls}<|end|>{{% endif %}}{{% endfor %}}{_GENERATION}"


@pytest.fixture(params=["tiny", "minimind"])
def tool_tokenizer(request: pytest.FixtureRequest) -> Any:
    if request.param == "tiny":
        return tiny_tokenizer(chat_template=tool_template("tools", "tool", "tool_calls"))
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(request.getfixturevalue("shared") / "tokenizers" / request.param)


@pytest.mark.parametrize("conversation", [CALLED, CALLING])
def test_tools_reach_the_template(tool_tokenizer: Any, conversation: Conversation) -> None:
    example = tokenize(conversation, tool_tokenizer, 10_000)
    chat = ids_of(tool_tokenizer, prompt_text(conversation.prompt, tool_tokenizer, conversation.tools))
    assert list(example.ids[: len(chat)]) == chat
    told = str(tool_tokenizer.decode(list(example.ids)))
    assert told.count("find_city") >= 1 + (2 if conversation is CALLED else 1)
    turns = [
        turn for turn in ({"role": m.role, "content": m.content} for m in conversation.messages) if turn["content"]
    ]
    assert all(turn["content"] in told for turn in turns)
    shown, spans = view(conversation, tool_tokenizer, 10_000)
    assert shown == example
    assert "".join(span.text for span in spans).startswith(prompt_text(conversation.prompt, tool_tokenizer, TOOLS))
    measured = next(lengths([(1, conversation)], tool_tokenizer, 10_000))
    assert measured.trained_tokens == example.trained_tokens


def test_tool_calls_are_trained_and_results_are_read(tool_tokenizer: Any) -> None:
    for conversation in (CALLED, CALLING):
        example = tokenize(conversation, tool_tokenizer, 10_000)
        trained = [i for i, label in zip(example.ids, example.labels, strict=True) if label != UNTRAINED]
        learned = str(tool_tokenizer.decode(trained))
        assert learned.count("find_city") == sum(len(turn.tool_calls) for turn in conversation.messages)
        assert learned.count("東京") == learned.count("find_city")
        assert conversation.answer in learned
        assert "found" not in learned
        assert trained[-1] in tool_tokenizer.all_special_ids


@pytest.mark.parametrize("missing", ["tools", "tool", "tool_calls"])
def test_a_template_that_leaves_a_part_out_is_told(missing: str) -> None:
    tokenizer = tiny_tokenizer(chat_template=tool_template(*({"tools", "tool", "tool_calls"} - {missing})))
    with pytest.raises(TemplateRefusal) as caught:
        tokenize(CALLED, tokenizer, 1000)
    for language in ("en", "ja"):
        assert missing in caught.value.message(language)
    refused = [item.refused for item in lengths([(1, ONE), (2, CALLED)], tokenizer, 1000)]
    assert refused == [None, missing]
    with pytest.raises(TemplateRefusal):
        view(PromptOnly(CALLED.prompt, TOOLS), tokenizer, 1000)


def test_a_template_that_refuses_tools_is_told() -> None:
    refusal = "{% if m['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    strict = f"{{% for m in messages %}}{refusal}{{% endfor %}}"
    tokenizer = tiny_tokenizer(chat_template=strict + tool_template("tools", "tool", "tool_calls"))
    assert next(lengths([(1, CALLED)], tokenizer, 1000)).refused == "no tools here"
    assert next(lengths([(1, CALLING)], tokenizer, 1000)).refused is None


def test_the_starter_template_knows_no_tools() -> None:
    assert next(lengths([(1, CALLED)], tiny_tokenizer(), 1000)).refused == "tools, tool_calls"


def test_real_tool_calls_are_trained(shared: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(shared / "tokenizers" / "minimind")
    read_source(shared / "data" / "glaive_toolcall_en_demo.json", tmp_path / "t", max_bytes=10**8)
    rows = list(Table(tmp_path / "t").read())[:60]
    mapping = recognise(Table(tmp_path / "t").columns, rows)
    assert mapping is not None
    for row in rows:
        talk = convert(row, mapping)
        assert isinstance(talk, Conversation)
        example = tokenize(talk, tokenizer, 100_000)
        learned = str(tokenizer.decode([i for i in example.labels if i != UNTRAINED]))
        assert learned.count("<tool_call>") == sum(len(turn.tool_calls) for turn in talk.messages)
        for turn in talk.messages:
            assert turn.role != "assistant" or turn.content.strip() in learned
            assert all(f'"name": "{call.name}", "arguments": ' in learned for call in turn.tool_calls)
        if talk.tools:
            assert talk.tools[0]["function"]["name"] in str(
                tokenizer.decode(list(example.ids[: example.prompt_tokens]))
            )


# Other records


def test_passages_are_learned_whole() -> None:
    tokenizer = tiny_tokenizer()
    example, spans = view(Passage("むかしむかし。"), tokenizer, 1000)
    assert tokenizer.decode(list(example.ids)) == "むかしむかし。<|end|>"
    assert example.labels == example.ids
    assert "".join(span.text for span in spans) == "むかしむかし。<|end|>"
    assert view(Passage("text"), tiny_tokenizer(chat_template=None), 10)[0].trained_tokens == 4


@pytest.mark.parametrize(
    ("record", "text", "learned"),
    [
        (PromptOnly(ONE.prompt), "<|user|>空の色は？<|end|><|assistant|>", ""),
        (Preference(ONE.prompt, (Message("assistant", "青"),), (Message("assistant", "赤"),)), None, "青<|end|>"),
        (Rated(ONE.prompt, (Message("assistant", "青"),), True), None, "青<|end|>"),
        (
            Rated(ONE.prompt, (Message("assistant", "赤"),), False),
            "<|user|>空の色は？<|end|><|assistant|>赤<|end|>",
            "",
        ),
    ],
)
def test_the_view_of_other_records(record: Record, text: str | None, learned: str) -> None:
    example, spans = view(record, tiny_tokenizer(), 1000)
    shown = "".join(span.text for span in spans)
    assert shown == (text or "<|user|>空の色は？<|end|><|assistant|>青<|end|>")
    assert "".join(span.text for span in spans if span.trained) == learned
    assert (example.trained_tokens == 0) == (not learned)
    assert sum(span.tokens for span in spans) == len(example.ids)


def test_special_tokens_typed_in_a_text_are_found(tokenizer: Any) -> None:
    special = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special]
    first, last = special[0], special[-1]
    assert special_tokens_in("x <| end |> <end> y", tokenizer) == ()
    assert special_tokens_in(f"a {last} b {first} {last}", tokenizer) == tuple(dict.fromkeys((last, first)))
