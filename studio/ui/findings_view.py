"""Findings, and what their fixes did to each row, as HTML. Pure; every text of the data passes `shown`."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from studio.backend.datasets import RowDiff, Version
from studio.data.checks import Finding
from studio.data.cleaning import StepReport
from studio.data.formats import Mapping
from studio.data.recipe import FIXES
from studio.data.tables import Row
from studio.ui.markup import Sentence, act_button, badge, plain, shorten, shown

SHOWN_CHANGES = 50
_DIFF_CHARACTERS = 1_500
_WORDS = re.compile(r"[A-Za-z0-9]+|\s+|.", re.DOTALL)


def findings_list(found: Sequence[Finding], examples: dict[int, Row], mapping: Mapping, t: Sentence) -> str:
    """Each finding with its count, why it matters, rows that show it, and its fix; worst first."""
    title = f'<h2 class="s-h2">{shown(t("ui.data.findings.title"))}</h2>'
    if not found:
        good = f'<p class="s-muted">{shown(t("ui.data.findings.none"))}</p>'
        return f'<section class="s-card"><div class="s-row">{title}{badge("✓", "good")}</div>{good}</section>'
    fixes = [fix for fix in FIXES if any(finding.fix == fix for finding in found)]
    every = act_button("fix", t("ui.data.findings.fix_all"), "s-main", fixes=",".join(fixes)) if len(fixes) > 1 else ""
    items = "".join(_finding(finding, examples, mapping, t) for finding in found)
    return (
        f'<section class="s-card"><div class="s-row d-between"><div>{title}'
        f'<p class="s-muted">{shown(t("ui.data.findings.text"))}</p></div>{every}</div>'
        f'<div class="d-findings">{items}</div></section>'
    )


def _finding(finding: Finding, examples: dict[int, Row], mapping: Mapping, t: Sentence) -> str:
    tone = {"error": "bad", "warning": "warn", "info": "plain"}[finding.severity]
    rows = "".join(
        f'<li><button type="button" data-act="row" data-row="{row_id}"><span class="d-rowno">'
        f"{shown(t('ui.data.table.row'))} {row_id}</span>"
        f'<span class="d-snippet">{shown(_snippet(examples[row_id], mapping))}</span></button></li>'
        for row_id in finding.examples
        if row_id in examples
    )
    fix = act_button("fix", t(f"fix.{finding.fix}"), fixes=finding.fix) if finding.fix else ""
    why = t(f"ui.data.why.{finding.key.removeprefix('finding.')}")
    return (
        f'<details class="d-finding"><summary><span class="s-badge s-{tone} d-count">{finding.count:,}</span>'
        f'<span class="d-what">{shown(t(finding.key, **finding.values))}</span>{fix}</summary>'
        f'<div class="d-body">{shown(why)}<ul class="d-examples">{rows}</ul></div></details>'
    )


def _snippet(row: Row, mapping: Mapping) -> str:
    return shorten(" | ".join(plain(row.values.get(name)) for name in mapping.columns), 140)


def waiting(t: Sentence) -> str:
    """Stands where the findings will be while the rows are counted."""
    return f'<section class="s-card"><p class="s-muted d-waiting">{shown(t("ui.data.findings.waiting"))}</p></section>'


def trouble(message: str) -> str:
    """An error that belongs to this place of the page."""
    return f'<p class="d-error">{shown(message)}</p>'


# A version made by fixes


def version_report(version: Version, changes: Sequence[RowDiff], total: int, t: Sentence) -> str:
    """What the fixes did to the version before, and its rows. Empty for a first version. `total`: all rows changed."""
    if version.report is None or version.parent is None:
        return ""
    lines = "".join(f"<li>{shown(_step_told(step, t))}</li>" for step in version.report.steps)
    before, after = version.report.rows_before, version.report.rows_after
    head = t("ui.data.report.title", number=version.number, before=before, after=after)
    back = act_button("version", t("ui.data.report.back"), version=version.parent)
    rows = "".join(_change(change, t) for change in changes)
    more = total - len(changes)
    rest = f'<p class="s-muted">{shown(t("ui.data.report.more", count=more))}</p>' if more > 0 else ""
    details = (
        f'<details class="d-diff" open><summary>{shown(t("ui.data.report.rows", count=total))}</summary>'
        f'<div class="d-changes" tabindex="0">{rows}{rest}</div></details>'
        if changes
        else ""
    )
    return (
        f'<section class="s-card"><div class="s-row d-between"><h2 class="s-h2">{shown(head)}</h2>{back}</div>'
        f'<ul class="d-steps">{lines}</ul>{details}</section>'
    )


def _step_told(step: StepReport, t: Sentence) -> str:
    label = t(f"fix.{step.fix}")
    if step.added:
        return t("ui.data.report.step.added", fix=label, added=step.added)
    return t("ui.data.report.step", fix=label, dropped=step.dropped, changed=step.changed)


def _change(change: RowDiff, t: Sentence) -> str:
    gone = change.after is None
    names = change.columns or tuple(change.before.values if change.before else ())
    cells = "".join(f"<dt>{shown(shorten(name, 40))}</dt><dd>{_before_after(change, name)}</dd>" for name in names)
    fixes = ", ".join(t(f"fix.{fix}") for fix in change.fixes)
    if change.before is None:
        action = badge(t("ui.data.report.added"), "good")
    else:
        action = badge(t("ui.data.report.dropped"), "bad") if gone else badge(t("ui.data.report.changed"), "good")
    return (
        f'<div class="d-change"><header>{action}<span>{shown(t("ui.data.table.row"))} {change.row_id}</span>'
        f"<span>{shown(fixes)}</span></header><dl>{cells}</dl></div>"
    )


def _before_after(change: RowDiff, name: str) -> str:
    before = shorten(plain(change.before.values.get(name)), _DIFF_CHARACTERS) if change.before else ""
    if change.after is None:
        return f"<del>{shown(before)}</del>" if before.strip() else f'<span class="d-void">∅ {shown(before)}</span>'
    return word_difference(before, shorten(plain(change.after.values.get(name)), _DIFF_CHARACTERS))


def word_difference(before: str, after: str) -> str:
    """One text with what went struck out and what came marked; by words, and by characters where there are none."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    parts = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        went, came = shown("".join(old[a:b])), shown("".join(new[c:d]))
        if kind == "equal":
            parts.append(came)
        else:
            parts.append((f"<del>{went}</del>" if went else "") + (f"<ins>{came}</ins>" if came else ""))
    return "".join(parts)
