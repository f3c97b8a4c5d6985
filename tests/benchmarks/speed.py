"""How quick supervised fine-tuning is on this machine's processor, against TRL as it comes and a loop written by hand.

    python -m tests.benchmarks.speed [--steps 3] [--legs rate trl studio hand] [--loss-on all]
    python -m tests.benchmarks.speed --starter [--steps 40] [--rounds 3]

A random model of 135 million parameters shaped like Llama (30 layers, 576 wide, 49 152 tokens, tied) learns rows of
log-normal length, 230 tokens on average and 1 024 at most, through LoRA of rank 16 on every linear layer. All legs see
the same batches of eight rows in the same order, each in a process of its own:

- `trl`: SFTTrainer in float32 with padded batches, otherwise as it comes;
- `studio`: `studio.training.train.train`;
- `hand`: a loop over single rows, which needs no padding, in bfloat16 with PEFT under autocast.

With `--starter` the starter learns a sample of a shop's letters: `studio` against `padded`, a loop written by hand with
PEFT in float32 over the same batches, padded, which is quicker for so small a model than row by row. The legs take
turns; the medians of the rounds are told, with their ratio.

Reported are tokens without padding per second and per second of processor time (which other work on the machine moves
less), over the optimiser steps; the process's peak memory; the loss of every step; and the share of the bfloat16 rate
of a large matrix product that 4 x parameters x tokens per second come to.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # TRL's own trainer would try to report its use

import argparse
import json
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from studio.data.records import Conversation, Message
from studio.data.splits import SplitSpec
from studio.data.tokens import Example
from studio.runs.events import Event, Metrics, Started
from studio.runs.methods import SftSpec
from studio.runs.spec import DataSpec, LoraSpec, ModelSpec, RunSpec, TrainingSpec
from studio.settings import Settings
from studio.training.job import Lesson, TrainingJob, make_examples

LEGS = ("rate", "trl", "studio", "hand")
PARAMETERS = 134_515_008
_MEAN, _SIGMA, _LONGEST = 230, 0.75, 1024
_ROWS = 8


@dataclass
class Leg:
    """`tokens`, wall and processor seconds and loss of each optimiser step, and what was chosen."""

    tokens: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    how: tuple[str, ...] = ()

    def report(self) -> dict[str, Any]:
        return {
            "tokens_per_second": round(sum(self.tokens) / sum(self.seconds), 1),
            "tokens_per_processor_second": round(sum(self.tokens) / sum(self.processor), 1),
            "steps": len(self.seconds),
            "tokens": sum(self.tokens),
            "losses": [round(loss, 4) for loss in self.losses],
            "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
            "how": self.how,
        }


def save_model(folder: Path) -> None:
    """The random model, with the tests' byte-level tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.tiny import tiny_tokenizer

    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=2048, tie_word_embeddings=True, pad_token_id=0, eos_token_id=1,
        bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)


def make_rows(count: int) -> list[tuple[int, Conversation]]:
    """Questions and answers of words, a letter a token; one of them of the greatest length."""
    numbers = random.Random(0)
    words = [bytes(numbers.choices(range(97, 123), k=numbers.randint(2, 9))).decode() for _ in range(200)]
    mean = _MEAN / 2.718281828 ** (_SIGMA**2 / 2)
    rows = []
    for i in range(1, count + 1):
        length = _LONGEST if i == 1 else max(16, min(_LONGEST, round(mean * numbers.lognormvariate(0, _SIGMA))))
        text = " ".join(numbers.choices(words, k=length))[: length - 4]  # two turns and two ends make four tokens
        cut = max(2, length // 5)
        rows.append((i, Conversation((Message("user", text[:cut]),), text[cut:])))
    return rows


def make_spec(model: Path, loss_on: Any) -> RunSpec:
    return RunSpec(
        model=ModelSpec(source=str(model)),
        data=DataSpec(max_length=_LONGEST, split=SplitSpec(validation_share=0)),
        method=SftSpec(loss_on=loss_on),
        tuner=LoraSpec(rank=16, alpha=32),
        training=TrainingSpec(epochs=1, batch_size=_ROWS, learning_rate=1e-3, schedule="constant", evaluations=1),
    )


def tokenised(spec: RunSpec, rows: list[Any]) -> list[Example]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(spec.model.source)
    return [lesson.sides[0] for lesson in make_examples(rows, spec, tokenizer, _LONGEST).train]


def in_order(sides: list[Example], seed: int) -> list[list[Example]]:
    """The batches of the first epoch, as transformers' Trainer makes them of this seed."""
    import torch

    order = torch.randperm(len(sides), generator=torch.Generator().manual_seed(seed)).tolist()
    return [[sides[i] for i in order[begin : begin + _ROWS]] for begin in range(0, len(order), _ROWS)]


# Legs


def rate(_: Path, __: RunSpec, ___: list[Any]) -> dict[str, float]:
    """Billions of operations a second of a product of square matrices, two for each multiply-add."""
    import torch

    found = {}
    for dtype in (torch.bfloat16, torch.float32):
        a, b = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
        torch.mm(a, b)
        times = []
        for _round in range(12):
            began = time.perf_counter()
            torch.mm(a, b)
            times.append(time.perf_counter() - began)
        found[f"{dtype}".removeprefix("torch.") + "_gflops"] = round(2 * 2048**3 / min(times) / 1e9, 1)
    return found


def trl(folder: Path, spec: RunSpec, rows: list[Any], checkpointing: bool | None = None) -> dict[str, Any]:
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from studio.training.sft import to_dataset

    leg = Leg()

    class Watch(TrainerCallback):
        began = used = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began, self.used = time.perf_counter(), time.process_time()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            leg.seconds.append(time.perf_counter() - self.began)
            leg.processor.append(time.process_time() - self.used)

        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" in logs:
                leg.losses.append(logs["loss"])
                leg.tokens.append(int(logs["num_tokens"]) - sum(leg.tokens))

    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(spec.model.source, dtype=torch.float32),
        args=SFTConfig(
            output_dir=str(folder / "trl"), bf16=False, use_cpu=True, per_device_train_batch_size=_ROWS,
            learning_rate=spec.training.learning_rate, lr_scheduler_type="constant", num_train_epochs=1,
            logging_steps=1, seed=spec.training.seed, data_seed=spec.training.seed, save_strategy="no",
            report_to="none", disable_tqdm=True, max_length=None, dataset_kwargs={"skip_prepare_dataset": True},
            dataloader_pin_memory=False,
        ),
        train_dataset=to_dataset(tuple(Lesson((side,)) for side in tokenised(spec, rows))),
        processing_class=AutoTokenizer.from_pretrained(spec.model.source),
        peft_config=LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"),
        callbacks=[Watch()],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return leg.report()


def studio(folder: Path, spec: RunSpec, rows: list[Any]) -> dict[str, Any]:
    from studio.runs.stop import Stop
    from studio.training.train import train

    leg = Leg()
    batches = in_order(tokenised(spec, rows), spec.training.seed)

    used = 0.0

    def watch(*events: Event) -> None:
        """The last step's processor time holds the samples that are written after it."""
        nonlocal used
        before, used = used, time.process_time()
        for event in events:
            if isinstance(event, Metrics) and "loss" in event.values:
                leg.losses.append(event.values["loss"])
                leg.tokens.append(sum(len(side.ids) for side in batches[event.step - 1]))
                leg.seconds.append(leg.tokens[-1] / event.values["tokens_per_second"])
                leg.processor.append(used - before)
            elif isinstance(event, Started):
                leg.how = event.how

    (folder / "run").mkdir()
    train(TrainingJob(spec, Settings(workspace=folder), folder / "run", rows, 0, (), watch), Stop())
    return leg.report()


def hand(_: Path, spec: RunSpec, rows: list[Any]) -> dict[str, Any]:
    import torch
    from torch.nn.functional import cross_entropy

    def learn(model: Any, batch: list[Example]) -> float:
        """Row by row."""
        count = sum(side.trained_tokens for side in batch)
        total = 0.0
        for side in batch:
            with torch.autocast("cpu", torch.bfloat16):
                scores = model(input_ids=torch.tensor([side.ids])).logits[0, :-1]
            loss = cross_entropy(scores.float(), torch.tensor(side.labels[1:]), reduction="sum") / count
            loss.backward()
            total += loss.item()
        return total

    return _by_hand(spec, rows, torch.bfloat16, learn)


def padded(_: Path, spec: RunSpec, rows: list[Any]) -> dict[str, Any]:
    import torch
    from torch.nn.functional import cross_entropy
    from torch.nn.utils.rnn import pad_sequence

    def learn(model: Any, batch: list[Example]) -> float:
        """All rows at once."""
        ids = pad_sequence([torch.tensor(side.ids) for side in batch], batch_first=True)
        labels = pad_sequence([torch.tensor(side.labels) for side in batch], batch_first=True, padding_value=-100)
        present = pad_sequence([torch.ones(len(side.ids), dtype=torch.long) for side in batch], batch_first=True)
        scores = model(input_ids=ids, attention_mask=present).logits[:, :-1]
        loss = cross_entropy(scores.flatten(0, 1), labels[:, 1:].flatten())
        loss.backward()
        return loss.item()

    return _by_hand(spec, rows, torch.float32, learn)


def _by_hand(
    spec: RunSpec, rows: list[Any], dtype: Any, learn: Callable[[Any, list[Example]], float]
) -> dict[str, Any]:
    """A training loop without a Trainer. `learn` computes the gradients of a batch and returns its loss."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    assert isinstance(spec.tuner, LoraSpec)
    base: Any = AutoModelForCausalLM.from_pretrained(spec.model.source, dtype=dtype)
    alpha = int(spec.tuner.alpha)
    shape = LoraConfig(task_type="CAUSAL_LM", r=spec.tuner.rank, lora_alpha=alpha, target_modules="all-linear")
    model = get_peft_model(base, shape).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=spec.training.learning_rate, weight_decay=0.0, fused=True)
    leg = Leg()
    for batch in in_order(tokenised(spec, rows), spec.training.seed):
        began, used = time.perf_counter(), time.process_time()
        leg.losses.append(learn(model, batch))
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        leg.seconds.append(time.perf_counter() - began)
        leg.processor.append(time.process_time() - used)
        leg.tokens.append(sum(len(side.ids) for side in batch))
    return leg.report()


def measure_starter(steps: int, rounds: int) -> dict[str, Any]:
    """`studio` and `padded` in turns, each in a process of its own."""
    found: dict[str, list[dict[str, Any]]] = {"studio": [], "padded": []}
    with tempfile.TemporaryDirectory() as place:
        settings = Settings(workspace=Path(place))
        spec = make_spec(settings.starter, "answer")
        spec = spec.model_copy(update={"data": DataSpec(max_length=256, split=SplitSpec(validation_share=0))})
        rows = sample_rows(settings, steps * _ROWS)
        for number in range(rounds):
            for name, told in found.items():
                folder = Path(place) / f"{name}-{number}"
                folder.mkdir()
                with multiprocessing.get_context("spawn").Pool(1) as alone:
                    told.append(alone.apply(globals()[name], (folder, spec, rows)))
    rates = {name: median(leg["tokens_per_second"] for leg in told) for name, told in found.items()}
    used = {name: median(leg["tokens_per_processor_second"] for leg in told) for name, told in found.items()}
    return {
        "tokens_per_second": rates,
        "tokens_per_processor_second": used,
        "ratio": round(rates["studio"] / rates["padded"], 3),
        "processor_ratio": round(used["studio"] / used["padded"], 3),
        "first_and_last_loss": {name: [told[0]["losses"][0], told[0]["losses"][-1]] for name, told in found.items()},
        "how": found["studio"][0]["how"],
        "rounds": found,
    }


def sample_rows(settings: Settings, count: int) -> list[tuple[int, Any]]:
    """The first rows of a sample."""
    from studio.backend.studio import Studio

    with Studio(settings, worker=False) as opened:
        version = opened.datasets.open_sample("support-en").id
        return list(opened.datasets.lessons(version, None)[0])[:count]


def measure(legs: list[str], steps: int, loss_on: str) -> dict[str, Any]:
    """Every leg in a process of its own, one after the other."""
    result: dict[str, Any] = {"parameters": PARAMETERS}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_model(folder / "model")
        spec, rows = make_spec(folder / "model", loss_on), make_rows(steps * _ROWS)
        for name in legs:
            load = os.getloadavg()[0]
            with multiprocessing.get_context("spawn").Pool(1) as alone:
                result[name] = alone.apply(globals()[name], (folder, spec, rows))
            result[name]["load_before"] = round(load, 2)
    if "rate" in result:
        for name in result.keys() & set(LEGS[1:]):
            used = 4 * PARAMETERS * result[name]["tokens_per_second"] / 1e9
            result[name]["share_of_bfloat16_rate"] = round(used / result["rate"]["bfloat16_gflops"], 3)
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=0, help="3, or 40 with the starter")
    parser.add_argument("--starter", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--legs", nargs="+", choices=LEGS, default=list(LEGS))
    parser.add_argument("--loss-on", choices=("all", "answer"), default="all")
    chosen = parser.parse_args()
    if chosen.starter:
        print(json.dumps(measure_starter(chosen.steps or 40, chosen.rounds), indent=1))
    else:
        print(json.dumps(measure(chosen.legs, chosen.steps or 3, chosen.loss_on), indent=1))
