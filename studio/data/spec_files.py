"""Specs read from YAML: every problem of a wrong file is told at once, each with its path."""

from collections.abc import Collection, Iterator, Mapping
from reprlib import Repr
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from studio.errors import SpecError
from studio.messages import catalogue, translate

# A value is told by its beginning only: aliases make a list of a few bytes that is endless written out.
_REPR = Repr()
_REPR.maxstring = _REPR.maxother = 80


def load_yaml_mapping(text: str, name: str) -> dict[str, Any]:
    """A YAML file that must hold a mapping. Raises SpecError with the line of a fault."""
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2026-99-99
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        line = mark.line + 1 if mark else 1
        raise SpecError("error.spec.yaml", file=name, line=line) from None
    if not isinstance(values, dict):
        raise SpecError("error.spec.not_a_mapping", file=name)
    return values


def spec_error(error: ValidationError, tags: Collection[str] = (), under: str = "") -> SpecError:
    """All problems of a pydantic error in one SpecError. `tags`: names of the members of tagged unions, which pydantic
    puts into the path although no file holds them. `under`: where the whole stands in a larger spec (`data.split.`)."""
    items = error.errors(include_url=False)
    # Of a list whose items are wrong pydantic also says that it is too short.
    whole = {item["loc"][:depth] for item in items for depth in range(len(item["loc"]))}
    problems = tuple(
        (under + _path(item["loc"], tags), item["type"], item.get("ctx", {}), item["input"], _path(item["loc"]))
        for item in items
        if item["loc"] not in whole
    )
    return _SpecProblems("error.spec.invalid", problems=problems)


def joined(first: SpecError, second: SpecError) -> SpecError:
    """The problems of both, those of pydantic errors."""
    problems = [error.values["problems"] for error in (first, second)]
    return _SpecProblems("error.spec.invalid", problems=tuple(one for told in problems for one in told))  # type: ignore[attr-defined]


def each_problem(error: SpecError) -> Iterator[tuple[str, SpecError]]:
    """The problems of a SpecError one by one, each with its path; the path of one between several settings is empty."""
    problems = error.values.get("problems")
    if not isinstance(error, _SpecProblems) or not isinstance(problems, tuple):
        yield "", error
        return
    for problem in problems:
        yield problem[0], _SpecProblem("error.spec.invalid", problems=(problem,))


def _path(places: tuple[int | str, ...], tags: Collection[str] = ()) -> str:
    kept = [
        place
        for before, place in zip((None, *places), places, strict=False)
        if not (place in tags and (isinstance(before, int) or before in ("where", "mixing", "method", "tuner")))
    ]
    return ".".join(str(part) for part in kept)


class _SpecProblems(SpecError):
    """Tells each problem on a line of its own, in the language asked for."""

    def message(self, language: str = "en") -> str:
        lines = (f"- {self._line(*problem, language)}" for problem in self.values["problems"])  # type: ignore[attr-defined]
        return translate(self.key, language, problems="\n".join(lines))

    @staticmethod
    def _line(path: str, kind: str, context: Mapping[str, Any], value: object, text: str, language: str) -> str:
        key = f"error.spec.type.{kind}"
        known = key if key in catalogue(language) else "error.spec.type.other"
        shown = context.get("tag") or (_REPR.repr(value) if not isinstance(value, dict | BaseModel) else "...")
        labels = (f"spec.{text}.label", f"spec.{path}.label")
        label_key = next((key for key in labels if key in catalogue(language)), "")
        label = translate(label_key, language) if label_key else path or "spec"
        names = ("ge", "gt", "le", "lt", "expected", "expected_tags", "reason", "limit")
        limit = next((context[n] for n in names if n in context), "")
        limit = f"{limit:,g}" if isinstance(limit, float) else limit
        return translate(known, language, path=path, label=label, value=shown[:80], limit=limit)


class _SpecProblem(_SpecProblems):
    """One of them, as a sentence of its own."""

    def message(self, language: str = "en") -> str:
        problems = self.values["problems"]
        assert isinstance(problems, tuple)
        path, kind, context, value, text = problems[0]
        return self._line(path, kind, context, value, text, language)
