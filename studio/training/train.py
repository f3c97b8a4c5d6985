"""A run from its settings to its adapter, whatever the method: each has a file of its own that says what is learned.

`train` reads top to bottom and knows neither threads nor browsers: it appends events and polls `stop`.
"""

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from transformers.utils import logging as transformers_logging

from studio.errors import ResourceError, StudioError, TrainingError
from studio.models.catalog import find_files
from studio.models.device import Device, Numbers, detect_device
from studio.models.folder import file_sha256
from studio.models.loading import AdapterFile, LoadedModel, is_out_of_memory, load_model, read_adapter
from studio.models.new_tokens import NewTokens, first_new_id, read_new_tokens, with_new_tokens
from studio.runs.events import Checkpoint, Ended, Speed, Started
from studio.runs.methods import CptSpec
from studio.runs.spec import ADAPTER_FOLDER, RunSpec
from studio.runs.stop import Stop
from studio.runs.store import disk_full, is_disk_full
from studio.runs.unfit import Unfit
from studio.training.callback import Reporter, measured_costs, without_progress
from studio.training.checkpoints import best_checkpoint, has_result, keep_result, resume_point, sweep, weights_of
from studio.training.job import ExampleSet, TrainingJob, at_most, make_examples
from studio.training.lora import Clock
from studio.training.memory import MEMORY_SHARE, available_bytes, memory_of
from studio.training.methods import method_file
from studio.training.nearest import nearest_fit
from studio.training.new_tokens import new_tokens_of
from studio.training.passes import in_passes
from studio.training.ranks import ALONE, Ranks
from studio.training.room import check_room
from studio.training.scorer import Scorer
from studio.training.threads import on_one_core, threads_for
from studio.training.trackers import tracked
from studio.training.trainer import Setup
from studio.training.tuned import counted_weights, held_in, needs_copy, reference_of, tuned_model

# PEFT 0.21 reads an attribute that transformers 5.23 renamed; nothing a user could act on.
warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)


def train(job: TrainingJob, stop: Stop) -> Ended | None:
    """Train the run of `job`, from its last whole checkpoint if it has one; returns how it ended, already recorded.

    The record gets Started, Metrics, Sample, Checkpoint and Ended events. A stopped run keeps a usable adapter; one
    that was asked to leave saves a checkpoint, records no end and returns None.
    Raises StudioError when it cannot go on: disk, memory, numbers, data, model.
    """
    began = time.monotonic()
    learned = learn(job, stop)
    return None if learned is None else conclude(job, learned, time.monotonic() - began)


@dataclass(frozen=True, slots=True)
class Learned:
    """How far a run came, and the checkpoints it has."""

    step: int
    stopped: bool
    checkpoints: tuple[Checkpoint, ...]


def learn(job: TrainingJob, stop: Stop, ranks: Ranks = ALONE) -> Learned | None:
    """All but the end of a run, in this process alone or as one of several; None when it was asked to leave."""
    spec = job.spec
    resumed = resume_point(job.folder, job.history)
    checkpoints = known_checkpoints(job.history, resumed)
    sweep(job.folder, checkpoints)

    with told_errors(job, checkpoints), tracked(job) as trackers, ExitStack() as held:
        # 1. Model and examples
        device = detect_device()
        check_room(find_files(spec.model.source, job.settings), spec, device, job.settings, ranks)
        loaded = load_model(
            spec.model.source,
            job.settings,
            device,
            held_in(spec),
            spec.tuner.quantisation,
            scores=not spec.method.writes,
            shards=ranks.shards,
            chat_template=spec.model.chat_template,
        )
        _check_base(job, loaded, resumed)
        held.enter_context(threads_for(loaded.identity.parameters, device))
        numbers = device.numbers(spec.model.precision, loaded.identity.parameters)
        sources = _read_sources(job, loaded, resumed)
        new_tokens = _new_tokens(job, loaded, resumed)
        if new_tokens and ranks.shards > 1:
            raise TrainingError("error.train.divided_tokens", run=job.sources[spec.model.parent].name)
        new_ids = range(first_new_id(loaded.tokenizer), first_new_id(loaded.tokenizer) + len(new_tokens or ()))
        loaded = with_new_tokens(loaded, new_tokens)
        scorers = {run: Scorer(job.sources[run], sources[run], job.settings, device) for run in spec.method.reward_runs}
        method = method_file(spec.method.kind)
        examples = make_examples(job.rows, spec, loaded.tokenizer, loaded.identity.context_length, job.parts)
        examples = method.arranged(examples, spec, loaded)
        total_steps = spec.total_steps(len(examples.train))

        # 2. What is trained, and the trainer
        clock = Clock(rank=ranks.rank)
        source = job.sources.get(spec.model.parent)
        given = source.given if source else None
        model = tuned_model(loaded.model, spec, clock, sources.get(spec.model.parent), new_ids, given)
        trainable, parameters = counted_weights(model)
        _check_memory(job, model, numbers, examples, device, ranks)
        reporter = Reporter(
            job,
            stop,
            loaded.tokenizer,
            examples.shown,
            clock,
            checkpoints=checkpoints,
            interval=spec.evaluation_interval(len(examples.train)),
            validates=bool(examples.validation),
            checkpoint_bytes=checkpoint_bytes(trainable),
            ranks=ranks,
        )
        trainer = method.make_trainer(
            Setup(
                spec,
                job.folder,
                device,
                numbers,
                model,
                loaded.tokenizer,
                examples,
                resumed is not None,
                clock,
                (reporter, *trackers),
                scorers,
                new_tokens,
                ranks,
                _reference(job, model, device, ranks),
            )
        )

        # 3. Train, unless a killed process had come to the end and only its result is missing
        job.report(
            Started(
                total_steps=total_steps,
                from_step=resumed.step if resumed else 0,
                train_rows=len(examples.train),
                validation_rows=len(examples.validation),
                trainable_parameters=trainable,
                parameters=parameters,
                device=device.name if ranks.size == 1 else f"{ranks.size} × {device.name}",
                base_fingerprint=loaded.identity.fingerprint,
                base_name=loaded.identity.name,
                base_licence=loaded.identity.licence,
                sources={run: adapter.sha256 for run, adapter in sources.items()},
                how=chosen_speed(spec, device, loaded.identity.parameters, ranks),
            ),
        )
        _tell_tokens(job, new_tokens)
        _tell(job, loaded, examples, began_again=bool(job.history) and resumed is None)
        step = resumed.step if resumed else 0
        if step < total_steps and not without_progress(measured_costs(checkpoints), spec.training.patience):
            trainer.train(resume_from_checkpoint=str(job.folder / resumed.path) if resumed else None)
            step = trainer.state.global_step
        if reporter.ended_by == "leave":
            return None
        return Learned(step, reporter.ended_by == "stop", tuple(checkpoints))


def conclude(job: TrainingJob, learned: Learned, seconds: float) -> Ended:
    """Keep the best checkpoint's weights, or the last one's, as the result, and record the end."""
    spec = job.spec
    with told_errors(job, learned.checkpoints):
        best = best_checkpoint([c for c in learned.checkpoints if has_result(job.folder, c)], spec.training.keep_best)
        result = keep_result(job.folder, best)
        ended = Ended(
            status="stopped" if learned.stopped else "done",
            step=learned.step,
            adapter=result.name,
            adapter_sha256=file_sha256(weights_of(result)),
            best_step=best.step,
            validation_loss=best.validation_loss,
            validation_reward=best.validation_reward,
            seconds=seconds,
        )
        job.report(ended)
        return ended


def known_checkpoints(history: Sequence[Checkpoint], resumed: Checkpoint | None) -> list[Checkpoint]:
    """Those that stand when a run goes on from `resumed`."""
    return [c for c in history if resumed and c.step <= resumed.step]


def checkpoint_bytes(trainable_parameters: int) -> int:
    """Room one checkpoint needs: weights and two AdamW moments in float32, and the small files."""
    return trainable_parameters * 12 + 2_000_000


def chosen_speed(spec: RunSpec, device: Device, parameters: int, ranks: Ranks = ALONE) -> tuple[Speed, ...]:
    """What is chosen to be quick with a model of this size."""
    chosen: list[Speed] = [device.numbers(spec.model.precision, parameters)]
    if isinstance(spec.method, CptSpec) and spec.method.packed:
        chosen.append("packed")
    elif in_passes(spec.method, device, ranks):
        chosen.append("passes")
    if on_one_core(parameters, device):
        chosen.append("one_core")
    return tuple(chosen)


def _check_base(job: TrainingJob, loaded: LoadedModel, resumed: Checkpoint | None) -> None:
    """An adapter half trained on one base must not go on with another."""
    if resumed and job.started and job.started.base_fingerprint != loaded.identity.fingerprint:
        raise TrainingError("error.train.base_changed", model=loaded.identity.name)


def _read_sources(job: TrainingJob, loaded: LoadedModel, resumed: Checkpoint | None) -> dict[str, AdapterFile]:
    """What the run builds on, known to be what was recorded: of this base, and what it built on before."""
    read = {}
    for run, source in job.sources.items():
        if source.base_fingerprint not in (None, loaded.identity.fingerprint):
            name = loaded.identity.name
            raise TrainingError("error.source.other_base", run=source.name, base=source.model.source, model=name)
        read[run] = read_adapter(source.folder, whole=run == ADAPTER_FOLDER)
        if source.sha256 is not None and read[run].sha256 != source.sha256:
            raise TrainingError("error.adapter.changed", run=source.name, folder=str(source.folder))
        if resumed and job.started and job.started.sources.get(run) != read[run].sha256:
            if run == ADAPTER_FOLDER:
                raise TrainingError("error.adapter_folder.changed", folder=str(source.folder))
            raise TrainingError("error.source.changed", run=source.name)
    return read


def _new_tokens(job: TrainingJob, loaded: LoadedModel, resumed: Checkpoint | None) -> NewTokens | None:
    """Those of this run. Raises TrainingError when a reward model has others: it would read other words."""
    parent = job.sources.get(job.spec.model.parent)
    new = new_tokens_of(
        job.spec,
        job.rows,
        job.parts,
        loaded.tokenizer,
        parent.folder if parent else None,
        job.folder / resumed.path if resumed else None,
    )
    merges = new.merges if new else ()
    for run in job.spec.method.reward_runs:
        theirs = read_new_tokens(job.sources[run].folder)
        if (theirs.merges if theirs else ()) != merges:
            raise TrainingError("error.source.other_tokens", run=job.sources[run].name)
    return new


def _tell_tokens(job: TrainingJob, new: NewTokens | None) -> None:
    wanted = job.spec.method.new_tokens if isinstance(job.spec.method, CptSpec) else 0
    if new:
        share, words = f"{100 * new.saved_share:.0f}", " ".join(f"`{text}`" for text in new.shown)
        job.notice("notice.train.new_tokens", count=len(new), percent=share, words=words)
    elif wanted and not job.spec.model.parent:
        job.notice("notice.train.no_new_tokens")


def _reference(job: TrainingJob, model: Any, device: Device, ranks: Ranks) -> Any:
    """What a preference compares the model with. One that is divided cannot be copied, and is read again."""
    if not needs_copy(job.spec):
        return None
    if ranks.shards == 1:
        return reference_of(model)
    source, numbers = job.spec.model.source, held_in(job.spec)
    return load_model(source, job.settings, device, numbers, shards=ranks.shards).model.requires_grad_(False)


def _check_memory(
    job: TrainingJob, model: Any, numbers: Numbers, examples: ExampleSet, device: Device, ranks: Ranks
) -> None:
    """Refuse what cannot fit before it takes the machine down."""
    spec, rows = job.spec, len(examples.train)
    longest = at_most(max(examples.train, key=lambda lesson: lesson.computed_tokens), spec.method)
    memory = memory_of(model, spec, numbers, longest, device, ranks)
    needed, available = memory.needed_bytes(spec, device, rows, ranks), available_bytes(device, job.settings)
    room = int(available * MEMORY_SHARE)
    if needed <= room:
        return
    raise Unfit(needed, available, nearest_fit(spec, memory, device, rows, room, ranks)).error()


def _tell(job: TrainingJob, loaded: LoadedModel, examples: ExampleSet, *, began_again: bool) -> None:
    for notice in loaded.notices:
        job.report(notice)
    if began_again:
        job.notice("notice.train.began_again")
    for key, count in (("skipped", job.skipped), ("lost", examples.lost), ("truncated", examples.truncated)):
        if count:
            job.notice(f"notice.train.{key}", rows=count, max_length=job.spec.data.max_length)
    if not examples.validation:
        job.notice("notice.train.no_validation", rows=len(examples.train))


@contextmanager
def told_errors(job: TrainingJob, checkpoints: Sequence[Checkpoint]) -> Iterator[None]:
    """Errors of the machine as StudioErrors that say what to do; what is no such error stays itself.

    A half-written checkpoint is removed at once: on a full disk its room is needed.
    """
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    except StudioError:
        sweep(job.folder, checkpoints)
        raise
    except Exception as error:
        sweep(job.folder, checkpoints)
        if is_disk_full(error):
            raise disk_full(job.folder) from error
        if is_out_of_memory(error):
            training = job.spec.training
            raise ResourceError(
                "error.train.memory",
                batch_size=training.batch_size,
                accumulation=training.accumulation,
                max_length=job.spec.data.max_length,
            ) from error
        raise
    finally:
        transformers_logging.set_verbosity(verbosity)
