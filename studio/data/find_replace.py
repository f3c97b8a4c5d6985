"""Find and replace with a time limit, settled: doing it twice is doing it once."""

from collections.abc import Callable

import regex

from studio.data.recipe import ReplaceStep, TextTest
from studio.errors import DataError

# An expression that backtracks without end is stopped after this long in one text.
SECONDS = 1.0
# A replacement that still changes a text after this many turns never ends.
_TURNS = 50


class SlowPattern(DataError):
    """The expression takes too long on a text."""


def replacer(step: ReplaceStep, seconds: float = SECONDS) -> Callable[[str], str]:
    """The text with everything replaced, until nothing changes any more.

    A text of the replacement that is found again (`Acme` -> `Acme Inc.`) is left as it is. Raises DataError when the
    expression takes too long, or replacing never comes to an end (`(.)` -> `\\1\\1`).
    """
    literal = step.replace_with if not step.regex or "\\" not in step.replace_with else None
    find = regex.compile(step.pattern, step.flags)
    if literal and find.sub(lambda _: literal, literal, timeout=seconds) != literal:
        # What stands there as it should comes first, and is replaced by itself.
        find = regex.compile(f"(?-i:{regex.escape(literal, special_only=True)})|(?:{step.pattern})", step.flags)

    new: str | Callable[[regex.Match[str]], str] = step.replace_with if literal is None else (lambda _: literal)

    def replace(text: str) -> str:
        longest = None
        for _ in range(_TURNS):
            before = text
            try:
                text = find.sub(new, before, timeout=seconds)
            except TimeoutError:
                raise SlowPattern("error.clean.slow_pattern", pattern=step.find, seconds=f"{seconds:g}") from None
            if text == before:
                return text
            longest = longest or 10 * len(text) + 10_000
            if len(text) > longest:
                break
        raise DataError("error.clean.endless", pattern=step.find, replacement=step.replace_with)

    return replace


def finder(test: TextTest, seconds: float = SECONDS) -> Callable[[str], bool]:
    """Whether the text or expression stands in a text. Raises DataError when it takes too long."""
    find = regex.compile(test.pattern, test.flags)

    def found(text: str) -> bool:
        try:
            return find.search(text, timeout=seconds) is not None
        except TimeoutError:
            raise SlowPattern("error.clean.slow_pattern", pattern=test.find, seconds=f"{seconds:g}") from None

    return found
