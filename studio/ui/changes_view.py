"""What was done to the rows on the way to a version, as HTML. Pure; every text of the data passes `shown`."""

from dataclasses import dataclass

from studio.backend.datasets import RowDiff, Version
from studio.ui.difference import around_change, word_difference
from studio.ui.markup import Sentence, act_button, badge, plain, shorten, shown
from studio.ui.recipe_view import step_done, step_told

PAGE_CHANGES = 20
_DIFF_CHARACTERS = 1_500


@dataclass(frozen=True, slots=True)
class Changes:
    """Which changes are looked at. `lineage`: the versions from the one compared with (the first) to the one that is
    open (the last); `others`: further ones to compare with. `step`: of which version and place; None: all steps."""

    lineage: tuple[Version, ...]
    others: tuple[Version, ...]
    step: tuple[str, int] | None
    offset: int
    total: int
    rows: tuple[RowDiff, ...]


def version_report(changes: Changes, t: Sentence) -> str:
    """What the fixes did, by step, with every row before and after. Empty for a version that none made."""
    if len(changes.lineage) < 2:
        return ""
    base, now = changes.lineage[0], changes.lineage[-1]
    head = t("ui.data.report.title", number=now.number, before=base.rows, after=now.rows)
    parent = changes.lineage[-2]
    back = act_button("version", t("ui.data.report.undo", number=parent.number), version=parent.id)
    return (
        f'<section class="s-card d-report"><div class="s-row d-between"><h2 class="s-h2">{shown(head)}</h2>{back}</div>'
        f"{_compared(changes, t)}{_steps(changes, t)}{_rows(changes, t)}</section>"
    )


def _compared(changes: Changes, t: Sentence) -> str:
    if not changes.others:
        return ""
    base = changes.lineage[0]
    buttons = "".join(
        f'<button type="button" class="d-choice" data-act="since" data-since="{shown(v.id)}"'
        f' aria-pressed="{"true" if v is base else "false"}">'
        f"{shown(t('ui.data.report.since.version', number=v.number))}</button>"
        for v in sorted((base, *changes.others), key=lambda v: v.number)
    )
    return f'<p class="d-choices"><span>{shown(t("ui.data.report.since"))}</span>{buttons}</p>'


def _steps(changes: Changes, t: Sentence) -> str:
    """A line per step, which shows its rows alone when it is pressed."""
    lines = [
        (version, place, step, done)
        for version in changes.lineage[1:]
        if version.recipe and version.report
        for place, (step, done) in enumerate(zip(version.recipe.steps, version.report.steps, strict=True))
    ]
    since, items = changes.lineage[0].id, ""
    for version, place, step, done in lines:
        data = f'data-since="{shown(since)}" data-version="{shown(version.id)}" data-place="{place}"'
        told = f"<span>{shown(step_told(step, t))}</span>{step_done(done, t)}"
        if len(lines) == 1 or not (done.dropped or done.changed or done.added):
            items += f"<li><div>{told}</div></li>"
            continue
        pressed = (version.id, place) == changes.step
        act = "since" if pressed else "step"
        items += (
            f'<li><button type="button" data-act="{act}" {data} aria-pressed="{"true" if pressed else "false"}"'
            f' title="{shown(t("ui.data.report.step.only"))}">{told}</button></li>'
        )
    return f'<ol class="d-by-step">{items}</ol>'


def _rows(changes: Changes, t: Sentence) -> str:
    if not changes.rows:
        return f'<p class="s-muted">{shown(t("ui.data.report.none"))}</p>'
    rows = "".join(_change(row, changes, t) for row in changes.rows)
    title = t("ui.data.report.rows.step" if changes.step else "ui.data.report.rows", count=changes.total)
    return (
        f'<details class="d-diff" open><summary>{shown(title)}</summary>'
        f'<div class="d-changes" tabindex="0">{rows}</div>{_pager(changes, t)}</details>'
    )


def _pager(changes: Changes, t: Sentence) -> str:
    if changes.total <= PAGE_CHANGES:
        return ""
    first, last = changes.offset + 1, changes.offset + len(changes.rows)
    where = t("ui.data.table.where", first=first, last=last, total=changes.total)
    version, place = changes.step or ("", "")
    data = {"since": changes.lineage[0].id, "version": version, "place": place}
    earlier, later = max(0, changes.offset - PAGE_CHANGES), changes.offset + PAGE_CHANGES
    back = act_button("page", t("ui.data.table.back"), enabled=changes.offset > 0, offset=earlier, **data)
    forward = act_button("page", t("ui.data.table.forward"), enabled=last < changes.total, offset=later, **data)
    return f'<div class="d-pager"><span>{shown(where)}</span>{back}{forward}</div>'


def _change(change: RowDiff, changes: Changes, t: Sentence) -> str:
    gone = change.after is None
    known = change.before or change.after
    names = change.columns or (tuple(known.values) if known else ())
    cells = "".join(f"<dt>{shown(shorten(name, 40))}</dt><dd>{_before_after(change, name)}</dd>" for name in names)
    fixes = ", ".join(t(f"fix.{fix}") for fix in change.fixes)
    if gone:
        state, tone = "dropped", "bad"
    elif change.before is None:
        state, tone = "added", "good"
    elif "restore_rows" in change.fixes:
        state, tone = "restored", "good"
    else:
        state, tone = "changed", "accent"
    back = act_button("restore", t("ui.data.report.restore"), since=changes.lineage[0].id, row=change.row_id)
    return (
        f'<div class="d-change"><header>{badge(t(f"ui.data.report.{state}"), tone)}'
        f"<span>{shown(t('ui.data.table.row'))} {change.row_id}</span>"
        f"<span>{shown(fixes)}</span>{back if gone else ''}</header><dl>{cells}</dl></div>"
    )


def _before_after(change: RowDiff, name: str) -> str:
    old = plain(change.before.values.get(name)) if change.before else ""
    if change.after is None:
        before = shorten(old, _DIFF_CHARACTERS)
        return f"<del>{shown(before)}</del>" if before.strip() else f'<span class="d-void">∅ {shown(before)}</span>'
    return word_difference(*around_change(old, plain(change.after.values.get(name)), _DIFF_CHARACTERS))
