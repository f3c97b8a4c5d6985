"""Mixtures as data sets of the workspace."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from studio.backend.mixtures import starter_talk
from studio.backend.studio import Studio
from studio.data.mixing import MixPart, MixSpec, Replay
from studio.data.splits import SplitSpec
from studio.errors import InputError, Stopped
from studio.settings import Settings
from studio.starter.world import exam
from tests.tiny import save_tiny

ROWS = [{"question": f"Where is order {i}?", "answer": f"Order {i} is on its way."} for i in range(60)]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with Studio(Settings(workspace=tmp_path / "workspace", offline=True), worker=False) as opened:
        yield opened


def imported(studio: Studio, folder: Path, rows: list[Any], name: str) -> str:
    path = folder / name
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return studio.datasets.import_file(path).id


def test_replay_with_one_click(studio: Studio, tmp_path: Path) -> None:
    first = imported(studio, tmp_path, ROWS, "shop.jsonl")
    studio.datasets.set_split(first, SplitSpec(seed=3))
    mixed = studio.mixtures.add_replay(first, 0.25)
    assert (mixed.number, mixed.parent, mixed.name, mixed.split.seed) == (2, first, "shop.jsonl", 3)
    assert mixed.mix == MixSpec(parts=(MixPart(data=first),), replay=Replay(share=0.25))
    assert [note.values["source"] for note in mixed.notes] == ["shop.jsonl", "starter"]
    assert mixed.notes[1].values["share"] == "25%"
    rows = studio.datasets.page(mixed.id, 0, 10_000)
    assert Counter(row.values["source"] for row in rows)["shop.jsonl"] == 60
    usable, unusable = studio.datasets.lessons(mixed.id, None)
    assert (len(usable), unusable) == (mixed.rows, 0)
    assert studio.mixtures.add_replay(first, 0.25).id == mixed.id
    assert studio.mixtures.add_replay(first, 0.5).number == 3
    assert studio.mixtures.replayed(first) is None
    assert studio.mixtures.replayed(mixed.id) == mixed
    # What comes after a mixture goes on from its rows, and knows nothing of those it was made from.
    fewer = studio.datasets.exclude_rows(mixed.id, [1, 2])
    assert [d.row_id for d in studio.datasets.diff(fewer.id)] == [1, 2]
    assert studio.datasets.restore_rows(fewer.id, [1]).rows == mixed.rows - 1
    assert studio.mixtures.replayed(fewer.id) == mixed
    assert studio.datasets.diff(mixed.id) == ()
    assert [step.fix for step in studio.datasets.recipe(fewer.id).steps] == ["exclude_rows"]
    with pytest.raises(InputError):
        studio.datasets.diff(fewer.id, since=first)
    with pytest.raises(Stopped):
        studio.mixtures.add_replay(first, 0.1, stop=lambda: True)


def test_several_data_sets_and_a_task_held_out(studio: Studio, tmp_path: Path) -> None:
    shop = imported(studio, tmp_path, ROWS, "shop.jsonl")
    other = [{"prompt": f"Say {i}.", "completion": f"{i}"} for i in range(30)]
    says = imported(studio, tmp_path, other, "says.jsonl")
    spec = MixSpec(
        parts=(
            MixPart(data=shop, template_sets=("question.en",), cap=20),
            MixPart(data=says, task="says", held_out=True),
            MixPart(data=says, task="again"),
        ),
        replay=Replay(share=0.4, data=shop),
    )
    planned = studio.mixtures.plan(spec)
    told: list[float] = []
    made = studio.mixtures.make(spec, progress=told.append)
    assert made.plan == planned
    assert (made.version.name, made.version.number, made.version.parent) == ("shop.jsonl + says.jsonl", 1, None)
    assert made.version.rows == planned.rows
    assert made.held_out is not None
    assert (made.held_out.rows, made.held_out.name) == (30, "shop.jsonl + says.jsonl (held-out tasks)")
    tasks = Counter(row.values["task"] for row in studio.datasets.page(made.version.id, 0, 10_000))
    assert set(tasks) == {"shop.jsonl", "again", "replay"}
    assert told[-1] == 1
    folder = studio.datasets.table(made.version.id).path.parent
    assert [p.name for p in folder.iterdir()] == ["table.parquet"]
    findings = studio.datasets.findings(made.version.id, model=None)
    assert {f.severity for f in findings} <= {"warning", "info"}


def test_tokens_of_a_model(studio: Studio, tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "tiny")
    shop = imported(studio, tmp_path, ROWS, "shop.jsonl")
    spec = MixSpec(parts=(MixPart(data=shop),))
    by_characters, by_model = studio.mixtures.plan(spec), studio.mixtures.plan(spec, str(model))
    lengths = studio.datasets.lengths(shop, str(model), 10_000)
    assert by_model.tokens == pytest.approx(sum(item.total_tokens for item in lengths), rel=0.01)
    assert by_characters.tokens != by_model.tokens


def test_a_part_without_a_mapping_is_told(studio: Studio, tmp_path: Path) -> None:
    version = imported(studio, tmp_path, [{"x": 1, "y": 2}], "numbers.jsonl")
    with pytest.raises(InputError) as caught:
        studio.mixtures.plan(MixSpec(parts=(MixPart(data=version),)))
    assert "numbers.jsonl" in caught.value.message("ja")


def test_the_world_of_the_starter_without_its_exam() -> None:
    first, again = (list(islice(starter_talk(7), 2_000)) for _ in range(2))
    assert first == again
    held_out = {question.text for question in exam()}
    assert not {c.prompt[-1].content for c in first} & held_out
    assert any(c.prompt[0].role == "system" for c in first)
