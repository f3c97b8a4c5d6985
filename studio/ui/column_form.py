"""The panels that say who stands in the columns beside the chosen run: widgets and their values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.backend.candidates import Candidate
from studio.backend.talks import Seat, base_seat, folder_seat, run_seat
from studio.runs.contestants import MOST_SHOTS
from studio.ui.checkpoint_view import measured
from studio.ui.page import Page
from studio.ui.run_view import moment

NOBODY, FOLDER = "", "folder"
PANELS = ("first", "third", "fourth")
"""The second column is the run that is chosen in the lists above."""
EMPTY = (NOBODY, 0, "", "", 0)


@dataclass(frozen=True, slots=True)
class Panel:
    """The widgets of one column: who (`base:` and a model, `run:` and a run's id, FOLDER or NOBODY), which of the run's
    checkpoints, by its place from the first to the result, the folder of an adapter, and a prompt of its own."""

    who: gr.Dropdown
    place: gr.Slider
    folder: gr.Textbox
    system: gr.Textbox
    shots: gr.Slider

    @property
    def inputs(self) -> list[Any]:
        return [self.who, self.place, self.folder, self.system, self.shots]


def panels(page: Page) -> list[Panel]:
    """Lay them out."""
    t = page.t
    found = []
    with gr.Row(elem_classes="cmp-panels"):
        for name in PANELS:
            with gr.Column(min_width=230, elem_classes="cmp-panel"):
                who = gr.Dropdown([], label=t(f"ui.compare.column.{name}"), elem_id=f"compare-{name}")
                place = gr.Slider(0, 1, 0, step=1, visible=False, elem_id=f"compare-{name}-checkpoint")
                folder = gr.Textbox(
                    label=t("ui.compare.column.folder"), info=t("ui.compare.column.folder_help"), max_length=1000,
                    visible=False, elem_id=f"compare-{name}-folder",
                )  # fmt: skip
                system = gr.Textbox(
                    label=t("ui.compare.column.system"), info=t("ui.compare.column.system_help"), lines=1, max_lines=6,
                    max_length=20_000, visible=False, elem_id=f"compare-{name}-system",
                )  # fmt: skip
                shots = gr.Slider(
                    0, MOST_SHOTS, 0, step=1, label=t("ui.compare.column.shots"),
                    info=t("ui.compare.column.shots_help"), visible=False, elem_id=f"compare-{name}-shots",
                )  # fmt: skip
                found.append(Panel(who, place, folder, system, shots))
    return found


def base_key(chosen: Candidate) -> str:
    """The base of a candidate: the same whatever runs come and go."""
    return f"base:{chosen.model.model_dump_json()}"


def checkpoints(found: Sequence[Candidate], run: str) -> list[Candidate]:
    """The run's checkpoints from the first to the last, then its result."""
    return sorted((c for c in found if c.run == run), key=lambda c: (c.step is None, c.step or 0))


def seats_of(found: Sequence[Candidate], chosen: Candidate, values: Sequence[Sequence[Any]]) -> tuple[Seat, ...]:
    """The columns: the first panel's, the chosen run's, then the others'. What is gone meanwhile is left out."""
    first, *others = (_seat(found, chosen, *panel) for panel in values)
    seats = (first, run_seat(chosen), *others)
    return tuple(seat for seat in seats if seat is not None)


def _seat(
    found: Sequence[Candidate], chosen: Candidate, who: str, place: int, folder: str, system: str, shots: int
) -> Seat | None:
    kind, _, run = who.partition(":")
    own = [c for c in found if base_key(c) == who] if kind == "base" else checkpoints(found, run)
    if kind == FOLDER:
        seat = folder_seat(chosen, folder) if folder.strip() else None
    elif not own:
        return None
    else:
        seat = base_seat(own[-1]) if kind == "base" else run_seat(own[min(int(place), len(own) - 1)])
    return seat and seat.prompted(system, int(shots))


def shown_panel(page: Page, found: Sequence[Candidate], values: Sequence[Any], *, needed: bool) -> list[Any]:
    """One panel with these values; `needed`: it cannot be left empty."""
    who, place, folder, system, shots = values
    choices = _choices(page, found, needed=needed)
    if who not in [value for _, value in choices]:
        who, place = choices[0][1], 0
    kind, _, run = who.partition(":")
    own = checkpoints(found, run) if kind == "run" else []
    place = min(int(place), max(0, len(own) - 1))
    slides = len(own) > 1
    anybody = bool(who)
    return [
        gr.update(choices=choices, value=who),
        gr.update(maximum=max(1, len(own) - 1), value=place, visible=slides, label=_told(page, own, place)),
        gr.update(value=folder, visible=kind == FOLDER),
        gr.update(value=system, visible=anybody),
        gr.update(value=shots, visible=anybody),
    ]


def place_label(page: Page, found: Sequence[Candidate], values: Sequence[Any]) -> Any:
    """What stands at the place that the slider of a panel with these values is at."""
    who, place = values[:2]
    kind, _, run = who.partition(":")
    own = checkpoints(found, run) if kind == "run" else []
    return gr.update(label=_told(page, own, min(int(place), len(own) - 1)))


def _choices(page: Page, found: Sequence[Candidate], *, needed: bool) -> list[tuple[str, str]]:
    t = page.t
    bases = {c.model: (t("ui.compare.column.base", name=c.base), base_key(c)) for c in reversed(found)}
    runs = [
        (f"{record.name} · {moment(record.created)}", f"run:{run}")
        for run in dict.fromkeys(c.run for c in found)
        for record in (page.studio.runner.record(run),)
    ]
    nobody = [] if needed else [(t("ui.compare.column.nobody"), NOBODY)]
    return [*nobody, *reversed(bases.values()), *runs, (t("ui.compare.column.outside"), FOLDER)]


def _told(page: Page, own: Sequence[Candidate], place: int) -> str:
    """What stands at a place of the slider."""
    if not own:
        return page.t("ui.compare.checkpoint")
    candidate = own[place]
    step = candidate.step
    label = page.t("ui.compare.kept") if step is None else page.t("ui.compare.checkpoint_step", step=step)
    return measured(label, candidate.validation_loss, candidate.validation_reward, page.t)


def last_place(found: Sequence[Candidate], who: str) -> int:
    """Where the slider of a run begins: at its result."""
    return max(0, len(checkpoints(found, who.partition(":")[2])) - 1)
