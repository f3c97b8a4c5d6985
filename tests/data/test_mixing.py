"""Mixtures: what is planned is what is made, equal specs make equal tables, and nothing held out is trained on."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.data.formats import Mapping, convert
from studio.data.instruction_templates import TEMPLATE_SETS, InstructionTemplate, instruct
from studio.data.mixing import (
    MIX_MAPPING,
    BySize,
    ByTemperature,
    ByWeights,
    Ingredients,
    MixPart,
    MixSpec,
    Replay,
    World,
    estimated_tokens,
    mix,
    open_source,
    plan,
)
from studio.data.records import Conversation, Message, ToolCall
from studio.data.tables import Row, Table, write_table
from studio.errors import DataError, SpecError, Stopped
from studio.messages import LANGUAGES

PAIR = Mapping(prompt="q", answer="a")


def talk(seed: int) -> Iterator[Conversation]:
    number = seed
    while True:
        yield Conversation((Message("user", f"general question {number:06}"),), f"general answer {number:06}")
        number += 1


WORLD = World("world", talk)


def table_of(folder: Path, name: str, rows: list[dict[str, Any]]) -> Table:
    write_table([Row(i, values) for i, values in enumerate(rows, 1)], folder / f"{name}.parquet")
    return Table(folder / f"{name}.parquet")


def ingredients(folder: Path, *sizes: int, replay: World | None = None) -> Ingredients:
    parts = []
    for number, size in enumerate(sizes):
        name = f"set{number}"
        rows = [{"q": f"question {i} of {name}", "a": f"answer {i}", "kind": "k"} for i in range(size)]
        parts.append(open_source(name, table_of(folder, name, rows), PAIR))
    return Ingredients(tuple(parts), replay)


def spec_of(count: int, **values: Any) -> MixSpec:
    return MixSpec(parts=tuple(MixPart(data=f"set{i}") for i in range(count)), **values)


def made(folder: Path, spec: MixSpec, found: Ingredients, name: str = "mix") -> tuple[list[Row], list[Row], Table]:
    path, apart = folder / f"{name}.parquet", folder / f"{name}-apart.parquet"
    done = mix(spec, found, plan(spec, found), path, apart)
    rows = list(Table(path).read())
    kept = list(Table(apart).read()) if done.held_out is not None else []
    assert (done.rows, done.held_out or 0) == (len(rows), len(kept))
    return rows, kept, Table(path)


@pytest.mark.parametrize(
    ("mixing", "rows", "expected"),
    [
        (BySize(), None, [1000, 100, 10]),
        (BySize(maximum=50), None, [50, 50, 10]),
        (BySize(), 222, [200, 20, 2]),
        (ByTemperature(by="temperature", temperature=1), None, [1000, 100, 10]),
        (ByTemperature(by="temperature", temperature=2), 449, [317, 100, 32]),
        (ByTemperature(by="temperature", temperature=2), None, [100, 31, 10]),
        (ByWeights(by="weights"), None, [10, 10, 10]),
        (ByWeights(by="weights"), 300, [100, 100, 100]),
    ],
)
def test_how_often_each_is_drawn(tmp_path: Path, mixing: Any, rows: int | None, expected: list[int]) -> None:
    found = ingredients(tmp_path, 1000, 100, 10)
    spec = spec_of(3, mixing=mixing, rows=rows)
    planned = plan(spec, found)
    assert [part.rows for part in planned.parts] == expected
    mixed, _, _ = made(tmp_path, spec, found)
    assert Counter(row.values["source"] for row in mixed) == {f"set{i}": n for i, n in enumerate(expected)}
    assert sum(part.share for part in planned.parts) == pytest.approx(1)
    assert [part.passes for part in planned.parts] == [
        n / size for n, size in zip(expected, (1000, 100, 10), strict=True)
    ]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(1, 300), st.floats(1, 10))
@settings(max_examples=60, deadline=None)
def test_rows_add_up(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], rows: int, heat: float) -> None:
    found = ingredients(tmp_path_factory.mktemp("mix"), *sizes)
    for mixing in (BySize(), ByTemperature(by="temperature", temperature=heat), ByWeights(by="weights")):
        once = plan(spec_of(len(sizes), mixing=mixing), found)
        assert all(1 <= part.rows <= size for part, size in zip(once.parts, sizes, strict=True))
        fixed = plan(spec_of(len(sizes), mixing=mixing, rows=rows), found)
        assert rows <= fixed.rows <= max(rows, len(sizes)) + len(sizes)
        assert fixed.rows == sum(part.rows for part in fixed.parts)


def test_weights_caps_and_repeats(tmp_path: Path) -> None:
    found = ingredients(tmp_path, 100, 10)
    spec = MixSpec(
        parts=(MixPart(data="a", cap=20, task="first"), MixPart(data="b", weight=6)), rows=80, mixing=BySize()
    )
    planned = plan(spec, found)
    assert [(p.task, p.available, p.rows, p.passes) for p in planned.parts] == [
        ("first", 20, 20, 1.0), ("set1", 10, 60, 6.0),
    ]  # fmt: skip
    rows, _, _ = made(tmp_path, spec, found)
    answers = Counter((row.values["task"], row.values["messages"][-1]["content"]) for row in rows)
    assert len(answers) == 30
    assert {count for (task, _), count in answers.items() if task == "first"} == {1}
    assert {count for (task, _), count in answers.items() if task == "set1"} == {6}


def test_equal_spec_equal_table(tmp_path: Path) -> None:
    found = ingredients(tmp_path, 200, 50, replay=WORLD)
    spec = spec_of(2, replay=Replay(share=0.3))
    first = made(tmp_path, spec, found, "one")[2].fingerprint()
    assert made(tmp_path, spec, found, "two")[2].fingerprint() == first
    other = made(tmp_path, spec.model_copy(update={"seed": 1}), found, "three")[2]
    assert other.fingerprint() != first
    sources = [row.values["source"] for row in other.read()]
    assert [len(set(sources[i : i + 30])) for i in (0, 100, 200)] == [3, 3, 3]  # well mixed


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9])
def test_replay_is_its_share_of_the_tokens(tmp_path: Path, share: float) -> None:
    found = ingredients(tmp_path, 300, replay=WORLD)
    spec = spec_of(1, replay=Replay(share=share))
    planned = plan(spec, found)
    assert planned.replay_share == pytest.approx(share, abs=0.005)
    rows, _, table = made(tmp_path, spec, found)
    conversations = [convert(row, MIX_MAPPING) for row in rows]
    tokens = estimated_tokens([c for c in conversations if isinstance(c, Conversation)])
    general = sum(n for n, row in zip(tokens, rows, strict=True) if row.values["source"] == "world")
    assert general / sum(tokens) == pytest.approx(share, abs=0.01)
    assert [(c.name, c.type) for c in table.columns] == [("messages", "list"), ("source", "text"), ("task", "text")]
    assert {row.values["task"] for row in rows} == {"set0", "replay"}


def test_replay_from_a_data_set_repeats_when_it_is_short(tmp_path: Path) -> None:
    found = ingredients(tmp_path, 300, 5)
    spec = spec_of(1, replay=Replay(share=0.5, data="set1"))
    planned = plan(spec, Ingredients(found.parts[:1], found.parts[1]))
    assert planned.parts[-1].passes > 10
    rows, _, _ = made(tmp_path, spec, Ingredients(found.parts[:1], found.parts[1]))
    assert len(rows) == planned.rows
    assert Counter(row.values["task"] for row in rows)["replay"] == planned.parts[-1].rows


def test_whole_tasks_are_held_out(tmp_path: Path) -> None:
    found = ingredients(tmp_path, 30, 20)
    spec = MixSpec(parts=(MixPart(data="a"), MixPart(data="b", held_out=True, cap=15)))
    planned = plan(spec, found)
    assert (planned.rows, planned.parts[1].rows, planned.parts[1].share, planned.parts[0].share) == (30, 15, 0, 1)
    rows, apart, _ = made(tmp_path, spec, found)
    assert {row.values["task"] for row in rows} == {"set0"}
    assert [row.values["task"] for row in apart] == ["set1"] * 15
    with pytest.raises(SpecError):
        MixSpec.from_yaml("parts: [{data: a, held_out: true}]", "m.yaml")


def test_templates_are_chosen_by_the_seed(tmp_path: Path) -> None:
    found = ingredients(tmp_path, 200)
    ways = (
        InstructionTemplate(prompt="A {input}"),
        InstructionTemplate(prompt="B {input} ({kind})"),
        InstructionTemplate(prompt="Ask for: {output}", answer="{input}"),
    )
    rows, _, _ = made(tmp_path, MixSpec(parts=(MixPart(data="a", templates=ways),)), found)
    asked = Counter(row.values["messages"][0]["content"].split()[0] for row in rows)
    assert set(asked) == {"A", "B", "Ask"}
    assert min(asked.values()) > 40
    inverted = next(r.values["messages"] for r in rows if r.values["messages"][0]["content"].startswith("Ask"))
    number = inverted[0]["content"].removeprefix("Ask for: answer ")
    assert inverted[1]["content"] == f"question {number} of set0"
    with pytest.raises(DataError) as caught:
        plan(MixSpec(parts=(MixPart(data="a", templates=(InstructionTemplate(prompt="{nope}"),)),)), found)
    assert "nope" in caught.value.message("ja")


def test_only_one_question_with_one_answer_is_asked_otherwise() -> None:
    way = (InstructionTemplate(prompt="Q: {input}"),)
    single = Conversation((Message("system", "s"), Message("user", "u")), "a")
    assert [m.content for m in instruct(single, {}, way, "k").messages] == ["s", "Q: u", "a"]
    longer = Conversation((Message("user", "u"), Message("assistant", "b"), Message("user", "v")), "a")
    called = Conversation((Message("user", "u"),), "", (), (ToolCall("f", {}),))
    for conversation in (longer, called):
        assert instruct(conversation, {}, way, "k") is conversation


def test_template_sets() -> None:
    for ways in TEMPLATE_SETS.values():
        assert {way.inverted for way in ways} == {True, False}
        assert len(ways) >= 4


def test_tools_are_kept(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    messages = [
        {"role": "user", "content": "u"}, {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "2", "name": "f"}, {"role": "assistant", "content": "two"},
    ]  # fmt: skip
    mapping = Mapping(layout="messages", turns="messages", tools="tools")
    table = table_of(tmp_path, "tools", [{"messages": messages, "tools": tools}])
    found = Ingredients((open_source("tools", table, mapping), *ingredients(tmp_path, 3).parts))
    rows, _, _ = made(tmp_path, MixSpec(parts=(MixPart(data="a"), MixPart(data="b"))), found)
    kept = next(row for row in rows if row.values["tools"])
    assert kept.values["messages"] == messages
    before = convert(next(table.read()), mapping)
    assert convert(kept, mapping) == before
    assert isinstance(before, Conversation)


def test_progress_stop_and_data_that_brings_nothing(tmp_path: Path) -> None:
    found = ingredients(tmp_path, 9000)
    told: list[float] = []
    spec = spec_of(1)
    mix(spec, found, plan(spec, found), tmp_path / "x.parquet", tmp_path / "y.parquet", told.append)
    assert told == sorted(told)
    assert told[-1] == 1
    with pytest.raises(Stopped):
        mix(spec, found, plan(spec, found), tmp_path / "z.parquet", tmp_path / "y.parquet", stop=lambda: True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set0.parquet", "x.parquet"]
    with pytest.raises(DataError) as caught:
        open_source("empty", table_of(tmp_path, "empty", [{"q": "x", "a": ""}]), PAIR)
    assert "empty" in caught.value.message("ja")


WRONG = """
parts:
- {data: a.csv, template_sets: [question.en, nope], templates: [{prompt: x}, {prompt: '{output}'}, {prompt: '{a'}, 3]}
- {data: b, weight: 0, cap: x, held: true}
- 7
mixing: {by: temp}
replay: {share: 2}
"""


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_problem_of_a_wrong_file_is_told_with_its_path(language: str) -> None:
    with pytest.raises(SpecError) as caught:
        MixSpec.from_yaml(WRONG, "m.yaml")
    lines = caught.value.message(language).splitlines()[1:]
    paths = [
        "parts.0.templates.0", "parts.0.templates.1", "parts.0.templates.2", "parts.0.templates.3",
        "parts.0.template_sets.1", "parts.1.weight", "parts.1.cap", "parts.1.held", "parts.2", "mixing", "replay.share",
    ]  # fmt: skip
    assert len(lines) == len(paths)
    assert all(path in line for path, line in zip(paths, lines, strict=True))


def test_yaml_and_back() -> None:
    spec = MixSpec(
        parts=(
            MixPart(data="a", weight=2, cap=5, template_sets=("question.ja",)),
            MixPart(data="b", held_out=True, templates=(InstructionTemplate(prompt="質問：{input}"),)),
        ),
        mixing=ByTemperature(by="temperature"),
        replay=Replay(),
        rows=10,
    )
    text = spec.to_yaml()
    assert MixSpec.from_yaml(text, "m.yaml") == spec
    assert "質問" in text
    assert MixSpec.model_validate_json(spec.model_dump_json()) == spec
