"""A run that trains in the shell: its bar, its end as values and as text."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any

from studio.backend.studio import Studio
from studio.messages import translate
from studio.runs.coach import Note, coach
from studio.runs.events import Ended, RunState
from studio.runs.remedies import diagnose
from studio.runs.spec import RunSpec
from studio.runs.ways import Change
from studio.shell.command_line import Outcome

_POLL_SECONDS = 0.25


def train(studio: Studio, name: str, language: str, cautions: Sequence[str] = ()) -> Outcome:
    """Train a queued run with a bar on standard error; Ctrl-C stops it as the page's button does. `cautions` were told
    before."""
    with stopping(studio.runner.interrupt, translate("cli.train.stopping", language)):
        training = _in_background(lambda: studio.runner.run_now(name))
        _show(studio, name, training, language)
    ended = training.result()
    state = studio.runner.state(name)
    folder = studio.store.run_folder(name)
    values: dict[str, Any] = {
        "run": name,
        "name": studio.runner.record(name).name,
        "status": ended.status,
        "steps": ended.step,
        "total_steps": state.total_steps,
        **losses(state),
        "seconds": round(ended.seconds, 3),
        "adapter": str(folder / ended.adapter) if ended.adapter else None,
        "adapter_sha256": ended.adapter_sha256,
        "notices": [
            translate(key, language, **found)
            for key, found in (
                *((notice.key, notice.values) for notice in state.notices),
                *studio.runner.where_to_look(name),
            )
        ],
        "cautions": list(cautions),
        "notes": [_note(note, language) for note in coach(state, studio.runner.record(name).spec)],
    }
    if ended.status == "failed" and ended.key:
        values |= {"error": translate(ended.key, language, **ended.values), "key": ended.key}
        values |= _remedies(state, studio.runner.record(name).spec)
    code = 0 if ended.status == "done" else 2 if ended.wrong_input else 1
    return Outcome(values, _train_text(values, ended, language), code=code)


def _train_text(values: dict[str, Any], ended: Ended, language: str) -> str:
    names = ("run", "steps", "total_steps", "loss_before", "loss_after", "adapter")
    shown = {name: number(values[name]) for name in names}
    notices = [notice for notice in values["notices"] if notice not in values["cautions"]]
    lines = [*notices, translate(f"cli.train.{ended.status}", language, **shown)]
    lines += [translate("cli.train.note", language, step=one["step"], note=one["message"]) for one in values["notes"]]
    if values.get("remedies"):
        told = " ".join(f"--set {path}={json.dumps(value)}" for path, value in values["remedies"][0].items())
        cause = translate(f"diagnosis.{values['cause']}", language)
        lines.append(translate("cli.train.cause", language, cause=cause, settings=told))
    if ended.adapter:
        lines.append(translate("cli.train.next", language, run=values["run"]))
    return "\n".join(lines)


def _note(note: Note, language: str) -> dict[str, Any]:
    """A note of the coach, with the first settings that it would change."""
    return {
        "rule": note.rule,
        "metric": note.metric,
        "step": note.step,
        "message": translate(note.key, language, **note.values),
        "settings": next((dict(way.settings) for way in note.ways if isinstance(way, Change)), {}),
    }


def _remedies(state: RunState, spec: RunSpec) -> dict[str, Any]:
    """Why it failed, where that is known, and the settings that may mend it, the best first."""
    if (found := diagnose(state, spec)) is None:
        return {"cause": None, "remedies": []}
    changes = [way for way in found.ways if isinstance(way, Change) and way.settings and not way.step]
    return {"cause": found.cause, "remedies": [dict(way.settings) for way in changes]}


def losses(state: RunState) -> dict[str, float | str | None]:
    """Loss before and after: of the validation rows, or of the training rows where there are none."""
    if state.validation_loss_before is not None:
        measured = [c.validation_loss for c in state.checkpoints if c.validation_loss is not None]
        last = measured[-1] if measured else None
        after = state.ended.validation_loss if state.ended else None
        return {
            "loss_before": state.validation_loss_before,
            "loss_after": last if after is None else after,
            "loss_of": "validation",
        }
    points = state.curves.get("loss", [])
    ends = (points[0][1], points[-1][1]) if points else (None, None)
    return {"loss_before": ends[0], "loss_after": ends[1], "loss_of": "training"}


def _in_background(work: Callable[[], Ended]) -> Future[Ended]:
    """Work in a thread that does not keep the process alive."""
    future: Future[Ended] = Future()

    def body() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # handed to whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=body, name="studio-training", daemon=True).start()
    return future


def _show(studio: Studio, name: str, training: Future[Ended], language: str) -> None:
    from tqdm import tqdm

    with tqdm(desc=translate("cli.train.preparing", language), unit=translate("cli.train.unit", language),
              file=sys.stderr, total=0, mininterval=0.2) as bar:  # fmt: skip
        running = True
        while running:
            running = bool(wait([training], timeout=_POLL_SECONDS).not_done)
            state = studio.runner.state(name)
            if state.started is None:
                continue
            if not bar.total:
                bar.set_description(studio.runner.record(name).name, refresh=False)
                bar.reset(state.total_steps)
                bar.initial = state.started.from_step
            if state.step == bar.n and not sys.stderr.isatty():
                continue  # a log file gets a line per step, not one per look
            bar.n = state.step
            losses = {key: state.latest(key) for key in ("loss", "validation_loss")}
            shown = {translate(f"cli.train.{k}", language): f"{v:.3f}" for k, v in losses.items() if v is not None}
            bar.set_postfix(shown, refresh=False)
            bar.refresh()


@contextmanager
def stopping(stop: Callable[[], None], told: str) -> Iterator[None]:
    """The first Ctrl-C lets the work save what it has and end; the second leaves at once, as a crash would."""
    asked = False

    def handle(*_: object) -> None:
        nonlocal asked
        if asked:
            os._exit(1)
        asked = True
        print("\n" + told, file=sys.stderr, flush=True)
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def number(value: Any) -> str:
    """A loss with four decimals, a dash for what is not known."""
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
