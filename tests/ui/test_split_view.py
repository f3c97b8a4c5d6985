"""The split as it is shown: its numbers are those of the rows, and texts of the data stay text."""

import pytest

from studio.backend.datasets import SplitRow, Stratum
from studio.data.splits import SplitSpec
from studio.messages import LANGUAGES, translate
from studio.ui.split_view import Sides, split_view

EVIL = "<img src=x onerror=alert(1)>\"'{{x}}${x}"


def view(sides: Sides, language: str = "en") -> str:
    return split_view(sides, lambda key, **values: translate(key, language, **values))


def test_three_sides_with_their_numbers_and_rows() -> None:
    kept = [SplitRow(7, "Why?", "So.")], [SplitRow(9, "When?", "Now.")]
    made = view(Sides(SplitSpec(test_share=0.2), (1400, 400, 200), 3, kept))
    for width, name in (("70.00", "train"), ("20.00", "validation"), ("10.00", "test")):
        assert f'<i class="d-{name}" style="width:{width}%">' in made
    for told in (
        "1,400",
        "70.0%",
        "400",
        "20.0%",
        "200",
        "10.0%",
        "3 rows without a question or an answer",
        "Why?",
        "Now.",
        "and 399 more",
    ):
        assert told in made
    assert "d-notes" not in made


def test_an_empty_side_has_no_part_of_the_bar() -> None:
    made = view(Sides(SplitSpec(), (90, 30, 0), 1, ([], [])))
    assert "d-test" not in made
    assert "1 row without" in made


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("spec", "counts", "told"),
    [
        (SplitSpec(), (50, 5, 0), "ui.data.split.few"),
        (SplitSpec(validation_share=0), (50, 0, 0), "ui.data.split.no_validation"),
        (SplitSpec(), (1, 0, 0), "ui.data.split.too_few"),
        (SplitSpec(test_share=0.1), (1, 1, 0), "ui.data.split.no_test"),
        (SplitSpec(), (0, 0, 0), "ui.data.split.none"),
    ],
)
def test_what_should_be_known(spec: SplitSpec, counts: tuple[int, int, int], told: str, language: str) -> None:
    assert translate(told, language, count=counts[1], wanted=20) in view(Sides(spec, counts, 0, ([], [])), language)


def test_values_kept_in_proportion() -> None:
    strata = [Stratum(f"kind {i}", 70, 20, 10) for i in range(8)]
    made = view(Sides(SplitSpec(stratify="kind"), (560, 160, 80), 0, ([], []), strata))
    assert "<td>70</td><td>20</td><td>10</td>" in made
    assert "kind 5" in made
    assert "kind 6" not in made
    assert "and 2 more values" in made
    different = [Stratum(i, 1, 0, 0) for i in range(90)]
    made = view(Sides(SplitSpec(stratify="kind"), (90, 10, 0), 0, ([], []), different))
    assert "90 different ones" in made


def test_nothing_of_the_data_becomes_markup() -> None:
    row = [SplitRow(1, EVIL, EVIL)]
    made = view(Sides(SplitSpec(stratify=EVIL), (1, 1, 1), 0, (row, row), [Stratum(EVIL, 1, 1, 1)]))
    assert "<img" not in made
    assert made.count("&lt;img src=x onerror=alert(1)&gt;") >= 6
