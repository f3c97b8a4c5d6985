"""What was typed -> settings of a run, plan of an evaluation, cluster. What to type instead where a run is refused."""

import argparse
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from studio.backend.datasets import Version
from studio.backend.studio import Studio
from studio.errors import InputError, SpecError
from studio.evaluation.exams import LM_EVAL
from studio.evaluation.plan import BUILT_IN, EvaluationPlan, make_plan
from studio.messages import translate
from studio.runs.cluster import ClusterSpec, parse_cluster
from studio.runs.exports import MOST_PROMPTS, NUMBERS, ExportSpec
from studio.runs.presets import find_preset
from studio.runs.spec import STARTER, RunSpec, load_spec, with_changes
from studio.shell.workspace import existing_file, text_of


def evaluation_plan(options: argparse.Namespace, studio: Studio) -> EvaluationPlan:
    """How the run was evaluated last, with what is asked for now. Files become data sets of the workspace."""
    known = {version.id for version in studio.datasets.versions()}

    def version(name: str, open_file: Callable[[str], str]) -> str:
        return name if name in known else open_file(str(existing_file(name)))

    values = studio.evaluations.plan(options.run).model_dump()
    given = {name: getattr(options, name) for name in ("side", "rows", "exam_rows", "system", "shots")}
    values |= {name: value for name, value in given.items() if value is not None}
    if options.data is not None:
        values["version"] = version(options.data, lambda file: studio.datasets.import_file(Path(file)).id)
        values["side"] = options.side or "all"
    if options.exam or options.no_exam:
        bring = studio.evaluations.questions.import_exam
        values["exams"] = [
            name if name in BUILT_IN or name.startswith(LM_EVAL) else version(name, bring) for name in options.exam
        ]
    if options.other:
        values["others"] = [{"source": full_path(name)} for name in options.other]
    if options.adapter:
        values["adapters"] = [full_path(folder) for folder in options.adapter]
    if options.metric:
        values["metrics"] = options.metric
    if options.schema is not None:
        values["json_schema"] = text_of(options.schema)
    if options.judge is not None:
        model = options.judge if options.judge_address or not options.judge else full_path(options.judge)
        waits = {} if options.judge_seconds is None else {"seconds": options.judge_seconds}
        values["judge"] = {"model": model, "address": options.judge_address or "", **waits} if model else None
    elif options.judge_address or options.judge_seconds:
        raise InputError("error.cli.required", command="studio evaluate", names="--judge")
    return make_plan(values)


def export_spec(options: argparse.Namespace) -> ExportSpec:
    """What an export is to be. Raises InputError for a target or a kind of numbers that there is not."""
    if options.target not in NUMBERS:
        known = ", ".join(NUMBERS)
        raise InputError(
            "error.cli.choice", name="--target", value=options.target, known=known, command="studio export"
        )
    kinds = NUMBERS[options.target]
    if options.numbers and options.numbers not in kinds:
        known = ", ".join(kinds)
        raise InputError(
            "error.cli.choice", name="--numbers", value=options.numbers, known=known, command="studio export"
        )
    asked = {} if options.prompts is None else {"prompts": min(options.prompts, MOST_PROMPTS)}
    return ExportSpec(target=options.target, numbers=options.numbers, rows=options.rows, **asked)


def full_path(model: str) -> str:
    """A folder's full path, so that the run can be resumed from anywhere; other names stay."""
    folder = Path(model).expanduser()
    return str(folder.absolute()) if folder.is_dir() else model


def make_spec(options: argparse.Namespace, studio: Studio, version: Version | None) -> RunSpec:
    changes = {path: _value(path, text) for path, text in options.changes}
    method = options.method or changes.get("method.kind")
    tuner = "full" if changes.get("tuner.kind") == "full" else "lora"
    if options.spec is not None:
        spec = load_spec(text_of(options.spec), options.spec.name)
        named = {"method.kind": method, "model.source": options.model}
        spec = with_changes(spec, {path: value for path, value in named.items() if value})
        if options.preset:
            studio.models.look(spec.model.source)
            width = studio.models.width(spec.model.source)
            spec = find_preset(studio.settings.presets, options.preset).apply(spec, width)
    elif version is None:
        raise InputError("error.cli.no_data")
    else:
        model = options.model or STARTER
        studio.models.look(model)
        spec = studio.default_spec(version.id, options.preset or "quick-look", model, method, tuner)
    chosen: dict[str, Any] = {}
    if version is not None:
        chosen |= {"data.version": version.id, "data.mapping": None}
    if options.model:
        chosen["model.source"] = options.model
    spec = with_changes(spec, _adapter_settings(changes, studio) | chosen | changes)
    if not spec.data.version:
        raise InputError("error.cli.no_data")
    places = {"model.source": spec.model.source, "model.adapter_folder": spec.model.adapter_folder}
    return with_changes(spec, {path: full_path(place) for path, place in places.items() if place})


def _value(path: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError("error.cli.value", command="studio run", name=f"--set {path}", value=text) from None


def _adapter_settings(changes: Mapping[str, Any], studio: Studio) -> dict[str, Any]:
    """What an adapter that is named asks of the settings; nothing where it cannot be used, which is told later."""
    try:
        folder = changes.get("model.adapter_folder")
        return studio.adapter_settings(str(folder)) if folder else {}
    except InputError:
        return {}


def cluster_of(options: argparse.Namespace) -> ClusterSpec | None:
    """Where to train. Raises InputError when workers or shards are asked for and no cluster."""
    if options.cluster is None:
        if options.workers is not None or options.shard:
            raise InputError("error.cli.no_cluster")
        return None
    workers = {} if options.workers is None else {"workers": options.workers}
    return parse_cluster({"address": options.cluster, **workers, "sharding": "full" if options.shard else "none"})


class Refused(InputError):
    """A run that was refused, told with what to add to the command."""

    def __init__(self, error: InputError, ways: Sequence[Sequence[str]]) -> None:
        super().__init__(error.key, **error.values)
        self._error = error
        self._ways = ways

    def message(self, language: str = "en") -> str:
        either = translate("cli.run.or", language)
        lines = [f"  {f' {either} '.join(options)}" for options in self._ways]
        head = [translate("cli.run.ways", language)] if lines else []
        return "\n".join([self._error.message(language), *head, *lines])


def ways_out(studio: Studio, make: Callable[[], RunSpec]) -> list[list[str]]:
    """For each problem that other settings mend, the options that say so, one of which is enough."""
    try:
        asked: RunSpec | SpecError = make()
    except SpecError as error:
        asked = error
    except InputError:
        return []  # nothing is known of a run that cannot be put together
    found = (problem.ways for problem in studio.problems(asked) if problem.ways)
    return [[" ".join(_option(*change) for change in way.items()) for way in ways] for ways in found]


def _option(path: str, value: Any) -> str:
    if path == "method.kind":
        return f"--method {value}"
    if isinstance(value, dict):
        value = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, width=10_000).strip()
    return f"--set {shlex.quote(f'{path}={value}')}"
