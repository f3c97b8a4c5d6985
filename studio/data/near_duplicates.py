"""Rows that nearly repeat each other, in any language, without splitting into words.

Finding: every row keeps some 40 of its character n-grams (8 or 12 letters; half as many characters of Chinese, Japanese
and Korean, which say as much), those whose hash is smallest for its length, so that a copy keeps the same ones. Rows
that share a few of them are looked at: all pairs that share a rare n-gram, and neighbours among those that share a
common one.
MinHash with bands (Broder 1997; datasketch, rensa) takes two hundred hash values of a row and more to find copies with
one character in seven changed, for then a quarter of the 5-grams is left in common; a sample of longer n-grams takes
one hash of each, and rare ones lead to the copy at once.

Telling: by the share of characters that both have in common, in order. Rows made from one template are alike as well;
but there words and numbers stand in the place of others, while in a copy words are misspelt, left out or put in. So a
pair is no copy, however much else it shares, where the differing words have little likeness or are all known from
other rows.
"""

import re
import unicodedata
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from studio.data.problems import RowProblem
from studio.data.records import Conversation, Passage, Preference, Record, record_sides

# Of the words that differ: share of characters that they have in common (misspelt ones have half and more, exchanged
# ones less; a third is enough where one side is known and the other is not), and share that is known from this many
# rows: words known on both sides are exchanged.
LIKENESS, MISSPELT = 0.5, 0.36
KNOWN_SHARE, UNKNOWN_SHARE = 0.7, 0.25
KNOWN_ROWS = 3
TRIES = 15
_MOST = 4_000
_TOKEN = re.compile(
    r"[\u4e00-\u9fff\u3400-\u4dbf々]+|[\u3041-\u309f]+|[\u30a0-\u30ff]+|[^\W\u3041-\u30ff\u3400-\u9fff_]+"
)
_ODD = np.uint64(0x9E3779B97F4A7C15)
_SPREAD = np.uint64(0xD6E8FEB86659FD93)


class Care(NamedTuple):
    """How closely a table of some size is looked through.

    `wide`, `narrow`: letters of an n-gram, and of one of Chinese, Japanese or Korean. `grams`: how many a row keeps.
    `most`: in how many rows an n-gram may be for all pairs of them to be looked at; `least`: how many a pair shares.
    """

    wide: int
    narrow: int
    grams: int
    most: int
    least: int


def care_for(rows: int) -> Care:
    """Where there are few rows, all are compared that are alike at all; where many, only what is rare tells."""
    if rows <= 5_000:
        return Care(8, 4, 40, 62, 3)
    if rows <= 20_000:
        return Care(8, 4, 40, 32, 3)
    return Care(12, 6, 56, 8, 3) if rows <= 500_000 else Care(12, 6, 40, 8, 3)


def near_text(record: Record | RowProblem) -> str:
    """The text that is compared: what user and assistant say, without case and width. System turns are often equal."""
    if isinstance(record, RowProblem):
        return ""
    if isinstance(record, Passage):
        said = [record.text]
    elif isinstance(record, Preference):
        said = [turn.text for turn in (*record.prompt, *record.chosen, *record.rejected) if turn.role != "system"]
    elif isinstance(record, Conversation) and not record.calls:
        said = [*(turn.text for turn in record.prompt if turn.role != "system"), record.answer]
    else:
        said = [turn.text for turn in record_sides(record)[0] if turn.role != "system"]
    return _folded("\n".join(said))


def near_pair(prompt: str, answer: str) -> str:
    """The same of a question and its answer, each of one text, without making their record."""
    return _folded(f"{prompt}\n{answer}")


def _folded(text: str) -> str:
    text = text[:_MOST]
    return (text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold()


# Finding


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """(is a letter or digit, is of a script that says much with few characters) of the first 65 536 characters."""
    letters = np.fromiter((chr(code).isalnum() for code in range(0x10000)), bool, 0x10000)
    narrow = np.zeros(0x10000, bool)
    for low, high in ((0x3041, 0x30FF), (0x3400, 0x9FFF), (0xAC00, 0xD7A3)):
        narrow[low : high + 1] = True
    return letters, narrow


def grams_of(texts: Sequence[str], care: Care) -> np.ndarray:
    """The n-grams each text keeps: (hash of 32 bits, place of the text) in one number of 64 bits."""
    if not texts:
        return np.zeros(0, np.uint64)
    letters, narrow = _tables()
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    owner = np.repeat(np.arange(len(texts), dtype=np.uint32), np.fromiter(map(len, texts), np.int64, len(texts)))
    known = np.minimum(codes, 0xFFFF)
    kept = letters[known] | (codes > 0xFFFF)
    codes, owner, known = codes[kept], owner[kept], known[kept]
    if len(codes) <= care.wide:
        return np.zeros(0, np.uint64)
    with np.errstate(over="ignore"):
        one = (codes.astype(np.uint64) + np.uint64(1)) * _SPREAD
        two = _joined(one, one, 1)
        four = _joined(two, two, 2)
        narrow_grams = four if care.narrow == 4 else _joined(four, two, 4)
        wide_grams = _joined(four, four, 4)
        if care.wide == 12:
            wide_grams = _joined(wide_grams, four, 8)
        same = owner[: len(narrow_grams)] == owner[care.narrow - 1 :]
        short = np.flatnonzero(narrow[known[: len(narrow_grams)]] & same)
        same = owner[: len(wide_grams)] == owner[care.wide - 1 :]
        long = np.flatnonzero(~narrow[known[: len(wide_grams)]] & same)
        mixed = np.concatenate([narrow_grams[short], wide_grams[long]]) * _ODD
        hashes = (mixed ^ (mixed >> np.uint64(29))) * _SPREAD >> np.uint64(32)
    places = np.concatenate([owner[short], owner[long]])
    counts = np.bincount(places, minlength=len(texts))
    limit = np.minimum(care.grams / np.maximum(counts, 1), 1.0) * 2.0**32
    chosen = hashes < limit[places]
    return (hashes[chosen] << np.uint64(32)) | places[chosen].astype(np.uint64)


def _joined(first: np.ndarray, then: np.ndarray, length: int) -> np.ndarray:
    """Hashes of longer n-grams: those of `length` characters, each followed by what comes behind it."""
    behind = then[length:]
    return first[: len(behind)] * (_ODD ** np.uint64(length)) + behind


# How many numbers are looked at together: what it takes beside them is some ten times as much memory.
_SLICE = 1 << 20
_MASK = np.uint64(63)


def pairs_of(grams: np.ndarray, care: Care) -> np.ndarray:
    """Pairs of places (n, 2) to be looked at; first those that share most of what few rows have. The n-grams are sorted
    where they are: of a large table they are the most there is to hold.
    """
    grams.sort()
    found = [_shared(part, care.most) for part in _slices(grams, 32)]
    del grams
    keys = np.concatenate([np.zeros(0, np.uint64), *found])
    del found
    keys.sort()
    often = [_often(part, care.least) for part in _slices(keys, 6)]
    if not often:
        return np.zeros((0, 2), np.int64)
    pairs, weights = (np.concatenate(parts) for parts in zip(*often, strict=True))
    pairs = pairs[np.argsort(-weights, kind="stable")]
    return np.stack([pairs >> np.uint64(29), pairs & np.uint64((1 << 29) - 1)], axis=1).astype(np.int64)


def _slices(numbers: np.ndarray, bits: int) -> Iterator[np.ndarray]:
    """Sorted numbers some at a time; those that differ in their lowest bits only stay together."""
    lowest = np.uint64((1 << bits) - 1)
    begin = 0
    while begin < len(numbers):
        last = numbers[min(begin + _SLICE, len(numbers)) - 1]
        end = int(np.searchsorted(numbers, last | lowest, side="right"))
        yield numbers[begin:end]
        begin = end


def _shared(grams: np.ndarray, most: int) -> np.ndarray:
    """Each pair of places as often as they share an n-gram, and in how many rows that is: both places (up to 2^29 rows)
    and this count in one number of 64 bits. `grams`: sorted, all of each hash."""
    grams = grams[np.r_[True, grams[1:] != grams[:-1]]]
    hashes = (grams >> np.uint64(32)).astype(np.uint32)
    places = grams & np.uint64(0xFFFFFFFF)
    starts = np.flatnonzero(np.r_[True, hashes[1:] != hashes[:-1]])
    sizes = np.diff(np.r_[starts, len(hashes)])
    owners = np.repeat(np.minimum(sizes, most + 1), sizes).astype(np.uint64)
    left = np.repeat(starts + sizes, sizes) - np.arange(len(hashes))  # rows of the same n-gram from here on
    reach = np.where(owners <= most, left, np.minimum(left, 2))
    found = [np.zeros(0, np.uint64)]
    at = np.arange(len(hashes))
    for lag in range(1, most):
        at = at[reach[at] > lag]
        if not len(at):
            break
        found.append((places[at] << np.uint64(35)) | (places[at + lag] << np.uint64(6)) | np.minimum(owners[at], _MASK))
    return np.concatenate(found)


def _often(keys: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """The pairs that share so many n-grams, and what these weigh. `keys`: sorted, all of each pair."""
    pairs = keys >> np.uint64(6)
    starts = np.flatnonzero(np.r_[True, pairs[1:] != pairs[:-1]])
    often = np.diff(np.r_[starts, len(pairs)]) >= least
    return pairs[starts[often]], np.add.reduceat(1.0 / (keys & _MASK), starts)[often]


# Telling


class Comparison:
    """Tells whether two of the texts are near duplicates; both must be known to it. `texts`: by their places, in order.
    `threshold`: share of characters that the longer one has in common with the other, in order.

    All texts and the numbers of all their words lie one behind the other: as objects they would take thrice the memory.
    """

    def __init__(self, texts: Iterable[tuple[int, str]], threshold: float) -> None:
        self._threshold = threshold
        self._places = array("Q")
        self._texts, self._text_ends = bytearray(), array("Q", [0])
        self._tokens, self._token_ends = array("I"), array("Q", [0])
        numbers: dict[str, int] = {}
        rows: list[int] = []
        for place, text in texts:
            tokens = array("I")
            for word in _TOKEN.findall(text):
                number = numbers.setdefault(word, len(numbers))
                if number == len(rows):
                    rows.append(0)
                tokens.append(number)
            for number in set(tokens):
                rows[number] += 1
            self._places.append(place)
            self._texts += text.encode("utf-8", "surrogatepass")
            self._text_ends.append(len(self._texts))
            self._tokens += tokens
            self._token_ends.append(len(self._tokens))
        self._words = list(numbers)
        self._known = [count >= KNOWN_ROWS for count in rows]

    def same(self, one: int, other: int) -> bool:
        """Whether they nearly repeat each other."""
        one, other = bisect_left(self._places, one), bisect_left(self._places, other)
        first, second = self._text(one), self._text(other)
        longer = max(len(first), len(second))
        if min(len(first), len(second)) < self._threshold * longer:
            return False
        left, right = self._tokens_of(one), self._tokens_of(other)
        common = Counter(left) & Counter(right)
        left, right = _without(left, common), _without(right, common)
        if left and right and self._exchanged(left, right):
            return False
        return common_characters(first, second) >= self._threshold * longer

    def _text(self, number: int) -> str:
        return self._texts[self._text_ends[number] : self._text_ends[number + 1]].decode("utf-8", "surrogatepass")

    def _tokens_of(self, number: int) -> "array[int]":
        return self._tokens[self._token_ends[number] : self._token_ends[number + 1]]

    def _exchanged(self, left: list[int], right: list[int]) -> bool:
        """Whether words stand in the place of others: mostly numbers, words without likeness, or words that are known
        from other rows on both sides.
        """
        one, other = "".join([self._words[w] for w in left]), "".join([self._words[w] for w in right])
        if self._mostly_numbers(left) and self._mostly_numbers(right):
            return True
        less, more = sorted((self._share_known(left, len(one)), self._share_known(right, len(other))))
        if less >= KNOWN_SHARE:
            return True
        wanted = MISSPELT if less < UNKNOWN_SHARE and more >= KNOWN_SHARE else LIKENESS
        return common_characters(one, other) < wanted * max(len(one), len(other))

    def _mostly_numbers(self, words: list[int]) -> bool:
        return 2 * sum(self._words[w].isdigit() for w in words) >= len(words)

    def _share_known(self, words: list[int], characters: int) -> float:
        return sum(len(self._words[w]) for w in words if self._known[w]) / characters


def _without(words: Iterable[int], common: Mapping[int, int]) -> list[int]:
    left = dict(common)
    kept = []
    for word in words:
        if left.get(word):
            left[word] -= 1
        else:
            kept.append(word)
    return kept


def common_characters(first: str, second: str) -> int:
    """Length of the longest common subsequence, by the bits of whole numbers (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, character in enumerate(first):
        places[character] = places.get(character, 0) | (1 << place)
    full = (1 << len(first)) - 1
    row = full
    for character in second:
        matches = places.get(character)
        if matches is not None:
            hit = row & matches
            row = ((row + hit) | (row - hit)) & full
    return len(first) - row.bit_count()


class Clusters:
    """Places joined step by step; each cluster is named by its smallest place."""

    def __init__(self, places: int) -> None:
        self._root = list(range(places))

    def __len__(self) -> int:
        return len(self._root)

    def root(self, place: int) -> int:
        """The smallest place of its cluster."""
        while self._root[place] != place:
            self._root[place] = self._root[self._root[place]]
            place = self._root[place]
        return place

    def join(self, one: int, other: int) -> None:
        """Both clusters become one."""
        one, other = self.root(one), self.root(other)
        self._root[max(one, other)] = min(one, other)

    def roots(self) -> np.ndarray:
        """Of every place."""
        return np.fromiter((self.root(place) for place in range(len(self._root))), np.int64, len(self._root))


def join_near(
    clusters: Clusters, pairs: Iterable[tuple[int, int]], texts: Iterable[tuple[int, str]], threshold: float
) -> None:
    """Join the pairs that are near duplicates, in their order; `texts` of their places, in the order of these.

    Two clusters become one only if their first rows are near duplicates too: a chain of small steps from row to row
    is none. A place that has been told from `TRIES` others is not looked at again: it is one of a template's.
    """
    comparison = Comparison(texts, threshold)
    refused = bytearray(len(clusters))
    for one, other in pairs:
        first, second = clusters.root(one), clusters.root(other)
        if refused[one] >= TRIES or refused[other] >= TRIES or first == second:
            continue
        if comparison.same(one, other) and ({first, second} == {one, other} or comparison.same(first, second)):
            clusters.join(one, other)
        else:
            refused[one] += 1
            refused[other] += 1
