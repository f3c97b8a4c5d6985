"""What the Data tab shows, as HTML made from the backend's values. Pure; every text of the data passes `shown`."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

from studio.backend.datasets import RowView, Version
from studio.data.formats import Mapping
from studio.data.histogram import Histogram
from studio.data.samples import SampleCard
from studio.data.sources import LeftOut
from studio.data.tables import Cells
from studio.data.tokens import Span
from studio.ui.markup import Sentence, act_button, badge, plain, shorten, shown

Language = Literal["en", "ja"]
PAGE_ROWS = 10
# Those chosen by hand, and all that a mapping can name.
ROLES = ("prompt", "answer", "input", "system", "turns")
ALL_ROLES = (
    *ROLES, "history", "tools", "chosen", "rejected", "ranked", "ranks", "label", "text", "accepted_calls",
    "system_template", "prompt_template", "answer_template",
)  # fmt: skip
_SHOWN_LEFT_OUT = 50
_SHOWN_TURNS = 3
_SPECIAL = re.compile(r"\s*<[^\s<>]{1,40}>\s*|\s*\[/?[A-Z]{2,12}\]\s*")


def rows_told(count: int, t: Sentence) -> str:
    """`1 row`, `2 rows`."""
    return t("ui.data.rows.one" if count == 1 else "ui.data.rows", count=count)


# Opening


def sample_cards(cards: Sequence[SampleCard], language: Language, t: Sentence) -> str:
    """One button per sample: purpose, what to look for, licence."""
    return f'<div class="d-cards">{"".join(_sample_card(card, language, t) for card in cards)}</div>'


def _sample_card(card: SampleCard, language: Language, t: Sentence) -> str:
    return (
        f'<button type="button" class="d-sample" data-act="sample" data-name="{shown(card.name)}">'
        f"<b>{shown(card.title[language])}</b><p>{shown(card.purpose[language])}</p>"
        f'<p class="d-look"><em>{shown(t("ui.data.sample.look"))}</em><span>{shown(card.look_for[language])}</span></p>'
        f'<span class="s-row">{badge(rows_told(card.rows, t))}{badge(card.licence)}</span></button>'
    )


def earlier_sets(versions: Sequence[Version], t: Sentence) -> str:
    """The data sets of this workspace, newest first, each by its newest version."""
    newest = {version.dataset: version for version in versions}
    if not newest:
        return ""
    items = "".join(
        f'<li><button type="button" class="s-button" data-act="version" data-version="{shown(v.id)}">'
        f"{shown(shorten(v.name, 60))} · {shown(rows_told(v.rows, t))}</button></li>"
        for v in newest.values()
    )
    return f'<h2 class="s-h2">{shown(t("ui.data.earlier"))}</h2><ul class="d-earlier">{items}</ul>'


# A version


def heading(version: Version, left_out: Sequence[LeftOut], look_for: str, t: Sentence) -> str:
    """Name, rows and layout, what was told when the file was read, and the rows that could not be.

    `look_for`: what a sample's card says about the tuned model.
    """
    layout = t(f"ui.data.layout.{version.mapping.layout}") if version.mapping else t("ui.data.layout.none")
    badges = [
        badge(rows_told(version.rows, t)),
        badge(layout, "good" if version.mapping else "warn"),
        badge(t("ui.data.mix") if version.mix else " · ".join(p for p in (version.kind, version.encoding) if p)),
    ]
    notes = "".join(f"<li>{shown(t(note.key, **note.values))}</li>" for note in version.notes)
    name = shown(shorten(version.name, 80))
    return (
        f'<div class="d-title"><h2 class="s-h2">{name}</h2>{"".join(badges)}</div>{_mapped_columns(version.mapping, t)}'
        + (f'<ul class="d-notes">{notes}{_left_out(left_out, t)}</ul>' if notes or left_out else "")
        + (
            f'<p class="s-muted d-mapped"><b>{shown(t("ui.data.sample.look"))}</b> {shown(look_for)}</p>'
            if look_for
            else ""
        )
    )


def _left_out(rows: Sequence[LeftOut], t: Sentence) -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<li>{shown(t('ui.data.line', line=row.line))} {shown(t(row.key, **row.values))}"
        f"<br><code>{shown(shorten(row.text, 120))}</code></li>"
        for row in rows[:_SHOWN_LEFT_OUT]
    )
    title = shown(t("ui.data.left_out", count=len(rows)))
    return f"<li><details><summary>{title}</summary><ul>{lines}</ul></details></li>"


def version_label(version: Version, t: Sentence) -> str:
    """A line of the version picker."""
    rows = rows_told(version.rows, t)
    steps = [t(f"fix.{step.fix}") for step in version.recipe.steps] if version.recipe else []
    what = steps[0] if len(steps) == 1 else t("ui.data.version.fixes", count=len(steps))
    if not steps:
        what = t("ui.data.mix" if version.mix else "ui.data.version.original")
    return f"v{version.number} · {rows} · {what}"


def _mapped_columns(mapping: Mapping | None, t: Sentence) -> str:
    """Which column is what, in one line."""
    if mapping is None:
        return f'<p class="d-todo d-mapped">{shown(t("ui.data.mapping.needed"))}</p>'
    pairs = [(role, getattr(mapping, role)) for role in ALL_ROLES]
    parts = [f"{shown(t(f'ui.data.role.{role}'))} ← <b>{shown(shorten(name, 60))}</b>" for role, name in pairs if name]
    return f'<p class="s-muted d-mapped">{" &nbsp;·&nbsp; ".join(parts)}</p>'


# Rows


def rows_table(
    version: Version,
    rows: Sequence[Cells],
    talks: dict[int, Any],
    offset: int,
    total: int,
    selected: int | None,
    t: Sentence,
) -> str:
    """One page of rows; a row is a button. `talks`: the turns of each row; `total`: how many rows the search found."""
    if not rows:
        return f'<div class="d-table"><p class="s-muted s-empty">{shown(t("ui.data.table.none"))}</p></div>'
    roles = {getattr(version.mapping, role): role for role in ALL_ROLES} if version.mapping else {}
    heads = "".join(
        f'<th scope="col">{shown(shorten(column.name, 40)) or "&nbsp;"}<small>{shown(t(f"ui.data.type.{column.type}"))}'
        f"</small>{badge(t(f'ui.data.role.{roles[column.name]}'), 'accent') if column.name in roles else ''}</th>"
        for column in version.columns
    )
    body = "".join(_row(version, row, talks.get(row.id), row.id == selected, t) for row in rows)
    first = shown(t("ui.data.table.row"))
    return (
        f'<div class="d-table"><table><thead><tr><th scope="col">{first}</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{_pager(offset, len(rows), total, t)}"
    )


def _row(version: Version, row: Cells, talk: Any, selected: bool, t: Sentence) -> str:
    mapping = version.mapping
    cells = "".join(
        _talk(talk, mapping, t)
        if mapping and column.name == mapping.turns and isinstance(talk, list)
        else _cell(text, t)
        for column, text in zip(version.columns, row.texts, strict=True)
    )
    state = "true" if selected else "false"
    return (
        f'<tr data-act="row" data-row="{row.id}" tabindex="0" aria-selected="{state}">'
        f'<td class="d-id">{row.id}</td>{cells}</tr>'
    )


def _talk(turns: list[Any], mapping: Mapping, t: Sentence) -> str:
    """The first turns of a conversation, each on a line."""
    lines = "".join(
        f"<span><b>{shown(shorten(str(turn.get(mapping.role_key)), 20))}</b>"
        f"{shown(shorten(plain(turn.get(mapping.content_key)), 200))}</span>"
        for turn in turns[:_SHOWN_TURNS]
        if isinstance(turn, dict)
    )
    more = f"<span>{shown(t('ui.data.table.turns', count=len(turns)))}</span>" if len(turns) > _SHOWN_TURNS else ""
    return f'<td><div class="d-talk">{lines}{more}</div></td>'


def _cell(text: str, t: Sentence) -> str:
    if not text.strip():
        return f'<td><div class="d-void">{shown(t("ui.data.table.blank"))}</div></td>'
    return f"<td><div>{shown(text.strip())}</div></td>"


def _pager(offset: int, count: int, total: int, t: Sentence) -> str:
    where = t("ui.data.table.where", first=offset + 1, last=offset + count, total=total)
    earlier, later = max(0, offset - PAGE_ROWS), offset + PAGE_ROWS
    back = act_button("page", t("ui.data.table.back"), enabled=offset > 0, offset=earlier)
    forward = act_button("page", t("ui.data.table.forward"), enabled=offset + count < total, offset=later)
    return f'<div class="d-pager"><span>{shown(where)}</span>{back}{forward}</div>'


def row_as_seen(row: int, view: RowView, limit: int, model: str, t: Sentence) -> str:
    """The row as the model reads it, the tokens it learns from coloured."""
    title = f'<h3 class="s-h2">{shown(t("ui.data.view.title", row=row))}</h3>'
    if view.problem or view.refused:
        told = view.problem or view.refused
        problem = t(told.key, **told.values) if told else ""
        return (
            f'<div class="s-card d-view">{title}<p class="d-error" style="margin-top:12px">{shown(problem)}</p></div>'
        )
    counts = "".join(
        f"<div><b>{count:,}</b>{shown(t(f'ui.data.view.{name}'))}</div>"
        for name, count in (
            ("prompt", view.prompt_tokens),
            ("answer", view.answer_tokens),
            ("learned", view.trained_tokens),
        )
    )
    cut = f'<p class="d-error">{shown(t("ui.data.view.truncated", limit=limit))}</p>' if view.truncated else ""
    worse = ""
    if view.rejected:
        named = shown(t("ui.data.role.rejected"))
        worse = f'<p class="s-muted">{named}</p><div class="d-text" tabindex="0">{_spans(view.rejected)}</div>'
    return (
        f'<div class="s-card d-view">{title}<p class="s-muted">{shown(t("ui.data.view.model", model=model))}</p>'
        f'<div class="d-text" tabindex="0">{_spans(view.spans)}</div>{cut}{worse}'
        f'<div class="d-legend"><span class="d-trained"><i></i>{shown(t("ui.data.view.trained"))}</span>'
        f"<span><i></i>{shown(t('ui.data.view.read'))}</span></div>"
        f'<div class="d-counts">{counts}</div></div>'
    )


def _spans(shown_spans: Sequence[Span]) -> str:
    parts = []
    for (trained, cut), spans in groupby(shown_spans, key=lambda span: (span.trained, span.cut)):
        text = "".join(
            f'<span class="d-token">{shown(span.text.strip())}</span>'
            if _SPECIAL.fullmatch(span.text)
            else shown(span.text)
            for span in spans
        )
        if trained:
            text = f"<mark>{text}</mark>"
        parts.append(f'<span class="d-cut">{text}</span>' if cut else text)
    return "".join(parts)


# Lengths


def length_bars(found: Histogram | None, t: Sentence) -> str:
    """How many rows are how long, against the limit."""
    title = f'<h2 class="s-h2">{shown(t("ui.data.lengths.title"))}</h2>'
    if found is None or not found.longest:
        return f'{title}<p class="s-muted">{shown(t("ui.data.lengths.none"))}</p>'
    highest = max(found.counts)
    bars = "".join(
        f'<i class="{"d-over" if low >= found.max_length else ""}" style="height:{bar_height(count, highest):.1f}%"'
        f' title="{shown(t("ui.data.lengths.bar", low=low, high=high, count=count))}"></i>'
        for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False)
    )
    width = found.edges[1] - found.edges[0]
    top = width * len(found.counts)
    limit = ""
    if found.max_length <= top:
        place = 100 * found.max_length / top
        side = "d-left" if place > 60 else ""
        label = shown(t("ui.data.lengths.limit", limit=found.max_length))
        limit = f'<span class="d-limit {side}" style="left:{place:.2f}%"><b>{label}</b></span>'
    told = "ui.data.lengths.over" if found.over else "ui.data.lengths.fit"
    summary = t(told, count=found.over, limit=found.max_length)
    numbers = t("ui.data.lengths.numbers", median=found.median, p95=found.p95, longest=found.longest)
    return (
        f'{title}<p class="s-muted">{badge(summary, "warn" if found.over else "good")} {shown(numbers)}</p>'
        f'<div class="d-bars" role="img" aria-label="{shown(numbers)}">{bars}{limit}</div>'
        f'<div class="d-axis"><span>0</span><span>{top // 2:,}</span>'
        f"<span>{shown(t('ui.data.lengths.tokens', count=top))}</span></div>"
    )


def bar_height(count: int, highest: int) -> float:
    """In percent; a bar of few rows beside one of thousands can still be seen."""
    return max(2.0, 100 * count / highest) if count else 0.0
