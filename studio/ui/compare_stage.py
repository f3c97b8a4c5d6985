"""What the parts of the Compare tab share: the widgets, and how they are set."""

import threading
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.backend.compare import CompareRequest
from studio.backend.talks import Talk
from studio.ui.column_form import Panel


@dataclass(frozen=True, slots=True)
class Stage:
    """What the parts of the tab share. `stops`: of the answers being written, by browser session. `options`: how to
    answer. `panels`: who stands beside the chosen run."""

    talk: gr.State
    main: gr.State
    examples: gr.State
    view: gr.HTML
    controls: list[Any]
    options: list[Any]
    panels: list[Panel]
    stops: dict[str, threading.Event]


def controls_of(talk: Talk, *, busy: bool) -> list[Any]:
    """Send or Stop, regenerate, clear, their row, run, checkpoint."""
    idle = not busy
    return [
        gr.update(visible=idle),
        gr.update(visible=busy),
        gr.update(interactive=idle),
        gr.update(interactive=idle),
        gr.update(visible=bool(talk.turns)),
        gr.update(interactive=idle),
        gr.update(interactive=idle),
    ]


def how_to_answer(
    run: str, system: str, temperature: float, top_p: float, most: float, seed: float | None
) -> CompareRequest:
    """What the widgets say, of no columns yet; an emptied seed box is 0. `run`: whose training rows are shown to those
    who are shown examples."""
    return CompareRequest(
        (),
        system=system,
        temperature=temperature,
        top_p=top_p,
        max_new_tokens=int(most),
        seed=int(seed or 0),
        examples_of=run,
    )
