"""What a data set is made of, as bars; every bar is a button that opens its rows. Pure."""

from collections.abc import Sequence

from studio.data.explore import LENGTHS, TOKENS, Bar, By, Chart, FindingRows, Where
from studio.data.histogram import Histogram, Sizes
from studio.messages import catalogue
from studio.ui.markup import Sentence, act_button, badge, headline, shorten, shown

NUMBERS = (*LENGTHS, *TOKENS, "turns")


def charts_view(charts: Sequence[Chart], t: Sentence) -> str:
    """All charts, or a line that says there is nothing to tell."""
    if not charts:
        return f'<p class="s-muted">{shown(t("ui.data.charts.none"))}</p>'
    return f'<div class="d-charts">{"".join(_chart(chart, t) for chart in charts)}</div>'


def _chart(chart: Chart, t: Sentence) -> str:
    title = shown(t(f"ui.data.charts.{chart.by}"))
    if chart.by in NUMBERS:
        body = f"{_columns(chart.bars, t)}{_axis(chart.bars[0].label, chart.bars[-1].label)}"
    else:
        body = _lines(chart, t)
    return f'<section class="s-card d-chart-card"><h3 class="s-h3">{title}</h3>{body}</section>'


def _columns(bars: Sequence[Bar], t: Sentence, limit: int | None = None, line: str = "") -> str:
    """Columns side by side; those beyond the limit are told apart by `d-over`."""
    highest = max(bar.count for bar in bars)
    made = "".join(
        f'<button type="button" {_act(bar)} aria-label="{_told(bar, t)}" title="{_told(bar, t)}"'
        f"{_over(bar, limit)}{'' if bar.count else ' disabled'}>"
        f'<i style="height:{bar_height(bar.count, highest):.1f}%"></i></button>'
        for bar in bars
    )
    return f'<div class="d-columns">{made}{line}</div>'


def _over(bar: Bar, limit: int | None) -> str:
    beyond = limit is not None and bar.rows is not None and (bar.rows.low or 0) > limit
    return ' class="d-over"' if beyond else ""


def _axis(*labels: str) -> str:
    return f'<div class="d-axis">{"".join(f"<span>{shown(label)}</span>" for label in labels)}</div>'


def _lines(chart: Chart, t: Sentence) -> str:
    highest = max(bar.count for bar in chart.bars)
    bars = "".join(
        f'<button type="button" {_act(bar)} title="{_told(bar, t)}">'
        f'<span class="d-name">{shown(shorten(value_told(chart.by, bar.label, t), 60))}</span>'
        f'<i style="width:{bar_height(bar.count, highest):.1f}%"></i><b>{bar.count:,}</b></button>'
        for bar in chart.bars
    )
    others = f'<p class="s-muted">{shown(t("ui.data.charts.others", count=chart.others))}</p>' if chart.others else ""
    return f'<div class="d-lines">{bars}</div>{others}'


def _act(bar: Bar) -> str:
    where = shown(bar.rows.model_dump_json(exclude_none=True)) if bar.rows else ""
    return f'data-act="bar" data-where="{where}"'


def _told(bar: Bar, t: Sentence) -> str:
    what = value_told(bar.rows.by, bar.label, t) if bar.rows else bar.label
    return shown(t("ui.data.charts.bar", what=what, count=bar.count))


def bar_height(count: int, highest: int) -> float:
    """In percent; a bar of few rows beside one of thousands can still be seen."""
    return max(2.0, 100 * count / highest) if count else 0.0


# Tokens


def lengths_view(found: Histogram | None, t: Sentence) -> str:
    """Token counts of whole rows, prompts and answers, each against the limit. None: they cannot be counted."""
    title = t("ui.data.lengths.title")
    if found is None or not found.sides:
        return f'<section class="s-card">{headline(title, t("ui.data.lengths.none"))}</section>'
    told = "ui.data.lengths.over" if found.over else "ui.data.lengths.fit"
    summary = badge(t(told, count=found.over, limit=found.max_length), "warn" if found.over else "good")
    sample = f" {shown(t('ui.data.lengths.sample', rows=found.rows))}" if found.sampled else ""
    sides = "".join(_side(side, found.max_length, t) for side in found.sides)
    return (
        f'<section class="s-card">{headline(title)}<p class="s-muted">{summary} {shown(t("ui.data.lengths.text"))}'
        f'{sample}</p><div class="d-sizes">{sides}</div></section>'
    )


def _side(side: Sizes, limit: int, t: Sentence) -> str:
    top = side.width * len(side.bars)
    line = ""
    if limit <= top:
        place = 100 * limit / top
        label = shown(t("ui.data.lengths.limit", limit=limit))
        line = f'<span class="d-limit{" d-left" if place > 50 else ""}" style="left:{place:.2f}%"><b>{label}</b></span>'
    numbers = t("ui.data.lengths.numbers", median=side.median, p95=side.p95, longest=side.longest)
    end = f"{top:,}+" if side.longest > top else f"{top:,}"
    return (
        f'<div class="d-size"><h3 class="s-h3">{shown(t(f"ui.data.charts.{side.by}"))}</h3>'
        f'<p class="s-muted">{shown(numbers)}</p>'
        f"{_columns(side.bars, t, limit, line)}{_axis('0', t('ui.data.lengths.tokens', count=end))}</div>"
    )


# Which rows are shown


def value_told(by: By, label: str, t: Sentence) -> str:
    """A value in words: languages by their name, clusters by their first row."""
    if by == "language":
        key = f"ui.language.{label}"
        return t(key) if key in catalogue("en") else label
    if by == "label":
        return t("ui.data.thumbs.up" if label in ("1", "True") else "ui.data.thumbs.down")
    if by in ("cluster", *NUMBERS):
        return t(f"ui.data.charts.value.{by}", value=label)
    return label


def filter_told(where: Where, rows: int, t: Sentence) -> str:
    """The chip above the table: which rows are shown, and a way back to all."""
    if isinstance(where, FindingRows):
        return chip(t(f"ui.data.finding.{where.finding}"), rows, t)
    if where.by in (*LENGTHS, *TOKENS):
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
