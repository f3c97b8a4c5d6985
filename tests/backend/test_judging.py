"""A judge's opinion, from a stand-in server and a local model: asked once, kept, and no part of the verdict."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from studio.backend.judging import Case, ask_judge, kept_opinions
from studio.backend.report import Judged
from studio.data.splits import SplitSpec
from studio.errors import FaultError, InputError, ModelError, Stopped
from studio.evaluation.judge import JudgeSilent, Opinion
from studio.evaluation.plan import EvaluationPlan, JudgeSpec, make_plan
from tests.backend.made import Made
from tests.backend.sums import make_studio, run_on, run_on_sums
from tests.evaluation.test_judge import KEY, Server, said
from tests.tiny import save_tiny


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    made = make_studio(tmp_path_factory.mktemp("judging"))
    yield made
    made.studio.close()


@pytest.fixture(scope="module")
def run(made: Made, tmp_path_factory: pytest.TempPathFactory) -> str:
    """With 8 test rows, which base and tuned model have answered."""
    run = run_on_sums(made, tmp_path_factory.mktemp("rows"))
    made.studio.evaluations.evaluate(run, plan=EvaluationPlan(exams=()))
    return run


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


def plan(server: Server, model: str) -> EvaluationPlan:
    return EvaluationPlan(exams=(), judge=JudgeSpec(model=model, address=server.url))


def judged(made: Made, run: str, asked: EvaluationPlan) -> Judged | None:
    report = made.studio.reports.report(run, plan=asked)
    assert report is not None
    return report.judged


def prefers_tuned(made: Made, run: str, server: Server) -> None:
    """A judge that finds the tuned model's answers better in whichever order."""
    report = made.studio.reports.report(run, plan=EvaluationPlan(exams=()))
    assert report is not None
    tuned = {row.answers[1].strip() for row in report.rows}

    def reply(body: dict) -> tuple[int, bytes]:
        text = body["messages"][1]["content"]
        first = text.partition("<answer_A>")[2].partition("</answer_A>")[0]
        return 200, said("A" if first.strip() in tuned else "B")

    server.reply = reply


def test_an_opinion_is_asked_once_and_not_part_of_the_verdict(made: Made, run: str, server: Server) -> None:
    prefers_tuned(made, run, server)
    asked, shares = plan(server, "big"), list[float]()
    assert judged(made, run, asked) is None
    made.studio.evaluations.set_plan(run, asked)
    made.studio.evaluations.evaluate(run, plan=asked, tell=shares.append, judge_key=KEY)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    found = judged(made, run, asked)
    assert found is not None
    assert (found.rows, found.silent, found.opinions.no_answer) == (8, 0, 0)
    assert found.opinions.right + found.opinions.tie == 8
    assert found.opinions.right > 0
    assert found.opinions.win_rate is not None
    assert found.opinions.win_rate.low < found.opinions.win_rate.value
    count = len(server.seen)
    assert count == 2 * found.opinions.right
    made.studio.evaluations.evaluate(run, plan=asked, judge_key=KEY)
    assert len(server.seen) == count
    with_judge, without = (made.studio.reports.report(run, plan=p) for p in (asked, EvaluationPlan(exams=())))
    assert with_judge is not None
    assert without is not None
    assert with_judge.verdict == without.verdict
    folder = made.studio.store.folder
    assert not [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_stopped_killed_and_gone_on_with(made: Made, run: str, server: Server) -> None:
    prefers_tuned(made, run, server)
    asked, shares = plan(server, "stopped"), list[float]()
    with pytest.raises(Stopped):
        made.studio.evaluations.evaluate(run, plan=asked, tell=shares.append, stopping=lambda: len(shares) > 6)
    begun = judged(made, run, asked)
    assert begun is not None
    assert 0 < begun.rows - begun.silent < 8
    (file,) = (p for p in made.studio.store.evaluations_folder.glob("judge-*.jsonl")
               if p.read_bytes().count(b"\n") == 1 + begun.rows - begun.silent)  # fmt: skip
    file.write_bytes(file.read_bytes() + b'{"row": 3, "outc')  # as a killed process leaves it
    made.studio.evaluations.evaluate(run, plan=asked)
    rows = [json.loads(line)["row"] for line in file.read_text().splitlines()[1:]]
    assert len(rows) == len(set(rows)) == 8


def test_nonsense_is_no_answer(made: Made, run: str, server: Server) -> None:
    server.reply = lambda _: (200, said("Both are lovely!"))
    made.studio.evaluations.evaluate(run, plan=plan(server, "nonsense"))
    found = judged(made, run, plan(server, "nonsense"))
    assert found is not None
    assert found.opinions.no_answer == 8 - found.opinions.tie > 0
    assert found.silent == 0


def test_silence_is_asked_again(made: Made, run: str, server: Server, tmp_path: Path) -> None:
    evaluations = made.studio.evaluations
    task = evaluations.questions.task(run, EvaluationPlan())
    base, tuned = (
        evaluations.taken(run, e.contestant, task) for e in evaluations.entrants(run, None, EvaluationPlan())
    )
    assert base is not None
    assert tuned is not None
    case = Case(JudgeSpec(model="m", address=server.url), task, base, tuned)

    def ask() -> tuple[Opinion, ...]:
        ask_judge(case, tmp_path, made.studio.compare, "", lambda _: None, None, wait=lambda _: None)
        return kept_opinions(case, tmp_path)

    busy = task.questions[0].prompt[-1].content
    server.reply = lambda body: (503, b"") if f"\n{busy}\n" in body["messages"][1]["content"] else (200, said("A"))
    assert task.questions[0].row not in {opinion.row for opinion in ask()}
    server.reply = lambda _: (200, said("A"))
    assert len(ask()) == 8
    server.reply = lambda _: (503, b"busy")
    assert len(ask()) == 8  # nobody is asked any more
    patient = replace(case, judge=case.judge.model_copy(update={"seconds": 300.0}))
    assert len(kept_opinions(patient, tmp_path)) == 8
    (tmp_path / f"judge-{case.id}.jsonl").unlink()
    with pytest.raises(JudgeSilent):
        ask()


def test_a_judge_that_cannot_be_used_leaves_the_report(made: Made, run: str, server: Server) -> None:
    server.reply = lambda _: (401, f"wrong key {KEY}".encode())
    with pytest.raises(FaultError) as told:
        made.studio.evaluations.evaluate(run, plan=plan(server, "locked"), judge_key=KEY)
    assert told.value.key == "error.judge.refused"
    assert KEY not in told.value.message()
    assert made.studio.reports.report(run, plan=plan(server, "locked")) is not None


def test_a_local_judge(made: Made, run: str, tmp_path: Path) -> None:
    """A random model says nonsense; one without room for the question, and one that is none, are told."""
    folder = save_tiny(tmp_path / "judge")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    asked = EvaluationPlan(exams=(), judge=JudgeSpec(model=str(folder)))
    made.studio.evaluations.evaluate(run, plan=asked)
    found = judged(made, run, asked)
    assert found is not None
    assert found.rows == 8
    assert found.opinions.no_answer + found.opinions.tie == 8
    small = EvaluationPlan(exams=(), judge=JudgeSpec(model=str(made.models / "llama")))
    with pytest.raises(FaultError) as told:
        made.studio.evaluations.evaluate(run, plan=small)
    assert told.value.key == "error.judge.too_long"
    with pytest.raises(ModelError):
        made.studio.evaluations.evaluate(run, plan=asked.model_copy(update={"judge": JudgeSpec(model="./nowhere")}))


@pytest.mark.parametrize(
    "address",
    ["localhost:8000", "http://me:secret@host/v1", "https://host/v1?api-key=secret", "ftp://host", "http://["],
)
def test_an_address_with_a_secret_is_never_kept(address: str) -> None:
    with pytest.raises(InputError) as told:
        make_plan({"judge": {"model": "big", "address": address}})
    assert told.value.key == "error.judge.address"
    assert "secret" not in told.value.message()


def test_passages_have_no_answers_to_judge(made: Made, tmp_path: Path, server: Server) -> None:
    path = tmp_path / "book.jsonl"
    path.write_text("\n".join(json.dumps({"text": f"Chapter {n}. It rained."}) for n in range(20)), encoding="utf-8")
    version = made.studio.datasets.import_file(path).id
    made.studio.datasets.set_split(version, SplitSpec(test_share=0.2))
    with pytest.raises(InputError) as told:
        made.studio.evaluations.evaluate(run_on(made, version), plan=plan(server, "book"))
    assert told.value.key == "error.judge.nothing"
