"""RLHF on the starter as a chain of real runs through the backend: SFT, a reward model, then RLOO and GRPO.

    python -m tests.benchmarks.rl [--seeds 0 1 2] [--parts reward rloo grpo both]

All settings are those that the first preset has for the starter, but for the passes of SFT and the answers' length.

sft     The letters of a shop, 400 of them: each whole, or without the thanks it begins with, the wishes it ends with,
        or both. So the model writes all four kinds, in whole sentences, though half of them answer another question.
        What follows goes on from its adapter, with 160 other questions.
reward  A reward model learns what the shop wants: the worse answer of each pair lacks thanks or wishes or both, or is
        the letter to another customer. Told: its accuracy and margin on pairs held out, before and after.
rloo    What the reward model likes: whole letters.
grpo    Letters of at most 75 characters, by a programmed reward and no answer at all to learn from. Nothing is said of
        what they are to say, and half of the letters are longer even without thanks and wishes.
both    GRPO with two rewards: what the reward model likes, in letters of at most 150 characters, as nine of ten are.

Of rloo, grpo and both are told the mean reward of one drawn answer to each question held out, the divergence from the
model as it began (KL, nats per token), the answers' length in tokens and the share cut off, before and after. And of
the answers to 40 questions that no run has seen, likeliest and drawn, whether they can be read (`readable.py`; `begun`
is the model that all go on from, `base` the starter, to which every letter of a shop is strange), the share that is
whole, how near they are to the shop's own letters (F1 of the words), and how much they say of what these say between
thanks and wishes (`says`, share of the words); with three of them. Of all but the reward model the share of right
answers in the exam of the starter. Prints JSON; each run as it ends to standard error. On a machine that does other
things, OMP_NUM_THREADS=1 is quicker.
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
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftModel

from studio.backend.studio import Studio
from studio.data.records import Message
from studio.runs.spec import RunSpec, with_changes
from studio.settings import Settings
from studio.starter.exam import answers, load, score
from studio.starter.samples import ENGLISH, support
from studio.starter.world import corpus, exam
from tests.benchmarks.readable import readable, words

ASKED = 100
SFT_ROWS, RL_ROWS, UNSEEN_ROWS = 400, 160, 40
SFT_EPOCHS = 6
WORLD_TURNS = 3000
SHORT = {"kind": "length", "low": 30, "high": 75}
NOT_LONG = {"kind": "length", "low": 30, "high": 150}
PARTS = ("reward", "rloo", "grpo", "both")
ANSWER_TOKENS = 64
NUMBERS = ("reward", "kl", "completion_tokens", "clipped_share", "accuracy", "margin", "loss")


@dataclass(frozen=True, slots=True)
class Letter:
    """A customer's question, the shop's letter, what it says between its ends, one that lacks some of its ends or none,
    and a worse one."""

    question: str
    whole: str
    body: str
    any: str
    worse: str


def letters(count: int, rng: random.Random) -> list[Letter]:
    """Of the shop whose letters are a sample data set, as many as are wanted, all to different questions."""
    rows = support(ENGLISH, count, rng)
    made = []
    for row in rows:
        other = rng.choice(rows)
        sentences = [sentence.strip() for sentence in re.findall(r".+?[.!?](?: |$)|.+$", row.answer)]
        kinds = [" ".join(part) for part in (sentences, sentences[1:], sentences[:-1], sentences[1:-1])]
        worse = rng.choice(kinds[1:]) if other.answer == row.answer else rng.choice((*kinds[1:], other.answer))
        made.append(Letter(row.prompt, row.answer, kinds[-1], rng.choice(kinds), worse))
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


def known_share(studio: Studio, run: str | None) -> float:
    """The share of general questions answered right."""
    asked = tuple(random.Random(0).sample(exam(), ASKED))
    model, tokenizer = load(studio.settings.starter)
    tuned: Any = model_of(studio, run) if run else model
    scores = score(asked, answers(tuned, tokenizer, asked))
    return round(sum(scores[language, "all"].right for language in ("en", "ja")) / len(asked), 3)


@dataclass(frozen=True, slots=True)
class Reader:
    """Measures what a model answers to questions that no run has seen."""

    studio: Studio
    unseen: Sequence[Letter]
    known: frozenset[str]
    begun: str

    def told(self, run: str) -> dict[str, Any]:
        base, tokenizer = load(self.studio.settings.starter)
        judges = {"base": base, "begun": model_of(self.studio, self.begun)}
        prompts = [[Message("user", letter.question)] for letter in self.unseen]
        found: dict[str, Any] = {}
        for name, seed in (("likeliest", None), ("drawn", 1)):
            measures, texts = readable(
                model_of(self.studio, run), judges, tokenizer, prompts, self.known, ANSWER_TOKENS, seed=seed
            )
            pairs = list(zip(texts, self.unseen, strict=True))
            found[name] = measures.told() | {
                "whole": mean(text.startswith("Thank you") and text.endswith("Blue Door Shop") for text in texts),
                "near": mean(overlap(text, letter.whole) for text, letter in pairs),
                "says": mean(said(text, letter.body) for text, letter in pairs),
                "answers": {letter.question: text for text, letter in pairs[:3]},
            }
        return found


def model_of(studio: Studio, run: str) -> Any:
    model, _ = load(studio.settings.starter)
    return PeftModel.from_pretrained(model, str(studio.compare.adapter(run).folder)).eval()


def mean(found: Iterable[float]) -> float:
    values = list(found)
    return round(sum(values) / len(values), 3)


def overlap(text: str, wanted: str) -> float:
    """F1 of the words, each as often as it stands."""
    ours, theirs = Counter(words(text)), Counter(words(wanted))
    return 2 * (ours & theirs).total() / max(1, ours.total() + theirs.total())


def said(text: str, body: str) -> float:
    """The share of the words of what a letter says that stand in the text, each as often as it stands."""
    ours, theirs = Counter(words(text)), Counter(words(body))
    return (ours & theirs).total() / theirs.total()


def measure(folder: Path, seed: int, parts: Sequence[str]) -> dict[str, Any]:
    with Studio(Settings(workspace=folder / "workspace"), worker=False) as studio:
        rows = letters(SFT_ROWS + RL_ROWS + UNSEEN_ROWS, random.Random(seed))
        first, second, unseen = rows[:SFT_ROWS], rows[SFT_ROWS:-UNSEEN_ROWS], rows[-UNSEEN_ROWS:]
        shop = imported(studio, folder, "letters", [{"prompt": r.question, "completion": r.any} for r in first])
        pairs = [{"prompt": row.question, "chosen": row.whole, "rejected": row.worse} for row in second]
        taste = imported(studio, folder, "taste", pairs)
        seen = [text for row in rows for text in (row.question, row.whole)]
        known = frozenset(word for text in (*seen, *corpus(0, WORLD_TURNS)) for word in words(text))
        shared = {"training.seed": seed, "data.split.validation_share": 0.2}
        spec = with_changes(studio.default_spec(shop), {**shared, "training.epochs": SFT_EPOCHS})
        parent, sft = trained(studio, spec, "sft")
        reader = Reader(studio, unseen, known, parent)
        sft |= {"exam": known_share(studio, parent), "read": reader.told(parent)}
        found: dict[str, Any] = {"seed": seed, "exam_before": known_share(studio, None), "sft": sft}
        judge = ""
        if {"reward", "rloo", "both"} & set(parts):
            spec = with_changes(studio.following(parent, "reward", taste), shared)
            judge, found["reward"] = trained(studio, spec, "reward")
        liked = {"kind": "model", "run": judge}
        rewarded = {"rloo": ("rloo", [liked]), "grpo": ("grpo", [SHORT]), "both": ("grpo", [liked, NOT_LONG])}
        for part, (method, rewards) in rewarded.items():
            if part in parts:
                own = {**shared, "method.rewards": rewards, "method.max_new_tokens": ANSWER_TOKENS}
                run, told = trained(studio, with_changes(studio.following(parent, method, taste), own), part)
                found[part] = told | {"exam": known_share(studio, run), "read": reader.told(run)}
                print(json.dumps({f"{part} read": found[part]["read"]}), file=sys.stderr, flush=True)
        return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    chosen = parser.parse_args()
    results = []
    for number in chosen.seeds:
        with tempfile.TemporaryDirectory() as place:
            results.append(measure(Path(place), number, chosen.parts))
    print(json.dumps(results, indent=1, ensure_ascii=False))
