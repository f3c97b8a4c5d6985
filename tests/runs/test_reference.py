from pathlib import Path

import pytest

from studio.messages import LANGUAGES
from studio.runs.reference import settings_reference
from studio.runs.spec import every_field

ASSETS = Path(__file__).parents[2] / "assets"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_setting_is_told(language: str) -> None:
    text = settings_reference(language)
    for field in every_field():
        if field.path == "tuner.kind":  # a section of its own for each
            continue
        told = f"| `{field.path}` | **{field.label(language)}** {field.help(language)} |"
        rows = [line for line in text.splitlines() if line.startswith(told)]
        assert rows, told
        assert all(row.count("|") == 5 for row in rows)  # four cells


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_file_is_what_is_told_now(language: str) -> None:
    """`studio settings > assets/settings.en.md` writes it."""
    assert (ASSETS / f"settings.{language}.md").read_text(encoding="utf-8") == settings_reference(language) + "\n"


def test_bounds_and_defaults() -> None:
    lines = settings_reference().splitlines()
    (rank,) = [line for line in lines if line.startswith("| `tuner.rank`")]
    assert rank.endswith("| 1 ≤ … ≤ 512 | 16 |")
    (rate,) = [line for line in lines if line.startswith("| `training.learning_rate`")]
    assert rate.endswith("| 0 < … ≤ 1 | 0.001 |")
    assert "| `method.rewards` " in settings_reference()
