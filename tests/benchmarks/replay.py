"""What a narrow tuning wipes out, and what replay keeps: the starter tuned on a task alone and with its world mixed in.

    python -m tests.benchmarks.replay [--sample support-en ...] [--preset quick-look thorough] [--seeds 0 1 2]

All of it goes through the backend, in a workspace of its own: a sample is opened, a seventh of its rows is taken out to
ask about, the rest is tuned on. Three runs of each preset and seed: "narrow" (the rows alone), "replay" (the version
that `add_replay` makes of them, as many epochs, so that every narrow row is read as often but there are more steps) and
"narrow_as_many_steps" (the rows alone again, for as many steps as with replay). Measured after each: the exam of the
starter in both languages, and of the rows taken out the loss per answer token and the share answered to the letter.

Prints one JSON object, shares from 0 to 1, means over the seeds with the lowest and highest; each run as it ends to
standard error. On a machine that does other things, OMP_NUM_THREADS=1 is quicker.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # TRL's own trainer would try to report its use

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from peft import PeftModel

from studio.backend.datasets import Version
from studio.backend.studio import Studio
from studio.data.records import Conversation
from studio.data.splits import SplitSpec
from studio.data.tokens import tokenize
from studio.models.generation import render_prompt, sample_answers
from studio.runs.spec import RunSpec, with_changes
from studio.settings import Settings
from studio.starter.exam import answers, load, score
from studio.starter.world import Question, exam

HELD_OUT = 1 / 7
KINDS = ("narrow", "narrow_as_many_steps", "replay")
ROWS_AT_ONCE = 64
ANSWER_TOKENS = 128


@dataclass(frozen=True)
class Task:
    """A narrow task: the version to be tuned on, the same with replay, and the rows that are only asked about."""

    name: str
    narrow: Version
    replay: Version
    held_out: tuple[Conversation, ...]


def open_task(studio: Studio, sample: str, share: float) -> Task:
    whole = studio.datasets.open_sample(sample)
    taken = studio.datasets.split(whole.id, SplitSpec(validation_share=0, test_share=HELD_OUT)).test.tolist()
    rows: dict[int, Any] = dict(studio.datasets.lessons(whole.id, None)[0])
    narrow = studio.datasets.exclude_rows(whole.id, taken)
    return Task(sample, narrow, studio.mixtures.add_replay(narrow.id, share), tuple(rows[i] for i in taken))


def token_shares(studio: Studio, task: Task) -> dict[str, float]:
    """Replay among the tokens, as planned and as the made table has it: of all tokens, and of those of the answers."""
    assert task.replay.mix is not None
    kinds = [row.values["task"] for row in studio.datasets.page(task.replay.id, 0, task.replay.rows)]
    every, answer = Counter[str](), Counter[str]()
    for kind, item in zip(kinds, studio.datasets.lengths(task.replay.id), strict=True):
        every[kind] += item.total_tokens
        answer[kind] += item.answer_tokens
    return {
        "planned": studio.mixtures.plan(task.replay.mix).replay_share,
        "real": every["replay"] / every.total(),
        "real_of_answer_tokens": answer["replay"] / answer.total(),
    }


@torch.inference_mode()
def measure(folder: Path, adapter: Path | None, questions: Sequence[Question], task: Task) -> dict[str, float]:
    """The exam by language, and the narrow task on its held-out rows."""
    model, tokenizer = load(folder)
    tuned: Any = PeftModel.from_pretrained(model, str(adapter)).eval() if adapter else model
    scores = score(questions, answers(tuned, tokenizer, questions))
    nll, tokens = 0.0, 0
    for conversation in task.held_out:
        example = tokenize(conversation, tokenizer, 512)
        output = tuned(input_ids=torch.tensor([example.ids]), labels=torch.tensor([example.labels]))
        nll += float(output.loss) * example.trained_tokens
        tokens += example.trained_tokens
    given: list[str] = []
    for start in range(0, len(task.held_out), ROWS_AT_ONCE):
        prompts = [render_prompt(c.prompt, tokenizer) for c in task.held_out[start : start + ROWS_AT_ONCE]]
        given += sample_answers(tuned, tokenizer, prompts, ANSWER_TOKENS)
    exact = sum(a.strip() == c.answer.strip() for a, c in zip(given, task.held_out, strict=True))
    right = sum(scores[language, "all"].right for language in ("en", "ja"))
    return {
        "exam_en": scores["en", "all"].share,
        "exam_ja": scores["ja", "all"].share,
        "exam_all": right / len(questions),
        "task_loss": nll / tokens,
        "task_exact": exact / len(task.held_out),
    }


def tune(studio: Studio, spec: RunSpec) -> tuple[Path, dict[str, float]]:
    """A run through the queue; its adapter, and what it took."""
    run = studio.runner.submit(spec).id
    ended = studio.runner.run_now(run)
    assert ended.status == "done", ended
    assert ended.adapter
    took = {
        "validation_loss_of_its_own_rows": ended.validation_loss or 0.0,  # with replay, these are rows of both kinds
        "steps": ended.step,
        "best_step": ended.best_step or 0,
        "seconds": ended.seconds,
    }
    return studio.store.run_folder(run) / ended.adapter, took


def compare(
    studio: Studio,
    task: Task,
    preset: str,
    seed: int,
    kinds: Sequence[str],
    questions: Sequence[Question],
    changes: Mapping[str, Any],
) -> dict[str, dict[str, float]]:
    """The runs of one preset and seed, each with what is measured of it."""
    changes = {**changes, "training.seed": seed}
    alone = with_changes(studio.default_spec(task.narrow.id, preset), changes)
    mixed = with_changes(studio.default_spec(task.replay.id, preset), changes)

    def per_epoch(spec: RunSpec) -> int:
        return spec.steps_per_epoch(len(studio.datasets.split(spec.data.version, spec.data.split).train))

    # A hair less, or rounding up would add a step.
    longer = alone.training.epochs * per_epoch(mixed) / per_epoch(alone) * (1 - 1e-9)
    specs = {
        "narrow": alone,
        "narrow_as_many_steps": with_changes(alone, {"training.epochs": longer}),
        "replay": mixed,
    }
    found = {}
    for kind in kinds:
        adapter, took = tune(studio, specs[kind])
        found[kind] = {**measure(studio.settings.starter, adapter, questions, task), **took}
        print(task.name, preset, seed, kind, found[kind], file=sys.stderr, flush=True)
    return found


def summed_up(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Means over the seeds; with more than one seed also the lowest and the highest."""
    told: dict[str, Any] = {}
    for key in runs[0]:
        values = [run[key] for run in runs]
        told[key] = round(mean(values), 4)
        if len(runs) > 1 and key.startswith(("exam", "task")):
            told[f"{key}_range"] = [round(min(values), 4), round(max(values), 4)]
    return told


def drawn(count: int) -> tuple[Question, ...]:
    """So many questions of each language, always the same ones; 0: the whole exam."""
    every = exam()
    if not count:
        return every
    of = {language: [q for q in every if q.language == language] for language in ("en", "ja")}
    return tuple(q for part in of.values() for q in random.Random(0).sample(part, min(count, len(part))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", nargs="+", default=["support-en"])
    parser.add_argument("--preset", nargs="+", default=["quick-look", "thorough"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--questions", type=int, default=200, help="of each language; 0: the whole exam")
    parser.add_argument("--change", action="append", default=[], help="PATH=VALUE, such as tuner.rank=64, in all runs")
    chosen = parser.parse_args()
    changes = dict(change.split("=", 1) for change in chosen.change)
    questions = drawn(chosen.questions)
    began = time.perf_counter()
    told: dict[str, Any] = {
        "questions": len(questions),
        "share": chosen.share,
        "seeds": chosen.seeds,
        "changes": changes,
        "tasks": {},
    }
    with (
        tempfile.TemporaryDirectory() as place,
        Studio(Settings(workspace=Path(place) / "workspace", offline=True), worker=False) as studio,
    ):
        for sample in chosen.sample:
            task = open_task(studio, sample, chosen.share)
            told["tasks"][sample] = here = {
                "rows": {"narrow": task.narrow.rows, "with_replay": task.replay.rows, "held_out": len(task.held_out)},
                "replay_tokens": {k: round(v, 4) for k, v in token_shares(studio, task).items()},
                "base": summed_up([measure(studio.settings.starter, None, questions, task)]),
            }
            for preset in chosen.preset:
                runs = [compare(studio, task, preset, seed, chosen.kinds, questions, changes) for seed in chosen.seeds]
                here[preset] = {kind: summed_up([run[kind] for run in runs]) for kind in runs[0]}
    told["seconds"] = round(time.perf_counter() - began, 1)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
