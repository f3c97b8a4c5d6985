"""The model card: complete in both languages, and no text in it can become markup."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from studio.export.card import model_card
from studio.export.card_loading import commands, python_code
from studio.export.energy import energy
from studio.export.facts import CardFacts, DataFacts, Evaluated, RunFacts, Score, TrainingFacts
from studio.messages import LANGUAGES, translate
from studio.models.catalog import ModelIdentity
from studio.runs.exports import ExportSpec, Proof, Target
from studio.runs.methods import METHODS
from studio.runs.spec import RunSpec, method_fields, spec_fields, with_changes

BASE = ModelIdentity("tiny", "/home/someone/secret place/tiny", "f" * 64, "mit", 512, 1234567)
DATA = DataFacts("rows.jsonl", 2, "d" * 64, 1000, 900, 100, imported=1000)
TRAINING = TrainingFacts("x86_64 CPU, 4 threads", "float32", 3600.0, 12, 4321, {1: 2.0})
RUN = RunFacts(
    id="20260101-000000-abcdef",
    spec=with_changes(RunSpec(), {"model.source": BASE.source}),
    step=8,
    data=DATA,
    training=TRAINING,
    loss_before=5.4321,
    loss_after=1.2345,
    accuracy_after=None,
    notices=(("notice.model.default_pad", {"model": "tiny", "token": "</s>"}),),
)
FACTS = CardFacts("My run", BASE, False, "float32", (1,), "a" * 64, None, "0.1.0", run=RUN)
FOUND = Evaluated(
    rows=80,
    decision={"en": "Do not deploy", "ja": "配備しない"},
    reasons={"en": ("It forgot: <b>my|exam</b> [x](y)",), "ja": ("忘れています",)},
    figures=dict.fromkeys(LANGUAGES, (("chrF", "7.2 (6.3–8.4)", "61.4 (58–65)", "+54 (50 – 58)"),)),
    worse={"en": ("General questions: 90% before, 50% after",), "ja": ("一般的な質問",)},
    not_asked={"en": ("Not looked for: safety",), "ja": ("調べていないもの：安全性",)},
    scores=(Score("chrf", "chrF", "rows.jsonl", 61.4), Score("accuracy", "Right answers", "My exam", 0.5)),
)
PROOF = Proof(
    program="llama.cpp b9999", prompts=16, equal=15, first_tokens=0.987, max_score_difference=0.0012,
    perplexity=(4.0, 4.02), conversations=5, rendered=5, weight_error=0.031, passed=True,
)  # fmt: skip
TARGETS: tuple[Target, ...] = ("adapter", "merged", "gguf", "gguf-adapter")


def with_run(**changes: Any) -> CardFacts:
    return replace(FACTS, run=replace(RUN, **changes))


def halves(card: str) -> tuple[str, str]:
    """The English half and the Japanese one."""
    english, japanese = card.split("\n# ")[1:]
    return english, japanese


def section(half: str, key: str, language: str) -> str:
    title = translate(f"ui.export.card.{key}", language)
    return half.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_all_that_matters_is_told() -> None:
    card = model_card(FACTS)
    for fact in (
        "My run", "rows.jsonl", "d" * 64, "f" * 64, "a" * 64, "1000", "900", "5.4321", "1.2345", "mit", "1,234,567",
        "4,321", RUN.id, "`</s>`", "x86_64 CPU, 4 threads", "8", "12",
    ):  # fmt: skip
        assert all(fact in half for half in halves(card)), fact
    for field in spec_fields():
        assert card.count(f"`{field.path}`") == 2
        assert field.label("en") in card
        assert field.label("ja") in card
    assert "ベースモデル" in card


def test_the_verdict_is_told_and_no_name_in_it_is_markup() -> None:
    card = model_card(with_run(evaluation=FOUND))
    row = "| chrF | 7.2 (6.3–8.4) | 61.4 (58–65) | +54 (50 – 58) |"
    for fact in ("**Do not deploy**", "**配備しない**", "忘れています", row, "80"):
        assert fact in card
    assert r"\<b\>my\|exam\</b\> \[x\](y)" in card
    assert translate("ui.export.card.evaluation.none", "en") in model_card(FACTS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_none_is_said_only_where_it_was_looked_for(language: str) -> None:
    """Regressions, findings, personal data, languages: what nobody looked for is not said to be absent."""

    def of(facts: CardFacts, key: str) -> str:
        return section(halves(model_card(facts))[LANGUAGES.index(language)], key, language)

    def say(key: str) -> str:
        return translate(f"ui.export.card.{key}", language)

    assert say("regressions.unknown") in of(FACTS, "regressions")
    assert say("regressions.none") not in of(FACTS, "regressions")
    worse = of(with_run(evaluation=FOUND), "regressions")
    assert FOUND.worse[language][0] in worse
    assert FOUND.not_asked[language][0] in worse
    assert say("regressions.none") not in worse
    nothing = dict.fromkeys(LANGUAGES, ())
    assert say("regressions.none") in of(with_run(evaluation=replace(FOUND, worse=nothing)), "regressions")

    assert say("data.unchecked") in of(FACTS, "data")
    assert say("use.personal.unknown") in of(FACTS, "use")
    clean = with_run(data=replace(DATA, findings=nothing, personal=nothing))
    assert say("data.clean") in of(clean, "data")
    assert say("use.personal.none") in of(clean, "use")
    told = {one: (f"mail in 3 rows {one}",) for one in LANGUAGES}
    found = with_run(data=replace(DATA, findings=told, personal=told))
    assert say("data.found") in of(found, "data")
    assert told[language][0] in of(found, "data")
    assert told[language][0] in of(found, "use")

    assert say("use.languages.unknown") in of(FACTS, "use")
    spoken = of(with_run(data=replace(DATA, languages=(("ja", 90), ("en", 9), ("fr", 1)))), "use")
    assert "`ja` (90%)" in spoken
    assert "`fr`" not in spoken


def test_how_the_data_was_cleaned_is_told() -> None:
    steps = {one: (f"drop [x](y) {one}",) for one in LANGUAGES}
    for half, one in zip(
        halves(model_card(with_run(data=replace(DATA, imported=1200, steps=steps, recipe_sha256="e" * 64)))), LANGUAGES,
        strict=True,
    ):  # fmt: skip
        assert f"drop \\[x\\](y) {one}" in half
        assert "e" * 64 in half
        assert "1200" in half
    assert all(translate("ui.export.card.data.as_imported", one) in model_card(FACTS) for one in LANGUAGES)


def test_few_rows_and_cut_ones_are_a_warning() -> None:
    few = with_run(data=replace(DATA, train_rows=40), training=replace(TRAINING, truncated=7, lost=3))
    card = model_card(few)
    assert translate("ui.export.card.use.few", "en", rows=40) in card
    assert translate("ui.export.card.use.few", "en", rows=40) not in model_card(FACTS)
    assert translate("ui.export.card.use.truncated", "ja", rows=7) in card
    assert translate("ui.export.card.data.lost", "ja", rows=3) in card


# Energy


@pytest.mark.parametrize(
    ("device", "seconds", "watts", "watt_hours", "assumed"),
    [
        ("x86_64 CPU, 4 threads", 3600, (6, 32), (6, 32), "cpu"),
        ("NVIDIA H200", 1800, (350, 700), (175, 350), "board"),
        ("2 × NVIDIA GeForce RTX 4090", 3600, (450, 900), (450, 900), "board"),
        ("Apple arm64", 3600, (10, 100), (10, 100), "apple"),
        ("NVIDIA Thing 9", 7200, (35, 1000), (70, 2000), "unknown"),
        ("NVIDIA L40S", 3600, (175, 350), (175, 350), "board"),
        ("Tesla T4", 0, (35, 70), (0, 0), "board"),
    ],
)
def test_energy_is_time_times_what_is_assumed(
    device: str, seconds: float, watts: tuple[float, float], watt_hours: tuple[float, float], assumed: str
) -> None:
    found = energy(device, seconds)
    assert found.watts == pytest.approx(watts)
    assert found.watt_hours == pytest.approx(watt_hours)
    assert found.assumed == assumed
    card = model_card(with_run(training=replace(TRAINING, device=device, seconds=seconds)))
    for language, half in zip(LANGUAGES, halves(card), strict=True):
        assert translate(f"ui.export.card.training.energy.{assumed}", language, **found.values) in half


# Proof and targets


def test_the_proof_is_told_whole() -> None:
    card = model_card(FACTS, ExportSpec(target="gguf"), PROOF, {"model-Q8_0.gguf": "9" * 64})
    for half in halves(card):
        for fact in ("`llama.cpp b9999`", "15", "16", "98.7%", "0.0012", "4.02", "+0.50%", "3.10%", "9" * 64):
            assert fact in half, fact
    assert translate("ui.export.card.proof.passed", "en") in card
    failed = model_card(FACTS, proof=PROOF.model_copy(update={"passed": False}))
    assert translate("ui.export.card.proof.passed", "en") not in failed
    assert translate("ui.export.card.proof.none", "ja") in model_card(FACTS)


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_says_how_it_is_loaded(target: Target) -> None:
    export = ExportSpec(target=target)
    files = {"tuned-Q8_0.gguf": "0" * 64, "Modelfile": "1" * 64} if target.startswith("gguf") else {}
    card = model_card(FACTS, export, None, files)
    wanted = {
        "adapter": ("PeftModel.from_pretrained",),
        "merged": ("AutoModelForCausalLM.from_pretrained(folder", 'dtype="bfloat16"'),
        "gguf": ("Llama('tuned-Q8_0.gguf'", "llama-cli -m tuned-Q8_0.gguf", "ollama create myrun -f Modelfile"),
        "gguf-adapter": ("lora_path='tuned-Q8_0.gguf'", "--lora tuned-Q8_0.gguf", "BASE.gguf"),
    }
    for half in halves(card):
        assert all(fact in half for fact in wanted[target])
    foreign = {"adapter": "llama", "merged": "PeftModel", "gguf": "--lora", "gguf-adapter": "-m tuned-Q8_0.gguf"}
    assert foreign[target] not in card.replace("llama.cpp", "")
    assert ("peft" in card.split("---")[1]) == (target == "adapter")
    assert "ollama" not in commands(FACTS, export, {})  # without a Modelfile


def test_a_model_with_all_weights_tuned_needs_no_base() -> None:
    card = model_card(replace(FACTS, full=True))
    assert "PeftModel" not in card
    assert translate("ui.export.card.title.model", "en", name="`My run`", tuner="", numbers="") in card


def test_an_adapter_made_elsewhere_has_no_story() -> None:
    card = model_card(replace(FACTS, run=None), proof=PROOF)
    for language, half in zip(LANGUAGES, halves(card), strict=True):
        assert translate("ui.export.card.script.none.elsewhere", language) in half
        assert f"## {translate('ui.export.card.data', language)}\n" not in half
        assert "f" * 64 in half


def test_whether_and_how_it_can_be_trained_again_is_told() -> None:
    assert "`reproduce.py`" in model_card(FACTS)
    dropped = with_run(spec=with_changes(RUN.spec, {"tuner.dropout": 0.1}))
    told = translate("ui.export.card.script.differs.dropout", "ja")
    assert told in model_card(dropped)
    assert told not in model_card(FACTS)
    assert "`reproduce.py`" not in model_card(replace(FACTS, vocabulary=600))
    beside = model_card(FACTS, files={"train.jsonl": "0" * 64})
    assert translate("ui.export.card.data.inside", "ja") in beside
    assert translate("ui.export.card.data.secret", "ja") not in beside
    assert translate("ui.export.card.script.rows", "en") in beside


@pytest.mark.parametrize("kind", list(METHODS))
def test_the_method_and_its_own_settings_are_told_truly(kind: str) -> None:
    spec = with_changes(RUN.spec, {"method.kind": kind, "tuner.variant": "dora"})
    card = model_card(with_run(spec=spec, accuracy_after=0.875))
    assert yaml.safe_load(card.split("---")[1])["tags"] == ["dora", kind]
    for language in LANGUAGES:
        assert translate(f"ui.method.{kind}.name", language) in card
    assert card.count("DoRA") >= 2
    for field in spec_fields(kind):
        assert card.count(f"`{field.path}`") == 2
    assert card.count("`method.") == 2 * len(list(method_fields(kind)))
    assert ("log-likelihood" in card) == (METHODS[kind].learns in ("answers", "text"))
    assert card.count("87.5%") == 2
    assert "87.5%" not in model_card(with_run(spec=spec))


def test_front_matter_is_what_the_hub_reads() -> None:
    front = yaml.safe_load(model_card(FACTS).split("---")[1])
    assert front["library_name"] == "peft"
    assert front["license"] == "mit"
    assert "base_model" not in front  # a folder of this machine is no name on the Hub
    hub = replace(FACTS, base=replace(BASE, name="owner/tiny", source="owner/tiny@main", commit="c" * 40))
    assert yaml.safe_load(model_card(hub).split("---")[1])["base_model"] == "owner/tiny"
    assert "license" not in yaml.safe_load(model_card(replace(FACTS, base=replace(BASE, licence=None))).split("---")[1])


def test_the_hub_reads_scores_and_languages() -> None:
    """By the Hub's own library, which refuses what it does not know."""
    data = replace(DATA, languages=(("ja", 80), ("en", 20)))
    hub = replace(BASE, name="owner/tiny", source="owner/tiny@main", commit="c" * 40)
    facts = replace(with_run(evaluation=FOUND, data=data), base=hub)
    read: Any = ModelCard(model_card(facts)).data
    assert read.model_name == "My run"
    found = {(one.dataset_name, one.metric_type, one.metric_value) for one in read.eval_results or ()}
    assert found == {
        ("rows.jsonl (version 2)", "loss", 1.2345), ("rows.jsonl", "chrf", 61.4), ("My exam", "accuracy", 0.5),
    }  # fmt: skip
    assert read.language == ["ja", "en"]
    assert read.get("base_model_relation") == "adapter"
    unscored: Any = ModelCard(model_card(with_run(loss_after=None))).data
    assert not unscored.eval_results
    assert json.loads(json.dumps(read.to_dict()))["license"] == "mit"


def test_nothing_of_this_machine_is_told() -> None:
    assert "someone" not in model_card(FACTS)
    for changes in ({"model.source": "C:\\Users\\someone\\tiny"}, {"model.adapter_folder": "/home/someone/adapter"}):
        assert "someone" not in model_card(with_run(spec=with_changes(RunSpec(), changes)))


def test_without_validation_there_is_no_score() -> None:
    card = model_card(with_run(loss_after=None, loss_before=None))
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
    told = dict.fromkeys(LANGUAGES, (text,))
    data = replace(DATA, name=text, findings=told, personal=told, steps=told, recipe_sha256="e" * 64)
    training = replace(TRAINING, device=text, parent=(text, "b" * 64))
    found = replace(FOUND, reasons=told, worse=told, not_asked=told, figures=dict.fromkeys(LANGUAGES, ((text,) * 4,)))
    run = replace(RUN, data=data, training=training, evaluation=found)
    base = replace(BASE, name=text, licence=text)
    proof = PROOF.model_copy(update={"program": text})
    card = model_card(replace(FACTS, name=text, base=base, run=run), proof=proof)
    body = card.split("\n---\n", 1)[1]
    blocks = MarkdownIt("commonmark", {"html": True}).enable("table").parse(body)
    tokens = [token for block in blocks for token in (block, *(block.children or ()))]
    assert not {"html_inline", "html_block", "image", "link_open"} & {token.type for token in tokens}
    titles = [after.content for block, after in pairwise(blocks) if block.type == "heading_open"]
    assert len(titles) == len(set(titles)) == 2 * 14
    assert "\u202e" not in body
    prose = [line for line in re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", body).splitlines() if "PATH/TO" not in line]
    assert not [line for line in prose if "www.evil" in line]  # which some renderers make a link of
    assert yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))["license"] == text


@pytest.mark.parametrize("target", TARGETS)
def test_the_code_compiles(target: Target) -> None:
    starter = replace(FACTS, base=replace(BASE, name="starter", source="starter"))
    hub = replace(FACTS, base=replace(BASE, name="owner/tiny", source="owner/tiny", commit="c" * 40))
    odd = replace(FACTS, base=replace(BASE, name='it\'s "odd"\\'))
    export = ExportSpec(target=target)
    for facts in (FACTS, starter, hub, odd):
        compile(python_code(facts, export, {}), "card", "exec")
    if target == "adapter":
        assert "c" * 40 in python_code(hub, export, {})
        assert "read_settings().starter" in python_code(starter, export, {})


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
    assert f"Data set: {shown}, version 2\n" in model_card(with_run(data=replace(DATA, name=name)))
