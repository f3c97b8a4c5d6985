"""What can go wrong, as values that can be told in any language.

    StudioError
    |-- InputError          the user's input is wrong (command line: exit code 2)
    |   |-- DataError       a file, a row, a column
    |   |-- SpecError       a setting
    |   |-- PlanError       several of these at once
    |   `-- ModelError      a model or tokenizer that was named
    |-- Stopped             the user asked to stop
    `-- FaultError          the world is in the way (exit code 1)
        |-- WorkspaceError  the folder or its database
        |-- ResourceError   disk, memory
        |-- TrainingError   a run that cannot go on
        `-- ExportError     an artefact that did not pass its proof

An error names a sentence of `ui/locales` by key, with the values that fill it. The sentence says what is
wrong, where, and what to do about it.
"""

from collections.abc import Callable

from studio.messages import translate


class StudioError(Exception):
    """An error the user can act on. `key` names its sentence, `values` fill it."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key)
        self.key = key
        self.values = values

    def message(self, language: str = "en") -> str:
        """The sentence in `language`."""
        return translate(self.key, language, **self.values)

    def __str__(self) -> str:
        return self.message()

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.key, self.values)


def _rebuild(kind: type[StudioError], key: str, values: dict[str, object]) -> StudioError:
    return kind(key, **values)


class InputError(StudioError):
    """What the user gave cannot be used as it is."""


class DataError(InputError):
    """A file, a row or a column."""


class SpecError(InputError):
    """One or more settings; `problems` lists (path, sentence) of each. `usable`: what can be used of the others."""

    usable: object = None


class PlanError(InputError):
    """Several things that stand in the way of a run; `problems` are their errors."""

    @property
    def problems(self) -> tuple[StudioError, ...]:
        problems = self.values["problems"]
        assert isinstance(problems, tuple)
        return problems

    def message(self, language: str = "en") -> str:
        lines = "\n".join(f"- {problem.message(language)}" for problem in self.problems)
        return translate(self.key, language, problems=lines)


def check_together(*checks: Callable[[], None]) -> None:
    """Asks all of them, and raises what they raise: the StudioError, or a PlanError of all."""
    found: list[StudioError] = []
    for check in checks:
        try:
            check()
        except StudioError as error:
            found.append(error)
    if len(found) == 1:
        raise found[0]
    if found:
        told = (error.problems if isinstance(error, PlanError) else (error,) for error in found)
        raise PlanError("error.plan.invalid", problems=tuple(one for problems in told for one in problems))


class ModelError(InputError):
    """A model or tokenizer that cannot be used."""


class Stopped(StudioError):
    """What was under way was stopped because the user asked for it; nothing was changed."""


class FaultError(StudioError):
    """The input is right, but the machine or an earlier step is in the way."""


class WorkspaceError(FaultError):
    """The workspace folder or its database."""


class ResourceError(FaultError):
    """Disk or memory."""


class TrainingError(FaultError):
    """A run that cannot go on."""


class ExportError(FaultError):
    """An export that could not be made or did not pass its proof."""
