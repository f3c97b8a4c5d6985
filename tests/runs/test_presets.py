"""Presets: every shipped one makes a valid spec, in a sensible order of effort."""

from pathlib import Path

import pytest

from studio.errors import SpecError
from studio.runs.methods import METHODS
from studio.runs.presets import Preset, find_preset, list_presets
from studio.runs.spec import FullSpec, RunSpec, with_changes
from studio.settings import Settings

SHIPPED = Settings(workspace=Path()).presets


def test_the_shipped_presets() -> None:
    presets = list_presets(SHIPPED)
    assert [p.name for p in presets] == ["quick-look", "balanced", "thorough"]
    base = with_changes(RunSpec(), {"data.version": "v1", "model.source": "somewhere"})
    steps = []
    for preset in presets:
        spec = preset.apply(base)
        assert spec.preset == preset.name
        assert (spec.data.version, spec.model.source) == ("v1", "somewhere")
        assert preset.apply(spec) == spec
        steps.append(spec.total_steps(300))
        assert preset.title["ja"] != preset.title["en"]
    assert steps == sorted(steps)


def test_a_preset_keeps_what_it_does_not_name() -> None:
    spec = with_changes(RunSpec(), {"training.seed": 7, "tuner.dropout": 0.2})
    applied = find_preset(SHIPPED, "quick-look").apply(spec)
    assert (applied.training.seed, applied.tuner.dropout) == (7, 0.2)  # type: ignore[union-attr]


def test_a_bad_preset_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("title: {en: Mine}\n", encoding="utf-8")
    with pytest.raises(SpecError) as error:
        list_presets(tmp_path)
    assert "mine.yaml" in str(error.value)
    (tmp_path / "mine.yaml").write_text(
        "title: {en: Mine, ja: a}\nabout: {en: b, ja: c}\nspec: {}\nmethods: {dpoo: {}}\n", encoding="utf-8"
    )
    with pytest.raises(SpecError, match="dpo"):
        list_presets(tmp_path)
    with pytest.raises(SpecError) as error:
        find_preset(SHIPPED, "no-such")
    assert "quick-look" in str(error.value)


def test_the_starter_learns_faster_than_other_models() -> None:
    for preset in list_presets(SHIPPED):
        starter = preset.apply(RunSpec())
        other = preset.apply(with_changes(RunSpec(), {"model.source": "owner/name"}))
        assert starter.training.learning_rate > 5 * other.training.learning_rate
        assert 1e-4 <= other.training.learning_rate <= 5e-4
        assert preset.apply(with_changes(starter, {"model.source": "owner/name"})).training == other.training


def test_what_a_method_wants_otherwise_is_laid_over_the_preset() -> None:
    overlay = {"dpo": {"spec": {"training": {"epochs": 1, "learning_rate": 1e-5}, "method": {"beta": 0.3}},
                       "starter": {"training": {"learning_rate": 1e-3}}}}  # fmt: skip
    texts = {"en": "a", "ja": "b"}
    preset = Preset.model_validate(
        {"name": "mine", "title": texts, "about": texts, "spec": {"training": {"epochs": 2}}, "methods": overlay}
    )
    sft, dpo = (preset.apply(with_changes(RunSpec(), {"method.kind": kind})) for kind in ("sft", "dpo"))
    other = preset.apply(with_changes(RunSpec(), {"method.kind": "dpo", "model.source": "owner/name"}))
    assert (sft.training.epochs, sft.training.learning_rate) == (2, RunSpec().training.learning_rate)
    assert (dpo.training.epochs, dpo.training.learning_rate, dpo.method.model_dump()["beta"]) == (1, 1e-3, 0.3)
    assert other.training.learning_rate == 1e-5
    assert {preset.name, sft.preset, dpo.preset} == {"mine"}


def test_preferences_and_thumbs_are_learned_in_smaller_steps() -> None:
    for preset in list_presets(SHIPPED):
        for source in ("starter", "owner/name"):
            rates = {
                kind: preset.apply(
                    with_changes(RunSpec(), {"method.kind": kind, "model.source": source})
                ).training.learning_rate
                for kind in METHODS
            }
            assert rates["dpo"] < rates["sft"] / 2
            assert rates["kto"] < rates["sft"] / 2


@pytest.mark.parametrize("method", ["sft", "cpt", "dpo", "simpo", "orpo", "kto"])
def test_all_weights_learn_at_a_tenth_of_the_rate(method: str) -> None:
    for preset in list_presets(SHIPPED):
        for source in ("starter", "owner/name"):
            lora = with_changes(RunSpec(), {"method.kind": method, "model.source": source})
            full = preset.apply(with_changes(lora, {"tuner.kind": "full"}))
            assert full.tuner == FullSpec()
            rate = preset.apply(lora).training.learning_rate
            assert full.training.learning_rate == pytest.approx(rate / 10)
