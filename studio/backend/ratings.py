"""How often a contestant wins, and how strong it is: from votes, with 95 % intervals. Pure.

A vote for the best of several answers is a win over each of the others. A tie, and a vote that all are bad, is half a
win for each of every two, as in Chatbot Arena (Chiang et al. 2024, arXiv:2403.04132). Rewritten answers say nothing
about who is better.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from studio.evaluation.intervals import wilson
from studio.runs.contestants import Contestant
from studio.runs.votes import Vote

_RESAMPLES = 200
_SCALE = 400 / math.log(10)  # points for odds of e to 1
_Z = 1.959964
_MOST_STEPS = 500
_CLOSE = 1e-7

Who = TypeVar("Who", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Game(Generic[Who]):
    """Two contestants and the first one's share of the win: 1, 0 or 0.5. `vote`: games of one vote go together."""

    first: Who
    second: Who
    score: float
    vote: int = 0


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class WinRate:
    """`rate`: wins, with half of the ties, by all comparisons. Wilson's interval (1927) takes each as a coin's toss:
    with ties it is a little wider than it must be."""

    wins: int
    ties: int
    losses: int
    rate: float
    interval: Interval

    @property
    def games(self) -> int:
        return self.wins + self.ties + self.losses


def games_of(votes: Sequence[Vote]) -> "list[Game[int]]":
    """The comparisons in the votes, by the places that `contestants_of` gives the contestants. Nobody plays against
    themselves."""
    places = {who: place for place, who in enumerate(contestants_of(votes))}
    found: list[Game[int]] = []
    for number, vote in enumerate(votes):
        if vote.verdict == "edit":
            continue
        for a, b in combinations(range(len(vote.answers)), 2):
            first, second = (places[vote.answers[place].contestant] for place in (a, b))
            if first == second or (vote.verdict == "best" and vote.column not in (a, b)):
                continue
            score = 0.5 if vote.verdict != "best" else float(vote.column == a)
            found.append(Game(first, second, score, number))
    return found


def contestants_of(votes: Sequence[Vote]) -> list[Contestant]:
    """Who was judged, in the order of the first vote."""
    return list(dict.fromkeys(answer.contestant for vote in votes for answer in vote.answers))


def win_rates(games: "Sequence[Game[Who]]") -> dict[Who, WinRate]:
    """Of everybody who played."""
    scores: dict[Who, list[float]] = {}
    for game in games:
        scores.setdefault(game.first, []).append(game.score)
        scores.setdefault(game.second, []).append(1 - game.score)
    return {who: _win_rate(own) for who, own in scores.items()}


def _win_rate(scores: Sequence[float]) -> WinRate:
    wins, losses = scores.count(1.0), scores.count(0.0)
    rate = sum(scores) / len(scores)
    return WinRate(wins, len(scores) - wins - losses, losses, rate, Interval(*wilson(rate, len(scores))))


@dataclass(frozen=True, slots=True)
class Rating:
    """Strength on Elo's scale: 400 points are odds of 10 to 1; the mean of all contestants is 1000."""

    points: float
    interval: Interval


def bradley_terry(games: "Sequence[Game[Who]]", seed: int = 0) -> dict[Who, Rating]:
    """Strengths by the model of Bradley and Terry (1952). Their intervals are the wider of two: from votes drawn again
    (percentile bootstrap), since the comparisons of one vote go together, and from the curvature of the likelihood,
    since votes that all agree are equal however they are drawn.

    Each contestant is taken to have tied once with one of mean strength, which makes strengths finite where somebody
    won always, and comparable where some never met (a prior, as in Caron and Doucet 2012, arXiv:1011.1761).
    """
    who = list(dict.fromkeys(one for game in games for one in (game.first, game.second)))
    if not who:
        return {}
    places = {one: place for place, one in enumerate(who)}
    number = {vote: i for i, vote in enumerate(dict.fromkeys(game.vote for game in games))}
    won = np.zeros((len(number), len(who), len(who)))
    for game in games:
        first, second, vote = places[game.first], places[game.second], number[game.vote]
        won[vote, first, second] += game.score
        won[vote, second, first] += 1 - game.score
    whole = won.sum(axis=0)
    points = _points(whole)
    margin = _Z * _deviations(whole, points)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(number), np.full(len(number), 1 / len(number)), _RESAMPLES)
    spread = _points(np.tensordot(times, won, axes=1))
    drawn_low, drawn_high = np.percentile(spread, [2.5, 97.5], axis=0)
    low, high = np.minimum(drawn_low, points - margin), np.maximum(drawn_high, points + margin)
    return {
        one: Rating(float(points[i]), Interval(float(low[i]), float(high[i])))
        for i, one in enumerate(who)
    }  # fmt: skip


def _points(won: NDArray[np.float64]) -> NDArray[np.float64]:
    """`won[..., i, j]`: how often i won against j. By minorisation and maximisation (Hunter 2004, "MM algorithms for
    generalized Bradley-Terry models", Annals of Statistics 32:384)."""
    met = won + won.swapaxes(-1, -2)
    wins = won.sum(axis=-1) + 0.5
    strength = np.ones(wins.shape)
    for _ in range(_MOST_STEPS):
        before = strength
        both = strength[..., :, None] + strength[..., None, :]
        strength = wins / ((met / both).sum(axis=-1) + 1 / (strength + 1))
        if np.abs(np.log(strength / before)).max() < _CLOSE:
            break
    elo = _SCALE * np.log(strength)
    return 1000 + elo - elo.mean(axis=-1, keepdims=True)


def _deviations(won: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviations of the points, by the observed information of what `_points` makes likeliest."""
    strength = np.exp((points - 1000) / _SCALE)
    share = strength[:, None] / (strength[:, None] + strength)
    information = -(won + won.T) * share * (1 - share)
    np.fill_diagonal(information, 0)
    np.fill_diagonal(information, strength / (strength + 1) ** 2 - information.sum(axis=1))
    centred = np.eye(len(won)) - 1 / len(won)
    return _SCALE * np.sqrt(np.diag(centred @ np.linalg.inv(information) @ centred))
