"""RunSpec: the one definition of every setting of a run.

Forms, command line, YAML files and the documentation read bounds, defaults and units here. What a field means
is told in `ui/locales` under `spec.<path>.label` and `spec.<path>.help`, one pair per field and language.
`BASIC` in a field's `json_schema_extra` marks the six settings that matter; the others are "advanced".
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import takewhile
from math import ceil
from typing import Annotated, Any, ClassVar, Literal, LiteralString, Self, cast

import yaml
from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from studio.data.chat_templates import ChatTemplate
from studio.data.formats import Mapping as ColumnMapping
from studio.data.spec_files import joined, load_yaml_mapping, spec_error
from studio.data.splits import SplitSpec
from studio.errors import SpecError
from studio.messages import translate
from studio.runs.methods import BASIC, METHODS, CptSpec, MethodSpec, Part, RolloutSpec, SftSpec
from studio.runs.rewards import REWARDS
from studio.runs.trackers import Tracker

STARTER = "starter"
ADAPTER_FOLDER = "folder"
"""Names an adapter that was made elsewhere among what a run builds on, where runs have their ids."""


class DataSpec(Part):
    """Which rows are trained on, and how they become tokens."""

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$", max_length=64)] = ""
    mapping: ColumnMapping | None = None
    split: SplitSpec = SplitSpec()
    max_length: Annotated[int, Field(ge=16, le=131_072, json_schema_extra={**BASIC, "unit": "tokens"})] = 256


class ModelSpec(Part):
    """The base model: `starter`, a local folder, or a Hub name. `adapter`: the run whose adapter is gone on with, by
    its id; empty: a fresh one. `adapter_step`: of which of that run's checkpoints; 0: the one that was kept.
    `adapter_folder`: in place of a run, an adapter that was made elsewhere, as PEFT writes it. `chat_template`: how a
    conversation is written for the model (`data/chat_templates.py`)."""

    source: Annotated[str, Field(min_length=1, max_length=1000)] = STARTER
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    chat_template: ChatTemplate = "own"
    adapter: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$", max_length=64)] = ""
    adapter_step: Annotated[int, Field(ge=0)] = 0
    adapter_folder: Annotated[str, Field(max_length=1000)] = ""

    @field_validator("adapter_folder")
    @classmethod
    def _named(cls, folder: str) -> str:
        if folder and not folder.strip():
            raise PydanticCustomError("adapter_folder_unnamed", "a folder without a name")
        return folder

    @property
    def parent(self) -> str:
        """What is gone on with: the id of a run, or ADAPTER_FOLDER; empty: nothing."""
        return ADAPTER_FOLDER if self.adapter_folder else self.adapter


class LoraSpec(Part):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): `W + alpha/rank * B A`, with W frozen.

    `variant`: `rslora` divides alpha by the square root of the rank, so that high ranks go on learning (Kalajdzievski
    2023, arXiv:2312.03732); `dora` trains the length of every column of W beside its direction (Liu et al. 2024,
    arXiv:2402.09353). `quantisation`: `nf4` keeps W in 4 bits, the constants quantised too, as QLoRA does (Dettmers et
    al. 2023, arXiv:2305.14314). `targets`: `adapter` leaves the layers and their ranks as the adapter has them that is
    gone on with.
    """

    kind: Literal["lora"] = "lora"
    variant: Literal["lora", "rslora", "dora"] = "lora"
    quantisation: Literal["none", "nf4"] = "none"
    rank: Annotated[int, Field(ge=1, le=512, json_schema_extra=BASIC)] = 16
    alpha: Annotated[float, Field(gt=0, le=1024)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: Literal["all-linear", "attention", "adapter"] = "all-linear"


class FullSpec(Part):
    """All weights are trained. They are kept in float32, as are their gradients and the two moments of AdamW: 16 bytes
    for each, where LoRA keeps the weights alone. The usual learning rates are a tenth of those of LoRA (Schulman et al.
    2025, "LoRA Without Regret")."""

    kind: Literal["full"] = "full"
    quantisation: ClassVar[Literal["none"]] = "none"


def _tuner_kind(value: object) -> object:
    """`lora` where nothing else is said."""
    if isinstance(value, LoraSpec | FullSpec):
        return value.kind
    return value.get("kind", "lora") if isinstance(value, Mapping) else None


TunerSpec = Annotated[Annotated[LoraSpec, Tag("lora")] | Annotated[FullSpec, Tag("full")], Discriminator(_tuner_kind)]
TUNERS: dict[str, type[Part]] = {"lora": LoraSpec, "full": FullSpec}
_TUNER_KIND: Any = Literal["lora", "full"]


class TrainingSpec(Part):
    """How long and how fast the model learns. `report_to`: who is told the numbers beside the record."""

    epochs: Annotated[float, Field(gt=0, le=100, json_schema_extra={**BASIC, "unit": "epochs"})] = 3
    learning_rate: Annotated[float, Field(gt=0, le=1, json_schema_extra=BASIC)] = 1e-3
    batch_size: Annotated[int, Field(ge=1, le=1024, json_schema_extra={**BASIC, "unit": "rows"})] = 8
    accumulation: Annotated[int, Field(ge=1, le=1024)] = 1
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_share: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    max_grad_norm: Annotated[float, Field(ge=0, le=1000)] = 1.0
    evaluations: Annotated[int, Field(ge=1, le=200)] = 4
    keep_best: bool = True
    patience: Annotated[int, Field(ge=0, le=100, json_schema_extra={"unit": "evaluations"})] = 0
    gradient_checkpointing: bool = False
    evaluate: bool = False
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    report_to: tuple[Tracker, ...] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """Settings that do not go together: those by whose values it is one, beginning with the one it is told at. `kind`
    names its sentence, which `values` fill."""

    kind: LiteralString
    paths: tuple[str, ...]
    values: dict[str, Any] = field(default_factory=dict)

    def details(self) -> InitErrorDetails:
        """As pydantic tells it."""
        error = PydanticCustomError(self.kind, self.kind, self.values)
        return InitErrorDetails(type=error, loc=tuple(self.paths[0].split(".")), input=None)


class RunSpec(Part):
    """All settings of one run. Equal spec + equal data + equal machine = equal run."""

    preset: Annotated[str, Field(max_length=64)] = ""
    data: DataSpec = DataSpec()
    model: ModelSpec = ModelSpec()
    method: MethodSpec = SftSpec()
    tuner: TunerSpec = LoraSpec()
    training: TrainingSpec = TrainingSpec()

    @model_validator(mode="after")
    def _together(self) -> Self:
        if found := [conflict.details() for conflict in self.conflicts()]:
            raise ValidationError.from_exception_data("RunSpec", found)
        return self

    def conflicts(self) -> "Iterator[Conflict]":
        """Every rule between settings that these break."""
        tuner, method, model, training = self.tuner, self.method, self.model, self.training
        full = isinstance(tuner, FullSpec)
        if training.patience > training.evaluations:
            yield Conflict("patience_above_evaluations", ("training.patience", "training.evaluations"))
        if training.patience and not self.data.split.validation_share:
            yield Conflict("patience_without_validation", ("training.patience", "data.split.validation_share"))
        if training.batch_size < method.least_rows:
            yield Conflict("batch_too_small", ("training.batch_size", "method.kind"), {"limit": method.least_rows})
        if full and (not method.writes or isinstance(method, RolloutSpec)):
            yield Conflict("full_tuning_not_here", ("tuner.kind", "method.kind"))
        if model.adapter and model.adapter_folder:
            yield Conflict("two_adapters", ("model.adapter_folder", "model.adapter"))
        if full and model.parent:
            yield Conflict("adapter_with_full_tuning", ("tuner.kind", "model.adapter", "model.adapter_folder"))
        if isinstance(tuner, LoraSpec) and tuner.targets == "adapter" and not model.parent:
            yield Conflict("targets_of_no_adapter", ("tuner.targets", "model.adapter", "model.adapter_folder"))
        if model.adapter_step and not model.adapter:
            yield Conflict("step_without_adapter", ("model.adapter_step", "model.adapter"))
        if isinstance(method, CptSpec) and method.new_tokens and model.parent:
            yield Conflict("new_tokens_with_adapter", ("method.new_tokens", "model.adapter", "model.adapter_folder"))
        if isinstance(method, RolloutSpec) and isinstance(tuner, LoraSpec) and tuner.dropout:
            # What answers, what is judged and what is compared with must be one and the same model.
            yield Conflict("dropout_in_rollouts", ("tuner.dropout", "method.kind"))

    @property
    def built_on(self) -> tuple[str, ...]:
        """Ids of the runs whose results this one needs, each once."""
        return tuple(dict.fromkeys(run for run in (self.model.adapter, *self.method.reward_runs) if run))

    def steps_per_epoch(self, rows: int) -> int:
        """Optimiser steps in one pass over `rows` training rows."""
        return ceil(ceil(rows / self.training.batch_size) / self.training.accumulation)

    def total_steps(self, rows: int) -> int:
        """Optimiser steps of the whole run."""
        return max(1, ceil(self.training.epochs * self.steps_per_epoch(rows)))

    def evaluation_interval(self, rows: int) -> int:
        """Steps between two evaluations (each also writes a checkpoint)."""
        return max(1, ceil(self.total_steps(rows) / self.training.evaluations))

    def to_yaml(self) -> str:
        """The spec as YAML, every field written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


@dataclass(frozen=True, slots=True)
class SpecField:
    """One setting, as forms and help need it. `path` is dotted, such as `training.epochs`; `text` names its sentences:
    a setting of a method is told by the method, as `method.dpo.beta`."""

    path: str
    text: str
    info: FieldInfo
    default: Any
    level: Literal["basic", "advanced"]
    unit: str | None

    @property
    def method(self) -> str | None:
        """The method whose setting it is; None: every run has it."""
        return self.text.split(".")[1] if self.path.startswith("method.") else None

    @property
    def bounds(self) -> dict[str, float]:
        """Those of `ge`, `gt`, `le`, `lt` that are set."""
        names = ("ge", "gt", "le", "lt")
        return {n: getattr(m, n) for m in self.info.metadata for n in names if hasattr(m, n)}

    def label(self, language: str = "en") -> str:
        return translate(f"spec.{self.text}.label", language)

    def help(self, language: str = "en") -> str:
        return translate(f"spec.{self.text}.help", language)


_CHOSEN_ELSEWHERE = {"preset", "data.version", "data.mapping", "method.kind", "tuner.kind"}


def spec_fields(method: str = "sft", tuner: str = "lora") -> Iterator[SpecField]:
    """Every setting of a run of this method and tuner that a user may change in a form, in order; not the data version,
    mapping and preset."""
    return _fields(RunSpec, "", {"method": METHODS[method], "tuner": TUNERS[tuner]})


def method_fields(method: str) -> Iterator[SpecField]:
    """The settings of this method alone."""
    return _fields(METHODS[method], "method.", {"method": METHODS[method]})


def reward_fields(kind: str) -> Iterator[SpecField]:
    """The settings of this reward, by their names."""
    for name, info in REWARDS[kind].model_fields.items():
        if name != "kind":
            yield _field(name, "reward.weight" if name == "weight" else f"reward.{kind}.{name}", info)


def every_field() -> Iterator[SpecField]:
    """Every setting there is: of all tuners, methods and rewards."""
    yield from (field for field in spec_fields() if not field.path.startswith(("method.", "tuner.")))
    of_tuners = (field for tuner in TUNERS for field in spec_fields(tuner=tuner) if field.path.startswith("tuner."))
    yield from {field.path: field for field in of_tuners}.values()
    for method in METHODS:
        yield from method_fields(method)
    for reward in REWARDS:
        yield from reward_fields(reward)


def _fields(model: type[BaseModel], prefix: str, chosen: Mapping[str, type[Part]]) -> Iterator[SpecField]:
    """`chosen`: the member of each union that is meant."""
    for name, info in model.model_fields.items():
        path = f"{prefix}{name}"
        if path in _CHOSEN_ELSEWHERE:
            continue
        if path == "tuner":
            yield _field("tuner.kind", "tuner.kind", FieldInfo(annotation=_TUNER_KIND, default="lora"))
        part = chosen.get(path, info.annotation)
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield from _fields(part, f"{path}.", chosen)
            continue
        text = f"method.{model.model_fields['kind'].default}.{name}" if prefix == "method." else path
        yield _field(path, text, info)


def _field(path: str, text: str, info: FieldInfo) -> SpecField:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    level = "basic" if extra.get("level") == "basic" else "advanced"
    unit = extra.get("unit")
    return SpecField(path, text, info, info.default, level, unit if isinstance(unit, str) else None)


@dataclass(frozen=True, slots=True)
class UnusableSpec:
    """What is left of settings that are no RunSpec: those that can be used, and the paths of those that cannot, in
    whose place the defaults stand."""

    spec: RunSpec
    wrong: frozenset[str]

    def knows(self, *paths: str) -> bool:
        """Whether all of these settings are as they were given."""
        return not any(path == one or path.startswith(f"{one}.") for path in paths for one in self.wrong)


def parse_spec(values: Mapping[str, Any]) -> RunSpec:
    """RunSpec from nested values. Raises SpecError that tells every problem, each with its path: what a setting cannot
    be, and which do not go together, as far as they can be used."""
    try:
        return RunSpec.model_validate(values)
    except ValidationError as error:
        wrong, tags = error, {*METHODS, *TUNERS, *REWARDS}
    left = _usable(values)
    between = [conflict.details() for conflict in left.spec.conflicts() if left.knows(*conflict.paths)]
    told = spec_error(wrong, tags=tags)
    if left.wrong and between:  # where all settings can be used, what is between them is told already
        told = joined(told, spec_error(ValidationError.from_exception_data("RunSpec", between), tags=tags))
    told.usable = left
    raise told from None


def _usable(values: Mapping[str, Any]) -> UnusableSpec:
    parts, wrong = {}, set()
    for name, info in RunSpec.model_fields.items():
        if name not in values:
            continue
        kind = TypeAdapter[Any](cast(Any, Annotated[info.annotation, info]))  # the union's discriminator is in `info`
        try:
            parts[name] = kind.validate_python(values[name])
        except ValidationError as error:
            places = [_place(item["loc"]) for item in error.errors(include_url=False)]
            try:
                parts[name] = kind.validate_python(_without(values[name], places))
                wrong |= {".".join((name, *place)) for place in places}
            except ValidationError:
                wrong.add(name)
    return UnusableSpec(RunSpec.model_construct(**parts), frozenset(wrong | set(values) - set(RunSpec.model_fields)))


def _place(loc: tuple[int | str, ...]) -> tuple[str, ...]:
    """Where in a part something stands: without the names of the members of unions, which pydantic puts first; what is
    in a list stands where the list does."""
    names = loc[1:] if loc and loc[0] in {*METHODS, *TUNERS} else loc
    return tuple(takewhile(lambda name: isinstance(name, str), names))  # type: ignore[arg-type]


def _without(values: Any, places: Sequence[tuple[str, ...]]) -> Any:
    """A copy of a part in which what stands at these places is missing."""
    copied = deepcopy(values)
    for place in places:
        found: Any = copied
        for name in place[:-1]:
            found = found.get(name) if isinstance(found, dict) else None
        if place and isinstance(found, dict):
            found.pop(place[-1], None)
    return copied


def load_spec(text: str, name: str) -> RunSpec:
    """RunSpec from YAML text; `name` is told in errors."""
    return parse_spec(load_yaml_mapping(text, name))


def with_changes(spec: RunSpec, changes: Mapping[str, Any]) -> RunSpec:
    """`spec` with dotted paths set, such as {"training.epochs": 1}; validated whole.

    Another `method.kind` or `tuner.kind` begins with its own defaults.
    """
    values = spec.model_dump(mode="json")
    for part, kinds in (("method", METHODS), ("tuner", TUNERS)):
        kind = changes.get(f"{part}.kind", values[part]["kind"])
        if kind in kinds and kind != values[part]["kind"]:
            values[part] = kinds[kind]().model_dump(mode="json")
    for path, value in changes.items():
        *parents, leaf = path.split(".")
        place: Any = values
        for part in parents:
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict) or leaf not in place:
            known = ", ".join(field.path for field in spec_fields(values["method"]["kind"], values["tuner"]["kind"]))
            raise SpecError("error.spec.unknown", path=path, known=known)
        place[leaf] = value
    return parse_spec(values)
