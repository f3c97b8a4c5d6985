"""What a run will take, told before it starts.

Counts are exact. Time and memory come from a probe: a few real optimiser steps of this model on this machine, with
rows of the data's usual and of its greatest length. What one batch costs is taken to be linear in its padded tokens
(attention's square is small at the lengths in question); how long the batches of a shuffled run are follows from the
lengths of all rows.
"""

import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch
from transformers import PrinterCallback, TrainerCallback

from studio.data.splits import Split, split
from studio.data.tokens import Example, lengths, tokenize
from studio.errors import DataError, ResourceError
from studio.models.catalog import find_files
from studio.models.device import Device, detect_device
from studio.models.generation import sample_answers
from studio.models.loading import load_model, load_tokenizer
from studio.runs.spec import LoraSpec, ModelSpec, RunSpec, TrainingSpec
from studio.settings import Settings
from studio.training.callback import sample_tokens
from studio.training.job import ONE_TRAINER, SAMPLE_PROMPTS, ExampleSet, Rows, check_learnable, pick, shown_first
from studio.training.lora import Clock, add_adapter
from studio.training.memory import MEMORY_SHARE, available_bytes, needed_bytes
from studio.training.sft import StudioTrainer, checkpoint_bytes, sft_config, to_dataset

_PROBE_SECONDS = 1.2
_PROBE_STEPS = 6
_WAIT_SECONDS = 5.0  # for another page's probe
_SAMPLED_TOKENS = 6
# fsync and the small files of one checkpoint; its bytes come on top.
_SAVE_SECONDS = 0.15
_DISK_BYTES_PER_SECOND = 200e6
_FORWARD_SHARE = 0.4  # of a training step's time, which also goes backward


@dataclass(frozen=True, slots=True)
class Estimate:
    """`rows`, `tokens` and `trained_tokens` are those of one pass over the training rows, after cutting.

    `lost_rows` teach nothing (unreadable, refused or cut away), `truncated_rows` lose the end of their answer.
    `seconds` covers everything from the start to the kept adapter. On a CPU `memory_bytes` is the whole process at
    its peak, as the run's chart shows it, and `available_memory_bytes` what the process has and could still get.
    """

    rows: int
    validation_rows: int
    tokens: int
    trained_tokens: int
    steps: int
    trainable_parameters: int
    parameters: int
    trainable_share: float
    adapter_bytes: int
    seconds: float
    memory_bytes: int
    disk_bytes: int
    lost_rows: int
    truncated_rows: int
    device: str
    available_memory_bytes: int
    fits: bool


def estimate(
    spec: RunSpec,
    settings: Settings,
    rows: Rows,
    skipped: int,
    parts: Split | None = None,
) -> Estimate:
    """Measure and count. Raises DataError when no row can be learned from, ModelError or ResourceError when the model
    cannot be loaded."""
    device = detect_device()
    files = find_files(spec.model.source, settings)
    identity = files.identity()
    _check_room(identity.name, identity.parameters, device, spec.model)
    tokenizer = load_tokenizer(spec.model.source, settings).tokenizer
    longest = min(spec.data.max_length, identity.context_length)
    counted = _count(rows, spec, tokenizer, longest, parts)

    middle = median(n for _, n in counted.train)
    usual = min(counted.train, key=lambda item: (abs(item[1] - middle), item[0]))
    most = max(counted.train, key=lambda item: item[1])
    picked = pick(rows, [usual[0], most[0], *counted.shown])
    examples = [tokenize(c, tokenizer, longest, loss_on=spec.method.loss_on) for c in picked[:2]]
    probe = _probe(
        identity.fingerprint,
        settings,
        spec.model,  # type: ignore[arg-type]  # frozen, so hashable
        spec.tuner,  # type: ignore[arg-type]
        min(spec.training.batch_size, len(counted.train)),
        spec.training.gradient_checkpointing,
        _shape(examples[0]),
        _shape(examples[1]),
    )

    training = spec.training
    trained, whole = probe.trainable_parameters, probe.parameters
    steps = spec.total_steps(len(counted.train))
    evaluations = -(-steps // spec.evaluation_interval(len(counted.train)))
    samples = sample_tokens(tokenizer, picked[2:]) * probe.seconds_per_sampled_token
    validation = probe.batch_seconds(counted.validation, training.batch_size) * _FORWARD_SHARE
    checkpoint = checkpoint_bytes(trained)
    saving = _SAVE_SECONDS + checkpoint / _DISK_BYTES_PER_SECOND
    per_pass = probe.batch_seconds([n for _, n in counted.train], training.batch_size)
    passes = steps / spec.steps_per_epoch(len(counted.train))
    available = available_bytes(device)
    return Estimate(
        rows=len(counted.train),
        validation_rows=len(counted.validation),
        tokens=sum(n for _, n in counted.train),
        trained_tokens=counted.trained_tokens,
        steps=steps,
        trainable_parameters=trained,
        parameters=whole,
        trainable_share=trained / whole,
        adapter_bytes=trained * 4,
        seconds=probe.start_seconds
        + per_pass * passes
        + (evaluations + 1) * (validation + samples)
        + evaluations * saving,
        memory_bytes=probe.memory_bytes,
        disk_bytes=evaluations * (trained * 4 + 100_000) + 2 * checkpoint + trained * 4,
        lost_rows=skipped + counted.lost,
        truncated_rows=counted.truncated,
        device=device.name,
        available_memory_bytes=available,
        fits=probe.memory_bytes <= available * MEMORY_SHARE,
    )


# Counting


@dataclass(frozen=True, slots=True)
class _Counted:
    """Row ids with their tokens after cutting, and what was lost. `shown`: ids of the rows answered on the way."""

    train: list[tuple[int, int]]
    validation: list[int]
    shown: list[int]
    trained_tokens: int
    lost: int
    truncated: int


def _count(rows: Rows, spec: RunSpec, tokenizer: Any, longest: int, parts: Split | None) -> _Counted:
    if not len(rows):
        raise DataError("error.train.no_rows")
    parts = parts or split(list(rows), spec.data.split)
    read = {*parts.train.tolist(), *parts.validation.tolist()}
    used = (row for row in rows if row[0] in read)
    found = {item.row_id: item for item in lengths(used, tokenizer, longest, spec.method.loss_on)}
    useful = {i for i, item in found.items() if item.refused is None and item.trained_tokens}
    train = [i for i in parts.train.tolist() if i in useful]
    if not train:
        check_learnable(rows, spec, tokenizer, longest)
    return _Counted(
        train=[(i, min(found[i].total_tokens, longest)) for i in train],
        validation=[min(found[i].total_tokens, longest) for i in parts.validation.tolist() if i in useful],
        shown=shown_first(parts),
        trained_tokens=sum(found[i].trained_tokens for i in train),
        lost=len(found) - len(useful),
        truncated=sum(found[i].truncated for i in useful),
    )


def padded_tokens(row_tokens: Sequence[int], batch_size: int) -> float:
    """Expected tokens, padding included, of all batches of one shuffled pass.

    A batch is as long as its longest row. Of `batch_size` rows drawn without replacement from n, the row with the
    k-th smallest length is the longest with probability C(k-1, b-1) / C(n, b).
    """
    n, size = len(row_tokens), min(batch_size, len(row_tokens))
    if not n:
        return 0.0
    ordered = sorted(row_tokens, reverse=True)
    share, left, expected = size / n, 1.0, 0.0
    for place, tokens in enumerate(ordered):
        expected += left * share * tokens
        left *= 1 - share
        rest = n - place - 1
        if rest < size or left <= 0:
            break
        share = size / rest
    return expected * n


def _shape(example: Example) -> tuple[int, int]:
    """(tokens, prompt tokens) of a row: all that its cost depends on."""
    return len(example.ids), len(example.ids) - example.trained_tokens


# Memory


def _check_room(name: str, parameters: int, device: Device, model: ModelSpec) -> None:
    """Refuse a model whose weights alone do not fit: loading it to find out could take the machine down."""
    precision = device.dtype if model.precision == "auto" else model.precision
    needed = parameters * (2 if precision == "bfloat16" else 4)
    available = available_bytes(device)
    if needed > available * MEMORY_SHARE:
        raise ResourceError(
            "error.estimate.model_too_large",
            model=name,
            needed_mb=needed // 1_000_000,
            available_mb=available // 1_000_000,
        )


class _Peak:
    """The most memory in use while it watches, in bytes: of the device on CUDA, of the process elsewhere."""

    def __init__(self, device: Device) -> None:
        self._cuda = device.kind == "cuda"
        self._bytes = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Peak":
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._cuda:
            self._end.set()
            self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._end.wait(0.002):
            self._bytes = max(self._bytes, process.memory_info().rss)

    def bytes(self) -> int:
        return torch.cuda.max_memory_reserved() if self._cuda else self._bytes


# The probe


@dataclass(frozen=True, slots=True)
class Probe:
    """What was measured. A training batch takes `base_seconds + seconds_per_token * padded tokens`."""

    base_seconds: float
    seconds_per_token: float
    seconds_per_sampled_token: float
    start_seconds: float
    memory_bytes: int
    trainable_parameters: int
    parameters: int

    def batch_seconds(self, row_tokens: Sequence[int], batch_size: int) -> float:
        """Of all batches of one pass."""
        batches = -(-len(row_tokens) // batch_size)
        return batches * self.base_seconds + padded_tokens(row_tokens, batch_size) * self.seconds_per_token


@lru_cache(maxsize=64)
def _probe(
    fingerprint: str,
    settings: Settings,
    model: ModelSpec,
    tuner: LoraSpec,
    batch_size: int,
    gradient_checkpointing: bool,
    usual: tuple[int, int],
    longest: tuple[int, int],
) -> Probe:
    """A few steps on rows of these shapes. Rows too many to fit at once are measured singly and multiplied.

    Raises ResourceError while a run trains.
    """
    if not ONE_TRAINER.acquire(timeout=_WAIT_SECONDS):
        raise ResourceError("error.estimate.busy")
    try:
        return _measured(settings, model, tuner, batch_size, gradient_checkpointing, usual, longest)
    finally:
        ONE_TRAINER.release()


def _measured(
    settings: Settings,
    model: ModelSpec,
    tuner: LoraSpec,
    batch_size: int,
    gradient_checkpointing: bool,
    usual: tuple[int, int],
    longest: tuple[int, int],
) -> Probe:
    began = time.perf_counter()
    device = detect_device()
    loaded = load_model(model.source, settings, device, model.precision)
    adapted = add_adapter(loaded.model, tuner, 0, Clock())
    trainable, parameters = adapted.get_nb_trainable_parameters()
    guessed = needed_bytes(adapted, _row(longest), batch_size, device, gradient_checkpointing=gradient_checkpointing)
    fits = guessed <= available_bytes(device) * MEMORY_SHARE
    rows = batch_size if fits else 1
    with tempfile.TemporaryDirectory() as folder, _Peak(device) as peak:
        watch = _Watch()
        trainer = _prober(model, tuner, gradient_checkpointing, adapted, loaded, device, Path(folder), rows, usual,
                          longest, watch)  # fmt: skip
        start = time.perf_counter() - began
        trainer.train()
        measured = peak.bytes()
    base, slope = fit_line(
        (usual[0] * rows, watch.seconds(usual[0] * rows)), (longest[0] * rows, watch.seconds(longest[0] * rows))
    )
    return Probe(
        base_seconds=base,
        seconds_per_token=slope,
        seconds_per_sampled_token=_sampling_seconds(adapted, loaded.tokenizer),
        start_seconds=start,
        memory_bytes=measured if fits else guessed,
        trainable_parameters=trainable,
        parameters=parameters - trainable,
    )


def fit_line(short: tuple[float, float], long: tuple[float, float]) -> tuple[float, float]:
    """(base, slope), neither negative, of seconds over tokens measured at two sizes.

    Where noise makes the line through both points impossible, the best one through the origin, or the flat one.
    """
    (x, y), (far, late) = short, long
    through_origin = (x * y + far * late) / (x * x + far * far)
    if far == x:
        return 0.0, through_origin
    slope = (late - y) / (far - x)
    if slope < 0:
        return (y + late) / 2, 0.0
    base = y - slope * x
    return (base, slope) if base >= 0 else (0.0, through_origin)


def _row(shape: tuple[int, int]) -> Example:
    """A row of that shape. Which tokens it holds costs the same."""
    tokens, prompt = shape
    return Example((1,) * tokens, (-100,) * prompt + (1,) * (tokens - prompt), prompt, tokens - prompt, truncated=False)


class _Watch(TrainerCallback):
    """Times steps by their padded tokens, and ends the probe when its time is up."""

    def __init__(self) -> None:
        self._times: dict[int, list[float]] = {}
        self._plan: list[int] = []
        self._began = self._step_began = 0.0

    def plan(self, tokens: Sequence[int]) -> None:
        self._plan = list(tokens)

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._began = time.perf_counter()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._step_began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        now = time.perf_counter()
        if state.global_step > 1:  # the first step warms up
            self._times.setdefault(self._plan[state.global_step - 1], []).append(now - self._step_began)
        if state.global_step >= 3 and now - self._began > _PROBE_SECONDS:
            control.should_training_stop = True

    def seconds(self, tokens: int) -> float:
        return median(self._times[tokens])


def _prober(
    model: ModelSpec, tuner: LoraSpec, gradient_checkpointing: bool, adapted: Any, loaded: Any, device: Device,
    folder: Path, rows: int, usual: tuple[int, int], longest: tuple[int, int], watch: _Watch,
) -> StudioTrainer:  # fmt: skip
    """A trainer whose steps are: long (to warm up), usual, long, usual, long, ..."""
    shapes = [longest if step % 2 == 0 else usual for step in range(_PROBE_STEPS)]
    watch.plan([shape[0] * rows for shape in shapes])
    examples = tuple(_row(shape) for shape in shapes for _ in range(rows))
    training = TrainingSpec(epochs=1, batch_size=rows, gradient_checkpointing=gradient_checkpointing, evaluations=1)
    spec = RunSpec(model=model, tuner=tuner, training=training)
    config = sft_config(spec, folder, device, ExampleSet(examples, (), (), 0, 0), resumed=False)
    config.train_sampling_strategy = "sequential"
    config.save_strategy = "no"  # type: ignore[assignment]
    trainer = StudioTrainer(
        model=adapted, args=config, train_dataset=to_dataset(examples), processing_class=loaded.tokenizer,
        callbacks=[watch],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer


def _sampling_seconds(model: Any, tokenizer: Any) -> float:
    """Of one more token for the sample prompts."""
    from studio.data.records import Message

    prompts = [(Message("user", "1 2 3 4 5"),)] * SAMPLE_PROMPTS
    began = time.perf_counter()
    sample_answers(model, tokenizer, prompts, _SAMPLED_TOKENS)
    return (time.perf_counter() - began) / _SAMPLED_TOKENS
