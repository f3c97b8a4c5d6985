"""An evaluation for the shell: as values for `--json`, and as text."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from studio.backend.evaluations import Entrant
from studio.backend.report import ExamReport, Judged, Report
from studio.evaluation.intervals import Difference, Interval, sentence, verdict_word
from studio.evaluation.metrics import Metric, perplexity
from studio.evaluation.report import Line
from studio.evaluation.verdict import ExamResult, Verdict, exam_title, group_title, safety_title, shown_figure
from studio.messages import translate
from studio.shell.text_table import printable, text_table

_MARKS = {"bad": "x", "care": "!", "good": "+", "note": "-"}


# As values


def report_values(run: str, step: int | None, report: Report, language: str) -> dict[str, Any]:
    """All figures, in the order of `contestants`."""
    return {
        "run": run,
        "step": step,
        "plan": report.plan.model_dump(mode="json"),
        "data": report.task.title,
        "rows": len(report.rows),
        "skipped": report.task.skipped,
        "cautions": [translate(key, language, **values) for key, values in report.cautions],
        "verdict": None if report.verdict is None else _verdict_values(report.verdict, language),
        "next": [
            {"message": step.message(language), "settings": step.changes, "replay": step.replay}
            for step in report.advice
        ],
        "contestants": [
            {
                "role": entrant.role,
                "name": name,
                "contestant": entrant.contestant.model_dump(mode="json"),
                **taken.evaluation.model_dump(
                    include={
                        "base_name", "base_fingerprint", "adapter_sha256", "rows", "refused", "seconds", "tokens",
                        "prompt_tokens", "first_token_seconds", "tokens_per_second", "model_bytes",
                    }
                ),
            }
            for entrant, name, taken in zip(report.entrants, _names(report, language), report.taken, strict=True)
        ],
        "metrics": [_line_values(line, line.metric.name == report.primary, language) for line in report.lines],
        "judge": None if report.judged is None else _judged_values(report.judged),
        "safety": [_line_values(line, primary=False, language=language) for line in report.safety],
        "exams": [_exam_values(exam, report.entrants[1:], language) for exam in report.exams],
    }  # fmt: skip


def _verdict_values(verdict: Verdict, language: str) -> dict[str, Any]:
    return {
        "decision": verdict.decision,
        "text": translate(f"ui.verdict.{verdict.decision}", language),
        "reasons": [
            {"level": reason.level, "part": reason.part, "key": reason.key, "message": reason.message(language)}
            for reason in verdict.reasons
        ],
    }


def _line_values(line: Line, primary: bool, language: str) -> dict[str, Any]:
    metric = line.metric
    return {
        "name": metric.name,
        "title": metric.title(language),
        "better": metric.better,
        "scale": metric.scale,
        "primary": primary,
        "figures": [asdict(figure) for figure in line.figures],
        "changes": [None if c is None else asdict(c) | {"word": verdict_word(c, metric.better)} for c in line.changes],
    }


def _exam_values(exam: ExamReport, entrants: tuple[Entrant, ...], language: str) -> dict[str, Any]:
    return {
        "exam": exam_title(exam.asked.title, language),
        "results": [
            {
                "role": entrant.role,
                "group": one.group,
                "before": one.before,
                "after": one.after,
                "change": asdict(one.change) | {"word": verdict_word(one.change, "higher")},
            }
            for entrant, results in zip(entrants, exam.results, strict=True)
            for one in results
        ],
    }


def _judged_values(judged: Judged) -> dict[str, Any]:
    """An opinion; `win_rate` is that of the tuned model."""
    found = judged.opinions
    return {
        **judged.judge.model_dump(),
        "rows": judged.rows,
        "base": found.left,
        "tuned": found.right,
        "tie": found.tie,
        "disagreed": found.disagreed,
        "no_answer": found.no_answer,
        "silent": judged.silent,
        "win_rate": None if found.win_rate is None else asdict(found.win_rate),
    }


# As text


def report_text(report: Report, language: str) -> str:
    """The verdict, what it rests on, what to try next, and every figure with its interval in plain words."""
    parts = [
        *_verdict_text(report, language),
        _task_text(report, language),
        *([_safety_text(report, language)] if report.safety else []),
        *(_exam_text(exam, report, language) for exam in report.exams),
        *([_judged_text(report.judged, language)] if report.judged else []),
        _cost_text(report, language),
    ]
    return printable("\n\n".join(parts))


def _verdict_text(report: Report, language: str) -> Iterator[str]:
    if report.verdict is None:
        return
    reasons = [f"  {_MARKS[reason.level]} {reason.message(language)}" for reason in report.verdict.reasons]
    yield "\n".join([translate(f"ui.verdict.{report.verdict.decision}", language), *reasons])
    if report.advice:
        steps = [f"  {place}. {step.message(language)}" for place, step in enumerate(report.advice, 1)]
        yield "\n".join([translate("ui.evaluate.next", language), *steps])


def _task_text(report: Report, language: str) -> str:
    notes = [translate("ui.evaluate.task.rows", language, rows=len(report.rows), data=report.task.title)]
    if report.task.skipped:
        notes.append(translate("ui.evaluate.task.skipped", language, rows=report.task.skipped))
    notes += [translate(key, language, **values) for key, values in report.cautions]
    refused = [why for one in report.taken for why in one.refused.values()]
    if refused:
        key, values = refused[0]
        told = translate("ui.evaluate.task.refused", language, count=len(refused))
        notes.append(f"{told} {translate(key, language, **values)}")
    head = [translate("ui.evaluate.metric", language), *_names(report, language)]
    lines = [_line_cells(line, line.metric.name == report.primary, language) for line in report.lines]
    return "\n".join([*notes, text_table([head, *lines])])


def _line_cells(line: Line, primary: bool, language: str) -> list[str]:
    metric = line.metric
    mark = f" ({translate('ui.evaluate.primary', language)})" if primary else ""
    cells = [
        " ".join([_figure(figure, metric, language), *_word(change, metric.better, language)])
        for figure, change in zip(line.figures, line.changes, strict=True)
    ]
    return [metric.title(language) + mark, *cells]


def _figure(figure: Interval, metric: Metric, language: str) -> str:
    value, low, high = (shown_figure(part, metric) for part in (figure.value, figure.low, figure.high))
    if metric.name != "loss":
        return f"{value} ({low}–{high})"
    told = translate("ui.evaluate.perplexity", language, value=f"{perplexity(figure.value):.3g}")
    return f"{value} ({low}–{high}, {told})"


def _word(change: Difference | None, better: Any, language: str) -> list[str]:
    """The plain words; none of the first contestant, and of a metric that knows no better."""
    if change is None or better == "neither":
        return []
    key, values = sentence(change, better)
    return [translate(key, language, **values)]


def _exam_text(exam: ExamReport, report: Report, language: str) -> str:
    title = f"{translate('ui.evaluate.exams', language)}: {exam_title(exam.asked.title, language)}"
    head = [translate("ui.evaluate.exam.group", language), *_names(report, language)]
    lines = []
    for place, first in enumerate(exam.results[0]):
        questions = translate("ui.evaluate.exam.questions", language, count=first.change.rows)
        name = f"{group_title(first.group, language)} ({questions})"
        tuned = [_exam_cell(of[place], language) if of else "-" for of in exam.results]
        lines.append([name, f"{first.before:.1%}", *tuned])
    return "\n".join([title, text_table([head, *lines])])


def _exam_cell(result: ExamResult, language: str) -> str:
    return " ".join([f"{result.after:.1%}", *_word(result.change, "higher", language)])


def _safety_text(report: Report, language: str) -> str:
    head = [translate("ui.evaluate.safety", language), *_names(report, language)]
    lines = [
        [safety_title(line.metric, language), *_line_cells(line, primary=False, language=language)[1:]]
        for line in report.safety
    ]
    return text_table([head, *lines])


def _judged_text(judged: Judged, language: str) -> str:
    title, about = (translate(f"ui.evaluate.judged{end}", language, judge=judged.judge.model) for end in ("", ".about"))
    lines = [
        [translate(f"ui.evaluate.judged.{key}", language, **values), figure] for key, values, figure in judged.lines()
    ]
    return "\n".join([title, about, text_table(lines)])


def _cost_text(report: Report, language: str) -> str:
    made = [one.evaluation for one in report.taken]
    cells = {
        "prompt": [f"{one.prompt_tokens / max(1, one.rows):,.1f}" for one in made],
        "answer": [f"{one.tokens / max(1, one.rows):,.1f}" for one in made],
        "first": [
            "-" if one.first_token_seconds is None else f"{one.first_token_seconds * 1000:,.0f} ms" for one in made
        ],
        "speed": ["-" if one.tokens_per_second is None else f"{one.tokens_per_second:,.0f}" for one in made],
        "batch": [f"{one.seconds:,.1f} s" for one in made],
        "size": [f"{one.model_bytes / 1e6:,.1f} MB" for one in made],
    }
    lines = [[translate(f"ui.evaluate.cost.{key}", language), *values] for key, values in cells.items()]
    title = translate("ui.evaluate.cost", language)
    return "\n".join([title, text_table([["", *_names(report, language)], *lines])])


def _names(report: Report, language: str) -> list[str]:
    return [entrant.title(language) for entrant in report.entrants]
