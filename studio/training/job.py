"""What a training method is given, and the examples made of it."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from studio.data.records import Passage, Preference, PromptOnly, Rated, Record, record_sides
from studio.data.splits import Split, split
from studio.data.tokens import Example, LossOn, prompt_text, tokenize
from studio.errors import DataError
from studio.models.generation import decode
from studio.runs.events import Checkpoint, Event, Notice, Started
from studio.runs.methods import CptSpec, Method, RolloutSpec, SftSpec
from studio.runs.sources import Source
from studio.runs.spec import RunSpec
from studio.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Held by whatever has a Trainer in this process, a run or a probe. Making a Trainer resets what Accelerate keeps for
# the whole process (transformers/training_args.py, `AcceleratorState._reset_state`) and seeds all random numbers: a
# second one beside it would break the first, or change what it learns.
ONE_TRAINER = threading.Lock()


class Rows(Protocol):
    """What is learned, with the ids of the rows: a list, or what reads it from disk each time."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[int, Record]]: ...


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """A run to be trained. `rows` are what the method learns from by row id, gone through as often as needed;
    `skipped` rows hold nothing of it.

    `history` holds the checkpoints already made, oldest first, of which the last whole one is resumed from;
    `started` is the run's last beginning, if there was one. `parts`: which rows are on which side; None: what
    `spec.data.split` makes of the rows alone, with no column and no clusters. `sources`: what it builds on, by the ids
    of the runs (`spec.built_on`). `name` is the user's. `told_training`, `told_validation`: the last step whose numbers
    are recorded, -1 for none; a resumed run repeats those after its checkpoint.
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
    sources: Mapping[str, Source] = field(default_factory=dict)
    name: str = ""
    told_training: int = -1
    told_validation: int = -1

    def notice(self, key: str, **values: object) -> None:
        self.append(Notice(key=key, values=values))

    def report(self, *events: Event) -> None:
        self.append(*events)


@dataclass(frozen=True, slots=True)
class Lesson:
    """A row as token ids: one sequence, or of a preference the chosen and the rejected one. `liked`: thumbs up.

    `asks`: a prompt alone, which the model answers itself; `expected` is then the answer that the row has, if any.
    """

    sides: tuple[Example, ...]
    liked: bool = True
    asks: bool = False
    expected: str | None = None

    @property
    def tokens(self) -> int:
        """Of all its sequences, after cutting."""
        return sum(len(side.ids) for side in self.sides)

    @property
    def computed_tokens(self) -> int:
        """With the padding between both sides of a preference, which are computed together."""
        return len(self.sides) * max(len(side.ids) for side in self.sides)

    @property
    def trained_tokens(self) -> int:
        return sum(side.trained_tokens for side in self.sides)

    @property
    def truncated(self) -> bool:
        return any(side.truncated for side in self.sides)

    @property
    def alike(self) -> bool:
        """Both answers of a preference are the same, after cutting."""
        return len(self.sides) == 2 and self.sides[0].ids == self.sides[1].ids

    @property
    def lost(self) -> bool:
        """Nothing can be learned of it: an answer was cut away whole, or both are alike; or a part of a prompt was cut
        away that the model is to answer."""
        if self.asks:
            return self.truncated
        return self.alike or not all(side.trained_tokens for side in self.sides)


@dataclass(frozen=True, slots=True)
class Shown:
    """A row that is answered now and then during training: its last question, the token ids to go on from, and the
    answer that it has."""

    prompt: str
    ids: tuple[int, ...]
    expected: str


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """Tokenised rows of both splits. `lost` rows had no trained token left, `truncated` were cut and kept."""

    train: tuple[Lesson, ...]
    validation: tuple[Lesson, ...]
    shown: tuple[Shown, ...]
    lost: int
    truncated: int


SAMPLE_PROMPTS = 3
_UNCUT = 2**62
# Of a passage so many tokens are shown to go on from, or half of it.
_OPENING_TOKENS = 32


def encode(record: Record, tokenizer: "PreTrainedTokenizerBase", length: int, loss_on: LossOn = "answer") -> Lesson:
    """The record as token ids, cut to the longest length. Raises DataError when the template refuses the row."""
    match record:
        case Preference(prompt, chosen, rejected, tools):
            sides = (record, Preference(prompt, rejected, chosen, tools))
            return Lesson(tuple(tokenize(side, tokenizer, length) for side in sides))
        case Rated(prompt, completion, label, tools):
            return Lesson((tokenize(Rated(prompt, completion, True, tools), tokenizer, length),), label)
        case PromptOnly(answer=answer):
            return Lesson((tokenize(record, tokenizer, length),), asks=True, expected=answer)
    return Lesson((tokenize(record, tokenizer, length, loss_on),))


def cut_at(spec: RunSpec, context: int) -> int:
    """Where a row is cut, in tokens; documents that are packed are not, but go on in the next block. A prompt that the
    model answers leaves room for the answer."""
    packs = isinstance(spec.method, CptSpec) and spec.method.packed
    room = context - spec.method.max_new_tokens if isinstance(spec.method, RolloutSpec) else context
    return _UNCUT if packs else max(1, min(spec.data.max_length, room))


def at_most(lesson: Lesson, method: Method) -> Lesson:
    """What a step may have to hold of the row: of a prompt, all its answers at their longest."""
    if not isinstance(method, RolloutSpec):
        return lesson
    (side,) = lesson.sides
    answered = replace(side, ids=side.ids + side.ids[-1:] * method.max_new_tokens)
    return replace(lesson, sides=(answered,) * method.samples_per_row)


def loss_on(spec: RunSpec) -> LossOn:
    """Which tokens of a conversation carry loss."""
    return spec.method.loss_on if isinstance(spec.method, SftSpec) else "answer"


TRAIN, VALIDATION = 0, 1


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row of one side, TRAIN or VALIDATION. `lesson` None: nothing can be learned of it, or the template refuses
    it."""

    row_id: int
    record: Record
    side: int
    lesson: Lesson | None


def encoded(
    rows: Rows, spec: RunSpec, tokenizer: "PreTrainedTokenizerBase", context: int, parts: Split | None
) -> Iterator[Encoded]:
    """The rows of both sides, tokenised one by one. `context` is the longest sequence the model can read, in tokens.

    Raises DataError when there is no row; and, once all are gone through, when no training row has an answer to learn
    from, every answer was cut away, or every row is refused.
    """
    if not len(rows):
        raise DataError("error.train.no_rows")
    parts = parts or split(list(rows), spec.data.split)
    length = cut_at(spec, context)
    side_of = dict.fromkeys(parts.train.tolist(), TRAIN) | dict.fromkeys(parts.validation.tolist(), VALIDATION)
    learnable = False
    for row_id, record in rows:
        if (side := side_of.get(row_id)) is None:
            continue
        try:
            lesson = encode(record, tokenizer, length, loss_on(spec))
        except DataError:
            yield Encoded(row_id, record, side, None)
            continue
        learnable = learnable or (side == TRAIN and not lesson.lost)
        yield Encoded(row_id, record, side, None if lesson.lost else lesson)
    if not learnable:
        _check_learnable(rows, spec, tokenizer, length)


def make_examples(
    rows: Rows, spec: RunSpec, tokenizer: "PreTrainedTokenizerBase", context: int, parts: Split | None = None
) -> ExampleSet:
    """All of them at once. Raises DataError as `encoded` does."""
    made: tuple[list[Lesson], list[Lesson]] = ([], [])
    firsts = FirstRows()
    lost = truncated = 0
    for row in encoded(rows, spec, tokenizer, context, parts):
        if row.lesson is None:
            lost += 1
            continue
        made[row.side].append(row.lesson)
        truncated += row.lesson.truncated
        firsts.add(row)
    return ExampleSet(tuple(made[TRAIN]), tuple(made[VALIDATION]), firsts.shown(tokenizer), lost, truncated)


class FirstRows:
    """The rows that are answered now and then during training: the first that teach anything, those of the validation
    side before others."""

    def __init__(self) -> None:
        self._records: tuple[dict[int, Record], dict[int, Record]] = ({}, {})

    def add(self, row: Encoded) -> None:
        if len(self._records[row.side]) < SAMPLE_PROMPTS:
            self._records[row.side].setdefault(row.row_id, row.record)

    def shown(self, tokenizer: "PreTrainedTokenizerBase") -> tuple[Shown, ...]:
        """What they ask, and the answers they have."""
        records = [*self._records[VALIDATION].values(), *self._records[TRAIN].values()]
        return tuple(show(record, tokenizer) for record in records[:SAMPLE_PROMPTS])


def show(record: Record, tokenizer: "PreTrainedTokenizerBase") -> Shown:
    """What is asked of the model to see how it answers: the question, or the beginning of a passage."""
    if isinstance(record, Passage):
        ids = tokenizer(record.text, add_special_tokens=False)["input_ids"]
        opening = max(1, min(_OPENING_TOKENS, len(ids) // 2))
        return Shown(decode(tokenizer, ids[:opening]), tuple(ids[:opening]), decode(tokenizer, ids[opening:]))
    if isinstance(record, PromptOnly):
        before, expected = record.prompt, record.answer or ""
    else:
        *before, last = record_sides(record)[0]
        expected = last.text
    text = prompt_text(before, tokenizer, record.tools)
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return Shown(before[-1].text, tuple(ids), expected)


def pick(rows: Rows, ids: Sequence[int]) -> list[Record]:
    """What is learned of these rows, in this order; the first where it is several."""
    wanted = set(ids)
    found: dict[int, Record] = {}
    for row_id, record in rows:
        if row_id in wanted:
            found.setdefault(row_id, record)
            if len(found) == len(wanted):
                break
    return [found[row_id] for row_id in ids if row_id in found]


def _check_learnable(rows: Rows, spec: RunSpec, tokenizer: "PreTrainedTokenizerBase", length: int) -> None:
    """Raises the DataError that says why no training row teaches anything; call it only then."""
    refused: list[DataError] = []
    prompts = []
    alike = False
    for _, record in rows:
        try:
            lesson = encode(record, tokenizer, length, loss_on(spec))
        except DataError as error:
            refused.append(error)
            continue
        if lesson.truncated:
            prompts.append(max(side.prompt_tokens for side in lesson.sides))
        alike = alike or lesson.alike
    if prompts and isinstance(spec.method, RolloutSpec):
        key = "error.train.no_room" if length < spec.data.max_length else "error.train.prompts_cut"
        answer = spec.method.max_new_tokens
        raise DataError(key, rows=len(rows), max_length=length, prompt_tokens=max(prompts), answer_tokens=answer)
    if prompts:
        raise DataError("error.train.all_cut", rows=len(rows), max_length=length, prompt_tokens=max(prompts))
    if refused:
        raise refused[0]
    if alike:
        raise DataError("error.train.all_alike", rows=len(rows))
    raise DataError("error.train.all_masked", rows=len(rows))
