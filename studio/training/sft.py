"""Supervised fine-tuning with LoRA, through TRL's SFTTrainer and PEFT.

`train` reads top to bottom and knows neither threads nor browsers: it appends events and polls `stop`.
"""

import hashlib
import os
import shutil
import time
from contextlib import contextmanager
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import get_peft_model
from transformers.utils import logging as transformers_logging
from trl import SFTConfig, SFTTrainer

from studio.data.tokens import Example
from studio.errors import ResourceError, StudioError
from studio.models.device import Device, detect_device
from studio.models.loading import load_model
from studio.runs.events import Checkpoint, Ended, Started
from studio.runs.spec import RunSpec
from studio.runs.store import disk_full, is_disk_full, sync_folder
from studio.training.callback import Reporter, sweep
from studio.training.job import ExampleSet, Stop, TrainingJob, make_examples
from studio.training.lora import lora_config

ADAPTER_FILE = "adapter_model.safetensors"


def train(job: TrainingJob, stop: Stop) -> Ended:
    """Train the run of `job`, from its last checkpoint if it has one; returns how it ended, already recorded.

    The record gets Started, Metrics, Sample, Checkpoint and Ended events. A stopped run keeps a usable adapter.
    Raises StudioError when it cannot go on: disk, memory, numbers, data, model.
    """
    spec = job.spec
    began = time.monotonic()
    resumed = job.history[-1] if job.history else None
    sweep(job.folder, list(job.history))

    with _told_errors(job):
        # 1. Model and examples
        device = detect_device()
        loaded = load_model(spec.model.source, job.settings, device)
        tokenizer = loaded.tokenizer
        examples = make_examples(job.rows, spec, tokenizer, loaded.identity.context_length)
        if resumed is None:
            _tell(job, loaded.notices, examples)

        # 2. Trainer. The adapter is made under the run's seed; its first weights are part of the result.
        torch.manual_seed(spec.training.seed)
        model = get_peft_model(loaded.model, lora_config(spec.tuner, loaded.model))
        trainable, total = model.get_nb_trainable_parameters()
        reporter = Reporter(
            job,
            stop,
            tokenizer,
            examples.prompts,
            validates=bool(examples.validation),
            checkpoint_bytes=trainable * 12 + 20_000_000,
        )
        trainer = _Trainer(
            model=model,
            args=_arguments(spec, job.folder, device, len(examples.train), bool(examples.validation), resumed),
            train_dataset=_dataset(examples.train),
            eval_dataset=_dataset(examples.validation) if examples.validation else None,
            processing_class=tokenizer,
            callbacks=[reporter],
        )
        _silence(trainer)

        # 3. Train
        job.report(
            Started(
                total_steps=spec.total_steps(len(examples.train)),
                from_step=resumed.step if resumed else 0,
                train_rows=len(examples.train),
                validation_rows=len(examples.validation),
                trainable_parameters=trainable,
                parameters=total - trainable,
                device=device.name,
                base_fingerprint=loaded.identity.fingerprint,
                base_name=loaded.identity.name,
                base_licence=loaded.identity.licence,
            )
        )
        trainer.train(resume_from_checkpoint=str(job.folder / resumed.path) if resumed else None)

        # 4. Result: the best checkpoint's adapter, or the last one's
        best = _best(reporter.checkpoints, spec.training.keep_best)
        adapter = _keep_adapter(job.folder, best)

    ended = Ended(
        status="stopped" if reporter.stopped else "done",
        step=trainer.state.global_step,
        adapter=adapter.name,
        adapter_sha256=file_sha256(adapter / ADAPTER_FILE),
        best_step=best.step,
        validation_loss=best.validation_loss,
        seconds=time.monotonic() - began,
    )
    job.report(ended)
    return ended


class _Trainer(SFTTrainer):
    """TRL's trainer, evaluating without touching the run's random numbers: an evaluation more or less (a stop, an
    early look) leaves training as it was."""

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        with torch.random.fork_rng():
            return super().evaluate(*args, **kwargs)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """The studio writes its own card at export."""


def _arguments(
    spec: RunSpec, folder: Path, device: Device, rows: int, validates: bool, resumed: Checkpoint | None
) -> SFTConfig:
    training = spec.training
    interval = spec.evaluation_interval(rows)
    precision = device.dtype if spec.model.precision == "auto" else spec.model.precision
    return SFTConfig(
        output_dir=str(folder),
        max_steps=spec.total_steps(rows),
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=training.batch_size,
        gradient_accumulation_steps=training.accumulation,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.schedule,
        warmup_steps=int(training.warmup_share * spec.total_steps(rows)),
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        gradient_checkpointing=training.gradient_checkpointing,
        bf16=precision == "bfloat16",
        use_cpu=device.kind == "cpu",
        dataloader_pin_memory=device.kind == "cuda",
        seed=training.seed,
        data_seed=training.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if validates else "no",
        eval_steps=interval,
        eval_on_start=validates and resumed is None,
        save_strategy="steps",
        save_steps=interval,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        report_to="none",
        disable_tqdm=True,
    )


def _dataset(examples: tuple[Example, ...]) -> Dataset:
    return Dataset.from_dict(
        {"input_ids": [list(e.ids) for e in examples], "labels": [list(e.labels) for e in examples]}
    )


def _tell(job: TrainingJob, notices: Any, examples: ExampleSet) -> None:
    for notice in notices:
        job.notice(notice.key, **notice.values)
    for key, count in (("skipped", job.skipped), ("lost", examples.lost), ("truncated", examples.truncated)):
        if count:
            job.notice(f"notice.train.{key}", rows=count, max_length=job.spec.data.max_length)


def _silence(trainer: SFTTrainer) -> None:
    """The record tells the numbers; the console stays clean."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    transformers_logging.set_verbosity_error()


@contextmanager
def _told_errors(job: TrainingJob) -> Iterator[None]:
    """Errors of the machine as StudioErrors that say what to do; what is no such error stays itself."""
    try:
        yield
    except StudioError:
        raise
    except Exception as error:
        if is_disk_full(error):
            raise disk_full(job.folder) from error
        if _is_out_of_memory(error):
            raise ResourceError(
                "error.train.memory", batch_size=job.spec.training.batch_size, max_length=job.spec.data.max_length
            ) from error
        raise


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text


def _best(checkpoints: list[Checkpoint], keep_best: bool) -> Checkpoint:
    measured = [c for c in checkpoints if c.validation_loss is not None]
    if keep_best and measured:
        return min(measured, key=lambda c: (c.validation_loss, c.step))
    return checkpoints[-1]


def _keep_adapter(folder: Path, checkpoint: Checkpoint) -> Path:
    """Copy the checkpoint's adapter to `adapter/`, whole or not at all."""
    target, partial = folder / "adapter", folder / "adapter.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name in ("adapter_config.json", ADAPTER_FILE):
        shutil.copyfile(folder / checkpoint.path / name, partial / name)
    sync_folder(partial)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)
    return target


def file_sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
