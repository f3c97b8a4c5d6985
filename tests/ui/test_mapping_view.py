"""What the panel of hand mapping shows: suggestions, fields to insert, and the first rows; all of the data as text."""

import re
from html import unescape

from studio.data.mapping import Mapping
from studio.data.problems import RowProblem
from studio.data.records import Conversation, Message, Passage, Preference, PromptOnly, Rated
from studio.data.row_kinds import Seeming
from studio.data.suggestions import Suggestion
from studio.data.tables import Column
from studio.messages import translate
from studio.ui import mapping_view

EVIL = "<img src=x onerror=alert(1)>\"'"
ASKED = (Message("system", "Be kind."), Message("user", EVIL))
TOOL = {"type": "function", "function": {"name": "find"}}


def _t(key: str, **values: object) -> str:
    return translate(key, "en", **values)


def _text(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "|", html))


def test_rows_of_every_kind_are_shown_as_text() -> None:
    records = [
        Conversation(ASKED, "So.", (TOOL,)),
        PromptOnly(ASKED),
        Rated(ASKED, (Message("assistant", "Yes."),), False),
        Preference(ASKED, (Message("assistant", "Good."),), (Message("assistant", "Poor."),)),
        Passage(EVIL),
        RowProblem(6, "blank_answer", EVIL),
    ]
    html = mapping_view.preview([Seeming(i, record) for i, record in enumerate(records, 1)], _t)
    assert "<img" not in html
    text = _text(html)
    assert text.count(EVIL) == len(records)
    for told in ("Row 6", "Be kind.", "So.", "Thumbs down", "Better answer", "Good.", "Worse answer", "Poor."):
        assert told in text
    assert text.index("Good.") < text.index("Poor.")


def test_long_conversations_are_shown_by_their_beginning_and_end() -> None:
    turns = tuple(Message(role, f"turn {i}{role}") for i in range(10) for role in ("user", "assistant"))
    text = _text(mapping_view.preview([Seeming(1, Conversation(turns[:-1], turns[-1].content))], _t))
    assert "turn 0user" in text
    assert "turn 9assistant" in text
    assert "14 more turns" in text
    assert len(re.findall(r"turn \d", text)) == 6


def test_suggestions_and_fields_are_buttons() -> None:
    cards = mapping_view.suggestion_cards([Suggestion("ui.data.suggest.mask", Mapping(prompt="a", answer="b"))], _t)
    assert 'data-act="suggest" data-number="0"' in cards
    assert mapping_view.suggestion_cards([], _t) == ""
    columns = [Column(EVIL, "text"), Column("a{b", "text"), *(Column(f"c{i}", "text") for i in range(70))]
    html = mapping_view.column_chips(columns, _t)
    assert "<img" not in html
    assert 'data-field="{&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;}"' in html
    assert "a{b" not in html
    assert html.count("data-field") == 60
    assert "11 more" in html


def test_what_is_open_is_named() -> None:
    assert "Better answer" in mapping_view.preview_missing("chosen", _t)
