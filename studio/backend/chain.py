"""Runs that follow each other: RLHF in three stages, and answers after documents. Which are done, and what comes next.

RLHF as in Ouyang et al. 2022 (arXiv:2203.02155): supervised fine-tuning, a reward model trained on pairs, then
reinforcement learning against it. Nothing of a chain is stored: it is found from what the runs name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from studio.backend.runner import RunSummary
from studio.runs.events import RunState

StageName = Literal["answers", "judge", "practice"]
STAGES: dict[StageName, tuple[str, ...]] = {"answers": ("sft",), "judge": ("reward",), "practice": ("rloo", "grpo")}
"""The methods of each stage, the usual one first."""


@dataclass(frozen=True, slots=True)
class Next:
    """A run to come: `method`, going on from the run `parent` ("": afresh), with the reward model of the run `reward`
    ("": none)."""

    method: str
    parent: str = ""
    reward: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """`run`: the newest one of this stage that did not fail, if there is one. `next`: what it can be begun with, or
    begun anew; nothing while the stage before is not done."""

    name: StageName
    run: RunSummary | None
    next: tuple[Next, ...]

    @property
    def done(self) -> bool:
        return self.run is not None and has_result(self.run)


def has_result(run: RunSummary) -> bool:
    """Whether other runs can build on it."""
    return run.state.ended is not None and run.state.ended.adapter is not None


def chain(runs: Sequence[RunSummary], model: str) -> tuple[Stage, Stage, Stage]:
    """The stages of RLHF with this base model, around the newest of its runs (`runs`: newest first)."""
    known = [run for run in runs if run.record.spec.model.source == model and _can_be_built_on(run)]
    newest = next((run for run in known if _stage(run) is not None), None)
    answers, judge, practice = _around(known, newest) if newest else (None, None, None)
    first = answers.record.id if answers and has_result(answers) else ""
    judges = judge.record.id if judge and has_result(judge) else ""
    return (
        Stage("answers", answers, (Next("sft"),)),
        Stage("judge", judge, (Next("reward", first),) if first else ()),
        Stage("practice", practice, tuple(Next(m, first, judges) for m in STAGES["practice"]) if judges else ()),
    )


def offers(run: RunSummary, runs: Sequence[RunSummary]) -> tuple[Next, ...]:
    """What can follow this run: answers after documents, a reward model after answers, practice after that."""
    if not has_result(run) or run.record.spec.tuner.kind == "full":
        return ()
    own = run.record.id
    match _stage(run):
        case "answers":
            return (Next("reward", own),)
        case "judge":
            parent = run.record.spec.model.adapter
            alive = parent if parent in {one.record.id for one in runs} else ""
            return tuple(Next(method, alive, own) for method in STAGES["practice"])
        case None if run.record.spec.method.kind == "cpt":
            return (Next("sft", own),)
    return ()


def documents_read(runs: Sequence[RunSummary], model: str) -> Next | None:
    """Answers to be learned after documents, where the newest run of this model has read on in some."""
    newest = next((run for run in runs if run.record.spec.model.source == model and has_result(run)), None)
    found = offers(newest, runs) if newest and newest.record.spec.method.kind == "cpt" else ()
    return next(iter(found), None)


def main_figure(run: RunSummary, state: RunState) -> tuple[Literal["loss", "accuracy", "reward"], float] | None:
    """What tells how good the run is: of answers the loss on the validation rows, of a reward model the share of
    validation pairs with the better answer ahead, of practice the mean reward. `state` has the curves."""
    match _stage(run):
        case "judge":
            name, value = "accuracy", state.latest("validation_accuracy")
        case "practice":
            name, value = "reward", state.ended.validation_reward if state.ended else None
            value = state.latest("reward") if value is None else value
        case _:
            name, value = "loss", state.ended.validation_loss if state.ended else None
    return None if value is None else (name, value)


def _stage(run: RunSummary) -> StageName | None:
    kind = run.record.spec.method.kind
    return next((name for name, methods in STAGES.items() if kind in methods), None)


def _can_be_built_on(run: RunSummary) -> bool:
    """It has a result or may yet have one."""
    under_way = run.state.status in ("queued", "running", "interrupted")
    return (has_result(run) or under_way) and run.record.spec.tuner.kind != "full"


def _around(
    known: Sequence[RunSummary], newest: RunSummary
) -> tuple[RunSummary | None, RunSummary | None, RunSummary | None]:
    """The runs of the chain that `newest` is part of."""
    by_id = {run.record.id: run for run in known}
    spec = newest.record.spec
    before = by_id.get(spec.model.adapter)
    match _stage(newest):
        case "practice":
            judge = next((by_id[run] for run in spec.method.reward_runs if run in by_id), None)
            return before, judge, newest
        case "judge":
            return before, newest, None
    return newest, None, None  # nothing goes on from it yet, for that would be newer
