"""The notes on a run beside its chart, by the numbers that mark their steps in it. Pure."""

from collections.abc import Callable, Sequence

from studio.runs.coach import Note
from studio.runs.spec import RunSpec
from studio.ui.markup import said, shown
from studio.ui.way_view import way_buttons

T = Callable[..., str]


def coach_notes(notes: Sequence[Note], spec: RunSpec, writable: bool, language: str, t: T) -> str:
    """Nothing where there are none; only where the workspace can be written, each with what mends it."""
    if not notes:
        return ""
    lines = "".join(
        f'<li class="coach-note coach-{note.severity}" data-rule="{note.rule}">'
        f'<span class="coach-number" title="{shown(t("ui.coach.mark", number=number))}">{number}</span>'
        f"<div><b>{shown(t(f'coach.title.{note.rule}'))}</b><small>{shown(_where(note, t))}</small>"
        f"<p>{said(t(note.key, **note.values))}</p>"
        f"{way_buttons(note.ways, spec, language, t) if writable else ''}</div></li>"
        for number, note in enumerate(notes, 1)
    )
    return f'<h3 class="section">{shown(t("ui.coach.title"))}</h3><ol class="coach-notes">{lines}</ol>'


def _where(note: Note, t: T) -> str:
    """The chart and the step that the note is marked in."""
    return t("ui.coach.where", chart=t(f"ui.runs.chart.{note.metric}"), step=f"{note.step:,}")
