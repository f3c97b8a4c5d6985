"""A person's judgement of answers to one question, as it is kept."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from studio.data.records import Message
from studio.runs.contestants import Contestant

Verdict = Literal["best", "tie", "bad", "edit"]


class Answered(BaseModel, frozen=True, extra="forbid"):
    """One answer that was judged, and whose it was: the name as it was then, and the hash of the adapter's bytes."""

    contestant: Contestant
    name: str
    text: str
    adapter_sha256: str | None = None


class Vote(BaseModel, frozen=True, extra="forbid"):
    """`verdict`: one answer is the best (`column`), all are as good, all are bad, or one (`column`) was rewritten as
    `edited`. `who` is what the person calls themselves; `time` in seconds since 1970.

    `prompt`: the question with what stood before it for every column, the system message of all included, those of
    single contestants not. `same_question`: nothing else stood before it for any, no answers of its own to earlier
    questions either; only then do two answers make a preference.
    """

    id: str
    time: float
    who: Annotated[str, Field(max_length=200)] = ""
    prompt: Annotated[tuple[Message, ...], Field(min_length=1)]
    answers: Annotated[tuple[Answered, ...], Field(min_length=1)]
    verdict: Verdict
    column: int | None = None
    edited: str = ""
    note: Annotated[str, Field(max_length=5_000)] = ""
    blind: bool = False
    same_question: bool = True

    @model_validator(mode="after")
    def _whole(self) -> Self:
        names_one = self.verdict in ("best", "edit")
        if names_one != (self.column is not None) or not 0 <= (self.column or 0) < len(self.answers):
            raise ValueError("the column")
        if self.verdict != "edit" and len(self.answers) < 2:
            raise ValueError("one answer alone")
        if (self.verdict == "edit") != bool(self.edited.strip()):
            raise ValueError("the edited text")
        return self

    @property
    def preferences(self) -> tuple[tuple[str, str, int], ...]:
        """Each better text with a worse one, and the column of the worse. The best is better than every other; which of
        the others is better is not said. Equal texts make none, and of equal others one is taken."""
        if self.column is None or not self.same_question:
            return ()
        own = self.answers[self.column].text
        if self.verdict == "edit":
            return ((self.edited, own, self.column),) if self.edited != own and own.strip() else ()
        others: dict[str, int] = {}
        for place, answer in enumerate(self.answers):
            if answer.text.strip() and answer.text != own:
                others.setdefault(answer.text, place)
        return tuple((own, text, place) for text, place in others.items()) if own.strip() else ()
