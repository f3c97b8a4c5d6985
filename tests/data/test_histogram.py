import pytest

from studio.data.explore import TOKENS, select
from studio.data.histogram import histogram, token_table
from studio.data.measures import Measured
from studio.data.tokens import Lengths


def row(number, prompt, answer, limit=64):
    return Lengths(number, prompt, answer, answer, truncated=prompt + answer > limit)


ROWS = [row(i, i, 10) for i in range(1, 101)]
REFUSED = Lengths(7_000, 0, 0, 0, False, "no")


def measured(rows, sampled=False):
    return Measured(tuple(rows), tuple(r for r in rows if r.truncated or r.refused), sampled)


def test_every_row_that_the_template_takes_is_in_one_bar_of_each_side():
    found = histogram(measured([*ROWS, row(999, 5_000, 10), REFUSED]), 64)
    assert found.rows == 101
    assert [side.by for side in found.sides] == list(TOKENS)
    assert [sum(bar.count for bar in side.bars) for side in found.sides] == [101, 101, 101]
    total = found.sides[0]
    assert (total.median, total.longest, total.bars[-1].label[-1]) == (61, 5_010, "+")
    assert len(total.bars) < 30


@pytest.mark.parametrize("limit", [16, 64, 60, 61, 100, 1_000])
def test_a_bar_finds_as_many_rows_as_it_counts(limit):
    rows = [*ROWS, row(999, 5_000, 10), REFUSED]
    table = token_table(rows)
    for side in histogram(measured(rows), limit).sides:
        ids = [select(table, bar.rows).tolist() for bar in side.bars if bar.rows]
        assert [len(found) for found in ids] == [bar.count for bar in side.bars]
        assert sorted(i for found in ids for i in found) == [*range(1, 101), 999]


def test_a_bar_ends_at_the_limit_and_a_row_of_just_the_limit_is_not_over_it():
    total = histogram(measured([row(1, 30, 34), row(2, 30, 35)]), 64).sides[0]
    over = [bar for bar in total.bars if bar.rows and (bar.rows.low or 0) > 64]
    assert sum(bar.count for bar in over) == 1
    assert 64 % total.width == 0


def test_rows_over_the_limit_are_counted_in_the_whole_table_of_which_a_sample_is_shown():
    rows = measured(ROWS)
    found = histogram(Measured(rows.sample[:10], rows.faulty, True), 64)
    assert (found.rows, found.over, found.sampled) == (10, 46, True)


def test_nothing_counted_makes_no_bars():
    assert histogram(measured([REFUSED]), 64).sides == ()
