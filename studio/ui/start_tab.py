"""The first tab: what the studio is, where to begin, how far the work has come."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import gradio as gr

from studio.backend.runner import RunSummary
from studio.ui.markup import ACTIONS, badge, shown
from studio.ui.page import Page, goto, html

StepState = Literal["done", "next", "now", "missing"]
_TONES = {"done": "good", "next": "accent", "now": "accent", "missing": "plain"}
_METHODS = ("sft", "lora", "pretraining", "preference", "rows", "quality", "forgetting", "prompt")
_SHOWN_RUNS = 5

_HERO_ACTIONS = f"""{ACTIONS}
const which = element.querySelector('#start-which');
which.addEventListener('click', () => {{
  const open = document.querySelector('#start-guide .s-guide').classList.toggle('s-open');
  which.setAttribute('aria-expanded', String(open));
  if (open) document.querySelector('#start-guide').scrollIntoView({{behavior: 'smooth', block: 'start'}});
}});
"""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the journey; its name is that of its tab."""

    name: str
    state: StepState


def journey(has_data: bool, runs: Sequence[RunSummary], evaluated: bool, exported: bool) -> tuple[Step, ...]:
    """How far the work has come. One step is `next`, unless a run is under way (`now`) or all is done."""
    usable = any(run.state.usable for run in runs)
    busy = any(run.state.status in ("queued", "running") for run in runs)
    compared = evaluated or exported
    done = {"data": has_data, "train": bool(runs), "runs": usable, "compare": compared, "evaluate": evaluated}
    done["export"] = exported
    steps: list[Step] = []
    found = False
    for name, finished in done.items():
        if finished:
            steps.append(Step(name, "done"))
        elif not found:
            steps.append(Step(name, "now" if busy and name == "runs" else "next"))
            found = True
        else:
            ready = name in ("evaluate", "export") and usable
            steps.append(Step(name, "next" if ready else "missing"))
    return tuple(steps)


def build(page: Page, blocks: gr.Blocks, tab: gr.Tab) -> None:
    """Lay the tab out; it shows the state of the workspace anew whenever it is opened."""
    hero = html(_hero(page), elem_id="start-hero", js_on_load=_HERO_ACTIONS)
    html(_guide(page), elem_id="start-guide")
    state = html("", elem_id="start-state", js_on_load=ACTIONS)

    def begin(event: gr.EventData) -> tuple[object, ...]:
        if event._data["act"] == "own":
            return None, goto("data")
        sample = first_sample([card.name for card in page.studio.datasets.samples()], page.language)
        return page.studio.datasets.open_sample(sample).id, goto("data")

    def follow(event: gr.EventData) -> tuple[object, ...]:
        act = event._data
        return (act["run"] if act["act"] == "run" else gr.skip()), goto(act["tab"])

    def refresh() -> str:
        studio = page.studio
        runs = studio.runner.runs()
        exported = any((studio.settings.workspace / "exports").glob("*.zip"))
        return _state(
            page, journey(bool(studio.datasets.versions()), runs, studio.store.evaluated, exported), runs[:_SHOWN_RUNS]
        )

    quick = {"queue": False, "show_progress": "hidden"}
    hero.click(page.guard(begin), outputs=[page.version, page.tabs], **quick)
    state.click(page.guard(follow), outputs=[page.run, page.tabs], **quick)
    gr.on([blocks.load, tab.select], page.guard(refresh), outputs=state, **quick)


def first_sample(names: Sequence[str], language: str) -> str:
    """The sample to try first: the first whose name ends in the page's language, else the first of all."""
    return next((name for name in names if name.endswith(f"-{language}")), names[0])


def _hero(page: Page) -> str:
    choices = "".join(
        f'<button type="button" id="start-{act}" class="s-choice{" s-main" if act == "sample" else ""}" {extra}>'
        f"<b>{shown(page.t(f'ui.start.{act}.title'))}</b><span>{shown(page.t(f'ui.start.{act}.text'))}</span></button>"
        for act, extra in (
            ("sample", 'data-act="sample"'),
            ("own", 'data-act="own"'),
            ("which", 'aria-expanded="false" aria-controls="start-guide"'),
        )
    )
    return (
        f'<h1 class="s-h1">{shown(page.t("ui.start.headline"))}</h1>'
        f'<p class="s-lead">{shown(page.t("ui.start.lead"))}</p><div class="s-choices">{choices}</div>'
    )


def _guide(page: Page) -> str:
    methods = "".join(
        f"<div><h3>{shown(page.t(f'ui.start.guide.{name}.title'))}</h3>"
        f"<p>{shown(page.t(f'ui.start.guide.{name}.text'))}</p></div>"
        for name in _METHODS
    )
    return (
        f'<section class="s-card s-guide"><h2 class="s-h2">{shown(page.t("ui.start.guide.headline"))}</h2>'
        f'<div class="s-methods">{methods}</div></section>'
    )


def _state(page: Page, steps: Sequence[Step], runs: Sequence[RunSummary]) -> str:
    items = "".join(
        f'<li class="s-{step.state}"><button type="button" data-act="tab" data-tab="{step.name}">'
        f"{badge(page.t(f'ui.start.step.{step.state}'), _TONES[step.state])}"
        f"<b>{number}. {shown(page.t(f'ui.start.step.{step.name}.title'))}</b>"
        f"<small>{shown(page.t(f'ui.start.step.{step.name}.text'))}</small></button></li>"
        for number, step in enumerate(steps, 1)
    )
    place = f'<span class="s-path">{shown(page.studio.settings.workspace)}</span>'
    return (
        f'<h2 class="s-h2">{shown(page.t("ui.start.journey"))}</h2><ol class="s-steps">{items}</ol>'
        f"{_recent(page, runs)}"
        f'<p class="s-muted s-place">{shown(page.t("ui.start.workspace"))} {place}</p>'
    )


def _recent(page: Page, runs: Sequence[RunSummary]) -> str:
    if not runs:
        return ""
    tones = {"done": "good", "running": "accent", "queued": "plain", "stopped": "warn", "interrupted": "warn"}
    items = "".join(
        f'<li><button type="button" data-act="run" data-run="{shown(run.record.id)}" data-tab="runs">'
        f"{badge(page.t(f'ui.start.run.{run.state.status}'), tones.get(run.state.status, 'bad'))}"
        f'<span class="s-grow">{shown(run.record.name)}</span>'
        f'<span class="s-muted">{shown(run.dataset_name)}</span></button></li>'
        for run in runs
    )
    return (
        f'<div class="s-card s-recent"><h2 class="s-h2">{shown(page.t("ui.start.recent"))}</h2>'
        f'<ul class="s-runs">{items}</ul></div>'
    )
