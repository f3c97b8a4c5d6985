"""Layouts are recognised, and rows become conversations or a problem that can be told."""

from pathlib import Path
from typing import Any

import pytest

from studio.data.formats import (
    Conversation,
    Mapping,
    Message,
    RowProblem,
    convert,
    is_blank,
    mapping_problems,
    recognise,
    trim_turns,
)
from studio.data.sources import read_source
from studio.data.tables import Column, Row, Table, build_table, write_table
from studio.errors import DataError

CHAT = [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]


def recognised(folder: Path, *values: dict[str, Any]) -> tuple[Mapping | None, list[Row]]:
    built, _ = build_table([Row(i, item) for i, item in enumerate(values, 1)])
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
        {"text": "only"},
        {"a": "x", "b": "y", "c": "z"},
        {"question": [[{"role": "user", "content": "x"}]], "answer": 3},
        {"x": [{"role": "user", "content": "x"}], "y": [{"role": "user", "content": "x"}]},
    ],
)
def test_unknown_layouts_are_left_to_the_user(tmp_path: Path, row: dict[str, Any]) -> None:
    assert recognised(tmp_path, row)[0] is None


PAIR = Mapping(prompt="q", answer="a")
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
        (TURNS, {"t": [*CHAT[:2], {"role": "assistant", "content": None, "tool_calls": [1]}]}, "bad_turns", "t"),
        (TURNS, {"t": [*CHAT[:2], {"role": "tool", "content": "x"}, CHAT[2]]}, "unknown_role", "t"),
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


def test_real_files(shared: Path, tmp_path: Path) -> None:
    expected = {
        "alpaca_zh_demo.json": ("alpaca", 1000),
        "glaive_toolcall_en_demo.json": ("sharegpt", 147),
        "gsm8k_train_500.jsonl": ("question_answer", 500),
        "hh_harmless_dev.jsonl": (None, 0),
        "instruction_ja_dev.jsonl": ("turns", 324),
        "jcommonsenseqa_valid.json": (None, 0),
        "kto_en_demo.json": ("messages", 300),
        "openai_toy_chat_defects.jsonl": ("messages", 4),
        "pii_small.json": (None, 0),
        "sharegpt_dummy.json": ("sharegpt", 500),
    }
    for name, (layout, usable) in expected.items():
        read_source(shared / "data" / name, tmp_path / "t.parquet", max_bytes=10**8)
        table = Table(tmp_path / "t.parquet")
        rows = list(table.read())
        mapping = recognise(table.columns, rows[:200])
        assert (mapping and mapping.layout) == layout, name
        good = [row for row in rows if mapping and isinstance(convert(row, mapping), Conversation)]
        assert len(good) == usable, name
