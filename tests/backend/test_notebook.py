"""The studio as a notebook uses it: one call per step."""

import _thread
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.backend import Studio
from studio.errors import InputError, StudioError
from studio.runs.events import RunState
from studio.runs.spec import RunSpec, with_changes
from studio.settings import Settings, read_settings
from tests.tiny import save_tiny, tiny_model

QUICK = {"training.epochs": 1, "training.evaluations": 1, "data.max_length": 64, "tuner.rank": 2}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with Studio.open(tmp_path_factory.mktemp("notebook") / "w") as studio:
        yield studio


@pytest.fixture(scope="module")
def spec(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> RunSpec:
    folder = tmp_path_factory.mktemp("data")
    rows = folder / "rows.jsonl"
    rows.write_text("\n".join(json.dumps({"prompt": f"Say {n}", "completion": f"{n}"}) for n in range(20)))
    version = studio.import_data(str(rows))
    return with_changes(studio.default_spec(version.id), {"model.source": str(save_tiny(folder / "tiny")), **QUICK})


def test_a_run_is_trained_and_every_step_seen(studio: Studio, spec: RunSpec) -> None:
    seen: list[RunState] = []
    run = studio.train(spec, "First", seen.append)
    assert (run.name, seen[-1].status, seen[-1].step) == ("First", "done", seen[-1].total_steps)
    assert seen[0].status in ("queued", "running")
    base, tuned = studio.ask(run.id, "Say 3", temperature=1, max_new_tokens=8)
    assert base.text != tuned.text
    assert tuned.adapter_sha256


def test_the_stop_button_keeps_what_was_learned(studio: Studio, spec: RunSpec) -> None:
    """As a notebook does it: the main thread is interrupted, once the run has taken a few steps."""
    pressed = threading.Event()

    def press(state: RunState) -> None:
        if state.step >= 2 and not pressed.is_set():
            pressed.set()
            _thread.interrupt_main()

    run = studio.train(with_changes(spec, {"training.epochs": 100}), "Long", press)
    state = studio.runner.state(run.id)
    assert state.status == "stopped"
    assert 2 <= state.step < state.total_steps
    assert state.usable


def test_without_a_worker_it_trains_all_the_same(spec: RunSpec, studio: Studio, tmp_path: Path) -> None:
    with Studio(Settings(workspace=tmp_path / "w"), worker=False) as other:
        rows = tmp_path / "rows.csv"
        rows.write_text("question,answer\n" + "\n".join(f"Say {n},{n}" for n in range(20)))
        version = other.import_data(rows)
        run = other.train(with_changes(spec, {"data.version": version.id, "data.mapping": None}))
        assert other.runner.state(run.id).status == "done"


def test_a_run_that_fails_says_why(studio: Studio, spec: RunSpec, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone"):
        studio.train(with_changes(spec, {"data.version": "gone"}))
    broken: Any = tiny_model()
    broken.get_input_embeddings().weight.data.fill_(float("nan"))
    save_tiny(tmp_path / "broken")
    broken.save_pretrained(tmp_path / "broken")
    with pytest.raises(StudioError) as told:
        studio.train(with_changes(spec, {"model.source": str(tmp_path / "broken")}))
    ended = studio.runner.runs()[0].state.ended
    assert ended is not None
    assert (ended.status, ended.key) == ("failed", told.value.key)


@pytest.mark.parametrize(("value", "on"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_switch_for_mcp_is_off_unless_it_is_asked_for(value: str, on: bool, tmp_path: Path) -> None:
    assert read_settings(tmp_path, {"STUDIO_MCP": value}).mcp is on
    assert read_settings(tmp_path, {}).mcp is False
