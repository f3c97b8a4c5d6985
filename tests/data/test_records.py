"""What methods learn of each kind of record."""

import pickle
from typing import get_args

import pytest

from studio.data.checks import PROBLEM_OF
from studio.data.duplicates import exact_duplicates
from studio.data.lessons import lessons
from studio.data.problems import ProblemKind, RowProblem
from studio.data.records import (
    Conversation,
    Message,
    Passage,
    Preference,
    PromptOnly,
    Rated,
    Record,
    ToolCall,
    as_conversation,
    record_sides,
)

ASKED = (Message("user", "Q"),)
GOOD, BAD = (Message("assistant", "good"),), (Message("assistant", "bad"),)
CALL = ToolCall("find", {"what": "日本", "n": 1})
TOOLS = ({"type": "function", "function": {"name": "find"}},)
CALLED = (*ASKED, Message("assistant", "", (CALL,)), Message("tool", "{}", name="find"))


@pytest.mark.parametrize(
    ("record", "learned"),
    [
        (Conversation(ASKED, "A"), Conversation(ASKED, "A")),
        (Preference(ASKED, GOOD, BAD), Conversation(ASKED, "good")),
        (Preference(ASKED, (*GOOD, *ASKED, *BAD), BAD, TOOLS), Conversation((*ASKED, *GOOD, *ASKED), "bad", TOOLS)),
        (Preference(ASKED, CALLED[1:2], BAD), Conversation(ASKED, "", calls=(CALL,))),
        (Rated(ASKED, GOOD, True), Conversation(ASKED, "good")),
        (Rated(ASKED, GOOD, False), None),
        (PromptOnly(ASKED), None),
        (Passage("text"), None),
    ],
)
def test_what_is_learned(record: Record, learned: Conversation | None) -> None:
    assert as_conversation(record) == learned
    assert pickle.loads(pickle.dumps(record)) == record
    assert hash(record) == hash(pickle.loads(pickle.dumps(record)))
    assert all(turn.text for side in record_sides(record) for turn in side)


@pytest.mark.parametrize(
    ("record", "asked"),
    [
        (Conversation((*ASKED, *GOOD, *ASKED), "A", TOOLS), (PromptOnly((*ASKED, *GOOD, *ASKED), TOOLS, "A"),)),
        (Preference(ASKED, GOOD, BAD), (PromptOnly(ASKED, answer="good"),)),
        (Rated(ASKED, GOOD, True), (PromptOnly(ASKED, answer="good"),)),
        (Rated(ASKED, BAD, False, TOOLS), (PromptOnly(ASKED, TOOLS),)),
        (PromptOnly(ASKED), (PromptOnly(ASKED),)),
        (Passage("text"), ()),
    ],
)
def test_what_is_asked(record: Record, asked: tuple[Record, ...]) -> None:
    """Of methods that let the model answer itself."""
    assert lessons(record, "prompts") == asked


def test_calls_are_part_of_what_is_said() -> None:
    assert Conversation(ASKED, "", calls=(CALL,)).last.text == '{"name": "find", "arguments": {"what": "日本", "n": 1}}'
    assert Message("assistant", "I look.", (CALL, CALL)).text.splitlines() == ["I look.", CALL.text, CALL.text]
    other = ToolCall("find", {"what": "日本", "n": 2})
    rows = [(1, Conversation(ASKED, "", calls=(CALL,))), (2, Conversation(ASKED, "", calls=(other,)))]
    assert exact_duplicates(rows) == {}
    assert exact_duplicates([*rows, (3, rows[0][1])]) == {3: 1}


def test_what_takes_more_than_a_plain_chat() -> None:
    assert not Conversation((*ASKED, *GOOD, *ASKED), "x").uses_tools
    assert Conversation(ASKED, "x", TOOLS).uses_tools
    assert Conversation(ASKED, "", calls=(CALL,)).uses_tools
    assert Conversation(CALLED, "x").uses_tools
    assert Conversation((*ASKED, Message("tool", "1")), "x").uses_tools


def test_pairs_repeat_only_with_both_sides() -> None:
    pairs = [(1, Preference(ASKED, GOOD, BAD)), (2, Preference(ASKED, GOOD, GOOD)), (3, Preference(ASKED, GOOD, BAD))]
    assert exact_duplicates(pairs) == {3: 1}


def test_every_problem_of_a_row_is_a_finding_and_a_sentence() -> None:
    assert set(PROBLEM_OF) == set(get_args(ProblemKind))
    for kind in get_args(ProblemKind):
        for language in ("en", "ja"):
            assert "214" in RowProblem(214, kind, "column", "detail").message(language)
