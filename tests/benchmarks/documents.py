"""Facts that only documents tell, asked for after continued pre-training and SFT as a chain of two runs.

    python -m tests.benchmarks.documents [--people 60] [--seeds 0 1 2]

People nobody has heard of, such as Mr Teapot, live in a city, work as something and keep an animal; passages tell it in
several wordings (what is told in one wording alone cannot be asked for afterwards: Allen-Zhu and Li 2023,
arXiv:2309.14316). `cpt` reads the passages; `cpt_sft` goes on from its adapter with questions and answers about half of
the people; `sft` learns the same questions and answers without having read. Asked are questions about the other half,
whose answers only the passages tell: the share answered right, beside the share that the most frequent answer would
get. Also the perplexity of passages about the same people in a wording held out, before and after reading.

Prints one JSON object; each run as it ends to standard error.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # TRL's own trainer would try to report its use

import argparse
import json
import math
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.backend.studio import Studio
from studio.data.records import Message, Passage
from studio.runs.spec import RunSpec, with_changes
from studio.settings import Settings
from studio.starter.words import GOODS
from tests.benchmarks.methods import given, mean_loss, model_of, opened

CITIES = ("Porto", "Lima", "Oslo", "Cairo", "Vienna", "Osaka", "Lyon", "Quito")
JOBS = ("baker", "teacher", "doctor", "farmer", "pilot", "painter", "cook", "singer")
ANIMALS = ("cat", "dog", "horse", "rabbit", "duck", "goat", "cow", "sheep")
WORDINGS = (
    "{name} lives in {city}. {name} works as a {job} and has a {animal}.",
    "In {city} lives {name}. The job of {name} is {job}. The animal of {name} is a {animal}.",
    "{name} is a {job}. {name} lives in {city} with a {animal}.",
    "{name} has a {animal}. Every day {name} works as a {job}. The home of {name} is in {city}.",
    "The {animal} of {name} is small. {name} the {job} lives in {city}.",
    "{name} comes from {city}. {name} has a {animal} at home. {name} is a {job}.",
)
HELD_OUT = "{name} works as a {job} in {city}. The animal of {name} is a {animal}."
ASKED = (
    ("Where does {name} live?", "{name} lives in {city}.", "city"),
    ("What is the job of {name}?", "{name} is a {job}.", "job"),
    ("Which animal does {name} have?", "{name} has a {animal}.", "animal"),
)


@dataclass(frozen=True)
class Asked:
    question: str
    answer: str
    key: str


def people(count: int, seed: int) -> list[dict[str, str]]:
    dice = random.Random(seed)
    names = sorted(f"Mr {good.title()}" for good in dice.sample([english for english, _ in GOODS], count))
    kinds = (("city", CITIES), ("job", JOBS), ("animal", ANIMALS))
    return [{"name": name, **{kind: dice.choice(of) for kind, of in kinds}} for name in names]


def questions(of: Sequence[dict[str, str]]) -> list[Asked]:
    return [Asked(ask.format(**one), answer.format(**one), one[key]) for one in of for ask, answer, key in ASKED]


def right(studio: Studio, adapter: Path | None, asked: Sequence[Asked]) -> float:
    model, tokenizer = model_of(studio, adapter)
    answers = given(model, tokenizer, [(Message("user", q.question),) for q in asked])
    return round(sum(q.key in answer for q, answer in zip(asked, answers, strict=True)) / len(asked), 3)


def guessed(asked: Sequence[Asked]) -> float:
    """What always the most frequent answer to each kind of question gets."""
    hits = 0
    for place in range(len(ASKED)):
        hits += Counter(q.key for q in asked[place :: len(ASKED)]).most_common(1)[0][1]
    return round(hits / len(asked), 3)


def measure(studio: Studio, count: int, seed: int, epochs: int, rank: int, rate: float) -> dict[str, Any]:
    everybody = people(count, seed)
    random.Random(seed).shuffle(everybody)
    taught, asked = everybody[: count // 2], questions(everybody[count // 2 :])
    passages = [{"text": wording.format(**one)} for one in everybody for wording in WORDINGS]
    documents = opened(studio, "people", passages)
    pairs = [{"prompt": q.question, "completion": q.answer} for q in questions(taught)]
    lessons = opened(studio, "questions", pairs)
    unread = [Passage(HELD_OUT.format(**one)) for one in everybody]

    def perplexity(adapter: Path | None) -> float:
        return round(math.exp(mean_loss(*model_of(studio, adapter), unread)), 3)

    def ran(name: str, spec: RunSpec) -> tuple[str, Path]:
        run = studio.runner.submit(with_changes(spec, {"training.seed": seed}), name).id
        ended = studio.runner.run_now(run)
        assert ended.status == "done", ended
        assert ended.adapter
        loss = studio.runner.state(run).latest("loss")
        print(name, seed, ended.step, round(ended.seconds, 1), loss, file=sys.stderr, flush=True)
        return run, studio.store.run_folder(run) / ended.adapter

    wide = {"tuner.rank": rank, "tuner.alpha": 2 * rank, "data.split.validation_share": 0}
    pace = {"training.batch_size": 2, "training.epochs": epochs, "training.learning_rate": rate}
    reading = {"method.kind": "cpt", **pace, **wide}
    teaching = {"training.epochs": 6, "training.learning_rate": 3e-4}  # gently, or what was read is lost
    run, read = ran("cpt", with_changes(studio.default_spec(documents.id, "quick-look"), reading))
    following = with_changes(studio.following(run, "sft"), {"data.version": lessons.id, **teaching})
    _, chained = ran("cpt_sft", following)
    alone = with_changes(studio.default_spec(lessons.id, "quick-look"), {**wide, **teaching})
    _, untold = ran("sft", alone)
    return {
        "asked": len(asked),
        "guessed": guessed(asked),
        "perplexity": [perplexity(None), perplexity(read)],
        "right": {
            "base": right(studio, None, asked),
            "cpt": right(studio, read, asked),
            "sft": right(studio, untold, asked),
            "cpt_sft": right(studio, chained, asked),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=28)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-3)
    chosen = parser.parse_args()
    began = time.perf_counter()
    told: dict[str, Any] = {}
    for seed in chosen.seeds:
        with (
            tempfile.TemporaryDirectory() as place,
            Studio(Settings(workspace=Path(place) / "workspace", offline=True), worker=False) as studio,
        ):
            told[f"seed {seed}"] = measure(studio, chosen.people, seed, chosen.epochs, chosen.rank, chosen.rate)
    told["seconds"] = round(time.perf_counter() - began, 1)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
