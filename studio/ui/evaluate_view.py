"""An evaluation as HTML: the verdict, every figure with its interval, the rows. Pure."""

import json
from collections.abc import Sequence

from studio.backend.difference import difference
from studio.backend.evaluations import Entrant
from studio.backend.report import ExamReport, Report, RowResult
from studio.evaluation.advice import Step
from studio.evaluation.classes import Confusion
from studio.evaluation.intervals import Difference, Interval, sentence, verdict_word
from studio.evaluation.metrics import Metric, perplexity
from studio.evaluation.report import Line
from studio.evaluation.verdict import Level, Verdict, VerdictRules, exam_title, group_title, safety_title, shown_figure
from studio.ui.judge_view import judged_html
from studio.ui.markup import Sentence, act_button, badge, shorten, shown
from studio.ui.run_view import size

ROWS = 10
"""Rows shown at a time."""
ORDERS = ("worse", "better", "row")
_TONES = {"deploy": "good", "care": "warn", "no": "bad"}
_MARKS: dict[Level, str] = {"bad": "✕", "care": "!", "good": "✓", "note": "·"}
_CHARACTERS = 1_500
_WORDS = {"better": "good", "worse": "bad", "unclear": "plain"}


def verdict_html(report: Report, writable: bool, language: str, t: Sentence) -> str:
    """The decision, what it rests on, and what to try next."""
    verdict = report.verdict
    if verdict is None:
        return ""
    reasons = "".join(
        f'<li class="ev-{reason.level}"><i aria-hidden="true">{_MARKS[reason.level]}</i>'
        f'<a href="#ev-{reason.part}" data-act="none" data-show="#ev-{reason.part}">'
        f"{shown(reason.message(language))}</a></li>"
        for reason in verdict.reasons
    )
    steps = "".join(f"<li>{_step(step, writable, language, t)}</li>" for step in report.advice)
    following = f'<h3 class="s-h3">{shown(t("ui.evaluate.next"))}</h3><ol class="ev-next">{steps}</ol>' if steps else ""
    return (
        f'<section class="s-card ev-verdict ev-{_TONES[verdict.decision]}" role="status">'
        f'<h2 class="ev-decision">{shown(t(f"ui.verdict.{verdict.decision}"))}</h2>'
        f'<ul class="ev-reasons">{reasons}</ul>{following}'
        f'<details class="ev-rule"><summary>{shown(t("ui.evaluate.rule"))}</summary>{_rule(verdict, t)}</details>'
        "</section>"
    )


def _step(step: Step, writable: bool, language: str, t: Sentence) -> str:
    text = shown(step.message(language))
    if not writable:
        return text
    data = json.dumps(step.changes)
    if step.replay:
        button = act_button("replay", t("ui.evaluate.replay"), "s-small", settings=data, share=step.replay)
        return f"{text} {button}"
    if step.changes:
        return f"{text} {act_button('change', t('ui.evaluate.again'), 's-small', settings=data, step=0)}"
    return text


def _rule(verdict: Verdict, t: Sentence) -> str:
    rules: VerdictRules = verdict.rules
    values = {name: f"{value:.0%}" if isinstance(value, float) else value for name, value in rules.model_dump().items()}
    return "".join(f"<p>{shown(line)}</p>" for line in t("ui.evaluate.rule.text", **values).split("\n"))


def results_html(report: Report, names: Sequence[str], language: str, t: Sentence) -> str:
    """The figures of the task, what was forgotten, and what an answer costs."""
    return (
        _task_section(report, names, language, t)
        + _safety_section(report, names, language, t)
        + "".join(_exam_section(exam, names, language, t) for exam in report.exams)
        + (judged_html(report.judged, t) if report.judged else "")
        + _cost_section(report, names, t)
    )


def entrant_names(entrants: Sequence[Entrant], language: str) -> list[str]:
    """What each is called in the head of a table."""
    return [shorten(one.title(language), 40) for one in entrants]


def _task_section(report: Report, names: Sequence[str], language: str, t: Sentence) -> str:
    lines = "".join(_line(line, line.metric.name == report.primary, language, t) for line in report.lines)
    notes = [t("ui.evaluate.task.rows", rows=len(report.rows), data=report.task.title)]
    refused = sum(len(one.refused) for one in report.taken)
    if report.task.skipped:
        notes.append(t("ui.evaluate.task.skipped", rows=report.task.skipped))
    if refused:
        key, values = next(iter(report.taken[0].refused.values()), ("", {}))
        notes.append(t("ui.evaluate.task.refused", count=refused))
        if key:
            notes.append(t(key, **values))
    if report.missing:
        notes.append(t("ui.evaluate.task.missing", count=report.missing))
    about = "".join(f'<p class="s-muted">{shown(note)}</p>' for note in notes)
    about += "".join(f'<p class="ev-caution" role="alert">{shown(t(key, **v))}</p>' for key, v in report.cautions)
    return (
        f'<section class="s-card" id="ev-task"><h3 class="s-h2">{shown(t("ui.evaluate.task"))}</h3>{about}'
        f"{_table([t('ui.evaluate.metric'), *names], lines)}"
        f"{''.join(_confusion(c, name, t) for c, name in zip(report.confusions, names, strict=False))}</section>"
    )


def _safety_section(report: Report, names: Sequence[str], language: str, t: Sentence) -> str:
    if not report.safety:
        return ""
    lines = "".join(
        _line(one, primary=False, language=language, t=t, title=safety_title(one.metric, language))
        for one in report.safety
    )
    return (
        f'<section class="s-card" id="ev-safety"><h3 class="s-h2">{shown(t("ui.evaluate.safety"))}</h3>'
        f'<p class="s-muted">{shown(t("ui.evaluate.safety.about"))}</p>'
        f"{_table([t('ui.evaluate.metric'), *names], lines)}</section>"
    )


def _line(line: Line, primary: bool, language: str, t: Sentence, title: str = "") -> str:
    metric = line.metric
    mark = f" {badge(t('ui.evaluate.primary'), 'accent')}" if primary else ""
    name = f'<span title="{shown(metric.help(language))}">{shown(title or metric.title(language))}</span>'
    cells = (
        f"<td>{_figure(figure, metric)}{_perplexity(metric, figure, t)}{_change(change, metric, language, t)}</td>"
        for figure, change in zip(line.figures, line.changes, strict=True)
    )
    return f'<tr><th scope="row">{name}{mark}</th>{"".join(cells)}</tr>'


def _figure(figure: Interval, metric: Metric) -> str:
    low, high = shown_figure(figure.low, metric), shown_figure(figure.high, metric)
    return f'<b>{shown_figure(figure.value, metric)}</b> <small class="ev-interval">{low}–{high}</small>'


def _perplexity(metric: Metric, figure: Interval, t: Sentence) -> str:
    if metric.name != "loss":
        return ""
    told = t("ui.evaluate.perplexity", value=f"{perplexity(figure.value):.3g}")
    return f'<small class="ev-interval ev-word">{shown(told)}</small>'


def _change(change: Difference | None, metric: Metric, language: str, t: Sentence) -> str:
    """The plain words, and by how much with its interval on being pointed at."""
    if change is None or metric.better == "neither":
        return ""
    key, values = sentence(change, metric.better)
    low, high = (shown_figure(end, metric) for end in (change.low, change.high))
    told = t("ui.evaluate.change", value=shown_figure(change.value, metric), low=low, high=high, p=f"{change.p:.2g}")
    word = verdict_word(change, metric.better)
    return f'<span class="ev-word" title="{shown(told)}">{badge(t(key, **values), _WORDS[word])}</span>'


def _exam_section(exam: ExamReport, names: Sequence[str], language: str, t: Sentence) -> str:
    title = exam_title(exam.asked.title, language)
    groups = [result.group for result in exam.results[0]]
    lines = ""
    for place, group in enumerate(groups):
        first = exam.results[0][place]
        cells = [f"<td><b>{first.before:.1%}</b></td>"]
        for results in exam.results:
            if not results:
                cells.append("<td>–</td>")
                continue
            found = results[place]
            word = verdict_word(found.change, "higher")
            key, values = sentence(found.change, "higher")
            told = t("ui.evaluate.change", value=f"{found.change.value:+.1%}", low=f"{found.change.low:+.1%}",
                     high=f"{found.change.high:+.1%}", p=f"{found.change.p:.2g}")  # fmt: skip
            cells.append(
                f'<td><b>{found.after:.1%}</b><span class="ev-word" title="{shown(told)}">'
                f"{badge(t(key, **values), _WORDS[word])}</span></td>"
            )
        name = group_title(group, language)
        lines += (
            f'<tr><th scope="row">{shown(name)} <small class="ev-interval">'
            f"{shown(t('ui.evaluate.exam.questions', count=first.change.rows))}</small></th>{''.join(cells)}</tr>"
        )
    return (
        f'<section class="s-card" id="ev-exams"><h3 class="s-h2">{shown(t("ui.evaluate.exams"))}: {shown(title)}</h3>'
        f'<p class="s-muted">{shown(t("ui.evaluate.exam.about"))}</p>'
        f"{_table([t('ui.evaluate.exam.group'), *names], lines)}</section>"
    )


def _cost_section(report: Report, names: Sequence[str], t: Sentence) -> str:
    def row(key: str, values: Sequence[str]) -> str:
        cells = "".join(f"<td>{shown(value)}</td>" for value in values)
        return f'<tr><th scope="row">{shown(t(f"ui.evaluate.cost.{key}"))}</th>{cells}</tr>'

    made = [one.evaluation for one in report.taken]
    rows = max(1, len(report.rows))
    lines = "".join(
        (
            row("prompt", [f"{one.prompt_tokens / max(1, one.rows):,.1f}" for one in made]),
            row("answer", [f"{one.tokens / max(1, one.rows):,.1f}" for one in made]),
            row("first", ["–" if one.first_token_seconds is None else f"{one.first_token_seconds * 1000:,.0f} ms"
                          for one in made]),
            row("speed", ["–" if one.tokens_per_second is None else f"{one.tokens_per_second:,.0f}" for one in made]),
            row("batch", [f"{one.seconds:,.1f} s" for one in made]),
            row("size", [size(one.model_bytes) for one in made]),
        )
    )  # fmt: skip
    return (
        f'<section class="s-card" id="ev-prompt"><h3 class="s-h2">{shown(t("ui.evaluate.cost"))}</h3>'
        f'<p class="s-muted">{shown(t("ui.evaluate.cost.about", rows=rows))}</p>{_table(["", *names], lines)}</section>'
    )


def _confusion(found: Confusion, name: str, t: Sentence) -> str:
    columns = [*found.labels, t("ui.evaluate.confusion.none")]
    lines = "".join(
        f'<tr><th scope="row">{shown(shorten(label, 40))}</th>'
        + "".join(
            f'<td class="{"ev-hit" if i == j else "ev-miss" if count else ""}">{count}</td>'
            for j, count in enumerate(row)
        )
        + "</tr>"
        for i, (label, row) in enumerate(zip(found.labels, found.counts, strict=True))
    )
    head = [t("ui.evaluate.confusion.head"), *(shorten(label, 40) for label in columns)]
    return (
        f'<details class="ev-confusion"><summary>{shown(t("ui.evaluate.confusion", name=name))}</summary>'
        f"{_table(head, lines)}</details>"
    )


def _table(head: Sequence[str], lines: str) -> str:
    cells = "".join(f'<th scope="col">{shown(cell)}</th>' for cell in head)
    return (
        f'<div class="d-grid-scroll"><table class="ev-table"><thead><tr>{cells}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


# Rows


def ordered(rows: Sequence[RowResult], order: str) -> list[RowResult]:
    """Those that got worse first, or better first, or as they stand in the data."""
    if order == "row":
        return list(rows)
    return sorted(rows, key=lambda row: row.change if order == "worse" else -row.change)


def rows_html(report: Report, names: Sequence[str], order: str, page: int, language: str, t: Sentence) -> str:
    """So many rows of one page, the answers beside what was expected; what differs from it is coloured."""
    rows, metric = ordered(report.rows, order), next(x for x in report.lines if x.metric.name == report.primary).metric
    pages = max(1, -(-len(rows) // ROWS))
    page = min(max(0, page), pages - 1)
    some = rows[page * ROWS : (page + 1) * ROWS]
    buttons = "".join(
        act_button("order", t(f"ui.evaluate.order.{one}"), "s-small" + ("" if one == order else " s-quiet"), order=one)
        for one in ORDERS
    )
    body = "".join(_row(row, metric, names, t) for row in some)
    turn = (
        act_button("page", "‹", "s-small", page > 0, page=page - 1)
        + f'<span class="s-muted">{shown(t("ui.evaluate.page", page=page + 1, pages=pages))}</span>'
        + act_button("page", "›", "s-small", page < pages - 1, page=page + 1)
    )
    return (
        f'<section class="s-card" id="ev-rows"><h3 class="s-h2">{shown(t("ui.evaluate.rows"))}</h3>'
        f'<p class="s-muted">{shown(t("ui.evaluate.rows.about", metric=metric.title(language)))}</p>'
        f'<div class="s-row">{buttons}</div>{body}<div class="s-row ev-turn">{turn}</div></section>'
    )


def _row(row: RowResult, metric: Metric, names: Sequence[str], t: Sentence) -> str:
    tone = "good" if row.change > 0 else "bad" if row.change < 0 else "plain"
    sign = "+" if row.change > 0 else ""
    change = f"{sign}{shown_figure(row.change, metric)}"
    answers = "".join(
        _answer(shown(name) + _value(value, metric), _coloured(text, row.expected))
        for name, text, value in zip(names, row.answers, row.values, strict=True)
    )
    expected = _answer(shown(t("ui.evaluate.expected")), _text(row.expected))
    return (
        f'<article class="ev-row"><header><span class="ev-prompt">{_text(row.prompt)}</span>'
        f'<span class="s-muted">{shown(t("ui.evaluate.row", row=row.row))}</span>{badge(change, tone)}</header>'
        f'<div class="ev-answers">{answers}{expected}</div></article>'
    )


def _answer(head: str, text: str) -> str:
    return f'<div class="ev-answer"><h4>{head}</h4><p>{text}</p></div>'


def _value(value: float | None, metric: Metric) -> str:
    return "" if value is None else f" <small>{shown_figure(value, metric)}</small>"


def _text(text: str) -> str:
    return shown(shorten(text, _CHARACTERS))


def _coloured(answer: str, expected: str) -> str:
    """The answer, what is not expected marked."""
    spans, _ = difference(shorten(answer, _CHARACTERS), shorten(expected, _CHARACTERS))
    return "".join(f"<mark>{shown(span.text)}</mark>" if span.changed else shown(span.text) for span in spans)
