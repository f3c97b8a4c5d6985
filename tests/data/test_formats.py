"""Layouts are recognised, and rows become conversations or a problem that can be told."""

import json
from pathlib import Path
from typing import Any

import pytest

from studio.data.formats import (
    Mapping,
    convert,
    is_blank,
    mapping_notes,
    mapping_problems,
    recognise,
    trim_turns,
)
from studio.data.problems import RowProblem
from studio.data.records import (
    Conversation,
    Message,
    Passage,
    Preference,
    PromptOnly,
    Rated,
    Record,
    ToolCall,
)
from studio.data.tables import Column, Row, Table, write_table
from studio.errors import DataError
from studio.messages import translate

CHAT = [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]


def turn(text: str, role: str = "assistant") -> dict[str, str]:
    return {"role": role, "content": text}


def recognised(folder: Path, *values: dict[str, Any]) -> tuple[Mapping | None, list[Row]]:
    built = [Row(i, item) for i, item in enumerate(values, 1)]
    write_table(built, folder / "t.parquet")
    table = Table(folder / "t.parquet")
    rows = list(table.read())
    return recognise(table.columns, rows), rows


@pytest.mark.parametrize(
    ("row", "layout", "expected"),
    [
        ({"instruction": "Q", "input": "", "output": "A"}, "alpaca", "Q"),
        ({"instruction": "Q", "input": "I", "output": "A", "system": "S"}, "alpaca", "Q\nI"),
        ({"Instruction": "Q", "Output": "A"}, "alpaca", "Q"),
        ({"prompt": "Q", "completion": "A", "id": 3}, "prompt_completion", "Q"),
        ({"prompt": CHAT[1:2], "completion": CHAT[2:]}, "prompt_completion", "Q"),
        ({"question": "Q", "answer": "A"}, "question_answer", "Q"),
        ({"質問": "Q", "回答": "A"}, "question_answer", "Q"),
        ({"messages": CHAT}, "messages", "Q"),
        ({"messages": [*CHAT[:2], {"role": "assistant", "content": [{"type": "text", "text": "A"}]}]}, "messages", "Q"),
        ({"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}, "sharegpt", "Q"),
        ({"utterances": [{"name": "user", "text": "Q"}, {"name": "agent", "text": "A"}]}, "turns", "Q"),
        ({"odd": [{"speaker": "ユーザー", "text": "Q"}, {"speaker": "アシスタント", "text": "A"}]}, "turns", "Q"),
        ({"input": "Q", "output": "A"}, "columns", "Q"),
    ],
)
def test_layouts(tmp_path: Path, row: dict[str, Any], layout: str, expected: str) -> None:
    mapping, rows = recognised(tmp_path, row)
    assert mapping is not None
    assert mapping.layout == layout
    conversation = convert(rows[0], mapping)
    assert isinstance(conversation, Conversation)
    assert (conversation.prompt[-1], conversation.answer) == (Message("user", expected), "A")
    assert any(m == Message("system", "S") for m in conversation.prompt) == ("S" in str(row))
    mapping_problems(mapping, [Column(name, "list" if mapping.turns else "text") for name in row])


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": "x", "rejected": "y"},
        {"text": "only", "stars": 3},
        {"a": "x", "b": "y", "c": "z"},
        {"question": [[{"role": "user", "content": "x"}]], "answer": 3},
        {"x": [{"role": "user", "content": "x"}], "y": [{"role": "user", "content": "x"}]},
    ],
)
def test_unknown_layouts_are_left_to_the_user(tmp_path: Path, row: dict[str, Any]) -> None:
    assert recognised(tmp_path, row)[0] is None


PAIR = Mapping(prompt="q", answer="a")
SIDES = Mapping(prompt="q", chosen="c", rejected="r")
HH = Mapping(chosen="c", rejected="r", transcript=True)
RANKED = Mapping(prompt="q", ranked="a")
DIALOGUE = "\n\nHuman: Q\n\nAssistant: A"
TURNS = Mapping(turns="t")


@pytest.mark.parametrize(
    ("mapping", "values", "kind", "column"),
    [
        (PAIR, {"q": "x", "a": None}, "blank_answer", "a"),
        (PAIR, {"q": "x"}, "blank_answer", "a"),
        (PAIR, {"q": "x", "a": " \u3000\u200b\n"}, "blank_answer", "a"),
        (PAIR, {"q": "", "a": "y"}, "blank_prompt", "q"),
        (PAIR, {"q": "x", "a": 3}, "wrong_type", "a"),
        (PAIR, {"q": True, "a": "y"}, "wrong_type", "q"),
        (PAIR, {"q": "x", "a": {"k": 1}}, "wrong_type", "a"),
        (TURNS, {"t": None}, "blank_prompt", "t"),
        (TURNS, {"t": "text"}, "not_turns", "t"),
        (TURNS, {"t": CHAT[:2]}, "no_answer", "t"),
        (TURNS, {"t": [*CHAT, CHAT[1]]}, "ends_without_answer", "t"),
        (TURNS, {"t": [CHAT[0], CHAT[2]]}, "no_question", "t"),
        (TURNS, {"t": [*CHAT[:2], {"role": "assistant", "content": ""}]}, "blank_answer", "t"),
        (TURNS, {"t": [*CHAT[:2], {"role": "assistant", "content": None, "tool_calls": [1]}]}, "bad_tool_call", "t"),
        (TURNS, {"t": [*CHAT[:2], {"role": "assistant", "tool_calls": "x"}]}, "bad_tool_call", "t"),
        (
            TURNS,
            {"t": [*CHAT[:2], {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{"}]}]},
            "bad_tool_call",
            "t",
        ),
        (
            TURNS,
            {"t": [*CHAT[:2], {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "3"}]}]},
            "bad_tool_call",
            "t",
        ),
        (TURNS, {"t": [{**CHAT[1], "tool_calls": [{"name": "f"}]}, CHAT[2]]}, "bad_tool_call", "t"),
        (TURNS, {"t": [CHAT[1], {"role": "function_call", "content": "f(x)"}]}, "bad_tool_call", "t"),
        (TURNS, {"t": [CHAT[1], {"role": "function_call", "content": "[]"}]}, "bad_tool_call", "t"),
        (TURNS, {"t": [*CHAT[:2], {"role": "tool", "content": "x"}]}, "no_answer", "t"),
        (TURNS, {"t": [*CHAT, {"role": "tool", "content": "x"}]}, "ends_without_answer", "t"),
        (TURNS, {"t": [*CHAT[:2], {"role": "narrator", "content": "x"}, CHAT[2]]}, "unknown_role", "t"),
        (Mapping(turns="t", tools="f"), {"t": CHAT, "f": "no JSON"}, "bad_tools", "f"),
        (Mapping(turns="t", tools="f"), {"t": CHAT, "f": [{"description": "no name"}]}, "bad_tools", "f"),
        (Mapping(turns="t", tools="f"), {"t": CHAT, "f": [5]}, "bad_tools", "f"),
        (Mapping(turns="t", label="l"), {"t": CHAT, "l": "perhaps"}, "bad_label", "l"),
        (Mapping(turns="t", label="l"), {"t": CHAT, "l": None}, "bad_label", "l"),
        (Mapping(turns="t", label="l"), {"t": CHAT, "l": 2}, "bad_label", "l"),
        (Mapping(turns="t", label="l"), {"t": CHAT, "l": []}, "bad_label", "l"),
        (Mapping(prompt="q", answer="a", label="l"), {"q": "x", "a": "y", "l": 0.5}, "bad_label", "l"),
        (SIDES, {"q": "x", "c": "good", "r": None}, "blank_answer", "r"),
        (SIDES, {"q": "x", "r": "bad"}, "blank_answer", "c"),
        (SIDES, {"q": "x", "c": 5, "r": "bad"}, "wrong_type", "c"),
        (SIDES, {"q": None, "c": "good", "r": "bad"}, "blank_prompt", "q"),
        (SIDES, {"q": "x", "c": [*CHAT[2:], CHAT[1]], "r": "bad"}, "ends_without_answer", "c"),
        (HH, {"c": "Assistant talks", "r": DIALOGUE}, "bad_transcript", "c"),
        (HH, {"c": DIALOGUE, "r": "\n\nHuman: other\n\nAssistant: x"}, "no_common_prompt", "r"),
        (HH, {"c": DIALOGUE, "r": "\n\nHuman: Q\n\nAssistant:"}, "blank_answer", "r"),
        (HH, {"c": DIALOGUE}, "blank_answer", "r"),
        (RANKED, {"q": "x", "a": ["one"]}, "bad_ranking", "a"),
        (RANKED, {"q": "x", "a": None}, "bad_ranking", "a"),
        (RANKED, {"q": "x", "a": "text"}, "bad_ranking", "a"),
        (
            RANKED.model_copy(update={"ranks": "n", "best": "lowest"}),
            {"q": "x", "a": ["b", "c"], "n": [1]},
            "bad_ranking",
            "a",
        ),
        (
            RANKED.model_copy(update={"ranks": "n", "best": "lowest"}),
            {"q": "x", "a": ["b", "c"], "n": [1, 1]},
            "bad_ranking",
            "a",
        ),
        (Mapping(text="t"), {"t": " "}, "blank_text", "t"),
        (Mapping(text="t"), {"t": 5}, "wrong_type", "t"),
        (Mapping(prompt="q", layout="prompt_only"), {"q": CHAT[:1]}, "no_question", "q"),
        (Mapping(prompt="q", answer="a", history="h"), {"q": "x", "a": "y", "h": "z"}, "not_turns", "h"),
        (Mapping(prompt="q", answer="a", history="h"), {"q": "x", "a": "y", "h": [["one"]]}, "bad_turns", "h"),
        (Mapping(prompt="q", accepted_calls="a"), {"q": "x", "a": [{"f": {"n": 3}}]}, "bad_tool_call", "a"),
        (Mapping(prompt="q", accepted_calls="a"), {"q": "x", "a": []}, "blank_answer", "a"),
        (Mapping(prompt_template="{q}", answer="a"), {"q": " ", "a": "y"}, "blank_prompt", "q"),
        (Mapping(prompt="q", answer_template="{o[{a}]}"), {"q": "x", "a": 7, "o": ["y"]}, "no_field", "o, a"),
        (TURNS, {"t": [CHAT[1], {"content": "x"}]}, "bad_turns", "t"),
        (TURNS, {"t": [CHAT[1], 5]}, "bad_turns", "t"),
        (TURNS, {"t": [{"role": "user", "content": [{"type": "image_url"}]}, CHAT[2]]}, "bad_turns", "t"),
    ],
)
def test_problems_name_row_and_column(mapping: Mapping, values: dict[str, Any], kind: str, column: str) -> None:
    problem = convert(Row(214, values), mapping)
    assert isinstance(problem, RowProblem)
    assert (problem.row, problem.kind, problem.column) == (214, kind, column)
    for language in ("en", "ja"):
        told = problem.message(language)
        assert "214" in told
        assert f"`{column}`" in told


TOOL = {"name": "find", "parameters": {"type": "object", "properties": {}}}
TOOLS = ({"type": "function", "function": TOOL},)
FIND = ToolCall("find", {"what": "日本"})
ASKED = (Message("user", "Q"),)
GOOD, BAD = (Message("assistant", "good"),), (Message("assistant", "bad"),)


@pytest.mark.parametrize(
    ("row", "layout", "kind", "record"),
    [
        (
            {"instruction": "Q", "input": "", "output": "A", "system": "S", "history": [["q", "a"]]},
            "alpaca",
            "prompt_completion",
            Conversation((Message("system", "S"), Message("user", "q"), Message("assistant", "a"), *ASKED), "A"),
        ),
        (
            {
                "conversations": [
                    {"from": "human", "value": "Q"},
                    {"from": "function_call", "value": '{"name": "find", "arguments": {"what": "日本"}}'},
                    {"from": "observation", "value": "[1]"},
                    {"from": "gpt", "value": "A"},
                ],
                "tools": json.dumps([TOOL]),
            },
            "sharegpt",
            "conversational",
            Conversation((*ASKED, Message("assistant", "", (FIND,)), Message("tool", "[1]")), "A", TOOLS),
        ),
        (
            {
                "messages": [
                    CHAT[1],
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [
                            {
                                "id": "c1",
                                "type": "function",
                                "function": {"name": "find", "arguments": '{"what": "日本"}'},
                            }
                        ],
                    },
                    {"role": "tool", "tool_call_id": "c1", "name": "find", "content": ""},
                    {
                        "role": "assistant",
                        "tool_calls": [{"function": {"name": "find", "arguments": {"what": "日本"}}}],
                    },
                ],
                "tools": [{"type": "function", "function": {**TOOL, "strict": None}}],
            },
            "messages",
            "conversational",
            Conversation(
                (
                    *ASKED,
                    Message("assistant", "", (ToolCall("find", FIND.arguments, "c1"),)),
                    Message("tool", "", name="find", call_id="c1"),
                ),
                "",
                TOOLS,
                (FIND,),
            ),
        ),
        (
            {"question": "Q", "answers": ["", "A", "B"]},
            "question_answer",
            "prompt_completion",
            Conversation(ASKED, "A"),
        ),
        (
            {"id": "1", "context": "C", "question": "Q", "answers": {"text": ["A", "B"], "answer_start": [1, 2]}},
            "context_qa",
            "prompt_completion",
            Conversation((Message("user", "Q\nC"),), "A"),
        ),
        (
            {"context": "C", "question": "Q", "answers": [{"text": "A", "answer_start": 1}]},
            "context_qa",
            "prompt_completion",
            Conversation((Message("user", "Q\nC"),), "A"),
        ),
        (
            {
                "chosen": f"{DIALOGUE}\n\nHuman: Q\n\nAssistant: good",
                "rejected": f"{DIALOGUE}\n\nHuman: Q\n\nAssistant: bad",
            },
            "transcripts",
            "preference",
            Preference((*ASKED, Message("assistant", "A"), *ASKED), GOOD, BAD),
        ),
        (
            {"prompt": "Q", "chosen": "good", "rejected": "bad"},
            "preference",
            "preference",
            Preference(ASKED, GOOD, BAD),
        ),
        (
            {"instruction": "Q", "input": "I", "chosen": "good", "rejected": "bad"},
            "preference",
            "preference",
            Preference((Message("user", "Q\nI"),), GOOD, BAD),
        ),
        (
            {"prompt": CHAT[:2], "chosen": [turn("good")], "rejected": [turn("bad")]},
            "preference",
            "preference",
            Preference((Message("system", "S"), *ASKED), GOOD, BAD),
        ),
        (
            {"prompt": "Q", "chosen": [CHAT[1], turn("good")], "rejected": [CHAT[1], turn("bad")], "score_chosen": 1.5},
            "preference",
            "preference",
            Preference(ASKED, GOOD, BAD),
        ),
        (
            {"chosen": [CHAT[1], turn("good")], "rejected": [CHAT[1], turn("good")]},
            "preference",
            "preference",
            Preference(ASKED, GOOD, GOOD),
        ),
        (
            {
                "conversations": [{"from": "human", "value": "Q"}],
                "chosen": {"from": "gpt", "value": "good"},
                "rejected": {"from": "gpt", "value": "bad"},
            },
            "preference",
            "preference",
            Preference(ASKED, GOOD, BAD),
        ),
        ({"messages": [CHAT[1], turn("bad")], "label": False}, "kto", "unpaired_preference", Rated(ASKED, BAD, False)),
        (
            {"prompt": "Q", "completion": "good", "label": "True"},
            "kto",
            "unpaired_preference",
            Rated(ASKED, GOOD, True),
        ),
        (
            {"instruction": "Q", "output": ["good", "so-so", "bad"]},
            "ranked",
            "preference",
            Preference(ASKED, GOOD, BAD),
        ),
        (
            {"prompt": "Q", "responses": ["bad", "good"], "scores": [1, 4.5]},
            "ranked",
            "preference",
            Preference(ASKED, GOOD, BAD),
        ),
        (
            {"prompt": "Q", "answers": [{"answer": "bad", "rank": 3}, {"answer": "good", "rank": 1}]},
            "ranked",
            "preference",
            Preference(ASKED, GOOD, BAD),
        ),
        (
            {"prompt": f"{DIALOGUE}\n\nHuman: Q\n\nAssistant:", "chosen": " good", "rejected": " bad"},
            "preference",
            "preference",
            Preference(
                (*ASKED, Message("assistant", "A"), *ASKED),
                (Message("assistant", " good"),),
                (Message("assistant", " bad"),),
            ),
        ),
        (
            {
                "prompt": "\n\nHuman: Q\n\nAssistant: ",
                "answers": [{"answer": "bad", "rank": 2}, {"answer": "good", "rank": 1}],
            },
            "ranked",
            "preference",
            Preference(ASKED, GOOD, BAD),
        ),
        (
            {"prompt": "Human: Q\n\nAssistant:", "completion": "A"},
            "prompt_completion",
            "prompt_completion",
            Conversation(ASKED, "A"),
        ),
        ({"prompt": "Q", "completion": "good", "kto_tag": 1.0}, "kto", "unpaired_preference", Rated(ASKED, GOOD, True)),
        ({"text": "Once.", "source": "a.txt", "page": 3}, "text", "language_modeling", Passage("Once.")),
        ({"text": f"{DIALOGUE}\n\n"}, "transcripts", "conversational", Conversation(ASKED, "A")),
        ({"text": "### Human: Q### Assistant: A"}, "transcripts", "conversational", Conversation(ASKED, "A")),
        ({"prompt": "Q", "id": 3}, "prompt_only", "prompt_only", PromptOnly(ASKED)),
        ({"prompt": CHAT[1:2], "tools": [TOOL]}, "prompt_only", "prompt_only", PromptOnly(ASKED, TOOLS)),
    ],
)
def test_layouts_of_every_dataset_type(
    tmp_path: Path, row: dict[str, Any], layout: str, kind: str, record: Record
) -> None:
    mapping, rows = recognised(tmp_path, row)
    assert mapping is not None
    assert (mapping.layout, mapping.dataset_type) == (layout, kind)
    assert convert(rows[0], mapping) == record
    mapping_problems(mapping, Table(tmp_path / "t.parquet").columns)
    assert Mapping.model_validate(mapping.model_dump(mode="json")) == mapping
    assert set(mapping.columns) <= set(row)


def test_labels_of_a_class_are_no_thumbs(tmp_path: Path) -> None:
    mapping, _ = recognised(tmp_path, {"prompt": "Q", "completion": "A", "label": 1})
    assert mapping is not None
    assert mapping.dataset_type == "prompt_completion"
    mapping, _ = recognised(tmp_path, {"prompt": "Q", "completion": "A", "thumbs_up": 1})
    assert mapping is not None
    assert mapping.dataset_type == "unpaired_preference"


def test_what_a_mapping_chooses_is_told() -> None:
    rows = [Row(1, {"q": "x", "a": ["one", "two"]}), Row(2, {"q": "x", "a": ["one"]})]
    told = {
        "first_answer": mapping_notes(PAIR, rows),
        "ranked.first": mapping_notes(RANKED, rows),
        "language_modeling": mapping_notes(Mapping(text="q"), rows),
        "unpaired_preference": mapping_notes(Mapping(turns="q", label="a"), rows),
    }
    assert mapping_notes(PAIR, rows[1:]) == mapping_notes(TURNS, rows) == ()
    for name, notes in told.items():
        assert f"notice.mapping.{name}" in [note.key for note in notes]
        for language in ("en", "ja"):
            assert all(translate(note.key, language, **note.values) for note in notes)


def test_accepted_calls_become_a_call() -> None:
    mapping = Mapping(prompt="q", tools="f", accepted_calls="g")
    accepted = [{"find": {"what": ["日本", "Japan"], "n": ["", 3], "deep": [{"x": [1, 2], "y": [""]}]}}]
    values = {"q": [[CHAT[1]]], "f": [TOOL], "g": accepted}
    call = ToolCall("find", {"what": "日本", "deep": {"x": 1}})
    assert convert(Row(1, values), mapping) == Conversation(ASKED, "", TOOLS, (call,))


def test_a_speaker_in_the_middle_of_a_line_is_text() -> None:
    text = "Human: Q\n\nAssistant: He said: Human: hello\nHuman: no turn\n \nHuman: Q2\n\nAssistant: good"
    found = convert(Row(1, {"t": text}), Mapping(turns="t", transcript=True))
    said = Message("assistant", "He said: Human: hello\nHuman: no turn")
    assert found == Conversation((*ASKED, said, Message("user", "Q2")), "good")


def test_transcripts_of_any_size_are_quick() -> None:
    for text in ("\n" * 300_000, " " * 300_000, "\n \n" * 100_000, "Human:" * 50_000, "Human: x\n\n" * 30_000):
        convert(Row(1, {"t": text}), Mapping(turns="t", transcript=True))


def test_many_turns_keep_their_order_and_an_empty_system_field_is_none() -> None:
    turns = [{"role": "system", "content": " "}, *CHAT[1:], CHAT[1], {"role": "assistant", "content": "B"}]
    conversation = convert(Row(1, {"t": turns}), TURNS)
    assert isinstance(conversation, Conversation)
    assert [m.role for m in conversation.messages] == ["user", "assistant", "user", "assistant"]
    assert conversation.answer == "B"


@pytest.mark.parametrize(
    ("mapping", "key"),
    [
        (Mapping(prompt="q", answer="nope"), "error.mapping.unknown_column"),
        (Mapping(prompt="q"), "error.mapping.incomplete"),
        (Mapping(), "error.mapping.incomplete"),
        (Mapping(prompt="q", answer="q"), "error.mapping.twice"),
        (Mapping(prompt="q", input="a", answer="a"), "error.mapping.twice"),
        (Mapping(turns="q"), "error.mapping.not_turns"),
        (Mapping(prompt="q", chosen="a"), "error.mapping.one_side"),
        (Mapping(text="nope"), "error.mapping.unknown_column"),
        (Mapping(prompt="q", answer="a", label="nope"), "error.mapping.unknown_column"),
        (Mapping(prompt="q", answer="a", label="a"), "error.mapping.twice"),
        (Mapping(prompt="q", answer_template="{nope}"), "error.template.unknown"),
        (Mapping(prompt="q", answer_template="{a"), "error.template.brace"),
    ],
)
def test_mappings_that_do_not_fit(mapping: Mapping, key: str) -> None:
    with pytest.raises(DataError) as caught:
        mapping_problems(mapping, [Column("q", "text"), Column("a", "text")])
    assert caught.value.key == key
    assert caught.value.message("ja")


def test_mappings_are_values() -> None:
    assert hash(Mapping(prompt="a", answer="b")) == hash(Mapping(prompt="a", answer="b"))
    assert Mapping.model_validate(TURNS.model_dump(mode="json")) == TURNS


def test_trimming_stops_at_the_last_answer() -> None:
    assert trim_turns([*CHAT, CHAT[1]], TURNS) == CHAT
    assert trim_turns(CHAT, TURNS) == CHAT
    assert trim_turns(CHAT[:2], TURNS) == CHAT[:2]
    assert trim_turns("text", TURNS) == "text"


def test_blank() -> None:
    assert all(map(is_blank, [None, "", " ", "\u3000", "\u200b\ufeff", "\x00\n"]))
    assert not any(map(is_blank, ["x", " 0 ", "。", "😀"]))
