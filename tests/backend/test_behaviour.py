"""Every method does to the starter what it promises: small real runs, judged by behaviour and not by their loss alone.

The whole measurements, larger and with more to tell, are `tests.benchmarks.methods`, `rl`, `instruction` and others.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from studio.backend.studio import Studio
from studio.data.records import Message
from studio.models.generation import render_prompt, sample_answers
from studio.runs.events import RunState
from studio.runs.spec import with_changes
from studio.settings import Settings
from studio.starter.words import ANIMALS
from studio.starter.world import Question, exam, lessons
from tests.benchmarks.methods import better, documents, model_of

ROWS = 96
STORIES = ("Tell me a story about a {}.", "I want a story about a {}.")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with Studio(Settings(workspace=tmp_path_factory.mktemp("behaviour") / "w", offline=True), worker=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def asked() -> list[Question]:
    plain = [q for q in lessons() if q.language == "en" and q.answer.endswith(".")]
    return random.Random(3).sample(plain, ROWS)


def learned(studio: Studio, name: str, rows: list[dict[str, Any]], changes: dict[str, Any]) -> tuple[str, RunState]:
    version = studio.datasets.import_text("\n".join(json.dumps(row) for row in rows), name)
    spec = with_changes(studio.default_spec(version.id), {"data.split.validation_share": 0.25, **changes})
    run = studio.runner.submit(spec, name).id
    assert studio.runner.run_now(run).status == "done"
    return run, studio.runner.state(run)


def before_and_after(state: RunState, name: str) -> tuple[float, float]:
    curve = [value for _, value in state.curves[f"validation_{name}"]]
    return curve[0], curve[-1]


def test_sft_gives_the_answers_a_new_form_on_questions_never_seen(studio: Studio, asked: list[Question]) -> None:
    rows = [{"prompt": q.text, "completion": better(q)} for q in asked]
    run, _ = learned(studio, "sft", rows, {"training.epochs": 2})
    questions = random.Random(5).sample([q for q in exam() if q.language == "en" and q.answer.endswith(".")], 40)
    prompts = [(Message("user", q.text),) for q in questions]

    def share(folder: Any) -> tuple[float, float]:
        model, tokenizer = model_of(studio, folder)
        answers = sample_answers(model, tokenizer, [render_prompt(p, tokenizer) for p in prompts], 32)
        form = sum(answer.strip().endswith("!") for answer in answers) / len(answers)
        return form, sum(q.right(a) for q, a in zip(questions, answers, strict=True)) / len(answers)

    assert share(None)[0] == 0
    form, right = share(studio.compare.adapter(run).folder)
    assert form >= 0.9
    assert right >= 0.5  # it still knows what it was asked


def test_continued_pretraining_finds_its_way_in_the_documents(studio: Studio) -> None:
    rows = [{"text": text} for text in documents(80)]
    changes = {"method.kind": "cpt", "training.epochs": 4, "training.learning_rate": 3e-3, "training.batch_size": 4}
    _, state = learned(studio, "cpt", rows, changes)
    before, after = before_and_after(state, "loss")
    assert before > 8  # perplexity in the thousands
    assert after < 2.5


@pytest.mark.parametrize(("method", "rate"), [("dpo", 1e-3), ("orpo", 2e-3), ("kto", 2e-3), ("reward", 1e-3)])
def test_the_preferred_answer_wins_in_pairs_never_seen(
    studio: Studio, asked: list[Question], method: str, rate: float
) -> None:
    pairs = [{"prompt": q.text, "chosen": better(q), "rejected": q.answer} for q in asked]
    changes = {"method.kind": method, "training.learning_rate": rate, "training.epochs": 2}
    _, state = learned(studio, method, pairs, changes)
    if method == "kto":  # rated one by one
        assert before_and_after(state, "margin")[1] > 1
        return
    assert before_and_after(state, "margin")[1] > 0.1  # the smallest step in the right direction is no preference yet
    before, after = before_and_after(state, "accuracy")
    assert before <= 0.7
    assert after >= 0.95


@pytest.mark.parametrize("method", ["grpo", "rloo"])
def test_a_reward_is_earned_without_any_answer_to_learn_from(studio: Studio, method: str) -> None:
    """Stories, which the starter tells differently every time, become shorter ones."""
    rows = [{"prompt": ask.format(animal[0])} for ask in STORIES for animal in ANIMALS[:16]]
    changes = {
        "method.kind": method, "method.rewards": [{"kind": "length", "low": 1, "high": 100}],
        "method.samples_per_row": 8, "method.max_new_tokens": 64,
        "training.learning_rate": 2e-3, "training.epochs": 2,
    }  # fmt: skip
    _, state = learned(studio, method, rows, changes)
    before, after = before_and_after(state, "reward")
    assert after > before + 0.1
    assert before_and_after(state, "kl")[1] > 0
