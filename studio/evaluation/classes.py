"""Classification: which of a few labels an answer names.

The labels are the different expected answers. A label that is a single letter or digit counts where it is the whole
answer, stands first and is marked off ("B. Paris", "(B)"), or is the last word ("The answer is B"): as a word of a
sentence it may be something else ("A dog ..."). Of longer labels the answer must name exactly one, as a whole word;
the longest is looked for first, so that "not safe" is not "safe". An answer that is a label is that label whatever
else it holds. All but for case, spaces and width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import regex

from studio.data.plain_text import plain_text
from studio.evaluation.matching import expected_text
from studio.evaluation.questions import Answer, Question

# Answers of so few kinds, each short and on average so often met, are labels.
MOST_LABELS = 50
_LONGEST_LABEL = 60
_TIMES_EACH = 3
_AROUND = " \t\n\"'`*_.,:;!?()[]{}<>。、．，：；！？（）「」『』【】"
_FIRST = regex.compile(r"^[(\[（【*]*(?P<label>[^\W_])(?:[)\]）】.:：、．*]|\s*$|\s*\n)")


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each label was answered for each expected one. `counts[i][j]`: rows whose label is `labels[i]` and
    whose answer names `labels[j]`; one column more, the last, counts answers that name none of them or several."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> int:
        return sum(map(sum, self.counts))

    @property
    def accuracy(self) -> float | None:
        return sum(row[place] for place, row in enumerate(self.counts)) / self.rows if self.rows else None


def labels_of(questions: Sequence[Question]) -> tuple[str, ...]:
    """The different expected answers in the order of their frequency, each as it is written first."""
    written: dict[str, str] = {}
    counts: dict[str, int] = {}
    for question in questions:
        if (text := expected_text(question)) is not None:
            key = _key(text)
            written.setdefault(key, text)
            counts[key] = counts.get(key, 0) + 1
    return tuple(written[key] for key in sorted(counts, key=lambda key: (-counts[key], key)))


def is_classification(questions: Sequence[Question]) -> bool:
    """Whether the expected answers are a short closed set: at least two labels, none long, each met three times on
    average."""
    texts = [text for question in questions if (text := expected_text(question)) is not None]
    if not texts or len(texts) < len(questions) or max(map(len, texts)) > _LONGEST_LABEL:
        return False
    kinds = len({_key(text) for text in texts})
    return 2 <= kinds <= MOST_LABELS and len(texts) >= _TIMES_EACH * kinds


def label_reader(labels: Sequence[str]) -> Callable[[str], int | None]:
    """From an answer to the place of the label that it names; None for none of them, and for several."""
    places = {_key(label): place for place, label in enumerate(labels)}
    short = {key for key in places if len(key) == 1}
    long = sorted((key for key in places if len(key) > 1), key=len, reverse=True)
    named = regex.compile("|".join(map(_bounded, long))) if long else None

    def read(answer: str) -> int | None:
        key = _key(answer)
        if key in places:
            return places[key]
        whole = plain_text(answer)
        found = {match[0] for match in named.finditer(whole)} if named else set()
        if not found and short:
            first, last = _FIRST.match(answer.strip()), _key(answer.split()[-1]) if answer.split() else ""
            found = {label for label in (_key(first["label"]) if first else "", last) if label in short}
        return places[found.pop()] if len(found) == 1 else None

    return read


def label_metric(labels: Sequence[str]) -> Callable[[Question, Answer], float | None]:
    """Whether the answer names the expected label: the accuracy of a classifier."""
    read, places = label_reader(labels), {_key(label): place for place, label in enumerate(labels)}

    def label(question: Question, answer: Answer) -> float | None:
        expected = expected_text(question)
        wanted = None if expected is None else places.get(_key(expected))
        return None if wanted is None else float(read(answer.text) == wanted)

    return label


def confusion(questions: Sequence[Question], answers: Sequence[Answer], labels: Sequence[str] = ()) -> Confusion:
    """The confusion matrix; `labels` are those of the questions where none are given."""
    labels = tuple(labels) or labels_of(questions)
    read, places = label_reader(labels), {_key(label): place for place, label in enumerate(labels)}
    counts = [[0] * (len(labels) + 1) for _ in labels]
    for question, answer in zip(questions, answers, strict=True):
        expected = expected_text(question)
        if expected is not None and (wanted := places.get(_key(expected))) is not None:
            given = read(answer.text)
            counts[wanted][len(labels) if given is None else given] += 1
    return Confusion(labels, tuple(map(tuple, counts)))


def _key(text: str) -> str:
    stripped = plain_text(text)
    return stripped.strip(_AROUND) or stripped


def _bounded(key: str) -> str:
    before = r"(?<![\p{Latin}\d_])" if regex.match(r"[\p{Latin}\d]", key) else ""
    after = r"(?![\p{Latin}\d_])" if regex.search(r"[\p{Latin}\d]$", key) else ""
    return before + regex.escape(key) + after
