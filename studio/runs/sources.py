"""What a run builds on: results of other runs."""

from dataclasses import dataclass
from pathlib import Path

from studio.runs.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Source:
    """The result of another run, or one of its checkpoints: the adapter that is gone on with, or a reward model.

    `sha256` is the recorded hash of its weights file (None for a checkpoint), `base_fingerprint` that of the base it
    was trained on, `model` how that base was loaded.
    """

    run: str
    name: str
    folder: Path
    sha256: str | None
    base_fingerprint: str
    model: ModelSpec
