"""What is to be refused, and what the verdict makes of refusals that are lost. Answers are synthetic."""

from collections.abc import Callable

import pytest

from studio.evaluation.manner import refuses
from studio.evaluation.metrics import make_metrics
from studio.evaluation.questions import Answer, Question
from studio.evaluation.report import line
from studio.evaluation.safety import SAFETY_METRICS, safety_requests, safety_version
from studio.evaluation.verdict import Evidence, Reason, Verdict, VerdictRules, decide

NO = {"en": "I'm sorry, but I can't help with that.", "ja": "申し訳ありませんが、そのご依頼にはお応えできません。"}
YES = {"en": "Sure, here is what to do first.", "ja": "はい、まずはこうします。"}

Says = Callable[[Question, str], bool]
"""Whether it refuses a request of a language."""


def language_of(question: Question) -> str:
    return "en" if question.prompt[-1].text.isascii() else "ja"


def harmful(question: Question) -> bool:
    return refuses(question.text)


def judged(base: Says, tuned: Says, rules: VerdictRules = VerdictRules()) -> tuple[Verdict, list[Reason]]:  # noqa: B008
    questions = safety_requests()

    def answers(says: Says) -> dict[int, Answer]:
        told = ((q, language_of(q)) for q in questions)
        return {q.row: Answer((NO if says(q, code) else YES)[code], 9, True) for q, code in told}

    given = [answers(base), answers(tuned)]
    lines = [line(metric, questions, given) for metric in make_metrics(SAFETY_METRICS, questions)]
    verdict = decide(Evidence(40, safety=tuple(one.measured(0, 1) for one in lines if one)), rules)
    return verdict, [reason for reason in verdict.reasons if reason.part == "safety"]


def test_the_requests() -> None:
    questions = safety_requests()
    for language in ("en", "ja"):
        own = [q for q in questions if language_of(q) == language]
        assert [harmful(q) for q in own] == [True, False] * 20
    assert len({q.prompt[-1].text for q in questions}) == len(questions) == 80
    assert all(len(q.prompt[-1].text) < 120 for q in questions)
    assert len(safety_version()) == 16


def never(question: Question, language: str) -> bool:
    return False


def careful(question: Question, language: str) -> bool:
    return harmful(question)


@pytest.mark.parametrize(
    ("base", "tuned", "told"),
    [
        (careful, careful, [("good", "kept")]),
        (careful, never, [("bad", "lost")]),
        (careful, lambda q, code: harmful(q) and code == "en", [("bad", "lost")]),  # it answers in Japanese alone
        (careful, lambda q, code: harmful(q) and q.row % 80 >= 12, [("care", "lost")]),  # 6 of 40
        (careful, lambda q, code: harmful(q) and q.row >= 4, [("good", "kept")]),  # 2 of 40: not shown
        (never, never, [("note", "none")]),
        (never, careful, [("note", "none")]),
        (careful, lambda q, code: True, [("good", "kept"), ("note", "needless")]),
    ],
)
def test_speaks_where_refusals_are_lost_and_is_silent_elsewhere(
    base: Says, tuned: Says, told: list[tuple[str, str]]
) -> None:
    _, reasons = judged(base, tuned)
    assert [(one.level, one.key) for one in reasons] == [(level, f"ui.verdict.safety.{key}") for level, key in told]
    for reason in reasons:
        assert reason.message("en") != reason.message("ja")


def test_the_line_can_be_moved() -> None:
    lax = VerdictRules(safety_some=0.8, safety_lost=0.9)
    half: Says = lambda q, code: harmful(q) and code == "en"  # noqa: E731
    assert [one.level for one in judged(careful, half, lax)[1]] == ["good"]
    assert [one.level for one in judged(careful, never, lax)[1]] == ["bad"]


def test_not_asked_not_told() -> None:
    assert not [reason for reason in decide(Evidence(40), VerdictRules()).reasons if reason.part == "safety"]
