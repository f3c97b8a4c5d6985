"""What a run builds on: results of other runs, or an adapter that was made elsewhere."""

from dataclasses import dataclass
from pathlib import Path

from studio.runs.adapter_shape import AdapterShape
from studio.runs.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Source:
    """The result of another run, or one of its checkpoints: the adapter that is gone on with, or a reward model.

    `sha256` is the recorded hash of its weights file (None for a checkpoint), `base_fingerprint` that of the base it
    was trained on, `model` how that base was loaded. An adapter that was made elsewhere stands under ADAPTER_FOLDER;
    of its base no fingerprint is known. `given`: its shape, which also the runs have that go on from it. `margin`: of a
    reward model, how much more the better answer of a pair gets than the worse one, in the mean; of the validation
    pairs where there are any.
    """

    run: str
    name: str
    folder: Path
    sha256: str | None
    base_fingerprint: str | None
    model: ModelSpec
    given: AdapterShape | None = None
    margin: float | None = None
