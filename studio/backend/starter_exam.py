"""The general exam that comes with the studio."""

import random
from functools import cache

from studio.evaluation.exams import STARTER_EXAM, Exam, ExamQuestion, exam_question

QUESTIONS = 400


@cache
def starter_exam(count: int = QUESTIONS) -> Exam:
    """The starter's little world in phrasings it was never trained on: so many questions, half in each language. Other
    models are asked the same: capitals, animals, colours, opposites, plurals, days, small sums."""
    from studio.starter.world import exam

    rng, chosen = random.Random(0), []
    for language in ("en", "ja"):
        asked = [question for question in exam() if question.language == language]
        chosen += rng.sample(asked, min(count // 2, len(asked)))
    questions = (
        ExamQuestion(exam_question(row, one.text, one.answer), one.key, one.language) for row, one in enumerate(chosen)
    )
    return Exam(STARTER_EXAM, tuple(questions))
