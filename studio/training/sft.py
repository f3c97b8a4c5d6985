"""Supervised fine-tuning with LoRA, through TRL's SFTTrainer and PEFT.

`train` reads top to bottom and knows neither threads nor browsers: it appends events and polls `stop`.
"""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback
from transformers.trainer_utils import EvalLoopOutput
from transformers.utils import logging as transformers_logging
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer
from trl.trainer.utils import add_fused_lm_head

from studio.data.tokens import Example
from studio.errors import ResourceError, StudioError, TrainingError
from studio.models.device import Device, detect_device
from studio.models.folder import file_sha256
from studio.models.loading import LoadedModel, is_out_of_memory, load_model
from studio.runs.events import Checkpoint, Ended, Started
from studio.runs.spec import RunSpec
from studio.runs.stop import Stop
from studio.runs.store import disk_full, is_disk_full
from studio.training.callback import EvaluationGivenUp, Reporter, measured_losses, without_progress
from studio.training.checkpoints import ADAPTER_FILE, best_checkpoint, has_adapter, keep_adapter, resume_point, sweep
from studio.training.job import ExampleSet, TrainingJob, make_examples
from studio.training.lora import Clock, add_adapter
from studio.training.memory import MEMORY_SHARE, available_bytes, needed_bytes

# PEFT 0.21 reads an attribute that transformers 5.23 renamed; nothing a user could act on.
warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)


def train(job: TrainingJob, stop: Stop) -> Ended | None:
    """Train the run of `job`, from its last whole checkpoint if it has one; returns how it ended, already recorded.

    The record gets Started, Metrics, Sample, Checkpoint and Ended events. A stopped run keeps a usable adapter; one
    that was asked to leave saves a checkpoint, records no end and returns None.
    Raises StudioError when it cannot go on: disk, memory, numbers, data, model.
    """
    spec = job.spec
    began = time.monotonic()
    resumed = resume_point(job.folder, job.history)
    checkpoints = [c for c in job.history if resumed and c.step <= resumed.step]
    sweep(job.folder, checkpoints)

    with _told_errors(job, checkpoints):
        # 1. Model and examples
        device = detect_device()
        loaded = load_model(spec.model.source, job.settings, device, spec.model.precision)
        _check_base(job, loaded, resumed)
        examples = make_examples(job.rows, spec, loaded.tokenizer, loaded.identity.context_length, job.parts)
        total_steps = spec.total_steps(len(examples.train))

        # 2. Adapter and trainer
        clock = Clock()
        model = add_adapter(loaded.model, spec.tuner, spec.training.seed, clock)
        trainable, parameters = model.get_nb_trainable_parameters()
        _check_memory(job, model, examples, device)
        reporter = Reporter(
            job,
            stop,
            loaded.tokenizer,
            examples.prompts,
            clock,
            checkpoints=checkpoints,
            interval=spec.evaluation_interval(len(examples.train)),
            validates=bool(examples.validation),
            checkpoint_bytes=checkpoint_bytes(trainable),
        )
        trainer = StudioTrainer(
            model=model,
            args=sft_config(spec, job.folder, device, examples, resumed=resumed is not None),
            train_dataset=to_dataset(examples.train),
            eval_dataset=to_dataset(examples.validation) if examples.validation else None,
            processing_class=loaded.tokenizer,
            callbacks=[reporter],
        )
        trainer.remove_callback(PrinterCallback)

        # 3. Train, unless a killed process had come to the end and only its result is missing
        job.report(
            Started(
                total_steps=total_steps,
                from_step=resumed.step if resumed else 0,
                train_rows=len(examples.train),
                validation_rows=len(examples.validation),
                trainable_parameters=trainable,
                parameters=parameters - trainable,
                device=device.name,
                base_fingerprint=loaded.identity.fingerprint,
                base_name=loaded.identity.name,
                base_licence=loaded.identity.licence,
            ),
        )
        _tell(job, loaded, examples, began_again=bool(job.history) and resumed is None)
        step = resumed.step if resumed else 0
        if step < total_steps and not without_progress(measured_losses(checkpoints), spec.training.patience):
            trainer.train(resume_from_checkpoint=str(job.folder / resumed.path) if resumed else None)
            step = trainer.state.global_step
        if reporter.ended_by == "leave":
            return None

        # 4. Result: the best checkpoint's adapter, or the last one's
        best = best_checkpoint([c for c in checkpoints if has_adapter(job.folder, c)], spec.training.keep_best)
        adapter = keep_adapter(job.folder, best)
        ended = Ended(
            status="stopped" if reporter.ended_by == "stop" else "done",
            step=step,
            adapter=adapter.name,
            adapter_sha256=file_sha256(adapter / ADAPTER_FILE),
            best_step=best.step,
            validation_loss=best.validation_loss,
            seconds=time.monotonic() - began,
        )
        job.report(ended)
        return ended


class StudioTrainer(SFTTrainer):
    """TRL's trainer with one definition of validation loss, adapter-only checkpoints, and no word to anybody.

    Of the fused output head only the loss is asked for: the entropy and accuracy that TRL logs beside it cost a few
    per cent of a step on a CPU, and nobody looks at them.
    """

    model: Any
    _nll = 0.0
    _tokens = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        add_fused_lm_head(self.model.get_base_model())

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Negative log-likelihood per trained token, in nats; of the whole step where its tokens are known."""
        output = model(**inputs, use_cache=False, fused_lm_head=True, num_items_in_batch=num_items_in_batch)
        if self.model.training:
            self._total_train_tokens += int(inputs["attention_mask"].sum())
        self._metrics["train" if self.model.training else "eval"]["num_tokens"] = [self._total_train_tokens]
        return (output.loss, output) if return_outputs else output.loss

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> Any:
        result = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        tokens = int((inputs["labels"][:, 1:] != -100).sum())
        self._nll += float(result[0]) * tokens
        self._tokens += tokens
        return result

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        """The loss is the mean over all trained tokens, whatever the batches; Trainer's own is a mean of means."""
        self._nll, self._tokens = 0.0, 0
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        assert output.metrics is not None
        output.metrics[f"{metric_key_prefix}_loss"] = self._nll / self._tokens
        return output

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        try:
            return super().evaluate(*args, **kwargs)
        except EvaluationGivenUp:
            self.control.should_evaluate = False
            return {}

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """The adapter alone. The tokenizer never changes, and the arguments would be a pickle."""
        self.model.save_pretrained(output_dir, state_dict=state_dict, save_embedding_layers=False)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """The studio writes its own card at export."""

    def _send_telemetry(self) -> None:
        """Nothing is sent anywhere."""


def sft_config(spec: RunSpec, folder: Path, device: Device, examples: ExampleSet, *, resumed: bool) -> SFTConfig:
    """TRL's settings of a spec, every one that matters written out."""
    training = spec.training
    rows, validates = len(examples.train), bool(examples.validation)
    interval = spec.evaluation_interval(rows)
    precision = device.dtype if spec.model.precision == "auto" else spec.model.precision
    config = SFTConfig(
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
        activation_checkpointing=training.gradient_checkpointing,
        bf16=precision == "bfloat16",
        use_cpu=device.kind == "cpu",
        dataloader_pin_memory=device.kind == "cuda",
        seed=training.seed,
        data_seed=training.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if validates else "no",
        eval_steps=interval,
        eval_on_start=validates and not resumed,
        save_strategy="steps",
        save_steps=interval,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        report_to="none",
        disable_tqdm=True,
    )
    if config.n_gpu > 1:
        config._n_gpu = 1  # one device per run: SFTTrainer refuses torch's DataParallel, and rightly
    return config


def to_dataset(examples: tuple[Example, ...]) -> Dataset:
    """Tokenised rows as SFTTrainer takes them."""
    return Dataset.from_dict(
        {"input_ids": [list(e.ids) for e in examples], "labels": [list(e.labels) for e in examples]}
    )


def checkpoint_bytes(trainable_parameters: int) -> int:
    """Room one checkpoint needs: weights and two AdamW moments in float32, and the small files."""
    return trainable_parameters * 12 + 2_000_000


def _check_base(job: TrainingJob, loaded: LoadedModel, resumed: Checkpoint | None) -> None:
    """An adapter half trained on one base must not go on with another."""
    if resumed and job.started and job.started.base_fingerprint != loaded.identity.fingerprint:
        raise TrainingError("error.train.base_changed", model=loaded.identity.name)


def _check_memory(job: TrainingJob, model: Any, examples: ExampleSet, device: Device) -> None:
    """Refuse what cannot fit before it takes the machine down."""
    training = job.spec.training
    longest = max(examples.train, key=lambda example: len(example.ids))
    batch = min(training.batch_size, len(examples.train))
    checkpointing = training.gradient_checkpointing
    needed = needed_bytes(model, longest, batch, device, gradient_checkpointing=checkpointing)
    available = available_bytes(device)
    if needed > available * MEMORY_SHARE:
        raise ResourceError(
            "error.train.too_large",
            needed_mb=needed // 1_000_000,
            available_mb=available // 1_000_000,
            batch_size=training.batch_size,
            accumulation=training.accumulation,
            max_length=job.spec.data.max_length,
        )


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
def _told_errors(job: TrainingJob, checkpoints: list[Checkpoint]) -> Iterator[None]:
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
