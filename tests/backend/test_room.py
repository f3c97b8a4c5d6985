"""What is known of plans that do not fit, until something changes that their memory depends on."""

from pathlib import Path

import pytest

from studio.backend.room import Room
from studio.runs.spec import RunSpec, with_changes
from studio.runs.unfit import Unfit, UnfitError
from studio.settings import Settings

UNFIT = Unfit(needed_bytes=100_000_000, available_bytes=50_000_000, nearest=None)


def test_a_plan_is_refused_until_its_memory_changes(tmp_path: Path) -> None:
    room, spec = Room(Settings(tmp_path, memory_bytes=50_000_000)), RunSpec()
    room.check(spec)  # not measured yet
    room.note(spec, UNFIT)
    for same in (spec, with_changes(spec, {"training.learning_rate": 1e-5, "training.epochs": 9})):
        with pytest.raises(UnfitError, match="100 MB"):
            room.check(same)
    room.check(with_changes(spec, {"training.batch_size": 1}))
    room.note(spec, None)
    room.check(spec)


def test_memory_that_was_freed_counts(tmp_path: Path) -> None:
    room, spec = Room(Settings(tmp_path)), RunSpec()
    room.note(spec, UNFIT)
    room.check(spec)
    assert room.unfit(spec) == UNFIT
