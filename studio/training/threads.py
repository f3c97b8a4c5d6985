"""How many cores of a processor a run is computed on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from studio.models.device import SMALL, Device


@contextmanager
def threads_for(parameters: int, device: Device) -> Iterator[None]:
    """A small model on one: its operations are so short that sharing them costs more than it saves, a third of the
    speed on two cores, and more where the page and a browser want them too."""
    before = torch.get_num_threads()
    if device.kind == "cpu" and parameters < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
