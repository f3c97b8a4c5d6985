"""What is wrong with a run, as values: each problem with the setting it is about."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from studio.data.spec_files import each_problem
from studio.errors import SpecError, StudioError
from studio.runs.spec import UnusableSpec


@dataclass(frozen=True, slots=True)
class Problem:
    """`path`: the setting, such as `tuner.rank`; empty where it is about several. `ways`: ways out of it, each the
    settings that it changes, by their paths."""

    path: str
    error: StudioError
    ways: tuple[Mapping[str, Any], ...] = ()


def spec_problems(error: SpecError) -> tuple[list[Problem], UnusableSpec | None]:
    """Each problem of settings, and what can be used of them."""
    left = error.usable if isinstance(error.usable, UnusableSpec) else None
    return [Problem(path, one) for path, one in each_problem(error)], left
