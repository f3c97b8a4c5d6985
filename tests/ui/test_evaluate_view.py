"""The evaluation as HTML: what matters is there, in words, and no text of others is markup."""

import re
from typing import Any

import pytest

from studio.backend.evaluations import Entrant, Taken
from studio.backend.question_sets import QuestionSet
from studio.backend.report import ExamReport, Judged, Report, RowResult
from studio.data.records import Message
from studio.evaluation.advice import advise
from studio.evaluation.exams import Exam, ExamQuestion
from studio.evaluation.judge import Opinion, Outcome, summary
from studio.evaluation.metrics import make_metrics
from studio.evaluation.plan import EvaluationPlan, JudgeSpec
from studio.evaluation.questions import Answer, Question
from studio.evaluation.report import exam_results, fit, line
from studio.evaluation.verdict import Evidence, VerdictRules, decide
from studio.messages import translate
from studio.runs.contestants import Contestant
from studio.runs.evaluations import Evaluation
from studio.runs.spec import ModelSpec, RunSpec
from studio.ui.evaluate_view import entrant_names, ordered, results_html, rows_html, verdict_html
from studio.ui.judge_view import judged_html

EVIL = "<script>alert(1)</script>"


def t(key: str, **values: Any) -> str:
    return translate(key, "en", **values)


def judged() -> Judged:
    """Of 10 rows: one without a usable word, one without a reply."""
    outcomes: list[Outcome] = ["right", "right", "right", "right", "right", "left", "tie", "tie", "no_answer"]
    opinions = [Opinion(row, one, ("A", "A") if one == "tie" else (None, None)) for row, one in enumerate(outcomes)]
    return Judged(JudgeSpec(model=EVIL, address="http://localhost:1"), 10, summary(opinions), 1)


def report(rows: int = 40, *, forgets: bool = True) -> Report:
    """Of a model that learned the task, and forgot."""
    questions = [
        Question(i, (Message("user", f"What is {i}? {EVIL}"),), Message("assistant", f"It is {i}. {EVIL}"))
        for i in range(rows)
    ]
    before = {q.row: Answer("I do not know.", 4, True, 3.0, 5) for q in questions}
    after = {q.row: Answer(q.text if q.row else "No.", 4, True, 0.1, 5) for q in questions}
    asked = tuple(ExamQuestion(Question(i, (Message("user", "?"),), Message("assistant", "yes")), "yes", "en")
                  for i in range(100))  # fmt: skip
    exam = Exam("starter", asked)
    known = {i: Answer("yes", 1, True) for i in range(100)}
    now = {i: Answer("no" if forgets and i % 2 else "yes", 1, True) for i in range(100)}
    results = exam_results(exam, known, now)
    metrics = make_metrics(("exact", "loss"), questions)
    lines = tuple(found for metric in metrics if (found := line(metric, questions, [before, after])))
    evidence = Evidence(rows, lines[0].measured(0, 1), fit(metrics[0], questions, after), results)
    verdict = decide(evidence, VerdictRules())
    entrants = (
        Entrant("base", Contestant(base=ModelSpec())),
        Entrant("tuned", Contestant(base=ModelSpec(), run="a")),
    )
    taken = tuple(
        Taken(Evaluation(id="x", contestant=one.contestant, questions="q", base_name="starter", base_fingerprint="f",
                         rows=rows, seconds=1, tokens=100, prompt_tokens=400, model_bytes=14_000_000), answers)
        for one, answers in zip(entrants, (before, after), strict=True)
    )  # fmt: skip
    found = tuple(
        RowResult(q.row, q.prompt[-1].text, q.text, (before[q.row].text, after[q.row].text), (0.0, float(q.row > 0)),
                  float(q.row > 0))
        for q in questions
    )  # fmt: skip
    return Report(
        plan=EvaluationPlan(),
        entrants=entrants,
        missing=0,
        task=QuestionSet("q", EVIL, tuple(questions)),
        taken=taken,
        lines=lines,
        primary="exact",
        rows=found,
        confusions=(),
        exams=(ExamReport(QuestionSet("e", "starter", tuple(q.question for q in asked), exam), (results,)),),
        verdict=verdict,
        advice=advise(verdict, RunSpec(), evidence, train_rows=400, replays=False),
        judged=judged(),
    )


def test_the_verdict_comes_with_reasons_and_ways() -> None:
    html = verdict_html(report(), True, "en", t)
    assert "Do not deploy" in html
    assert "100.0% to 50.0%" in html
    assert 'href="#ev-exams"' in html
    assert re.search(r'data-act="replay" data-settings="[^"]*learning_rate[^"]*" data-share="0.5"', html)
    assert 'data-act="change"' in html
    assert 'data-act="replay"' not in verdict_html(report(), False, "en", t)  # a studio that only reads
    assert "Deploy" in verdict_html(report(forgets=False), True, "en", t)
    assert "配備しない" in verdict_html(report(), True, "ja", lambda key, **v: translate(key, "ja", **v))


def test_every_figure_has_its_interval_and_plain_words() -> None:
    made = report()
    html = results_html(made, entrant_names(made.entrants, "en"), "en", t)
    assert re.search(r"<b>0\.0%</b> <small class=\"ev-interval\">0\.0%–\d", html)
    assert "perplexity 20.1" in html
    for words in ("better", "worse", "Exact match", "the little world", "50.0%", "10.0"):
        assert words in html


def test_a_judges_word_is_marked_as_an_opinion() -> None:
    html = judged_html(judged(), t)
    text = re.sub(r"<[^>]+>", " ", html)
    for words in ("opinion", "not a measurement", "75.0% (", "2 of them", "No reply"):
        assert words in text
    assert [int(n) for n in re.findall(r"<b>(\d+)</b>", html)] == [5, 1, 2, 1, 1]
    made = report()
    assert html in results_html(made, entrant_names(made.entrants, "en"), "en", t)


def test_rows_are_sorted_paged_and_coloured() -> None:
    made = report()
    names = entrant_names(made.entrants, "en")
    assert next(row.row for row in ordered(made.rows, "worse")) == 0
    assert [row.row for row in ordered(made.rows, "better")][-1] == 0
    assert [row.row for row in ordered(made.rows, "row")] == list(range(40))
    first = rows_html(made, names, "worse", 0, "en", t)
    assert first.count('<article class="ev-row">') == 10
    assert "1 of 4" in first
    assert "<mark>" in first
    assert rows_html(made, names, "worse", 99, "en", t).count('data-act="page" data-page="4" disabled') == 1


@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_text_of_others_is_markup(language: str) -> None:
    def say(key: str, **values: Any) -> str:
        return translate(key, language, **values)

    made = report()
    names = entrant_names(made.entrants, language)
    every = verdict_html(made, True, language, say) + results_html(made, names, language, say)
    every += rows_html(made, names, "worse", 0, language, say)
    assert "<script" not in every
    assert "&lt;" in every
