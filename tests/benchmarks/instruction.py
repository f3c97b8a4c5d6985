"""Instruction tuning on the starter: does a mixture of tasks teach to follow an instruction on tasks never trained?

    python -m tests.benchmarks.instruction [--rows 600] [--seeds 0 1 2]

Three instructions: to answer politely, in quotes, and with thanks at the end. Three runs of as many rows and steps:
`single` (rows of one task, capitals), `mixture` (rows of twelve tasks, mixed by the studio), `plain` (the twelve tasks
without instructions). Asked are eight other tasks, in phrasings that the starter never learned either, with each
instruction in turn; right is the whole answer to the letter, so that the instruction must be followed and the question
answered. Told too: the exam of the starter, without instructions.

Prints one JSON object, shares from 0 to 1; each run as it ends to standard error.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # TRL's own trainer would try to report its use

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from studio.backend.datasets import Version
from studio.backend.studio import Studio
from studio.data.instruction_templates import InstructionTemplate
from studio.data.mixing import ByWeights, MixPart, MixSpec
from studio.data.records import Conversation, Message
from studio.settings import Settings
from studio.starter.exam import answers, score
from studio.starter.world import Question, exam, lessons
from tests.benchmarks.methods import given, model_of, opened, tune
from tests.benchmarks.replay import drawn

TRAINED = ("capital", "kind", "colour", "opposite", "plural", "past", "continent", "home", "season", "tool", "body",
           "material")  # fmt: skip
UNSEEN = ("country", "speech", "sound", "legs", "food", "group", "workplace", "shop")
WAYS = {
    "politely": ("Answer politely: {}", "With pleasure. {}"),
    "in quotes": ("Answer in quotes: {}", '"{}"'),
    "with thanks": ("{} Say thanks at the end.", "{} Thank you for asking."),
}
INSTRUCTED = tuple(
    InstructionTemplate(prompt=ask.format("{input}"), answer=answer.format("{output}")) for ask, answer in WAYS.values()
)
PLAIN = (InstructionTemplate(prompt="{input}", answer="{output}"),)


def rows_of(questions: Iterable[Question], topic: str) -> list[dict[str, str]]:
    return [{"question": q.text, "answer": q.answer} for q in questions if q.language == "en" and q.topic == topic]


def mixed(
    studio: Studio, tasks: Sequence[Version], ways: tuple[InstructionTemplate, ...], rows: int, seed: int
) -> Version:
    parts = tuple(MixPart(data=task.id, templates=ways) for task in tasks)
    return studio.mixtures.make(MixSpec(parts=parts, mixing=ByWeights(by="weights"), rows=rows, seed=seed)).version


def asked(count: int) -> list[tuple[Conversation, str]]:
    """Questions of tasks never trained, each with its task; the two instructions in turn."""
    found: list[tuple[Conversation, str]] = []
    for topic in UNSEEN:
        rows = rows_of(exam(), topic)
        for place, row in enumerate(random.Random(0).sample(rows, min(count, len(rows)))):
            way = list(WAYS)[place % len(WAYS)]
            ask, answer = WAYS[way]
            prompt = (Message("user", ask.format(row["question"])),)
            found.append((Conversation(prompt, answer.format(row["answer"])), way))
    return found


def measured(studio: Studio, adapter: Path | None, rows: Sequence[tuple[Conversation, str]]) -> dict[str, float]:
    model, tokenizer = model_of(studio, adapter)
    right: dict[str, list[bool]] = {way: [] for way in WAYS}
    for (talk, way), answer in zip(rows, given(model, tokenizer, [t.prompt for t, _ in rows]), strict=True):
        right[way].append(answer == talk.answer)
    questions = drawn(100)
    scores = score(questions, answers(model, tokenizer, questions))
    every = [one for values in right.values() for one in values]
    return {
        "unseen_tasks": round(sum(every) / len(every), 3),
        **{way: round(sum(values) / len(values), 3) for way, values in right.items()},
        "exam": round(sum(scores[language, "all"].right for language in ("en", "ja")) / len(questions), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--questions", type=int, default=40, help="of each task")
    chosen = parser.parse_args()
    began = time.perf_counter()
    rows = asked(chosen.questions)
    told: dict[str, Any] = {"rows": chosen.rows, "asked": len(rows)}
    with (
        tempfile.TemporaryDirectory() as place,
        Studio(Settings(workspace=Path(place) / "workspace", offline=True), worker=False) as studio,
    ):
        tasks = [opened(studio, topic, rows_of(lessons(), topic)) for topic in TRAINED]
        told["base"] = measured(studio, None, rows)
        for seed in chosen.seeds:
            kinds = {
                "single": mixed(studio, tasks[:1], INSTRUCTED, chosen.rows, seed),
                "mixture": mixed(studio, tasks, INSTRUCTED, chosen.rows, seed),
                "plain": mixed(studio, tasks, PLAIN, chosen.rows, seed),
            }
            for kind, version in kinds.items():
                changes = {"training.learning_rate": chosen.rate, "training.seed": seed}
                adapter, took = tune(studio, version, changes)
                told[f"{kind}, seed {seed}"] = found = {**measured(studio, adapter, rows), **took}
                print(kind, seed, told["base"], found, file=sys.stderr, flush=True)
    told["seconds"] = round(time.perf_counter() - began, 1)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
