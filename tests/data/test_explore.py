import numpy as np
import pyarrow as pa
import pytest

from studio.data.explore import BY, RowFilter, chart, charts, select


def features(rows: int = 1_000) -> pa.Table:
    numbers = np.random.default_rng(0)
    return pa.table(
        {
            "id": np.arange(1, rows + 1),
            "prompt_chars": numbers.integers(0, 400, rows),
            "answer_chars": np.append(numbers.integers(0, 100, rows - 1), 90_000),
            "turns": numbers.integers(1, 6, rows) * 2,
            "language": numbers.choice(["en", "ja"], rows),
            "source": numbers.choice([f"file {i}" for i in range(30)], rows),
            "label": pa.nulls(rows, pa.string()),
            "cluster": np.where(np.arange(rows) < 5, 1, np.arange(1, rows + 1)),
        }
    )


@pytest.mark.parametrize("by", BY)
def test_every_bar_counts_exactly_the_rows_it_opens(by):
    table = features()
    made = chart(table, by)
    for bar in made.bars:
        assert bar.rows is not None
        assert len(select(table, bar.rows)) == bar.count


@pytest.mark.parametrize("by", ["prompt_chars", "answer_chars", "turns", "language", "source"])
def test_bars_and_the_others_are_all_rows(by):
    made = chart(features(), by)
    assert sum(bar.count for bar in made.bars) + made.others == 1_000


def test_one_giant_row_does_not_flatten_the_rest():
    made = chart(features(), "answer_chars")
    assert len(made.bars) > 10
    assert made.bars[-1].label.endswith("+")
    assert len(select(features(), RowFilter(by="answer_chars", low=80_000))) == 1


def test_only_rows_that_repeat_are_clusters():
    assert [(bar.label, bar.count) for bar in chart(features(), "cluster").bars] == [("1", 5)]


def test_a_feature_that_tells_nothing_has_no_chart():
    assert [c.by for c in charts(features())] == [
        "prompt_chars",
        "answer_chars",
        "turns",
        "language",
        "source",
        "cluster",
    ]


def test_rows_of_one_length_are_one_bar_of_that_length():
    table = features(10).set_column(1, "prompt_chars", pa.array([7] * 10))
    made = chart(table, "prompt_chars")
    assert sum(bar.count for bar in made.bars) == 10
    assert made.bars[-1].count == 10


def test_no_rows_have_no_bars():
    assert charts(features(10).slice(0, 0)) == ()
