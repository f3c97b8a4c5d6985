"""A learning curve before and after it is measured. Pure."""

from collections.abc import Sequence

from studio.backend.learning_curve import FEW, UNFINISHED, CurveOutline, CurvePoint, CurveReading
from studio.ui.markup import Sentence, shown
from studio.ui.run_view import chip, duration, loss

_WIDTH, _HEIGHT = 560, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 40, 34, 44


def outline_view(outline: CurveOutline, seconds: float | None, busy: bool, t: Sentence) -> str:
    """What will be done. `seconds` of all runs together: None while they are measured, or cannot be (`busy`)."""
    rows = " · ".join(f"{count:,} ({share:.0%})" for share, count in outline.parts)
    time = t("ui.more.time.busy") if busy else t("ui.more.time.measuring")
    if seconds is not None:
        time = t("ui.more.time.about", time=duration(seconds, t))
    facts = (
        ("runs", t("ui.more.runs.value", count=len(outline.parts), steps=outline.steps)),
        ("rows", rows),
        ("validation", f"{outline.validation_rows:,}"),
        ("time", time),
    )
    lines = "".join(f"<div><dt>{shown(t(f'ui.more.{key}'))}</dt><dd>{shown(value)}</dd></div>" for key, value in facts)
    few = ""
    if outline.validation_rows < FEW:
        note = t("ui.more.few", count=outline.validation_rows, wanted=FEW)
        few = f'<ul class="d-notes"><li>{shown(note)}</li></ul>'
    return f'<dl class="c-facts">{lines}</dl>{few}'


def curve_view(reading: CurveReading, before: int, preparing: str | None, language: str, t: Sentence) -> str:
    """The sentence, the curve, and each run. `before`: other runs that train first; `preparing`: the run whose model
    is being loaded."""
    waits = any(point.status in UNFINISHED for point in reading.points)
    queue = ""
    if before and waits:
        queue = f'<p class="s-muted">{shown(t("ui.more.queue", count=before))}</p>'
    runs = "".join(_run(point, preparing, t) for point in reading.points)
    tone = "" if waits or reading.key == "ui.curve.failed" else " c-answer"
    return (
        f'<p class="c-told{tone}" role="status">{shown(reading.message(language))}</p>{queue}'
        f"{_chart(reading.points, t)}"
        f'<div class="d-grid-scroll"><table class="d-grid"><thead><tr><th>{shown(t("ui.more.part"))}</th>'
        f"<th>{shown(t('ui.more.rows'))}</th><th>{shown(t('ui.more.loss'))}</th><th></th></tr></thead>"
        f"<tbody>{runs}</tbody></table></div>"
    )


def _run(point: CurvePoint, preparing: str | None, t: Sentence) -> str:
    status = "preparing" if point.run == preparing and point.status == "queued" else point.status
    rows = f"{point.rows:,}" if point.rows is not None else "–"
    going = f" {point.progress:.0%}" if status == "running" else ""
    return (
        f'<tr><th scope="row">{point.share:.0%}</th><td>{rows}</td><td>{loss(point.loss)}</td>'
        f"<td>{chip(status, t)}{going}</td></tr>"
    )


def _chart(points: Sequence[CurvePoint], t: Sentence) -> str:
    """Validation loss against rows, every doubling one step to the right; nothing before there are two values."""
    known = [(i, point) for i, point in enumerate(points) if point.loss is not None]
    if len(known) < 2:
        return ""
    losses = [point.loss for _, point in known if point.loss is not None]
    low, high = min(losses), max(losses)
    room = (high - low) * 0.15 or high * 0.05 or 1
    low, high = low - room, high + room

    def x(place: int) -> float:
        return _LEFT + place * (_WIDTH - _LEFT - _RIGHT) / max(1, len(points) - 1)

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    line = " ".join(f"{x(i):.1f},{y(point.loss or 0):.1f}" for i, point in known)
    dots = "".join(
        f'<circle cx="{x(i):.1f}" cy="{y(point.loss or 0):.1f}" r="5"></circle>'
        f'<text x="{x(i):.1f}" y="{y(point.loss or 0) - 12:.1f}" class="c-value">{loss(point.loss)}</text>'
        for i, point in known
    )
    labels = "".join(
        f'<text x="{x(i):.1f}" y="{_HEIGHT - 16}">'
        f"{shown(t('ui.more.rows.count', count=point.rows) if point.rows is not None else f'{point.share:.0%}')}</text>"
        for i, point in enumerate(points)
    )
    base = _HEIGHT - _BOTTOM + 8
    told = ", ".join(f"{point.rows:,}: {loss(point.loss)}" for _, point in known if point.rows is not None)
    title = shown(t("ui.more.loss"))
    return (
        f'<figure class="c-chart"><figcaption>{title}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}: {shown(told)}">'
        f'<line x1="{_LEFT - 30}" y1="{base}" x2="{_WIDTH - _RIGHT + 30}" y2="{base}"></line>'
        f'<polyline points="{line}"></polyline>{dots}{labels}</svg></figure>'
    )
