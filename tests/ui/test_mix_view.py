"""The plan of a mixture as it is shown."""

from studio.data.mixing import MixPlan, PlannedPart
from studio.errors import InputError
from studio.messages import translate
from studio.ui import mix_view
from studio.ui.markup import shown

EVIL = "<img src=x onerror=alert(1)>\"'{{x}}${x}"


def _t(key: str, **values: object) -> str:
    return translate(key, "en", **values)


def part(**changes: object) -> PlannedPart:
    values = {"task": "shop", "source": "shop", "available": 50, "rows": 50, "passes": 1.0, "tokens": 700, "share": 0.7}
    return PlannedPart(**{**values, **changes})  # type: ignore[arg-type]


def test_numbers_and_shares() -> None:
    replay = part(task="replay", source="starter", available=None, rows=1300, tokens=300, share=0.3, replay=True)
    made = mix_view.plan_view(MixPlan((part(), replay), 1350, 1000), _t)
    for told in ("1,350 rows, about 1,000 tokens", "width:70.00%", "width:30.00%", "<td>1,300</td><td>–</td>", "30.0%"):
        assert told in made
    assert shown(_t("ui.mix.world")) in made
    assert "d-notes" not in made


def test_what_matters_is_told() -> None:
    often = part(task="often", rows=250, passes=5.0, share=0.995)
    little = part(task="little", share=0.005)
    apart = part(task="apart", rows=30, share=0.0, held_out=True)
    made = mix_view.plan_view(MixPlan((often, apart, little), 300, 1000), _t)
    assert _t("ui.mix.note.passes", part="often", passes="5", most=4) in made
    assert _t("ui.mix.note.little", part="little", share="0.5%") in made
    assert _t("ui.mix.note.held_out", part="apart", rows=30) in made
    assert made.count("<li>") == 3
    assert made.count('<i class="m-c') == 2
    four = mix_view.plan_view(MixPlan((part(passes=4.0, share=0.01),), 1, 1), _t)
    assert "d-notes" not in four


def test_nothing_of_the_data_becomes_markup() -> None:
    bad = part(task=EVIL, source=EVIL + "2", passes=9.0, share=0.001, held_out=False)
    wrong = InputError("error.dataset.unknown", version=EVIL)
    for made in (mix_view.plan_view(MixPlan((bad,), 1, 1), _t), mix_view.trouble(wrong, "en", [], _t)):
        assert "<img" not in made
        assert "&lt;img" in made
