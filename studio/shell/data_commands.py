"""What each command of `studio data` does: one call of the backend, its result as values and as text.

`data check`, `clean`, `split` and `mix` leave the workspace alone, so they work beside an open studio.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from studio.backend.data_package import write_data_package
from studio.backend.studio import Studio
from studio.data.checks import Finding
from studio.data.export_file import check_ending, export_table
from studio.data.mixing import MixSpec
from studio.data.recipe import CleanSpec
from studio.data.splits import SplitSpec
from studio.errors import InputError
from studio.messages import translate
from studio.runs.spec import STARTER
from studio.shell.command_line import Outcome
from studio.shell.options import full_path
from studio.shell.workspace import bar_of, existing_data, open_studio, passing_studio, readable, text_of


def check(options: argparse.Namespace) -> Outcome:
    """`studio data check FILE`: its layout, its rows, and what would spoil training. Nothing is kept."""
    with passing_studio(options.cluster) as studio:
        version = readable(studio, options.file)
        findings = studio.datasets.findings(version.id, full_path(options.model), options.max_length)
    layout = version.mapping.layout if version.mapping else ""
    notes = [translate(note.key, options.language, **note.values) for note in version.notes]
    found = [_told(item, options.language) for item in findings]
    values = {
        "file": str(options.file),
        "format": version.kind,
        "encoding": version.encoding,
        "layout": layout,
        "columns": {column.name: column.type for column in version.columns},
        "rows": version.rows,
        "notes": notes,
        "findings": found,
    }
    head = translate("cli.check.head", options.language, file=version.name, rows=version.rows, layout=layout)
    told = [f"- {item['message']}" for item in found] or [translate("cli.check.clean", options.language)]
    return Outcome(values, "\n".join([head, *notes, *told]))


def import_data(options: argparse.Namespace) -> Outcome:
    """`studio data import FILE`: a new data set of the workspace, from a file, an archive or a folder."""
    with open_studio(options) as studio:
        version = studio.datasets.import_file(existing_data(options.file), encoding=options.encoding)
    layout = version.mapping.layout if version.mapping else "-"
    values = {"version": version.id, "name": version.name, "rows": version.rows, "layout": layout}
    notes = [translate(note.key, options.language, **note.values) for note in version.notes]
    done = translate(
        "cli.import.done", options.language, file=version.name, rows=version.rows, layout=layout, version=version.id
    )
    return Outcome({**values, "notes": notes}, "\n".join([done, *notes]))


def clean(options: argparse.Namespace) -> Outcome:
    """`studio data clean FILE --recipe RECIPE.yaml --to OUT`: the cleaned rows as a file."""
    check_ending(options.to)
    recipe = CleanSpec.from_yaml(text_of(options.recipe), options.recipe.name)
    with passing_studio(options.cluster) as studio, bar_of("cli.clean.about", options.language) as progress:
        version = readable(studio, options.file)
        cleaned = studio.datasets.clean(version.id, recipe, progress)
        export_table(studio.datasets.table(cleaned.id), options.to)
    report = cleaned.report if cleaned.id != version.id else None
    steps = [] if report is None else report.steps
    values = {
        "file": str(options.file),
        "path": str(options.to),
        "rows_before": version.rows,
        "rows_after": cleaned.rows,
        "steps": [step.model_dump() for step in steps],
    }
    done = translate("cli.clean.done", options.language, before=version.rows, after=cleaned.rows, path=options.to)
    return Outcome(values, "\n".join([*(f"- {step.message(options.language)}" for step in steps), done]))


def export_data(options: argparse.Namespace) -> Outcome:
    """`studio data export VERSION --to DIR_OR_ZIP`: a version with its recipe, where it comes from, and its card."""
    with open_studio(options) as studio, bar_of("cli.export.bar", options.language) as progress:
        made = write_data_package(
            studio.datasets, studio.settings, options.version, options.to, options.format, progress
        )
    values = {"version": options.version, "path": str(made.path), "files": made.files, "sha256": made.sha256}
    rows = next(iter(made.files.values()))
    return Outcome(values, translate("cli.data_export.done", options.language, rows=rows, path=made.path))


def split(options: argparse.Namespace) -> Outcome:
    """`studio data split FILE --to DIR`: train, validation and test rows as files of their own."""
    spec = SplitSpec(
        validation_share=options.validation,
        test_share=options.test,
        seed=options.seed,
        stratify=options.stratify,
        group_near_duplicates=options.group_near_duplicates,
    )
    with passing_studio() as studio:
        version = readable(studio, options.file)
        parts = studio.datasets.split(version.id, spec)
        table = studio.datasets.table(version.id)
        counts = {}
        for name in ("train", "validation", "test"):
            chosen = {int(row) for row in getattr(parts, name)}
            if chosen:
                path = options.to / f"{name}.{options.format}"
                export_table(table, path, (row for row in table.read() if row.id in chosen))
            counts[name] = len(chosen)
    left = version.rows - sum(counts.values())
    return Outcome(
        {"file": str(options.file), "path": str(options.to), **counts, "unusable": left},
        translate("cli.split.done", options.language, path=options.to, **counts),
    )


def mix(options: argparse.Namespace) -> Outcome:
    """`studio data mix SPEC.yaml --to OUT`: a mixture as a file; tasks that are held out as another beside it."""
    to: Path | None = None if options.plan else options.to
    if to is not None:
        check_ending(to)
    elif not options.plan:
        raise InputError("error.cli.required", command="studio data mix", names="--to")
    spec = MixSpec.from_yaml(text_of(options.spec), options.spec.name)
    with passing_studio() as studio, bar_of("cli.mix.about", options.language) as progress:
        spec = _with_versions(studio, spec, options.spec.parent)
        planned = studio.mixtures.plan(spec)
        written: dict[str, str] = {}
        if to is not None:
            made = studio.mixtures.make(spec, progress=progress)
            export_table(studio.datasets.table(made.version.id), to)
            written["path"] = str(to)
            if made.held_out is not None:
                apart = to.with_name(f"{to.stem}.held_out{to.suffix}")
                export_table(studio.datasets.table(made.held_out.id), apart)
                written["held_out"] = str(apart)
    parts = [asdict(part) for part in planned.parts]
    lines = [
        translate(
            "cli.mix.part_held_out" if part.held_out else "cli.mix.part",
            options.language, task=part.task, rows=part.rows, source=part.source, share=f"{part.share:.0%}",
        )
        for part in planned.parts
    ]  # fmt: skip
    if written:
        lines.append(translate("cli.mix.done", options.language, rows=planned.rows, path=to))
    return Outcome({"rows": planned.rows, "tokens": planned.tokens, "parts": parts, **written}, "\n".join(lines))


def _with_versions(studio: Studio, spec: MixSpec, folder: Path) -> MixSpec:
    """The spec with its files opened: versions in their place."""
    opened: dict[str, str] = {}

    def version(name: str) -> str:
        if name not in opened:
            opened[name] = studio.datasets.import_file(existing_data(str(folder / Path(name).expanduser()))).id
        return opened[name]

    parts = tuple(part.model_copy(update={"data": version(part.data)}) for part in spec.parts)
    replay = spec.replay
    if replay is not None and replay.data != STARTER:
        replay = replay.model_copy(update={"data": version(replay.data)})
    return spec.model_copy(update={"parts": parts, "replay": replay})


def _told(item: Finding, language: str) -> dict[str, Any]:
    return {
        "kind": item.key.removeprefix("finding."),
        "severity": item.severity,
        "message": item.message(language),
        "count": item.count,
        "rows": list(item.examples),
        "fix": item.fix,
    }
