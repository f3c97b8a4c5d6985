"""Is the verdict right where the truth is known? Real runs on the starter, each with a planted truth.

    python -m tests.benchmarks.verdict [--seeds 20] [--only narrow replay ...]

| run | what was planted | right verdict |
|---|---|---|
| narrow | letters of a shop, a high learning rate, nothing else | do not deploy: it forgot |
| replay | the same letters at a tenth of the rate, half general data beside them | deploy |
| shuffled | the answers dealt out anew among the questions, general data beside | do not deploy: answers do not fit |
| style | general questions, each answered as before but with a friendly ending | deploy |
| nothing | a learning rate that moves nothing | do not deploy: no gain |

Then the test rows and the questions of the exam are drawn anew, with replacement, for each seed: how often is the
verdict of such a sample wrong? Prints a table, and one JSON object.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio.backend.report import FORM, Report
from studio.backend.studio import Studio
from studio.evaluation.exams import Exam
from studio.evaluation.metrics import make_metrics
from studio.evaluation.plan import EvaluationPlan
from studio.evaluation.questions import Answer, Question
from studio.evaluation.report import exam_results, fit, line
from studio.evaluation.verdict import Decision, Evidence, Verdict, VerdictRules, decide
from studio.runs.spec import with_changes
from studio.settings import Settings
from studio.starter.world import lessons

LETTERS = "support-en"
KEYS = {
    "narrow": "ui.verdict.exams.forgot",
    "shuffled": "ui.verdict.fit",
    "nothing": "ui.verdict.task.unclear",
}
"""What must be among the reasons."""
RIGHT: dict[str, Decision] = {"narrow": "no", "replay": "deploy", "shuffled": "no", "style": "deploy", "nothing": "no"}
STYLE_ROWS = 1200


def rows_of(studio: Studio) -> list[dict[str, str]]:
    """The letters as questions and answers."""
    version = studio.datasets.open_sample(LETTERS)
    return [
        {"question": messages[-1].content, "answer": answer}
        for messages, answer in studio.datasets.shots(version.id, version.split, 10_000, None)
    ]


def opened(studio: Studio, name: str, rows: Sequence[dict[str, str]]) -> str:
    path = studio.settings.workspace / f"{name}.json"
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return studio.datasets.import_file(path).id


def narrow(studio: Studio) -> tuple[str, dict[str, Any]]:
    return opened(studio, "narrow", rows_of(studio)), {"training.epochs": 4}


def with_replay(studio: Studio) -> tuple[str, dict[str, Any]]:
    version = opened(studio, "replay", rows_of(studio))
    return studio.mixtures.add_replay(version, 0.5).id, {"training.epochs": 8, "training.learning_rate": 1e-3}


def shuffled(studio: Studio) -> tuple[str, dict[str, Any]]:
    rows = rows_of(studio)
    answers = [row["answer"] for row in rows]
    random.Random(0).shuffle(answers)
    dealt = [{**row, "answer": answer} for row, answer in zip(rows, answers, strict=True)]
    version = opened(studio, "shuffled", dealt)
    return studio.mixtures.add_replay(version, 0.5).id, {"training.epochs": 8, "training.learning_rate": 1e-3}


def style(studio: Studio) -> tuple[str, dict[str, Any]]:
    asked = random.Random(0).sample(lessons(), STYLE_ROWS)
    rows = [{"question": one.text, "answer": f"{one.answer}{_ENDING[one.language]}"} for one in asked]
    return opened(studio, "style", rows), {"training.epochs": 2, "training.learning_rate": 1e-3}


def nothing(studio: Studio) -> tuple[str, dict[str, Any]]:
    return opened(studio, "nothing", rows_of(studio)), {"training.epochs": 1, "training.learning_rate": 1e-9}


_ENDING = {"en": " I am glad to help!", "ja": "お役に立ててうれしいです。"}
PLANTED: dict[str, Callable[[Studio], tuple[str, dict[str, Any]]]] = {
    "narrow": narrow,
    "replay": with_replay,
    "shuffled": shuffled,
    "style": style,
    "nothing": nothing,
}


@dataclass(frozen=True)
class Sample:
    """What base and tuned model said to some questions, each under a number of its own."""

    questions: list[Question]
    before: dict[int, Answer]
    after: dict[int, Answer]

    def drawn(self, rng: random.Random) -> "Sample":
        """As many, with replacement."""
        chosen = rng.choices(self.questions, k=len(self.questions))
        return Sample(
            [replace(question, row=place) for place, question in enumerate(chosen)],
            {place: self.before[question.row] for place, question in enumerate(chosen)},
            {place: self.after[question.row] for place, question in enumerate(chosen)},
        )


def verdict_of(report: Report, task: Sample, exam: Exam, examined: Sample) -> Verdict:
    """The verdict of other rows, by the same metrics and rules."""
    names = [one.metric.name for one in report.lines]
    pair = (task.before, task.after)
    lines = [line(metric, task.questions, pair) for metric in make_metrics(names, task.questions)]
    main = next(one for one in lines if one and one.metric.name == report.primary)
    keys = {one.question.row: one for one in exam.questions}
    # Questions drawn twice are two questions of the exam.
    asked = tuple(
        replace(keys[before], question=question)
        for question, before in zip(examined.questions, _origins(examined, keys), strict=True)
    )
    evidence = Evidence(
        rows=len(task.questions),
        task=main.measured(0, 1),
        fit=fit(main.metric, task.questions, task.after),
        exams=exam_results(replace(exam, questions=asked), examined.before, examined.after),
        form=tuple(one.measured(0, 1) for one in lines if one and one.metric.name in FORM),
    )
    return decide(evidence, VerdictRules())


def _origins(drawn: Sample, keys: dict[int, Any]) -> list[int]:
    """The questions that were drawn, by what they say."""
    by_text = {one.question.prompt: row for row, one in keys.items()}
    return [by_text[question.prompt] for question in drawn.questions]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=list(PLANTED), default=list(PLANTED))
    chosen = parser.parse_args()
    told: dict[str, Any] = {}
    print("| run | right | verdict | primary before -> after | exam en, ja before -> after | wrong of samples |")
    print("|---|---|---|---|---|---|")
    with (
        tempfile.TemporaryDirectory() as place,
        Studio(Settings(workspace=Path(place) / "workspace", offline=True), worker=False) as studio,
    ):
        for name in chosen.only:
            began = time.perf_counter()
            version, changes = PLANTED[name](studio)
            spec = with_changes(studio.default_spec(version), {"data.split.test_share": 0.25, **changes})
            run = studio.start(lambda spec=spec: spec, name).id
            ended = studio.runner.run_now(run)
            assert ended.status == "done", ended
            studio.evaluations.evaluate(run, plan=EvaluationPlan())
            report = studio.reports.report(run, plan=EvaluationPlan())
            assert report is not None
            assert report.verdict is not None
            told[name] = measured(name, report, studio, run, chosen.seeds)
            told[name]["seconds"] = round(time.perf_counter() - began, 1)
            print(told[name].pop("line"), flush=True)
            print(name, [reason.message() for reason in report.verdict.reasons], file=sys.stderr, flush=True)
    print(json.dumps(told, indent=1))


def measured(name: str, report: Report, studio: Studio, run: str, seeds: int) -> dict[str, Any]:
    assert report.verdict is not None
    base, tuned = report.taken[:2]
    task = Sample(list(report.task.questions), base.answers, tuned.answers)
    asked = report.exams[0].asked
    exam = asked.exam
    assert exam is not None
    first, second = (studio.evaluations.taken(run, one.contestant, asked) for one in report.entrants[:2])
    assert first is not None
    assert second is not None
    examined = Sample(list(asked.questions), first.answers, second.answers)
    drawn = []
    for seed in range(seeds):
        rng = random.Random(seed)
        drawn.append(verdict_of(report, task.drawn(rng), exam, examined.drawn(rng)))
    wrong = [one for one in drawn if not is_right(name, one)]
    main = report.line(report.primary)
    assert main is not None
    figures = f"{report.primary} {main.figures[0].value:.3g} -> {main.figures[1].value:.3g}"
    exams = ", ".join(f"{one.before:.1%} -> {one.after:.1%}" for one in report.exams[0].results[0])
    mark = "" if is_right(name, report.verdict) else " (WRONG)"
    return {
        "line": f"| {name} | {RIGHT[name]} | {report.verdict.decision}{mark} | {figures} | {exams} |"
        f" {len(wrong)} of {len(drawn)} |",
        "verdict": report.verdict.decision,
        "right": is_right(name, report.verdict),
        "wrong_samples": len(wrong),
        "reasons": [reason.message() for reason in report.verdict.reasons],
    }


def is_right(name: str, verdict: Verdict) -> bool:
    """The decision, and for the reason that was planted."""
    keys = {reason.key for reason in verdict.reasons}
    return verdict.decision == RIGHT[name] and KEYS.get(name) in (None, *keys)


if __name__ == "__main__":
    main()
