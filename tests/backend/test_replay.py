"""Replay end to end: the made table holds the planned share of tokens, and the starter is tuned on it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.backend.studio import Studio
from studio.runs.spec import with_changes
from studio.settings import Settings


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with Studio(Settings(workspace=tmp_path / "workspace", offline=True), worker=False) as opened:
        yield opened


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("sample", ["support-en", "support-ja"])
def test_the_share_of_tokens_is_the_one_that_was_planned(studio: Studio, sample: str, share: float) -> None:
    version = studio.mixtures.add_replay(studio.datasets.open_sample(sample).id, share)
    assert version.mix is not None
    planned = studio.mixtures.plan(version.mix)
    tokens = Counter[str]()
    rows = studio.datasets.page(version.id, 0, version.rows)
    for row, length in zip(rows, studio.datasets.lengths(version.id, "starter", 100_000), strict=True):
        tokens[row.values["task"]] += length.total_tokens
    assert planned.replay_share == pytest.approx(share, abs=0.02)
    assert tokens["replay"] / tokens.total() == pytest.approx(planned.replay_share, abs=0.02)
    assert tokens.total() == pytest.approx(planned.tokens, rel=0.02)


def test_a_few_rows_get_their_share_too(studio: Studio) -> None:
    """The mean of many rows says little of the five that are drawn."""
    whole = studio.datasets.open_sample("support-ja")
    few = studio.datasets.exclude_rows(whole.id, range(13, whole.rows + 1))
    version = studio.mixtures.add_replay(few.id, 0.2)
    sources = [row.values["task"] for row in studio.datasets.page(version.id, 0, version.rows)]
    tokens = Counter[str]()
    for task, length in zip(sources, studio.datasets.lengths(version.id), strict=True):
        tokens[task] += length.total_tokens
    assert Counter(sources)[few.name] == 12
    assert tokens["replay"] / tokens.total() == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("sample", ["support-en", "support-ja"])
def test_the_starter_is_tuned_on_a_mixture_with_replay(studio: Studio, sample: str) -> None:
    narrow = studio.datasets.open_sample(sample)
    version = studio.mixtures.add_replay(narrow.id, 0.2)
    spec = with_changes(studio.default_spec(version.id), {"training.epochs": 0.1, "training.evaluations": 1})
    run = studio.runner.submit(spec).id
    ended = studio.runner.run_now(run)
    trained, validated, tested = studio.datasets.split_counts(version.id, spec.data.split)
    assert trained + validated + tested == version.rows > narrow.rows
    assert (ended.status, ended.step) == ("done", spec.total_steps(trained))
    state = studio.runner.state(run)
    assert state.started is not None
    assert (state.started.train_rows, state.started.validation_rows) == (trained, validated)
    before, after = (loss for _, loss in state.curves["validation_loss"])
    assert after < before * 0.9
    assert ended.adapter
    assert (studio.store.run_folder(run) / ended.adapter / "adapter_model.safetensors").is_file()
