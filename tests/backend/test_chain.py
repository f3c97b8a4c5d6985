"""Which runs make a chain, which stage comes next, and what may follow a run."""

import pytest

from studio.backend.chain import Next, chain, documents_read, main_figure, offers
from studio.backend.runner import RunSummary
from studio.runs.events import Ended, RunState
from studio.runs.spec import RunSpec, with_changes
from studio.runs.store import RunRecord
from tests.backend.made import make, save_models

MODEL = "starter"


def run(name: str, method: str, status: str = "done", **changes: object) -> RunSummary:
    """A run by its id; `parent` and `reward` name the runs that it builds on."""
    judged = {"method.rewards": [{"kind": "model", "run": changes.pop("reward")}]} if "reward" in changes else {}
    paths = {"model.adapter": changes.pop("parent", ""), "model.source": changes.pop("model", MODEL), **judged}
    spec = with_changes(RunSpec(), {"method.kind": method, **paths, **changes})
    ended = Ended(status="done", adapter="adapter") if status == "done" else None
    state = RunState(status=status, ended=ended)  # type: ignore[arg-type]
    return RunSummary(RunRecord(name, name.upper(), 0.0, "v", spec, ""), state, "data")


SFT = run("s", "sft")
JUDGE = run("j", "reward", parent="s")
TRIED = run("t", "rloo", parent="s", reward="j")


def ids(runs: list[RunSummary], model: str = MODEL) -> list[str | None]:
    return [stage.run.record.id if stage.run else None for stage in chain(runs, model)]


def following(runs: list[RunSummary]) -> list[tuple[Next, ...]]:
    return [stage.next for stage in chain(runs, MODEL)]


def test_each_stage_opens_the_next() -> None:
    assert following([]) == [(Next("sft"),), (), ()]
    assert following([SFT]) == [(Next("sft"),), (Next("reward", "s"),), ()]
    tried = (Next("rloo", "s", "j"), Next("grpo", "s", "j"))
    assert following([JUDGE, SFT]) == [(Next("sft"),), (Next("reward", "s"),), tried]
    assert ids([TRIED, JUDGE, SFT]) == ["s", "j", "t"]
    assert [stage.done for stage in chain([TRIED, JUDGE, SFT], MODEL)] == [True] * 3


def test_a_stage_under_way_opens_nothing_and_a_failed_one_is_not_there() -> None:
    assert following([run("s", "sft", "running")])[1] == ()
    assert ids([run("j", "reward", "running", parent="s"), SFT]) == ["s", "j", None]
    assert following([run("j", "reward", "queued", parent="s"), SFT])[2] == ()
    assert ids([run("j", "reward", "failed", parent="s"), SFT]) == ["s", None, None]
    assert ids([run("s", "sft", **{"tuner.kind": "full"})]) == [None] * 3


def test_the_chain_is_that_of_the_newest_run_of_the_model() -> None:
    assert ids([run("new", "sft"), TRIED, JUDGE, SFT]) == ["new", None, None]
    assert ids([run("other", "sft", model="there"), TRIED, JUDGE, SFT]) == ["s", "j", "t"]
    assert ids([run("dpo", "dpo"), JUDGE, SFT]) == ["s", "j", None]
    assert ids([run("again", "reward", parent="s"), TRIED, JUDGE, SFT]) == ["s", "again", None]
    assert ids([JUDGE]) == [None, "j", None]  # what it went on from was deleted
    assert following([JUDGE])[2][0] == Next("rloo", "", "j")


def test_what_may_follow_a_run() -> None:
    runs = [TRIED, JUDGE, SFT]
    assert offers(SFT, runs) == (Next("reward", "s"),)
    assert offers(JUDGE, runs) == (Next("rloo", "s", "j"), Next("grpo", "s", "j"))
    assert offers(JUDGE, [JUDGE])[0] == Next("rloo", "", "j")
    assert offers(TRIED, runs) == offers(run("d", "dpo"), runs) == ()
    assert offers(run("c", "cpt"), runs) == (Next("sft", "c"),)
    assert offers(run("c", "cpt", **{"tuner.kind": "full"}), runs) == ()
    assert offers(run("s", "sft", "running"), runs) == ()


def test_answers_are_offered_after_the_documents_that_were_read_last() -> None:
    read = run("c", "cpt")
    assert documents_read([read, SFT], MODEL) == Next("sft", "c")
    assert documents_read([SFT, read], MODEL) is None
    assert documents_read([run("c", "cpt", "running"), read], MODEL) == Next("sft", "c")
    assert documents_read([read], "there") is None


@pytest.mark.parametrize(
    ("one", "ended", "curves", "figure"),
    [
        (SFT, {"validation_loss": 0.5}, {}, ("loss", 0.5)),
        (SFT, {}, {}, None),
        (JUDGE, {"validation_loss": 0.5}, {"validation_accuracy": [(0, 0.5), (9, 0.9)]}, ("accuracy", 0.9)),
        (TRIED, {"validation_reward": 0.7}, {"reward": [(1, 0.1)]}, ("reward", 0.7)),
        (TRIED, {}, {"reward": [(1, 0.1)]}, ("reward", 0.1)),
    ],
)
def test_the_main_figure_of_a_stage(
    one: RunSummary, ended: dict[str, float], curves: dict[str, list[tuple[int, float]]], figure: object
) -> None:
    state = RunState(ended=Ended(status="done", adapter="adapter", **ended), curves=curves)  # type: ignore[arg-type]
    assert main_figure(one, state) == figure


# In a workspace


def test_the_next_run_keeps_the_adapters_shape_and_takes_the_methods_rates(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    made = make(tmp_path_factory.mktemp("studio"), save_models(tmp_path_factory.mktemp("models")))
    with made.studio as studio:
        parent = made.run("llama")
        before = studio.store.run(parent).spec
        spec = studio.next_run(Next("sft", parent), made.version)
        assert (spec.model.adapter, spec.data.version, spec.model.source) == (parent, made.version, before.model.source)
        assert spec.tuner == before.tuner
        judged = studio.next_run(Next("grpo", parent, "judge"), made.version)
        preset = studio.default_spec(made.version, before.preset, before.model.source, "grpo")
        assert judged.training == preset.training != before.training
        assert judged.method.reward_runs == ("judge",)
        assert studio.next_run(Next("sft"), made.version).model.adapter == ""
        assert studio.suited("sft", [None, "gone", made.version]) == made.version
        assert studio.suited("dpo", [made.version]) is None
