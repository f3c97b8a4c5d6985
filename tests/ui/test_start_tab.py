"""The journey shows what is done, what comes next and what still has to wait."""

from studio.backend.runner import RunSummary
from studio.runs.events import Checkpoint, RunState
from studio.runs.spec import RunSpec
from studio.runs.store import RunRecord
from studio.ui.start_tab import first_sample, journey

RECORD = RunRecord("r", "name", 0.0, "v", RunSpec(), "")


def _run(status: str, *, usable: bool) -> RunSummary:
    checkpoints = (Checkpoint.model_construct(step=1),) if usable else ()
    return RunSummary(RECORD, RunState(status=status, checkpoints=checkpoints), "data")  # type: ignore[arg-type]


def _states(*args: object) -> list[str]:
    return [step.state for step in journey(*args)]  # type: ignore[arg-type]


def test_an_empty_workspace_begins_with_data() -> None:
    assert _states(False, [], False, False) == ["next", *["missing"] * 5]


def test_the_journey_moves_on_step_by_step() -> None:
    tuned = [_run("done", usable=True)]
    assert _states(True, [], False, False) == ["done", "next", *["missing"] * 4]
    assert _states(True, [_run("running", usable=False)], False, False) == ["done", "done", "now", *["missing"] * 3]
    assert _states(True, tuned, False, False) == ["done", "done", "done", "next", "next", "next"]
    assert _states(True, tuned, True, False) == [*["done"] * 5, "next"]
    assert _states(True, tuned, False, True) == [*["done"] * 4, "next", "done"]
    assert _states(True, tuned, True, True) == ["done"] * 6


def test_the_first_sample_speaks_the_pages_language() -> None:
    names = ["support-en", "support-ja", "extract-json"]
    assert first_sample(names, "en") == "support-en"
    assert first_sample(names, "ja") == "support-ja"
    assert first_sample(["other"], "ja") == "other"
