"""A question to a run's base and to the run, side by side."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from studio.backend.compare import Column, ColumnState, CompareRequest
from studio.backend.studio import Studio
from studio.data.records import Message

PROMPT = (Message("user", "What is 3? いくつ?"),)


@dataclass(frozen=True)
class Sides:
    """Both columns at one moment."""

    base: ColumnState
    tuned: ColumnState
    done: bool

    @property
    def identical(self) -> bool | None:
        assert self.base.identical is None
        return self.tuned.identical


def beside_base(
    studio: Studio,
    run: str,
    step: int | None = None,
    turns: tuple[Message, ...] = PROMPT,
    *,
    base_turns: tuple[Message, ...] | None = None,
    **options: Any,
) -> CompareRequest:
    """`base_turns`: what the base is asked, where that is something else."""
    base, tuned = studio.compare.beside_base(run, step)
    return CompareRequest((Column(base, turns if base_turns is None else base_turns), Column(tuned, turns)), **options)


def stream(studio: Studio, request: CompareRequest) -> Iterator[Sides]:
    for update in studio.compare.stream(request):
        base, tuned = update.columns
        assert base.apart == tuned.apart == ""
        yield Sides(base, tuned, update.done)


def last(studio: Studio, request: CompareRequest) -> Sides:
    return list(stream(studio, request))[-1]
