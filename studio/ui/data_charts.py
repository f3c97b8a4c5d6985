"""What a data set is made of, as bars; every bar is a button that opens its rows. Pure."""

from collections.abc import Sequence

from studio.data.explore import LENGTHS, Bar, By, Chart, RowFilter
from studio.messages import catalogue
from studio.ui.markup import Sentence, act_button, shorten, shown


def charts_view(charts: Sequence[Chart], t: Sentence) -> str:
    """All charts, or a line that says there is nothing to tell."""
    if not charts:
        return f'<p class="s-muted">{shown(t("ui.data.charts.none"))}</p>'
    return f'<div class="d-charts">{"".join(_chart(chart, t) for chart in charts)}</div>'


def _chart(chart: Chart, t: Sentence) -> str:
    body = _columns(chart, t) if chart.by in (*LENGTHS, "turns") else _lines(chart, t)
    title = shown(t(f"ui.data.charts.{chart.by}"))
    return f'<section class="s-card d-chart-card"><h3 class="s-h3">{title}</h3>{body}</section>'


def _columns(chart: Chart, t: Sentence) -> str:
    highest = max(bar.count for bar in chart.bars)
    bars = "".join(
        f'<button type="button" {_act(bar)} aria-label="{_told(chart.by, bar, t)}" title="{_told(chart.by, bar, t)}"'
        f' {"" if bar.count else "disabled"}><i style="height:{_height(bar.count, highest):.1f}%"></i></button>'
        for bar in chart.bars
    )
    first, last = shown(chart.bars[0].label), shown(chart.bars[-1].label)
    return f'<div class="d-columns">{bars}</div><div class="d-axis"><span>{first}</span><span>{last}</span></div>'


def _lines(chart: Chart, t: Sentence) -> str:
    highest = max(bar.count for bar in chart.bars)
    bars = "".join(
        f'<button type="button" {_act(bar)} title="{_told(chart.by, bar, t)}">'
        f'<span class="d-name">{shown(shorten(value_told(chart.by, bar.label, t), 60))}</span>'
        f'<i style="width:{_height(bar.count, highest):.1f}%"></i><b>{bar.count:,}</b></button>'
        for bar in chart.bars
    )
    others = f'<p class="s-muted">{shown(t("ui.data.charts.others", count=chart.others))}</p>' if chart.others else ""
    return f'<div class="d-lines">{bars}</div>{others}'


def _act(bar: Bar) -> str:
    where = shown(bar.rows.model_dump_json(exclude_none=True)) if bar.rows else ""
    return f'data-act="bar" data-where="{where}"'


def _told(by: By, bar: Bar, t: Sentence) -> str:
    return shown(t("ui.data.charts.bar", what=value_told(by, bar.label, t), count=bar.count))


def _height(count: int, highest: int) -> float:
    """In percent; a bar of few rows beside one of thousands can still be seen."""
    return max(2.0, 100 * count / highest) if count else 0.0


def value_told(by: By, label: str, t: Sentence) -> str:
    """A value in words: languages by their name, clusters by their first row."""
    if by == "language":
        key = f"ui.language.{label}"
        return t(key) if key in catalogue("en") else label
    if by in ("cluster", "label", "turns", *LENGTHS):
        return t(f"ui.data.charts.value.{by}", value=label)
    return label


def filter_told(where: RowFilter, rows: int, t: Sentence) -> str:
    """The chip above the table: which rows are shown, and a way back to all."""
    if where.by in LENGTHS:
        end = f"–{where.high - 1:,}" if where.high is not None else "+"
        value = f"{where.low or 0:,}{end}"
    else:
        value = str(where.value)
    what = f"{t(f'ui.data.charts.{where.by}')}: {value_told(where.by, value, t)}"
    return chip(what, rows, t)


def chip(what: str, rows: int, t: Sentence) -> str:
    """Which rows the table shows, and a button that shows all again."""
    text = shown(t("ui.data.filter.shown", what=shorten(what, 120), rows=rows))
    return f'<div class="d-chip"><span>{text}</span>{act_button("all", t("ui.data.filter.all"))}</div>'
