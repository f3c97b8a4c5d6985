"""Intervals hold the truth, and never claim a certainty that few rows cannot give."""

import math
import time

import numpy as np
import pytest

from studio.evaluation.intervals import Difference, mean_interval, paired, sentence, verdict_word
from studio.messages import translate
from tests.benchmarks.intervals import RIGHT_WRONG, SCORES, coverage, right_wrong_pairs, score_pairs


def test_wilson() -> None:
    """The figures of Newcombe 1998 (Statistics in Medicine 17, 857-872), table I: 81 of 263, 15 of 148, 0 of 20."""
    for right, rows, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        found = mean_interval([1.0] * right + [0.0] * (rows - right), right_wrong=True)
        assert found is not None
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
        assert (found.value, found.rows) == (right / rows, rows)


def pairs(both: int, won: int, lost: int, neither: int) -> tuple[list[float], list[float]]:
    before = [1.0] * both + [0.0] * won + [1.0] * lost + [0.0] * neither
    return before, [1.0] * both + [1.0] * won + [0.0] * lost + [0.0] * neither


def test_tango() -> None:
    """The example of Fagerland, Lydersen & Laake 2014: 21 pairs, of which 1, 1, 7 and 12."""
    found = paired(*pairs(1, 1, 7, 12), right_wrong=True)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((-6 / 21, -0.517, -0.026), abs=1e-3)
    assert found.p == pytest.approx(0.0703, abs=1e-4)


@pytest.mark.parametrize(("won", "lost", "rows"), [(0, 0, 40), (4, 0, 40), (3, 9, 30), (0, 7, 10), (20, 12, 400)])
def test_the_ends_are_where_the_score_test_turns(won: int, lost: int, rows: int) -> None:
    """The restricted likelihood is maximised here by trying all shares, not by Tango's formula."""
    found = paired(*pairs(0, won, lost, rows - won - lost), right_wrong=True)
    assert found is not None
    for assumed in (found.low, found.high):
        lost_share = np.linspace(max(0.0, -assumed), (1 - assumed) / 2, 2_000_001)[1:-1]
        won_share = lost_share + assumed
        likelihood = won * np.log(won_share) + lost * np.log(lost_share)
        best = lost_share[np.argmax(likelihood + (rows - won - lost) * np.log(1 - lost_share - won_share))]
        statistic = (won - lost - rows * assumed) / math.sqrt(rows * (2 * best + assumed - assumed**2))
        assert abs(statistic) == pytest.approx(1.96, abs=2e-3) or abs(assumed) == 1


@pytest.mark.parametrize("rows", [1, 2, 5, 40])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_no_difference_seen_is_no_certainty(rows: int, value: float) -> None:
    same = [value] * rows
    for right_wrong in (True, False):
        found = paired(same, same, right_wrong, ends=(0, 1))
        assert found is not None
        assert (found.value, found.p) == (0, 1)
        assert found.low < -0.05
        assert found.high > 0.05
        assert found.low >= -1
        assert found.high <= 1
        mean = mean_interval(same, right_wrong, ends=(0, 1))
        assert mean is not None
        assert 0.05 < mean.high - mean.low <= 1
        assert mean.low <= value <= mean.high


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5])
def test_few_rows_that_all_won_show_nothing(rows: int) -> None:
    for right_wrong in (True, False):
        found = paired([0.0] * rows, [1.0] * rows, right_wrong, ends=(0, 1))
        assert found is not None
        assert (found.value, verdict_word(found, "higher")) == (1, "unclear")
        assert found.low < 0.6
    assert paired([0.1] * rows, [0.7] * rows, right_wrong=False) is not None


def test_no_rows() -> None:
    assert mean_interval([], right_wrong=True) is None
    assert paired([], [], right_wrong=False) is None
    assert paired([None, 1.0], [1.0, None], right_wrong=True) is None
    with pytest.raises(ValueError, match="zip"):
        paired([1.0], [], right_wrong=True)


def test_rows_without_a_value_are_left_out() -> None:
    found = paired([1.0, None, 0.0, 0.0], [1.0, 1.0, None, 1.0], right_wrong=True)
    assert found == paired([1.0, 0.0], [1.0, 1.0], right_wrong=True)
    assert mean_interval([1.0, None, 0.0], right_wrong=True) == mean_interval([1.0, 0.0], right_wrong=True)


@pytest.mark.parametrize("right_wrong", [True, False])
def test_turned_round_the_difference_is_the_other_way(right_wrong: bool) -> None:
    random = np.random.default_rng(3)
    before, after = (random.random((2, 60)) < 0.5).astype(float) if right_wrong else random.random((2, 60))
    one, other = paired(list(before), list(after), right_wrong), paired(list(after), list(before), right_wrong)
    assert one is not None
    assert other is not None
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low), abs=1e-9)
    assert one.p == pytest.approx(other.p)
    assert one.low < one.value < one.high
    assert one == paired(list(before), list(after), right_wrong), "seeded"


def test_the_interval_of_scores_and_its_p_agree() -> None:
    random = np.random.default_rng(4)
    for shift in np.linspace(-0.3, 0.3, 21):
        before = random.random(50)
        found = paired(list(before), list(before + random.normal(shift, 0.4, 50)), right_wrong=False)
        assert found is not None
        apart = found.low > 0 or found.high < 0
        assert apart == (found.p < 0.05) or abs(found.p - 0.05) < 0.002


@pytest.mark.parametrize(
    ("difference", "better", "word"),
    [
        (Difference(0.2, 0.1, 0.3, 0.001, 40), "higher", "better"),
        (Difference(0.2, 0.1, 0.3, 0.001, 40), "lower", "worse"),
        (Difference(-0.2, -0.3, -0.1, 0.001, 40), "higher", "worse"),
        (Difference(-0.2, -0.3, -0.1, 0.001, 40), "lower", "better"),
        (Difference(0.2, -0.1, 0.5, 0.2, 40), "higher", "unclear"),
        (Difference(0.1, 0.01, 0.2, 0.0625, 40), "higher", "unclear"),
        (Difference(9.0, 8.0, 10.0, 0.001, 40), "neither", "unclear"),
    ],
)
def test_the_word(difference: Difference, better: str, word: str) -> None:
    assert verdict_word(difference, better) == word  # type: ignore[arg-type]


def test_the_words_are_plain() -> None:
    key, values = sentence(Difference(0.2, -0.1, 0.5, 0.2, 40), "higher")
    assert translate(key, "en", **values) == "not shown with 40 rows"
    assert "40 行" in translate(key, "ja", **values)


def test_a_thousand_rows_are_quick() -> None:
    random = np.random.default_rng(5)
    before, after = random.random((2, 1000)).tolist()
    start = time.process_time()
    paired(before, after, right_wrong=False)
    assert time.process_time() - start < 0.3
    many = random.random(5_000).tolist()
    found = mean_interval(many, right_wrong=False)
    assert found is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(1 / 12 / 5_000), rel=0.1)


@pytest.mark.parametrize(("name", "rows"), [("a little better", 40), ("no difference", 100)])
def test_the_intervals_of_right_and_wrong_cover(name: str, rows: int) -> None:
    assert 0.93 <= coverage(right_wrong_pairs(RIGHT_WRONG[name], rows, 2000, seed=1), right_wrong=True) <= 0.97


@pytest.mark.parametrize(("name", "rows"), [("skewed", 40)])
def test_the_intervals_of_scores_cover(name: str, rows: int) -> None:
    assert 0.93 <= coverage(score_pairs(SCORES[name], rows, 500, seed=1), right_wrong=False) <= 0.97
