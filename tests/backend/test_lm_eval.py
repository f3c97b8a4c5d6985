"""Tasks of lm-eval among the exams: asked over our weights, they give what lm-eval gives by itself."""

import json
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.errors import InputError, ModelError, Stopped
from studio.evaluation.plan import EvaluationPlan
from tests.backend.made import Made
from tests.backend.sums import make_studio, run_on_sums

pytest.importorskip("lm_eval", reason="lm-eval is not installed (extra `lm-eval`)")

ABOUT = """
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
doc_to_text: "Q: {{{{question}}}}\\nA:"
"""
CHOICE = (
    ABOUT
    + """task: own_choice
output_type: multiple_choice
num_fewshot: 2
fewshot_split: test
doc_to_target: "{{{{label}}}}"
doc_to_choice: ["yes", "certainly not", "maybe so"]
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
metadata: {{version: 3}}
"""
)
WRITTEN = (
    ABOUT
    + """task: own_written
output_type: generate_until
doc_to_target: "{{{{said}}}}"
generation_kwargs: {{until: {until}, max_gen_toks: {room}}}
metric_list: [{{metric: {metric}}}]
"""
)
QUESTIONS = [{"question": f"Is {n} odd?", "label": n % 3, "said": "?"} for n in range(24)]
RANDOM = WRITTEN.replace("max_gen_toks", "do_sample: true, temperature: 0.7, max_gen_toks")
GROUP = "group: own_group\ntask: [own_choice, own_written]\n"


def write_tasks(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    data = folder / "questions.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS), encoding="utf-8")
    values = {"data": data, "until": json.dumps([*string.ascii_letters]), "room": 12, "metric": "exact_match"}
    files = {
        "own_choice": CHOICE.format(**values),
        "own_written": WRITTEN.format(**values),
        "own_long": WRITTEN.format(**values | {"room": 600}).replace("own_written", "own_long"),
        "own_bleu": WRITTEN.format(**values | {"metric": "bleu"}).replace("own_written", "own_bleu"),
        "own_random": RANDOM.format(**values).replace("own_written", "own_random"),
        "own_lost": WRITTEN.format(**values | {"data": folder / "lost.jsonl"}).replace("own_written", "own_lost"),
        "own_broken": WRITTEN.format(**values).replace("own_written", "own_broken").replace("{{question}}", "{{q.r}}"),
        "own_group": GROUP,
    }
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("lm-eval")
    made = make_studio(folder)
    write_tasks(made.studio.evaluations.questions.lm_eval_folder)
    yield made
    made.studio.close()


@pytest.fixture(scope="module")
def run(made: Made, tmp_path_factory: pytest.TempPathFactory) -> str:
    return run_on_sums(made, tmp_path_factory.mktemp("rows"))


def plan_for(*tasks: str, **values: Any) -> EvaluationPlan:
    return EvaluationPlan(side="validation", exams=tuple(f"lm-eval:{task}" for task in tasks), **values)


def alone(made: Made, run: str, task: str, tuned: bool) -> list[dict[str, Any]]:
    """What lm-eval says of each question by itself, with its own class for models of transformers."""
    from lm_eval import evaluator
    from lm_eval.models import huggingface
    from lm_eval.tasks import TaskManager
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = made.models / "llama"
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    if tuned:
        model = PeftModel.from_pretrained(model, made.studio.store.run_folder(run) / "adapter")
    hflm: Any = huggingface.HFLM  # decorators of lm-eval hide its arguments
    theirs = hflm(pretrained=model.eval(), tokenizer=AutoTokenizer.from_pretrained(folder), batch_size=8)
    own = TaskManager(include_path=str(made.studio.evaluations.questions.lm_eval_folder), include_defaults=False)
    simple_evaluate: Any = evaluator.simple_evaluate
    found = simple_evaluate(theirs, tasks=[task], task_manager=own, bootstrap_iters=0)
    return found["samples"][task]


@pytest.mark.parametrize(("task", "metric"), [("own_choice", "acc_norm"), ("own_written", "exact_match")])
def test_as_lm_eval_says_alone(made: Made, run: str, task: str, metric: str) -> None:
    plan, evaluations = plan_for(task), made.studio.evaluations
    if metric == "exact_match":  # of random letters, what the base says to some questions is what is expected
        said = [one["filtered_resps"][0] for one in alone(made, run, task, False)]
        rows = [{**row, "said": said[n] if n % 3 else "?"} for n, row in enumerate(QUESTIONS)]
        data = evaluations.questions.lm_eval_folder / "questions.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    shares: list[float] = []
    evaluations.evaluate(run, plan=plan, tell=shares.append)
    assert shares == sorted(shares)
    (exam,) = evaluations.questions.exams(plan)
    rights, texts = [], []
    for entrant in evaluations.entrants(run, None, plan):
        taken = evaluations.taken(run, entrant.contestant, exam)
        assert taken is not None
        theirs = alone(made, run, task, entrant.role == "tuned")
        assert len(theirs) == len(taken.answers) == len(QUESTIONS)
        for one in theirs:
            ours = taken.answers[one["doc_id"]]
            assert ours.right == bool(one[metric])
            if metric == "exact_match":
                assert ours.text == one["filtered_resps"][0]
            else:
                likely = [float(part) for part in ours.text.split()]
                assert likely == pytest.approx([part[0] for part in one["filtered_resps"]], abs=2e-3)
        rights.append([ours.right for ours in taken.answers.values()])
        texts.append([ours.text for ours in taken.answers.values()])
    assert texts[0] != texts[1]  # an adapter that is not used would say the same
    assert 0 < sum(rights[0]) < len(QUESTIONS)
    if metric == "exact_match":
        assert len({len(text) for text in texts[0]}) > 1  # some are cut where they are to end

    report = made.studio.reports.report(run, plan=plan)
    assert report is not None
    (result,) = report.exams[0].results[0]
    assert (result.exam, result.group, result.change.rows) == (f"lm-eval:{task}", metric, len(QUESTIONS))
    assert (result.before, result.after) == tuple(sum(of) / len(QUESTIONS) for of in rights)
    assert report.verdict is not None
    assert any(reason.values.get("exam") == f"lm-eval:{task}" for reason in report.verdict.reasons)


def test_asked_once_and_gone_on_with(made: Made, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task of a prompted contestant is not asked; of a stopped one only the rest is."""
    monkeypatch.setattr("studio.evaluation.lm_eval_model._TOGETHER", 6)
    plan, folder = plan_for("own_choice", exam_rows=10, system="Be kind."), made.studio.store.evaluations_folder

    def begun() -> bool:
        return any(path.read_bytes().count(b"\n") > 12 for path in folder.glob("*.lm-eval.jsonl"))

    with pytest.raises(Stopped):
        made.studio.evaluations.evaluate(run, plan=plan, stopping=begun)
    (kept,) = folder.glob("*.lm-eval.jsonl")
    before = kept.read_bytes()
    kept.write_bytes(before + b'["cut o')  # as a killed process leaves it
    from studio.evaluation.lm_eval_model import SpeakerLM

    asked, score = [], SpeakerLM._loglikelihood_tokens
    monkeypatch.setattr(
        SpeakerLM, "_loglikelihood_tokens", lambda self, new, **_: (asked.extend(new), score(self, new))[1]
    )
    made.studio.evaluations.evaluate(run, plan=plan)
    assert len(asked) == 2 * 30 - (before.count(b"\n") - 1)  # 10 questions of 3 choices, of base and tuned model
    assert not list(folder.glob("*.lm-eval.jsonl"))
    made.studio.evaluations.evaluate(run, plan=plan)
    assert len(asked) <= 60
    report = made.studio.reports.report(run, plan=plan)
    assert report is not None
    assert [bool(results) for results in report.exams[0].results] == [True, False, False]


def test_other_data_is_another_version(made: Made, run: str) -> None:
    (before,) = made.studio.evaluations.questions.exams(plan_for("own_written"))
    assert len(made.studio.evaluations.questions.exams(plan_for("own_written", exam_rows=5))[0].questions) == 5
    data = made.studio.evaluations.questions.lm_eval_folder / "questions.jsonl"
    text = data.read_text(encoding="utf-8")
    for old, new in (("odd", "even"), ('"said": "?"', '"said": "!"')):  # what is asked, and what is expected
        data.write_text(text.replace(old, new), encoding="utf-8")
        (after,) = made.studio.evaluations.questions.exams(plan_for("own_written"))
        assert after.id != before.id
    data.write_text(text, encoding="utf-8")
    assert made.studio.evaluations.questions.exams(plan_for("own_written"))[0].id == before.id


@pytest.mark.parametrize(
    ("task", "key", "told"),
    [
        ("arc_eazy", "unknown", "arc_easy"),
        ("arc_easy", "download", "arc_easy"),
        ("own_group", "group", "own_choice, own_written"),
        ("own_bleu", "no_right", "bleu"),
        ("own_random", "samples", "own_random"),
        ("own_lost", "load", "lost.jsonl"),
        ("own_broken", "load", "q"),
    ],
)
def test_what_cannot_be_is_told_before_anybody_is_asked(made: Made, run: str, task: str, key: str, told: str) -> None:
    asked: list[float] = []
    with pytest.raises(InputError) as error:
        made.studio.evaluations.evaluate(run, plan=plan_for(task), tell=asked.append)
    assert error.value.key == f"error.lm_eval.{key}"
    assert told in error.value.message("en")
    assert error.value.message("en") != error.value.message("ja")
    assert not asked


def test_no_room_for_an_answer(made: Made, run: str) -> None:
    with pytest.raises(ModelError) as error:
        made.studio.evaluations.evaluate(run, plan=plan_for("own_long"))
    assert error.value.key == "error.lm_eval.no_room"
    assert "512" in error.value.message("en")


def test_without_lm_eval(made: Made, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.evaluation.lm_eval_tasks.find_spec", lambda name: None)
    with pytest.raises(InputError) as error:
        made.studio.evaluations.evaluate(run, plan=plan_for("own_never"))
    assert error.value.key == "error.lm_eval.missing"
    assert "lm-eval" in error.value.message("ja")
