"""A plan that does not fit is refused with the nearest that does, on a machine with little memory."""

import gc
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from studio.errors import ResourceError
from studio.models.device import detect_device
from studio.models.loading import load_model
from studio.runs.spec import RunSpec, with_changes
from studio.settings import Settings
from studio.training.estimate import estimate
from studio.training.job import make_examples
from studio.training.lora import Clock
from studio.training.memory import MEMORY_SHARE, Memory, held_bytes, memory_of
from studio.training.nearest import nearest_fit
from studio.training.ranks import ALONE, Ranks
from studio.training.tuned import tuned_model
from tests.training.jobs import Recording
from tests.training.test_methods import lessons, method_spec

DEVICE = replace(detect_device(), kind="cuda")
"""Where a batch is computed at once: a processor takes pairs in passes."""
MB = 1_000_000
MEMORY = Memory(
    held=1000 * MB, added=50 * MB, row_bytes=100 * MB, row_tokens=1000, side_tokens=500, layers=10,
    linear_bytes=800 * MB, linear_weights=400_000_000,
)  # fmt: skip
"""A model of ten layers in bfloat16, pairs of 500 tokens each side."""


def plan(**changes: object) -> RunSpec:
    asked = {"method.kind": "dpo", "training.batch_size": 8, "data.max_length": 512}
    return with_changes(RunSpec(), {**asked, **{path.replace("__", "."): value for path, value in changes.items()}})


SAVING = {"training.gradient_checkpointing": True}


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        # 1050 beside the rows, 100 for each of them; with checkpointing 20; in 4 bits about 593 less.
        (1850, {}),
        (1849, {"training.batch_size": 4, "training.accumulation": 2}),
        (1250, {"training.batch_size": 2, "training.accumulation": 4}),
        (1150, {"training.batch_size": 1, "training.accumulation": 8}),
        (1149, {"training.batch_size": 4, "training.accumulation": 2, "training.gradient_checkpointing": True}),
        (1070, {"training.batch_size": 1, "training.accumulation": 8, "training.gradient_checkpointing": True}),
        (1069, {"training.gradient_checkpointing": True, "tuner.quantisation": "nf4"}),
        (
            470,
            {
                "training.batch_size": 1, "training.accumulation": 8, "training.gradient_checkpointing": True,
                "tuner.quantisation": "nf4", "data.max_length": 250,
            },
        ),
        (400, None),
    ],
)  # fmt: skip
def test_what_changes_the_result_least_comes_first(room: int, expected: dict[str, Any] | None) -> None:
    spec = plan()
    assert (MEMORY.needed_bytes(spec, DEVICE, 100) <= room * MB) == (expected == {})
    if expected != {}:
        assert nearest_fit(spec, MEMORY, DEVICE, 100, room * MB) == expected
    if expected:
        fitting = with_changes(spec, expected)
        assert MEMORY.needed_bytes(fitting, DEVICE, 100) <= room * MB
        together = fitting.training.batch_size * fitting.training.accumulation
        assert together == spec.training.batch_size


def test_a_batch_of_more_rows_than_there_are_is_no_smaller_one() -> None:
    spec = plan(training__batch_size=1000)
    found = nearest_fit(spec, MEMORY, DEVICE, 180, 15_000 * MB)
    assert found == {"training.batch_size": 125, "training.accumulation": 8}


def test_what_a_row_takes_beyond_its_layers_shrinks_with_the_batch_alone() -> None:
    """The scores of a row are kept whatever is checkpointed; another batch has as many fewer of them."""
    memory = replace(MEMORY, loss_bytes=50 * MB)
    for changes, rows, each in (({}, 8, 150), ({"training.batch_size": 2}, 2, 150), (SAVING, 8, 70)):
        spec = with_changes(plan(), changes)
        assert memory.rows_together(spec, DEVICE, 100) == rows
        assert memory.needed_bytes(spec, DEVICE, 100) == (1050 + rows * each) * MB
    assert nearest_fit(plan(), memory, DEVICE, 100, 1650 * MB) == {
        "training.batch_size": 4,
        "training.accumulation": 2,
    }


def test_nothing_is_offered_that_cannot_be() -> None:
    """Thumbs come two at a time; all weights are not held in 4 bits, nor is anything on Apple's accelerator, or of a
    divided model."""
    thumbs = {"training.batch_size": 2, "training.accumulation": 4, "training.gradient_checkpointing": True}
    assert nearest_fit(plan(method__kind="kto"), MEMORY, DEVICE, 100, 1090 * MB) == thumbs
    apple, divided = replace(DEVICE, kind="mps"), Ranks(size=2, sharded=True)
    for spec, device, ranks in (
        (plan(tuner__kind="full"), DEVICE, ALONE),
        (plan(), apple, ALONE),
        (plan(), DEVICE, divided),
    ):
        found = nearest_fit(spec, MEMORY, device, 100, 1060 * MB, ranks)
        assert found is not None
        assert "tuner.quantisation" not in found
        assert "data.max_length" in found
    rollouts = with_changes(RunSpec(), {"method.kind": "grpo"})
    assert nearest_fit(rollouts, MEMORY, DEVICE, 100, 300 * MB) is None


def test_a_machine_with_little_memory_is_told_the_nearest_plan(llama: Path, tmp_path: Path) -> None:
    """By the estimate, without training; and by the run itself, before its first step. The plan that is told fits."""
    spec = method_spec("kto", llama, training__batch_size=1000, training__accumulation=1)
    rows = lessons("kto", 400)
    free = Settings(workspace=tmp_path)
    device = detect_device()
    loaded = load_model(str(llama), free, device)
    model = tuned_model(loaded.model, spec, Clock())
    examples = make_examples(rows, spec, loaded.tokenizer, 512).train
    longest = max(examples, key=lambda lesson: lesson.tokens)
    memory = memory_of(model, spec, "float32", longest, device)
    gone = weakref.ref(next(p for name, p in loaded.model.named_parameters() if "down_proj" in name))
    del loaded, model
    gc.collect()
    assert gone() is None, "counting memory must not keep the model in it"
    little = int((held_bytes(device) + memory.row_bytes * 150) / MEMORY_SHARE)
    small = Settings(workspace=tmp_path, memory_bytes=little)

    told = estimate(spec, small, rows, 0)
    assert not told.fits
    assert told.nearest is not None
    assert told.nearest["training.batch_size"] * told.nearest["training.accumulation"] == 1000
    assert estimate(spec, free, rows[:40], 0).fits

    run = Recording(spec, tmp_path / "run", rows, memory_bytes=little)
    with pytest.raises(ResourceError) as error:
        run.run()
    assert error.value.key == "error.unfit.nearest"
    assert "training.batch_size=" in error.value.message("en")
    assert not run.events
