"""Known numbers of every fault are planted into clean rows; each finding tells them, and hardly anything else; and its
fix takes them out without touching a clean row."""

import ast
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

import studio
from studio.data.cleaning import Surroundings, clean
from studio.data.formats import convert
from studio.data.problems import ProblemKind, RowProblem
from studio.data.recipe import FIXES, LENGTH_FIXES, CleanSpec, Fix, make_step
from studio.data.scan import Scan
from studio.data.scan_workers import in_this_process
from studio.data.set_checks import FINDINGS
from studio.data.tables import Row, Table, write_table
from tests.benchmarks.planted import checked, scanned, scores
from tests.data.planted import Planted
from tests.data.planted_sets import FAULTY, LINES, SETS, WHOLE
from tests.tiny import tiny_tokenizer

FLOOR = 0.95
# Those that no step on rows can mend: there is too little of something, or too much of the same.
NO_FIX = {"few_rows", "few_for_method", "few_answers", "label_imbalance", "length_preference", "odd_values"}


@cache
def told(name: str) -> tuple[Planted, Scan]:
    made = SETS[name](seed=5)
    with tempfile.TemporaryDirectory() as folder:
        return made, scanned(made, Path(folder))


@pytest.mark.parametrize("name", SETS)
def test_precision_and_recall_of_every_finding(name: str) -> None:
    made, found = told(name)
    reached = scores(made, found)
    assert set(made.faults) <= set(reached) <= FINDINGS
    low = {
        finding: (score.precision, score.recall, [made.rows[place] for place in (*score.wrong, *score.missed)][:3])
        for finding, score in reached.items()
        if min(score.precision, score.recall) < FLOOR
    }
    assert low == {}


def test_clean_rows_have_no_finding(tmp_path: Path) -> None:
    made = SETS["pairs"](rows=1_500, of_each=0)
    assert scanned(made, tmp_path).findings == ()


def test_every_finding_there_can_be_is_planted() -> None:
    """Without exception: a new finding wants a generator."""
    planted = dict.fromkeys(FINDINGS, 0)
    for name in SETS:
        for finding, places in told(name)[0].faults.items():
            planted[finding] += len(places)
    assert planted.keys() == FINDINGS
    assert {finding: count for finding, count in planted.items() if count < 15} == {}


def test_every_finding_in_the_code_is_among_those_there_can_be() -> None:
    """`scan` makes those of problems and of rows by the names in their tables; all others name themselves."""
    for path in Path(studio.__file__).parent.rglob("*.py"):
        for name in _found_in(ast.parse(path.read_text(encoding="utf-8"))):
            assert name in FINDINGS if name else path.name == "scan.py", (path, name)


def _found_in(tree: ast.AST) -> Iterator[str | None]:
    """Names of the findings that a module makes; None where it does not say them outright."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Found":
            first = node.args[0] if node.args else None
            yield str(first.value) if isinstance(first, ast.Constant) else None


def test_every_reason_why_a_row_is_no_record_is_planted() -> None:
    kinds = set()
    for name in SETS:
        made, _ = told(name)
        records = (convert(Row(place, values), made.mapping) for place, values in enumerate(made.rows))
        kinds |= {record.kind for record in records if isinstance(record, RowProblem)}
    assert kinds == set(get_args(ProblemKind))


@pytest.mark.parametrize(("finding", "speaks", "silent"), LINES)
def test_findings_of_a_whole_set_on_both_sides_of_their_line(finding: str, speaks: str, silent: str) -> None:
    assert f"finding.{finding}" in told(speaks)[1].keys
    assert f"finding.{finding}" not in told(silent)[1].keys


# Fixes

SMALLER = {"pairs": {"rows": 900, "of_each": 8}}


@cache
def broken(name: str) -> Planted:
    return SETS[name](seed=7, **SMALLER.get(name, {}))


def _written(made: Planted, folder: Path) -> Table:
    write_table((Row(place, row) for place, row in enumerate(made.rows, 1)), folder / "before.parquet")
    return Table(folder / "before.parquet")


def _cleaned(table: Table, made: Planted, spec: CleanSpec, name: str) -> Table:
    folder = table.path.parent / name
    folder.mkdir()
    around = Surroundings(
        tokenizers=lambda _: tiny_tokenizer(chat_template=made.template or ""), spread=in_this_process
    )
    clean(table, made.mapping, spec, folder, around)
    return Table(folder / "table.parquet")


def _spec(made: Planted, *fixes: Fix) -> CleanSpec:
    """The recipe that the page makes of these fixes."""
    spec = CleanSpec(steps=())
    for fix in fixes:
        more = {"max_length": made.options.max_length} if fix in LENGTH_FIXES else {}
        spec = spec.with_step(make_step(fix, **more))
    return spec


def _touched(before: Table, after: Table) -> set[int]:
    """Places of the rows that are gone or say anything else, be it 1 instead of 1.0."""
    kept = {row.id: repr(row.values) for row in after.read()}
    return {row.id - 1 for row in before.read() if kept.get(row.id) != repr(row.values)}


def _faulty(made: Planted, findings: set[str]) -> set[int]:
    places = (*made.faults.items(), *made.allowed.items())
    return {place for finding, marked in places if finding in findings for place in marked}


def _fixes(found: Scan) -> dict[str, Fix]:
    return {finding.key.removeprefix("finding."): finding.fix for finding in found.findings if finding.fix}


@pytest.mark.parametrize("name", FAULTY)
def test_each_fix_takes_out_what_was_planted_and_touches_no_other_row(name: str, tmp_path: Path) -> None:
    made = broken(name)
    before = _written(made, tmp_path)
    fixes = _fixes(checked(before, made))
    assert made.faults.keys() - NO_FIX <= fixes.keys() <= made.faults.keys() | made.allowed.keys()
    for finding, fix in fixes.items():
        after = _cleaned(before, made, _spec(made, fix), finding)
        assert f"finding.{finding}" not in checked(after, made).keys
        mended = {other for other, its in fixes.items() if its == fix}
        if fix == "drop_near_duplicates":  # an exact copy is a near one, told under another name
            mended.add("duplicate")
        assert _touched(before, after) - _faulty(made, mended) == set(), finding


@pytest.mark.parametrize("name", FAULTY)
def test_all_fixes_together_leave_the_clean_rows_as_they_are(name: str, tmp_path: Path) -> None:
    made = broken(name)
    before = _written(made, tmp_path)
    fixes = _fixes(checked(before, made))
    after = _cleaned(before, made, _spec(made, *fixes.values()), "after")
    assert _fixes(checked(after, made)) == {}
    assert _touched(before, after) - _faulty(made, set(FINDINGS - NO_FIX)) == set()


def test_every_fix_is_met() -> None:
    met = {fix for name in FAULTY for fix in _fixes(told(name)[1]).values()}
    assert met == set(FIXES)
    assert [name for name in WHOLE if _fixes(told(name)[1])] == []
