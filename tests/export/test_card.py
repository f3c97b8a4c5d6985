"""The model card: complete in both languages, and no text in it can become markup."""

import re
from dataclasses import replace

import pytest
import yaml

from studio.export.card import CardEvaluation, CardFacts, loading_code, model_card
from studio.messages import LANGUAGES, translate
from studio.models.catalog import ModelIdentity
from studio.runs.methods import METHODS
from studio.runs.spec import RunSpec, method_fields, spec_fields, with_changes

BASE = ModelIdentity("tiny", "/home/someone/secret place/tiny", "f" * 64, "mit", 512, 1234567)
FACTS = CardFacts(
    run="20260101-000000-abcdef",
    name="My run",
    spec=with_changes(RunSpec(), {"model.source": BASE.source}),
    step=8,
    base=BASE,
    dtype="float32",
    stops=(1,),
    adapter_sha256="a" * 64,
    trainable_parameters=4321,
    data_name="rows.jsonl",
    data_version=2,
    data_fingerprint="d" * 64,
    data_rows=100,
    train_rows=90,
    validation_rows=10,
    loss_before=5.4321,
    loss_after=1.2345,
    accuracy_after=None,
    samples=4,
    vocabulary=None,
    notices=(("notice.model.default_pad", {"model": "tiny", "token": "</s>"}),),
    studio_version="0.1.0",
)


def test_all_that_matters_is_told() -> None:
    card = model_card(FACTS)
    for fact in (
        "My run", "rows.jsonl", "d" * 64, "f" * 64, "a" * 64, "100", "90", "5.4321", "1.2345", "mit", "1,234,567",
        "4,321", FACTS.run, "`</s>`",
    ):  # fmt: skip
        assert card.count(fact) >= 2, fact  # once in each language
    for field in spec_fields():
        assert card.count(f"`{field.path}`") == 2
        assert field.label("en") in card
        assert field.label("ja") in card
    assert "ベースモデル" in card


def test_the_verdict_is_told_and_no_name_in_it_is_markup() -> None:
    found = CardEvaluation(
        rows=80,
        decision={"en": "Do not deploy", "ja": "配備しない"},
        reasons={"en": ("It forgot: <b>my|exam</b> [x](y)",), "ja": ("忘れています",)},
        figures={"en": (("chrF", "7.2 (6.3–8.4)", "61.4"),), "ja": (("chrF", "7.2", "61.4"),)},
    )
    card = model_card(replace(FACTS, evaluation=found))
    for fact in ("**Do not deploy**", "**配備しない**", "忘れています", "| chrF | 7.2 (6.3–8.4) | 61.4 |", "80"):
        assert fact in card
    assert r"\<b\>my\|exam\</b\> \[x\](y)" in card
    assert translate("ui.export.card.evaluation.none", "en") in model_card(FACTS)


@pytest.mark.parametrize("kind", list(METHODS))
def test_the_method_and_its_own_settings_are_told_truly(kind: str) -> None:
    spec = with_changes(FACTS.spec, {"method.kind": kind, "tuner.variant": "dora"})
    card = model_card(replace(FACTS, spec=spec, accuracy_after=0.875))
    assert yaml.safe_load(card.split("---")[1])["tags"] == ["dora", kind]
    for language in LANGUAGES:
        assert translate(f"ui.method.{kind}.name", language) in card
    assert card.count("DoRA") >= 2
    for field in spec_fields(kind):
        assert card.count(f"`{field.path}`") == 2
    assert card.count("`method.") == 2 * len(list(method_fields(kind)))
    assert ("log-likelihood" in card) == (METHODS[kind].learns in ("answers", "text"))
    assert card.count("87.5%") == 2
    assert "87.5%" not in model_card(replace(FACTS, spec=spec))


def test_front_matter_is_what_the_hub_reads() -> None:
    front = yaml.safe_load(model_card(FACTS).split("---")[1])
    assert front["library_name"] == "peft"
    assert front["license"] == "mit"
    assert "base_model" not in front  # a folder of this machine is no name on the Hub
    hub = replace(FACTS, base=replace(BASE, name="owner/tiny", source="owner/tiny@main", commit="c" * 40))
    assert yaml.safe_load(model_card(hub).split("---")[1])["base_model"] == "owner/tiny"
    assert "license" not in yaml.safe_load(model_card(replace(FACTS, base=replace(BASE, licence=None))).split("---")[1])


def test_nothing_of_this_machine_is_told() -> None:
    assert "someone" not in model_card(FACTS)
    windows = replace(FACTS, spec=with_changes(RunSpec(), {"model.source": "C:\\Users\\someone\\tiny"}))
    assert "someone" not in model_card(windows)


def test_without_validation_there_is_no_score() -> None:
    card = model_card(replace(FACTS, loss_after=None, loss_before=None))
    assert "no score can be told" in card
    assert "5.4321" not in card


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>", "![x](http://evil/x.png)", "[a](javascript:alert(1))", "`code` ``more``",
        "# title", "a\n\n# injected\n\n<img src=x>", "www.evil.example", "\u202eevil", "| a | b |",
        "---\nlicense: evil\n---", "```",
    ],
)  # fmt: skip
def test_names_are_shown_as_text(text: str) -> None:
    card = model_card(replace(FACTS, name=text, data_name=text, base=replace(BASE, name=text, licence=text)))
    body = card.split("\n---\n", 1)[1]
    outside = re.sub(r"^```python\n.*?^```$", "", body, flags=re.DOTALL | re.MULTILINE)
    outside = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", outside)  # code spans
    for mark in ("<script", "<img", "](", "evil", "\u202e", "injected"):
        assert mark not in outside
    assert yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))["license"] == text


def test_the_code_compiles() -> None:
    starter = replace(FACTS, base=replace(BASE, name="starter", source="starter"))
    hub = replace(FACTS, base=replace(BASE, name="owner/tiny", source="owner/tiny", commit="c" * 40))
    odd = replace(FACTS, base=replace(BASE, name='it\'s "odd"\\'))
    for facts in (FACTS, starter, hub, odd):
        compile(loading_code(facts), "card", "exec")
    assert "c" * 40 in loading_code(hub)
    assert "read_settings().starter" in loading_code(starter)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain.csv", "`plain.csv`"),
        ("a`b", "`` a`b ``"),
        ("``<b>``", "``` ``<b>`` ```"),
        ("one\ntwo", "`one two`"),
        ("", "` `"),
    ],
)
def test_a_name_is_one_code_span(name: str, shown: str) -> None:
    """By the rule of CommonMark: a fence longer than any run inside, and room beside a backtick at the edge."""
    assert f"Data set: {shown}, version 2\n" in model_card(replace(FACTS, data_name=name))
