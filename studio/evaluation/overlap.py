"""How much of the expected text an answer has in common with it: chrF, BLEU and ROUGE-L, each 0 to 100.

chrF and BLEU are sacrebleu's (Post 2018, arXiv 1804.08771; https://github.com/mjpost/sacrebleu). Words are sacrebleu's
too, by the language of the expected text, or of the question where that is too short to tell: MeCab's of Japanese
(`ja-mecab`, as WMT scores it), single characters of Chinese (`zh`), Korean and Thai (`char`), and those of the WMT
standard `13a` of all others. A text of Chinese characters alone whose language cannot be told counts as Japanese.
"""

from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import regex

from studio.data.languages import language_of
from studio.evaluation.matching import expected_text
from studio.evaluation.questions import Answer, Question

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

_TOKENIZERS = {"ja": "ja-mecab", "zh": "zh", "ko": "char", "th": "char"}
_EAST = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")
# MeCab takes time by the square of such runs, and is not made for several threads.
_UNBROKEN = regex.compile(r"[^\s。、．，！？!?,.]{500}")
_ONE_AT_A_TIME = Lock()
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]")


def words(text: str, language: str) -> list[str]:
    """The words of a text and its punctuation marks."""
    with _ONE_AT_A_TIME:
        return (
            _bleu(_TOKENIZERS.get(language, "13a")).tokenizer(" ".join(_UNBROKEN.sub(r"\g<0> ", text).split())).split()
        )


def text_language(question: Question) -> str:
    """By which language the expected text is cut into words."""
    text = question.expected.content
    found = language_of(text) or next(
        (told for turn in question.prompt[::-1] if (told := language_of(turn.content))), ""
    )
    return "ja" if not found and _EAST.search(text) else found


def chrf(question: Question, answer: Answer) -> float | None:
    """chrF2 (Popović 2015): F-score of n-grams of 1 to 6 characters, recall counted twice; needs no words. The figure
    of a set is the mean of its rows (sacrebleu's adds up n-grams first, so that long rows weigh more)."""
    expected = expected_text(question)
    return None if expected is None else _chrf().sentence_score(answer.text, [expected]).score


def bleu(question: Question, answer: Answer) -> float | None:
    """Sentence BLEU with exponential smoothing and effective order, as `sacrebleu --sentence-level`. It is meant for
    reading single rows; the figure of a whole set is that of `bleu_terms`."""
    expected = expected_text(question)
    if expected is None:
        return None
    language = text_language(question)
    wanted, given = _joined(expected, language), _joined(answer.text, language)
    return _bleu("none", effective_order=True).sentence_score(given, [wanted]).score


def bleu_terms(questions: Sequence[Question], answers: Sequence[Answer]) -> list[float | None]:
    """Their mean is BLEU of all answers together (Papineni et al. 2002), each row cut into words by its language. Each
    is that figure plus the row's influence on it, by leaving the row out (the jackknife, Efron & Tibshirani 1993,
    chapter 11)."""
    rows = [_bleu_counts(question, answer) for question, answer in zip(questions, answers, strict=True)]
    counts = np.array([row for row in rows if row is not None])
    if not len(counts):
        return [None] * len(rows)
    whole = _bleu_of(counts.sum(axis=0))
    if len(counts) == 1:
        return [None if row is None else whole for row in rows]
    without = np.array([_bleu_of(left) for left in counts.sum(axis=0) - counts])
    influences = iter((whole + (len(counts) - 1) * (without.mean() - without)).tolist())
    return [None if row is None else next(influences) for row in rows]


def _bleu_counts(question: Question, answer: Answer) -> list[int] | None:
    """Lengths of both, n-grams of each order that are right, and all of each."""
    expected = expected_text(question)
    if expected is None:
        return None
    language = text_language(question)
    wanted, given = _joined(expected, language), _joined(answer.text, language)
    score = _bleu("none", effective_order=True).sentence_score(given, [wanted])
    return [score.sys_len, score.ref_len, *score.counts, *score.totals]


def _bleu_of(counts: np.ndarray) -> float:
    given, wanted, *rest = map(int, counts)
    right, total = rest[: len(rest) // 2], rest[len(rest) // 2 :]
    return _bleu("none").compute_bleu(right, total, given, wanted, smooth_method="exp").score


def rouge_l(question: Question, answer: Answer) -> float | None:
    """ROUGE-L (Lin 2004): F1 of the longest common subsequence of words in lower case, without stemming and without
    punctuation, as Google's rouge-score computes `rougeL`, but for all writing systems."""
    expected = expected_text(question)
    if expected is None:
        return None
    from rapidfuzz.distance import LCSseq  # quick for long texts

    language = text_language(question)
    wanted, given = (_only_words(text, language) for text in (expected, answer.text))
    if not wanted or not given:
        return 100.0 if wanted == given else 0.0
    return 200 * LCSseq.similarity(wanted, given) / (len(wanted) + len(given))


def _only_words(text: str, language: str) -> list[str]:
    return [word for word in words(text.lower(), language) if _WORD.search(word)]


def _joined(text: str, language: str) -> str:
    return " ".join(words(text, language))


@lru_cache(maxsize=8)
def _bleu(tokenizer: str, *, effective_order: bool = False) -> "BLEU":
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=tokenizer, effective_order=effective_order, force=True)


@lru_cache(maxsize=1)
def _chrf() -> "CHRF":
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()
