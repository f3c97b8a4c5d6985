"""Contestants are asked once, nothing that was trained on, and what they said is kept."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.backend.runner import Runner
from studio.backend.starter_exam import starter_exam
from studio.data.splits import SplitSpec
from studio.errors import DataError, InputError, Stopped
from studio.evaluation.plan import BUILT_IN, EvaluationPlan, make_plan
from studio.evaluation.safety import SAFETY
from studio.messages import translate
from studio.models.adapter_folder import adapter_sha256
from studio.runs.spec import with_changes
from studio.shell.report_text import report_text, report_values
from tests.backend.made import Made
from tests.backend.sums import ROWS, make_studio, opened, run_on, run_on_sums
from tests.models.adapters import save_adapter
from tests.tiny import save_tiny

EXAM = [
    {"question": "Is it day?", "A": "yes", "B": "no", "answer": "B", "category": "time"},
    {"question": "Is it hot?", "A": "yes", "B": "no", "answer": "A", "category": "weather"},
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    made = make_studio(tmp_path_factory.mktemp("evaluations"))
    yield made
    made.studio.close()


@pytest.fixture(scope="module")
def exam(made: Made, tmp_path_factory: pytest.TempPathFactory) -> str:
    return opened(made, EXAM, tmp_path_factory.mktemp("exam") / "mine.json")


@pytest.fixture(scope="module")
def run(made: Made, tmp_path_factory: pytest.TempPathFactory) -> str:
    return run_on_sums(made, tmp_path_factory.mktemp("rows"))


def test_the_usual_plan(made: Made, run: str) -> None:
    assert made.studio.evaluations.rows(run) == (28, 4, 8)
    assert made.studio.evaluations.plan(run) == EvaluationPlan(side="test", exams=BUILT_IN)  # not the starter's
    assert made.studio.evaluations.plan(made.run()).side == "validation"  # it has no test rows


def test_what_is_asked_was_never_trained_on(made: Made, run: str) -> None:
    task = made.studio.evaluations.questions.task(run, EvaluationPlan())
    parts = made.studio.datasets.split(made.studio.store.run(run).version, made.studio.store.run(run).spec.data.split)
    assert [q.row for q in task.questions] == parts.test.tolist()
    assert len(made.studio.evaluations.questions.task(run, EvaluationPlan(rows=3)).questions) == 3
    with pytest.raises(InputError) as told:
        made.studio.evaluations.questions.task(run, EvaluationPlan(side="all"))
    assert told.value.key == "error.evaluate.trained"
    assert told.value.values["count"] == 28
    assert str(parts.train[0]) in told.value.message("en")


def test_other_data_is_looked_through(made: Made, run: str, tmp_path: Path) -> None:
    mixed = opened(made, [*ROWS[:3], {"question": "New?", "answer": "Quite new."}], tmp_path / "mixed.json")
    fresh = opened(made, [{"question": f"New {n}?", "answer": "Quite new."} for n in range(6)], tmp_path / "fresh.json")
    trained = set(made.studio.datasets.split(made.studio.store.run(run).version,
                                             made.studio.store.run(run).spec.data.split).train.tolist())  # fmt: skip
    with pytest.raises(InputError) as told:
        made.studio.evaluations.questions.task(run, EvaluationPlan(version=mixed, side="all"))
    assert told.value.values["count"] == len(trained & {1, 2, 3}) > 0
    assert len(made.studio.evaluations.questions.task(run, EvaluationPlan(version=fresh, side="all")).questions) == 6


def test_no_test_rows(made: Made) -> None:
    with pytest.raises(InputError) as told:
        made.studio.evaluations.questions.task(made.run(), EvaluationPlan())
    assert told.value.key == "error.evaluate.no_test"
    for language in ("en", "ja"):
        assert "2" in told.value.message(language)  # rows that validate


def test_asked_once_and_reported(made: Made, run: str, exam: str) -> None:
    evaluations = made.studio.evaluations
    plan = EvaluationPlan(exams=(exam,), shots=2)
    assert made.studio.reports.report(run, plan=plan) is None
    shares: list[float] = []
    evaluations.evaluate(run, plan=plan, tell=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    files = {path: path.stat().st_mtime_ns for path in made.studio.store.evaluations_folder.iterdir()}
    assert len(files) == 8  # four contestants, two sets
    evaluations.evaluate(run, plan=plan)
    assert {path: path.stat().st_mtime_ns for path in made.studio.store.evaluations_folder.iterdir()} == files

    report = made.studio.reports.report(run, plan=plan)
    assert report is not None
    assert [one.role for one in report.entrants] == ["base", "tuned", "base_prompt", "tuned_prompt"]
    assert report.missing == 0
    loss = report.line("loss")
    assert loss is not None
    assert loss.figures[0].value != loss.figures[1].value
    assert loss.figures[0].rows == len(report.rows) == 8
    base, _, prompted, _ = report.taken
    assert prompted.evaluation.prompt_tokens > base.evaluation.prompt_tokens
    assert {(one.group, one.change.rows) for one in report.exams[0].results[0]} == {("time", 1), ("weather", 1)}
    assert report.verdict is not None
    assert report.verdict.decision == "no"
    for reason in report.verdict.reasons:
        assert reason.message("en") != reason.message("ja")
    for step in report.advice:
        assert step.message("en") != step.message("ja")


def test_another_base_and_an_imported_adapter_answer_too(made: Made, run: str) -> None:
    folder = made.models.parent
    save_tiny(folder / "another", "gpt2")
    adapter = save_adapter(folder / "imported", seed=9)
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "owner/other-7b"}))
    plan = make_plan({"exams": (), "others": [{"source": str(folder / "another")}], "adapters": [str(adapter)]})
    made.studio.evaluations.evaluate(run, plan=plan)
    report = made.studio.reports.report(run, plan=plan)
    assert report is not None
    assert [one.title("en") for one in report.entrants] == ["Base", "Tuned", "another", "imported"]
    loss = report.line("loss")
    assert loss is not None
    assert len({figure.value for figure in loss.figures}) == 4
    assert report.taken[3].evaluation.adapter_sha256 == adapter_sha256(adapter)
    assert [key for key, _ in report.cautions] == ["notice.adapter.other_base"]
    save_adapter(adapter, seed=10)  # others now: they were not asked
    report = made.studio.reports.report(run, plan=plan)
    assert report is not None
    assert (len(report.entrants), report.missing, report.cautions) == (3, 1, ())


def test_safety_is_asked_and_told(made: Made, run: str) -> None:
    """The tiny model refuses nothing: nothing can be lost, and that is told."""
    plan = EvaluationPlan(exams=(SAFETY,))
    made.studio.evaluations.evaluate(run, plan=plan)
    report = made.studio.reports.report(run, plan=plan)
    assert report is not None
    assert report.exams == ()
    assert [(one.metric.name, len(one.values[0]), one.figures[1].value) for one in report.safety] == [
        ("refusal_kept", 40, 0), ("refusal", 40, 0)
    ]  # fmt: skip
    assert report.verdict is not None
    assert [reason.key for reason in report.verdict.reasons if reason.part == "safety"] == ["ui.verdict.safety.none"]
    assert report_values(run, None, report, "en")["safety"][0]["figures"][0]["rows"] == 40
    for language in ("en", "ja"):
        assert translate("ui.evaluate.safety.refusal", language) in report_text(report, language)


def test_stopped_and_gone_on_with(made: Made, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluations = made.studio.evaluations
    plan = EvaluationPlan(exams=(), system="Be kind.")
    monkeypatch.setattr("studio.evaluation.interview.ROWS", 3)
    folder = made.studio.store.evaluations_folder

    def answered() -> bool:
        return any(path.read_bytes().count(b"\n") > 1 for path in folder.glob("*.partial.jsonl"))

    with pytest.raises(Stopped):
        evaluations.evaluate(run, plan=plan, stopping=answered)
    (partial,) = folder.glob("*.partial.jsonl")
    begun = partial.read_bytes()
    partial.write_bytes(begun + b'{"seconds": 1.0, "repl')  # as a killed process leaves it
    evaluations.evaluate(run, plan=plan)
    (ended,) = (path for path in made.studio.store.evaluations_folder.iterdir() if path.read_bytes().startswith(begun))
    rows = [reply["row"] for line in ended.read_text().splitlines()[1:] for reply in json.loads(line)["replies"]]
    assert len(rows) == len(set(rows)) == 8


def test_other_weights_are_asked_again(made: Made, run: str, exam: str) -> None:
    evaluations = made.studio.evaluations
    plan = EvaluationPlan(exams=())
    evaluations.evaluate(run, 4, plan)
    assert made.studio.reports.report(run, 4, plan) is not None
    folder = made.studio.store.run_folder(run)
    kept = (folder / "checkpoint-4" / "adapter_model.safetensors").read_bytes()
    other = (folder / "checkpoint-8" / "adapter_model.safetensors").read_bytes()
    assert kept != other
    (folder / "checkpoint-4" / "adapter_model.safetensors").write_bytes(other)
    assert made.studio.reports.report(run, 4, plan) is None
    evaluations.evaluate(run, 4, plan)
    assert made.studio.reports.report(run, 4, plan) is not None


def test_the_plan_is_kept(made: Made, run: str) -> None:
    plan = EvaluationPlan(system="Be brief.", metrics=("chrf", "loss"))
    made.studio.evaluations.set_plan(run, plan)
    assert made.studio.evaluations.plan(run) == plan


def test_a_metric_that_does_not_fit(made: Made, run: str) -> None:
    """Told before anybody is asked, and of answers that are there already."""
    plan = EvaluationPlan(exams=(), metrics=("json_fields",))
    asked: list[float] = []
    with pytest.raises(InputError) as told:
        made.studio.evaluations.evaluate(run, plan=plan, tell=asked.append)
    assert told.value.key.startswith("error.metric.unfit")
    assert not asked
    made.studio.evaluations.evaluate(run, plan=EvaluationPlan(exams=()))
    with pytest.raises(InputError):
        made.studio.reports.report(run, plan=plan)


def test_an_exam_of_the_users_own(made: Made, run: str, tmp_path: Path) -> None:
    path = tmp_path / "exam.csv"
    path.write_text("question,answer\nCapital of Japan?,Tokyo\n", encoding="utf-8")
    version = made.studio.evaluations.questions.import_exam(str(path))
    assert [one.key for one in made.studio.evaluations.questions.exam(version).exam.questions] == ["Tokyo"]  # type: ignore[union-attr]
    path.write_text("words,answer\nCapital of Japan?,Tokyo\n", encoding="utf-8")
    before = made.studio.datasets.versions(), set(made.studio.store.version_folder(version).parent.iterdir())
    with pytest.raises(DataError) as told:
        made.studio.evaluations.questions.import_exam(str(path))
    assert "words" in told.value.message("en")
    after = made.studio.datasets.versions(), set(made.studio.store.version_folder(version).parent.iterdir())
    assert after == before  # nothing is left behind


def test_the_starters_exam_is_the_same_each_time(made: Made) -> None:
    one, two = starter_exam(), starter_exam.__wrapped__()
    assert one == two
    assert one.version == two.version
    assert {group: len(rows) for group, rows in one.groups.items()} == {"en": 200, "ja": 200}
    assert starter_exam(40).version != one.version


def test_general_data_that_was_mixed_in_is_no_part_of_the_task(made: Made, run: str) -> None:
    version = made.studio.store.run(run).version
    mixed = made.studio.mixtures.add_replay(version, 0.5).id
    split = SplitSpec(test_share=0.4)
    made.studio.datasets.set_split(mixed, split)
    every = len(made.studio.datasets.split(mixed, split).test)
    own = run_on(made, mixed)
    questions = made.studio.evaluations.questions.task(own, EvaluationPlan()).questions
    assert 0 < len(questions) < every
    assert all(question.prompt[-1].content.startswith("What is") for question in questions)


@pytest.mark.parametrize("asked", [True, False])
def test_a_run_is_evaluated_when_it_is_done(made: Made, tmp_path: Path, asked: bool) -> None:
    """And one that cannot be has its result all the same, and says why."""
    few = opened(made, ROWS[:2], tmp_path / "few.json")  # nothing is left to test on
    spec = with_changes(
        made.studio.store.run(made.run()).spec,
        {"data.version": few, "data.mapping": None, "data.split.validation_share": 0.0, "training.evaluate": asked},
    )
    spec = with_changes(spec, {"training.epochs": 1})
    run = made.studio.runner.submit(spec).id
    assert made.studio.runner.run_now(run).status == "done"
    state = made.studio.runner.state(run)
    assert state.status == "done"
    told = [notice.key for notice in state.notices if "evaluate" in notice.key]
    assert told == (["notice.evaluate.failed", "error.evaluate.no_test"] if asked else [])


def test_a_bug_in_the_evaluation_is_told_and_the_run_stands(made: Made) -> None:
    def broken(run: str, stopping: object) -> None:
        raise ValueError("a bug")

    studio = made.studio
    runner = Runner(studio.settings, studio.store, studio.datasets, worker=False, evaluate=broken)
    spec = with_changes(studio.store.run(made.run()).spec, {"training.evaluate": True, "training.epochs": 1})
    run = runner.submit(spec).id
    assert runner.run_now(run).status == "done"
    told = [notice.key for notice in runner.state(run).notices]
    assert told[-2:] == ["notice.evaluate.failed", "error.bug"]
