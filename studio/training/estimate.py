"""What a run will take, told before it starts.

Counts are exact. Time and memory come from a probe: a few real optimiser steps of this model on this machine, with
rows of the data's usual and of its greatest length. What one batch costs is taken to be linear in its tokens, padding
included (attention's square is small at the lengths in question); how many those are follows from the lengths of all
rows.
"""

import random
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch
from transformers import TrainerCallback

from studio.data.splits import Split
from studio.data.tokens import Example
from studio.errors import ResourceError
from studio.models.catalog import find_files
from studio.models.device import Device, detect_device
from studio.models.generation import sample_answers
from studio.models.loading import load_model, load_tokenizer, read_adapter
from studio.models.new_tokens import NewTokens, extended_tokenizer, first_new_id, with_new_tokens
from studio.runs.methods import CptSpec
from studio.runs.sources import Source
from studio.runs.spec import FullSpec, RunSpec, TrainingSpec
from studio.settings import Settings
from studio.training.callback import sample_tokens
from studio.training.job import (
    ONE_TRAINER,
    SAMPLE_PROMPTS,
    VALIDATION,
    ExampleSet,
    FirstRows,
    Lesson,
    Rows,
    Shown,
    at_most,
    cut_at,
    encode,
    encoded,
    loss_on,
    pick,
)
from studio.training.lora import Clock
from studio.training.memory import MEMORY_SHARE, available_bytes, needed_bytes
from studio.training.methods import method_file
from studio.training.new_tokens import new_tokens_of
from studio.training.passes import cost_of, in_passes, rows_at_once
from studio.training.scorer import Scorer
from studio.training.train import checkpoint_bytes
from studio.training.trainer import Setup
from studio.training.tuned import counted_weights, held_in, tuned_model

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
    new_tokens: NewTokens | None = None


def estimate(
    spec: RunSpec,
    settings: Settings,
    rows: Rows,
    skipped: int,
    parts: Split | None = None,
    sources: Mapping[str, Source] | None = None,
) -> Estimate:
    """Measure and count. `sources`: what the run builds on, by the ids of the runs. Raises DataError when no row can be
    learned from, ModelError or ResourceError when the model cannot be loaded."""
    device = detect_device()
    files = find_files(spec.model.source, settings)
    identity = files.identity()
    _check_room(identity.name, identity.parameters, device, spec)
    plain = load_tokenizer(spec.model.source, settings).tokenizer
    parent = (sources or {}).get(spec.model.adapter)
    new = _new_tokens(_Documents(spec, settings, rows, parts, plain, parent.folder if parent else None))
    tokenizer = extended_tokenizer(plain, new)
    counted = _count(rows, spec, tokenizer, identity.context_length, parts)
    usual, most = _probed(rows, spec, tokenizer, identity.context_length, counted)
    probe = _probe(
        identity.fingerprint,
        settings,
        _Plan(spec.model_copy(update={"data": spec.data.model_copy(update={"version": "", "mapping": None})})),
        min(spec.training.batch_size, len(counted.train)),
        _Shape(usual),
        _Shape(most),
        tuple((sources or {})[run] for run in spec.method.reward_runs),
        new,
    )

    training = spec.training
    trained, whole = probe.trainable_parameters, probe.parameters
    steps = spec.total_steps(len(counted.train))
    evaluations = -(-steps // spec.evaluation_interval(len(counted.train)))
    samples = sample_tokens(tokenizer, counted.shown) * probe.seconds_per_sampled_token
    seconds = probe.passes_seconds if in_passes(spec.method, device) else probe.batch_seconds
    validation = probe.batch_seconds(counted.validation, training.batch_size) * _FORWARD_SHARE
    checkpoint = checkpoint_bytes(trained)
    saving = _SAVE_SECONDS + checkpoint / _DISK_BYTES_PER_SECOND
    per_epoch = seconds(counted.train, training.batch_size)
    epochs = steps / spec.steps_per_epoch(len(counted.train))
    available = available_bytes(device)
    return Estimate(
        rows=len(counted.train),
        validation_rows=len(counted.validation),
        tokens=sum(counted.train),
        trained_tokens=counted.trained_tokens,
        steps=steps,
        trainable_parameters=trained,
        parameters=whole,
        trainable_share=trained / whole,
        adapter_bytes=trained * 4,
        seconds=probe.start_seconds
        + per_epoch * epochs
        + (evaluations + 1) * (validation + samples)
        + evaluations * saving,
        memory_bytes=probe.memory_bytes,
        disk_bytes=evaluations * (trained * 4 + 100_000) + 2 * checkpoint + trained * 4,
        lost_rows=skipped + counted.lost,
        truncated_rows=counted.truncated,
        device=device.name,
        available_memory_bytes=available,
        fits=probe.memory_bytes <= available * MEMORY_SHARE,
        new_tokens=new,
    )


class _Documents:
    """What new tokens are found in, by what they depend on."""

    def __init__(
        self, spec: RunSpec, settings: Settings, rows: Rows, parts: Split | None, tokenizer: Any, parent: Path | None
    ) -> None:
        self.spec, self.rows, self.parts, self.tokenizer, self.parent = spec, rows, parts, tokenizer, parent
        wanted = spec.method.new_tokens if isinstance(spec.method, CptSpec) else 0
        self._key = (settings.workspace, spec.data.version or id(rows), spec.data.model_dump_json(), parent, wanted)
        self._key += (tokenizer.name_or_path,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Documents) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=4)
def _new_tokens(documents: _Documents) -> NewTokens | None:
    return new_tokens_of(documents.spec, documents.rows, documents.parts, documents.tokenizer, documents.parent)


# Counting


@dataclass(frozen=True, slots=True)
class _Counted:
    """Tokens after cutting of the rows of both sides, and what was lost. `usual` and `longest`: ids of a training row
    of the middle length and of the greatest. `shown`: the rows answered on the way."""

    train: list[int]
    validation: list[int]
    shown: tuple[Shown, ...]
    usual: int
    longest: int
    trained_tokens: int
    lost: int
    truncated: int


def _count(rows: Rows, spec: RunSpec, tokenizer: Any, context: int, parts: Split | None) -> _Counted:
    train: list[tuple[int, int]] = []
    validation: list[int] = []
    firsts = FirstRows()
    trained = lost = truncated = 0
    for row in encoded(rows, spec, tokenizer, context, parts):
        if row.lesson is None:
            lost += 1
            continue
        truncated += row.lesson.truncated
        firsts.add(row)
        if row.side == VALIDATION:
            validation.append(row.lesson.tokens)
        else:
            train.append((row.row_id, row.lesson.tokens))
            trained += row.lesson.trained_tokens
    lengths = [tokens for _, tokens in train]
    middle, block = median(lengths), _block_tokens(spec, context)
    return _Counted(
        train=_blocks(lengths, block) if block else lengths,
        validation=_blocks(validation, block) if block else validation,
        shown=firsts.shown(tokenizer),
        usual=min(train, key=lambda item: (abs(item[1] - middle), item[0]))[0],
        longest=max(train, key=lambda item: item[1])[0],
        trained_tokens=trained,
        lost=lost,
        truncated=truncated,
    )


def _probed(rows: Rows, spec: RunSpec, tokenizer: Any, context: int, counted: _Counted) -> tuple[Lesson, Lesson]:
    """What the probe trains on: rows of the usual and of the greatest length, or blocks where rows are packed."""
    if _block_tokens(spec, context):
        block = _block(counted.train[0])
        return block, block
    usual, longest = (
        encode(record, tokenizer, cut_at(spec, context), loss_on(spec))
        for record in pick(rows, [counted.usual, counted.longest])
    )
    return usual, longest


def _block_tokens(spec: RunSpec, context: int) -> int | None:
    """Tokens of the blocks that rows are packed into; None where they are not."""
    packs = isinstance(spec.method, CptSpec) and spec.method.packed
    return min(spec.data.max_length, context) if packs else None


def _blocks(lengths: Sequence[int], longest: int) -> list[int]:
    """Tokens of the blocks that rows of these lengths are packed into."""
    whole, rest = divmod(sum(lengths), longest)
    return [longest] * whole + ([rest] if rest > 1 else [])


def _block(tokens: int) -> Lesson:
    """A block of so many tokens. Which they are costs the same."""
    return Lesson((Example((1,) * tokens, (1,) * tokens, 0, tokens, truncated=False),))


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


def tokens_in_passes(row_tokens: Sequence[int], batch_size: int) -> int:
    """What all batches of one shuffled epoch cost in tokens, where each is computed in passes."""
    shuffled = random.Random(0).sample(row_tokens, len(row_tokens))
    return sum(cost_of(shuffled[begin : begin + batch_size]) for begin in range(0, len(shuffled), batch_size))


class _Shape:
    """A row, and how long its sequences are: all that its cost depends on."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self._lengths = (lesson.liked, *((len(side.ids), side.prompt_tokens) for side in lesson.sides))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Shape) and self._lengths == other._lengths

    def __hash__(self) -> int:
        return hash(self._lengths)


class _Plan:
    """A spec by what its probe depends on."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        checkpointing = spec.training.gradient_checkpointing
        self._key = (
            spec.model.model_dump_json(),
            spec.method.model_dump_json(),
            spec.tuner.model_dump_json(),
            checkpointing,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Plan) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


# Memory


def _check_room(name: str, parameters: int, device: Device, spec: RunSpec) -> None:
    """Refuse a model whose weights alone do not fit, or what training all of them needs: loading it to find out could
    take the machine down."""
    numbers = device.numbers(held_in(spec), parameters)
    needed = parameters * (16 if isinstance(spec.tuner, FullSpec) else 2 if numbers == "bfloat16" else 4)
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
    """What was measured. A training batch takes `base_seconds + seconds_per_token * tokens`."""

    base_seconds: float
    seconds_per_token: float
    seconds_per_sampled_token: float
    start_seconds: float
    memory_bytes: int
    trainable_parameters: int
    parameters: int

    def batch_seconds(self, row_tokens: Sequence[int], batch_size: int) -> float:
        """Of all batches of one epoch, each padded to its longest row."""
        batches = -(-len(row_tokens) // batch_size)
        return batches * self.base_seconds + padded_tokens(row_tokens, batch_size) * self.seconds_per_token

    def passes_seconds(self, row_tokens: Sequence[int], batch_size: int) -> float:
        """Of all batches of one epoch, each computed in passes."""
        batches = -(-len(row_tokens) // batch_size)
        return batches * self.base_seconds + tokens_in_passes(row_tokens, batch_size) * self.seconds_per_token


@lru_cache(maxsize=64)
def _probe(
    fingerprint: str,
    settings: Settings,
    plan: _Plan,
    batch_size: int,
    usual: _Shape,
    longest: _Shape,
    reward_models: tuple[Source, ...],
    new_tokens: NewTokens | None,
) -> Probe:
    """A few steps on rows of these shapes. Rows too many to fit at once are measured singly and multiplied.

    Raises ResourceError while a run trains.
    """
    if not ONE_TRAINER.acquire(timeout=_WAIT_SECONDS):
        raise ResourceError("error.estimate.busy")
    try:
        return _measured(settings, plan.spec, batch_size, usual.lesson, longest.lesson, reward_models, new_tokens)
    finally:
        ONE_TRAINER.release()


def _measured(
    settings: Settings,
    spec: RunSpec,
    batch_size: int,
    usual: Lesson,
    longest: Lesson,
    reward_models: tuple[Source, ...],
    new_tokens: NewTokens | None,
) -> Probe:
    began = time.perf_counter()
    device = detect_device()
    loaded = load_model(
        spec.model.source,
        settings,
        device,
        held_in(spec),
        spec.tuner.quantisation,
        scores=not spec.method.writes,
    )
    first = first_new_id(loaded.tokenizer)
    loaded = with_new_tokens(loaded, new_tokens)
    adapted = tuned_model(loaded.model, spec, Clock(), new_ids=range(first, first + len(new_tokens or ())))
    numbers = device.numbers(spec.model.precision, loaded.identity.parameters)
    scorers = {one.run: Scorer(one, read_adapter(one.folder), settings, device) for one in reward_models}
    trainable, parameters = counted_weights(adapted)
    divided = in_passes(spec.method, device)
    at_once = rows_at_once(longest.tokens, batch_size) if divided else batch_size
    guessed = needed_bytes(adapted, spec, numbers, at_most(longest, spec.method), at_once, device)
    fits = guessed <= available_bytes(device) * MEMORY_SHARE
    rows = batch_size if fits else spec.method.least_rows
    with tempfile.TemporaryDirectory() as folder, _Peak(device) as peak:
        watch = _Watch(rows, cost_of if divided else sum)
        trainer = _prober(spec, adapted, loaded, device, Path(folder), rows, usual, longest, watch, scorers)
        start = time.perf_counter() - began
        trainer.train()
        measured = peak.bytes()
    base, slope = fit_line(watch.measured(usual), watch.measured(longest))
    return Probe(
        base_seconds=base,
        seconds_per_token=slope,
        seconds_per_sampled_token=_sampling_seconds(adapted, loaded.tokenizer) if spec.method.writes else 0.0,
        start_seconds=start,
        memory_bytes=measured if fits else guessed,
        trainable_parameters=trainable,
        parameters=parameters,
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


class _Watch(TrainerCallback):
    """Times steps by their tokens, and ends the probe when its time is up. `tokens`: what a batch
    of `rows` rows of these lengths costs."""

    def __init__(self, rows: int, tokens: Callable[[Sequence[int]], int]) -> None:
        self._rows, self._tokens = rows, tokens
        self._times: dict[int, list[float]] = {}
        self._plan: list[int] = []
        self._began = self._step_began = 0.0

    def plan(self, steps: Sequence[Lesson]) -> None:
        self._plan = [self._tokens([lesson.tokens] * self._rows) for lesson in steps]

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

    def measured(self, lesson: Lesson) -> tuple[float, float]:
        """Tokens of a batch of rows like this, and its seconds."""
        tokens = self._tokens([lesson.tokens] * self._rows)
        return tokens, median(self._times[tokens])


def _prober(
    spec: RunSpec, adapted: Any, loaded: Any, device: Device, folder: Path, rows: int, usual: Lesson, longest: Lesson,
    watch: _Watch, scorers: Mapping[str, Scorer],
) -> Any:  # fmt: skip
    """A trainer whose steps are: long (to warm up), usual, long, usual, long, ..."""
    steps = [longest if step % 2 == 0 else usual for step in range(_PROBE_STEPS)]
    watch.plan(steps)
    examples = tuple(lesson for lesson in steps for _ in range(rows))
    checkpointing = spec.training.gradient_checkpointing
    training = TrainingSpec(epochs=1, batch_size=rows, gradient_checkpointing=checkpointing, evaluations=1)
    plan = RunSpec(model=spec.model, method=spec.method, tuner=spec.tuner, training=training)
    given = ExampleSet(examples, (), (), 0, 0)
    numbers = device.numbers(spec.model.precision, loaded.identity.parameters)
    setup = Setup(plan, folder, device, numbers, adapted, loaded.tokenizer, given, False, Clock(), (watch,), scorers)
    trainer = method_file(spec.method.kind).make_trainer(setup)
    trainer.args.train_sampling_strategy = "sequential"
    trainer.args.save_strategy = "no"
    return trainer


def _sampling_seconds(model: Any, tokenizer: Any) -> float:
    """Of one more token for the sample prompts."""
    prompts = [tokenizer("1 2 3 4 5", add_special_tokens=False)["input_ids"]] * SAMPLE_PROMPTS
    began = time.perf_counter()
    sample_answers(model, tokenizer, prompts, _SAMPLED_TOKENS)
    return (time.perf_counter() - began) / _SAMPLED_TOKENS
