"""A learning curve: nested parts, the same steps and validation rows, and a reading in words."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.backend.learning_curve import CurvePoint, _read
from studio.backend.studio import Studio
from studio.errors import DataError, InputError
from studio.messages import LANGUAGES, translate
from studio.runs.spec import RunSpec, with_changes
from studio.settings import Settings
from tests.tiny import save_tiny


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with Studio(Settings(workspace=tmp_path / "workspace", offline=True), worker=False) as opened:
        yield opened


def spec_of(studio: Studio, folder: Path, rows: int) -> RunSpec:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"question": f"q{i}", "answer": f"{i * 7}"}) + "\n" for i in range(rows)))
    version = studio.datasets.import_file(path).id
    changes = {
        "data.version": version, "data.max_length": 64, "data.split.validation_share": 0.2, "tuner.rank": 2,
        "training.batch_size": 4, "training.evaluations": 2, "training.epochs": 1.0,
        "model.source": str(save_tiny(folder / "tiny")),
    }  # fmt: skip
    return with_changes(RunSpec(), changes)


def test_nested_parts_same_steps_same_validation_rows(studio: Studio, tmp_path: Path) -> None:
    spec = spec_of(studio, tmp_path, 200)
    planned = studio.learning_curve.plan(spec)
    parts = [studio.datasets.split(one.data.version, one.data.split) for one in planned]
    assert [len(part.train) for part in parts] == [40, 80, 160]
    assert set(parts[0].train) < set(parts[1].train) < set(parts[2].train)
    assert len({tuple(part.validation) for part in parts}) == 1
    assert [one.total_steps(len(part.train)) for one, part in zip(planned, parts, strict=True)] == [40, 40, 40]
    assert planned[-1] == spec
    assert [one.training.epochs for one in planned] == [4, 2, 1]
    often = studio.learning_curve.plan(with_changes(spec, {"training.epochs": 30}))
    assert [one.training.epochs for one in often] == [100, 50, 25]  # no run may have more than 100
    for epochs, batch in ((0.3, 7), (2.5, 8), (3, 3), (0.01, 7), (1.01, 160)):
        other = with_changes(spec, {"training.epochs": epochs, "training.batch_size": batch})
        steps = {o.total_steps(len(p.train)) for o, p in zip(studio.learning_curve.plan(other), parts, strict=True)}
        assert steps == {other.total_steps(160)}
    with pytest.raises(InputError):
        studio.learning_curve.plan(with_changes(spec, {"data.split.validation_share": 0}))


@pytest.mark.parametrize("rows", ['{"text": "Only a passage."}\n', '{"question": "No answer?", "answer": ""}\n'])
def test_nothing_to_learn_from_is_told(studio: Studio, tmp_path: Path, rows: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(rows * 30, encoding="utf-8")
    version = studio.datasets.import_file(path).id
    with pytest.raises(DataError):
        studio.learning_curve.outline(with_changes(RunSpec(), {"data.version": version}))


def test_the_runs_of_a_version_are_remembered(studio: Studio, tmp_path: Path) -> None:
    spec = spec_of(studio, tmp_path, 40)
    curves, version = studio.learning_curve, spec.data.version
    assert curves.of(version) == ()
    told = curves.outline(spec)
    assert (told.parts, told.validation_rows, told.steps) == (((0.25, 8), (0.5, 16), (1.0, 32)), 8, 8)
    other = studio.runner.submit(with_changes(spec, {"data.split.train_share": 0.3})).id
    runs = curves.start(spec)
    assert list(curves.of(version)) == runs
    assert curves.start(spec) == runs  # a second press while they wait
    assert studio.runner.queue() == [other, *runs]

    studio.runner.run_now(runs[0])
    curves.stop(runs)
    assert [studio.runner.state(run).status for run in runs] == ["done", "stopped", "stopped"]
    assert studio.runner.queue() == [other]
    assert curves.read(runs).key == "ui.curve.failed"
    curves.resume(runs)
    assert studio.runner.queue() == [other, *runs[1:]]

    with Studio(Settings(workspace=tmp_path / "workspace"), read_only=True, worker=False) as again:
        assert list(again.learning_curve.of(version)) == runs
    for run in runs[1:]:
        studio.runner.run_now(run)
    assert {point.progress for point in curves.read(runs).points} == {1.0}
    assert curves.start(spec) != runs
    assert set(curves.of(version)).isdisjoint(runs)


def test_a_curve_of_which_a_run_was_deleted_is_none(studio: Studio, tmp_path: Path) -> None:
    spec = spec_of(studio, tmp_path, 200)
    runs = studio.learning_curve.start(spec)
    studio.learning_curve.stop(runs)
    studio.runner.delete(runs[1])
    assert studio.learning_curve.of(spec.data.version) == ()
    assert len(studio.learning_curve.start(spec)) == 3


def test_real_runs_are_ordinary_runs(studio: Studio, tmp_path: Path) -> None:
    runs = studio.learning_curve.start(spec_of(studio, tmp_path, 40), name="Shop")
    assert [studio.runner.record(run).name for run in runs] == [
        "Shop: 25% of the rows", "Shop: 50% of the rows", "Shop: 100% of the rows",
    ]  # fmt: skip
    assert studio.learning_curve.read(runs).key == "ui.curve.waiting"
    for run in runs:
        assert studio.runner.run_now(run).status == "done"
    reading = studio.learning_curve.read(runs)
    assert [(point.share, point.rows) for point in reading.points] == [(0.25, 8), (0.5, 16), (1.0, 32)]
    assert all(point.loss is not None for point in reading.points)
    assert reading.key == "ui.curve.few"
    assert "8" in reading.message("ja")
    assert len({studio.runner.state(run).total_steps for run in runs}) == 1


@pytest.mark.parametrize(
    ("losses", "validation", "word"),
    [
        ((2.0, 1.5, 1.2), 50, "more"),
        ((2.0, 1.201, 1.2), 50, "flat"),
        ((1.2, 1.5, 1.25), 50, "uneven"),
        ((2.0, 1.0, 1.2), 50, "worse"),
        ((2.0, 1.5, 1.2), 19, "few"),
        ((2.0, 1.5, None), 50, "waiting"),
    ],
)
def test_the_reading(losses: tuple[float | None, ...], validation: int, word: str) -> None:
    points = [
        CurvePoint(f"run{i}", share, int(share * 100), loss, "done" if loss else "running")
        for i, (share, loss) in enumerate(zip((0.25, 0.5, 1.0), losses, strict=True))
    ]
    key, values = _read(points, validation)
    assert key == f"ui.curve.{word}"
    for language in LANGUAGES:
        told = translate(key, language, **values)
        assert word == "waiting" or ("1.2" in told and "100" in told)
    failed = [CurvePoint("x", 0.5, 1, None, "failed"), *points[1:]]
    assert _read(failed, 50)[0] == "ui.curve.failed"
