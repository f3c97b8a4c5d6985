"""A chat template that was chosen is that of the whole run: training, samples, Compare, runs that go on, the export."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.backend.chain import Next
from studio.data.chat_templates import TEMPLATES
from studio.data.records import Message
from studio.data.tokens import prompt_text
from studio.errors import DataError, InputError, SpecError
from studio.models.loading import load_tokenizer
from studio.runs.spec import RunSpec, load_spec, with_changes
from studio.training.job import make_examples
from tests.backend.asked import beside_base, last
from tests.backend.test_chains import Place
from tests.tiny import save_tiny

TURNS = (Message("system", "丁寧に。"), Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "また"))
CHATML = (
    "<|im_start|>system\n丁寧に。<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|end|>\n"
    "<|im_start|>user\nまた<|im_end|>\n<|im_start|>assistant\n"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A workspace whose model is a GPT-2 without chat template."""
    folder = tmp_path_factory.mktemp("templates")
    made = Place(folder)
    made.model = save_tiny(folder / "base", "gpt2", chat_template=None)
    yield made
    made.studio.close()


def spec_of(place: Place, method: str, data: str, template: str = "chatml", **changes: Any) -> RunSpec:
    return with_changes(place.spec(method, data, data__max_length=256, **changes), {"model.chat_template": template})


@pytest.fixture(scope="module")
def tuned(place: Place) -> str:
    """A run that learned ChatML."""
    return place.train(spec_of(place, "sft", place.rows), "marked")


def test_a_run_tells_and_shows_its_template(place: Place, tuned: str) -> None:
    state = place.studio.runner.state(tuned)
    told = {notice.key: notice.values for notice in state.notices}
    assert told["notice.model.chosen_template"] == {"model": "base", "template": "chatml"}
    assert told["notice.model.cut_markers"]["pieces"] == 12
    cautions = dict(place.studio.cautions(place.studio.runner.record(tuned).spec))
    assert cautions["notice.model.cut_markers"]["template"] == "chatml"
    assert "ui.train.caution.other_template" not in cautions


def test_compare_keeps_the_base_for_another_template(place: Place, tuned: str) -> None:
    """One base in memory, each run asked in the form that it was trained with."""
    compare = place.studio.compare
    plain = place.train(spec_of(place, "sft", place.rows, "plain"), "plain")
    kept, forms = [], []
    for run in (tuned, plain, tuned):
        for contestant in compare.beside_base(run):
            with compare.lease_contestant(contestant) as lease:
                kept.append(compare._residence._resident)
                forms.append(lease.tokenizer.chat_template)
    assert len(kept) == 6
    assert len({id(resident) for resident in kept}) == 1
    assert forms == [TEMPLATES[name] for name in ("chatml", "plain", "chatml") for _ in ("base", "tuned")]


def test_its_tokens_are_counted_before_the_start(place: Place, tuned: str) -> None:
    studio, spec = place.studio, place.studio.runner.record(tuned).spec
    rows, _ = studio.datasets.lessons(spec.data.version, None)
    parts = studio.datasets.split(spec.data.version, spec.data.split)
    tokenizer = load_tokenizer(spec.model.source, studio.settings, "chatml").tokenizer
    learned = make_examples(rows, spec, tokenizer, 512, parts).train
    state = studio.runner.state(tuned)
    assert state.started is not None
    assert len(learned) == state.started.train_rows
    assert studio.estimate(spec).tokens == sum(lesson.tokens for lesson in learned)


def test_base_and_tuned_are_compared_with_it(place: Place, tuned: str) -> None:
    studio = place.studio
    for contestant in studio.compare.beside_base(tuned):
        with studio.compare.lease_contestant(contestant) as lease:
            assert prompt_text(TURNS, lease.tokenizer) == CHATML
    turns = (Message("user", "what about 3?"),)
    assert last(studio, beside_base(studio, tuned, turns=turns, max_new_tokens=4)).done


def test_its_export_writes_conversations_as_the_run_did(place: Place, tuned: str, tmp_path: Path) -> None:
    """By plain transformers, from the files alone: the very ids that were trained on."""
    from transformers import AutoTokenizer

    studio, record = place.studio, place.studio.runner.record(tuned)
    export = studio.exports.make(tuned)
    assert export.proof.passed
    with zipfile.ZipFile(export.path) as archive:
        archive.extractall(tmp_path)
    exported = AutoTokenizer.from_pretrained(tmp_path)
    assert exported.chat_template == TEMPLATES["chatml"]
    assert exported.apply_chat_template(
        [{"role": turn.role, "content": turn.content} for turn in TURNS], tokenize=False, add_generation_prompt=True
    ) == CHATML  # fmt: skip
    rows, _ = studio.datasets.lessons(record.version, None, "answers")
    with studio.compare.lease(studio.compare.adapter(tuned)) as lease:
        learned = make_examples(rows, record.spec, lease.tokenizer, 512)
    ids = {lesson.sides[0].ids for lesson in learned.train}
    talk = [{"role": "user", "content": "what about 3?"}, {"role": "assistant", "content": "3 it is"}]
    assert tuple(exported.apply_chat_template(talk)["input_ids"]) in ids
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "“`chatml`” was chosen" in card
    assert "「`chatml`」" in card
    assert load_spec((tmp_path / "run-spec.yaml").read_text(), "spec").model.chat_template == "chatml"


def test_runs_that_go_on_keep_the_template(place: Place, tuned: str) -> None:
    studio = place.studio
    for method in ("sft", "reward", "cpt"):
        assert studio.following(tuned, method, place.rows).model.chat_template == "chatml"
    on = spec_of(place, "sft", place.rows, "own", model__adapter=tuned)
    with pytest.raises(InputError) as caught:
        studio.runner.submit(on)
    assert caught.value.key == "error.source.other_template"
    assert caught.value.values["theirs"] == caught.value.values["setting"] == "chatml"
    assert caught.value.values["ours"] == "plain"
    (problem,) = studio.problems(on)
    assert problem.path == "model.chat_template"
    assert studio.problems(with_changes(on, {"model.chat_template": "chatml"})) == []


def test_a_reward_model_reads_what_the_run_writes(place: Place) -> None:
    studio = place.studio
    reward = studio.runner.submit(spec_of(place, "reward", place.pairs, "alpaca"), "taste").id
    judged = [{"kind": "model", "run": reward}]
    for template, told in (("chatml", ["error.source.other_template"]), ("alpaca", [])):
        spec = spec_of(place, "grpo", place.pairs, template, method__rewards=judged)
        assert [problem.error.key for problem in studio.problems(spec)] == told
    assert studio.next_run(Next("grpo", "", reward), place.pairs).model.chat_template == "alpaca"


def test_documents_bind_to_no_template_and_names_for_one_are_one(place: Place) -> None:
    studio = place.studio
    file = place.model.parent / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": f"Text {i}. " * 9}) + "\n" for i in range(12)))
    texts = studio.datasets.import_file(file).id
    read = studio.runner.submit(spec_of(place, "cpt", texts, "own"), "read").id
    after = studio.runner.submit(spec_of(place, "sft", place.rows, "chatml", model__adapter=read)).id
    wrong = spec_of(place, "cpt", texts, "own", model__adapter=after)
    assert [problem.error.key for problem in studio.problems(wrong)] == ["error.source.other_template"]
    named = studio.runner.submit(spec_of(place, "sft", place.rows, "plain")).id
    assert studio.problems(spec_of(place, "sft", place.rows, "own", model__adapter=named)) == []


def test_a_template_without_tools_is_told_before_the_start(place: Place) -> None:
    studio = place.studio
    tool = {"type": "function", "function": {"name": "weather", "description": "", "parameters": {}}}
    row = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}], "tools": [tool]}
    file = place.model.parent / "tools.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for _ in range(12)))
    data = studio.datasets.import_file(file).id
    for template in ("own", "plain", "alpaca"):
        with pytest.raises(DataError) as caught:
            studio.runner.submit(spec_of(place, "sft", data, template))
        assert "`chatml`" in caught.value.message()
    assert studio.problems(spec_of(place, "sft", data, "chatml")) == []
    file.write_text("".join(json.dumps(row if i else {**row, "tools": []}) + "\n" for i in range(12)))
    mixed = studio.datasets.import_file(file).id
    assert studio.problems(spec_of(place, "sft", mixed, "plain")) == []  # such rows are skipped, and counted


def test_another_template_than_the_own_one_is_cautioned(place: Place) -> None:
    spec = with_changes(RunSpec(), {"data.version": place.rows, "model.chat_template": "plain"})
    assert "ui.train.caution.other_template" in dict(place.studio.cautions(spec))
    own = with_changes(spec, {"model.chat_template": "own"})
    assert "ui.train.caution.other_template" not in dict(place.studio.cautions(own))


def test_an_adapter_that_brings_another_template_is_cautioned(place: Place, tuned: str, tmp_path: Path) -> None:
    studio = place.studio
    with zipfile.ZipFile(studio.exports.make(tuned).path) as archive:
        archive.extractall(tmp_path)
    found = {}
    for template in ("own", "chatml"):
        spec = with_changes(spec_of(place, "sft", place.rows, template), studio.adapter_settings(str(tmp_path)))
        assert studio.problems(spec) == []
        found[template] = dict(studio.cautions(spec))
    key = "ui.train.caution.adapter_template"
    assert found["own"][key] == {"theirs": "chatml", "ours": "own"}
    assert key not in found["chatml"]
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert "ui.train.caution.adapter_template_unknown" in dict(studio.cautions(spec))


def test_an_unknown_name_is_a_wrong_setting() -> None:
    with pytest.raises(SpecError, match=r"model\.chat_template.*'plain'"):
        with_changes(RunSpec(), {"model.chat_template": "llama9"})
    old = RunSpec().model_dump(mode="json")
    del old["model"]["chat_template"]
    assert RunSpec.model_validate(old) == RunSpec()  # runs made before there was the setting
