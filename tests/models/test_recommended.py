"""The list of open models: every line is whole, and what fits a machine follows its memory."""

from pathlib import Path

import pytest

from studio.backend.studio import Studio
from studio.models.hub import parse_hub_name
from studio.models.recommended import RecommendedModel, recommended_models
from studio.settings import Settings

GB = 1_000_000_000


def test_every_line_is_whole_and_smallest_first(tmp_path: Path) -> None:
    found = recommended_models(Settings(workspace=tmp_path).assets)
    assert len({model.name for model in found}) == len(found) > 12
    assert all(parse_hub_name(model.name) for model in found)
    assert [model.parameters for model in found] == sorted(model.parameters for model in found)
    for language in ("en", "ja"):
        assert sum(model.languages[0] == language for model in found) >= 5


@pytest.mark.parametrize(
    ("parameters", "memory", "bytes_per_weight", "fit"),
    [
        (135, 3 * GB, 4, "whole"),
        (7_000, 24 * GB, 4, "four_bits"),
        (7_000, 24 * GB, 2, "whole"),
        (7_000, 4 * GB, 4, "no"),
    ],
)
def test_what_fits(parameters: int, memory: int, bytes_per_weight: int, fit: str) -> None:
    model = RecommendedModel(name="a/b", parameters=parameters, languages=("en",), licence="MIT", kind="chat")
    assert model.fit(memory, bytes_per_weight) == fit


def test_each_language_gets_its_own(tmp_path: Path) -> None:
    with Studio(Settings(workspace=tmp_path, offline=True), worker=False) as studio:
        english, japanese = studio.models.recommended("en"), studio.models.recommended("ja")
    assert "SakanaAI/TinySwallow-1.5B-Instruct" in [model.name for model, _ in japanese]
    assert all("en" in model.languages for model, _ in english)
    assert english[0][1] == "whole"
