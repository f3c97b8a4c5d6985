"""A run with DoRA is compared and exported like any other, although PEFT does not mix such adapters in a batch."""

from collections.abc import Iterator

import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM

from studio.models.generation import Generation, Sampling, render_prompt
from studio.models.loading import load_tokenizer
from studio.runs.spec import with_changes
from tests.backend import asked
from tests.backend.asked import PROMPT, Sides, beside_base
from tests.backend.made import Made, make, save_models

CHANGES = {
    "tuner.variant": "dora", "tuner.rank": 4, "training.epochs": 2, "training.evaluations": 1,
    "training.learning_rate": 0.02, "data.split.validation_share": 0.2, "data.max_length": 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    made = make(tmp_path_factory.mktemp("studio"), save_models(tmp_path_factory.mktemp("models")))
    yield made
    made.studio.close()


@pytest.fixture(scope="module")
def run(made: Made) -> str:
    source = {"model.source": str(made.models / "llama")}
    spec = with_changes(made.studio.default_spec(made.version), {**source, **CHANGES})
    record = made.studio.runner.submit(spec, "DoRA")
    assert made.studio.runner.run_now(record.id).status == "done"
    return record.id


def last(made: Made, run: str) -> Sides:
    return asked.last(made.studio, beside_base(made.studio, run, max_new_tokens=10))


def test_both_columns_answer_as_plain_peft_does(made: Made, run: str) -> None:
    source = made.models / "llama"
    tokenizer = load_tokenizer(str(source), made.studio.settings).tokenizer
    base = AutoModelForCausalLM.from_pretrained(source).eval()
    answers = []
    for _ in ("base", "tuned"):
        generation = Generation(base, tokenizer, [render_prompt(PROMPT, tokenizer)], Sampling(max_new_tokens=10))
        answers += generation.run()
        base = PeftModel.from_pretrained(base, str(made.studio.store.run_folder(run) / "adapter")).eval()
    lora = made.run("llama")  # another adapter on the same base, before and after
    before = last(made, lora)
    found = last(made, run)
    assert [found.base.text, found.tuned.text] == answers
    assert found.identical is False
    assert last(made, lora).tuned.text == before.tuned.text
    assert before.base.text == found.base.text


def test_its_export_is_proven(made: Made, run: str) -> None:
    assert made.studio.exports.make(run).proof.passed
