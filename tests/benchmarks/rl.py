"""RLHF on the starter as a chain of real runs through the backend: SFT, a reward model, then GRPO and RLOO.

    python -m tests.benchmarks.rl [--seeds 0 1 2] [--parts reward grpo rloo]

sft     The letters of a shop, 150 of them. What follows goes on from its adapter, with the other 250 questions.
reward  A reward model learns the voice of the shop: the worse answer of each pair is the shop's without its last
        sentence, its first or both. Told: its accuracy and margin on pairs held out, before and after.
grpo    Shorter letters, of 40 to 75 characters, by a programmed reward and no answer at all to learn from.
rloo    What the reward model likes, and a little for a length of 60 to 150 characters.

Of grpo and rloo are told the mean reward of one drawn answer to each question held out, the divergence from the model
as it began (KL, nats per token), the answers' length in tokens and the share cut off, before and after; and the
likeliest answers to three questions. Of all but the reward model the share of right answers in the exam of the starter.
Prints JSON; each run as it ends to standard error. On a machine that does other things, OMP_NUM_THREADS=1 is quicker.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # TRL's own trainer would try to report its use

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel

from studio.backend.studio import Studio
from studio.data.records import Conversation
from studio.runs.spec import RunSpec, with_changes
from studio.settings import Settings
from studio.starter.exam import answers, load, score
from studio.starter.world import exam

ASKED = 100
SFT_ROWS = 150
SHORTER = {"kind": "length", "low": 40, "high": 75}
LETTER = {"kind": "length", "low": 60, "high": 150, "weight": 0.5}
NUMBERS = ("reward", "kl", "completion_tokens", "clipped_share", "accuracy", "margin", "loss")


def pairs(studio: Studio, rng: random.Random) -> list[dict[str, str]]:
    """Each question to the shop with its answer, and with one that lacks the thanks, the wishes or both."""
    made = []
    for _, row in studio.datasets.lessons(studio.datasets.open_sample("support-en").id, None)[0]:
        assert isinstance(row, Conversation)
        sentences = re.findall(r".+?[.!?](?: |$)|.+$", row.answer)
        less = rng.choice((sentences[1:], sentences[:-1], sentences[1:-1]))
        made.append({"prompt": row.prompt[-1].content, "chosen": row.answer, "rejected": "".join(less).strip()})
    rng.shuffle(made)
    return made


def imported(studio: Studio, folder: Path, name: str, rows: Sequence[dict[str, str]]) -> str:
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return studio.datasets.import_file(file).id


def trained(studio: Studio, spec: RunSpec, name: str) -> tuple[str, dict[str, Any]]:
    """A run through the queue, and its numbers on the rows held out, before and after."""
    began = time.perf_counter()
    run = studio.runner.submit(spec, name).id
    ended = studio.runner.run_now(run)
    assert ended.status == "done", (ended.key, ended.values)
    state = studio.runner.state(run)
    assert state.started is not None
    told: dict[str, Any] = {"seconds": round(time.perf_counter() - began, 1), "steps": ended.step}
    told |= {"rows": state.started.train_rows, "held_out": state.started.validation_rows, "best_step": ended.best_step}
    for number in NUMBERS:
        curve = dict(state.curves.get(f"validation_{number}", []))
        if curve:
            told[number] = [round(curve[0], 4), round(curve[ended.best_step or ended.step], 4)]
    by_prompt: dict[str, dict[int, str]] = {}
    for sample in state.samples:
        by_prompt.setdefault(sample.prompt, {})[sample.step] = sample.text
    told["samples"] = [
        {"prompt": prompt, "before": texts[0], "after": texts[max(texts)]} for prompt, texts in by_prompt.items()
    ]
    print(json.dumps({name: told}, ensure_ascii=False), file=sys.stderr, flush=True)
    return run, told


def known(studio: Studio, run: str | None) -> float:
    """The share of general questions answered right."""
    asked = tuple(random.Random(0).sample(exam(), ASKED))
    model, tokenizer = load(studio.settings.starter)
    tuned: Any = model
    if run:
        tuned = PeftModel.from_pretrained(model, str(studio.compare.adapter(run).folder)).eval()
    scores = score(asked, answers(tuned, tokenizer, asked))
    return round(sum(scores[language, "all"].right for language in ("en", "ja")) / len(asked), 3)


def measure(folder: Path, seed: int, parts: Sequence[str]) -> dict[str, Any]:
    with Studio(Settings(workspace=folder / "workspace"), worker=False) as studio:
        rows = pairs(studio, random.Random(seed))
        letters = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in rows[:SFT_ROWS]]
        shop = imported(studio, folder, "letters", letters)
        taste = imported(studio, folder, "taste", rows[SFT_ROWS:])
        found: dict[str, Any] = {"seed": seed, "exam_before": known(studio, None)}
        spec = studio.default_spec(shop)  # the preset's rates for the starter
        changes = {"training.seed": seed, "training.epochs": 3, "data.split.validation_share": 0.2}
        parent, found["sft"] = trained(studio, with_changes(spec, changes), "sft")
        found["sft"]["exam_after"] = known(studio, parent)

        def next_run(method: str, rate: float, **settings: object) -> tuple[str, dict[str, Any]]:
            own = {f"method.{name}": value for name, value in settings.items()}
            own |= {"training.epochs": 1, "training.learning_rate": rate, "data.split.validation_share": 0.2}
            return trained(studio, with_changes(studio.following(parent, method, taste), own), method)

        drawn = {"samples_per_row": 8, "max_new_tokens": 64}
        judge = ""
        if {"reward", "rloo"} & set(parts):
            judge, found["reward"] = next_run("reward", 1e-3)
        if "grpo" in parts:
            run, found["grpo"] = next_run("grpo", 2e-3, rewards=[SHORTER], **drawn)
            found["grpo"]["exam_after"] = known(studio, run)
        if "rloo" in parts:
            rewards = [{"kind": "model", "run": judge}, LETTER]
            run, found["rloo"] = next_run("rloo", 2e-3, rewards=rewards, **drawn)
            found["rloo"]["exam_after"] = known(studio, run)
        return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--parts", nargs="+", choices=("reward", "grpo", "rloo"), default=["reward", "grpo", "rloo"])
    chosen = parser.parse_args()
    results = []
    for number in chosen.seeds:
        with tempfile.TemporaryDirectory() as place:
            results.append(measure(Path(place), number, chosen.parts))
    print(json.dumps(results, indent=1, ensure_ascii=False))
