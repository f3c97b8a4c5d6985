"""Win rates and strengths, against what is known of them."""

import random
from itertools import combinations

import pytest

from studio.backend.ratings import Game, bradley_terry, games_of, win_rates
from studio.data.records import Message
from studio.evaluation.intervals import wilson
from studio.runs.contestants import Contestant
from studio.runs.spec import ModelSpec
from studio.runs.votes import Answered, Vote


def test_wilson_is_the_textbook_s() -> None:
    """Agresti and Coull 1998: 0 of 10 gives (0, 0.278); Newcombe 1998, method 3: 81 of 263 gives (0.2553, 0.3662)."""
    assert wilson(0, 10) == pytest.approx((0, 0.278), abs=5e-4)
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_wilson_holds_the_truth_as_often_as_it_says() -> None:
    numbers, held, rate = random.Random(0), 0, 0.7
    for _ in range(2000):
        low, high = wilson(sum(numbers.random() < rate for _ in range(40)) / 40, 40)
        held += low <= rate <= high
    assert 0.93 < held / 2000 < 0.97


def test_ties_are_half_a_win() -> None:
    rates = win_rates([Game("a", "b", 1.0), Game("a", "b", 0.5), Game("b", "a", 1.0), Game("b", "a", 0.5)])
    assert (rates["a"].wins, rates["a"].ties, rates["a"].losses, rates["a"].rate) == (1, 2, 1, 0.5)
    assert rates["b"].rate == 0.5


def test_strengths_are_found_again() -> None:
    """Planted strengths, 400 points for odds of 10 to 1; many games."""
    planted = {"a": 1200.0, "b": 1000.0, "c": 900.0, "d": 900.0}
    numbers = random.Random(1)
    games = []
    for first, second in list(combinations(planted, 2)) * 150:
        odds = 10 ** ((planted[first] - planted[second]) / 400)
        games.append(Game(first, second, float(numbers.random() < odds / (1 + odds)), len(games)))
    found = bradley_terry(games)
    for who, points in planted.items():
        assert found[who].points == pytest.approx(points, abs=40)
        assert found[who].interval.low < found[who].points < found[who].interval.high
    assert found["a"].interval.low > found["b"].interval.high


def test_who_always_won_has_a_strength() -> None:
    found = bradley_terry([Game("a", "b", 1.0, 0), Game("c", "d", 1.0, 1)])
    assert found["a"].points == found["c"].points > 1000 > found["b"].points
    assert bradley_terry([]) == {}


@pytest.mark.parametrize("votes", [1, 10])
def test_votes_that_all_agree_claim_no_certainty(votes: int) -> None:
    games = [Game("a", other, 1.0, number) for number in range(votes) for other in "bc"]
    for rating in bradley_terry(games).values():
        assert rating.interval.low < rating.points - 100
        assert rating.interval.high > rating.points + 100


def test_intervals_of_strengths_hold_them() -> None:
    """The best of three of planted strengths is voted for."""
    planted = {"a": 1060.0, "b": 1000.0, "c": 940.0}
    weights = [10 ** (points / 400) for points in planted.values()]
    numbers, held, times = random.Random(2), 0, 20
    for _ in range(times):
        games = []
        for number in range(15):
            (best,) = numbers.choices(list(planted), weights)
            games += [Game(best, other, 1.0, number) for other in planted if other != best]
        found = bradley_terry(games)
        held += sum(found[who].interval.low <= points <= found[who].interval.high for who, points in planted.items())
    assert 0.9 < held / (3 * times) < 1


def vote(verdict: str, column: int | None, runs: str) -> Vote:
    answers = tuple(
        Answered(contestant=Contestant(base=ModelSpec(), run=run.strip("-")), name=run, text=f"{run} {place}")
        for place, run in enumerate(runs)
    )
    edited = {"edited": "better"} if verdict == "edit" else {}
    prompt = (Message("user", "?"),)
    return Vote.model_validate(
        {"id": "v", "time": 0.0, "prompt": prompt, "answers": answers, "verdict": verdict, "column": column, **edited}
    )


def test_the_best_of_several_beats_each_other_and_no_more_is_said() -> None:
    games = games_of([vote("best", 1, "abc")])
    assert {(game.first, game.second, game.score) for game in games} == {(0, 1, 0.0), (1, 2, 1.0)}
    assert [game.score for game in games_of([vote("tie", None, "abc"), vote("bad", None, "ab")])] == [0.5] * 4
    assert games_of([vote("edit", 0, "ab"), vote("best", 0, "aa")]) == []
