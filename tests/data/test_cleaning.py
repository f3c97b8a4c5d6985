"""Cleaning: twice is once, every row is accounted for, and nothing is written when nothing would be left."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.data.cells import holds, row_texts
from studio.data.changes import RowChange, changed_rows, count_changed_rows, read_changes
from studio.data.checks import CheckOptions
from studio.data.cleaning import CleanReport, Surroundings, clean
from studio.data.formats import Mapping
from studio.data.recipe import FIXES, LENGTH_FIXES, ROW_FIXES, TEXT_FIXES, CleanSpec, Step, make_step
from studio.data.row_steps import Viewed, hinted_steps
from studio.data.scan import scan
from studio.data.scan_workers import on_this_machine
from studio.data.tables import Row, Table, write_table
from studio.errors import DataError, Stopped
from tests.tiny import tiny_tokenizer

PAIR = Mapping(prompt="q", answer="a")
TURNS = Mapping(turns="t")
PIECES: list[Any] = [
    "yes", "no", "", " ", None, 3, True, {"k": "v"}, ["x"], "cafÃ©", "x\ufffd", "繝輔ぃ繧､繝ｫ", "mail me@example.com",
    "password: hunter2hunter", "😀", "a\x00", [{"role": "user", "content": 5}], "yes ", "<b>bold</b> &amp; <br>",
    "As an AI language model, I cannot", "N/A", "It was a dark and", "tel. 03-1234-5678", "4111 1111 1111 1111",
    "<|im_start|>user", '{"a": 1', "東京都千代田区千代田1-1", "long " * 40, "yes, the same here and there",
    "\u200b", "no!",
]  # fmt: skip
AROUND = Surroundings(tokenizers=lambda _: tiny_tokenizer(), spread=on_this_machine(1))


def table_of(folder: Path, values: list[dict[str, Any]], name: str = "before") -> Table:
    folder.mkdir(exist_ok=True)
    built = [Row(i, item) for i, item in enumerate(values, 1)]
    write_table(built, folder / f"{name}.parquet")
    return Table(folder / f"{name}.parquet")


def recipe(*fixes: str) -> CleanSpec:
    return CleanSpec(
        steps=tuple(make_step(fix, **({"max_length": 64} if fix in LENGTH_FIXES else {})) for fix in fixes)
    )


def cleaned(
    table: Table, mapping: Mapping, spec: CleanSpec, name: str = "after", around: Surroundings = AROUND
) -> tuple[Table, CleanReport, tuple[RowChange, ...]]:
    folder = table.path.parent / name
    folder.mkdir()
    report = clean(table, mapping, spec, folder, around)
    return Table(folder / "table.parquet"), report, read_changes([folder / "changes.parquet"])


def pairs(seed: int) -> list[dict[str, Any]]:
    random_ = random.Random(seed)
    rows = [{"id": i, "q": random_.choice(PIECES), "a": random_.choice(PIECES)} for i in range(40)]
    return [{"id": -1, "q": "good", "a": "This is a good row."}, *rows]


def turns(seed: int) -> list[dict[str, Any]]:
    random_ = random.Random(seed)
    roles = ["system", "user", "assistant", "tool", None]
    rows = [
        {"t": [{"role": random_.choice(roles), "content": random_.choice(PIECES)} for _ in range(random_.randrange(5))]}
        for _ in range(40)
    ]
    good = [{"role": "user", "content": "good"}, {"role": "assistant", "content": "This is a good row."}]
    return [{"t": good}, *rows]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("make", "mapping"), [(pairs, PAIR), (turns, TURNS)])
def test_every_row_is_told(tmp_path: Path, make: Any, mapping: Mapping, seed: int) -> None:
    table = table_of(tmp_path, make(seed))
    fixes = list(FIXES)
    random.Random(seed).shuffle(fixes)
    once, report, changes = cleaned(table, mapping, recipe(*fixes), "once")
    dropped = {c.row_id for c in changes if c.action == "dropped"}
    changed = {c.row_id for c in changes if c.action == "changed"}
    before, after = {r.id: r for r in table.read()}, {r.id: r for r in once.read()}
    assert set(before) == set(after) | dropped
    assert not set(after) & dropped
    assert report.rows_before - report.rows_after == len(dropped) == sum(step.dropped for step in report.steps)
    assert (report.rows_before, report.rows_after) == (table.rows, once.rows)
    assert {i for i in after if after[i] != before[i]} == changed - dropped
    assert list(after) == sorted(after)
    assert Counter((c.step, c.action) for c in changes) == Counter(
        {
            (i, action): count
            for i, step in enumerate(report.steps)
            for action, count in (("dropped", step.dropped), ("changed", step.changed))
            if count
        }
    )


OTHER_STEPS = [
    make_step("replace", find="yes", replace_with="yes, yes"),
    make_step("replace", find=r"\s+", replace_with=" ", regex=True),
    make_step("replace", find="e", replace_with="", columns=["a"]),
    make_step("filter", action="drop", where={"by": "text", "find": "no"}),
    make_step("filter", action="keep", where={"by": "length", "part": "answer", "least": 2, "most": 60}),
    make_step("filter", action="drop", where={"by": "finding", "finding": "duplicate"}),
    make_step("filter", action="drop", where={"by": "finding", "finding": "html"}),
]


@given(st.lists(st.fixed_dictionaries({"q": st.sampled_from(PIECES), "a": st.sampled_from(PIECES)}), max_size=12))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_step_of_its_own_is_done_after_one_pass(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    table = table_of(folder, [{"q": "good", "a": "This is a good row."}, *rows, *rows[:2]])
    steps: list[Step] = [*recipe(*FIXES).steps, *OTHER_STEPS]
    for number, step in enumerate(steps):
        spec = CleanSpec(steps=(step,))
        alone, _, _ = cleaned(table, PAIR, spec, f"a{number}")
        again, second, changes = cleaned(alone, PAIR, spec, f"b{number}")
        assert (changes, second.changes) == ((), 0), step
        assert again.fingerprint() == alone.fingerprint()


def test_every_finding_goes_away_with_its_fix(tmp_path: Path) -> None:
    met = set()
    for make, mapping in ((pairs, PAIR), (turns, TURNS)):
        table = table_of(tmp_path / make.__name__, [*make(7), *make(8)])
        for finding in scan(table, mapping, CheckOptions()).findings:
            if finding.fix is None:
                continue
            after, _, changes = cleaned(table, mapping, recipe(finding.fix), finding.key)
            left = scan(after, mapping, CheckOptions()).findings
            assert finding.key not in {f.key for f in left}, finding
            assert len({c.row_id for c in changes}) >= finding.count, finding
            met.add(finding.fix)
    assert len(met) >= 14


def test_two_processes_make_the_same_table(tmp_path: Path) -> None:
    values = [{"q": f"question {i}?", "a": random.Random(i).choice(PIECES[:14])} for i in range(25_000)]
    table = table_of(tmp_path, values)
    spec = recipe("to_text", "repair_text", "mask_secrets", "drop_blank", "drop_duplicates", "mask_emails")
    one, report, changes = cleaned(table, PAIR, spec, "one")
    two, again, same = cleaned(table, PAIR, spec, "two", Surroundings(spread=on_this_machine(2)))
    assert (two.fingerprint(), again, same) == (one.fingerprint(), report, changes)
    assert min(step.dropped + step.changed for step in report.steps[:4]) > 100


def test_an_error_in_another_process_is_told(tmp_path: Path) -> None:
    slow = "a" * 5_000 + "b"
    table = table_of(tmp_path, [{"q": f"question {i}", "a": slow if i == 24_000 else "a"} for i in range(25_000)])
    spec = CleanSpec(steps=(make_step("replace", find="(.*a){25}$", replace_with="x", regex=True),))
    with pytest.raises(DataError) as caught:
        cleaned(table, PAIR, spec, "after", Surroundings(spread=on_this_machine(2)))
    assert caught.value.key == "error.clean.slow_pattern"
    assert list((tmp_path / "after").iterdir()) == []


def test_dropping_outliers_settles(tmp_path: Path) -> None:
    """What is far off only when what is farther off is gone goes too, in the same step."""
    sizes = [
        19, 25, 53, 62, 71, 87, 96, 106, 114, 141, 153, 156, 159, 161, 166, 167, 192, 266, 289, 293, 306, 327, 358, 395,
        398, 415, 484, 503, 511, 845, 60_000, 200_000, 200_000, 500_000,
    ]  # fmt: skip
    table = table_of(tmp_path, [{"q": "q", "a": "x" * (size - 1)} for size in sizes])
    first = scan(table, PAIR, CheckOptions(only=frozenset({"length_outlier"})))
    after, report, changes = cleaned(table, PAIR, recipe("drop_length_outliers", "mask_emails"))
    assert len(first.rows("finding.length_outlier")) == 3
    assert (after.rows, report.steps[0].dropped, len(changes)) == (30, 4, 4)
    assert cleaned(after, PAIR, recipe("drop_length_outliers"), "again")[1].changes == 0


def test_a_changed_row_is_looked_at_again(tmp_path: Path) -> None:
    """What a step looks for can come about by the step before."""
    table = table_of(tmp_path, [{"q": "where?", "a": "write to me (at) example.com"}])
    spec = CleanSpec(steps=(make_step("replace", find=" (at) ", replace_with="@"), make_step("mask_emails")))
    after, report, _ = cleaned(table, PAIR, spec)
    assert next(after.read()).values["a"] == "write to [email]"
    assert [step.changed for step in report.steps] == [1, 1]


def test_near_duplicates_keep_one_of_each(tmp_path: Path) -> None:
    base = "The quick brown fox jumps over the lazy dog near the old stone bridge in the evening"
    texts = [
        base,
        base.replace("quick", "quack"),
        base,
        "Something else altogether is told in this answer.",
        base + "!",
    ]
    table = table_of(tmp_path, [{"q": "tell me something", "a": text} for text in texts])
    after, report, _ = cleaned(table, PAIR, recipe("drop_near_duplicates"))
    assert [row.id for row in after.read()] == [1, 4]
    strict = CleanSpec(steps=(make_step("drop_near_duplicates", threshold=1.0),))
    assert [row.id for row in cleaned(table, PAIR, strict, "strict")[0].read()][:2] == [1, 2]
    assert report.steps[0].dropped == 3


def test_what_the_fixes_make(tmp_path: Path) -> None:
    values = [
        {"q": "n", "a": 4.0, "other": "cafÃ©"},
        {"q": "o", "a": {"名": [1, None]}, "other": "x"},
        {"q": "cafÃ©", "a": "password: hunter2hunter", "other": "y"},
    ]
    after, report, changes = cleaned(table_of(tmp_path, values), PAIR, recipe("to_text", "repair_text", "mask_secrets"))
    rows = [dict(row.values) for row in after.read()]
    assert [row["a"] for row in rows] == ["4.0", '{"名": [1, null]}', "password: [secret]"]
    assert [row["q"] for row in rows] == ["n", "o", "café"]
    assert rows[0]["other"] == "cafÃ©"
    assert [(s.fix, s.dropped, s.changed) for s in report.steps] == [
        ("to_text", 0, 2), ("repair_text", 0, 1), ("mask_secrets", 0, 1)
    ]  # fmt: skip
    assert {column.name: column.type for column in after.columns} == {"q": "text", "a": "text", "other": "text"}
    assert [(c.row_id, c.fix, c.columns) for c in changes] == [
        (1, "to_text", ("a",)), (2, "to_text", ("a",)), (3, "repair_text", ("q",)), (3, "mask_secrets", ("a",)),
    ]  # fmt: skip
    assert CleanReport.model_validate_json(report.model_dump_json()) == report
    for language in ("en", "ja"):
        assert "2" in report.steps[0].message(language)


def test_a_step_sees_the_rows_as_they_are_at_that_point(tmp_path: Path) -> None:
    values = [{"q": "x", "a": "cafÃ©"}, {"q": "x", "a": "café"}, {"q": "y", "a": "b"}]
    table = table_of(tmp_path, values)
    _, early, _ = cleaned(table, PAIR, recipe("drop_duplicates", "repair_text"), "early")
    late, report, changes = cleaned(table, PAIR, recipe("repair_text", "drop_duplicates"), "late")
    assert (early.rows_after, report.rows_after) == (3, 2)
    assert [row.id for row in late.read()] == [1, 3]
    assert changed_rows([late.path.with_name("changes.parquet")]) == tuple(
        changed_rows([late.path.with_name("changes.parquet")], offset, 1)[0] for offset in (0, 1)
    )
    assert [(c.row_id, c.action) for c in changes] == [(1, "changed"), (2, "dropped")]
    assert sorted(p.name for p in late.path.parent.iterdir()) == ["changes.parquet", "table.parquet"]


def test_filters(tmp_path: Path) -> None:
    values = [{"q": "Tokyo", "a": "big", "c": "x"}, {"q": "Paris", "a": "biggest", "c": "tokyo"}, {"q": "", "a": ""}]
    table = table_of(tmp_path, values)

    def left(name: str, **values: Any) -> list[int]:
        return [
            row.id for row in cleaned(table, PAIR, CleanSpec(steps=(make_step("filter", **values),)), name)[0].read()
        ]

    assert left("1", action="keep", where={"by": "text", "find": "tokyo"}) == [1]
    assert left("2", action="drop", where={"by": "text", "find": "tokyo"}) == [2, 3]
    assert left("3", action="keep", where={"by": "text", "find": "TOKYO", "columns": ["c"]}) == [2]
    assert left("4", action="keep", where={"by": "length", "part": "answer", "least": 4}) == [2]
    assert left("5", action="drop", where={"by": "length", "most": 0}) == [1, 2]
    assert left("7", action="keep", where={"by": "finding", "finding": "blank"}) == [3]
    assert left("8", action="drop", where={"by": "finding", "finding": "finding.blank"}) == [1, 2]
    with pytest.raises(DataError) as caught:
        left("9", action="drop", where={"by": "finding", "finding": "nope"})
    assert "duplicate" in caught.value.message("ja")
    assert left("6", action="drop", where={"by": "length", "part": "prompt", "least": 5, "most": 5}) == [3]


def test_filter_by_language(tmp_path: Path) -> None:
    answers = ["The train leaves in the morning and arrives late.", "電車は朝に出て、夜おそくに着きます。", "42"]
    table = table_of(tmp_path, [{"q": "?", "a": answer} for answer in answers])
    for language, ids in (("en", [1]), ("ja", [2])):
        spec = CleanSpec(steps=(make_step("filter", action="keep", where={"by": "language", "languages": [language]}),))
        assert [row.id for row in cleaned(table, PAIR, spec, language)[0].read()] == ids


def test_by_hand(tmp_path: Path) -> None:
    table = table_of(tmp_path, [{"q": f"q{i}", "a": f"a{i}"} for i in range(1, 7)])
    data = table.fingerprint()

    def by_hand(fix: str, rows: Any) -> CleanSpec:
        return CleanSpec(steps=(make_step(fix, data=data, rows=rows),))

    edited, report, _ = cleaned(
        table, PAIR, by_hand("edit_rows", {2: {"a": "new"}, 3: {"a": 7, "q": "q3"}, 99: {"a": ""}})
    )
    assert {r.id: r.values["a"] for r in edited.read()} == {1: "a1", 2: "new", 3: 7, 4: "a4", 5: "a5", 6: "a6"}
    assert (report.steps[0].changed, report.steps[0].missing) == (2, 1)

    fewer, report, _ = cleaned(table, PAIR, by_hand("exclude_rows", [2, 5, 6, 99]), "fewer")
    assert [r.id for r in fewer.read()] == [1, 3, 4]
    assert (report.steps[0].dropped, report.steps[0].missing) == (3, 1)

    more, report, changes = cleaned(table, PAIR, by_hand("add_rows", [{"q": "new", "a": "row"}, {"q": "half"}]), "more")
    assert [(r.id, r.values["q"], r.values["a"]) for r in more.read()][6:] == [(7, "new", "row"), (8, "half", None)]
    assert (report.steps[0].added, report.rows_after) == (2, 8)
    assert [(c.row_id, c.action) for c in changes] == [(7, "added"), (8, "added")]
    assert "2" in report.steps[0].message("ja")

    around = Surroundings(earlier=[table], next_id=20)
    back = CleanSpec(
        steps=(
            make_step("restore_rows", data=fewer.fingerprint(), rows=[6, 2, 1, 77]),
            make_step("replace", find="q", replace_with="Q", match_case=True),
            make_step("add_rows", data=fewer.fingerprint(), rows=[{"q": "q"}]),
        )
    )
    restored, report, _ = cleaned(fewer, PAIR, back, "back", around)
    assert {r.id: r.values["q"] for r in restored.read()} == {
        1: "Q1", 2: "Q2", 3: "Q3", 4: "Q4", 6: "Q6", 20: "q",
    }  # fmt: skip
    assert [(s.added, s.changed, s.missing) for s in report.steps] == [(2, 0, 2), (0, 5, 0), (1, 0, 0)]
    assert count_changed_rows([p / "changes.parquet" for p in (fewer.path.parent, restored.path.parent)]) == 7


def test_restored_rows_find_their_place_between_row_groups(tmp_path: Path) -> None:
    table = table_of(tmp_path, [{"q": f"q{i}", "a": "a"} for i in range(20_000)])
    gone = [1, 8_000, 8_192, 8_193, 12_000, 19_999, 20_000]
    fewer, _, _ = cleaned(
        table, PAIR, CleanSpec(steps=(make_step("exclude_rows", data=table.fingerprint(), rows=gone),)), "fewer"
    )
    back = CleanSpec(steps=(make_step("restore_rows", data=fewer.fingerprint(), rows=gone),))
    whole, report, _ = cleaned(fewer, PAIR, back, "whole", Surroundings(earlier=[table]))
    assert (fewer.rows, report.steps[0].added) == (19_993, 7)
    assert whole.fingerprint() == table.fingerprint()
    assert [r.id for r in whole.read()] == list(range(1, 20_001))


def test_hand_edits_are_refused_for_other_data(tmp_path: Path) -> None:
    table = table_of(tmp_path, [{"q": "x", "a": "y"}])
    other = table_of(tmp_path, [{"q": "x", "a": "z"}], "other")
    spec = CleanSpec(steps=(make_step("drop_blank"), make_step("exclude_rows", data=other.fingerprint(), rows=[1])))
    with pytest.raises(DataError) as caught:
        cleaned(table, PAIR, spec)
    assert caught.value.key == "error.clean.other_data"
    assert "Exclude rows" in caught.value.message("en")
    assert cleaned(table, PAIR, spec.reusable(), "reused")[1].changes == 0


@pytest.mark.parametrize(
    "step",
    [
        make_step("replace", find="x", columns=["nope"]),
        make_step("filter", action="drop", where={"by": "text", "find": "x", "columns": ["nope"]}),
        make_step("edit_rows", data="x", rows={1: {"nope": 1}}),
        make_step("add_rows", data="x", rows=[{"nope": 1}]),
    ],
)
def test_unknown_columns_are_told(tmp_path: Path, step: Step) -> None:
    with pytest.raises(DataError) as caught:
        cleaned(table_of(tmp_path, [{"q": "x", "a": "y"}]), PAIR, CleanSpec(steps=(step,)))
    assert caught.value.key == "error.clean.unknown_column"
    assert "nope" in caught.value.message("ja")
    assert list((tmp_path / "after").iterdir()) == []


def test_no_row_left(tmp_path: Path) -> None:
    table = table_of(tmp_path, [{"q": "x", "a": ""}, {"q": "", "a": "y"}])
    (tmp_path / "after").mkdir()
    for fixes in (("drop_blank",), ("drop_duplicates", "repair_text", "drop_blank", "drop_duplicates")):
        with pytest.raises(DataError) as caught:
            clean(table, PAIR, recipe(*fixes), tmp_path / "after")
        assert caught.value.key == "error.clean.nothing_left"
        assert "Remove blank rows" in caught.value.message("en")
        assert "空の行を取り除く" in caught.value.message("ja")
        assert list((tmp_path / "after").iterdir()) == []
    assert table.rows == 2


def test_progress_and_stop(tmp_path: Path) -> None:
    table = table_of(tmp_path, [{"q": f"q{i}", "a": "cafÃ©"} for i in range(20_000)])
    told: list[float] = []
    spec = recipe("repair_text", "drop_duplicates", "drop_blank")
    cleaned(table, PAIR, spec, "whole", Surroundings(progress=told.append, spread=on_this_machine(1)))
    assert told == sorted(told)
    assert 0 < told[0] < 0.5
    assert told[-1] == 1
    asked = iter([False, False, True, True, True])
    with pytest.raises(Stopped):
        cleaned(table, PAIR, spec, "stopped", Surroundings(stop=lambda: next(asked), spread=on_this_machine(1)))
    assert list((tmp_path / "stopped").iterdir()) == []


def test_length_needs_a_model(tmp_path: Path) -> None:
    table = table_of(tmp_path, [{"q": "x", "a": "y"}, {"q": "x", "a": "long " * 30}, {"q": "q " * 60, "a": "late"}])
    after, report, _ = cleaned(table, PAIR, recipe("drop_too_long", "drop_lost"))
    assert [row.id for row in after.read()] == [1]
    assert [step.dropped for step in report.steps] == [1, 1]
    with pytest.raises(DataError) as caught:
        cleaned(table, PAIR, recipe("drop_lost"), "none", Surroundings())
    assert caught.value.key == "error.clean.no_tokenizer"


@given(st.lists(st.sampled_from([p for p in PIECES if isinstance(p, str)]) | st.text(max_size=20), max_size=3))
@settings(max_examples=150, deadline=None)
def test_a_row_that_is_passed_by_has_nothing_to_change(pieces: list[str]) -> None:
    """A step does nothing to rows without its hint."""
    row = Row(1, {"q": " ".join(pieces[:1]), "a": "".join(pieces[1:])})
    texts = pa.array(["\n".join(row_texts(row, PAIR))], pa.large_string())
    for fix in (*TEXT_FIXES, *ROW_FIXES):
        for run, hint in hinted_steps(make_step(fix), PAIR, Viewed(PAIR)):
            if hint and not holds(texts, hint)[0]:
                assert run(row) is row, fix
