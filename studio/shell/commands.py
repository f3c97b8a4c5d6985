"""What each command does: one call of the backend, its result as values and as text.

`runs` and `chat` only read the workspace and `data check` leaves it alone, so they work beside an open studio.
"""

import argparse
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from studio.errors import InputError, Stopped
from studio.messages import translate
from studio.runs.reference import settings_reference
from studio.runs.spec import STARTER, ModelSpec
from studio.shell.command_line import Outcome
from studio.shell.data_commands import check, clean, export_data, import_data, mix, split
from studio.shell.options import Refused, cluster_of, evaluation_plan, export_spec, full_path, make_spec, ways_out
from studio.shell.publishing import push
from studio.shell.report_text import report_text, report_values
from studio.shell.serving import serve
from studio.shell.text_table import printable, text_table
from studio.shell.training import losses, number, stopping, train
from studio.shell.workspace import bar_of, open_data, open_studio

_PORT = 7860
_JUDGE_KEY = "STUDIO_JUDGE_KEY"


def open_page(options: argparse.Namespace) -> Outcome:
    """`studio`: show the page until interrupted."""
    with open_studio(options, worker=True) as studio:
        gc.disable()  # imports leave hardly any garbage, and looking for it is a tenth of the start-up time
        from studio.ui.app import serve as show_page

        gc.enable()

        browser, mcp = not options.no_browser, options.mcp or studio.settings.mcp
        try:
            show_page(studio, _PORT if options.port is None else options.port, browser, mcp)
        except InputError as error:
            if options.port is not None or error.key not in ("error.port.in_use", "error.port.refused"):
                raise
            show_page(studio, 0, browser, mcp)
    return Outcome()


def run(options: argparse.Namespace) -> Outcome:
    """`studio run`: train, from a spec file or from data and a preset."""
    with open_studio(options) as studio:
        version = open_data(studio, options.data) if options.data else None
        cluster = cluster_of(options)
        make = lambda: make_spec(options, studio, version)  # noqa: E731
        try:
            record = studio.start(make, options.name, cluster=cluster)
        except InputError as error:
            raise Refused(error, ways_out(studio, make)) from None
        spec = record.spec
        cautions = [translate(key, options.language, **values) for key, values in studio.cautions(spec)]
        for caution in cautions:
            print(caution, file=sys.stderr)
        return train(studio, record.id, options.language, cautions)


def resume(options: argparse.Namespace) -> Outcome:
    """`studio resume RUN`: go on from the last checkpoint."""
    with open_studio(options) as studio:
        studio.runner.resume(options.run)
        return train(studio, options.run, options.language)


def runs(options: argparse.Namespace) -> Outcome:
    """`studio runs`: the history, newest first."""
    with open_studio(options, read_only=True) as studio:
        history = studio.runner.runs()
    rows = [
        {
            "run": item.record.id,
            "name": item.record.name,
            "created": datetime.fromtimestamp(item.record.created, UTC).isoformat(timespec="seconds"),
            "status": item.state.status,
            "steps": item.state.step,
            "total_steps": item.state.total_steps,
            "method": item.record.spec.method.kind,
            "model": item.record.spec.model.source,
            "data": item.dataset_name,
            **losses(item.state),
            "notes": item.record.notes,
        }
        for item in history
    ]
    return Outcome({"runs": rows}, _runs_text(rows, options.language))


def settings(options: argparse.Namespace) -> Outcome:
    """`studio settings`: the reference of all settings."""
    text = settings_reference(options.language)
    return Outcome({"settings": text}, text)


def export(options: argparse.Namespace) -> Outcome:
    """`studio export RUN --to DIR_OR_ZIP`: what was tuned with its card, proven before it is given."""
    elsewhere = options.adapter is not None or options.model is not None
    if (options.run is None) != elsewhere:
        raise InputError("error.cli.run_or_adapter")
    spec = export_spec(options)
    stop = threading.Event()
    interrupt = stopping(stop.set, translate("cli.export.stopping", options.language))
    with open_studio(options) as studio, _export_bar(options.language) as progress, interrupt:
        if options.run is None:
            base = ModelSpec(source=full_path(options.model or STARTER))
            made = studio.exports.write_outside(base, options.adapter, options.to, spec, progress, stop.is_set)
        else:
            made = studio.exports.write(options.run, options.to, options.step, spec, progress, stop.is_set)
    values = {"run": made.run, "path": str(made.path), "bytes": made.bytes, "sha256": made.sha256, "files": made.files}
    told = {"spec": made.spec.model_dump(), "proof": made.proof.model_dump(mode="json")}
    facts = {"path": made.path, "program": made.proof.program, "prompts": made.proof.prompts, "equal": made.proof.equal}
    done = [translate("cli.export.done", options.language, **facts)]
    if made.window:
        done.append(translate("ui.export.window", options.language, tokens=made.window))
    return Outcome({**values, **told, "window": made.window}, "\n".join(done))


def chat(options: argparse.Namespace) -> Outcome:
    """`studio chat RUN --prompt TEXT`: the base model's answer and the tuned one's."""
    with open_studio(options, read_only=True) as studio:
        from studio.backend.compare import Column, CompareRequest
        from studio.data.records import Message

        turns = (Message("user", options.prompt),)
        request = CompareRequest(
            columns=tuple(Column(who, turns) for who in studio.compare.beside_base(options.run, options.step)),
            system=options.system,
            temperature=options.temperature,
            top_p=options.top_p,
            max_new_tokens=options.max_tokens,
            seed=options.seed,
        )
        *_, last = studio.compare.stream(request)
    base, tuned = last.columns
    values = {
        "run": options.run,
        "prompt": options.prompt,
        "base": base.text,
        "tuned": tuned.text,
        "base_model": base.name,
        "tuned_model": tuned.name,
        "adapter_sha256": tuned.adapter_sha256,
        "base_tokens": base.tokens,
        "tuned_tokens": tuned.tokens,
        "seconds": max(base.seconds, tuned.seconds),
        "identical": tuned.identical,
    }
    columns = [printable(f"[{column.name}]\n{column.text}") for column in (base, tuned)]
    warning = [translate("cli.chat.identical", options.language)] if tuned.identical else []
    return Outcome(values, "\n\n".join([*columns, *warning]))


def evaluate(options: argparse.Namespace) -> Outcome:
    """`studio evaluate RUN`: base and tuned model answer the same rows; figures, verdict, and what to try next."""
    run, step, language = options.run, options.step, options.language
    asked_to_stop = threading.Event()
    with open_studio(options) as studio:
        plan = evaluation_plan(options, studio)
        try:
            with (
                stopping(asked_to_stop.set, translate("cli.evaluate.stopping", language)),
                bar_of("ui.evaluate.going", language) as progress,
            ):
                key = os.environ.get(_JUDGE_KEY, "")
                studio.evaluations.evaluate(run, step, plan, progress, asked_to_stop.is_set, key)
        except Stopped:
            raise Stopped("cli.evaluate.stopped") from None
        studio.evaluations.set_plan(run, plan)
        report = studio.reports.report(run, step, plan)
    assert report is not None, "all were asked"
    return Outcome(report_values(run, step, report, language), report_text(report, language))


COMMANDS: dict[str, Callable[[argparse.Namespace], Outcome]] = {
    "open": open_page,
    "run": run,
    "resume": resume,
    "runs": runs,
    "settings": settings,
    "export": export,
    "push": push,
    "chat": chat,
    "serve": serve,
    "evaluate": evaluate,
    "import": import_data,
    "check": check,
    "clean": clean,
    "split": split,
    "mix": mix,
    "data_export": export_data,
}


@contextmanager
def _export_bar(language: str) -> Iterator[Callable[[float, str], None]]:
    from tqdm import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}"
    with tqdm(total=1.0, file=sys.stderr, bar_format=form, desc=translate("cli.export.bar", language)) as bar:

        def tell(share: float, key: str) -> None:
            bar.set_description(translate(key, language), refresh=False)
            bar.update(share - bar.n)

        yield tell


def _runs_text(rows: list[dict[str, Any]], language: str) -> str:
    if not rows:
        return translate("cli.runs.none", language)
    names = ("run", "name", "status", "steps", "loss_before", "loss_after", "data", "method", "model")
    head = [translate(f"cli.runs.{name}", language) for name in names]
    return text_table([head, *([_cell(row, name, language) for name in names] for row in rows)])


def _cell(row: dict[str, Any], name: str, language: str) -> str:
    value = row[name]
    if name == "steps":
        return f"{value}/{row['total_steps']}"
    if name == "status":
        return translate(f"cli.status.{value}", language)
    return printable(number(value))
