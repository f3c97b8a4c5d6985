"""How many cores of a processor a run is computed on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from studio.models.device import SMALL, Device


def on_one_core(parameters: int, device: Device) -> bool:
    """Whether a model is computed on one: a small one's operations are so short that sharing them costs more than it
    saves, a third of the speed on two cores, and more where the page and a browser want them too."""
    return device.kind == "cpu" and parameters < SMALL


@contextmanager
def threads_for(parameters: int, device: Device) -> Iterator[None]:
    """As many threads as pay for a model of this size; as many as before when it is done."""
    before = torch.get_num_threads()
    if on_one_core(parameters, device):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
