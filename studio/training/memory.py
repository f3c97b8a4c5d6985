"""What a run holds in memory, counted before anything large is tried: a machine out of memory kills without a word."""

import ctypes
import gc
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Any

import psutil
import torch
from peft.helpers import disable_input_dtype_casting
from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers.pytorch_utils import Conv1D

from studio.models.device import Device, Numbers
from studio.models.sharding import gathered_bytes, is_divided, trains_divided
from studio.runs.spec import RunSpec
from studio.settings import Settings
from studio.training.job import Lesson
from studio.training.passes import in_passes, rows_at_once
from studio.training.ranks import ALONE, Ranks
from studio.training.tuned import base_of, needs_copy, new_bytes

# A plan fits up to this part of the memory that is free: other programs need some too.
MEMORY_SHARE = 0.9
# Bytes a weight takes in 4 bits, the doubly quantised constants included (Dettmers et al. 2023, section 3: 0.127 bits).
FOUR_BITS = 4.127 / 8


def available_bytes(device: Device, settings: Settings) -> int:
    """What this process holds and could still get."""
    if device.kind == "cuda":
        free = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
    else:
        free = psutil.virtual_memory().available + held_bytes(device)
    return free if settings.memory_bytes is None else min(free, settings.memory_bytes)


def held_bytes(device: Device) -> int:
    """What this process holds now, without what it freed and did not give back, as after a large batch before."""
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    return torch.cuda.memory_reserved() if device.kind == "cuda" else psutil.Process().memory_info().rss


@dataclass(frozen=True, slots=True)
class Memory:
    """What a run holds, by its parts. `held`: the process with the model loaded; `added`: what is trained, its
    gradients and moments. `row_bytes`: what the longest row keeps on its way forward for the way back, without
    checkpointing; `side_tokens`: of its longest sequence. `linear_bytes`: of the layers that four bits would make
    smaller, and `linear_weights` their number; none where they are so already. `loss_bytes`: what a row takes beyond
    that, such as its scores; known once a step was measured.
    """

    held: int
    added: int
    row_bytes: int
    row_tokens: int
    side_tokens: int
    layers: int
    linear_bytes: int
    linear_weights: int
    loss_bytes: int = 0

    def needed_bytes(self, spec: RunSpec, device: Device, rows: int, ranks: Ranks = ALONE) -> int:
        """The process at its peak, if it trained by `spec` on `rows` rows: what is kept for each row of a batch, or
        of its share of it.
        Without the scores over the vocabulary, which TRL computes in pieces. With gradient checkpointing each layer
        keeps its input, and one layer at a time the rest."""
        cut = self._cut(spec)
        row_bytes = int(self.row_bytes * cut)
        if spec.training.gradient_checkpointing:
            row_bytes = 2 * row_bytes // self.layers
        saved = 0
        if spec.tuner.quantisation == "nf4":
            saved = self.linear_bytes - int(self.linear_weights * FOUR_BITS)
        each = row_bytes + int(self.loss_bytes * cut)
        return self.held + self.added + each * self.rows_together(spec, device, rows, ranks) - max(0, saved)

    def rows_together(self, spec: RunSpec, device: Device, rows: int, ranks: Ranks = ALONE) -> int:
        """How many of the longest rows go through the model at once."""
        together = min(ceil(spec.training.batch_size / ranks.size), rows)
        if in_passes(spec.method, device, ranks):
            return rows_at_once(max(1, int(self.row_tokens * self._cut(spec))), together)
        return together

    def _cut(self, spec: RunSpec) -> float:
        """The share of the longest row that is left at this length."""
        return min(1.0, spec.data.max_length / self.side_tokens)


def memory_of(model: Any, spec: RunSpec, numbers: Numbers, row: Lesson, device: Device, ranks: Ranks = ALONE) -> Memory:
    """The parts of what a run by `spec` holds, the model already in memory, with rows like `row`: one forward pass of
    its longest sequence is run, and what it keeps is counted: the others are padded to it."""
    base = base_of(model)
    longest = max(row.sides, key=lambda side: len(side.ids))
    large = [m.weight for m in base.modules() if isinstance(m, nn.Linear | Conv1D) and not m.weight.requires_grad]
    plain = [weight for weight in large if weight.is_floating_point()]
    return Memory(
        held=held_bytes(device),
        added=_added_bytes(model, spec, ranks),
        row_bytes=_activation_bytes(model, numbers, longest.ids) * len(row.sides),
        row_tokens=row.computed_tokens,
        side_tokens=len(longest.ids),
        layers=base.config.get_text_config().num_hidden_layers,
        linear_bytes=sum(weight.numel() * weight.element_size() for weight in plain),
        linear_weights=sum(weight.numel() for weight in plain),
    )


def _added_bytes(model: Any, spec: RunSpec, ranks: Ranks) -> int:
    """Where the model is divided, each process has its part of what is trained of it, and gathers the others' weights;
    an adapter is whole in each."""
    added = new_bytes(model, spec)
    if ranks.shards == 1:
        return added
    gathered = gathered_bytes(model) * (2 if needs_copy(spec) else 1)
    return gathered + (added // ranks.shards if trains_divided(model) else added)


def _activation_bytes(model: Any, numbers: Numbers, row: tuple[int, ...]) -> int:
    base = base_of(model)
    divided = is_divided(base)
    computing = base if divided else base.base_model  # one that is divided is entered from the top
    weights = _storages(model.parameters())
    gathered: set[int] = set()
    kept: dict[int, int] = {}

    def note(module: nn.Module, _: Any) -> None:
        """Weights that are gathered for a moment, as of a model that is divided."""
        gathered.clear()
        gathered.update(_storages(module.parameters(recurse=False)))

    def keep(tensor: torch.Tensor) -> torch.UntypedStorage:
        """What is told back is kept for the way back, which nobody goes. Not the tensor: the graph would hold what
        holds the graph, and with it the model for ever."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights | gathered:
            kept[storage.data_ptr()] = storage.nbytes()
        return storage

    ids = torch.tensor([row], device=next(model.parameters()).device)
    mixed = torch.autocast(ids.device.type, torch.bfloat16, enabled=numbers == "bfloat16")
    noting = register_module_forward_pre_hook(note) if divided else None
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda storage: storage),
        mixed,
        disable_input_dtype_casting(model),
    ):
        output = computing(input_ids=ids, use_cache=False)
    if noting:
        noting.remove()
    total = sum(kept.values())
    del output
    return total


def _storages(tensors: Iterable[torch.Tensor]) -> set[int]:
    """Where these tensors lie; of those that are divided nothing."""
    return {one.untyped_storage().data_ptr() for one in tensors if not isinstance(one, DTensor)}
