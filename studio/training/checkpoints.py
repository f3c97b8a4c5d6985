"""The checkpoints of a run on disk: which are whole, what is left of old ones, what a killed process left behind.

A checkpoint is written into `checkpoint-<step>`, synced, and only then named in the record. A folder that the
record does not name is therefore half done and is removed.
"""

import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from studio.errors import ModelError
from studio.models.folder import read_header
from studio.models.new_tokens import FILE as NEW_TOKENS
from studio.runs.events import Checkpoint
from studio.runs.store import sync_folder

# What a run leaves, by the name of the folder it is kept in: weights, and what says how they are read.
RESULTS = {
    "adapter": ("adapter_model.safetensors", "adapter_config.json"),
    "model": ("model.safetensors", "config.json"),
}
# torch.save writes zip files, whose directory stands at the end: a cut one is seen at once.
TRAINING_STATE = ("optimizer.pt", "scheduler.pt", "rng_state.pth")
TRAINER_STATE = "trainer_state.json"
# Only the newest checkpoints can be resumed from; the older ones keep their weights, to be compared.
_RESUMABLE = 2


def resume_point(folder: Path, history: Sequence[Checkpoint]) -> Checkpoint | None:
    """The newest checkpoint that is still there and whole; None: begin again."""
    return next((c for c in reversed(history) if is_whole(folder / c.path)), None)


def is_whole(checkpoint: Path) -> bool:
    """Whether every file that resuming reads is there and complete."""
    kept = _result(checkpoint)
    if kept is None or not all((checkpoint / name).is_file() for name in (*TRAINING_STATE, TRAINER_STATE)):
        return False
    weights, config = RESULTS[kept]
    try:
        read_header(checkpoint / weights)
        for name in (TRAINER_STATE, config):
            json.loads((checkpoint / name).read_text(encoding="utf-8"))
    except (ModelError, ValueError):
        return False
    return all(zipfile.is_zipfile(checkpoint / name) for name in TRAINING_STATE)


def has_result(folder: Path, checkpoint: Checkpoint) -> bool:
    """Whether what the checkpoint holds of the tuned model is there and complete."""
    kept = _result(folder / checkpoint.path)
    if kept is None:
        return False
    try:
        read_header(folder / checkpoint.path / RESULTS[kept][0])
    except (ModelError, OSError):
        return False
    return True


def weights_of(result: Path) -> Path:
    """The weights in a result's folder or a checkpoint, which must be whole."""
    kept = _result(result)
    assert kept is not None
    return result / RESULTS[kept][0]


def _result(folder: Path) -> str | None:
    """The name of what is in a checkpoint, one of RESULTS."""
    return next((name for name, files in RESULTS.items() if all((folder / f).is_file() for f in files)), None)


def forget_training_state(folder: Path, checkpoints: Sequence[Checkpoint]) -> None:
    """Remove what only resuming needs (two thirds of a checkpoint) from all but the newest ones."""
    for old in checkpoints[:-_RESUMABLE]:
        for name in TRAINING_STATE:
            (folder / old.path / name).unlink(missing_ok=True)


def sweep(folder: Path, known: Sequence[Checkpoint]) -> None:
    """Remove what a killed process left half done: checkpoints the record does not know, temporary folders."""
    names = {c.path for c in known}
    for path in folder.iterdir():
        unfinished = path.name.startswith("checkpoint-") and path.name not in names
        if path.is_dir() and (unfinished or path.name.endswith(".partial")):
            shutil.rmtree(path)


def best_checkpoint(checkpoints: Sequence[Checkpoint], keep_best: bool) -> Checkpoint:
    """The one with the lowest validation loss or the highest reward, the earlier of equals; or the last one. Raises
    ValueError if empty."""
    measured = [(c.cost, c.step, c) for c in checkpoints if c.cost is not None]
    if keep_best and measured:
        return min(measured, key=lambda item: item[:2])[2]
    return checkpoints[-1]


def keep_result(folder: Path, checkpoint: Checkpoint) -> Path:
    """Copy what the checkpoint holds of the tuned model to `adapter/` or `model/`, whole or not at all."""
    name = _result(folder / checkpoint.path)
    assert name is not None
    target, partial = folder / name, folder / f"{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for file in RESULTS[name]:
        shutil.copyfile(folder / checkpoint.path / file, partial / file)
    if (folder / checkpoint.path / NEW_TOKENS).is_file():
        shutil.copyfile(folder / checkpoint.path / NEW_TOKENS, partial / NEW_TOKENS)
    sync_folder(partial)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)
    return target
