"""What further columns of Compare cost, and whether they share one set of base weights.

    python -m tests.benchmarks.columns [--tokens 48] [--rounds 3]

A random Llama of 135M parameters (SmolLM's shape) and adapters of rank 16 on all its linear layers, greedy, all in one
process: the base alone, an adapter alone, base and adapter, base and three adapters, in turns; the medians of the
rounds are told, and their ratios to one column with an adapter, and to the base alone; also of the processor's time,
which other work on the machine moves less. No answer ends by itself.
`memory_mb` is what each number of columns added to the process when it was first asked, the adapters included;
`base_weights` counts the parameters of the base that are in memory. For the starter, the time to the first token of
every one of four columns: first with the model loaded on the way, then with it in memory.
"""

import argparse
import gc
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from studio.backend.compare import Column, CompareRequest, CompareUpdate
from studio.backend.studio import Studio
from studio.data.records import Message
from studio.runs.contestants import Contestant
from studio.runs.spec import LoraSpec, ModelSpec
from studio.settings import Settings
from tests.benchmarks.speed import save_model

TURNS = (Message("user", "A parcel has not come. What is to be done about it now, and who pays for it?"),)
COUNTS = {"base": 1, "one": 1, "two": 2, "four": 4}


def save_adapters(model: Path, folder: Path, count: int = 3) -> list[Path]:
    """Random ones, strong enough to change what is said."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from studio.training.lora import lora_config

    places = []
    for number in range(count):
        torch.manual_seed(number)
        base: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        wrapped = get_peft_model(base, lora_config(LoraSpec(rank=16, alpha=32), base))
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.02)
        places.append(folder / f"adapter-{number}")
        wrapped.save_pretrained(str(places[-1]))
        del base, wrapped
        gc.collect()
    return places


def columns_of(source: str, adapters: list[Path]) -> dict[str, list[Contestant]]:
    base = ModelSpec(source=source)
    tuned = [Contestant(base=base, folder=str(folder)) for folder in adapters]
    plain = Contestant(base=base)
    return {"base": [plain], "one": tuned[:1], "two": [plain, tuned[0]], "four": [plain, *tuned]}


def ask(studio: Studio, contestants: list[Contestant], tokens: int) -> tuple[float, float, CompareUpdate]:
    """Seconds to the first token of every column, and to the last of all."""
    request = CompareRequest(tuple(Column(one, TURNS) for one in contestants), max_new_tokens=tokens)
    began, first, update = time.perf_counter(), 0.0, None
    for update in studio.compare.stream(request):
        if not first and all(state.first_token_seconds for state in update.columns):
            first = time.perf_counter() - began
    assert update is not None
    return first, time.perf_counter() - began, update


def base_weights(studio: Studio) -> int:
    resident = studio.compare._residence._resident
    assert resident is not None
    assert not resident.tuned
    return sum(p.numel() for name, p in resident.model.named_parameters() if "lora" not in name)


def measure(tokens: int, rounds: int) -> dict[str, Any]:
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_model(folder / "model")
        columns = columns_of(str(folder / "model"), save_adapters(folder / "model", folder))
        with Studio(Settings(workspace=folder / "workspace", offline=True), worker=False) as studio:
            memory = {}
            for name, contestants in columns.items():
                before = process.memory_info().rss
                _, _, update = ask(studio, contestants, 2)
                memory[name] = round((process.memory_info().rss - before) / 1e6)
            seconds: dict[str, list[float]] = {name: [] for name in columns}
            processor: dict[str, list[float]] = {name: [] for name in columns}
            for _ in range(rounds):
                for name, contestants in columns.items():
                    used = time.process_time()
                    _, whole, update = ask(studio, contestants, tokens)
                    processor[name].append(time.process_time() - used)
                    assert [state.tokens for state in update.columns] == [tokens] * COUNTS[name], update
                    seconds[name].append(whole)
            weights = base_weights(studio)
    return {
        "seconds": told(seconds),
        "processor_seconds": told(processor),
        "rounds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
        "memory_mb": memory,
        "base_weights": weights,
    }


def told(rounds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    medians = {name: median(values) for name, values in rounds.items()}
    return {
        "median": {name: round(value, 2) for name, value in medians.items()},
        "to_one": {name: round(medians[name] / medians["one"], 2) for name in ("two", "four")},
        "to_base": {name: round(medians[name] / medians["base"], 2) for name in ("one", "two", "four")},
    }


def measure_starter() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        settings = Settings(workspace=folder / "workspace", offline=True)
        columns = columns_of("starter", save_adapters(settings.starter, folder))
        with Studio(settings, worker=False) as studio:
            cold, _, _ = ask(studio, columns["four"], 16)
            warm = [ask(studio, columns["four"], 16)[0] for _ in range(5)]
    return {"cold_first_token_seconds": round(cold, 2), "first_token_seconds": round(median(warm), 3)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    print(json.dumps({**measure(chosen.tokens, chosen.rounds), "starter": measure_starter()}, indent=1))
