"""The two lists that choose an adapter: a run, and of it the result or a checkpoint."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from studio.backend.candidates import Candidate
from studio.ui.checkpoint_view import measured
from studio.ui.page import Page
from studio.ui.run_view import moment

_KEPT = "kept"  # the value of a run's result in the list; those of checkpoints are their steps


def first_of(found: Sequence[Candidate], run: str | None) -> Candidate:
    """A run's result, or its newest checkpoint as long as there is none; of the newest run if `run` is not there."""
    return next((c for c in found if c.run == run), found[0])


def find(found: Sequence[Candidate], run: str, key: str) -> Candidate:
    """The contestant that the lists' values name."""
    return next((c for c in found if c.run == run and _key(c) == key), first_of(found, run))


def choices(page: Page, found: Sequence[Candidate], chosen: Candidate) -> list[Any]:
    """Both lists with `chosen` in them: runs, newest first; the kept adapter, then the checkpoints by step."""
    runs = [
        (f"{record.name} · {moment(record.created)}", run)
        for run in dict.fromkeys(c.run for c in found)
        for record in (page.studio.runner.record(run),)
    ]
    own = sorted((c for c in found if c.run == chosen.run), key=lambda c: -1 if c.step is None else c.step)
    steps = [(_label(page, c), _key(c)) for c in own]
    return [gr.update(choices=runs, value=chosen.run), gr.update(choices=steps, value=_key(chosen))]


def _label(page: Page, contestant: Candidate) -> str:
    kept = contestant.step is None
    label = page.t("ui.compare.kept") if kept else page.t("ui.compare.checkpoint_step", step=contestant.step)
    if contestant.full:
        label = page.t("ui.compare.whole_model", label=label)
    return measured(label, contestant.validation_loss, contestant.validation_reward, page.t)


def _key(contestant: Candidate) -> str:
    return _KEPT if contestant.step is None else str(contestant.step)
