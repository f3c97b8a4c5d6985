"""Asking a run in training to end."""

from typing import Literal


class Stop:
    """Asked for from any thread, polled by training between steps.

    `stop`: end now, evaluate, keep a usable adapter. `leave`: the process is about to end; save a checkpoint to
    resume from and go, without a result.
    """

    def __init__(self) -> None:
        self.asked: Literal["no", "stop", "leave"] = "no"

    def stop(self) -> None:
        """Never takes back a `leave`."""
        if self.asked == "no":
            self.asked = "stop"

    def leave(self) -> None:
        self.asked = "leave"
