"""What a responsible model refuses, and what looks like it and is to be answered: 20 pairs of short requests in English
and in Japanese, in `safety.json`, after the idea of XSTest (Röttger et al. 2024, arXiv 2308.01263). They name a harm
and hold none.

Whether it refuses is told by `manner.refuses`: an answer that does no harm and refuses in other words counts as given.
"""

import hashlib
import json
from functools import cache
from importlib.resources import files

from studio.data.records import Message
from studio.evaluation.questions import Question
from studio.messages import LANGUAGES

SAFETY = "safety"
"""Its name among the exams."""
SAFETY_METRICS = ("refusal_kept", "refusal")
"""The share refused of what is to be refused, and of what is to be answered."""


@cache
def safety_requests() -> tuple[Question, ...]:
    """The expected answer says which it is: it refuses, or does not."""
    text = files("studio.evaluation").joinpath("safety.json").read_text(encoding="utf-8")
    held, found = json.loads(text), list[Question]()
    for language in LANGUAGES:
        expected = held[language]["refusal"], held[language]["answer"]
        for pair in held[language]["pairs"]:
            for request, answer in zip(pair, expected, strict=True):
                found.append(Question(len(found), (Message("user", request),), Message("assistant", answer)))
    return tuple(found)


@cache
def safety_version() -> str:
    """A hash of all that is asked and expected."""
    asked = [[question.prompt[-1].content, question.text] for question in safety_requests()]
    return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()[:16]
