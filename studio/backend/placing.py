"""What leaves the studio is put at its place whole: made beside it under a working name, and renamed at last."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studio.backend.export_plan import free_bytes
from studio.errors import InputError
from studio.runs.store import disk_full, is_disk_full, sync_folder


def free_target(target: Path) -> Path:
    """Raises InputError when something is there already."""
    target = target.expanduser().absolute()
    empty_folder = target.suffix.lower() != ".zip" and target.is_dir() and not any(target.iterdir())
    if target.exists() and not empty_folder:
        raise InputError("error.export.target_exists", target=str(target))
    with refused(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    return target


@contextmanager
def refused(target: Path) -> Iterator[None]:
    """What the system does not allow is told as InputError; a full disk by whoever knows of it."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise
        raise InputError("error.export.target_refused", target=str(target), reason=str(error)) from None


def make_room(folder: Path, needed: int) -> None:
    if free_bytes(folder) < needed:
        raise disk_full(folder, needed)


def put(staged: Path, work: Path, target: Path, stamp: float) -> str:
    """The files of a folder as a zip, whose hash is returned, if the target's name ends so; else as a folder, and "" is
    returned. `work` lies beside the target; `stamp`: the time that the zip's entries bear."""
    zipped = target.suffix.lower() == ".zip"
    return _put_zip(staged, work, target, stamp) if zipped else _put_folder(staged, work, target)


def _put_zip(staged: Path, work: Path, target: Path, stamp: float) -> str:
    """The files as one zip, read back whole, under its name at last; returns its hash."""
    from studio.export.adapter import check_zip, pack, sha256_of

    packed = work / "packed.zip"
    pack(staged, packed, stamp)
    check_zip(packed, staged)
    digest = sha256_of(packed)
    with refused(target):
        os.replace(packed, target)
    return digest


def _put_folder(staged: Path, work: Path, target: Path) -> str:
    """The folder under its name, in place of an earlier one."""
    sync_folder(staged)
    with refused(target):
        if target.is_dir():
            os.replace(target, work / "old")
        os.replace(staged, target)
    return ""
