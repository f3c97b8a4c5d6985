"""A comparison as it goes on: who stands in the columns, what was asked, what each answered."""

import random
from dataclasses import dataclass, replace
from typing import Any

from studio.backend.candidates import Candidate
from studio.backend.compare import CompareUpdate
from studio.data.records import Message
from studio.runs.contestants import Contestant
from studio.runs.votes import Verdict


@dataclass(frozen=True, slots=True)
class Seat:
    """A column: who answers in it, and the names that it is told by. `label`: of the run; empty for the base.
    `sha256`: the recorded hash of the run's result."""

    contestant: Contestant
    base: str
    label: str = ""
    sha256: str | None = None

    def prompted(self, system: str, shots: int) -> "Seat":
        """With a system message and examples of its own."""
        values = {**self.contestant.model_dump(), "system": system.strip(), "shots": shots}
        return replace(self, contestant=Contestant.model_validate(values))


def base_seat(candidate: Candidate) -> Seat:
    return Seat(Contestant(base=candidate.model), candidate.base)


def run_seat(candidate: Candidate) -> Seat:
    return Seat(candidate.contestant, candidate.base, candidate.name, candidate.adapter_sha256)


def folder_seat(candidate: Candidate, folder: str) -> Seat:
    """An adapter that was made elsewhere, on the candidate's base."""
    contestant = Contestant(base=candidate.model, folder=folder.strip())
    return Seat(contestant, candidate.base, folder.strip().rstrip("/\\").replace("\\", "/").rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class Judged:
    """What was voted on a turn: the vote's id, and what it says."""

    id: str
    verdict: Verdict
    column: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a question of a set was not answered."""

    key: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt and what the columns answered. `context` are the earlier messages of a validation example; `system`
    the message that went before it for all. `order`: the columns as they are shown, where that is not their own order;
    `blind`: their names are hidden until there is a vote. `edits`: rewritten answers by column."""

    prompt: str
    context: tuple[Message, ...] = ()
    expected: str | None = None
    update: CompareUpdate | None = None
    stopped: bool = False
    system: str = ""
    alone: bool = False
    blind: bool = False
    order: tuple[int, ...] = ()
    vote: Judged | None = None
    edits: tuple[tuple[int, str], ...] = ()
    failure: Failure | None = None

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self.stopped or self.failure is not None or (self.update is not None and self.update.done)

    @property
    def hidden(self) -> bool:
        """Whose answer is whose is not told yet."""
        return self.blind and self.vote is None

    def answer(self, column: int) -> str:
        return self.update.columns[column].text if self.update else ""

    def shown(self, columns: int) -> tuple[int, ...]:
        """The columns in the order in which they are shown."""
        return self.order or tuple(range(columns))

    def blinded(self, columns: int, chance: random.Random) -> "Turn":
        """Asked by itself, its answers shown without names and in an order of their own."""
        return replace(self, alone=True, blind=True, order=tuple(chance.sample(range(columns), columns)))

    def asked(self) -> tuple[Message, ...]:
        return (*self.context, Message("user", self.prompt))


@dataclass(frozen=True, slots=True)
class Talk:
    """Who is compared, and the turns so far. Each column remembers its own answers only. `id` and `name` are those of
    the record, once it is saved. `at`: the one turn that is looked at; None: all."""

    seats: tuple[Seat, ...] = ()
    turns: tuple[Turn, ...] = ()
    id: str = ""
    name: str = ""
    at: int | None = None

    @classmethod
    def beside_base(cls, candidate: Candidate, *turns: Turn) -> "Talk":
        """A run and its base."""
        return cls((base_seat(candidate), run_seat(candidate)), turns)

    def with_turn(self, turn: Turn) -> "Talk":
        return replace(self, turns=(*self.turns, turn))

    def turned_to(self, at: int | None) -> "Talk":
        """With one of the turns looked at, or (None) all."""
        return replace(self, at=at if at is not None and 0 <= at < len(self.turns) else None)

    def changed(self, place: int, **changes: Any) -> "Talk":
        """With other values of a turn."""
        turns = list(self.turns)
        turns[place] = replace(turns[place], **changes)
        return replace(self, turns=tuple(turns))

    def histories(self, turn: Turn) -> tuple[tuple[Message, ...], ...]:
        """What each column is asked when `turn` comes next. A turn that stands alone has no history, and is none."""
        return tuple((*self._before(turn, column), *turn.asked()) for column in range(len(self.seats)))

    def _before(self, turn: Turn, column: int) -> tuple[Message, ...]:
        found: list[Message] = []
        for past in self.turns:
            if past is turn:
                break
            if turn.alone or past.alone or past.update is None:
                continue
            found += [*past.asked(), Message("assistant", past.answer(column))]
        return tuple(found)

    def same_question(self, turn: Turn) -> bool:
        """Whether every column was asked the very same."""
        return len({self._before(turn, column) for column in range(len(self.seats))}) <= 1

    def prompt(self, turn: Turn) -> tuple[Message, ...]:
        """What was asked of the first column, with the system message of all."""
        turns = (*self._before(turn, 0), *turn.asked())
        return (Message("system", turn.system), *turns) if turn.system.strip() else turns
