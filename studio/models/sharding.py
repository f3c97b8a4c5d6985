"""A model divided among processes: each holds its part of every weight, and gathers a block's others while it computes
it (fully sharded data parallelism; Zhao et al. 2023, arXiv:2304.11277)."""

import ctypes
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from transformers import AutoConfig
from transformers.distributed.configuration_utils import DistributedConfig

# So many groups of weights are gathered at a time: a block, the embedding, the output layer.
_GATHERED = 3
_M_MMAP_THRESHOLD = -3  # glibc's malloc.h
_GIVEN_BACK_BYTES = 1_000_000


def division(kind: Any, folder: Path, shards: int) -> tuple[Any, DistributedConfig]:
    """What reads the model in a folder in the place of `kind`, one of transformers' Auto classes, and how: each process
    reads its part alone. Blocks are gathered one by one; transformers knows their names in some models only."""
    _give_back_what_is_freed()
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    with torch.device("meta"):
        model = kind.from_config(config, dtype=torch.float32, trust_remote_code=False)
    blocks = model._no_split_modules or ()
    names = [name for name, module in model.named_modules() if type(module).__name__ in blocks and name[-1].isdigit()]
    plan = dict.fromkeys((re.sub(r"\.\d+\b", ".*", name) for name in names), "free_full_weight")
    made = type(type(model).__name__, (_TiedFirst, type(model)), {"__module__": type(model).__module__})
    return made, DistributedConfig(fsdp_size=shards, fsdp_plan=plan)


def _give_back_what_is_freed() -> None:
    """glibc learns from the first freed block to keep others of its size, and the blocks of a divided model, gathered
    and freed in turn, pile up to more than the whole model. A threshold that is set stays (mallopt(3))."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _GIVEN_BACK_BYTES)


class _TiedFirst:
    """Laid over a model's class. transformers 5.24 ties weights after it has divided them: two parts that are padded
    each for itself, of which only one is trained. Here an embedding and the output layer that is the same are one
    before, and belong to one group, that of the whole model."""

    all_tied_weights_keys: dict[str, str]

    @classmethod
    def maybe_distribute_model(cls, model: Any, *args: Any) -> Any:
        model.tie_weights(recompute_mapping=False)
        embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
        if head is not None and head.weight is embedding.weight:
            tied = {name for name, module in model.named_modules() if module in (embedding, head)}
            model.fsdp_plan = {name: style for name, style in model.fsdp_plan.items() if name not in tied}
        return super().maybe_distribute_model(model, *args)  # type: ignore[misc]

    def gather_sharded_state_dict_for_save(self, *args: Any, **options: Any) -> dict[str, torch.Tensor]:
        """Once each, as every other file has them."""
        whole = super().gather_sharded_state_dict_for_save(*args, **options)  # type: ignore[misc]
        return {name: weight for name, weight in whole.items() if name not in self.all_tied_weights_keys}


def is_divided(model: Any) -> bool:
    return any(isinstance(weight, DTensor) for weight in model.parameters())


def trains_divided(model: Any) -> bool:
    """Whether the weights that are trained are divided. Those of an adapter are whole in every process."""
    return any(isinstance(weight, DTensor) for weight in model.parameters() if weight.requires_grad)


def undivided_state(model: Any) -> dict[str, torch.Tensor]:
    """The weights that are whole in every process: an adapter's. PEFT would gather all others to leave them out."""
    return {name: weight for name, weight in model.state_dict().items() if not isinstance(weight, DTensor)}


def gathered_bytes(model: Any) -> int:
    """What a process holds of the others' weights at most, its own part counted again."""
    groups: Counter[str] = Counter()
    divided = {name for name, module in model.named_modules() if isinstance(module, FSDPModule)}
    for name, weight in model.named_parameters():
        if isinstance(weight, DTensor):
            owner = max((group for group in divided if f"{name}.".startswith(f"{group}." if group else "")), key=len)
            groups[owner] += weight.numel() * weight.element_size()
    return sum(size for _, size in groups.most_common(_GATHERED))
