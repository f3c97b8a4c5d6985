"""A few real optimiser steps of a model on this machine: what a batch costs in time, and the whole in memory.

What one batch costs is taken to be linear in its tokens, padding included (attention's square is small at the lengths
in question).
"""

import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch
from transformers import TrainerCallback

from studio.errors import ResourceError
from studio.models.device import Device, detect_device
from studio.models.generation import sample_answers
from studio.models.loading import load_model, read_adapter
from studio.models.new_tokens import NewTokens, first_new_id, with_new_tokens
from studio.runs.adapter_shape import AdapterShape
from studio.runs.sources import Source
from studio.runs.spec import RunSpec, TrainingSpec
from studio.settings import Settings
from studio.training.counted import padded_tokens, tokens_in_passes
from studio.training.job import ONE_TRAINER, SAMPLE_PROMPTS, ExampleSet, Lesson, at_most
from studio.training.lora import Clock
from studio.training.memory import MEMORY_SHARE, Memory, available_bytes, memory_of
from studio.training.methods import method_file
from studio.training.passes import cost_of, in_passes
from studio.training.scorer import Scorer
from studio.training.threads import threads_for
from studio.training.trainer import Setup
from studio.training.tuned import counted_weights, held_in, tuned_model

_PROBE_SECONDS = 1.2
_PROBE_STEPS = 6
_WAIT_SECONDS = 5.0  # for another page's probe
_SAMPLED_TOKENS = 6


@dataclass(frozen=True, slots=True)
class Probe:
    """What was measured. A training batch takes `base_seconds + seconds_per_token * tokens`."""

    base_seconds: float
    seconds_per_token: float
    seconds_per_sampled_token: float
    start_seconds: float
    memory_bytes: int
    memory: Memory
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


class Shape:
    """A row, and how long its sequences are: all that its cost depends on."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self._lengths = (lesson.liked, *((len(side.ids), side.prompt_tokens) for side in lesson.sides))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shape) and self._lengths == other._lengths

    def __hash__(self) -> int:
        return hash(self._lengths)


class Plan:
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
        return isinstance(other, Plan) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


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


@lru_cache(maxsize=64)
def run_probe(
    fingerprint: str,
    settings: Settings,
    plan: Plan,
    batch_size: int,
    usual: Shape,
    longest: Shape,
    reward_models: tuple[Source, ...],
    new_tokens: NewTokens | None,
    given: AdapterShape | None,
) -> Probe:
    """A few steps on rows of these shapes. Rows too many to fit at once are measured singly and multiplied. `given`:
    the shape of an adapter that was made elsewhere.

    Raises ResourceError while a run trains.
    """
    if not ONE_TRAINER.acquire(timeout=_WAIT_SECONDS):
        raise ResourceError("error.estimate.busy")
    try:
        rows = usual.lesson, longest.lesson
        return _measured(settings, plan.spec, batch_size, *rows, reward_models, new_tokens, given)
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
    given: AdapterShape | None,
) -> Probe:
    method_file(spec.method.kind)  # its libraries are loaded before the clock runs: the run finds them loaded
    began = time.perf_counter()
    device = detect_device()
    loaded = load_model(
        spec.model.source,
        settings,
        device,
        held_in(spec),
        spec.tuner.quantisation,
        scores=not spec.method.writes,
        chat_template=spec.model.chat_template,
    )
    first = first_new_id(loaded.tokenizer)
    loaded = with_new_tokens(loaded, new_tokens)
    new_ids = range(first, first + len(new_tokens or ()))
    adapted = tuned_model(loaded.model, spec, Clock(), new_ids=new_ids, given=given)
    numbers = device.numbers(spec.model.precision, loaded.identity.parameters)
    scorers = {one.run: Scorer(one, read_adapter(one.folder), settings, device) for one in reward_models}
    trainable, parameters = counted_weights(adapted)
    divided = in_passes(spec.method, device)
    memory = memory_of(adapted, spec, numbers, at_most(longest, spec.method), device)
    training = spec.training.model_copy(update={"batch_size": batch_size})
    plan = spec.model_copy(update={"training": training})
    guessed = memory.needed_bytes(plan, device, batch_size)
    fits = guessed <= available_bytes(device, settings) * MEMORY_SHARE
    rows = batch_size if fits else spec.method.least_rows
    threads = threads_for(loaded.identity.parameters, device)
    with threads, tempfile.TemporaryDirectory() as folder, _Peak(device) as peak:
        watch = _Watch(rows, cost_of if divided else sum)
        trainer = _prober(spec, adapted, loaded, device, Path(folder), rows, usual, longest, watch, scorers)
        start = time.perf_counter() - began
        trainer.train()
        measured = peak.bytes()
        sampled = _sampling_seconds(adapted, loaded.tokenizer) if spec.method.writes else 0.0
    beyond = max(0, measured - guessed) if fits else 0
    base, slope = fit_line(watch.measured(usual), watch.measured(longest))
    return Probe(
        base_seconds=base,
        seconds_per_token=slope,
        seconds_per_sampled_token=sampled,
        start_seconds=start,
        memory_bytes=measured if fits else guessed,
        memory=replace(memory, loss_bytes=beyond // memory.rows_together(plan, device, batch_size)),
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
        self._plan = [self._tokens([lesson.computed_tokens] * self._rows) for lesson in steps]

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
        tokens = self._tokens([lesson.computed_tokens] * self._rows)
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
