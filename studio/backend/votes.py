"""Votes: kept, counted, and made into data that a model can be trained on."""

import getpass
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import ValidationError

from studio.backend.datasets import Datasets, Version
from studio.backend.ratings import Rating, WinRate, bradley_terry, contestants_of, games_of, win_rates
from studio.data.records import Message
from studio.data.tables import Note
from studio.errors import InputError
from studio.runs.contestants import Contestant
from studio.runs.store import Store, new_id
from studio.runs.votes import Answered, Verdict, Vote

SetKind = Literal["pairs", "thumbs"]
_MADE_OF = "made_of"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a contestant did. `deleted`: its run is no more; what was voted on its answers stays. `rating` None with two
    contestants or fewer: then the win rate says it all."""

    contestant: Contestant
    name: str
    deleted: bool
    win_rate: WinRate
    rating: Rating | None


@dataclass(frozen=True, slots=True)
class Standings:
    """Of all who were compared, the best first. `votes` counts the judgements, `edits` the rewritten answers."""

    rows: tuple[Standing, ...]
    votes: int
    edits: int


@dataclass(frozen=True, slots=True)
class MadeSet:
    """A data set made of votes: its rows, and how many votes gave none. `undecided`: ties and all bad; `apart`: the
    answers followed different conversations; `alike`: equal or empty texts."""

    version: Version
    rows: int
    undecided: int
    apart: int
    alike: int


class Votes:
    """The votes of the workspace."""

    def __init__(self, store: Store, datasets: Datasets) -> None:
        self._store = store
        self._datasets = datasets

    def cast(
        self,
        prompt: Sequence[Message],
        answers: Sequence[Answered],
        verdict: Verdict,
        column: int | None = None,
        *,
        edited: str = "",
        note: str = "",
        who: str = "",
        blind: bool = False,
        same_question: bool = True,
        vote: str = "",
    ) -> Vote:
        """Keep a vote, in place of the `vote` that was cast before on the same answers. Raises InputError."""
        try:
            cast = Vote(
                id=vote or new_id(),
                time=time.time(),
                who=who.strip() or user_name(),
                prompt=tuple(prompt),
                answers=tuple(answers),
                verdict=verdict,
                column=column,
                edited=edited,
                note=note.strip(),
                blind=blind,
                same_question=same_question,
            )
        except ValidationError as error:
            raise InputError("error.vote.unfit", reason=error.errors(include_url=False)[0]["msg"]) from None
        self._store.put_vote(cast)
        return cast

    def withdraw(self, vote: str) -> None:
        """As if it had never been cast."""
        self._store.delete_vote(vote)

    def all(self) -> list[Vote]:
        """Oldest first."""
        return self._store.votes()

    def standings(self) -> Standings:
        """Win rates of everybody, and strengths once there are more than two."""
        votes = self.all()
        games = games_of(votes)
        rates = win_rates(games)
        ratings = bradley_terry(games) if len(rates) > 2 else {}
        names = {answer.contestant: answer.name for vote in votes for answer in vote.answers}
        runs = self._store.cursors().keys()
        rows = [
            Standing(who, names[who], bool(who.run) and who.run not in runs, rates[place], ratings.get(place))
            for place, who in enumerate(contestants_of(votes))
            if place in rates
        ]
        rows.sort(key=lambda row: row.rating.points if row.rating else row.win_rate.rate, reverse=True)
        edits = sum(vote.verdict == "edit" for vote in votes)
        return Standings(tuple(rows), len(votes) - edits, edits)

    def make_set(self, name: str, kind: SetKind = "pairs") -> MadeSet:
        """A data set of all votes, told by whom and when: the next version of the one that was made before. `pairs`: a
        better and a worse answer a row; `thumbs`: an answer a row, with a thumb up or down, also where all were bad.

        Made again of the same votes, it is the version that was made then. Raises InputError when the votes hold no
        row.
        """
        votes = self.all()
        rows = [row for vote in votes for row in (_pairs(vote) if kind == "pairs" else _thumbs(vote))]
        if not rows:
            raise InputError("error.vote.no_pairs", votes=len(votes))
        if any(not isinstance(row["prompt"], str) for row in rows):
            rows = [{**row, "prompt": _as_turns(row["prompt"])} for row in rows]
        undecided = sum(vote.verdict in ("tie", "bad") for vote in votes)
        apart = sum(not vote.same_question for vote in votes if vote.verdict not in ("tie", "bad"))
        silent = [v for v in votes if v.verdict in ("best", "edit") and v.same_question and not v.preferences]
        told = {"rows": len(rows), "votes": len(votes), "undecided": undecided, "apart": apart, "alike": len(silent)}
        notes = (Note("notice.votes.made", told),)
        version = self._datasets.add_made(rows, name, (_MADE_OF, f"votes.{kind}"), notes)
        return MadeSet(version, len(rows), undecided, apart, len(silent))


def user_name() -> str:
    """What the person at this machine is called; empty where the machine does not know."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def shown_name(answer: Answered) -> str:
    """The name, and whether it answered with a prompt of its own."""
    return f"{answer.name} (+ prompt)" if answer.contestant.prompted else answer.name


def _pairs(vote: Vote) -> Iterator[dict[str, Any]]:
    for better, worse, place in vote.preferences:
        column = vote.column or 0
        edited = vote.verdict == "edit"
        by = (vote.who if edited else shown_name(vote.answers[column]), shown_name(vote.answers[place]))
        sides = {"chosen": better, "rejected": worse, "chosen_by": by[0], "rejected_by": by[1]}
        yield {"prompt": _question(vote.prompt), **sides, **_provenance(vote)}


def _thumbs(vote: Vote) -> Iterator[dict[str, Any]]:
    if not vote.same_question or vote.verdict == "tie":
        return
    rated = [(answer.text, shown_name(answer), place == vote.column) for place, answer in enumerate(vote.answers)]
    if vote.verdict == "edit":
        text, name, _ = rated[vote.column or 0]
        rated = [(vote.edited, vote.who, True), (text, name, False)]
    for text, name, label in rated:
        if text.strip():
            yield {
                "prompt": _question(vote.prompt), "completion": text, "label": label, "answer_by": name,
                **_provenance(vote),
            }  # fmt: skip


def _provenance(vote: Vote) -> dict[str, Any]:
    when = datetime.fromtimestamp(vote.time, UTC).isoformat(timespec="seconds")
    return {"who": vote.who, "when": when, "note": vote.note, "verdict": vote.verdict, "blind": vote.blind}


def _question(prompt: Sequence[Message]) -> str | list[dict[str, str]]:
    """The text of a single question, else its turns."""
    if len(prompt) == 1:
        return prompt[0].content
    return [{"role": turn.role, "content": turn.content} for turn in prompt]


def _as_turns(prompt: str | list[dict[str, str]]) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
