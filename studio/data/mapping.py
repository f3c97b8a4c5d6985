"""Which column of a table is what."""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel

from studio.data.records import DatasetType
from studio.data.templates import chosen_columns, template_columns

Layout = Literal[
    "messages", "sharegpt", "turns", "alpaca", "prompt_completion", "question_answer", "context_qa", "preference",
    "transcripts", "ranked", "kto", "text", "prompt_only", "template", "columns",
]  # fmt: skip


class Mapping(BaseModel, frozen=True, extra="forbid"):
    """Which column is what, and so what kind of record a row becomes (`dataset_type`).

    A prompt and an answer, each a column or a template; or `turns`, a list of turns with the answers in it; or
    `chosen` and `rejected`; or `ranked`, a list of answers; or `text`, a passage to read. A prompt alone is a question
    without an answer, where the layout says so.
    - `input` is appended to the prompt on a new line, `history` (a list of question and answer pairs) goes before it;
      `system` becomes the system message, `tools` are the functions that may be called.
    - `label` tells good answers from bad ones.
    - `ranks` is a column of numbers, one for each answer of `ranked`, or the key of the number within each; `best`
      says which is best: the first answer, that with the lowest number (a rank) or the highest (a score).
    - `accepted_calls` is the answer as a list of {function: {argument: [accepted values]}}.
    - Within a turn, `role_key` names the speaker and `content_key` the text. `transcript`: turns are written as one
      text, "Human: ..." and "Assistant: ..." in turn.
    - Templates are text with `{column}` fields (`studio.data.templates`).
    """

    layout: Layout = "columns"
    prompt: str | None = None
    input: str | None = None
    history: str | None = None
    answer: str | None = None
    accepted_calls: str | None = None
    system: str | None = None
    turns: str | None = None
    role_key: str = "role"
    content_key: str = "content"
    transcript: bool = False
    tools: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    ranked: str | None = None
    ranks: str | None = None
    best: Literal["first", "lowest", "highest"] = "first"
    label: str | None = None
    text: str | None = None
    prompt_template: str | None = None
    answer_template: str | None = None
    system_template: str | None = None

    @property
    def dataset_type(self) -> DatasetType:
        """TRL's name for what the rows become."""
        if self.text:
            return "language_modeling"
        if self.chosen or self.rejected or self.ranked:
            return "preference"
        if self.label:
            return "unpaired_preference"
        if self.turns:
            return "conversational"
        return "prompt_completion" if self.answer or self.answer_template or self.accepted_calls else "prompt_only"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose text the model sees, in the order it sees them."""
        return tuple(dict.fromkeys((*self.named, *(name for t in self.templates for name in template_columns(t)))))

    def needed(self, known: Iterable[str]) -> tuple[str, ...]:
        """Every column of those known that converting a row reads: labels and ranks too, and all that a template may
        choose from."""
        chosen = {*self.columns, self.label, self.ranks}
        patterns = [pattern for template in self.templates for pattern in chosen_columns(template)]
        return tuple(name for name in known if name in chosen or any(p.fullmatch(name) for p in patterns))

    @property
    def templates(self) -> tuple[str, ...]:
        """The templates that are in use."""
        return tuple(t for t in (self.system_template, self.prompt_template, self.answer_template) if t)

    @property
    def named(self) -> tuple[str, ...]:
        """The columns named for what the model sees, those of templates aside; one named twice is here twice."""
        asked = (
            (self.turns,)
            if self.turns
            else (self.history, *((self.prompt, self.input) if not self.prompt_template else ()))
        )
        kind = self.dataset_type
        if kind == "language_modeling":
            named: tuple[str | None, ...] = (self.text,)
        elif kind == "preference":
            named = (self.system, *asked, self.chosen, self.rejected, self.ranked, self.tools)
        elif self.turns:
            named = (self.system, self.turns, self.tools)
        else:
            answer = None if self.answer_template else self.answer
            named = (self.system, *asked, answer, self.accepted_calls, self.tools)
        return tuple(name for name in named if name)
