"""What a run will take, told before it starts.

Counts are exact (counted.py). Time and memory come from a probe (probe.py): a few real optimiser steps of this model on
this machine, with rows of the data's usual and of its greatest length.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.data.splits import Split
from studio.models.catalog import find_files
from studio.models.device import detect_device
from studio.models.loading import load_tokenizer
from studio.models.new_tokens import NewTokens, extended_tokenizer
from studio.runs.events import Speed
from studio.runs.methods import CptSpec
from studio.runs.sources import Source
from studio.runs.spec import RunSpec
from studio.runs.unfit import Changes, Unfit
from studio.settings import Settings
from studio.training.callback import sample_tokens
from studio.training.counted import count_rows, probed_rows
from studio.training.job import Rows
from studio.training.memory import MEMORY_SHARE, available_bytes
from studio.training.nearest import nearest_fit
from studio.training.new_tokens import new_tokens_of
from studio.training.passes import in_passes
from studio.training.probe import Plan, Shape, run_probe
from studio.training.room import check_room
from studio.training.train import checkpoint_bytes, chosen_speed

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
    `nearest`: the settings to change where it does not fit, so that it does; None where it fits, or nothing helps.
    `how`: what is chosen to be quick.
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
    how: tuple[Speed, ...]
    nearest: Changes | None = None
    new_tokens: NewTokens | None = None

    @property
    def unfit(self) -> Unfit | None:
        """Why it does not fit."""
        return None if self.fits else Unfit(self.memory_bytes, self.available_memory_bytes, self.nearest)


def estimate(
    spec: RunSpec,
    settings: Settings,
    rows: Rows,
    skipped: int,
    parts: Split | None = None,
    sources: Mapping[str, Source] | None = None,
) -> Estimate:
    """Measure and count. `sources`: what the run builds on, by their names there. Raises DataError when no row can be
    learned from, ModelError or ResourceError when the model cannot be loaded: UnfitError where its weights alone do not
    fit."""
    device = detect_device()
    files = find_files(spec.model.source, settings)
    check_room(files, spec, device, settings)
    identity = files.identity()
    plain = load_tokenizer(spec.model.source, settings, spec.model.chat_template).tokenizer
    parent = (sources or {}).get(spec.model.parent)
    new = _new_tokens(_Documents(spec, settings, rows, parts, plain, parent.folder if parent else None))
    tokenizer = extended_tokenizer(plain, new)
    counted = count_rows(rows, spec, tokenizer, identity.context_length, parts)
    usual, most = probed_rows(rows, spec, tokenizer, identity.context_length, counted)
    probe = run_probe(
        identity.fingerprint,
        settings,
        Plan(spec.model_copy(update={"data": spec.data.model_copy(update={"version": "", "mapping": None})})),
        min(spec.training.batch_size, len(counted.train)),
        Shape(usual),
        Shape(most),
        tuple((sources or {})[run] for run in spec.method.reward_runs),
        new,
        parent.given if parent else None,
    )

    training = spec.training
    trained, whole = probe.trainable_parameters, probe.parameters
    steps = spec.total_steps(len(counted.train))
    evaluations = -(-steps // spec.evaluation_interval(len(counted.train)))
    samples = sample_tokens(tokenizer, counted.shown) * probe.seconds_per_sampled_token
    seconds = probe.passes_seconds if in_passes(spec.method, device) else probe.batch_seconds
    validation = seconds(counted.validation, training.batch_size) * _FORWARD_SHARE
    checkpoint = checkpoint_bytes(trained)
    saving = _SAVE_SECONDS + checkpoint / _DISK_BYTES_PER_SECOND
    per_epoch = seconds(counted.train, training.batch_size)
    epochs = steps / spec.steps_per_epoch(len(counted.train))
    available = available_bytes(device, settings)
    room = int(available * MEMORY_SHARE)
    fits = probe.memory_bytes <= room
    return Estimate(
        rows=len(counted.train),
        validation_rows=len(counted.validation),
        tokens=counted.tokens,
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
        how=chosen_speed(spec, device, identity.parameters),
        available_memory_bytes=available,
        fits=fits,
        nearest=None if fits else nearest_fit(spec, probe.memory, device, len(counted.train), room),
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
