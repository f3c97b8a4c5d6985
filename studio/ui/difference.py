"""How one text became another, as HTML: what went struck out, what came marked. Pure; the texts pass `shown`."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from studio.ui.markup import shorten, shown

# What stays the same before a change, in an excerpt.
_BEFORE = 60
_WORDS = re.compile(r"[A-Za-z0-9]+|\s+|.", re.DOTALL)


def around_change(before: str, after: str, limit: int) -> tuple[str, str]:
    """Both texts cut to where they begin to differ, at most `limit` characters each."""
    if len(before) <= limit and len(after) <= limit:
        return before, after
    pairs = zip(before, after, strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(before), len(after)))
    start = max(0, same - _BEFORE)
    cut = "…" if start else ""
    return cut + shorten(before[start:], limit), cut + shorten(after[start:], limit)


def word_difference(before: str, after: str) -> str:
    """One text with what went struck out and what came marked; by words, and by characters where there are none."""
    parts = []
    for went, came, same in _spans(before, after):
        if same:
            parts.append(shown(came))
        else:
            parts.append((f"<del>{shown(went)}</del>" if went else "") + (f"<ins>{shown(came)}</ins>" if came else ""))
    return "".join(parts)


def new_words(before: str, after: str) -> str:
    """`after` with what came marked, unless nothing of `before` is left in it: then the mark would tell nothing."""
    spans = list(_spans(before, after))
    if not any(same and came.strip() for _, came, same in spans):
        return shown(after)
    return "".join(shown(came) if same or not came else f"<ins>{shown(came)}</ins>" for _, came, same in spans)


def _spans(before: str, after: str) -> Iterator[tuple[str, str, bool]]:
    """What went, what came, and whether they are the same, from beginning to end."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        yield "".join(old[a:b]), "".join(new[c:d]), kind == "equal"
