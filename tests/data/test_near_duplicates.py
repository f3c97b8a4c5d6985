"""Copies with a few characters changed are found, whatever the language; rows of one template are not."""

import random
import tracemalloc

import numpy as np
import pytest

from studio.data.near_duplicates import Clusters, Comparison, care_for, common_characters, grams_of, join_near, pairs_of
from tests.benchmarks.data_checks import texts
from tests.data.planted import edited


def clusters_of(rows: list[str], threshold: float = 0.8) -> list[int]:
    folded = [text.casefold() for text in rows]
    care = care_for(len(rows))
    pairs = pairs_of(grams_of(folded, care), care)
    clusters = Clusters(len(rows))
    texts_of_pairs = ((place, folded[place]) for place in np.unique(pairs).tolist())
    join_near(clusters, pairs.tolist(), texts_of_pairs, threshold)
    return clusters.roots().tolist()


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("rows", [2_000, 25_000])
def test_recall_and_precision(language: str, rows: int) -> None:
    made, copies = texts(rows, random.Random(3), language)
    found = {place for place, root in enumerate(clusters_of(made)) if root != place}
    assert len(found & copies) >= 0.95 * len(copies)
    assert len(found & copies) >= 0.95 * len(found)


def test_templates_are_no_copies() -> None:
    capitals = [
        ("France", "Paris"),
        ("Spain", "Madrid"),
        ("Italy", "Rome"),
        ("Japan", "Tokyo"),
        ("Austria", "Vienna"),
        ("Peru", "Lima"),
        ("Kenya", "Nairobi"),
        ("Norway", "Oslo"),
        ("Greece", "Athens"),
    ]
    english = [f"What is the capital of {country}?\nThe capital of {country} is {city}." for country, city in capitals]
    japanese = [
        f"{name}様、お手紙ありがとうございます。{thing}は{day}曜日にお届けいたします。青いドアの店より"
        for name in ("山口", "中村", "渡辺", "佐藤")
        for thing in ("タオル", "ギター", "毛布", "椅子")
        for day in "月火"
    ]
    sums = [
        f"Tom has {a} apples and buys {b} more. How many does he have now?\nHe has {a + b}."
        for a in range(9)
        for b in range(9)
    ]
    for rows in (english, japanese, sums):
        assert clusters_of(rows) == list(range(len(rows)))


def test_small_changes_are_copies() -> None:
    text = "The captain of the old ship went home before the storm, and nobody saw him again until spring."
    for other in (
        text.upper(),
        text.replace(",", ""),
        text.replace("captain", "captian"),
        text + " Yes.",
        text.replace("again ", ""),
    ):
        assert clusters_of(
            [text, "Something else that has nothing to do with it, and is here to be different.", other]
        ) == [0, 1, 0]


def test_the_smallest_place_names_the_cluster() -> None:
    clusters = Clusters(5)
    clusters.join(4, 3)
    clusters.join(3, 1)
    assert clusters.roots().tolist() == [0, 1, 2, 1, 1]


def test_common_characters_are_the_longest_common_subsequence() -> None:
    def slowly(a: str, b: str) -> int:
        table = np.zeros((len(a) + 1, len(b) + 1), int)
        for i, x in enumerate(a, 1):
            for j, y in enumerate(b, 1):
                table[i, j] = table[i - 1, j - 1] + 1 if x == y else max(table[i - 1, j], table[i, j - 1])
        return int(table[-1, -1])

    dice = random.Random(0)
    for _ in range(50):
        a, b = ("".join(dice.choices("abcあ", k=dice.randint(0, 40))) for _ in range(2))
        assert common_characters(a, b) == slowly(a, b)


def test_the_threshold_counts() -> None:
    text = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz    ", k=400))
    far = edited(text, 0.15, random.Random(2))
    pair = [(3, text), (70, far)]
    assert Comparison(pair, 0.8).same(3, 70)
    assert not Comparison(pair, 0.97).same(3, 70)


def test_looking_for_pairs_takes_little_memory_beside_the_n_grams() -> None:
    dice = np.random.default_rng(0)
    grams = dice.integers(0, 2**32, 6_000_000, np.uint64) << np.uint64(32) | dice.integers(
        0, 2**20, 6_000_000, np.uint64
    )
    tracemalloc.start()
    pairs_of(grams, care_for(2_000_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * grams.nbytes


def test_odd_texts() -> None:
    assert clusters_of([]) == []
    assert clusters_of(["", " ", "a", "。", "\ud800" * 50, "😀" * 50]) == list(range(6))
    assert clusters_of(["same words here in this text"] * 2) == [0, 0]
