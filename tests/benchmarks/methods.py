"""What each method does to the starter, measured by its behaviour before and after: real runs through the backend.

    python -m tests.benchmarks.methods [--only sft-dora dpo ...]

- `sft-lora`, `sft-rslora`, `sft-dora`, `sft-qlora`, `sft-full`: a sample of a shop's letters; the share of held-out
  questions that are answered to the letter, the loss per answer token, and the trained share of all weights.
- `cpt`: documents of a shop that the starter never read; perplexity of those held out.
- `dpo`, `ipo`, `simpo`, `orpo`, `kto`: pairs of which the answer with an exclamation mark is preferred to the same
  answer with a full stop, in both languages. Of held-out pairs the share in which the preferred answer is likelier
  (mean log-probability per token), and of the answers given to held-out questions the share that ends as preferred and
  the share that is still right.

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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from studio.backend.datasets import Version
from studio.backend.studio import Studio
from studio.data.records import Conversation, Message, Passage, Record
from studio.data.splits import SplitSpec
from studio.data.tokens import tokenize
from studio.models.generation import render_prompt, sample_answers
from studio.runs.events import Ended
from studio.runs.spec import with_changes
from studio.settings import Settings
from studio.starter.exam import load
from studio.starter.world import Question, exam, lessons

ROWS_AT_ONCE = 64
ANSWER_TOKENS = 128
PAIRS = 600
HELD_OUT = 200
MARKS = {"en": (".", "!"), "ja": ("。", "！")}  # worse, better

ADAPTERS: dict[str, dict[str, Any]] = {
    "sft-lora": {},
    "sft-rslora": {"tuner.variant": "rslora", "tuner.alpha": 16},  # as strong as 64 with LoRA
    "sft-dora": {"tuner.variant": "dora"},
    "sft-qlora": {"tuner.quantisation": "nf4"},
    "sft-full": {"tuner.kind": "full", "training.learning_rate": 5e-4},  # a tenth of the adapters'
}
# Settings of each on the starter, which takes larger steps than other models.
PREFERENCES: dict[str, dict[str, Any]] = {
    "dpo": {"method.kind": "dpo", "training.learning_rate": 1e-3},
    "ipo": {"method.kind": "dpo", "method.loss": "ipo", "training.learning_rate": 1e-3},
    "simpo": {"method.kind": "simpo", "training.learning_rate": 1e-3},
    "orpo": {"method.kind": "orpo", "training.learning_rate": 2e-3},
    "kto": {"method.kind": "kto", "training.learning_rate": 2e-3},
}


def tune(studio: Studio, version: Version, changes: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    """A run through the queue; its adapter, and what it took."""
    spec = with_changes(studio.default_spec(version.id, "quick-look"), changes)
    run = studio.runner.submit(spec).id
    ended: Ended = studio.runner.run_now(run)
    assert ended.status == "done", ended
    assert ended.adapter
    started = studio.runner.state(run).started
    assert started is not None
    beside = 0 if spec.tuner.kind == "full" else started.parameters
    share = started.trainable_parameters / (beside + started.trainable_parameters)
    took = {"steps": ended.step, "seconds": round(ended.seconds, 1), "trained_share": round(share, 4)}
    return studio.store.run_folder(run) / ended.adapter, took


def opened(studio: Studio, name: str, rows: Sequence[Mapping[str, Any]]) -> Version:
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return studio.datasets.import_text(text, name)


def model_of(studio: Studio, adapter: Path | None) -> tuple[Any, Any]:
    """The starter, with a run's adapter or in its place."""
    model, tokenizer = load(studio.settings.starter)
    if adapter and not (adapter / "adapter_config.json").is_file():
        return AutoModelForCausalLM.from_pretrained(adapter).eval(), tokenizer
    return (PeftModel.from_pretrained(model, str(adapter)).eval() if adapter else model), tokenizer


@torch.inference_mode()
def likelihood(model: Any, tokenizer: Any, record: Record) -> tuple[float, int]:
    """Negative log-likelihood of what is learned of a record, in nats, and its tokens."""
    example = tokenize(record, tokenizer, 512)
    loss = model(input_ids=torch.tensor([example.ids]), labels=torch.tensor([example.labels])).loss
    return float(loss) * example.trained_tokens, example.trained_tokens


@torch.inference_mode()
def given(model: Any, tokenizer: Any, prompts: Sequence[Sequence[Message]]) -> list[str]:
    ids = [render_prompt(prompt, tokenizer) for prompt in prompts]
    batches = (ids[begin : begin + ROWS_AT_ONCE] for begin in range(0, len(ids), ROWS_AT_ONCE))
    return [answer.strip() for batch in batches for answer in sample_answers(model, tokenizer, batch, ANSWER_TOKENS)]


def mean_loss(model: Any, tokenizer: Any, records: Sequence[Record]) -> float:
    sums = [likelihood(model, tokenizer, record) for record in records]
    return sum(nll for nll, _ in sums) / sum(tokens for _, tokens in sums)


# Supervised fine-tuning


def supervised(studio: Studio, names: Sequence[str]) -> dict[str, Any]:
    whole = studio.datasets.open_sample("support-en")
    taken = studio.datasets.split(whole.id, SplitSpec(validation_share=0, test_share=1 / 7)).test.tolist()
    rows: dict[int, Any] = dict(studio.datasets.lessons(whole.id, None)[0])
    held_out: list[Conversation] = [rows[i] for i in taken]
    rest = studio.datasets.exclude_rows(whole.id, taken)

    def measured(adapter: Path | None) -> dict[str, float]:
        model, tokenizer = model_of(studio, adapter)
        answers = given(model, tokenizer, [talk.prompt for talk in held_out])
        exact = sum(a == talk.answer.strip() for a, talk in zip(answers, held_out, strict=True)) / len(held_out)
        return {"exact_match": round(exact, 4), "loss": round(mean_loss(model, tokenizer, held_out), 4)}

    return run_all(studio, rest, {name: ADAPTERS[name] for name in names}, measured)


# Continued pre-training


def documents(count: int) -> list[str]:
    """Notices of a shop, in words the starter knows and sentences it has never read."""
    dice = random.Random(7)
    things = ["lamp", "kettle", "scarf", "guitar", "teapot", "basket", "clock", "jacket", "pillow", "notebook"]
    places = ["Porto", "Lima", "Oslo", "Cairo", "Vienna", "Osaka", "Lyon", "Quito"]
    days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
    made = []
    for number in range(count):
        thing, other = dice.sample(things, 2)
        place, day = dice.choice(places), dice.choice(days)
        lines = [
            f"Notice {number} of the Blue Door Shop.",
            f"The {thing} comes from our workshop in {place}, where it is made by hand.",
            f"On {day} every {thing} costs {dice.randrange(3, 40)} euros, and the {other} is a gift.",
            f"Whoever brings the old {other} back gets {dice.randrange(2, 9)} euros.",
            f"Signed by the keeper of the {place} house.",
        ]
        made.append(" ".join(lines))
    return made


def pretrained(studio: Studio) -> dict[str, Any]:
    texts = documents(360)
    version = opened(studio, "notices", [{"text": text} for text in texts[:300]])
    held_out = [Passage(text) for text in texts[300:]]

    def measured(adapter: Path | None) -> dict[str, float]:
        model, tokenizer = model_of(studio, adapter)
        return {"perplexity": round(math.exp(mean_loss(model, tokenizer, held_out)), 3)}

    changes = {"method.kind": "cpt", "training.epochs": 4, "training.learning_rate": 3e-3}
    return run_all(studio, version, {"cpt": changes}, measured)


# Preferences


def preferred(studio: Studio, names: Sequence[str]) -> dict[str, Any]:
    dice = random.Random(3)
    plain = [q for q in lessons() if q.answer.endswith(MARKS[q.language][0])]
    asked: list[Question] = dice.sample(plain, PAIRS)
    held_out = dice.sample([q for q in exam() if q.answer.endswith(MARKS[q.language][0])], HELD_OUT)
    pairs = [{"prompt": q.text, "chosen": better(q), "rejected": q.answer} for q in asked]
    version = opened(studio, "pairs", pairs)
    thumbs = [
        {"prompt": q.text, "completion": better(q) if up else q.answer, "label": up}
        for q in asked
        for up in (True, False)
    ]
    rated = opened(studio, "thumbs", thumbs)

    def measured(adapter: Path | None) -> dict[str, float]:
        model, tokenizer = model_of(studio, adapter)
        likelier = 0
        for question in held_out:
            prompt = (Message("user", question.text),)
            good, bad = (
                likelihood(model, tokenizer, Conversation(prompt, a)) for a in (better(question), question.answer)
            )
            likelier += good[0] / good[1] < bad[0] / bad[1]
        answers = given(model, tokenizer, [(Message("user", q.text),) for q in held_out])
        ends = sum(a.endswith(MARKS[q.language][1]) for a, q in zip(answers, held_out, strict=True))
        right = sum(q.right(a) for a, q in zip(answers, held_out, strict=True))
        return {
            "preferred_is_likelier": likelier / len(held_out),
            "ends_as_preferred": ends / len(held_out),
            "still_right": right / len(held_out),
        }

    found = run_all(studio, version, {n: PREFERENCES[n] for n in names if n != "kto"}, measured)
    if "kto" in names:
        found |= run_all(studio, rated, {"kto": PREFERENCES["kto"]}, measured, found.get("base"))
    return found


def better(question: Question) -> str:
    worse_mark, better_mark = MARKS[question.language]
    return question.answer.removesuffix(worse_mark) + better_mark


def run_all(
    studio: Studio,
    version: Version,
    runs: Mapping[str, Mapping[str, Any]],
    measured: Callable[[Path | None], dict[str, float]],
    base: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Before, and after each run."""
    found: dict[str, Any] = {"base": base or measured(None)}
    for name, changes in runs.items():
        adapter, took = tune(studio, version, changes)
        found[name] = {**measured(adapter), **took}
        print(name, found["base"], found[name], file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*ADAPTERS, "cpt", *PREFERENCES]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    only = parser.parse_args().only
    began = time.perf_counter()
    told: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as place,
        Studio(Settings(workspace=Path(place) / "workspace", offline=True), worker=False) as studio,
    ):
        if adapters := [name for name in only if name in ADAPTERS]:
            told["sft"] = supervised(studio, adapters)
        if "cpt" in only:
            told["cpt"] = pretrained(studio)
        if preferences := [name for name in only if name in PREFERENCES]:
            told["preferences"] = preferred(studio, preferences)
    told["seconds"] = round(time.perf_counter() - began, 1)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
