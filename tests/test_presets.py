"""Every preset that ships validates and can be used."""

from pathlib import Path

import pytest

from studio.runs.methods import GrpoSpec
from studio.runs.presets import find_preset, list_presets
from studio.runs.spec import RunSpec, with_changes
from studio.settings import Settings

FOLDER = Settings(workspace=Path()).presets
NAMES = [path.stem for path in sorted(FOLDER.glob("*.yaml"))]


def test_those_there_must_be() -> None:
    assert [preset.name for preset in list_presets(FOLDER)][:3] == ["quick-look", "balanced", "thorough"]


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_validates_and_says_what_it_is(name: str) -> None:
    preset = find_preset(FOLDER, name)
    spec = preset.apply(RunSpec())
    assert spec.preset == name
    assert spec != RunSpec()
    for texts in (preset.title, preset.about):
        assert set(texts) == {"en", "ja"}
        assert all(text.strip() for text in texts.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_keeps_the_chosen_data_and_model(name: str) -> None:
    chosen = RunSpec.model_validate({"data": {"version": "v1"}, "model": {"source": "elsewhere"}})
    spec = find_preset(FOLDER, name).apply(chosen)
    assert (spec.data.version, spec.model.source) == ("v1", "elsewhere")


@pytest.mark.parametrize("name", NAMES)
def test_grpo_holds_the_starter_closer_to_where_it_began_than_other_models(name: str) -> None:
    """`presets/quick-look.yaml` says by how much its answers gain; what was chosen for another model stays."""
    spec = with_changes(RunSpec(), {"method.kind": "grpo"})
    other = with_changes(spec, {"model.source": "elsewhere", "method.beta": 0.07})
    starter, kept = (find_preset(FOLDER, name).apply(one).method for one in (spec, other))
    assert isinstance(spec.method, GrpoSpec)
    assert isinstance(starter, GrpoSpec)
    assert isinstance(kept, GrpoSpec)
    assert starter.beta > spec.method.beta
    assert kept.beta == 0.07
