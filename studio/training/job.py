"""What a training method is given, and the examples made of it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from studio.data.records import Conversation
from studio.data.splits import Split, split
from studio.data.tokens import Example, tokenize
from studio.errors import DataError
from studio.runs.events import Checkpoint, Event, Notice, Started
from studio.runs.spec import RunSpec
from studio.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Held by whatever has a Trainer in this process, a run or a probe. Making a Trainer resets what Accelerate keeps for
# the whole process (transformers/training_args.py, `AcceleratorState._reset_state`) and seeds all random numbers: a
# second one beside it would break the first, or change what it learns.
ONE_TRAINER = threading.Lock()


class Rows(Protocol):
    """Conversations with the ids of their rows: a list of them, or what reads them from disk each time."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[int, Conversation]]: ...


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """A run to be trained. `rows` are the conversations by row id, gone through as often as needed; `skipped` rows
    could not be read as one.

    `history` holds the checkpoints already made, oldest first, of which the last whole one is resumed from;
    `started` is the run's last beginning, if there was one. `parts`: which rows are on which side; None: what
    `spec.data.split` makes of the rows alone, with no column and no clusters.
    """

    spec: RunSpec
    settings: Settings
    folder: Path
    rows: Rows
    skipped: int
    history: Sequence[Checkpoint]
    append: Callable[..., None]
    started: Started | None = None
    parts: Split | None = None

    def notice(self, key: str, **values: object) -> None:
        self.append(Notice(key=key, values=values))

    def report(self, *events: Event) -> None:
        self.append(*events)


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """Tokenised rows of both splits. `lost` rows had no trained token left, `truncated` were cut and kept."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    prompts: tuple[Conversation, ...]
    lost: int
    truncated: int


SAMPLE_PROMPTS = 3


def make_examples(
    rows: Rows, spec: RunSpec, tokenizer: "PreTrainedTokenizerBase", context: int, parts: Split | None = None
) -> ExampleSet:
    """Split and tokenise, row by row. `context` is the longest sequence the model can read, in tokens.

    Rows that the chat template refuses count as lost. Raises DataError when there is no row, no row has an answer to
    learn from, every answer was cut away, or every row is refused.
    """
    if not len(rows):
        raise DataError("error.train.no_rows")
    parts = parts or split(list(rows), spec.data.split)
    length = min(spec.data.max_length, context)
    lost = truncated = 0
    sides = [set(ids.tolist()) for ids in (parts.train, parts.validation)]
    made: tuple[list[Example], list[Example]] = ([], [])
    for row_id, conversation in rows:
        side = next((number for number, ids in enumerate(sides) if row_id in ids), None)
        if side is None:
            continue
        try:
            example = tokenize(conversation, tokenizer, length, loss_on=spec.method.loss_on)
        except DataError:
            lost += 1
            continue
        if example.trained_tokens:
            made[side].append(example)
            truncated += example.truncated
        else:
            lost += 1
    if not made[0]:
        check_learnable(rows, spec, tokenizer, length)
    shown = pick(rows, shown_first(parts))
    return ExampleSet(tuple(made[0]), tuple(made[1]), tuple(shown), lost, truncated)


def shown_first(parts: Split) -> list[int]:
    """Ids of the rows whose prompts are answered now and then during training."""
    return [*parts.validation[:SAMPLE_PROMPTS].tolist(), *parts.train[:SAMPLE_PROMPTS].tolist()][:SAMPLE_PROMPTS]


def pick(rows: Rows, ids: Sequence[int]) -> list[Conversation]:
    """The conversations of these rows, in this order."""
    wanted = set(ids)
    found = {row_id: conversation for row_id, conversation in rows if row_id in wanted}
    return [found[row_id] for row_id in ids]


def check_learnable(rows: Rows, spec: RunSpec, tokenizer: "PreTrainedTokenizerBase", length: int) -> None:
    """Raises the DataError that says why no training row teaches anything; call it only then."""
    refused: list[DataError] = []
    prompts = []
    for _, conversation in rows:
        try:
            example = tokenize(conversation, tokenizer, length, loss_on=spec.method.loss_on)
        except DataError as error:
            refused.append(error)
            continue
        if example.truncated:
            prompts.append(example.prompt_tokens)
    if prompts:
        raise DataError("error.train.all_cut", rows=len(rows), max_length=length, prompt_tokens=max(prompts))
    if refused:
        raise refused[0]
    raise DataError("error.train.all_masked", rows=len(rows))
