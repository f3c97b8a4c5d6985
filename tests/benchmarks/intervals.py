"""How often the 95 % intervals of the difference of two contestants hold the true one.

    python -m tests.benchmarks.intervals [--simulations 4000] [--rows 30 40 100 400]

Each simulation draws the rows of a test set anew, with answers of two contestants whose true difference is known, and
asks `studio.evaluation.intervals.paired`. Right and wrong: shares of right answers before and after, and their
correlation; five times as many simulations, for they are quick. Scores: see `SCORES`. Told is the share of intervals
that hold the truth, to be 93 to 97 %, and of those that lie above and below it.

Where fewer than about five rows change on average there are so few possible outcomes that an interval which never
holds too seldom must hold too often: such settings are marked.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from studio.evaluation.intervals import Difference, paired

Pairs = tuple[float, np.ndarray, np.ndarray]
"""The true difference, and the values before and after: a simulation each row."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Of right answers before and after, and their correlation."""

    before: float
    after: float
    correlation: float

    @property
    def both(self) -> float:
        variance = self.before * (1 - self.before) * self.after * (1 - self.after)
        return self.before * self.after + self.correlation * variance**0.5

    @property
    def changed(self) -> float:
        return self.before + self.after - 2 * self.both


RIGHT_WRONG = {
    "no difference": Shares(0.5, 0.5, 0.3),
    "no difference, independent": Shares(0.7, 0.7, 0.0),
    "no difference, alike": Shares(0.7, 0.7, 0.6),
    "no difference, good": Shares(0.9, 0.9, 0.3),
    "a little better": Shares(0.5, 0.6, 0.3),
    "a little better, alike": Shares(0.5, 0.6, 0.6),
    "better": Shares(0.5, 0.75, 0.3),
    "much better": Shares(0.3, 0.7, 0.3),
    "from nothing": Shares(0.05, 0.9, 0.0),
    "a little worse": Shares(0.9, 0.8, 0.3),
    "worse": Shares(0.75, 0.5, 0.0),
    "good to better": Shares(0.8, 0.9, 0.3),
    "good to better, alike": Shares(0.8, 0.9, 0.6),
    "very good": Shares(0.9, 0.95, 0.3),
    "very good, alike": Shares(0.9, 0.95, 0.6),
}


def right_wrong_pairs(shares: Shares, rows: int, simulations: int, seed: int = 0) -> Pairs:
    random = np.random.default_rng(seed)
    both = shares.both
    kinds = random.choice(4, size=(simulations, rows), p=_checked(both, shares.after - both, shares.before - both))
    return shares.after - shares.before, np.isin(kinds, (0, 2)) * 1.0, np.isin(kinds, (0, 1)) * 1.0


def _checked(both: float, won: float, lost: float) -> list[float]:
    shares = [both, won, lost, 1 - both - won - lost]
    if min(shares) < 0:
        raise ValueError("no two contestants are so alike")
    return shares


Draw = Callable[[np.random.Generator, tuple[int, int]], tuple[np.ndarray, np.ndarray]]


def _normal(random: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Losses that fall by 0.1 on average, alike in hard and easy rows."""
    before = random.gamma(4, 0.5, size)
    return before, before - 0.1 + random.normal(0, 0.3, size)


def _skewed(random: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Losses that fall in proportion to what they were: differences with a long tail. 0.3 x 1 on average."""
    before = random.gamma(1.5, 1 / 1.5, size)
    return before, before * 0.7 + random.normal(0, 0.05, size)


def _exponential(random: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Scores of which some gain a lot. 5 on average."""
    before = random.uniform(10, 40, size)
    return before, before + random.exponential(5, size)


def _heavy(random: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Lengths that grow by a log-normal factor: exp(0.32) x 100 on average."""
    before = random.uniform(50, 100, size)
    return before, before + 100 * random.lognormal(0, 0.8, size)


def _overlap(random: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """chrF whose rows pile up at 0 and 100: half of the rows unchanged, a fifth becoming perfect."""
    before = 100 * random.beta(0.7, 1, size)
    after = np.where(random.random(size) < 0.5, before, 100 * random.beta(0.7, 1, size))
    return before, np.where(random.random(size) < 0.2, 100.0, after)


def _mostly_same(random: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Two thirds of the rows unchanged, the others a fifth better on average."""
    before = random.beta(2, 2, size)
    return before, before + np.where(random.random(size) < 2 / 3, 0, random.normal(0.2, 0.4, size))


def _hardly_any(random: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A tenth of the rows better, by 0.4 on average; all others unchanged."""
    before = random.beta(2, 2, size)
    return before, before + np.where(random.random(size) < 0.1, random.beta(2, 3, size), 0)


def _same(random: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Two samples of one model."""
    quality = random.beta(1, 1, size)
    noise = random.normal(0, 0.2, (2, *size))
    return np.clip(quality + noise[0], 0, 1), np.clip(quality + noise[1], 0, 1)


SCORES: dict[str, tuple[Draw, float]] = {
    "normal": (_normal, -0.1),
    "skewed": (_skewed, -0.3),
    "exponential": (_exponential, 5.0),
    "heavy tail": (_heavy, 100 * float(np.exp(0.32))),
    "text overlap": (_overlap, 0.2 * 100 * (1 - 0.7 / 1.7)),
    "mostly the same": (_mostly_same, 0.2 / 3),
    "hardly any change": (_hardly_any, 0.04),
    "no difference": (_same, 0.0),
}


def score_pairs(setting: tuple[Draw, float], rows: int, simulations: int, seed: int = 0) -> Pairs:
    draw, truth = setting
    return truth, *draw(np.random.default_rng(seed), (simulations, rows))


def sides(pairs: Pairs, right_wrong: bool) -> tuple[float, float]:
    """The shares of intervals that lie above the truth and below it."""
    truth, before, after = pairs
    known: dict[tuple[int, int], Difference | None] = {}  # of right and wrong only the counts matter
    above = below = 0
    for one, other in zip(before, after, strict=True):
        changed = int((other > one).sum()), int((other < one).sum())
        if not right_wrong or changed not in known:
            known[changed] = paired(one.tolist(), other.tolist(), right_wrong)
        found = known[changed]
        assert found is not None
        above += found.low > truth + 1e-12
        below += found.high < truth - 1e-12
    return above / len(before), below / len(before)


def coverage(pairs: Pairs, right_wrong: bool) -> float:
    return 1 - sum(sides(pairs, right_wrong))


def settings(rows: int, simulations: int) -> Iterator[tuple[str, Pairs, bool, float]]:
    for name, shares in RIGHT_WRONG.items():
        yield name, right_wrong_pairs(shares, rows, 5 * simulations), True, shares.changed * rows
    for name, setting in SCORES.items():
        pairs = score_pairs(setting, rows, simulations)
        yield name, pairs, False, float((pairs[1] != pairs[2]).sum(axis=1).mean())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--simulations", type=int, default=4000)
    parser.add_argument("--rows", type=int, nargs="+", default=[30, 40, 100, 400])
    options = parser.parse_args()
    print("| rows | values | setting | true difference | held % | above % | below % | |", "|---" * 8 + "|", sep="\n")
    for rows in options.rows:
        for name, pairs, right_wrong, changed in settings(rows, options.simulations):
            above, below = sides(pairs, right_wrong)
            held = 1 - above - below
            note = "" if 0.93 <= held <= 0.97 else f"few changed rows ({changed:.1f})" if changed < 5 else "outside"
            kind = "right/wrong" if right_wrong else "scores"
            figures = f"{100 * held:.1f} | {100 * above:.1f} | {100 * below:.1f}"
            print(f"| {rows} | {kind} | {name} | {pairs[0]:+.3f} | {figures} | {note} |", flush=True)


if __name__ == "__main__":
    main()
