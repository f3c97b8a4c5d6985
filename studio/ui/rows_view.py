"""The rows of a data set as a table, and one of them as the model sees it. Pure; texts of the data pass `shown`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from studio.backend.datasets import RowView, Version
from studio.data.formats import Mapping
from studio.data.tables import Cells, Column, Row
from studio.data.tokens import Span
from studio.ui.data_view import ALL_ROLES
from studio.ui.markup import Sentence, badge, plain, said, shorten, shown

PAGE_ROWS = 10
# So many columns are laid out at once: ten thousand of them no browser shows in time, and nobody reads.
_COLUMNS = 20
_PINNED = 6
_WIDE = 5
_SHOWN_TURNS = 3
_CELL_CHARACTERS = 300
_BEFORE_MATCH = 40
_SPECIAL = re.compile(r"\s*<[^\s<>]{1,40}>\s*|\s*\[/?[A-Z]{2,12}\]\s*")
_ARROWS = {"ascending": "↑", "descending": "↓", "none": "↕"}


@dataclass(frozen=True, slots=True)
class Look:
    """Which rows the table shows, beside those it was searched for, and in which order.

    `where`: JSON of a filter, "" for all rows. `order`: a column's name; None is the order of the file. `row` is the
    one that is open. `first_column`: where the columns begin, of a table too wide to be shown whole. `text` is what
    was searched for.
    """

    where: str = ""
    offset: int = 0
    order: str | None = None
    descending: bool = False
    row: int | None = None
    first_column: int = 0
    text: str = ""


def next_order(look: Look, name: str) -> tuple[str | None, bool]:
    """What a click on a column's head leads to: ascending, then descending, then the order of the file."""
    if look.order != name:
        return name, False
    return (None, False) if look.descending else (name, True)


def rows_table(
    version: Version, rows: Sequence[Cells], talks: dict[int, Any], look: Look, total: int, search: str, t: Sentence
) -> str:
    """One page of rows; a row is a button, and so is the head of a column. `rows` have the texts of `shown_columns`.
    `talks`: the turns of each row; `total`: how many rows were found; `search` is marked."""
    if not rows:
        return f'<div class="d-table"><p class="s-muted s-empty">{shown(t("ui.data.table.none"))}</p></div>'
    places = shown_columns(version, look.first_column)
    roles = {getattr(version.mapping, role): role for role in ALL_ROLES} if version.mapping else {}
    heads = "".join(_head(place, version.columns[place], roles, look, t) for place in places)
    body = "".join(_row(version, row, places, talks.get(row.id), row.id == look.row, search, t) for row in rows)
    first = shown(t("ui.data.table.row"))
    wide = " d-wide" if len(places) > _WIDE else ""
    return (
        f'<div class="d-table{wide}" tabindex="-1"><table><thead><tr><th scope="col" class="d-id">{first}</th>{heads}'
        f"</tr></thead><tbody>{body}</tbody></table></div>"
        f"{_column_pager(version, look, places, t)}{_pager(look, len(rows), total, version, t)}"
    )


def shown_columns(version: Version, first: int) -> list[int]:
    """Places of the columns shown: all, or those the mapping names and some others from `first` on."""
    count = len(version.columns)
    if count <= _COLUMNS:
        return list(range(count))
    named = set(version.mapping.columns) if version.mapping else set()
    pinned = [place for place, column in enumerate(version.columns) if column.name in named][:_PINNED]
    others = [place for place in range(count) if place not in pinned]
    return [*pinned, *others[first : first + _COLUMNS - len(pinned)]]


def _head(place: int, column: Column, roles: dict[str, str], look: Look, t: Sentence) -> str:
    sort = ("descending" if look.descending else "ascending") if look.order == column.name else "none"
    name = shown(shorten(column.name, 40)) or "&nbsp;"
    role = badge(t(f"ui.data.role.{roles[column.name]}"), "accent") if column.name in roles else ""
    return (
        f'<th scope="col" aria-sort="{sort}"><button type="button" data-act="sort" data-column="{place}"'
        f' title="{shown(t("ui.data.table.sort"))}"><span class="d-name">{name} '
        f"<small>{shown(t(f'ui.data.type.{column.type}'))}</small></span>"
        f'<i aria-hidden="true">{_ARROWS[sort]}</i>{role}</button></th>'
    )


def _row(
    version: Version, row: Cells, places: Sequence[int], talk: Any, selected: bool, search: str, t: Sentence
) -> str:
    mapping = version.mapping
    cells = "".join(
        _talk(talk, mapping, search, t)
        if mapping and version.columns[place].name == mapping.turns and isinstance(talk, list)
        else _cell(text, version.columns[place].type, search, t)
        for place, text in zip(places, row.texts, strict=True)
    )
    state = "true" if selected else "false"
    return (
        f'<tr data-act="row" data-row="{row.id}" tabindex="0" aria-selected="{state}">'
        f'<td class="d-id">{row.id}</td>{cells}</tr>'
    )


def _talk(turns: list[Any], mapping: Mapping, search: str, t: Sentence) -> str:
    """The first turns of a conversation, each on a line; where one was searched for, the first that hold it."""
    said = [turn for turn in turns if isinstance(turn, dict)]
    texts = [(str(turn.get(mapping.role_key)), plain(turn.get(mapping.content_key))) for turn in said]
    if search:
        texts = [pair for pair in texts if _found(search, pair[1])] or texts
    lines = "".join(
        f"<span><b>{shown(shorten(role, 20))}</b>{marked(excerpt(text, search, 200), search)}</span>"
        for role, text in texts[:_SHOWN_TURNS]
    )
    more = len(turns) > len(texts[:_SHOWN_TURNS])
    rest = f"<span>{shown(t('ui.data.table.turns', count=len(turns)))}</span>" if more else ""
    return f'<td><div class="d-talk">{lines}{rest}</div></td>'


def _cell(text: str, kind: str, search: str, t: Sentence) -> str:
    if not text.strip():
        return f'<td><div class="d-void">{shown(t("ui.data.table.blank"))}</div></td>'
    narrow = ' class="d-short"' if kind in ("integer", "number", "boolean") else ""
    return f"<td{narrow}><div>{marked(text.strip(), search)}</div></td>"


def cells_found(row: Row, columns: Sequence[Column], search: str) -> Cells:
    """A row as short texts, each cut so that what was searched for can be seen."""
    texts = (excerpt(plain(row.values.get(column.name)), search, _CELL_CHARACTERS) for column in columns)
    return Cells(row.id, tuple(texts))


def excerpt(text: str, search: str, width: int) -> str:
    """At most about `width` characters, from shortly before what was searched for; the cuts are marked."""
    match = _found(search, text) if search else None
    begin = match.start() - _BEFORE_MATCH if match and match.end() > _BEFORE_MATCH * 2 else 0
    return f"{'…' if begin else ''}{shorten(text[begin : begin + width + 1], width)}"


def _found(search: str, text: str) -> re.Match[str] | None:
    return re.search(re.escape(search), text, re.IGNORECASE)


def marked(text: str, search: str) -> str:
    """The text as HTML, with every place that was searched for marked."""
    if not search:
        return shown(text)
    parts = re.split(f"({re.escape(search)})", text, flags=re.IGNORECASE)
    return "".join(f"<mark>{shown(part)}</mark>" if i % 2 else shown(part) for i, part in enumerate(parts))


def _column_pager(version: Version, look: Look, places: Sequence[int], t: Sentence) -> str:
    if len(version.columns) <= _COLUMNS:
        return ""
    pinned = len(set(places) & set(shown_columns(version, len(version.columns))))
    step, others = _COLUMNS - pinned, len(version.columns) - pinned
    first, last = look.first_column + 1, min(look.first_column + step, others)
    where = t("ui.data.table.columns", first=first, last=last, total=others)
    back = _turn("columns", "‹", t("ui.data.table.columns.back"), first > 1, max(0, look.first_column - step))
    forward = _turn("columns", "›", t("ui.data.table.columns.forward"), last < others, look.first_column + step)
    return f'<div class="d-pager"><span>{shown(where)}</span>{back}{forward}</div>'


def _pager(look: Look, count: int, total: int, version: Version, t: Sentence) -> str:
    where = t("ui.data.table.where", first=look.offset + 1, last=look.offset + count, total=total)
    last = max(0, total - 1) // PAGE_ROWS * PAGE_ROWS
    before, after = look.offset > 0, look.offset + count < total
    turns = (
        _turn("page", "«", t("ui.data.table.first"), before, 0)
        + _turn("page", "‹", t("ui.data.table.back"), before, max(0, look.offset - PAGE_ROWS))
        + _turn("page", "›", t("ui.data.table.forward"), after, look.offset + PAGE_ROWS)
        + _turn("page", "»", t("ui.data.table.last"), after, last)
    )
    jump = ""
    if version.rows > PAGE_ROWS:
        label = shown(t("ui.data.table.jump"))
        jump = (
            f'<label class="d-jump">{label} <input type="number" min="1" data-act="jump" inputmode="numeric"></label>'
        )
    return f'<div class="d-pager"><span>{shown(where)}</span>{jump}{turns}</div>'


def _turn(act: str, sign: str, label: str, enabled: bool, to: int) -> str:
    state = "" if enabled else " disabled"
    return (
        f'<button type="button" class="s-button d-turn" data-act="{act}" data-to="{to}" title="{shown(label)}"'
        f' aria-label="{shown(label)}"{state}>{sign}</button>'
    )


# One row


def row_as_seen(row: int, view: RowView, limit: int, model: str, t: Sentence) -> str:
    """The row as the model reads it, the tokens it learns from coloured."""
    title = f'<h3 class="s-h2">{shown(t("ui.data.view.title", row=row))}</h3>'
    if view.problem or view.refused:
        told = view.problem or view.refused
        problem = t(told.key, **told.values) if told else ""
        return f'<div class="s-card d-view">{title}<p class="d-error" style="margin-top:12px">{said(problem)}</p></div>'
    counts = "".join(
        f"<div><b>{count:,}</b>{shown(t(f'ui.data.view.{name}'))}</div>"
        for name, count in (
            ("prompt", view.prompt_tokens),
            ("answer", view.answer_tokens),
            ("learned", view.trained_tokens),
        )
        if count or name != "prompt"
    )
    cut = f'<p class="d-error">{shown(t("ui.data.view.truncated", limit=limit))}</p>' if view.truncated else ""
    return (
        f'<div class="s-card d-view"><div class="s-row d-between">{title}{_rating(view, t)}</div>'
        f'<p class="s-muted">{shown(t("ui.data.view.model", model=model))}</p>'
        f'{_disliked(view, t)}<div class="d-text" tabindex="0">{seen_text(view.spans)}</div>{cut}{_worse(view, t)}'
        f'<div class="d-legend"><span class="d-trained"><i></i>{shown(t("ui.data.view.trained"))}</span>'
        f"<span><i></i>{shown(t('ui.data.view.read'))}</span></div>"
        f'<div class="d-counts">{counts}</div></div>'
    )


def _rating(view: RowView, t: Sentence) -> str:
    if view.thumbs_up is None:
        return ""
    return badge(t("ui.data.thumbs.up"), "good") if view.thumbs_up else badge(t("ui.data.thumbs.down"), "bad")


def _disliked(view: RowView, t: Sentence) -> str:
    if view.thumbs_up is not False:
        return ""
    return f'<p class="d-todo d-mapped">{shown(t("ui.data.view.thumbs_down"))}</p>'


def _worse(view: RowView, t: Sentence) -> str:
    """The worse answer of a pair, from where it differs."""
    if not view.rejected:
        return ""
    title = badge(t("ui.data.role.rejected"), "bad")
    return f'<div class="d-worse">{title}<div class="d-text" tabindex="0">{seen_text(view.rejected)}</div></div>'


def seen_text(shown_spans: Sequence[Span]) -> str:
    """The text with what carries loss marked, special tokens told apart, and what is cut struck out."""
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
