"""What is trained is what is seen: the prompt as a chat gives it, the end token learned, the text shown whole."""

from pathlib import Path
from typing import Any

import pytest

from studio.data.histogram import histogram
from studio.data.records import Conversation, Message
from studio.data.tokens import UNTRAINED, Lengths, TemplateRefusal, lengths, prompt_text, tokenize, view
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


def test_histogram() -> None:
    measured = [Lengths(i, i, 10, 10, truncated=False) for i in range(100)]
    bars = histogram(
        [*measured, Lengths(999, 5000, 10, 0, truncated=True), Lengths(7, 0, 0, 0, False, "no")], 64, bars=20
    )
    assert sum(bars.counts) == 101
    assert len(bars.edges) == len(bars.counts) + 1
    assert list(bars.edges) == sorted(set(bars.edges))
    assert (bars.over, bars.median, bars.longest, bars.edges[-1]) == (46, 60, 5010, 5010)
    assert sum(histogram([], 64).counts) == 0
