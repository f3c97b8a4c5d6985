"""Comparisons that are kept: saved, opened again, written to a file; and sets of prompts that are asked in one go."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from studio.backend.compare import Column, CompareRequest, Comparison
from studio.backend.talks import Failure, Judged, Talk, Turn
from studio.backend.votes import Votes
from studio.data.export_rows import export_csv, export_jsonl
from studio.data.table_writer import Row
from studio.errors import InputError, StudioError, WorkspaceError
from studio.runs.store import ComparisonRecord, Store, file_words, new_id
from studio.runs.votes import Answered, Verdict

_TALK: TypeAdapter[Talk] = TypeAdapter(Talk)
MOST_PROMPTS = 500


class Comparisons:
    """What was compared, and what people said of it."""

    def __init__(self, store: Store, compare: Comparison, votes: Votes) -> None:
        self._store = store
        self._compare = compare
        self._votes = votes

    # Kept

    def save(self, talk: Talk, name: str) -> Talk:
        """Keep the comparison under this name; saved again it replaces what was kept. Raises InputError when there is
        nothing in it."""
        if not talk.turns:
            raise InputError("error.comparison.empty")
        words = " ".join(name.split())[:200] or talk.turns[0].prompt.strip()[:60]
        saved = replace(talk, id=talk.id or new_id(), name=words)
        self._store.put_comparison(saved.id, saved.name, _TALK.dump_json(saved).decode())
        return saved

    def saved(self) -> list[ComparisonRecord]:
        """The last changed first."""
        return self._store.comparisons()

    def open(self, comparison: str) -> Talk:
        """As it was saved; votes that were withdrawn since are gone. Raises InputError when there is none."""
        try:
            talk = _TALK.validate_json(self._store.comparison(comparison))
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            raise WorkspaceError("error.comparison.damaged", comparison=comparison, reason=reason) from None
        cast = {vote.id for vote in self._votes.all()}
        turns = (replace(turn, vote=turn.vote if turn.vote and turn.vote.id in cast else None) for turn in talk.turns)
        return replace(talk, turns=tuple(turns))

    def delete(self, comparison: str) -> None:
        """Its votes stay."""
        self._store.delete_comparison(comparison)

    def export(self, talk: Talk, ending: str) -> Path:
        """A file with a row for each answer: `.csv`, or `.jsonl` with a JSON object a line; either opens as data."""
        if not talk.turns:
            raise InputError("error.comparison.empty")
        path = self._store.folder / "exports" / f"{file_words(talk.name) or 'comparison'}-{talk.id or new_id()}{ending}"
        rows = [Row(number, values) for number, values in enumerate(answer_rows(talk), 1)]
        if ending == ".csv":
            export_csv(iter(rows), list(rows[0].values), path)
        else:
            export_jsonl(iter(rows), path)
        return path

    # Votes

    def vote(
        self,
        talk: Talk,
        place: int,
        verdict: Verdict,
        column: int | None = None,
        *,
        note: str = "",
        who: str = "",
        edited: str = "",
    ) -> Talk:
        """The talk with a vote on its turn at this place, which is kept; a vote replaces the one before, a rewritten
        answer stands beside it. Raises InputError."""
        turn = talk.turns[place]
        if turn.update is None:
            raise InputError("error.vote.no_answer")
        answers = [
            Answered(contestant=seat.contestant, name=state.name, text=state.text, adapter_sha256=state.adapter_sha256)
            for seat, state in zip(talk.seats, turn.update.columns, strict=True)
        ]
        before = turn.vote.id if turn.vote and verdict != "edit" else ""
        cast = self._votes.cast(
            talk.prompt(turn), answers, verdict, column, edited=edited, note=note, who=who, blind=turn.blind,
            same_question=talk.same_question(turn), vote=before,
        )  # fmt: skip
        if verdict == "edit":
            assert column is not None
            return talk.changed(place, edits=(*(e for e in turn.edits if e[0] != column), (column, edited)))
        return talk.changed(place, vote=Judged(cast.id, verdict, column, cast.note))

    def withdraw(self, talk: Talk, place: int) -> Talk:
        """The talk without the vote on this turn, which is kept no more."""
        vote = talk.turns[place].vote
        if vote is not None:
            self._votes.withdraw(vote.id)
        return talk.changed(place, vote=None)

    # Sets of prompts

    def ask_all(
        self,
        talk: Talk,
        turns: Sequence[Turn],
        options: CompareRequest,
        stop: threading.Event | None = None,
    ) -> Iterator[Talk]:
        """Ask each prompt by itself; yields the talk after each, with all that were answered. A prompt that cannot be
        answered is told in its turn. `options`: how to answer; its columns are not looked at."""
        if not turns:
            raise InputError("error.comparison.no_prompts")
        if len(turns) > MOST_PROMPTS:
            raise InputError("error.comparison.many_prompts", count=len(turns), most=MOST_PROMPTS)
        for turn in turns:
            if stop is not None and stop.is_set():
                return
            own = replace(turn, alone=True, system=options.system)
            talk = talk.with_turn(self._answered(talk, own, options))
            yield talk

    def _answered(self, talk: Talk, turn: Turn, options: CompareRequest) -> Turn:
        columns = tuple(Column(seat.contestant, turn.asked()) for seat in talk.seats)
        try:
            *_, last = self._compare.stream(replace(options, columns=columns))
        except StudioError as error:
            return replace(turn, failure=Failure(error.key, dict(error.values)))
        return replace(turn, update=last)


def prompts_of(text: str) -> list[Turn]:
    """Prompts that were written one a line, or, where there are blank lines, one between two of them."""
    parts = text.split("\n\n") if "\n\n" in text.strip() else text.splitlines()
    return [Turn(part.strip()) for part in parts if part.strip()]


def answer_rows(talk: Talk) -> Iterator[dict[str, Any]]:
    """A row for each answer: what was asked, who answered what, and what was voted."""
    for number, turn in enumerate(talk.turns, 1):
        for column, seat in enumerate(talk.seats):
            if turn.update is None:
                continue
            state, contestant = turn.update.columns[column], seat.contestant
            vote = turn.vote
            yield {
                "turn": number,
                "prompt": turn.prompt,
                "completion": state.text,
                "contestant": state.name,
                "base": seat.base,
                "run": contestant.run,
                "step": contestant.step,
                "own_system": contestant.system,
                "shots": contestant.shots,
                "system": turn.system,
                "expected": turn.expected,
                "verdict": vote.verdict if vote else None,
                "best": vote.column == column if vote and vote.verdict == "best" else None,
                "edited": dict(turn.edits).get(column),
                "tokens": state.tokens,
                "seconds": round(state.seconds, 3),
                "adapter_sha256": state.adapter_sha256,
            }
