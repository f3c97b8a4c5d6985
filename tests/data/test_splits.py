"""The split is seeded and stable, and nothing is on both sides."""

import random

import pytest

from studio.data.records import Conversation, Message
from studio.data.splits import SplitSpec, split


def rows(*texts: str) -> list[tuple[int, Conversation]]:
    return [(i, Conversation((Message("user", text),), f"to {text}")) for i, text in enumerate(texts, 1)]


MANY = rows(*(f"text {i}" for i in range(200)))


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.33, 0.5])
@pytest.mark.parametrize("count", [1, 2, 3, 10, 200])
def test_share(share: float, count: int) -> None:
    parts = split(MANY[:count], SplitSpec(validation_share=share))
    assert sorted(parts.train + parts.validation) == [i for i, _ in MANY[:count]]
    wanted = max(1, round(count * share)) if share and count > 1 else 0
    assert len(parts.validation) == wanted
    assert parts.train


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
    data = rows(*texts)
    parts = split([(i, Conversation(c.prompt, "same")) for i, c in data], SplitSpec(seed=seed, validation_share=0.3))
    sides: dict[str, set[str]] = {}
    for side, ids in (("train", parts.train), ("validation", parts.validation)):
        for i in ids:
            sides.setdefault(" ".join(texts[i - 1].replace("ＴＥＸＴ", "text").lower().split()), set()).add(side)
    assert all(len(side) == 1 for side in sides.values())
    assert parts.train
    assert parts.validation


def test_only_copies_leave_nothing_to_validate() -> None:
    parts = split(rows("x", "x", "x"), SplitSpec(validation_share=0.5))
    assert (parts.train, parts.validation) == ((1, 2, 3), ())
