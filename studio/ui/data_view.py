"""What the Data tab shows, as HTML made from the backend's values. Pure; every text of the data passes `shown`."""

from collections.abc import Sequence
from typing import Literal

from studio.backend.datasets import Version
from studio.data.formats import Mapping
from studio.data.samples import SampleCard
from studio.data.sources import LeftOut
from studio.data.tables import Note
from studio.ui.markup import Sentence, badge, headline, said, shorten, shown

Language = Literal["en", "ja"]
# All that a mapping can name.
ALL_ROLES = (
    "prompt", "answer", "input", "system", "turns", "history", "tools", "chosen", "rejected", "ranked", "ranks",
    "label", "text", "accepted_calls", "system_template", "prompt_template", "answer_template",
)  # fmt: skip
_SHOWN_LEFT_OUT = 50
# What data can teach is no warning, as are other notes.
_TOLD = ("notice.mapping.language_modeling", "notice.mapping.preference", "notice.mapping.unpaired_preference")


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


def import_bar(name: str, share: float, t: Sentence) -> str:
    """How far an import is."""
    percent = min(100.0, 100 * share)
    title = headline(t("ui.data.import.title", name=shorten(name, 80)), t("ui.data.import.text"))
    return (
        f'{title}<div class="progress" role="progressbar" aria-valuemin="0" aria-valuemax="100"'
        f' aria-valuenow="{percent:.0f}"><div class="progress-bar" style="width:{percent:.1f}%"></div></div>'
        f'<p class="s-muted">{percent:.0f} %</p>'
    )


def waiting(text: str) -> str:
    """Stands where an answer will be."""
    return f'<p class="s-muted d-waiting">{shown(text)}</p>'


# A version


def heading(version: Version, left_out: Sequence[LeftOut], look_for: str, t: Sentence) -> str:
    """Name, rows and layout, what was told when the file was read, and the rows that could not be.

    `look_for`: what a sample's card says about the tuned model.
    """
    layout = t(f"ui.data.layout.{version.mapping.layout}") if version.mapping else t("ui.data.layout.none")
    file = " · ".join(part for part in (version.kind, version.encoding) if part)
    badges = [
        badge(rows_told(version.rows, t)),
        badge(layout, "good" if version.mapping else "warn"),
        badge(t("ui.data.mix") if version.mix else file or t("ui.data.votes")),
    ]
    told = [note for note in version.notes if note.key in _TOLD]
    notes = _lines([note for note in version.notes if note not in told], t)
    name = shown(shorten(version.name, 80))
    return (
        f'<div class="d-title"><h2 class="s-h2">{name}</h2>{"".join(badges)}</div>{_mapped_columns(version.mapping, t)}'
        + (f'<ul class="d-notes d-told">{_lines(told, t)}</ul>' if told else "")
        + (f'<ul class="d-notes">{notes}{_left_out(left_out, t)}</ul>' if notes or left_out else "")
        + (
            f'<p class="s-muted d-look-for"><b>{shown(t("ui.data.sample.look"))}</b> {shown(look_for)}</p>'
            if look_for
            else ""
        )
    )


def _lines(notes: Sequence[Note], t: Sentence) -> str:
    return "".join(f"<li>{said(t(note.key, **note.values))}</li>" for note in notes)


def _left_out(rows: Sequence[LeftOut], t: Sentence) -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<li>{_place(row, t)} {said(t(row.key, **row.values))}<br><code>{shown(shorten(row.text, 120))}</code></li>"
        for row in rows[:_SHOWN_LEFT_OUT]
    )
    title = shown(t("ui.data.left_out", count=len(rows)))
    return f"<li><details><summary>{title}</summary><ul>{lines}</ul></details></li>"


def _place(row: LeftOut, t: Sentence) -> str:
    """The line, and of several files which."""
    file = f"<b>{shown(shorten(row.file, 80))}</b> · " if row.file else ""
    return f"{file}{shown(t('ui.data.line', line=row.line))}"


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
