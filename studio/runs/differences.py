"""In what the settings of runs differ."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from studio.runs.spec import RunSpec, spec_fields

# Settings that are chosen elsewhere than in a form, by where they stand before the others.
_FIRST = ("data.version", "data.mapping", "method.kind")


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting in which runs differ. `text` names its sentences, which tells settings of different methods apart
    (`method.dpo.beta`); `values`: of each run, None where its method or tuner has no such setting."""

    path: str
    text: str
    values: tuple[Any, ...]


def differences(specs: Sequence[RunSpec]) -> tuple[Difference, ...]:
    """The settings that are not the same in all of them: data, method, then the others in the order of the form. The
    preset is none, only what it sets."""
    settings = [{text: (path, value) for path, text, value in _settings(spec)} for spec in specs]
    found = []
    for text in dict.fromkeys(text for of_run in settings for text in of_run):
        path = next(of_run[text][0] for of_run in settings if text in of_run)
        values = tuple(of_run[text][1] if text in of_run else None for of_run in settings)
        if any(value != values[0] for value in values):
            found.append(Difference(path, text, values))
    return tuple(found)


def _settings(spec: RunSpec) -> Iterator[tuple[str, str, Any]]:
    """Path, name of its sentences and value of every setting that the run has."""
    values = spec.model_dump(mode="json")
    for path in _FIRST:
        yield path, path, _at(values, path)
    for field in spec_fields(spec.method.kind, spec.tuner.kind):
        yield field.path, field.text, _at(values, field.path)


def _at(values: Any, path: str) -> Any:
    for part in path.split("."):
        values = values[part]
    return values
