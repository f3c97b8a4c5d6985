"""Which metrics fit the data, and which of them the verdict goes by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import regex

from studio.errors import InputError
from studio.evaluation.classes import is_classification
from studio.evaluation.matching import expected_text
from studio.evaluation.metrics import METRICS, Metric, make_metrics
from studio.evaluation.numerals import last_number
from studio.evaluation.overlap import text_language, words
from studio.evaluation.questions import Answer, Question
from studio.evaluation.structured import expected_json
from studio.messages import translate

# From this share of the rows on, the data is of a kind.
_MOST = 0.8
_EAST = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")
# Expected answers of more letters than this (the median) are texts that can be said in many ways.
_LONG = 80
# What a metric needs where it is not just an expected text.
_NEEDS = {
    "label": "labels", "tool_call": "calls", "number": "numbers", "json_fields": "json", "json_valid": "json",
    "bleu": "words", "refusal": "answers", "refusal_kept": "refusals", "language": "language",
}  # fmt: skip
# Numbers in answers no longer than this (the median) are what is asked for.
_SHORT_NUMBER = 20


@dataclass(frozen=True, slots=True)
class Suited:
    """A metric that suits the data. `reason`: the key of the sentence that says why."""

    name: str
    reason: str

    def why(self, language: str = "en") -> str:
        return translate(self.reason, language)


def suited(questions: Sequence[Question]) -> tuple[Suited, ...]:
    """The metrics to begin with, those of the task first."""
    if not questions:
        return ()
    found: dict[str, str] = {}

    def add(kind: str, *names: str) -> None:
        for name in names:
            found.setdefault(name, f"ui.metric.suits.{kind}")

    texts = [text for question in questions if (text := expected_text(question)) is not None]
    middle = sorted(map(_said, texts))[len(texts) // 2] if texts else 0
    if (
        any(question.expected.tool_calls for question in questions)
        or _share(questions, lambda q: bool(q.tools)) >= _MOST
    ):
        add("calls", "tool_call")
    if _share(questions, lambda q: expected_json(q) is not None) >= _MOST:
        add("json", "json_fields", "json_valid")
    elif is_classification(questions):
        add("labels", "label", "exact")
    elif texts and _numeric(texts, middle):
        add("numbers", "number")
    elif texts and middle <= _LONG:
        add("short", "exact", "contains", "chrf")
    elif texts:
        add("long", "chrf", "rouge_l")
    add("always", "loss")
    if texts and middle > _LONG:
        add("manner", "refusal", "repetition", "length")
    return tuple(Suited(name, reason) for name, reason in found.items())


def _said(text: str) -> int:
    """How much a text says, in letters of an alphabet: a Japanese or Chinese character says about as much as three."""
    return sum(3 if _EAST.match(character) else 1 for character in text)


def _share(questions: Sequence[Question], holds: Callable[[Question], bool]) -> float:
    return sum(map(holds, questions)) / len(questions)


def _numeric(texts: Sequence[str], middle: int) -> bool:
    """Whether the answers are numbers, or end in one marked as the result (GSM8K)."""
    short = middle <= _SHORT_NUMBER
    return sum("####" in t or (short and last_number(t) is not None) for t in texts) >= _MOST * len(texts)


class UnfitMetric(InputError):
    """A metric that says nothing about the data; told by the names that the page shows."""

    def message(self, language: str = "en") -> str:
        fitting = self.values["fitting"]
        assert isinstance(fitting, tuple)
        titles = ", ".join(METRICS[name].title(language) for name in fitting)
        metric = METRICS[str(self.values["metric"])].title(language)
        return translate(self.key, language, metric=metric, rows=self.values["rows"], fitting=titles)


def check_metrics(names: Sequence[str], questions: Sequence[Question], schema: str = "") -> None:
    """Raises InputError: for no metric, a name that there is none of, a schema that is none, and for a metric that says
    nothing about any of the rows, with the reason and those that fit."""
    if not names:
        raise InputError("error.metric.none")
    for metric in make_metrics([name for name in names if name != "label"], questions, schema):
        if metric.name != "loss" and not any(_says_something(metric, question) for question in questions):
            raise _unfit(metric.name, questions)
    if "bleu" in names and not any(map(_has_four_words, questions)):
        raise _unfit("bleu", questions)
    if "label" in names and not is_classification(questions):
        raise _unfit("label", questions)


def _says_something(metric: Metric, question: Question) -> bool:
    """About a row that is answered as expected."""
    return metric.value(question, Answer(question.text, 1, True)) is not None


def _has_four_words(question: Question) -> bool:
    """BLEU counts sequences of up to four words; where there are none that long it is 0 for the best answer too."""
    text = expected_text(question)
    return text is not None and len(words(text, text_language(question))) >= 4


def _unfit(name: str, questions: Sequence[Question]) -> UnfitMetric:
    fitting = tuple(one.name for one in suited(questions))
    return UnfitMetric(
        f"error.metric.unfit.{_NEEDS.get(name, 'text')}", metric=name, rows=len(questions), fitting=fitting
    )


def primary(names: Sequence[str]) -> str:
    """The one metric that the verdict goes by: the first of the chosen ones in the order of METRICS."""
    return next(name for name in METRICS if name in names)
