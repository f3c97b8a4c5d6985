"""What is told before a run is what the run then takes."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from studio.data.records import Message, Preference
from studio.errors import DataError
from studio.models.loading import load_tokenizer
from studio.runs.events import Checkpoint, Metrics
from studio.settings import Settings
from studio.training.counted import count_rows, padded_tokens
from studio.training.estimate import estimate
from studio.training.job import encode
from studio.training.probe import fit_line
from tests.training.jobs import Recording, conversations, tiny_spec
from tests.training.test_methods import METHODS, ROLLOUTS, asked, lessons, method_spec, said


def test_counts_are_those_of_the_run(llama: Path, tmp_path: Path) -> None:
    rows = conversations(23, answer=lambda i: "a" * i)
    spec = tiny_spec(llama, data__max_length=32, training__epochs=1.5)
    told = estimate(spec, Settings(workspace=tmp_path), rows, 2)
    run = Recording(spec, tmp_path / "run", rows)
    ended = run.run()
    assert ended is not None
    started = run.state.started
    assert started is not None
    assert (told.rows, told.validation_rows) == (started.train_rows, started.validation_rows)
    assert told.steps == started.total_steps == ended.step
    assert (told.trainable_parameters, told.parameters) == (started.trainable_parameters, started.parameters)
    assert told.trainable_share == pytest.approx(told.trainable_parameters / told.parameters)
    file = run.folder / "adapter" / "adapter_model.safetensors"
    assert told.adapter_bytes == pytest.approx(file.stat().st_size, rel=0.6)  # a tiny adapter is half header
    notices = {n.key: n.values["rows"] for n in run.state.notices}
    assert told.truncated_rows == notices["notice.train.truncated"]
    assert told.lost_rows == 2 + notices.get("notice.train.lost", 0)
    used = sum(f.stat().st_size for f in run.folder.rglob("*") if f.is_file())
    assert used / 2 < told.disk_bytes < used + 6_000_000  # room is kept for small files


def test_time_and_memory_are_of_the_right_size(llama: Path, tmp_path: Path) -> None:
    """Within a factor, for other work on the machine moves both."""
    rows = conversations(40)
    spec = tiny_spec(llama, training__epochs=4)
    told = estimate(spec, Settings(workspace=tmp_path), rows, 0)
    run = Recording(spec, tmp_path / "run", rows)
    ended = run.run()
    assert ended is not None
    assert ended.seconds / 4 < told.seconds < ended.seconds * 4
    peak = max(m.values["memory_bytes"] for m in run.of(Metrics) if "memory_bytes" in m.values)
    assert peak * 0.7 < told.memory_bytes < peak * 1.4
    assert told.fits
    assert run.of(Checkpoint)


def test_nothing_to_learn_from_is_refused(llama: Path, tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path)
    with pytest.raises(DataError) as error:
        estimate(tiny_spec(llama), settings, [], 3)
    assert error.value.key == "error.train.no_rows"
    with pytest.raises(DataError) as error:
        estimate(tiny_spec(llama, data__max_length=16), settings, conversations(5), 0)
    assert error.value.key == "error.train.all_cut"


@pytest.mark.parametrize("batch", [1, 3, 8, 20])
def test_padding_is_what_shuffled_batches_need(batch: int) -> None:
    """Against the mean over many shuffles; n divisible by the batch, as the formula takes all batches as full."""
    rng = random.Random(0)
    rows = [rng.choice([10, 12, 15, 40, 90]) for _ in range(120)]
    total = 0
    for _ in range(300):
        rng.shuffle(rows)
        total += sum(max(rows[i : i + batch]) * batch for i in range(0, len(rows), batch))
    assert padded_tokens(rows, batch) == pytest.approx(total / 300, rel=0.01)
    assert padded_tokens([], batch) == 0
    assert padded_tokens([7], batch) == 7


def test_noise_never_makes_a_line_that_misses_what_was_measured() -> None:
    assert fit_line((100, 1.0), (200, 1.5)) == pytest.approx((0.5, 0.005))
    for short, long in [((568, 0.426), (712, 0.763)), ((100, 2.0), (110, 1.0)), ((50, 1.0), (50, 1.2))]:
        base, slope = fit_line(short, long)
        assert base >= 0
        assert slope >= 0
        low, high = sorted((short[1], long[1]))
        for tokens in (short[0], long[0]):
            assert low * 0.9 <= base + slope * tokens <= high * 1.1


@pytest.mark.parametrize("method", METHODS)
def test_a_plan_of_any_method_counts_the_rows_of_its_run(method: str, llama: Path, tmp_path: Path) -> None:
    """Rows of which some are cut and some are lost, at a length that a drawn answer takes a part of."""
    changes = {"data__max_length": 40, "training__epochs": 1, "training__evaluations": 1}
    spec = method_spec(method, llama, **changes, **({"method__max_new_tokens": 30} if method in ROLLOUTS else {}))
    rows = lessons(method, 14)
    if method != "cpt":
        question = (Message("user", "what about this very long question of more than forty letters?"),)
        rows[0] = (rows[0][0], replace(rows[0][1], prompt=question))
    told = estimate(spec, Settings(workspace=tmp_path), rows, 0)
    run = Recording(spec, tmp_path / "run", rows)
    run.run()
    started = run.state.started
    assert started is not None
    notices = {notice.key: notice.values["rows"] for notice in run.state.notices}
    assert (told.rows, told.validation_rows) == (started.train_rows, started.validation_rows)
    assert told.steps == started.total_steps
    assert told.how == started.how
    assert told.lost_rows == notices.get("notice.train.lost", 0) == (method != "cpt")
    assert told.truncated_rows == notices.get("notice.train.truncated", 0)


def test_both_sides_of_a_pair_are_computed_at_the_length_of_the_longer(llama: Path, tmp_path: Path) -> None:
    loaded = load_tokenizer(str(llama), Settings(workspace=tmp_path)).tokenizer
    pair = Preference(asked(1), said("yes"), said("no " * 10))
    lesson = encode(pair, loaded, 512)
    short, long = (len(side.ids) for side in lesson.sides)
    assert (lesson.tokens, lesson.computed_tokens) == (short + long, 2 * long)
    spec = method_spec("dpo", llama, data__split__validation_share=0)
    counted = count_rows([(1, pair)] * 3, spec, loaded, 512, None)
    assert (counted.tokens, counted.train) == (3 * lesson.tokens, [2 * long] * 3)
