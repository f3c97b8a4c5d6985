"""Findings as HTML. Pure; every text of the data passes `shown`."""

from collections.abc import Sequence
from typing import Any

from studio.data.checks import Finding, Severity
from studio.data.explore import FindingRows
from studio.data.formats import Mapping
from studio.data.readiness import Readiness
from studio.data.recipe import FIXES
from studio.data.tables import Row
from studio.ui.markup import Sentence, act_button, badge, headline, plain, said, shorten, shown

_SHOWN_EXAMPLES = 5


def findings_list(
    found: Sequence[Finding],
    off: Sequence[Finding],
    ready: Readiness,
    examples: dict[int, Row],
    mapping: Mapping,
    t: Sentence,
    language: str,
) -> str:
    """Whether the rows are ready, then each finding with its count, why it matters, rows that show it, and its fix;
    worst first. `off`: those turned off, folded at the end."""
    fixes = [fix for fix in FIXES if any(finding.fix == fix for finding in found)]
    every = act_button("fix", t("ui.data.findings.fix_all"), "s-main", fixes=",".join(fixes)) if len(fixes) > 1 else ""
    items = "".join(_finding(finding, examples, mapping, t, language) for finding in found)
    text = t("ui.data.findings.text") if found else t("ui.data.findings.none")
    title = headline(t("ui.data.findings.title"), text)
    listed = f'<div class="d-findings">{items}</div>' if found else ""
    return (
        f'<section class="s-card d-findings-card">{_ready(ready, t, language)}'
        f'<div class="s-row d-between"><div>{title}</div>{every}</div>{_severities(found, t)}{listed}'
        f"{_turned_off(off, t)}{_exports(found, t)}</section>"
    )


_TONES = {"ready": "good", "look": "warn", "fix": "bad", "empty": "bad"}
_SEVERITIES: tuple[tuple[Severity, str], ...] = (("error", "bad"), ("warning", "warn"), ("info", "plain"))


def _ready(ready: Readiness, t: Sentence, language: str) -> str:
    """The sentence, and rows without and with findings side by side."""
    parts = (("clean", ready.clean), ("warnings", ready.with_warnings), ("errors", ready.with_errors))
    total = max(1, ready.rows)
    bar = "".join(f'<i class="d-{name}" style="width:{100 * rows / total:.2f}%"></i>' for name, rows in parts if rows)
    legend = "".join(
        f'<li><i class="d-{name}"></i><b>{rows:,}</b> {shown(t(f"ui.data.ready.{name}"))}</li>' for name, rows in parts
    )
    tone = _TONES[ready.state]
    return (
        f'<div class="d-ready">{badge(t(f"ui.data.ready.{ready.state}"), tone)}<p>{shown(ready.message(language))}</p>'
        f'<div class="d-rows-bar" aria-hidden="true">{bar}</div><ul>{legend}</ul></div>'
    )


def _severities(found: Sequence[Finding], t: Sentence) -> str:
    """One of a few to choose; which findings it hides is the style sheet's doing, so that it takes no time."""
    counts = {name: sum(finding.severity == name for finding in found) for name, _ in _SEVERITIES}
    kinds = [name for name, count in counts.items() if count]
    if len(kinds) < 2:
        return ""
    choices = "".join(
        f'<label><input type="radio" name="d-severity" value="{kind}"{" checked" if kind == "all" else ""}>'
        f"<span>{shown(t(f'ui.data.severity.{kind}'))} <b>{counts.get(kind, len(found))}</b></span></label>"
        for kind in ("all", *kinds)
    )
    return f'<div class="d-severity" role="radiogroup" aria-label="{shown(t("ui.data.severity"))}">{choices}</div>'


def _finding(finding: Finding, examples: dict[int, Row], mapping: Mapping, t: Sentence, language: str) -> str:
    """On a narrow page a closed one is told by its name alone; the count stands beside it."""
    tone = dict(_SEVERITIES)[finding.severity]
    name = finding.key.removeprefix("finding.")
    rows = "".join(
        f'<li><button type="button" data-act="row" data-row="{row_id}" data-show="#data-table"><span class="d-rowno">'
        f"{shown(t('ui.data.table.row'))} {row_id}</span>"
        f'<span class="d-snippet">{shown(_snippet(examples[row_id], mapping))}</span></button></li>'
        for row_id in finding.examples[:_SHOWN_EXAMPLES]
        if row_id in examples
    )
    fix = act_button("fix", t(f"fix.{finding.fix}"), fixes=finding.fix) if finding.fix else ""
    where = FindingRows(finding=name).model_dump_json()
    told = t("ui.data.findings.rows", count=finding.count)
    turn_off = act_button("off", t("ui.data.findings.off"), "s-quiet", name=name)
    return (
        f'<details class="d-finding" data-severity="{finding.severity}"><summary>'
        f'<span class="s-badge s-{tone} d-count">{finding.count:,}</span>'
        f'<span class="d-brief">{shown(t(f"ui.data.finding.{name}"))}</span>'
        f'<span class="d-what">{said(finding.message(language))}</span>{fix}</summary>'
        f'<div class="d-body"><p>{shown(t(f"ui.data.why.{name}"))}</p><ul class="d-examples">{rows}</ul>'
        f'<div class="d-actions">{act_button("where", told, where=where, show="#data-table")}'
        f"{_export(finding.key, t)}{turn_off}</div></div></details>"
    )


def _export(keys: str, t: Sentence) -> str:
    return "".join(
        act_button("export", t(f"ui.data.findings.export.{form}"), "s-quiet", keys=keys, form=form)
        for form in ("csv", "jsonl")
    )


def _exports(found: Sequence[Finding], t: Sentence) -> str:
    if not found:
        return ""
    return f'<p class="d-export"><span>{shown(t("ui.data.findings.export"))}</span>{_export("", t)}</p>'


def _turned_off(off: Sequence[Finding], t: Sentence) -> str:
    names = dict.fromkeys(finding.key.removeprefix("finding.") for finding in off)
    if not names:
        return ""
    items = "".join(
        f"<li><span>{shown(t(f'ui.data.finding.{name}'))}</span>"
        f"{act_button('on', t('ui.data.findings.on'), 's-quiet', name=name)}</li>"
        for name in names
    )
    title = shown(t("ui.data.findings.turned_off", count=len(names)))
    return f'<details class="d-off"><summary>{title}</summary><ul>{items}</ul></details>'


def _snippet(row: Row, mapping: Mapping) -> str:
    return shorten(" | ".join(_said(row.values.get(name), name, mapping) for name in mapping.columns), 140)


def _said(value: Any, name: str, mapping: Mapping) -> str:
    """A cell as text; of a conversation, what was said."""
    if name != mapping.turns or not isinstance(value, list):
        return plain(value)
    return " | ".join(plain(turn.get(mapping.content_key)) for turn in value if isinstance(turn, dict))


# The checks under way


def scan_running(share: float, rows: int, t: Sentence) -> str:
    """How far the checks are, and a button that stops them."""
    return _running(share, t("ui.data.scan.running", rows=rows), t("ui.data.scan.stop"))


def fix_running(share: float, t: Sentence) -> str:
    """How far a fix is, and a button that stops it."""
    return _running(share, t("ui.data.findings.fixing"), t("ui.data.findings.fixing.stop"))


def _running(share: float, told: str, stop: str) -> str:
    percent = f"{100 * share:.0f}"
    return (
        f'<div class="d-scan"><span>{shown(told)}</span><div class="d-progress" role="progressbar" aria-valuemin="0"'
        f' aria-valuemax="100" aria-valuenow="{percent}" aria-label="{shown(told)}"><i style="width:{percent}%"></i>'
        f"</div><b>{percent} %</b>{act_button('stop', stop)}</div>"
    )


def scan_stopped(t: Sentence, problem: str = "") -> str:
    """The rows are not checked, because somebody stopped it or of a problem; a button that checks them now."""
    told = f'<p class="d-error">{said(problem)}</p>' if problem else f"<span>{shown(t('ui.data.scan.stopped'))}</span>"
    return f'<div class="d-scan">{told}{act_button("check", t("ui.data.scan.check"))}</div>'


def trouble(message: str) -> str:
    """An error that belongs to this place of the page."""
    return f'<p class="d-error">{said(message)}</p>'
