"""What does not belong into text is found, and taken out once; what only looks like it stays."""

import time

import pytest

from studio.data.cells import holds
from studio.data.markup_text import (
    BOILERPLATE_HINT,
    CONTROL_HINT,
    HTML_HINT,
    SPECIAL_HINT,
    ending,
    escape_special_tokens,
    has_boilerplate,
    has_control,
    has_html,
    has_special_tokens,
    is_placeholder,
    strip_control,
    strip_html,
)


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("<p>One</p><p>two &amp; three</p>", "One\ntwo & three\n"),
        ("a<br/>b", "a\nb"),
        ("x&nbsp;y", "x y"),
        ("<script>alert(1)</script>z", "z"),
        ("&amp;lt;", "<"),
        ('<a href="/x">here</a> and `<b>code</b>`', "here and `<b>code</b>`"),
    ],
)
def test_html(text: str, bare: str) -> None:
    assert has_html(text)
    assert strip_html(text) == bare
    assert strip_html(bare) == bare


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d",
        "AT&T; R&D",
        "Use `<br>` here",
        "```\n<p>x</p>\n```",
        "The HTML tag <b> makes bold",
        "<answer>4</answer>",
        "<<3*4=12>>",
        "<noinput>",
        "I <3 you",
    ],
)
def test_no_html(text: str) -> None:
    assert not has_html(text)
    assert strip_html(text) == text


def test_control_characters() -> None:
    assert has_control("a\x07b\u200bc\u202ed\ufeff")
    assert strip_control("a\x07b\u200bc\u202ed\ufeff\tx\n") == "abcd\tx\n"
    for text in ("a\tb\r\nc", "👩\u200d👩\u200d👧", "می\u200cخواهم", "שלום\u200f", "\u3000全角"):
        assert not has_control(text)


@pytest.mark.parametrize("token", ["<|im_end|>", "</s>", "[INST]", "<<SYS>>", "<eos>", "<end_of_turn>", "<｜User｜>"])
def test_special_tokens(token: str) -> None:
    assert has_special_tokens(f"x{token}y")
    once = escape_special_tokens(f"x{token}y")
    assert not has_special_tokens(once)
    assert escape_special_tokens(once) == once
    assert once.replace(" ", "") == f"x{token}y".replace(" ", "")


def test_no_special_tokens() -> None:
    for text in ("a <| b |> c", "<span>", "[1] see there", "x <s y", "INST"):
        assert not has_special_tokens(text)


def test_boilerplate() -> None:
    for text in (
        "As an AI language model, I ...",
        "I'm just an AI",
        "AI言語モデルとして、",
        "作为一个AI语言模型，",
        "Lorem ipsum dolor",
    ):
        assert has_boilerplate(text)
    for text in ("I am an AI engineer", "As a model of a ship", "AIのモデルを作る", "We use language models"):
        assert not has_boilerplate(text)
    for text in ("N/A", " todo ", "特になし", "<noinput>", "..."):
        assert is_placeholder(text)
    for text in ("none", "no", "0", "x", "ない", "N/A is what it says"):
        assert not is_placeholder(text)


@pytest.mark.parametrize(
    "text",
    [
        "It was late. The captain went to the",
        "First of all, we went to the shop and then,",
        "雨が降りました。船長は港へ",
        "この町の人たちはいつも朝早くから市場で",
        "One is enough. Two would be bett",
    ],
)
def test_cut_off(text: str) -> None:
    assert ending(text) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Paris",
        "42",
        "It is 4. So the answer is 42",
        "It ends. As it should.",
        "船長は港へ行きました。",
        "「はい」",
        "- one\n- two",
        "It is so. See:\n1. one\n2. two",
        "def f(x):\n    return x",
        "It is here. See https://example.com/x",
        '{"a": 1}',
        "#### 72",
        "東京",
        "New York City",
        "It works. Done :)",
        "It is so. Thanks 😀",
        "a, b, c",
        "| a | b |",
        "Yes. ```x```",
    ],
)
def test_not_cut_off(text: str) -> None:
    assert ending(text) != 2


def test_hints_pass_nothing_by() -> None:
    """Every text that a test finds holds its hint."""
    import pyarrow as pa

    cases = (
        (HTML_HINT, has_html, ["<P>x</P>", "a&#39;b", "<br />", '<img src="x"/>']),
        (CONTROL_HINT, has_control, ["\x00", "\x7f", "\u2066", "\uffff", "\x0b"]),
        (SPECIAL_HINT, has_special_tokens, ["<|a b|>", "<｜x｜>", "<extra_id_1>", "[SEP]"]),
        (
            BOILERPLATE_HINT,
            has_boilerplate,
            ["AS AN AI, no", "I’m merely an AI.", "aiモデルなので", "作为人工智能助手"],
        ),
    )
    for hint, test, texts in cases:
        assert all(map(test, texts)), hint
        assert holds(pa.array(texts), hint).all(), hint


def test_long_texts_are_passed_in_time() -> None:
    began = time.process_time()
    for piece in ("<", "<a ", "&amp", "```", "<|", "[", "as an ai", "a. ", "、", "<p>"):
        text = piece * (300_000 // len(piece))
        for test in (has_html, has_control, has_special_tokens, has_boilerplate, ending):
            test(text)
    assert time.process_time() - began < 20
