"""What a card tells is what the record holds."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.backend.card_facts import run_facts, training_seconds
from studio.backend.training_rows import write_training_rows
from studio.evaluation.safety import SAFETY
from studio.export.facts import RunFacts
from studio.messages import LANGUAGES
from studio.runs.events import Ended, Event, Metrics, Notice, Queued, Stamped, Started
from studio.runs.store import new_id
from tests.backend.made import Made
from tests.backend.sums import make_studio, opened, run_on, run_on_sums

STARTED = Started(
    total_steps=10, train_rows=8, validation_rows=2, trainable_parameters=1, parameters=2, device="x",
    base_fingerprint="f", base_name="b",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    made = make_studio(tmp_path_factory.mktemp("studio"))
    yield made
    made.studio.close()


@pytest.fixture(scope="module")
def run(made: Made, tmp_path_factory: pytest.TempPathFactory) -> str:
    return run_on_sums(made, tmp_path_factory.mktemp("data"))


def facts(made: Made, run: str) -> RunFacts:
    studio = made.studio
    return run_facts(studio.store, studio.datasets, studio.reports, run, None)


@pytest.mark.parametrize(
    ("events", "seconds"),
    [
        ([(10, STARTED), (11, Metrics(step=1, values={})), (15, Ended(status="done"))], 5),
        ([(10, STARTED), (14, Metrics(step=1, values={}))], 4),
        # Killed after 4 seconds, waited an hour, gone on with for 6.
        (
            [
                (10, STARTED), (14, Metrics(step=1, values={})), (3000, Queued()), (3600, STARTED),
                (3606, Ended(status="done")), (9000, Notice(key="x")),
            ],
            10,
        ),
        ([(10, Queued())], 0),
    ],
)  # fmt: skip
def test_time_is_that_of_training_and_not_of_waiting(events: list[tuple[float, Event]], seconds: float) -> None:
    assert training_seconds([Stamped(i, time, event) for i, (time, event) in enumerate(events, 1)]) == seconds


def test_data_is_told_as_it_was_cleaned_and_checked(made: Made, tmp_path: Path) -> None:
    datasets = made.studio.datasets
    rows = [{"question": f"Where is {n}?", "answer": f"ask ann{n % 3}@example.org about {n}"} for n in range(30)]
    first = opened(made, [*rows, rows[0], {"question": "x", "answer": ""}], tmp_path / "rows.json")
    version = datasets.fix(first, ["drop_blank", "drop_duplicates"])
    run = run_on(made, version.id)
    data = facts(made, run).data
    assert (data.name, data.version, data.rows, data.imported) == ("rows.json", 2, 30, 32)
    assert data.fingerprint == version.fingerprint
    assert [len(data.steps[one]) for one in LANGUAGES] == [2, 2]
    assert data.recipe_sha256 is not None
    assert (data.findings, data.personal, data.languages) == (None, None, ())  # nobody has looked yet
    found = datasets.findings(version.id)
    data = facts(made, run).data
    assert data.findings is not None
    assert data.personal is not None
    assert data.findings["ja"] == tuple(one.message("ja") for one in found)
    assert data.personal["en"] == tuple(one.message("en") for one in found if one.key == "finding.email")
    assert len(data.personal["en"]) == 1
    assert data.languages[0][0] == "en"


def test_an_evaluation_is_told_with_what_got_worse_and_what_was_not_asked(made: Made, run: str) -> None:
    """The adapter is random: it answers nothing of what the base, which is as random, does not answer either."""
    evaluations = made.studio.evaluations
    assert facts(made, run).evaluation is None
    plan = evaluations.plan(run).model_copy(update={"exams": ()})
    evaluations.set_plan(run, plan)
    evaluations.evaluate(run)
    told = facts(made, run).evaluation
    assert told is not None
    report = made.studio.reports.report(run)
    assert report is not None
    assert told.rows == 8
    for language in LANGUAGES:
        assert len(told.not_asked[language]) == 2  # general abilities and safety
        names = [name for name, *_ in told.figures[language]]
        assert names == [one.metric.title(language) for one in report.lines]
        worse = [one.metric.title(language) for one in report.lines if one.measured(0, 1).word == "worse"]
        assert [one.split(":")[0].split("：")[0] for one in told.worse[language]] == worse
    assert {score.metric for score in told.scores} <= {one.metric.name for one in report.lines}
    evaluations.set_plan(run, plan.model_copy(update={"exams": (SAFETY,)}))
    evaluations.evaluate(run)
    told = facts(made, run).evaluation
    assert told is not None
    assert len(told.not_asked["en"]) == 1


def test_it_is_told_what_a_run_went_on_from_after_that_is_gone(made: Made, run: str) -> None:
    store = made.studio.store
    record = store.run(run)
    later = new_id()
    spec = record.spec.model_copy(update={"model": record.spec.model.model_copy(update={"adapter": run})})
    store.add_run(later, "Later", spec, Queued())
    started = next(one.event for one in store.events(run) if isinstance(one.event, Started))
    store.append(later, started.model_copy(update={"sources": {run: "c" * 64}}))
    assert facts(made, later).training.parent == ("Sums", "c" * 64)
    gone = spec.model_copy(update={"model": spec.model.model_copy(update={"adapter": "20200101-000000-abcdef"})})
    another = new_id()
    store.add_run(another, "Another", gone, Queued())
    store.append(another, started)
    assert facts(made, another).training.parent == ("20200101-000000-abcdef", "")


def test_the_rows_of_the_script_are_those_that_were_learned(made: Made, run: str, tmp_path: Path) -> None:
    studio = made.studio
    names = write_training_rows(studio.store, studio.datasets, studio.settings, run, tmp_path)
    assert names == ("train.jsonl", "validation.jsonl")
    train, validation = (
        [json.loads(line) for line in (tmp_path / name).read_text(encoding="utf-8").splitlines()] for name in names
    )
    assert (len(train), len(validation)) == (28, 4)
    asked = {row["messages"][0]["content"] for row in train}
    assert not asked & {row["messages"][0]["content"] for row in validation}
    assert all(row["messages"][-1]["role"] == "assistant" for row in train)
