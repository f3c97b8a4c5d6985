"""How sure a figure is: 95 % intervals of a mean and of the difference of two contestants on the same rows.

The rows are taken as a random sample of all that could be asked. `python -m tests.benchmarks.intervals` simulates how
often the intervals hold the truth.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

Better = Literal["higher", "lower", "neither"]
Ends = tuple[float, float]
Word = Literal["better", "worse", "unclear"]

LEVEL = 0.95
NO_ENDS: Ends = (-math.inf, math.inf)
RESAMPLES = 4000
_SEED = 0
_FEW = 8
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
# Numbers drawn at a time.
_AT_ONCE = 2_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over `rows` rows and where the true one is likely to be."""

    value: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True)
class Difference:
    """After minus before on the same `rows` rows. `p`: how likely a difference at least this far from 0 is where there
    is none in truth; two-sided."""

    value: float
    low: float
    high: float
    p: float
    rows: int


def mean_interval(values: Sequence[float | None], right_wrong: bool, ends: Ends = NO_ENDS) -> Interval | None:
    """The mean with its interval; rows without a value are left out. None of no values.

    Of right and wrong (1 and 0): Wilson's score interval (Wilson 1927; Brown, Cai & DasGupta 2001). Of other figures:
    see `_mean`. `ends`: the least and the greatest value there can be."""
    data = np.array([value for value in values if value is not None], np.float64)
    if not len(data):
        return None
    value = float(data.mean())
    if right_wrong:
        return Interval(value, *wilson(value, len(data)), len(data))
    low, high, _ = _mean(data, _width(data, ends))
    return Interval(value, max(low, min(ends[0], value)), min(high, max(ends[1], value)), len(data))


def paired(
    before: Sequence[float | None], after: Sequence[float | None], right_wrong: bool, ends: Ends = NO_ENDS
) -> Difference | None:
    """The difference of two contestants on the same rows, in the same order; rows for which one has no value are left
    out. None of no rows.

    Of right and wrong: Tango's score interval for paired proportions (Tango 1998, Statistics in Medicine 17), which
    Fagerland, Lydersen & Laake (2014, Statistics in Medicine 33) recommend, and the exact McNemar test. Of other
    figures: see `_mean`, of the differences."""
    both = [(old, new) for old, new in zip(before, after, strict=True) if old is not None and new is not None]
    if not both:
        return None
    first, second = np.array(both, np.float64).T
    change, rows = second - first, len(first)
    if right_wrong:
        from scipy.stats import binomtest  # takes half a second to load: not when the page starts

        won, lost = int((change > 0).sum()), int((change < 0).sum())
        p = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
        return Difference((won - lost) / rows, *_tango(won, lost, rows), p, rows)
    width = _width(np.concatenate((first, second)), ends)
    low, high, p = _mean(change, width)
    reach = ends[1] - ends[0]
    return Difference(float(change.mean()), max(low, -reach), min(high, reach), p, rows)


def verdict_word(difference: Difference, better: Better) -> Word:
    """Better or worse where the whole interval is on one side of 0 and p is below 0.05 as well (with few changed rows
    the exact test asks for more than the interval); otherwise it is not shown."""
    shown = difference.p < 1 - LEVEL and (difference.low > 0 or difference.high < 0)
    if not shown or better == "neither":
        return "unclear"
    return "better" if (difference.value > 0) == (better == "higher") else "worse"


def sentence(difference: Difference, better: Better) -> tuple[str, dict[str, object]]:
    """The plain words as the key of a sentence and its values: "better", "worse", "not shown with 40 rows"."""
    return f"ui.metric.word.{verdict_word(difference, better)}", {"rows": difference.rows}


def wilson(share: float, rows: int) -> tuple[float, float]:
    """Both ends of Wilson's score interval for a share of so many rows."""
    z2 = _Z * _Z
    middle = (share + z2 / (2 * rows)) / (1 + z2 / rows)
    half = _Z * math.sqrt(share * (1 - share) / rows + z2 / (4 * rows * rows)) / (1 + z2 / rows)
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def _tango(won: int, lost: int, rows: int) -> tuple[float, float]:
    """The differences that the score test does not reject: its statistic falls as the assumed difference grows, so both
    ends are found by halving."""
    value = (won - lost) / rows

    def score(assumed: float) -> float:
        b = -won - lost + (2 * rows - won + lost) * assumed
        c = -lost * assumed * (1 - assumed)
        share = (math.sqrt(max(0.0, b * b - 8 * rows * c)) - b) / (4 * rows)
        variance = rows * (2 * share + assumed * (1 - assumed))
        apart = won - lost - rows * assumed
        return apart / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, apart) if apart else 0.0

    return _halved(-1.0, value, lambda assumed: score(assumed) > _Z), _halved(value, 1.0, lambda a: score(a) >= -_Z)


def _halved(low: float, high: float, above: Callable[[float], bool]) -> float:
    """Where `above` turns from true to false."""
    for _ in range(60):
        middle = (low + high) / 2
        if above(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _width(values: np.ndarray, ends: Ends) -> float:
    """How far apart two values can be; where the scale has no end, how far apart they were."""
    reach = ends[1] - ends[0]
    return reach if math.isfinite(reach) else float(values.max() - values.min())


def _mean(data: np.ndarray, width: float) -> tuple[float, float, float]:
    """Interval of a mean, and p of a mean of 0: at each end the farther of two, Student's t and the studentised
    bootstrap, also called bootstrap-t (Efron & Tibshirani 1993, chapter 12). The latter holds the truth more often than
    percentiles or BCa do where values are skewed; where most rows do not change at all and few are left to resample,
    the former is safer. p is the larger of the two. Of fewer than 8 rows there are too few resamples: t alone.

    Rows that are all alike tell nothing of those not seen but that they are rare: with 95 % confidence fewer than
    1 - 0.05^(1/rows) of all (the rule of three, Hanley & Lippman-Hand 1983), which could be off by `width`; p is then
    that of the sign test."""
    rows, mean = len(data), float(data.mean())
    deviation = float(data.std(ddof=1)) if rows > 1 else 0.0
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        unseen = 1 - (1 - LEVEL) ** (1 / rows) if rows > 1 else 1.0
        return mean - unseen * width, mean + unseen * width, min(1.0, 2 * 0.5**rows) if mean else 1.0
    error = deviation / math.sqrt(rows)
    from scipy.stats import t as student

    reach = float(student.ppf((1 + LEVEL) / 2, rows - 1))
    below, above, p = -reach, reach, float(2 * student.sf(abs(mean) / error, rows - 1))
    if rows >= _FEW:
        scores = _resampled_scores(data, mean, deviation)
        ends = np.quantile(scores, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        below, above = min(below, float(ends[0])), max(above, float(ends[1]))
        tail = min(int((scores >= mean / error).sum()), int((scores <= mean / error).sum()))
        p = max(p, min(1.0, 2 * (tail + 1) / (len(scores) + 1)))
    return mean - above * error, mean - below * error, p


def _resampled_scores(data: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """Of each resample, how many of its standard errors its mean is off. Its variance is drawn a little towards that of
    the sample, as by two more rows: one that by chance holds hardly any changed row would seem to have no error."""
    rows = len(data)
    random = np.random.default_rng(_SEED)
    centred = (data - mean) / deviation
    scores = []
    for start in range(0, RESAMPLES, step := max(1, _AT_ONCE // rows)):
        count = min(step, RESAMPLES - start)
        drawn = centred[random.integers(rows, size=(count, rows))]
        variance = (rows * drawn.var(axis=1, ddof=1) + 2) / (rows + 2)
        scores.append(drawn.mean(axis=1) * np.sqrt(rows / variance))
    return np.concatenate(scores)
