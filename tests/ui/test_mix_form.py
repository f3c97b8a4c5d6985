"""The form of a mixture and the spec it stands for."""

import pytest

from studio.data.instruction_templates import InstructionTemplate
from studio.data.mapping import Mapping
from studio.data.mixing import BySize, ByTemperature, ByWeights, MixPart, MixSpec, Replay
from studio.errors import SpecError
from studio.messages import LANGUAGES, translate
from studio.ui import mix_form
from studio.ui.mix_form import Choice, Draft, DraftPart, Way
from studio.ui.mix_view import trouble

EVIL = "<img src=x onerror=alert(1)>\"'{{x}}${x}"
SPECS = {
    "plain": MixSpec(parts=(MixPart(data="a"),)),
    "all of it": MixSpec(
        parts=(
            MixPart(data="a", task="Ask", weight=2.5, cap=30, template_sets=("question.en", "label.ja")),
            MixPart(data="b", held_out=True, mapping=Mapping(prompt="q", answer="a")),
            MixPart(data="a", templates=(InstructionTemplate(prompt="Ask: {output}", answer="{input}"),)),
        ),
        mixing=ByTemperature(by="temperature", temperature=3, maximum=500),
        rows=1000,
        replay=Replay(share=0.15, data="c"),
        seed=7,
    ),
    "by size": MixSpec(parts=(MixPart(data="a"),), mixing=BySize(maximum=10), replay=Replay()),
    "by weights": MixSpec(parts=(MixPart(data="a"),), mixing=ByWeights(by="weights")),
}


def _t(key: str, **values: object) -> str:
    return translate(key, "en", **values)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_a_spec_as_a_form_is_the_same_spec(spec: MixSpec) -> None:
    draft = mix_form.to_draft(spec)
    assert mix_form.to_spec(draft) == spec
    assert mix_form.read_draft(draft.model_dump_json(), "x") == draft


def test_a_form_begins_with_the_data_that_is_open() -> None:
    for remembered in (None, "", "{}x", '{"parts": [{}]}'):
        assert mix_form.read_draft(remembered, "here") == Draft(parts=(DraftPart(data="here"),))


def test_buttons() -> None:
    draft = mix_form.pressed(Draft(parts=(DraftPart(data="a"),)), "add", add="b")
    draft = mix_form.pressed(draft, "way", part="1")
    draft = mix_form.pressed(draft, "way", part="1")
    assert [len(part.own) for part in draft.parts] == [0, 2]
    assert mix_form.to_spec(draft).parts[1].ways == ()  # nothing typed yet
    draft = mix_form.pressed(draft, "unway", part="1", way="0")
    assert [len(part.own) for part in draft.parts] == [0, 1]
    assert [part.data for part in mix_form.pressed(draft, "remove", part="0").parts] == ["b"]
    assert mix_form.pressed(draft, "remove", part="9") == draft
    assert mix_form.pressed(draft, "add") == draft


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_does_not_fit_is_told_by_the_names_on_the_page(language: str) -> None:
    def t(key: str, **values: object) -> str:
        return translate(key, language, **values)

    part = DraftPart(data="a", weight="-1", cap="many", own=(Way(prompt="no field"),))
    draft = Draft(parts=(part, DraftPart(data="b")), mixing="temperature", temperature="x", replay="95", rows="0")
    with pytest.raises(SpecError) as caught:
        mix_form.to_spec(draft)
    told = trouble(caught.value, language, ["support.jsonl", "other"], t)
    for name in ("weight", "cap"):
        assert f"support.jsonl: {t(f'ui.mix.part.{name}')}" in told
    for name in ("temperature", "rows", "replay", "ways"):
        assert t(f"ui.mix.{name}") in told
    assert "parts.0" not in told
    assert "mixing" not in told
    with pytest.raises(SpecError) as caught:
        mix_form.to_spec(Draft())
    assert trouble(caught.value, language, [], t).count("<li>") == 1


def test_the_form_holds_every_value_as_text() -> None:
    draft = Draft(
        parts=(
            DraftPart(data="a", task=EVIL, weight=EVIL, held_out=True, sets=("label.en",), own=(Way(prompt=EVIL),)),
        ),
        rows=EVIL,
        replay_data="b",
    )
    made = mix_form.form(draft, [Choice("a", EVIL), Choice("b", "B")], _t)
    assert "<img" not in made
    assert made.count("&lt;img") >= 5
    assert 'data-field="held_out" checked' in made
    assert 'data-set="label.en" checked' in made
    assert made.count(" checked") == 2
    assert '<option value="b" selected>' in made
    gone = mix_form.form(Draft(parts=(DraftPart(data="gone"),)), [], _t)
    assert _t("ui.mix.part.gone") in gone
