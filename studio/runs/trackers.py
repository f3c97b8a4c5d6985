"""Where the numbers of a run go beside the record, on request: TensorBoard, Trackio, Weights & Biases.

Nothing goes anywhere unless a run's `training.report_to` names it. TensorBoard's event files and the files of Weights &
Biases lie in the run's folder; Trackio keeps a database of its own (`TRACKIO_DIR`).
"""

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from studio.errors import InputError

Tracker = Literal["tensorboard", "trackio", "wandb"]
NAMES: dict[Tracker, str] = {"tensorboard": "TensorBoard", "trackio": "Trackio", "wandb": "Weights & Biases"}
PROJECT = "finetuning-studio"
TENSORBOARD_FOLDER = "tensorboard"


def check_trackers(chosen: Sequence[Tracker], *, offline: bool) -> None:
    """Raises InputError when one of them is not installed, or when Weights & Biases is to send and nobody is signed
    in."""
    for tracker in chosen:
        if find_spec(tracker) is None:
            raise InputError("error.tracker.missing", tracker=NAMES[tracker], package=tracker)
    if "wandb" in chosen and not offline and not _signed_in():
        raise InputError("error.tracker.signed_out")


def _signed_in() -> bool:
    """Whether Weights & Biases can send, or is to write files alone (`WANDB_MODE`, `wandb offline`). Asks nobody, and
    does not go to the network; left to itself it would ask in the terminal."""
    import wandb

    if wandb.setup().settings.mode not in ("online", "run", "shared"):
        return True
    return wandb.login(prompt=False, verify=False)


def wandb_project() -> str:
    """The project that is written to there, as the user's shell names it."""
    return os.environ.get("WANDB_PROJECT", PROJECT)


def where_to_look(chosen: Sequence[Tracker], folder: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """How the numbers of a run that lies in `folder` are looked at: sentence keys with their values."""
    values = {
        "tensorboard": {"folder": str(folder / TENSORBOARD_FOLDER)},
        "trackio": {"project": PROJECT},
        "wandb": {"folder": str(folder / "wandb"), "project": wandb_project()},
    }
    return [(f"notice.tracker.{tracker}", values[tracker]) for tracker in dict.fromkeys(chosen)]
