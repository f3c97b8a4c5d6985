"""Classification."""

import json
from pathlib import Path

import pytest

from studio.evaluation.classes import confusion, is_classification, label_metric, label_reader, labels_of
from tests.evaluation.rows import answer, question


def rows(*texts: str, times: int = 3):
    return [question(text) for text in texts * times]


def test_labels_are_the_expected_answers_the_most_frequent_first() -> None:
    assert labels_of([*rows("yes", "No"), question("no."), question(" ＮＯ ")]) == ("No", "yes")


@pytest.mark.parametrize(
    ("texts", "times", "holds"),
    [
        (("yes", "no"), 3, True),
        (("良い", "悪い", "ふつう"), 3, True),
        (("yes", "no"), 2, False),
        (("yes",), 30, False),
        (("a long sentence of which there are two kinds in these rows, each of them met often", "b"), 9, False),
        (tuple(map(str, range(60))), 3, False),
        (("yes", ""), 9, False),
    ],
)
def test_what_is_a_classification(texts: tuple[str, ...], times: int, holds: bool) -> None:
    assert is_classification(rows(*texts, times=times)) == holds


@pytest.mark.parametrize(
    ("labels", "given", "label"),
    [
        (("positive", "negative"), "Positive.", "positive"),
        (("positive", "negative"), "**negative**", "negative"),
        (("positive", "negative"), "The review is clearly positive!", "positive"),
        (("positive", "negative"), "positive or negative?", None),
        (("positive", "negative"), "I feel positively good", None),
        (("positive", "negative"), "", None),
        (("safe", "not safe"), "This is not safe.", "not safe"),
        (("safe", "not safe"), "unsafe", None),
        (("part", "part time", "full time"), "She works part time here", "part time"),
        (("安定", "不安定"), "とても不安定です。", "不安定"),
        (("良い", "悪い"), "評価は「良い」です", "良い"),
        (("肯定", "否定"), "ﾌﾒｲ", None),
        (("A", "B", "C"), "b", "B"),
        (("A", "B", "C"), "(B) Paris", "B"),
        (("A", "B", "C"), "B. Paris", "B"),
        (("A", "B", "C"), "The answer is C.", "C"),
        (("A", "B", "C"), "A dog ran away", None),
        (("A", "B", "C"), "A. Or is it B", None),
        (("1", "2"), "2", "2"),
        (("1", "2"), "12", None),
        (("1", "2"), "２", "2"),
        (("World", "Science/Tech"), "D! Science/Tech! Yay!", "Science/Tech"),
        (("<5", ">5"), ">5", ">5"),
    ],
)
def test_the_label_of_an_answer(labels: tuple[str, ...], given: str, label: str | None) -> None:
    place = label_reader(labels)(given)
    assert (None if place is None else labels[place]) == label


def test_the_confusion_matrix() -> None:
    asked = rows("cat", "dog", "犬", times=2)
    given = [answer(text) for text in ("cat", "cat", "犬", "bird", "dog", "cat dog")]
    found = confusion(asked, given)
    assert found.labels == ("cat", "dog", "犬")
    assert found.counts == ((1, 0, 0, 1), (1, 1, 0, 0), (0, 0, 1, 1))
    assert (found.rows, found.accuracy) == (6, 0.5)
    metric = label_metric(found.labels)
    assert [metric(one, other) for one, other in zip(asked, given, strict=True)] == [1, 0, 1, 0, 1, 0]
    assert confusion([], []).accuracy is None


def test_five_choices_in_japanese(shared: Path) -> None:
    lines = (shared / "data/jcommonsenseqa_valid.json").read_text("utf-8").splitlines()
    asked = [question(str(json.loads(line)["label"])) for line in lines]
    assert is_classification(asked)
    assert confusion(asked, [answer(f"答えは {one.text}") for one in asked]).accuracy == 1
    assert confusion(asked, [answer("わかりません") for _ in asked]).accuracy == 0
