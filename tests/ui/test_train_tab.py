"""The Train tab tells what a run will cost, and starts one run for one press."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest

from studio.backend.studio import Studio
from studio.data.formats import Mapping
from studio.data.lessons import teaches
from studio.data.records import DatasetType
from studio.errors import DataError, ModelError, SpecError
from studio.messages import LANGUAGES, translate
from studio.models.adapter_folder import read_adapter_shape
from studio.models.catalog import ModelInfo
from studio.runs.cluster import ClusterSpec
from studio.runs.events import Checkpoint, Ended, Notice, Queued
from studio.runs.methods import METHODS
from studio.runs.problems import Problem, spec_problems
from studio.runs.spec import ADAPTER_FOLDER, RunSpec, with_changes
from studio.runs.unfit import Unfit
from studio.settings import Settings
from studio.ui import train_tab
from studio.ui.choice_view import count, data_summary, model_summary, percent
from studio.ui.cost_view import cost_panel
from studio.ui.nearest_view import refusal
from studio.ui.page import Page, chosen
from studio.ui.problem_view import problem_list
from studio.ui.train_tab import sweep_values
from studio.ui.use_again import Again, written
from tests.models.adapters import save_plain
from tests.tiny import save_tiny

PAYLOAD = "<img src=x onerror=alert(1)>"
HERE = ("here", "local", 2, "none")


@dataclass
class Cost:
    """What an estimate holds."""

    rows: int = 360
    validation_rows: int = 40
    tokens: int = 21_000
    trained_tokens: int = 9_000
    steps: int = 90
    trainable_parameters: int = 110_000
    parameters: int = 3_440_000
    trainable_share: float = 0.032
    adapter_bytes: int = 452_000
    seconds: float = 41.3
    memory_bytes: int = 900_000_000
    available_memory_bytes: int = 20_000_000_000
    disk_bytes: int = 9_000_000
    lost_rows: int = 0
    truncated_rows: int = 0
    device: str = "CPU"
    fits: bool = True
    how: tuple[str, ...] = ("float32", "passes")
    nearest: dict[str, Any] | None = None
    new_tokens: object = None


@dataclass
class Pretended:
    """A studio that answers at once; stands for datasets, runner and models as well."""

    cost: Cost | Exception = field(default_factory=Cost)
    training: str | None = None
    model: ModelInfo | Exception | None = None
    measured: int = 0
    unfitting: Unfit | None = None

    test_rows: int = 0

    datasets = runner = models = mixtures = property(lambda self: self)

    def replayed(self, version: str) -> None:
        return None

    def adapter_cautions(self, spec: RunSpec) -> list[Any]:
        return []

    def template_use(self, spec: RunSpec) -> None:
        return None

    def width(self, source: str) -> int | None:
        return {"starter": 192, "small": 576}.get(source)

    def split_counts(self, version: str, split: object, learns: str) -> tuple[int, int, int]:
        return 360, 40, self.test_rows

    def problems(self, asked: object, *, wait: bool = True) -> list[Problem]:
        return spec_problems(asked)[0] if isinstance(asked, SpecError) else []

    def unfit(self, spec: RunSpec) -> Unfit | None:
        return self.unfitting

    def current(self) -> str | None:
        return self.training

    def estimate(self, spec: RunSpec) -> Cost:
        self.measured += 1
        if isinstance(self.cost, Exception):
            raise self.cost
        return self.cost

    def describe(self, source: str) -> ModelInfo:
        if isinstance(self.model, Exception):
            raise self.model
        assert self.model is not None
        return self.model


def page_of(studio: object, language: str = "en") -> Page:
    with gr.Blocks():
        return Page(cast(Studio, studio), language, gr.Tabs(), gr.BrowserState(), gr.BrowserState())


def told(panel: Iterator[str]) -> list[str]:
    return [re.sub(r"<[^>]+>", " ", html) for html in panel]


@pytest.mark.parametrize("language", LANGUAGES)
def test_rows_kept_for_the_test_are_told(language: str) -> None:
    kept, none = Pretended(test_rows=1_700), Pretended()
    for part in told(cost_panel(page_of(kept, language), RunSpec)):
        assert "1,700" in part
    for part in told(cost_panel(page_of(none, language), RunSpec)):
        assert translate("ui.train.cost.rows_value", language, train="360", validation="40") in part


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_learning_rate_is_told_with_what_is_usual_for_the_size(language: str) -> None:
    for source, low, high in (
        ("starter", "0.001", "0.005"),
        ("small", "0.00046", "0.0023"),
        ("owner/x", "0.0001", "0.0005"),
    ):
        spec = with_changes(RunSpec(), {"model.source": source, "training.learning_rate": 0.0014})
        for part in told(cost_panel(page_of(Pretended(), language), lambda spec=spec: spec)):
            key = "ui.train.cost.rate_value.unknown" if source == "owner/x" else "ui.train.cost.rate_value"
            assert translate(key, language, rate="0.0014", low=low, high=high) in unescape(part)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_known_comes_first_and_what_is_measured_after(language: str) -> None:
    first, last = told(cost_panel(page_of(Pretended(), language), RunSpec))
    waiting = translate("ui.train.cost.measuring", language)
    assert waiting in first
    assert waiting not in last
    assert "360" in first
    assert str(RunSpec().total_steps(360)) in first
    for part in ("21,000", "9,000", "3.2", "452 kB", "900 MB"):
        assert part in last
    assert translate("ui.runs.time.seconds", language, seconds=41) in last
    assert f"float32, {translate('ui.runs.how.passes', language)}" in last


def test_nothing_is_measured_beside_a_run_in_training() -> None:
    studio = Pretended(training="20260101-000000-abcdef")
    (only,) = told(cost_panel(page_of(studio), RunSpec))
    assert translate("ui.train.cost.busy") in only
    assert studio.measured == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_wrong_settings_are_told_instead_of_measured(language: str) -> None:
    studio = Pretended()
    (only,) = told(
        cost_panel(
            page_of(studio, language),
            lambda: with_changes(RunSpec(), {"tuner.rank": 0, "training.epochs": 1000}),
        )
    )
    assert "tuner.rank" in only
    assert "training.epochs" in only
    assert studio.measured == 0


def test_an_error_of_the_probe_is_told_and_what_was_known_stays() -> None:
    panel = told(cost_panel(page_of(Pretended(cost=DataError("error.train.no_mapping", data=PAYLOAD))), RunSpec))
    assert "360" in panel[-1]
    assert "&lt;img" in panel[-1]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"lost_rows": 3}, "ui.train.caution.lost"),
        ({"truncated_rows": 3}, "ui.train.caution.truncated"),
        ({"source": "owner/name"}, "ui.train.caution.rate_high"),
    ],
)
def test_what_will_be_regretted_is_said_before_the_start(change: dict[str, Any], key: str) -> None:
    said = translate(key, rows=3, tokens=256, rate="0.002", low="0.0001", high="0.0005")

    def last(source: str = "starter", **lost: Any) -> str:
        spec = with_changes(RunSpec(), {"training.learning_rate": 0.002, "model.source": source})
        return told(cost_panel(page_of(Pretended(cost=replace(Cost(), **lost))), lambda: spec))[-1]

    assert said not in last()
    assert said in last(**change)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_plan_that_does_not_fit_comes_with_the_nearest_that_does(language: str) -> None:
    def panel(nearest: dict[str, Any] | None, **model: Any) -> str:
        unfit = Unfit(900_000_000, 800_000_000, nearest, **model)
        return refusal(page_of(Pretended(unfitting=unfit), language), RunSpec)

    changes = {"training.batch_size": 2, "training.accumulation": 4}
    saving = {"training.gradient_checkpointing": True}
    four_bits, shorter = {"tuner.quantisation": "nf4"}, {"data.max_length": 64}
    for nearest, words in (
        (changes, ["batch"]),
        (changes | saving, ["batch", "saving"]),
        (changes | saving | four_bits, ["batch", "saving", "four_bits"]),
        (changes | saving | shorter, ["batch", "saving", "shorter"]),
        ({"model.precision": "bfloat16"}, ["short"]),
    ):
        html = panel(nearest)
        told = [translate(f"ui.train.nearest.{word}", language, batch=2, accumulation=4, length=64) for word in words]
        assert re.findall("<li>(.*?)</li>", html) == told
        (data,) = re.findall(r'data-act="nearest" data-changes="([^"]*)"', html)
        assert json.loads(unescape(data)) == nearest
    for model in ({}, {"model": PAYLOAD, "least_bytes": 850_000_000}):
        html = panel(None, **model)
        assert "data-changes" not in html
        assert "<img" not in html
        for part in ("900 MB", "800 MB", *(["850 MB", translate("ui.train.open_models", language)] if model else [])):
            assert part in html
    assert refusal(page_of(Pretended(), language), RunSpec) == ""


def test_what_is_refused_is_not_told_twice() -> None:
    """The cost says what is known; the refusal stands beside the start button."""
    unfit = Unfit(9, 8, None, "m")
    (_, last) = told(cost_panel(page_of(Pretended(cost=unfit.error())), RunSpec))
    assert "360" in last
    assert "MB" not in last


def test_a_model_is_described_or_its_fault_told() -> None:
    info = ModelInfo(PAYLOAD, "x", None, 124_000_000, 1024, None, False, False, (Notice(key="ui.runs.saved"),))
    text = list(model_summary(page_of(Pretended(model=info)), "x"))[-1]
    assert "<img" not in text
    for part in ("124 million", "1,024", translate("ui.train.model.to_download"), translate("ui.runs.saved")):
        assert part in text
    wrong = ModelError("error.model.folder_missing", folder=PAYLOAD)
    text = list(model_summary(page_of(Pretended(model=wrong)), "x"))[-1]
    assert "say-bad" in text
    assert "<img" not in text
    assert list(model_summary(page_of(Pretended()), "")) == [""]


@pytest.mark.parametrize(
    ("number", "english", "japanese"),
    [(999, "999", "999"), (3_440_000, "3.44 million", "344万"), (7_000_000_000, "7 billion", "70億")],
)
def test_large_numbers_as_one_says_them(number: int, english: str, japanese: str) -> None:
    assert count(number, "en") == english
    assert count(number, "ja") == japanese


# Wired


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with Studio(Settings(workspace=tmp_path), worker=False) as opened:
        yield opened


def handlers(studio: Studio) -> tuple[dict[str, Callable[..., Any]], str]:
    """The tab's handlers by name, and a data set's version."""
    file = studio.settings.workspace / "rows.jsonl"
    file.write_text('{"question": "a?", "answer": "b"}\n' * 3, encoding="utf-8")
    with gr.Blocks() as blocks:
        folder = studio.settings.workspace
        page = Page(studio, "en", gr.Tabs(), chosen("version", folder), chosen("run", folder))
        with gr.Tab("train") as tab:
            train_tab.build(page, blocks, tab)
    found = {function.fn.__name__: function.fn for function in blocks.fns.values() if function.fn}
    return found, studio.datasets.import_file(file).id


def test_one_press_is_one_run_however_often_it_arrives(studio: Studio) -> None:
    found, version = handlers(studio)
    fields = found["use_preset"](version, "sft", "starter", "balanced")
    token = found["enter"](version)[-1]
    pressed = [
        found["begin"](token, "mine", *HERE, version, "sft", "starter", "", "balanced", *fields)[0] for _ in range(3)
    ]
    assert len(set(pressed)) == 1
    (record,) = studio.store.runs()
    assert (record.id, record.name, record.spec.preset) == (pressed[0], "mine", "balanced")
    again = found["enter"](version)[-1]
    assert again != token
    assert found["begin"](again, "mine", *HERE, version, "sft", "starter", "", "balanced", *fields)[0] != pressed[0]


def test_a_plan_that_is_known_not_to_fit_starts_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    little = Settings(tmp_path_factory.mktemp("little"), memory_bytes=1_000_000)
    with Studio(little, worker=False) as other:
        found, version = handlers(other)
        fields = found["use_preset"](version, "sft", "starter", "balanced")
        settings = [version, "sft", "starter", "", "balanced", *fields]
        found["begin"]("before", "", *HERE, *settings)  # not measured yet: the run decides
        assert len(other.store.runs()) == 1
        *_, (cost, refused) = found["measure"](("", []), *settings)
        assert "MB" in refused
        assert 'role="alert"' not in cost
        with pytest.raises(gr.Error, match="MB"):
            found["begin"]("token", "", *HERE, *settings)
        with pytest.raises(gr.Error, match="MB"):
            found["begin_several"]("token", "", "training.learning_rate", "0.1, 0.2", *HERE, *settings)
        assert len(other.store.runs()) == 1


def test_settings_that_cannot_be_used_start_nothing(studio: Studio) -> None:
    found, version = handlers(studio)
    fields = found["use_preset"](version, "sft", "starter", "balanced")
    with pytest.raises(gr.Error, match=r"training\.epochs"):
        found["begin"]("token", "", *HERE, version, "sft", "starter", "", "balanced", *[None for _ in fields])
    assert studio.store.runs() == []


def test_a_problem_stands_beside_its_setting_until_it_is_mended(studio: Studio) -> None:
    found, version = handlers(studio)
    settings = [version, "sft", "starter", "", "quick-look"]
    good = found["use_preset"](version, "sft", "starter", "quick-look")
    bad = [*good]
    bad[good.index(2)] = 0  # two epochs, the first setting of the form
    wrong, *updates = found["mark_problems"]({}, *settings, *bad)
    (marked,) = [update for update in updates if "info" in update]
    assert set(wrong) == {"training.epochs"}
    assert "training.epochs" in marked["info"]
    mended, *updates = found["mark_problems"](wrong, *settings, *good)
    (cleared,) = [update for update in updates if "info" in update]
    assert mended == {}
    assert "training.epochs" not in cleared["info"]


def test_without_data_the_tab_leads_to_it(studio: Studio) -> None:
    found, version = handlers(studio)
    for lost in (None, "20200101-000000-abcdef"):
        empty, layout, *_ = found["enter"](lost)
        assert (empty["visible"], layout["visible"]) == (True, False)
    empty, layout, summary, _ = found["enter"](version)
    assert (empty["visible"], layout["visible"]) == (False, True)
    assert "rows.jsonl" in summary


def test_data_without_a_mapping_says_so(studio: Studio) -> None:
    file = studio.settings.workspace / "odd.csv"
    file.write_text("x1,x2,x3\n1,2,3\n4,5,6\n", encoding="utf-8")
    version = studio.datasets.import_file(file)
    assert version.mapping is None
    assert "say-warn" in data_summary(page_of(studio), version.id)


def test_another_kind_of_model_brings_the_settings_that_suit_it(studio: Studio) -> None:
    found, version = handlers(studio)
    starter, folder = (found["use_preset"](version, "sft", kind, "balanced") for kind in ("starter", "folder"))
    assert starter != folder
    changed = [
        value for value in found["use_kind"](version, "sft", "folder", "balanced") if not isinstance(value, dict)
    ]
    assert changed == [new for new, old in zip(folder, starter, strict=True) if new != old]
    assert changed
    started = found["begin"]("1", "", *HERE, version, "sft", "starter", "", "balanced", *starter)[0]
    assert studio.runner.record(started).spec.preset == "balanced"


def test_the_learning_rate_follows_the_size_of_the_model(studio: Studio, tmp_path: Path) -> None:
    found, version = handlers(studio)
    small, large = (tmp_path / name for name in ("small", "large"))
    for folder, width in ((small, 576), (large, 4096)):
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": width}))

    def sized(model: Path, rate: float, before: str = "", tuner: str = "lora") -> tuple[Any, str]:
        return found["use_size"](version, "sft", "folder", str(model), "balanced", tuner, rate, before)

    assert sized(small, 0.0003) == (0.0014, str(small))  # from what a large model has, as long as none was named
    assert sized(large, 0.0014, str(small)) == (0.0003, str(large))
    assert sized(small, 0.00003, tuner="full") == (0.00014, str(small))
    typed, model = sized(large, 0.0007, str(small))
    assert (typed["__type__"], model) == ("update", str(large))
    assert found["use_tuner"](version, "sft", "folder", str(small), "balanced", "full") == 0.00014


# Methods

ROWS = {
    "prompt_completion": {"question": "a?", "answer": "b"},
    "language_modeling": {"text": "Once upon a time there was a teapot."},
    "preference": {"prompt": "a?", "chosen": "b", "rejected": "c"},
    "unpaired_preference": {"prompt": "a?", "completion": "b", "label": True},
    "prompt_only": {"prompt": "a?"},
}


def opened(studio: Studio, kind: str) -> str:
    file = studio.settings.workspace / f"{kind}.jsonl"
    file.write_text("\n".join([json.dumps(ROWS[kind])] * 3), encoding="utf-8")
    version = studio.datasets.import_file(file)
    assert version.mapping
    assert version.mapping.dataset_type == kind
    return version.id


Offer = tuple[str, list[str]]


def offered(
    found: dict[str, Callable[..., Any]], version: str, method: str, before: Offer = ("", [])
) -> dict[str, Any]:
    cards, chosen, now = found["offer_methods"](version, method, before)
    choices, _, others = cards.partition("</fieldset>")
    able, checked = re.findall(r'value="(\w+)"', choices), re.findall(r'value="(\w+)" checked', choices)
    assert checked == [name for name in able if name == chosen]
    return {"able": able, "value": chosen, "others": others, "now": now}


@pytest.mark.parametrize(
    ("kind", "natural", "also"),
    [
        ("prompt_completion", "sft", set()),
        ("language_modeling", "cpt", set()),
        ("preference", "dpo", {"simpo", "orpo", "sft", "kto"}),
        ("unpaired_preference", "kto", {"sft"}),
    ],
)
def test_only_what_the_data_can_teach_is_offered_the_natural_method_first(
    studio: Studio, kind: str, natural: str, also: set[str]
) -> None:
    found, _ = handlers(studio)
    offer = offered(found, opened(studio, kind), "sft")
    assert (offer["value"], offer["able"][0]) == (natural, natural)
    assert set(offer["able"]) >= {natural, *also}
    assert all(teaches(cast(DatasetType, kind), METHODS[name].learns) for name in offer["able"])
    for name, method in METHODS.items():
        told = translate(f"ui.method.{name}.name") + " ("
        assert (told in offer["others"]) == (name not in offer["able"])
        if name not in offer["able"]:
            assert translate(f"ui.method.needs.{method.learns}") in offer["others"]


def test_data_that_teaches_nothing_offers_no_method_and_says_what_is_needed(studio: Studio) -> None:
    found, _ = handlers(studio)
    offer = offered(found, opened(studio, "prompt_only"), "sft")
    assert not [name for name in offer["able"] if METHODS[name].learns in ("answers", "text", "pairs", "ratings")]
    assert translate("ui.method.needs.answers") in offer["others"]


def test_a_chosen_method_stays_until_another_data_set_is_opened(studio: Studio) -> None:
    found, answers = handlers(studio)
    pairs = opened(studio, "preference")
    first = offered(found, pairs, "sft")
    assert first["value"] == "dpo"
    assert found["offer_methods"](pairs, "simpo", first["now"]) == gr.skip()
    another = first["now"][0], ["dpo"]  # the same data set, its columns mapped otherwise
    assert offered(found, pairs, "simpo", another)["value"] == "simpo"
    assert offered(found, answers, "simpo", first["now"])["value"] == "sft"


def test_a_preset_leaves_the_run_that_is_gone_on_from(studio: Studio) -> None:
    found, version = handlers(studio)
    alone, after = (found["use_preset"](version, "sft", "starter", "thorough", "", run) for run in ("", "a-run"))
    held = [old for old, new in zip(alone, after, strict=True) if new == gr.skip() != old]
    assert sorted(map(str, held)) == [
        "",
        "",
        "0",
        "128.0",
        "32",
        "all-linear",
        "lora",
        "own",
    ]  # no run and no folder; its adapter's own settings and chat template


def test_no_cost_is_told_of_a_method_that_is_about_to_change(studio: Studio) -> None:
    found, _ = handlers(studio)
    text = opened(studio, "language_modeling")
    settings = ["starter", "", "balanced", *found["use_preset"](text, "cpt", "starter", "balanced")]
    assert list(found["measure"](("", []), text, "sft", *settings)) == []
    assert (
        "fact-rows" in next(found["measure"](("", []), text, "cpt", *settings))[0]
    )  # what is known before it is measured


def test_a_method_brings_the_settings_that_suit_it(studio: Studio) -> None:
    found, _ = handlers(studio)
    pairs = opened(studio, "preference")
    spec = studio.default_spec(pairs, "balanced")
    assert spec.method.kind == "dpo"
    assert spec.training.learning_rate < studio.default_spec(pairs, "balanced", method="sft").training.learning_rate
    begin = found["use_preset"](pairs, "sft", "starter", "balanced")
    changed = found["use_method"](pairs, "dpo", "starter", "", "balanced", "")
    rows, changed = changed[: -len(begin)], changed[-len(begin) :]
    assert {row["visible"] for row in rows} == {True, False}
    values = [old if isinstance(new, dict) else new for new, old in zip(changed, begin, strict=True)]
    run = found["begin"]("1", "", *HERE, pairs, "dpo", "starter", "", "balanced", *values)[0]
    assert studio.runner.record(run).spec.model_dump(exclude={"data"}) == spec.model_dump(exclude={"data"})
    assert spec.preset == "balanced"


def test_a_problem_of_a_method_stands_beside_its_own_setting_alone(studio: Studio) -> None:
    found, _ = handlers(studio)
    pairs = opened(studio, "preference")
    fields = found["use_preset"](pairs, "simpo", "starter", "balanced")
    bad = [-1 if value == 1.0 and isinstance(value, float) else value for value in fields]  # the wanted margin
    wrong, *updates = found["mark_problems"]({}, pairs, "simpo", "starter", "", "balanced", *bad)
    assert "method.simpo.margin" in wrong
    assert sum("info" in update for update in updates) == len(wrong)
    dpo = found["use_preset"](pairs, "dpo", "starter", "balanced")
    mended, *updates = found["mark_problems"](wrong, pairs, "dpo", "starter", "", "balanced", *dpo)
    assert mended == {}
    assert sum("info" in update for update in updates) == len(wrong)


def test_the_settings_of_a_run_are_used_again(studio: Studio) -> None:
    found, version = handlers(studio)
    changes = {"method.loss_on": "all", "tuner.rank": 4, "data.version": version}
    run = studio.store.add_run("r1", "mine", with_changes(RunSpec(), changes), Queued()).id
    told = found["use_run"](written(Again(run)), "dpo")
    assert told[0] == version
    assert told[3:6] == ["sft", "sft", "starter"]
    assert told[8] == "mine"
    assert told[9:13] == list(HERE)
    fields = [*told[14:-2], *(choice["value"] for choice in told[-2:])]
    again = studio.store.run(found["begin"]("t", "", *HERE, version, "sft", "starter", "", "balanced", *fields)[0]).spec
    assert (again.method.loss_on, again.tuner.rank) == ("all", 4)  # type: ignore[union-attr]
    assert all(type(value) is dict for value in found["use_method"](version, "sft", "starter", "", "balanced", "sft"))
    assert found["use_run"](written(Again(run)), "sft")[4] == ""
    assert all(type(value) is dict for value in found["use_run"]("", "sft"))
    changed = found["use_run"](written(Again(run, settings={"training.batch_size": 3, "tuner.rank": 2})), "sft")
    fields = [*changed[14:-2], *(choice["value"] for choice in changed[-2:])]
    spec = studio.store.run(found["begin"]("c", "", *HERE, version, "sft", "starter", "", "balanced", *fields)[0]).spec
    assert (spec.training.batch_size, spec.tuner.rank, spec.method.loss_on) == (3, 2, "all")  # type: ignore[union-attr]


def test_a_run_that_went_on_from_another_is_used_again_with_it(studio: Studio) -> None:
    """The list of runs to go on from must hold the run before it is chosen there."""
    found, version = handlers(studio)
    base = with_changes(RunSpec(), {"data.version": version})
    for run, spec in (("first", base), ("gone", base), ("second", with_changes(base, {"model.adapter": "first"}))):
        studio.store.add_run(run, run, spec, Queued())
    studio.store.append("first", Ended(status="done", adapter="adapter", adapter_sha256="a"))
    before = found["use_run"](written(Again("second")), "sft")[-2]
    assert before["value"] == "first"
    assert "first" in dict(before["choices"]).values()
    studio.store.append("gone", Ended(status="stopped"))
    studio.store.add_run("third", "third", with_changes(base, {"model.adapter": "gone"}), Queued())
    told = found["use_run"](written(Again("third")), "sft")
    assert told[-2]["value"] == ""
    assert "gone" in told[13]


def test_a_run_is_sent_to_a_cluster_and_used_again_there(studio: Studio) -> None:
    found, version = handlers(studio)
    fields = found["use_preset"](version, "sft", "starter", "quick-look")
    settings = [version, "sft", "starter", "", "quick-look", *fields]
    run = found["begin"]("t", "", "cluster", " local ", 4, "full", *settings)[0]
    assert studio.runner.state(run).cluster == ClusterSpec(address="local", workers=4, sharding="full")
    assert found["use_run"](written(Again(run)), "sft")[9:13] == ["cluster", "local", 4, "full"]
    for address, workers, told in (("local", 3, "batch"), ("local", 0, "workers"), ("here", 2, "no address")):
        with pytest.raises(gr.Error, match=told):
            found["begin"]("u", "", "cluster", address, workers, "none", *settings)
    assert len(studio.store.runs()) == 1


def test_a_run_is_gone_on_from_at_any_of_its_checkpoints(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    found, version = handlers(studio)
    spec = with_changes(RunSpec(), {"data.version": version, "tuner.rank": 4})
    studio.store.add_run("first", "mine", spec, Queued())
    checkpoints = [Checkpoint(step=s, path=f"checkpoint-{s}", validation_loss=2 - s / 10) for s in (4, 8)]
    studio.store.append("first", *checkpoints)
    runs, steps = found["offer_runs"]("starter", "", "", 0)[:2]
    assert "value" not in runs  # what is chosen stays
    assert "first" in dict(runs["choices"]).values()
    assert not steps["visible"]
    told = found["use_run"](written(Again("first", 4)), "sft")
    assert told[8] == "mine · from step 4"
    fields = [*told[14:-2], *(choice["value"] for choice in told[-2:])]
    begun = found["begin"]("t", "", *HERE, version, "sft", "starter", "", "quick-look", *fields)[0]
    again = studio.store.run(begun).spec
    assert (again.model.adapter, again.model.adapter_step, again.tuner) == ("first", 4, spec.tuner)

    def offered(*, chosen: int) -> dict[str, int]:
        update = found["offer_runs"]("starter", "", "first", chosen)[1]
        assert update["visible"]
        kept = dict(update["choices"]).values()
        assert update.get("value", chosen) == (chosen if chosen in kept else next(iter(kept)))
        return dict(update["choices"])

    running = offered(chosen=4)  # nothing is kept before the end: the newest comes first
    assert list(running.values()) == [8, 4]
    assert [label for label in running if "best" in label] == ["Step 8 · validation loss 1.2000 · best"]
    studio.store.append("first", Ended(status="done", adapter="adapter", adapter_sha256="a", best_step=4))
    ended = offered(chosen=0)
    assert list(ended.values()) == [0, 8, 4]
    assert [label for label in ended if "best" in label] == ["Step 4 · validation loss 1.6000 · best"]
    assert found["use_parent"]("")[-1] == gr.update(choices=[("", 0)], value=0, visible=False)


def test_an_adapter_in_a_folder_is_gone_on_from(studio: Studio, tmp_path: Path) -> None:
    """Its shape fills the form; until it is named, and where it cannot be used, that is told beside it."""
    found, version = handlers(studio)
    model, made = save_tiny(tmp_path / "llama"), save_plain(tmp_path / "mine", rank_pattern={"q_proj": 5})
    for kind, source in (("folder", str(model)), ("starter", "")):  # of the starter too, which has no runs yet
        assert ADAPTER_FOLDER in dict(found["offer_runs"](kind, source, "", 0)[0]["choices"]).values()

    def with_values(fields: list[Any], told: list[Any]) -> list[Any]:
        return [old if type(new) is dict else new for old, new in zip(fields, told, strict=True)]

    def settings(fields: list[Any], named: str) -> list[Any]:
        return [version, "sft", "folder", str(model), "quick-look", *fields[:-3], named, ADAPTER_FOLDER, 0]

    def beside(fields: list[Any], named: str) -> str:
        return found["mark_problems"]({}, *settings(fields, named))[0].get("model.adapter_folder", "")

    fields = found["use_preset"](version, "sft", "folder", "quick-look")
    told = found["use_parent"](ADAPTER_FOLDER, "", "all-linear")
    assert told[-3] == gr.update(visible=True)
    assert all(type(value) is dict for value in told)
    assert "Name the folder" in beside(fields, "")
    assert "no folder" in beside(fields, str(tmp_path / "none"))
    assert "tuner.rank 3" in beside(fields, f" {made} ")
    fields = with_values(fields, found["use_folder"](str(made)))
    assert beside(fields, str(made)) == ""
    begun = found["begin"]("t", "", *HERE, *settings(fields, f" {made} "))[0]
    spec = studio.store.run(begun).spec
    assert (spec.model.adapter, spec.model.adapter_folder) == ("", str(made))
    assert spec.tuner.model_dump() | read_adapter_shape(made).settings == spec.tuner.model_dump()

    again = found["use_run"](written(Again(begun)), "sft")
    assert again[-3] == gr.update(value=str(made), visible=True)
    assert again[-2]["value"] == ADAPTER_FOLDER
    afresh = found["use_parent"]("", str(made), "adapter")
    assert afresh[-3] == gr.update(visible=False)
    assert "all-linear" in [value for value in afresh if type(value) is not dict]
    assert all(type(value) is dict for value in found["use_parent"]("", str(made), "attention"))


def test_several_values_of_a_setting_become_runs(studio: Studio) -> None:
    found, version = handlers(studio)
    fields = found["use_preset"](version, "sft", "starter", "quick-look")
    settings = [version, "sft", "starter", "", "quick-look", *fields]
    found["begin_several"]("token", "try", "tuner.rank", "4, 8、16", *HERE, *settings)
    assert sorted(run.spec.tuner.rank for run in studio.store.runs()) == [4, 8, 16]  # type: ignore[union-attr]
    with pytest.raises(gr.Error, match="no number"):
        found["begin_several"]("token", "", "tuner.rank", "4, many", *HERE, *settings)
    with pytest.raises(gr.Error, match="another method"):
        found["begin_several"]("token", "", "method.dpo.beta", "0.1, 0.2", *HERE, *settings)
    assert sweep_values("1e-4, 0.5 3") == [1e-4, 0.5, 3]


def test_shares_are_told_in_plain_numbers() -> None:
    assert [percent(share) for share in (1.0, 0.995, 0.0972, 0.0123, 0.0004)] == [
        "100",
        "100",
        "9.7",
        "1.2",
        "0.04",
    ]


def pressed(markup: str) -> list[Any]:
    """The events of the buttons that offer a way out."""
    found = re.findall(r'data-act="way" data-changes="([^"]*)"', markup)
    return [SimpleNamespace(changes=unescape(changes)) for changes in found]


def test_a_method_that_the_rows_no_longer_teach_is_refused_with_the_way_to_another(studio: Studio) -> None:
    """The columns were mapped otherwise since the run that is used again, or on another page."""
    found, _ = handlers(studio)
    pairs = opened(studio, "preference")
    fields = found["use_preset"](pairs, "dpo", "starter", "balanced")
    before = offered(found, pairs, "dpo")["now"]
    studio.datasets.set_mapping(pairs, Mapping(prompt="prompt", answer="chosen"))
    settings = [pairs, "dpo", "starter", "", "balanced", *fields]
    assert list(found["measure"](before, *settings)) == []  # another method is about to be chosen
    now = (before[0], studio.datasets.methods(pairs))
    *_, (cost, _) = found["measure"](now, *settings)
    assert "“rejected” as the worse" in cost
    back, answers = pressed(cost)
    told, tab, *unchanged = found["take_way"](pairs, back)
    assert (tab.selected, [value for value in unchanged if value != gr.skip()]) == ("data", [])
    assert told > 0
    told, tab, cards, method, *values = found["take_way"](pairs, answers)
    assert (told, tab, method) == (gr.skip(), gr.skip(), "sft")
    assert 'value="sft" checked' in cards
    assert all(value == gr.skip() for value in values)


def test_a_second_answer_is_offered_beside_the_methods_that_need_it(studio: Studio) -> None:
    found, answers = handlers(studio)
    assert pressed(offered(found, answers, "sft")["others"]) == []
    file = studio.settings.workspace / "two.jsonl"
    row = {"question": "a?", "answer": "b", "bad_answer": PAYLOAD}
    file.write_text("\n".join(json.dumps(row | {"bad_answer": f"{PAYLOAD}{i}"}) for i in range(3)), encoding="utf-8")
    version = studio.datasets.import_file(file).id
    others = offered(found, version, "sft")["others"]
    (way,) = pressed(others)
    assert translate("ui.train.one_answer") not in unescape(others)
    assert found["take_way"](version, way)[1].selected == "data"
    (suggested, *_) = studio.datasets.suggestions(version)
    studio.datasets.set_mapping(version, suggested.mapping)
    assert studio.datasets.methods(version)[0] == "dpo"
    assert pressed(offered(found, version, "sft")["others"]) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_problem_leads_to_its_setting_and_out(studio: Studio, language: str) -> None:
    found, version = handlers(studio)
    spec = with_changes(studio.default_spec(version, method="grpo"), {"tuner.rank": 256, "data.max_length": 100_000})
    problems = studio.problems(spec)
    told = problem_list(problems, language, lambda key, **values: translate(key, language, **values), "grpo")
    assert told.count("<li>") == len(problems) == 2
    assert re.findall(r'data-setting="([\w-]+)"', told) == ["set-tuner-rank", "set-data-max_length"]
    for way in pressed(told):
        changes = json.loads(way.changes)
        values = [value for value in found["take_way"](version, way) if value != gr.skip()]
        assert values == list(changes.values())
        spec = with_changes(spec, changes)
    assert studio.problems(spec) == []
