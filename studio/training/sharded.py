"""What a trainer keeps where all weights of a divided model are trained: the same files as one process writes, so that
the run can go on with more or fewer processes, or with one."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from studio.models.loading import MODEL_WEIGHTS
from studio.training.ranks import Ranks


def load_weights(model: Any, checkpoint: str, ranks: Ranks) -> None:
    """The first process reads the file and gives the others their parts. Tied weights stand in it once."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()  # what an earlier pass left gathered
    weights: dict[str, Any] = dict(load_file(Path(checkpoint) / MODEL_WEIGHTS)) if ranks.first else {}
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=False)
    set_model_state_dict(model, weights, options=options)


def save_optimizer(optimizer: Any, file: Path, ranks: Ranks) -> None:
    """The processes gather what each has a part of; the first one writes it."""
    state = optimizer.state_dict()
    gathered: dict[int, dict[str, torch.Tensor]] = {}
    for place, values in state["state"].items():
        whole = {name: value.full_tensor() if isinstance(value, DTensor) else value for name, value in values.items()}
        if ranks.first:
            gathered[place] = {name: value.cpu() for name, value in whole.items()}
    if ranks.first:
        torch.save({**state, "state": gathered}, file)


def load_optimizer(optimizer: Any, file: Path) -> None:
    state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for place, values in state["state"].items():
        weight = weights[place]
        for name, value in values.items():
            if isinstance(weight, DTensor) and value.shape == weight.shape:
                values[name] = distribute_tensor(value, weight.device_mesh, weight.placements)
    optimizer.load_state_dict(state)
