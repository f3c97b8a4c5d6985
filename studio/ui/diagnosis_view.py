"""A run that failed by something known: the cause, what there is to see of it, and buttons that mend it. Pure."""

from collections.abc import Callable

from studio.runs.events import RunState
from studio.runs.remedies import diagnose
from studio.runs.spec import RunSpec
from studio.ui.markup import said, shown
from studio.ui.way_view import way_buttons

T = Callable[..., str]


def failure(state: RunState, spec: RunSpec, writable: bool, language: str, t: T) -> str:
    """Nothing where it did not fail; of what is not known the sentence of its error alone."""
    ended = state.ended
    if ended is None or ended.status != "failed":
        return ""
    title, evidence, buttons = "", "", ""
    if found := diagnose(state, spec):
        title = f"<strong>{shown(t(f'diagnosis.{found.cause}'))}</strong><br>"
        lines = "".join(f"<li>{shown(t(key, **values))}</li>" for key, values in found.evidence)
        evidence = f'<ul class="seen">{lines}</ul>' if lines else ""
        buttons = way_buttons(found.ways, spec, language, t) if writable else ""
    sentence = said(t(ended.key or "error.bug", **ended.values)).replace("\n", "<br>")
    return f'<div class="say say-bad failure" role="alert">{title}{sentence}{evidence}{buttons}</div>'
