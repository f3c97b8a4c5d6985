"""What stands in the way of a run, all of it at once, before anything is loaded.

Each rule stands in one place: what a setting may be in RunSpec, what a model folder must hold in `models`, what the
method needs of the data in `data`; here they are asked together, and with them the rules between a model and settings.
Of a model only its small files are read, and the headers of its weights.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from studio.backend.datasets import Datasets
from studio.backend.engine import load_engine
from studio.backend.sources import check_source, check_template, look_at_folder
from studio.data.chat_templates import ChatTemplate, TemplateUse, cut_markers
from studio.data.lessons import teaches
from studio.data.tokens import refusal
from studio.errors import DataError, InputError, ModelError, PlanError, SpecError, StudioError
from studio.models.adapter_folder import misfit
from studio.models.catalog import UNLIMITED_CONTEXT, problems_of
from studio.models.folder import CONFIG, context_length, read_json, written_template
from studio.runs.methods import RolloutSpec, methods_for
from studio.runs.problems import Problem, spec_problems
from studio.runs.spec import LoraSpec, RunSpec
from studio.runs.store import Store
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.models.loading import LoadedTokenizer
    from studio.models.shape import ModelShape


# So many rows are written with a template to see whether it takes them.
_TRIED_ROWS = 20


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model from its small files; None where one of `problems` kept it from being told. `tokens` are
    those that its tokenizer knows, up to the highest id. `loaded`: that tokenizer, with the model's chat template."""

    name: str
    problems: tuple[StudioError, ...]
    context: int | None = None
    shape: "ModelShape | None" = None
    tokens: int | None = None
    loaded: "LoadedTokenizer | None" = None


@dataclass(frozen=True, slots=True)
class Means:
    """What this machine brings for weights in 4 bits."""

    device: Literal["cpu", "cuda", "mps"]
    bitsandbytes: bool


def model_problems(spec: RunSpec, model: ModelFacts, means: Means) -> Iterator[Problem]:
    """What in a spec does not go with the model or the machine. Pure."""
    yield from (Problem("model.source", error) for error in model.problems)
    if model.shape is not None:
        if model.tokens is not None and model.tokens > model.shape.embedded:
            facts = {"model": model.name, "tokens": model.tokens, "embeddings": model.shape.embedded}
            yield Problem("model.source", InputError("error.model.vocabulary", **facts))
        if isinstance(spec.tuner, LoraSpec) and spec.tuner.targets != "adapter":
            yield from _adapter_problems(spec.tuner, model.name, model.shape)
    if spec.tuner.quantisation == "nf4":
        yield from _four_bits_problems(model, means)
    if model.context is not None:
        yield from _length_problems(spec, model.name, model.context)


def _adapter_problems(tuner: LoraSpec, name: str, shape: "ModelShape") -> Iterator[Problem]:
    layers = shape.adapted(tuner.targets)
    if not layers:
        yield Problem("tuner.targets", InputError("error.model.no_layers", targets=tuner.targets, model=name))
        return
    least = min(layers, key=lambda layer: layer.least_side)
    if tuner.rank > least.least_side:
        facts = {"rank": tuner.rank, "layer": least.name, "inputs": least.inputs, "outputs": least.outputs}
        error = InputError("error.plan.rank", most=least.least_side, **facts)
        yield Problem("tuner.rank", error, ({"tuner.rank": least.least_side},))


def _four_bits_problems(model: ModelFacts, means: Means) -> Iterator[Problem]:
    path, whole = "tuner.quantisation", ({"tuner.quantisation": "none"},)
    if not means.bitsandbytes:
        yield Problem(path, InputError("error.plan.four_bits.missing"), whole)
    if means.device == "mps":
        yield Problem(path, InputError("error.plan.four_bits.device"), whole)
    if model.shape is not None and not any(model.shape.in_four_bits().values()):
        yield Problem(path, InputError("error.plan.four_bits.layers", model=model.shape.name), whole)


def _length_problems(spec: RunSpec, name: str, context: int) -> Iterator[Problem]:
    if spec.data.max_length > context:
        facts = {"max_length": spec.data.max_length, "context": context, "model": name}
        yield Problem("data.max_length", InputError("error.plan.max_length", **facts), ({"data.max_length": context},))
    if isinstance(spec.method, RolloutSpec) and spec.method.max_new_tokens >= context:
        facts = {"tokens": spec.method.max_new_tokens, "context": context, "model": name}
        yield Problem("method.max_new_tokens", InputError("error.plan.max_new_tokens", **facts))


class Preflight:
    """Finds what stands in the way of a run. What was read of a model is kept until its files change."""

    def __init__(self, settings: Settings, store: Store, datasets: Datasets) -> None:
        self._settings = settings
        self._store = store
        self._datasets = datasets
        self._known: dict[tuple[str, bool], tuple[object, ModelFacts]] = {}

    def check(self, asked: RunSpec | SpecError) -> None:
        """Raises the error, or a PlanError that tells all of them; also of settings that are no RunSpec."""
        found = [problem.error for problem in self.problems(asked)]
        if found:
            raise found[0] if len(found) == 1 else PlanError("error.plan.invalid", problems=tuple(found))

    def problems(self, asked: RunSpec | SpecError, *, wait: bool = True) -> list[Problem]:
        """All of them, each with the setting it is about. Of settings that are no RunSpec, their own and those of what
        can be used of them. Without `wait` a model that was not looked at yet is left out."""
        if isinstance(asked, RunSpec):
            return list(self._of(asked, wait))
        own, left = spec_problems(asked)
        return own if left is None else [*own, *(one for one in self._of(left.spec, wait) if left.knows(one.path))]

    def _of(self, spec: RunSpec, wait: bool) -> Iterator[Problem]:
        data, able = spec.data, bool(spec.data.version)
        if able:
            lessons = lambda: self._datasets.check_lessons(data.version, data.mapping, spec.method.learns)  # noqa: E731
            wrong = list(_told("method.kind", lessons))
            yield from (self._with_ways(problem, spec) for problem in wrong)
            able = not wrong
        for run in spec.built_on:
            path = "model.adapter" if run == spec.model.adapter else "method.rewards"
            yield from _told(path, lambda run=run: check_source(self._store, spec, run))
        model = self._facts(spec, wait)
        if spec.model.adapter_folder:
            yield from _folder_problems(spec, model)
        if model is not None:
            yield from model_problems(spec, model, _means())
        if model is not None and model.loaded is not None:
            own, loaded = model.loaded.own_template, model.loaded
            for run in spec.built_on:
                check = lambda run=run: check_template(self._store, spec, run, own=own)  # noqa: E731
                yield from _told("model.chat_template", check)
            if able:
                yield from _told("model.chat_template", lambda: self._check_rows(spec, loaded))

    def _with_ways(self, problem: Problem, spec: RunSpec) -> Problem:
        """Of data that cannot teach the method: to read its rows so that they do, and the method that they teach best
        as they are read."""
        if not isinstance(problem.error, DataError):
            return problem
        data, ways = spec.data, []
        if teaches("preference", spec.method.learns) and (pairs := self._datasets.as_pairs(data.version, data.mapping)):
            ways.append({"data.mapping": pairs.model_dump(exclude_defaults=True)})
        mapping = data.mapping or self._datasets.version(data.version).mapping
        able = methods_for(mapping.dataset_type) if mapping else []
        return replace(problem, ways=(*ways, *({"method.kind": name} for name in able[:1])))

    def _check_rows(self, spec: RunSpec, loaded: "LoadedTokenizer") -> None:
        """Raises the error of the first row where the chat template takes none of the first rows."""
        from studio.models.loading import with_template

        data = spec.data
        records = self._datasets.first_lessons(data.version, data.mapping, spec.method.learns, _TRIED_ROWS)
        tokenizer = with_template(loaded.tokenizer, spec.model.chat_template)
        refusals = [refusal(record, tokenizer) for record in records]
        if refusals and refusals[0] is not None and all(refusals):
            raise refusals[0]

    def template_use(self, spec: RunSpec, *, wait: bool = True) -> TemplateUse | None:
        """How the model's chat template is used; None where its tokenizer cannot be read, or without `wait` was not
        yet."""
        facts = self._facts(spec, wait)
        if facts is None or facts.loaded is None:
            return None
        chosen, loaded = spec.model.chat_template, facts.loaded
        cut = cut_markers(loaded.tokenizer, chosen)
        return TemplateUse(chosen, loaded.own_template, cut, _adapter_template(spec, loaded))

    def left_out(self, spec: RunSpec, *, wait: bool = True) -> tuple[str, ...]:
        """The linear layers that get no adapter though the settings mean them; none without `wait` where the model was
        not looked at yet."""
        facts = self._facts(spec, wait)
        if facts is None or facts.shape is None or not isinstance(spec.tuner, LoraSpec):
            return ()
        return tuple(layer.name for layer in facts.shape.left_out(spec.tuner.targets))

    def _facts(self, spec: RunSpec, wait: bool) -> ModelFacts | None:
        key = (spec.model.source, not spec.method.writes)
        if not wait:
            return self._known[key][1] if key in self._known else None
        name, folder, problems = problems_of(spec.model.source, self._settings)
        stamp = (str(folder), tuple(str(error) for error in problems), _times(folder))
        if key not in self._known or self._known[key][0] != stamp:
            load_engine()
            self._known[key] = stamp, _read(name, folder, problems, scores=key[1])
        return self._known[key][1]


def _folder_problems(spec: RunSpec, model: ModelFacts | None) -> Iterator[Problem]:
    """Of an adapter that was made elsewhere: its own, and against the model."""
    adapter = look_at_folder(spec)
    yield from (Problem("model.adapter_folder", error) for error in adapter.problems)
    if adapter.shape is not None and model is not None and model.shape is not None:
        wrong = misfit(adapter, model.name, model.shape)
        if wrong is not None:
            yield Problem("model.adapter_folder", wrong)


def _adapter_template(spec: RunSpec, loaded: "LoadedTokenizer") -> ChatTemplate | Literal[""] | None:
    """Which template is saved beside the adapter of a folder, where it is another than this run's."""
    from studio.models.loading import with_template

    folder = spec.model.adapter_folder.strip()
    try:
        written = written_template(Path(folder).expanduser()) if folder else None
    except (OSError, RuntimeError, ModelError):  # what is wrong with the folder is told elsewhere
        return None
    names: tuple[ChatTemplate, ...] = get_args(ChatTemplate)
    texts = {name: with_template(loaded.tokenizer, name).chat_template for name in names}
    if written is None or written == texts[spec.model.chat_template]:
        return None
    for name in names:
        if texts[name] == written:
            return name
    return ""


def _told(path: str, check: Callable[[], None]) -> Iterator[Problem]:
    try:
        check()
    except StudioError as error:
        yield Problem(path, error)


def _times(folder: Path | None) -> tuple[object, ...]:
    if folder is None:
        return ()
    files = [path for path in folder.iterdir() if path.suffix in (".json", ".model", ".jinja")]
    return tuple(sorted((path.name, path.stat().st_mtime_ns) for path in files))


def _read(name: str, folder: Path | None, problems: tuple[StudioError, ...], *, scores: bool) -> ModelFacts:
    from studio.models.loading import read_tokenizer
    from studio.models.shape import read_shape

    if folder is None:
        return ModelFacts(name, problems)
    found, shape, tokens, loaded = list(problems), None, None, None
    try:
        shape = read_shape(folder, scores=scores)
    except StudioError as error:
        found.append(error)
    # One that is missing, or wants to run a program, is told already.
    if not any("tokenizer" in str(error.values.get("file")) for error in problems):
        try:
            loaded = read_tokenizer(name, folder)
            tokens = max(loaded.tokenizer.get_vocab().values(), default=-1) + 1
        except StudioError as error:
            found.append(error)
    context = context_length(read_json(folder, CONFIG)) or UNLIMITED_CONTEXT
    return ModelFacts(name, tuple(found), context, shape, tokens, loaded)


def _means() -> Means:
    from studio.models.device import detect_device

    return Means(detect_device().kind, find_spec("bitsandbytes") is not None)
