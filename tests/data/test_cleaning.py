"""Cleaning: twice is once, every row is accounted for, and nothing is written when nothing would be left."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from studio.data.checks import find
from studio.data.cleaning import BY_LENGTH, FIXES, CleanReport, CleanSpec, CleanStep, Fix, clean
from studio.data.formats import Mapping, convert
from studio.data.tables import Row, Table, build_table, write_table
from studio.errors import DataError

PAIR = Mapping(prompt="q", answer="a")
TURNS = Mapping(turns="t")
PIECES: list[Any] = [
    "yes", "no", "", " ", None, 3, True, {"k": "v"}, ["x"], "cafÃ©", "x\ufffd", "繝輔ぃ繧､繝ｫ", "mail me@example.com",
    "password: hunter2hunter", "😀", "a\x00", [{"role": "user", "content": 5}], "yes ",
]  # fmt: skip


def table_of(folder: Path, values: list[dict[str, Any]]) -> Table:
    built, _ = build_table([Row(i, item) for i, item in enumerate(values, 1)])
    write_table(built, folder / "before.parquet")
    return Table(folder / "before.parquet")


def recipe(*fixes: Fix, row_ids: tuple[int, ...] = (2, 5)) -> CleanSpec:
    return CleanSpec(steps=tuple(CleanStep(fix=f, row_ids=row_ids if f in BY_LENGTH else None) for f in fixes))


def cleaned(table: Table, mapping: Mapping, spec: CleanSpec, name: str = "after") -> tuple[Table, CleanReport]:
    path = table.path.with_name(f"{name}.parquet")
    report = clean(table, mapping, spec, path)
    return Table(path), report


def pairs(seed: int) -> list[dict[str, Any]]:
    random_ = random.Random(seed)
    rows = [{"id": i, "q": random_.choice(PIECES), "a": random_.choice(PIECES)} for i in range(40)]
    return [{"id": -1, "q": "good", "a": "row"}, *rows]


def turns(seed: int) -> list[dict[str, Any]]:
    random_ = random.Random(seed)
    roles = ["system", "user", "assistant", "tool", None]
    rows = [
        {"t": [{"role": random_.choice(roles), "content": random_.choice(PIECES)} for _ in range(random_.randrange(5))]}
        for _ in range(40)
    ]
    return [{"t": [{"role": "user", "content": "good"}, {"role": "assistant", "content": "row"}]}, *rows]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("make", "mapping"), [(pairs, PAIR), (turns, TURNS)])
def test_cleaning_twice_is_once_and_every_row_is_told(tmp_path: Path, make: Any, mapping: Mapping, seed: int) -> None:
    table = table_of(tmp_path, make(seed))
    fixes = list(FIXES)
    random.Random(seed).shuffle(fixes)
    once, report = cleaned(table, mapping, recipe(*fixes), "once")
    dropped = {c.row_id for c in report.changes if c.action == "dropped"}
    changed = {c.row_id for c in report.changes if c.action == "changed"}
    before, after = {r.id: r for r in table.read()}, {r.id: r for r in once.read()}
    assert set(before) == set(after) | dropped
    assert not set(after) & dropped
    assert report.rows_before - report.rows_after == len(dropped) == sum(step.dropped for step in report.steps)
    assert {i for i in after if after[i] != before[i]} == changed - dropped
    assert list(after) == sorted(after)

    for number, fix in enumerate(FIXES):  # each fix of its own is done after one pass
        alone, _ = cleaned(table, mapping, recipe(fix), f"a{number}")
        again, second = cleaned(alone, mapping, recipe(fix), f"b{number}")
        assert second.changes == (), fix
        assert again.fingerprint() == alone.fingerprint()


def test_every_finding_goes_away_with_its_fix(tmp_path: Path) -> None:
    for make, mapping in ((pairs, PAIR), (turns, TURNS)):
        table = table_of(tmp_path, make(7))
        rows = list(table.read())
        for finding in find(rows, mapping, [(r.id, convert(r, mapping)) for r in rows], (), 64):
            if finding.fix is None:
                continue
            after, report = cleaned(table, mapping, recipe(finding.fix))
            left = list(after.read())
            found = find(left, mapping, [(r.id, convert(r, mapping)) for r in left], (), 64)
            assert finding.key not in {f.key for f in found}, finding
            assert len({c.row_id for c in report.changes}) >= finding.count, finding


def test_what_the_fixes_make(tmp_path: Path) -> None:
    values = [
        {"q": "n", "a": 4.0, "other": "cafÃ©"},
        {"q": "o", "a": {"名": [1, None]}, "other": "x"},
        {"q": "cafÃ©", "a": "password: hunter2hunter", "other": "y"},
    ]
    after, report = cleaned(table_of(tmp_path, values), PAIR, recipe("to_text", "repair_text", "mask_secrets"))
    rows = [dict(row.values) for row in after.read()]
    assert [row["a"] for row in rows] == ["4.0", '{"名": [1, null]}', "password: [secret]"]
    assert [row["q"] for row in rows] == ["n", "o", "café"]
    assert rows[0]["other"] == "cafÃ©"
    assert [(s.fix, s.dropped, s.changed) for s in report.steps] == [
        ("to_text", 0, 2), ("repair_text", 0, 1), ("mask_secrets", 0, 1)
    ]  # fmt: skip
    assert json.loads(report.model_dump_json())["rows_after"] == 3
    for language in ("en", "ja"):
        assert "2" in report.steps[0].message(language)


def test_no_row_left(tmp_path: Path) -> None:
    table = table_of(tmp_path, [{"q": "x", "a": ""}, {"q": "", "a": "y"}])
    with pytest.raises(DataError) as caught:
        clean(table, PAIR, recipe("drop_blank"), tmp_path / "after.parquet")
    assert caught.value.key == "error.clean.nothing_left"
    assert "Remove blank rows" in caught.value.message("en")
    assert "空の行を取り除く" in caught.value.message("ja")
    assert not (tmp_path / "after.parquet").exists()
    assert table.rows == 2


def test_steps_name_rows_only_where_they_go_by_length() -> None:
    with pytest.raises(ValidationError):
        CleanStep(fix="drop_too_long")
    with pytest.raises(ValidationError):
        CleanStep(fix="drop_blank", row_ids=(1,))
    spec = recipe("drop_blank", "drop_lost")
    assert CleanSpec.model_validate(spec.model_dump(mode="json")) == spec
