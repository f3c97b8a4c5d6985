import json
import re
from html import unescape

import pyarrow as pa
import pytest

from studio.data.explore import FindingRows, RowFilter, charts
from studio.data.histogram import histogram
from studio.data.measures import Measured
from studio.data.tokens import Lengths
from studio.messages import translate
from studio.ui.charts_view import bar_height, charts_view, filter_told, lengths_view


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
        (RowFilter(by="label", value=0), "低評価"),
        (RowFilter(by="total_tokens", low=65, high=129), "65–128トークン"),
        (FindingRows(finding="duplicate"), "前の行と同じ行"),
    ],
)
def test_the_filter_says_which_rows_are_shown(where, told):
    assert told in filter_told(where, 5, t)


def test_nothing_to_chart_is_said():
    assert translate("ui.data.charts.none", "ja") in charts_view((), t)


def test_labels_are_named_as_the_filter_of_their_rows_is():
    html = view(label=pa.array([True, False] * 20))
    assert ">高評価<" in html
    assert ">低評価<" in html


def test_bars_beyond_the_limit_are_told_apart_and_lead_to_their_rows():
    rows = tuple(Lengths(i, i, 10, 10, i + 10 > 64) for i in range(1, 101))
    html = lengths_view(histogram(Measured(rows, rows[54:], False), 64), t)
    over = re.findall(r'<button[^>]*data-where="([^"]*)"[^>]*class="d-over"', html)
    lows = [json.loads(unescape(where)) for where in over]
    assert {where["by"] for where in lows} == {"total_tokens", "prompt_tokens"}
    assert min(where["low"] for where in lows) == 65
    assert "64" in re.findall(r'<span class="d-limit[^>]*><b>([^<]*)</b>', html)[0]
    assert "抽出" not in html
    assert "抽出" in lengths_view(histogram(Measured(rows, rows[54:], True), 64), t)


def test_lengths_that_cannot_be_counted_are_said():
    assert translate("ui.data.lengths.none", "ja") in lengths_view(None, t)


def test_bars_of_few_rows_can_be_seen_and_empty_ones_cannot():
    assert [bar_height(count, 1_000) for count in (1, 0, 1_000)] == [2.0, 0.0, 100.0]
