import pyarrow as pa
import pytest

from studio.data.explore import RowFilter, charts
from studio.messages import translate
from studio.ui.data_charts import charts_view, filter_told


def t(key, **values):
    return translate(key, "ja", **values)


def view(**columns):
    rows = 40
    base = {
        "id": list(range(1, rows + 1)), "prompt_chars": list(range(rows)), "answer_chars": [3] * rows,
        "turns": [2] * rows, "language": ["ja", "xx"] * (rows // 2), "source": ["a.csv"] * rows,
        "label": pa.nulls(rows, pa.bool_()), "cluster": [1, 1, *range(3, rows + 1)],
    }  # fmt: skip
    return charts_view(charts(pa.table({**base, **columns})), t)


def test_languages_are_named_and_unknown_ones_stay_as_they_are():
    html = view()
    assert "日本語" in html
    assert ">xx<" in html


def test_a_bar_carries_the_filter_of_its_rows():
    html = view()
    assert "{&quot;by&quot;:&quot;language&quot;,&quot;value&quot;:&quot;ja&quot;}" in html


def test_a_source_is_text_never_markup():
    html = view(source=["<b>x</b>"] * 20 + ["y"] * 20)
    assert "<b>x</b>" not in html
    assert "&lt;b&gt;x&lt;/b&gt;" in html


@pytest.mark.parametrize(
    ("where", "told"),
    [
        (RowFilter(by="prompt_chars", low=10, high=20), "10–19文字"),
        (RowFilter(by="prompt_chars", low=10), "10+文字"),
        (RowFilter(by="language", value="en"), "英語"),
        (RowFilter(by="cluster", value=7), "7行目に似た行"),
    ],
)
def test_the_filter_says_which_rows_are_shown(where, told):
    assert told in filter_told(where, 5, t)


def test_nothing_to_chart_is_said():
    assert translate("ui.data.charts.none", "ja") in charts_view((), t)
