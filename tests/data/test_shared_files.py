"""Every real file beside the checkout is imported whole, and becomes what its makers meant."""

import json
from collections import Counter
from pathlib import Path

import pytest

from studio.data.checks import CheckOptions
from studio.data.formats import convert, mapping_notes, mapping_problems, recognise
from studio.data.mapping import Mapping
from studio.data.problems import RowProblem
from studio.data.records import Conversation, Preference, PromptOnly, Rated, Record, as_conversation
from studio.data.scan import scan
from studio.data.scan_workers import on_this_machine
from studio.data.sources import read_source
from studio.data.suggestions import suggest_templates
from studio.data.tables import Row, Table


def opened(shared: Path, folder: Path, name: str) -> tuple[Table, list[Row]]:
    path = shared / "data" / name
    if not path.is_file():
        pytest.skip(f"{name} is not among the real files")
    source = read_source(path, folder / "t.parquet", max_bytes=10**8)
    assert source.left_out == ()
    table = Table(folder / "t.parquet")
    return table, list(table.read())


def converted(rows: list[Row], mapping: Mapping) -> tuple[list[Record], list[RowProblem]]:
    found = [convert(row, mapping) for row in rows]
    problems = [item for item in found if isinstance(item, RowProblem)]
    assert all(problem.message(language) for problem in problems for language in ("en", "ja"))
    return [item for item in found if not isinstance(item, RowProblem)], problems


@pytest.mark.parametrize(
    ("name", "rows", "layout", "kind", "learned", "faults"),
    [
        ("gsm8k_train_500.jsonl", 500, "question_answer", "prompt_completion", 500, {}),
        ("instruction_ja_dev.jsonl", 324, "turns", "conversational", 324, {}),
        ("alpaca_zh_demo.json", 1000, "alpaca", "prompt_completion", 1000, {}),
        ("kto_en_demo.json", 300, "kto", "unpaired_preference", 150, {}),
        ("glaive_toolcall_en_demo.json", 300, "sharegpt", "conversational", 300, {}),
        ("hh_harmless_dev.jsonl", 600, "transcripts", "preference", 598, {272: "blank_answer", 487: "blank_answer"}),
        ("jsquad_valid.json", 4442, "context_qa", "prompt_completion", 4442, {}),
        ("sharegpt_dummy.json", 500, "sharegpt", "conversational", 500, {}),
        ("openai_toy_chat_defects.jsonl", 5, "messages", "conversational", 4, {4: "no_question"}),
    ],
)
def test_training_data_needs_no_mapping(
    shared: Path, tmp_path: Path, name: str, rows: int, layout: str, kind: str, learned: int, faults: dict[int, str]
) -> None:
    table, found = opened(shared, tmp_path, name)
    mapping = recognise(table.columns, found[:200])
    assert mapping is not None
    assert (table.rows, mapping.layout, mapping.dataset_type) == (rows, layout, kind)
    mapping_problems(mapping, table.columns)
    records, problems = converted(found, mapping)
    assert {problem.row: problem.kind for problem in problems} == faults
    assert len(records) == rows - len(faults)
    assert sum(as_conversation(record) is not None for record in records) == learned


def test_tools_and_calls_come_through(shared: Path, tmp_path: Path) -> None:
    table, found = opened(shared, tmp_path, "glaive_toolcall_en_demo.json")
    mapping = recognise(table.columns, found[:200])
    assert mapping is not None
    records, _ = converted(found, mapping)
    talks = [record for record in records if isinstance(record, Conversation)]
    assert sum(not talk.tools for talk in talks) == 109
    turns = [turn for talk in talks for turn in talk.messages]
    assert Counter(turn.role for turn in turns) == {"user": 746, "assistant": 746 + 211, "tool": 211}
    called = [call for turn in turns for call in turn.tool_calls]
    assert len(called) == 211
    written = [
        json.loads(turn["value"])
        for row in found
        for turn in row.values["conversations"]
        if turn["from"] == "function_call"
    ]
    assert [{"name": call.name, "arguments": call.arguments} for call in called] == written
    known = {tool["function"]["name"] for talk in talks for tool in talk.tools}
    assert {call.name for call in called} <= known
    assert all(tool["type"] == "function" for talk in talks for tool in talk.tools)


def test_transcripts_part_where_they_differ(shared: Path, tmp_path: Path) -> None:
    table, found = opened(shared, tmp_path, "hh_harmless_dev.jsonl")
    mapping = recognise(table.columns, found[:200])
    assert mapping is not None
    pairs = [record for record in converted(found, mapping)[0] if isinstance(record, Preference)]
    assert len(pairs) == 598
    assert all(pair.prompt[-1].role == "user" for pair in pairs)
    assert all(len(pair.chosen) == len(pair.rejected) == 1 for pair in pairs)
    assert not any("\n\nHuman:" in turn.content for pair in pairs for turn in (*pair.prompt, *pair.chosen))


def test_thumbs(shared: Path, tmp_path: Path) -> None:
    table, found = opened(shared, tmp_path, "kto_en_demo.json")
    mapping = recognise(table.columns, found[:200])
    assert mapping is not None
    rated = [record for record in converted(found, mapping)[0] if isinstance(record, Rated)]
    assert Counter(record.label for record in rated) == {True: 150, False: 150}
    assert Counter(len(record.prompt) for record in rated) == {1: 223, 3: 3, 5: 47, 7: 22, 9: 1, 11: 4}


def test_a_context_stands_with_its_question(shared: Path, tmp_path: Path) -> None:
    table, found = opened(shared, tmp_path, "jsquad_valid.json")
    assert len({row.values["title"] for row in found}) == 59
    mapping = recognise(table.columns, found[:200])
    assert mapping is not None
    first = convert(found[0], mapping)
    assert isinstance(first, Conversation)
    assert first.answer == "小笠原諸島"
    assert first.prompt[-1].content.startswith("日本で梅雨がないのは北海道とどこか。\n梅雨 [SEP]")
    assert [note.key for note in mapping_notes(mapping, found[:200])] == ["notice.mapping.first_answer"]


@pytest.mark.parametrize(
    ("name", "rows", "keys"),
    [
        ("jcommonsenseqa_valid.json", 1119, ["multiple_choice"]),
        ("bfcl_simple_python_dev.jsonl", 195, ["tool_calls", "prompt_only"]),
        ("bfcl_irrelevance_dev.jsonl", 130, ["no_tool", "prompt_only"]),
        ("pii_small.json", 100, ["mask"]),
    ],
)
def test_other_data_is_offered_a_template(shared: Path, tmp_path: Path, name: str, rows: int, keys: list[str]) -> None:
    table, found = opened(shared, tmp_path, name)
    assert table.rows == rows
    assert recognise(table.columns, found[:200]) is None
    offered = suggest_templates(table.columns, found[:200])
    assert [item.key for item in offered] == [f"ui.data.suggest.{key}" for key in keys]
    for item in offered:
        mapping_problems(item.mapping, table.columns)
        records, problems = converted(found, item.mapping)
        assert (len(records), problems) == (rows, [])


def test_what_the_templates_make(shared: Path, tmp_path: Path) -> None:
    made: dict[str, Record | RowProblem] = {}
    for name in (
        "jcommonsenseqa_valid.json",
        "bfcl_simple_python_dev.jsonl",
        "bfcl_irrelevance_dev.jsonl",
        "pii_small.json",
    ):
        table, found = opened(shared, tmp_path, name)
        for item in suggest_templates(table.columns, found[:200]):
            made[f"{name.split('_')[0]} {item.key.rpartition('.')[2]}"] = convert(found[0], item.mapping)
    choice, call, none, asked, mask = (
        made[key]
        for key in ("jcommonsenseqa multiple_choice", "bfcl tool_calls", "bfcl no_tool", "bfcl prompt_only", "pii mask")
    )
    assert isinstance(choice, Conversation)
    assert choice.prompt[-1].content.splitlines()[1:] == [
        "0. 掲示板", "1. パソコン", "2. マザーボード", "3. ハードディスク", "4. まな板",
    ]  # fmt: skip
    assert choice.answer == "マザーボード"
    assert isinstance(call, Conversation)
    assert (call.calls[0].name, call.calls[0].arguments) == ("math.factorial", {"number": 5})
    assert call.tools[0]["function"]["name"] == "math.factorial"
    assert isinstance(none, Conversation)
    assert none.answer == "None of the available functions can do this."
    assert isinstance(asked, PromptOnly)
    assert asked.tools
    assert isinstance(mask, Conversation)
    assert "{{phone_number}}" in mask.answer
    assert [turn.role for turn in mask.prompt] == ["system", "user"]


@pytest.mark.parametrize("name", ["tinyshakespeare.txt", "wiki_demo.txt"])
def test_passages_of_a_document_are_plain_text(shared: Path, tmp_path: Path, name: str) -> None:
    table, rows = opened(shared, tmp_path, name)
    assert table.rows > 500
    mapping = recognise(table.columns, rows[:200])
    assert mapping is not None
    assert (mapping.layout, mapping.dataset_type) == ("text", "language_modeling")
    records, problems = converted(rows, mapping)
    assert (len(records), problems) == (len(rows), [])
    assert all(as_conversation(record) is None for record in records)


@pytest.mark.parametrize("name", ["kto_en_demo.json", "jcommonsenseqa_valid.json"])
def test_checks_read_every_column_a_row_needs(shared: Path, tmp_path: Path, name: str) -> None:
    table, found = opened(shared, tmp_path, name)
    offered = suggest_templates(table.columns, found[:200])
    mapping = recognise(table.columns, found[:200]) or offered[0].mapping
    scanned = scan(table, mapping, CheckOptions(near=False), spread=on_this_machine(1))
    assert not {"finding.unusable", "finding.blank", "finding.wrong_type"} & set(scanned.keys)
    assert scanned.features.num_rows == len(found)
