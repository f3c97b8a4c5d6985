"""The split is seeded and stable, and nothing is on two sides."""

import random
from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from studio.data.records import Conversation, Message
from studio.data.splits import Split, SplitSpec, assign, first_split, scores, split, strata_codes


def rows(*texts: str) -> list[tuple[int, Conversation]]:
    return [(i, Conversation((Message("user", text),), f"to {text}")) for i, text in enumerate(texts, 1)]


MANY = rows(*(f"text {i}" for i in range(200)))
SIDES = ("train", "validation", "test", "idle")


def sides(parts: Split) -> dict[int, str]:
    """Side of each row."""
    found = {int(i): name for name in SIDES for i in getattr(parts, name)}
    assert len(found) == sum(len(getattr(parts, name)) for name in SIDES)
    return found


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.33, 0.5])
@pytest.mark.parametrize("count", [1, 2, 3, 10, 200])
def test_share(share: float, count: int) -> None:
    parts = split(MANY[:count], SplitSpec(validation_share=share))
    assert sorted(sides(parts)) == [i for i, _ in MANY[:count]]
    wanted = max(1, round(count * share)) if share and count > 1 else 0
    assert len(parts.validation) == wanted
    assert len(parts.train)
    assert len(parts.test) == len(parts.idle) == 0


def test_the_same_rows_validate_as_ever() -> None:
    """Runs that were begun by an earlier version go on with the same rows."""
    assert split(MANY, SplitSpec()).validation.tolist() == [
        3, 38, 41, 42, 46, 58, 81, 88, 93, 96, 118, 128, 136, 158, 170, 172, 180, 182, 183, 184,
    ]  # fmt: skip


def test_seed_and_order() -> None:
    first = split(MANY, SplitSpec())
    shuffled = random.Random(3).sample(MANY, len(MANY))
    assert set(split(shuffled, SplitSpec()).validation) == set(first.validation)
    assert set(split(MANY, SplitSpec(seed=1)).validation) != set(first.validation)
    assert list(first.train) == sorted(first.train)


def test_a_row_more_moves_few_others() -> None:
    before = set(split(MANY, SplitSpec()).validation)
    after = set(split([*MANY, *[(999, MANY[0][1])]], SplitSpec()).validation)
    assert len(before & after) >= len(before) - 2


@pytest.mark.parametrize("seed", range(20))
def test_equal_rows_stay_together(seed: int) -> None:
    texts = [f"Text {i % 7}" for i in range(30)] + ["ＴＥＸＴ  3", "text 3 "]
    data = [(i, Conversation(c.prompt, "same")) for i, c in rows(*texts)]
    parts = split(data, SplitSpec(seed=seed, validation_share=0.3, test_share=0.2))
    found: dict[str, set[str]] = {}
    for i, side in sides(parts).items():
        found.setdefault(" ".join(texts[i - 1].replace("ＴＥＸＴ", "text").lower().split()), set()).add(side)
    assert all(len(side) == 1 for side in found.values())
    assert all(len(part) for part in (parts.train, parts.validation, parts.test))


def test_only_copies_leave_nothing_to_validate() -> None:
    parts = split(rows("x", "x", "x"), SplitSpec(validation_share=0.5, test_share=0.4))
    assert sides(parts) == dict.fromkeys((1, 2, 3), "train")


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("shares", list(product([0, 0.001, 0.5], [0, 0.001, 0.4])))
def test_few_rows(count: int, shares: tuple[float, float]) -> None:
    validation, test = shares
    parts = split(MANY[:count], SplitSpec(validation_share=validation, test_share=test, train_share=0.01))
    assert len(parts.train) == 1
    assert bool(len(parts.validation)) == (validation > 0 and count > 1)
    assert bool(len(parts.test)) == (test > 0 and count > (2 if validation else 1))


@pytest.mark.parametrize(("rows", "kept"), [(0, 0), (199, 0), (200, 20), (4_999, 500), (2_000_000, 500)])
def test_new_data_keeps_test_rows_where_there_are_enough(rows: int, kept: int) -> None:
    spec = first_split(rows)
    assert round(rows * spec.test_share) == kept
    assert spec.model_copy(update={"test_share": 0.0}) == SplitSpec()


def test_test_rows_do_not_move_with_the_validation_share() -> None:
    less, more = (split(MANY, SplitSpec(validation_share=share, test_share=0.2)) for share in (0.1, 0.3))
    assert less.test.tolist() == more.test.tolist()
    assert set(less.validation) < set(more.validation)
    assert not set(less.test) & {*less.validation, *less.train}


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=60),
    st.floats(0, 0.5),
    st.floats(0, 0.4),
    st.integers(0, 5),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_groups_are_never_torn_in_whatever_order(
    texts: list[int], validation: float, test: float, seed: int, data: Any
) -> None:
    given_ = rows(*map(str, texts))
    clusters = np.array(data.draw(st.lists(st.integers(0, 40), min_size=len(texts), max_size=len(texts))))
    strata = data.draw(st.lists(st.sampled_from(["a", "b", None, 3]), min_size=len(texts), max_size=len(texts)))
    spec = SplitSpec(validation_share=validation, test_share=test, seed=seed, train_share=data.draw(st.floats(0.01, 1)))
    parts = split(given_, spec, clusters, strata)
    found = sides(parts)
    assert sorted(found) == [i for i, _ in given_]
    assert len(parts.train)
    for one, other in product(range(len(texts)), repeat=2):
        if texts[one] == texts[other] or clusters[one] == clusters[other]:
            assert found[one + 1] == found[other + 1]
    order = data.draw(st.permutations(range(len(texts))))
    again = split([given_[i] for i in order], spec, clusters[list(order)], [strata[i] for i in order])
    assert sides(again) == found


@given(st.lists(st.sampled_from("aab"), min_size=2, max_size=200), st.floats(0.05, 0.5), st.floats(0, 0.4))
@settings(max_examples=100, deadline=None)
def test_strata_have_their_share_within_rounding(labels: list[str], validation: float, test: float) -> None:
    data = rows(*(f"{i}" for i in range(len(labels))))
    parts = split(data, SplitSpec(validation_share=validation, test_share=test), strata=labels)
    total = Counter(labels)
    for ids, share in ((parts.validation, validation), (parts.test, test)):
        here = Counter(labels[i - 1] for i in ids)
        assert all(abs(here[label] - share * total[label]) <= 1 for label in total)


def test_smaller_parts_of_the_training_rows_lie_within_larger_ones() -> None:
    whole = split(MANY, SplitSpec(test_share=0.1))
    parts = [split(MANY, SplitSpec(test_share=0.1, train_share=share)) for share in (0.25, 0.5, 1)]
    assert [len(part.train) for part in parts] == [40, 80, 160]
    assert set(parts[0].train) < set(parts[1].train) < set(parts[2].train) == set(whole.train)
    for part in parts:
        assert part.validation.tolist() == whole.validation.tolist()
        assert part.test.tolist() == whole.test.tolist()
        assert len(part.train) + len(part.idle) == len(whole.train)


def test_linked_clusters_are_one() -> None:
    """Rows linked by a chain of equal texts and near-duplicate clusters stay together."""
    texts = [str(i // 2) for i in range(40)]
    chain = np.array([(i + 1) // 2 for i in range(40)])
    parts = split(rows(*texts, "apart"), SplitSpec(validation_share=0.3), np.append(chain, 99))
    assert len(parts.validation) == 1
    assert parts.validation[0] == 41


def test_shares_of_a_million_rows_with_clusters_and_strata() -> None:
    rng = np.random.default_rng(0)
    count = 1_000_000
    numbers = rng.integers(0, 2**63, count, dtype=np.uint64)
    parts = assign(
        np.arange(count), numbers, SplitSpec(test_share=0.1), rng.integers(0, count, count), rng.integers(0, 9, count)
    )
    assert len(parts.validation) == pytest.approx(count / 10, abs=20)


def test_scores_and_codes() -> None:
    found = scores((c for _, c in MANY), 0)
    assert (len(found), found.dtype, len(set(found.tolist()))) == (200, np.uint64, 200)
    assert strata_codes(None) is None
    codes = strata_codes([1, "1", None, 1, ["x"], ["x"]])
    assert codes is not None
    assert codes.tolist() == [1, 0, 2, 1, 3, 3]


def test_an_empty_field_is_no_column() -> None:
    assert SplitSpec.model_validate({"stratify": ""}).stratify is None
    with pytest.raises(ValidationError):
        SplitSpec.model_validate({"test_share": 0.5})
