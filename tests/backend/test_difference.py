"""Which words of two answers differ."""

import time

import pytest

from studio.backend.difference import difference


@pytest.mark.parametrize(
    ("a", "b", "changed_a", "changed_b"),
    [
        ("The cat sat.", "The dog sat.", ["cat"], ["dog"]),
        ("同じです", "同じです", [], []),
        ("東京は首都です。", "京都は古都です。", ["東", "首"], ["都", "古"]),
        ("", "new", [], ["new"]),
        ("GPT2モデル", "GPT3モデル", ["GPT2"], ["GPT3"]),
        ("a  b", "a b", ["  "], [" "]),
        ("ok", "ok!", [], ["!"]),
        ("한국어 좋아", "한국어 싫어", ["좋아"], ["싫어"]),
    ],
)
def test_words_that_differ(a: str, b: str, changed_a: list[str], changed_b: list[str]) -> None:
    left, right = difference(a, b)
    assert ["".join(s.text for s in spans) for spans in (left, right)] == [a, b]
    assert [s.text for s in left if s.changed] == changed_a
    assert [s.text for s in right if s.changed] == changed_b
    assert "".join(s.text for s in left if not s.changed) == "".join(s.text for s in right if not s.changed)


def test_random_texts_differ_least() -> None:
    """As many pieces are common as in the textbook's table, in the same order in both texts."""
    import random

    random.seed(0)
    for _ in range(200):
        a, b = ("".join(random.choices("あいう", k=random.randrange(12))) for _ in range(2))
        table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
        for i, x in enumerate(a):
            for j, y in enumerate(b):
                table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
        left, right = difference(a, b)
        common = ["".join(s.text for s in spans if not s.changed) for spans in (left, right)]
        assert common[0] == common[1]
        assert len(common[0]) == table[-1][-1]


def test_difference_of_long_answers_is_quick() -> None:
    a = "これは長い文章で、同じ文字が何度も出てきます。The end is near. " * 100
    began = time.perf_counter()
    left, _ = difference(a, a[::-1])
    assert "".join(s.text for s in left) == a
    difference(a, a.replace("長い", "短い"))
    assert time.perf_counter() - began < 2
