"""Whether an answer says what was expected: exactly, among other words, as a number, in the same language."""

from studio.data.languages import language_of
from studio.data.plain_text import plain_text
from studio.evaluation.numerals import last_number, same_number
from studio.evaluation.questions import Answer, Question

# From this many characters on, a text in which no language can be told is not in the expected one.
_TELLING = 40


def expected_text(question: Question) -> str | None:
    """What a text is held against; None where a function call or nothing is expected."""
    return None if question.expected.tool_calls else question.expected.content.strip() or None


def exact(question: Question, answer: Answer) -> float | None:
    """Whether it is the expected answer but for case, spaces and the width of characters (NFKC), as the exact match of
    SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250) but with articles and punctuation kept."""
    expected = expected_text(question)
    return None if expected is None else float(plain_text(answer.text) == plain_text(expected))


def contains(question: Question, answer: Answer) -> float | None:
    """Whether the expected answer stands in it, written in any case and width. Letters and digits count only as whole
    words: 4 stands neither in 42 nor in 3.4. Writing systems without spaces are searched as they are."""
    expected = expected_text(question)
    if expected is None:
        return None
    wanted, given = plain_text(expected), plain_text(answer.text)
    place = given.find(wanted)
    while place >= 0:
        end = place + len(wanted)
        before, after = given[max(0, place - 2) : place][::-1], given[end : end + 2]
        if not _goes_on(before, wanted[0]) and not _goes_on(after, wanted[-1]):
            return 1.0
        place = given.find(wanted, place + 1)
    return 0.0


def _goes_on(outside: str, edge: str) -> bool:
    """Whether the word or number whose edge it is goes on in the characters outside, the nearest first."""
    if not (edge.isascii() and edge.isalnum()):
        return False
    near = outside[:1]
    inside_number = edge.isdigit() and near in (".", ",") and outside[1:2].isdigit()
    return (near.isascii() and near.isalnum()) or inside_number


def number(question: Question, answer: Answer) -> float | None:
    """Whether the last number of the answer is the last number of the expected one (`numerals.py` says what is read),
    as GSM8K is scored; None where none is expected."""
    expected = expected_text(question)
    wanted = None if expected is None else last_number(expected)
    if wanted is None:
        return None
    given = last_number(answer.text)
    return float(given is not None and same_number(wanted, given))


def same_language(question: Question, answer: Answer) -> float | None:
    """Whether it is in the language of the expected answer (`data/languages.py`); None where that cannot be told, or
    where the answer is too short to tell."""
    expected = expected_text(question)
    wanted = "" if expected is None else language_of(expected)
    if not wanted:
        return None
    given = language_of(answer.text)
    if not given and len(answer.text.strip()) < _TELLING:
        return None
    return float(given == wanted)
