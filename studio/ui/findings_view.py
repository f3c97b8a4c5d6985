"""Findings as HTML. Pure; every text of the data passes `shown`."""

from collections.abc import Sequence

from studio.data.checks import Finding
from studio.data.formats import Mapping
from studio.data.recipe import FIXES
from studio.data.tables import Row
from studio.ui.markup import Sentence, act_button, badge, plain, shorten, shown


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
