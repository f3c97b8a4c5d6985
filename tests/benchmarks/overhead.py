"""What the studio adds to a training script: the same SFTTrainer run bare and through the backend, in turns.

    python -m tests.benchmarks.overhead [--rounds 3] [--preset quick-look] [--sample support-en]

Both read the same rows, tokenise them, train the starter with the same settings, evaluate and save as often, and keep
an adapter. The studio's side is everything the worker does from picking the run off the queue: the record in SQLite, a
point per step, sample answers at every evaluation, synced checkpoints. Reported are the medians, and their ratio.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # TRL's own trainer would try to report its use

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from studio.backend.datasets import Datasets
from studio.backend.runner import Runner
from studio.runs.presets import find_preset
from studio.runs.spec import LoraSpec, RunSpec, with_changes
from studio.runs.store import Store
from studio.settings import Settings


@dataclass
class Times:
    """Wall and processor seconds of every round."""

    wall: list[float]
    processor: list[float]

    def measure(self, work: Any) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        work()
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(time.process_time() - processor)


def bare(spec: RunSpec, settings: Settings, rows: list[Any], folder: Path) -> None:
    """The script somebody would write who knows TRL."""
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
    from trl.trainer.sft_trainer import SFTTrainer

    from studio.models.device import detect_device
    from studio.training.job import make_examples
    from studio.training.lora import Clock
    from studio.training.sft import sft_config, to_dataset
    from studio.training.trainer import Setup

    device = detect_device()
    assert isinstance(spec.tuner, LoraSpec)
    tokenizer = AutoTokenizer.from_pretrained(settings.starter)
    model = AutoModelForCausalLM.from_pretrained(settings.starter, dtype="float32")
    examples = make_examples(rows, spec, tokenizer, model.config.max_position_embeddings)
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=spec.tuner.rank,
        lora_alpha=int(spec.tuner.alpha),
        lora_dropout=spec.tuner.dropout,
        target_modules="all-linear",
    )
    setup = Setup(spec, folder, device, "float32", model, tokenizer, examples, False, Clock(), ())
    trainer = SFTTrainer(
        model=model,
        args=sft_config(setup),
        train_dataset=to_dataset(examples.train),
        eval_dataset=to_dataset(examples.validation),
        processing_class=tokenizer,
        peft_config=lora,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(str(folder / "adapter"))


def measure(folder: Path, rounds: int, preset: str, sample: str, changes: dict[str, Any]) -> dict[str, Any]:
    settings = Settings(workspace=folder / "workspace")
    store = Store(settings.workspace)
    datasets = Datasets(settings, store)
    runner = Runner(settings, store, datasets, worker=False)
    version = datasets.open_sample(sample)
    spec = find_preset(settings.presets, preset).apply(with_changes(RunSpec(), {"data.version": version.id}))
    spec = with_changes(spec, changes)
    rows = list(datasets.lessons(version.id, None)[0])

    def through_the_studio(spec: RunSpec) -> None:
        ended = runner.run_now(runner.submit(spec).id)
        assert ended.status == "done", ended

    short = with_changes(spec, {"training.epochs": 0.05, "training.evaluations": 1, "training.patience": 0})
    through_the_studio(short)  # loads the libraries
    bare(short, settings, rows, folder / "warm")
    alone, ours = Times([], []), Times([], [])
    for number in range(rounds):
        turns = [
            lambda number=number: alone.measure(lambda: bare(spec, settings, rows, folder / f"bare-{number}")),
            lambda: ours.measure(lambda: through_the_studio(spec)),
        ]
        for turn in turns if number % 2 == 0 else reversed(turns):
            turn()
    store.close()
    return {
        "rounds": rounds,
        "bare_seconds": round(median(alone.wall), 2),
        "studio_seconds": round(median(ours.wall), 2),
        "ratio": round(median(ours.wall) / median(alone.wall), 3),
        "bare_processor_seconds": round(median(alone.processor), 2),
        "studio_processor_seconds": round(median(ours.processor), 2),
        "processor_ratio": round(median(ours.processor) / median(alone.processor), 3),
        "bare_rounds": [round(x, 1) for x in alone.wall],
        "studio_rounds": [round(x, 1) for x in ours.wall],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preset", default="quick-look")
    parser.add_argument("--sample", default="support-en")
    parser.add_argument("--epochs", type=float, help="instead of the preset's")
    chosen = parser.parse_args()
    changed = {"training.epochs": chosen.epochs} if chosen.epochs else {}
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(measure(Path(place), chosen.rounds, chosen.preset, chosen.sample, changed), indent=1))
