"""Text stays text."""

import pytest

from studio.ui.markup import act_button, badge, headline, plain, said, shorten, shown

PAYLOADS = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "</td></tr></table><iframe src=javascript:alert(1)>",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_text_becomes_markup(payload: str) -> None:
    for made in (
        shown(payload),
        said(payload),
        said(f"`{payload}`"),
        badge(payload),
        headline(payload, payload),
        act_button("row", payload, row=payload),
    ):
        assert payload not in made or not set(payload) & set("<>\"'")
        assert "<img" not in made
        assert "<script" not in made
        assert "<svg" not in made
        assert "<iframe" not in made
    assert '"' not in shown(payload)
    assert "'" not in shown(payload)


def test_control_and_direction_characters_can_be_seen() -> None:
    assert shown("a\x1b[31m\x00b") == "a␛[31m␀b"
    assert "\u202e" not in shown("invoice\u202efdp.exe")
    assert shown("two\nlines\tand tab") == "two\nlines\tand tab"
    assert shown("日本語 العربية") == "日本語 العربية"


def test_what_stands_between_backticks_is_code() -> None:
    assert said("The column `a<b` is `c`.") == "The column <code>a&lt;b</code> is <code>c</code>."
    assert said("one ` alone") == "one ` alone"


def test_cells_become_text() -> None:
    assert plain(None) == ""
    assert plain("テキスト") == "テキスト"
    assert plain(["あ", 1]) == '["あ", 1]'
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abcd", 4) == "abcd"
