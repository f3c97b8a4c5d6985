"""What a run holds in memory, counted before anything large is tried: a machine out of memory kills without a word."""

from typing import Any

import psutil
import torch
from peft.helpers import disable_input_dtype_casting

from studio.models.device import Device, Numbers
from studio.runs.spec import RunSpec
from studio.training.job import Lesson
from studio.training.tuned import base_of, new_bytes

# A plan fits up to this part of the memory that is free: other programs need some too.
MEMORY_SHARE = 0.9


def available_bytes(device: Device) -> int:
    """What this process holds and could still get."""
    if device.kind == "cuda":
        return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
    return psutil.virtual_memory().available + held_bytes(device)


def held_bytes(device: Device) -> int:
    """What this process holds now."""
    return torch.cuda.memory_reserved() if device.kind == "cuda" else psutil.Process().memory_info().rss


def needed_bytes(model: Any, spec: RunSpec, numbers: Numbers, row: Lesson, batch_size: int, device: Device) -> int:
    """The process at its peak, the model already in memory, with batches of rows like `row`.

    One forward pass of each sequence of the row is run and what it keeps for the backward pass is counted; the rows of
    a batch keep as much each. Without the scores over the vocabulary, which TRL computes in pieces. With gradient
    checkpointing each layer keeps its input, and one layer at a time the rest.
    """
    row_bytes = sum(_activation_bytes(model, numbers, side.ids) for side in row.sides)
    if spec.training.gradient_checkpointing:
        row_bytes = 2 * row_bytes // base_of(model).config.get_text_config().num_hidden_layers
    return held_bytes(device) + new_bytes(model, spec) + row_bytes * batch_size


def _activation_bytes(model: Any, numbers: Numbers, row: tuple[int, ...]) -> int:
    backbone = base_of(model).base_model
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.tensor([row], device=next(model.parameters()).device)
    mixed = torch.autocast(ids.device.type, torch.bfloat16, enabled=numbers == "bfloat16")
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        mixed,
        disable_input_dtype_casting(model),
    ):
        output = backbone(input_ids=ids, use_cache=False)
    total = sum(kept.values())
    del output
    return total
