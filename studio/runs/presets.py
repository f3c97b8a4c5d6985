"""Named starting points: `presets/*.yaml`, each a title, a sentence about it, and the settings it changes."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from studio.data.spec_files import load_yaml_mapping
from studio.errors import SpecError
from studio.runs.methods import METHODS
from studio.runs.rates import FULL_RATE, scaled
from studio.runs.spec import STARTER, FullSpec, RunSpec, parse_spec


class Overlay(BaseModel):
    """Settings that differ from those they are laid over; `starter` is laid over `spec` for the built-in model: so
    small a model learns at rates that would wreck a large one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: dict[str, Any] = {}
    starter: dict[str, Any] = {}

    def over(self, values: dict[str, Any], source: str) -> dict[str, Any]:
        """`values` with what is set for a model of this source."""
        changed = _merged(values, self.spec)
        return _merged(changed, self.starter) if source == STARTER else changed


class Preset(Overlay):
    """One preset. `spec` holds only what differs from RunSpec's defaults; `methods` what a method wants otherwise."""

    name: str
    order: Annotated[int, Field(ge=0)] = 100
    title: dict[Literal["en", "ja"], str]
    about: dict[Literal["en", "ja"], str]
    spec: dict[str, Any] = Field()
    methods: dict[str, Overlay] = {}

    @field_validator("methods")
    @classmethod
    def _known(cls, methods: dict[str, Overlay]) -> dict[str, Overlay]:
        if unknown := methods.keys() - METHODS.keys():
            raise ValueError(unknown)
        return methods

    def apply(self, spec: RunSpec, width: int | None = None) -> RunSpec:
        """`spec` with this preset's settings; what data, model and method it names stays, unless the preset says
        otherwise. All weights stay all weights, at a tenth of the rate of an adapter. `width`: the model's hidden size,
        by which the learning rate goes (`rates.py`); None: not known, taken for a large one."""
        source, kind = spec.model.source, spec.method.kind
        values = self._over(spec, source)
        training = values["training"]
        if self._sets_rate(kind):
            rate = training["learning_rate"]
            if source != STARTER:
                rate = scaled(rate, self._over(spec, STARTER)["training"]["learning_rate"], width)
            if isinstance(spec.tuner, FullSpec):
                rate = float(f"{rate / FULL_RATE:.6g}")
            training = {**training, "learning_rate": rate}
        tuner = {"tuner": spec.tuner.model_dump(mode="json")} if isinstance(spec.tuner, FullSpec) else {}
        return parse_spec({**values, **tuner, "training": training})

    def _over(self, spec: RunSpec, source: str) -> dict[str, Any]:
        """The settings for a model of this source, with what its method wants otherwise."""
        values = self.over({**spec.model_dump(mode="json"), "preset": self.name}, source)
        own = self.methods.get(spec.method.kind)
        return own.over(values, source) if own else values

    def _sets_rate(self, method: str) -> bool:
        """Whether it names a learning rate for large models; of none there is nothing to go by."""
        own = self.methods.get(method)
        return any("learning_rate" in part.spec.get("training", {}) for part in (self, own) if part)


def _merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    nested = {
        k: _merged(values[k], v) for k, v in changes.items() if isinstance(v, dict) and isinstance(values.get(k), dict)
    }
    return {**values, **changes, **nested}


def list_presets(folder: Path) -> list[Preset]:
    """All presets in order. Raises SpecError naming the file that is at fault."""
    presets = [_read(path, path.stat().st_mtime_ns) for path in sorted(folder.glob("*.yaml"))]
    return sorted(presets, key=lambda preset: (preset.order, preset.name))


@lru_cache(maxsize=64)
def _read(path: Path, _changed: int) -> Preset:
    """A file, read again only when it was changed: the page asks for its presets at every choice."""
    values = load_yaml_mapping(path.read_text(encoding="utf-8"), path.name)
    try:
        return Preset.model_validate({**values, "name": path.stem})
    except ValidationError:
        raise SpecError("error.preset.exists", file=path.name, known=", ".join(METHODS)) from None


def find_preset(folder: Path, name: str) -> Preset:
    """The preset called `name`. Raises SpecError listing those there are."""
    presets = list_presets(folder)
    for preset in presets:
        if preset.name == name:
            return preset
    raise SpecError("error.preset.unknown", name=name, known=", ".join(p.name for p in presets))
