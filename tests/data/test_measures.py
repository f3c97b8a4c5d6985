"""At size only a sample is counted, and yet every row that is cut is named."""

import random
from pathlib import Path

import pytest

from studio.data.formats import Mapping
from studio.data.measures import TOKENS_COST, measure
from studio.data.scan_workers import BOTH_CORES, SMALL
from studio.data.tables import Row, Table, write_table
from studio.errors import DataError, Stopped
from tests.tiny import tiny_tokenizer

PAIRS = Mapping(prompt="q", answer="a")
TURNS = Mapping(layout="messages", turns="messages")
TEMPLATE = Mapping(layout="template", prompt_template=f"{'Long words of the template. ' * 3}{{q}}", answer="a")


def talk(rng: random.Random, number: int) -> Row:
    texts = ["".join(rng.choices('ab 青😀\n"\\', k=rng.choice((1, 20, 90)))) + "x" for _ in range(4)]
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    return Row(number, {"q": texts[0], "a": texts[1], "messages": turns[: rng.choice((2, 4))], "other": "z" * 500})


@pytest.fixture
def table(tmp_path: Path) -> Table:
    rng = random.Random(0)
    write_table([talk(rng, i + 1) for i in range(400)], tmp_path / "t.parquet")
    return Table(tmp_path / "t.parquet")


@pytest.mark.parametrize("mapping", [PAIRS, TURNS, TEMPLATE])
@pytest.mark.parametrize("max_length", [60, 128, 200])
def test_the_faulty_rows_are_the_same_as_when_all_are_counted(table, mapping, max_length):
    tokenizer = tiny_tokenizer()
    whole = measure(table, mapping, tokenizer, max_length)
    part = measure(table, mapping, tokenizer, max_length, sample_rows=20)
    assert not whole.sampled
    assert part.sampled
    assert part.faulty == whole.faulty
    assert len(whole.faulty) > 10
    assert len(part.sample) == 20
    assert set(part.sample) <= set(whole.sample)


def test_rows_that_fit_by_their_bytes_are_not_tokenised(table):
    told: list[float] = []
    part = measure(table, PAIRS, tiny_tokenizer(), 5_000, sample_rows=20, progress=told.append)
    assert part.faulty == ()
    assert told == [1.0]


def test_it_can_be_stopped(table):
    with pytest.raises(Stopped):
        measure(table, PAIRS, tiny_tokenizer(), 128, stop=lambda: True)


def test_other_processes_count_the_same(tmp_path):
    rng = random.Random(1)
    write_table([talk(rng, i + 1) for i in range(SMALL // TOKENS_COST)], tmp_path / "t.parquet")
    table, told = Table(tmp_path / "t.parquet"), list[float]()
    here = measure(table, PAIRS, tiny_tokenizer(), 128, sample_rows=500)
    there = measure(table, PAIRS, tiny_tokenizer(), 128, sample_rows=500, spread=BOTH_CORES, progress=told.append)
    assert there == here
    assert told[-1] == 1.0


def test_a_tokenizer_without_a_template_is_told_by_other_processes(tmp_path):
    rng = random.Random(1)
    write_table([talk(rng, i + 1) for i in range(SMALL // TOKENS_COST)], tmp_path / "t.parquet")
    bare = tiny_tokenizer()
    bare.chat_template = None
    with pytest.raises(DataError, match="template"):
        measure(Table(tmp_path / "t.parquet"), PAIRS, bare, 128, spread=BOTH_CORES)
