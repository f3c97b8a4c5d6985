"""A model whose weights alone do not fit is refused before it is loaded, with what would fit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from studio.messages import catalogue
from studio.models.catalog import find_files
from studio.models.device import detect_device
from studio.models.folder import count_parameters
from studio.models.shape import shape_of
from studio.runs.spec import RunSpec, with_changes
from studio.runs.unfit import UnfitError
from studio.settings import Settings
from studio.training import room
from studio.training.memory import FOUR_BITS, MEMORY_SHARE
from studio.training.ranks import ALONE, Ranks
from tests.tiny import tiny_model
from tests.training.jobs import Recording, tiny_spec

DEVICE = replace(detect_device(), kind="cpu", dtype="float32")
SHORT, FOUR = {"model.precision": "bfloat16"}, {"tuner.quantisation": "nf4"}
LORA = {"tuner.kind": "lora", "training.learning_rate": 0.001}


@pytest.mark.parametrize(
    ("changes", "bits", "expected"),
    [
        ({}, 32, {}),
        ({}, 31, SHORT),
        ({}, 15, FOUR),
        ({}, 9, SHORT | FOUR),
        ({}, 5, None),
        (SHORT, 15, FOUR),
        (FOUR, 9, SHORT),
        ({"tuner.kind": "full", "training.learning_rate": 1e-4}, 128, {}),
        ({"tuner.kind": "full", "training.learning_rate": 1e-4}, 127, LORA),
        ({"tuner.kind": "full", "training.learning_rate": 1e-4}, 20, LORA | SHORT),
    ],
)
def test_the_gentlest_that_fits_is_offered(
    changes: dict[str, Any], bits: float, expected: dict[str, Any] | None, llama: Path, tmp_path: Path
) -> None:
    """`bits` of memory for each weight of a model."""
    files = find_files(str(llama), Settings(workspace=tmp_path))
    parameters = count_parameters(files.folder, files.weights)
    spec = with_changes(RunSpec(), {"model.source": str(llama), **changes})
    little = Settings(tmp_path, memory_bytes=int(parameters * bits / 8 / MEMORY_SHARE) + 1)
    if expected == {}:
        room.check_room(files, spec, DEVICE, little)
        return
    with pytest.raises(UnfitError) as error:
        room.check_room(files, spec, DEVICE, little)
    unfit = error.value.unfit
    assert unfit.nearest == expected
    assert unfit.model == files.name
    assert unfit.least_bytes < unfit.needed_bytes
    assert files.name in error.value.message("ja")
    if expected is not None:
        room.check_room(files, with_changes(spec, expected), DEVICE, little)


def test_what_can_be_kept_in_four_bits_is_counted(llama: Path) -> None:
    shape = shape_of(tiny_model("llama"))
    packed = sum(shape.in_four_bits().values())
    assert 0 < packed < shape.parameters
    spec = with_changes(RunSpec(), FOUR)
    rest = shape.parameters - packed
    assert room.weight_bytes(spec, shape.parameters, packed, DEVICE) == int(packed * FOUR_BITS) + 4 * rest


def test_four_bits_are_offered_only_where_they_work(llama: Path, tmp_path: Path) -> None:
    files = find_files(str(llama), Settings(workspace=tmp_path))
    parameters = count_parameters(files.folder, files.weights)
    spec = with_changes(RunSpec(), {"model.source": str(llama)})
    little = Settings(tmp_path, memory_bytes=int(parameters * 1.3 / MEMORY_SHARE))
    for device, ranks, offered in (
        (DEVICE, ALONE, True),
        (replace(DEVICE, kind="mps"), ALONE, False),
        (DEVICE, Ranks(size=2, sharded=True), None),  # each process has half: two bytes of each weight
    ):
        with pytest.raises(UnfitError) as error:
            room.check_room(files, spec, device, little, ranks)
        nearest = error.value.unfit.nearest
        assert (nearest or {}).get("tuner.quantisation") == ("nf4" if offered else None)


def test_a_run_refuses_before_it_loads_the_model(llama: Path, tmp_path: Path) -> None:
    run = Recording(tiny_spec(llama), tmp_path / "run", memory_bytes=1000)
    with pytest.raises(UnfitError) as error:
        run.run()
    assert error.value.key == "error.unfit.model"
    assert not run.events


def test_the_part_of_the_memory_that_is_told_to_be_left_alone_is() -> None:
    assert pytest.approx(0.9) == MEMORY_SHARE
    told = [text for key, text in catalogue("en").items() if key.startswith(("error.unfit", "ui.train.unfit"))]
    assert sum("a tenth of which is left alone" in text for text in told) == len(told) - 1  # all but the title
