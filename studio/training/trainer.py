"""What all trainers have in common: checkpoints of what is trained alone, evaluations that can be given up, batches
that several processes share, no word to anybody."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import PeftModel
from peft.tuners.trainable_tokens import TrainableTokensLayer
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from transformers.trainer_utils import EvalLoopOutput

from studio.models.device import Device, Numbers
from studio.models.new_tokens import NewTokens
from studio.models.sharding import trains_divided, undivided_state
from studio.runs.spec import RunSpec
from studio.training.callback import EvaluationGivenUp
from studio.training.job import ExampleSet
from studio.training.lora import Clock
from studio.training.passes import divided, in_passes
from studio.training.ranks import ALONE, BATCH_ROWS, Ranks, Shared
from studio.training.scorer import Scorer
from studio.training.sharded import load_optimizer, load_weights, save_optimizer

_REFERENCE = "ref"  # TRL's name for it


@dataclass(frozen=True, slots=True)
class Setup:
    """What a trainer is made of. `numbers`: what it computes in; `model` has its adapter, if any, whose dropout
    follows `clock`; `resumed`: it goes on from a checkpoint. `scorers`: the reward models that are asked, by the ids of
    their runs. `new_tokens`: those that the vocabulary was given. `ranks`: the processes that share the batches.
    `reference`: the copy that a preference is compared with."""

    spec: RunSpec
    folder: Path
    device: Device
    numbers: Numbers
    model: Any
    tokenizer: Any
    examples: ExampleSet
    resumed: bool
    clock: Clock
    callbacks: tuple[TrainerCallback, ...]
    scorers: Mapping[str, Scorer] = field(default_factory=dict)
    new_tokens: NewTokens | None = None
    ranks: Ranks = ALONE
    reference: Any = None

    def common(self) -> dict[str, Any]:
        """The arguments of every Trainer but for its configuration and rows."""
        return {
            "model": self.model,
            "processing_class": self.tokenizer,
            "callbacks": list(self.callbacks),
            "fresh": not self.spec.model.parent,
            "new_tokens": self.new_tokens,
            "ranks": self.ranks,
        }

    def passes(self) -> dict[str, Any]:
        """Those of a Trainer that computes its batches in passes where it pays."""
        return {"clock": self.clock, "in_passes": in_passes(self.spec.method, self.device, self.ranks)}


class StudioTrainer:
    """Laid over a Trainer of TRL, before it in the order of classes. Rows come tokenised."""

    model: Any
    control: Any
    optimizer: Any
    lr_scheduler: Any
    # The collator of several processes.
    shared: Any = Shared
    _loss_sum = 0.0
    _loss_rows = 0

    def __init__(self, *, fresh: bool, new_tokens: NewTokens | None, ranks: Ranks, **options: Any) -> None:
        """`fresh`: the adapter does nothing yet. `new_tokens` are kept with every checkpoint."""
        self._new_tokens = new_tokens
        trained = [(p, p.data) for p in options["model"].parameters() if p.requires_grad and ranks.shards == 1]
        # Trainer goes on with no model that is divided as it is read; here it does (`studio.training.sharded`).
        options["args"].save_only_model = ranks.shards > 1
        super().__init__(**options)
        options["args"].save_only_model = False
        for parameter, data in trained:
            parameter.data = data  # over a model in 4 bits TRL makes them bfloat16, which loses small steps
        # Some trainers keep a copy of the adapter as it begins, to compare with. Of one that does nothing the base
        # model alone is the same.
        if fresh and isinstance(self.model, PeftModel) and _REFERENCE in self.model.peft_config:
            self.model.delete_adapter(_REFERENCE)
        elif new_tokens and isinstance(self.model, PeftModel) and _REFERENCE in self.model.peft_config:
            _copy_tokens(self.model)
        self.ranks = ranks
        if ranks.several:
            self.data_collator = self.shared(self.data_collator, ranks)

    # Several processes

    def _get_dataloader(self, *args: Any, **kwargs: Any) -> DataLoader:
        """Accelerate would deal out whole batches, and repeat rows where they do not come out even."""
        loader = super()._get_dataloader(*args, **kwargs)  # type: ignore[misc]
        if self.ranks.several:
            loader.batch_sampler.num_processes, loader.batch_sampler.process_index = 1, 0
        return loader

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.ranks.several:
            del inputs[BATCH_ROWS]
        return super().training_step(model, inputs, *args, **kwargs)  # type: ignore[misc]

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.ranks.several:
            return super().prediction_step(model, inputs, *args, **kwargs)  # type: ignore[misc]
        rows = inputs.pop(BATCH_ROWS)
        result = super().prediction_step(model, inputs, *args, **kwargs)  # type: ignore[misc]
        self._loss_sum += float(result[0]) * rows
        self._loss_rows += rows
        return result

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        """The loss of several processes is the mean over all rows; Trainer's own repeats some of them."""
        self._loss_sum, self._loss_rows = 0.0, 0
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)  # type: ignore[misc]
        if self.ranks.several:
            loss, rows = self.ranks.total(self._loss_sum, self._loss_rows)
            output.metrics[f"{metric_key_prefix}_loss"] = loss / rows
        return output

    def _save_rng_state(self, output_dir: str) -> None:
        """One file however many processes there are, so that a run can go on with more or fewer of them: it draws no
        numbers from these generators (`studio.training.lora`)."""
        if not self.ranks.several:
            super()._save_rng_state(output_dir)  # type: ignore[misc]
            return
        states = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.random.get_rng_state()}
        if torch.cuda.is_available():
            states["cuda"] = torch.cuda.random.get_rng_state()
        if self.ranks.first:
            torch.save(states, Path(output_dir) / "rng_state.pth")

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if not self.ranks.several:
            super()._load_rng_state(checkpoint)  # type: ignore[misc]

    # A model that is divided among them

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if trains_divided(self.model):
            load_weights(self.model, resume_from_checkpoint, self.ranks)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not trains_divided(self.model):
            super()._save_optimizer_and_scheduler(output_dir)  # type: ignore[misc]
            return
        save_optimizer(self.optimizer, Path(output_dir) / OPTIMIZER_NAME, self.ranks)
        if self.ranks.first:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not trains_divided(self.model):
            super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
            return
        load_optimizer(self.optimizer, Path(checkpoint) / OPTIMIZER_NAME)
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))

    # Checkpoints and evaluations

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        try:
            return super().evaluate(*args, **kwargs)  # type: ignore[misc]
        except EvaluationGivenUp:
            self.control.should_evaluate = False
            return {}

    def _save(self, output_dir: Any = None, state_dict: Any = None) -> None:
        """The adapter alone, or all weights in one file. The tokenizer never changes, and the arguments would be a
        pickle."""
        if isinstance(self.model, PeftModel):
            weights = undivided_state(self.model)  # in every process: a divided model gives back what it has gathered
            if self.ranks.first:
                self.model.save_pretrained(
                    output_dir, state_dict=weights, save_embedding_layers=False, selected_adapters=["default"]
                )
        elif self.ranks.first or trains_divided(self.model):
            self.model.save_pretrained(output_dir, state_dict=state_dict, max_shard_size="10TB")
        if self._new_tokens and self.ranks.first:
            self._new_tokens.write(Path(output_dir))

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """The studio writes its own card at export."""

    def _send_telemetry(self) -> None:
        """Nothing is sent anywhere."""


def _copy_tokens(model: PeftModel) -> None:
    """To the adapter that is compared with: TRL copies every weight but the embeddings of new tokens, for it looks for
    names that go on behind the adapter's."""
    for module in model.modules():
        if isinstance(module, TrainableTokensLayer):
            tokens = module.trainable_tokens_delta
            tokens[_REFERENCE].data.copy_(tokens["default"].data)


class WeighedEvaluation:
    """Laid over a Trainer of TRL: what it notes of each batch of an evaluation counts by the batch's rows, so that
    means are over all rows, whatever the batches. TRL takes the mean of the batches' means."""

    _metrics: dict[str, Any]

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        with _weighed(self._metrics["eval"], _rows(inputs)):
            return super().prediction_step(model, inputs, *args, **kwargs)  # type: ignore[misc]


class WeighedSteps:
    """Laid over a Trainer of TRL: the loss of a step is the mean over its rows, however they are divided into batches.
    TRL takes the mean of the batches' means, in which the rows of a smaller last batch count for more."""

    current_gradient_accumulation_steps: float
    _step_rows = 0

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        batches, items = super().get_batch_samples(*args, **kwargs)  # type: ignore[misc]
        self._step_rows = sum(map(_rows, batches))
        return batches, items

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        self.current_gradient_accumulation_steps = self._step_rows / _rows(inputs)  # the loss is divided by
        return super().training_step(model, inputs, *args, **kwargs)  # type: ignore[misc]


class PairsInPasses(WeighedEvaluation, WeighedSteps):
    """Laid over a Trainer of TRL that learns from pairs, either side a half of the batch: where it pays, the pairs of a
    batch are computed in passes of about equal length. The loss is a mean over pairs, and what is noted as well."""

    def __init__(self, *, clock: Clock, in_passes: bool, **options: Any) -> None:
        super().__init__(**options)
        self._clock = clock
        self._in_passes = in_passes

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        losses = []
        for part in self._parts(inputs):
            with _weighed(self._metrics["train"], _rows(part)):
                losses.append(super().training_step(model, part, *args, **kwargs))
            self._clock.part += 1
        return torch.stack(losses).sum()

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The loss alone: nobody asks for scores."""
        losses = []
        for part in self._parts(inputs):
            loss, *_ = super().prediction_step(model, part, *args, **kwargs)
            losses.append(loss * _rows(part) / _rows(inputs))
        return torch.stack(losses).sum(), None, None

    def _parts(self, inputs: Any) -> list[Any]:
        return divided(inputs, sides=2) if self._in_passes else [inputs]


@contextmanager
def _weighed(noted: dict[str, list[Any]], rows: int) -> Iterator[None]:
    """What is noted meanwhile counts for so many rows."""
    before = {name: len(values) for name, values in noted.items()}
    yield
    for name, values in noted.items():
        values.extend(values[before.get(name, 0) :] * (rows - 1))


def _rows(inputs: Any) -> int:
    """Those of a batch: of all processes that share it."""
    if isinstance(inputs, list):
        return len(inputs)
    return inputs[BATCH_ROWS] if BATCH_ROWS in inputs else len(inputs["input_ids"])


def trainer_options(setup: Setup) -> dict[str, Any]:
    """What every method's configuration has in common, every setting that matters written out."""
    spec, training, device = setup.spec, setup.spec.training, setup.device
    rows, validates = len(setup.examples.train), bool(setup.examples.validation)
    interval = spec.evaluation_interval(rows)
    return {
        "output_dir": str(setup.folder),
        "max_steps": spec.total_steps(rows),
        "per_device_train_batch_size": training.batch_size,
        "per_device_eval_batch_size": training.batch_size,
        "gradient_accumulation_steps": training.accumulation,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": training.schedule,
        "warmup_steps": int(training.warmup_share * spec.total_steps(rows)),
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "activation_checkpointing": training.gradient_checkpointing,
        "bf16": setup.numbers == "bfloat16",
        "use_cpu": device.kind == "cpu",
        "dataloader_pin_memory": device.kind == "cuda",
        "seed": training.seed,
        "data_seed": training.seed,
        # Mixtures of experts: the loss is what it says, without a term for how evenly the experts are used.
        **({"router_aux_loss_coef": 0.0} if spec.method.writes else {}),
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "eval_strategy": "steps" if validates else "no",
        "eval_steps": interval,
        "eval_on_start": validates and not setup.resumed,
        "save_strategy": "steps",
        "save_steps": interval,
        "max_length": None,
        "report_to": "none",  # who is told is in `trackers.py`
        "disable_tqdm": True,
        **(_SEVERAL if setup.ranks.several else {}),
    }


# Everything that is trained has a part in every loss, and what is not trained never changes.
_SEVERAL = {
    "accelerator_config": {"even_batches": False},
    "ddp_find_unused_parameters": False,
    "ddp_broadcast_buffers": False,
}


def on_one_device(config: Any) -> Any:
    """One device per run: TRL refuses torch's DataParallel, and rightly."""
    if config.n_gpu > 1:
        config._n_gpu = 1
    return config


def quiet(trainer: Any) -> Any:
    """Without the callback that prints every number."""
    trainer.remove_callback(PrinterCallback)
    return trainer
