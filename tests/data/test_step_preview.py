"""What a step would do is told as it would be done, in a bounded time."""

import time
from pathlib import Path

import pytest

from studio.data.cleaning import clean
from studio.data.mapping import Mapping
from studio.data.recipe import CleanSpec, FilterStep, ReplaceStep, make_step
from studio.data.step_preview import preview_step
from studio.data.tables import Row, Table, write_table
from studio.errors import DataError, InputError

MAPPING = Mapping(prompt="q", answer="a")


def table(folder: Path, count: int = 3000) -> Table:
    write_table([Row(i, {"q": f"What is {i}?", "a": "Café" if i % 3 else "海 CAFÉ", "n": i}) for i in range(count)],
                folder / "t.parquet")  # fmt: skip
    return Table(folder / "t.parquet")


def steps() -> list[ReplaceStep | FilterStep]:
    made = [
        make_step("replace", find="café", replace_with="tea"),
        make_step("replace", find="café", replace_with="tea", match_case=True),
        make_step("replace", find=r"is (\d+)", replace_with=r"was \1", regex=True, columns=("q",)),
        make_step("filter", action="drop", where={"by": "text", "find": "海"}),
        make_step("filter", action="keep", where={"by": "text", "find": "海"}),
        make_step("filter", action="keep", where={"by": "length", "part": "answer", "least": 5}),
        make_step("filter", action="drop", where={"by": "language", "languages": ["en"]}),
    ]
    return [step for step in made if isinstance(step, ReplaceStep | FilterStep)]


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.fix)
def test_what_is_told_is_what_is_done(step: ReplaceStep | FilterStep, tmp_path: Path) -> None:
    found = table(tmp_path)
    told = preview_step(found, MAPPING, step, seconds=60)
    (tmp_path / "new").mkdir()
    report = clean(found, MAPPING, CleanSpec(steps=(step,)), tmp_path / "new") if told.count < found.rows else None
    done = report.steps[0] if report else None
    assert told.looked == told.rows == found.rows
    assert done is None or told.count == done.dropped + done.changed
    assert len(told.examples) == min(3, told.count)
    cleaned = Table(tmp_path / "new" / "table.parquet") if report else None
    for before, after, columns in told.examples:
        assert before.values == {k: v for k, v in found.find([before.id])[before.id].values.items() if k in ("q", "a")}
        assert (after is None) == (step.fix == "filter")
        if after and cleaned:
            now = cleaned.find([before.id])[before.id]
            assert {name: now.values[name] for name in columns} == {name: after.values[name] for name in columns}


def test_it_stops_when_the_time_is_over(tmp_path: Path) -> None:
    found = table(tmp_path, 60_000)
    begin = time.monotonic()
    told = preview_step(found, MAPPING, ReplaceStep(fix="replace", find="is"), seconds=0.02)
    assert time.monotonic() - begin < 1
    assert 0 < told.looked < told.rows == 60_000
    assert told.count == told.looked


def test_what_cannot_be_told_is_an_error(tmp_path: Path) -> None:
    found = table(tmp_path, 20)
    with pytest.raises(DataError, match="`x`"):
        preview_step(found, MAPPING, ReplaceStep(fix="replace", find="is", columns=("x",)))
    step = make_step("filter", action="drop", where={"by": "finding", "finding": "duplicate"})
    assert isinstance(step, FilterStep)
    with pytest.raises(InputError, match="single rows"):
        preview_step(found, MAPPING, step)
