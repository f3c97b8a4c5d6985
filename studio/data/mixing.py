"""Mixtures: several data sets in one, each with its weight and templates, and replay of general data.

How often each is drawn: by its size with a maximum, so that large ones do not drown small ones, or by temperature
(Raffel et al. 2020, arXiv:1910.10683, section 3.5.2; FLAN takes the first, Wei et al. 2021, arXiv:2109.01652, Longpre
et al. 2023, arXiv:2301.13688), or by weights alone. Replay keeps what a model already knows: a share of general data
among the new (rehearsal; Scialom et al. 2022, arXiv:2205.12393, find one per cent to be enough for large models).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import floor
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from studio.data.formats import convert
from studio.data.instruction_templates import TEMPLATE_SETS, InstructionTemplate, TemplateSet, instruct
from studio.data.mapping import Mapping
from studio.data.problems import RowProblem
from studio.data.records import Conversation, Message, as_conversation
from studio.data.spec_files import load_yaml_mapping, spec_error
from studio.data.tables import Row, Table, TableWriter
from studio.errors import DataError, Stopped

STARTER = "starter"
MIX_MAPPING = Mapping(layout="messages", turns="messages")
TOOLS_MAPPING = Mapping(layout="messages", turns="messages", tools="tools")
_SAMPLED = 1_000
_BATCH = 4_096
Tokens = Callable[[Sequence[Conversation]], Sequence[int]]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MixPart(_Part):
    """A data set in the mixture. `data`: a dataset version (on the command line a file); `mapping` None: its own.

    `task` is its name in the mixture; empty: that of the data set. `cap`: at most so many of its rows, chosen by the
    seed. `templates` and those of `template_sets`: ways to ask, one chosen for each row. `held_out`: not trained on at
    all, to see what is learned for tasks that were never seen.
    """

    data: Annotated[str, Field(min_length=1, max_length=1000)]
    mapping: Mapping | None = None
    task: Annotated[str, Field(max_length=200)] = ""
    weight: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
    cap: Annotated[int, Field(ge=1)] | None = None
    templates: tuple[InstructionTemplate, ...] = ()
    template_sets: tuple[TemplateSet, ...] = ()
    held_out: bool = False

    @property
    def ways(self) -> tuple[InstructionTemplate, ...]:
        """All templates; none: rows are asked as they are."""
        return (*self.templates, *(one for name in self.template_sets for one in TEMPLATE_SETS[name]))


class BySize(_Part):
    """Drawn as often as a data set is large, but none counts for more than `maximum` rows."""

    by: Literal["size"] = "size"
    maximum: Annotated[int, Field(ge=1)] | None = None


class ByTemperature(_Part):
    """The rates by size, raised to 1/temperature: 1 is by size, higher evens out."""

    by: Literal["temperature"]
    temperature: Annotated[float, Field(ge=1, le=100)] = 2.0
    maximum: Annotated[int, Field(ge=1)] | None = None


class ByWeights(_Part):
    """Drawn by the weights alone, whatever the sizes."""

    by: Literal["weights"]


class Replay(_Part):
    """General data mixed in, so that what the model knows is not wiped out. `share`: of all tokens.

    `data`: `starter` (what the starter model was taught), or a dataset version.
    """

    share: Annotated[float, Field(gt=0, le=0.9)] = 0.2
    data: Annotated[str, Field(min_length=1, max_length=1000)] = STARTER
    mapping: Mapping | None = None


class MixSpec(_Part):
    """A mixture. `rows` None: as many as there are without repeating a row; otherwise rows repeat where needed."""

    parts: tuple[MixPart, ...]
    mixing: Annotated[BySize | ByTemperature | ByWeights, Field(discriminator="by")] = BySize()
    rows: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    replay: Replay | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0

    @model_validator(mode="after")
    def _together(self) -> Self:
        if all(part.held_out for part in self.parts):
            raise PydanticCustomError("all_held_out", "nothing is left to train on")
        return self

    def to_yaml(self) -> str:
        """The mixture as YAML; what has its usual value is left out."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        if not isinstance(self.mixing, BySize) or self.mixing != BySize():
            values["mixing"] = {"by": self.mixing.by, **values.get("mixing", {})}
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)

    @classmethod
    def from_yaml(cls, text: str, name: str) -> Self:
        """Raises SpecError that tells every problem with its path; `name` is told in errors."""
        try:
            return cls.model_validate(load_yaml_mapping(text, name))
        except ValidationError as error:
            raise spec_error(error, _TAGS) from None


_TAGS = frozenset({"size", "temperature", "weights"})


# What is mixed


@dataclass(frozen=True, slots=True)
class Source:
    """A data set to be mixed. `usable`: its rows that can be learned from, as places in the table."""

    name: str
    table: Table
    mapping: Mapping
    usable: NDArray[np.int64]


def open_source(name: str, table: Table, mapping: Mapping, check_stop: Callable[[], None] = lambda: None) -> Source:
    """Look through a table for the rows that can be learned from. Raises DataError when there are none."""
    places = []
    for place, row in enumerate(table.read()):
        if place % _BATCH == 0:
            check_stop()
        if _learned(row, mapping) is not None:
            places.append(place)
    if not places:
        raise DataError("error.mix.nothing_usable", data=name)
    return Source(name, table, mapping, np.array(places, np.int64))


def _learned(row: Row, mapping: Mapping) -> Conversation | None:
    record = convert(row, mapping)
    return None if isinstance(record, RowProblem) else as_conversation(record)


@dataclass(frozen=True, slots=True)
class World:
    """General data that never ends: `talk(seed)` yields conversations, the same ones for the same seed."""

    name: str
    talk: Callable[[int], Iterator[Conversation]]


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What a spec names, opened: one source per part, in order, and the replay."""

    parts: tuple[Source, ...]
    replay: Source | World | None = None


# The plan


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """What a part brings. `available`: rows to draw from (None: without end); `passes`: how often each is used.

    `tokens` is expected, from a sample of rows; `share` is of all trained tokens.
    """

    task: str
    source: str
    available: int | None
    rows: int
    passes: float
    tokens: int
    share: float
    held_out: bool = False
    replay: bool = False


@dataclass(frozen=True, slots=True)
class MixPlan:
    """The mixture before it is made. `rows` and `tokens` are of what will be trained on."""

    parts: tuple[PlannedPart, ...]
    rows: int
    tokens: int

    @property
    def replay_share(self) -> float:
        """Of all tokens."""
        return sum(part.share for part in self.parts if part.replay)


def estimated_tokens(conversations: Sequence[Conversation]) -> list[int]:
    """Tokens by characters, where no tokenizer is at hand: four of ASCII to a token, others a little more than one."""
    found = []
    for conversation in conversations:
        text = "".join(message.text for message in conversation.messages)
        narrow = sum(map(str.isascii, text))
        found.append(max(1, round(narrow / 4 + (len(text) - narrow) * 0.8)))
    return found


def plan(spec: MixSpec, found: Ingredients, tokens: Tokens = estimated_tokens) -> MixPlan:
    """Rows and token shares of each part, from a sample of its rows; nothing is made."""
    _check(spec, found)
    rows = _part_rows(spec, found.parts)
    means = [_mean_tokens(spec, i, source, tokens) for i, source in enumerate(found.parts)]
    expected = [round(count * mean) for count, mean in zip(rows, means, strict=True)]
    trained = sum(n for n, part in zip(expected, spec.parts, strict=True) if not part.held_out)
    made: list[PlannedPart] = []
    replay_rows, replay_tokens = 0, 0
    if spec.replay and found.replay:
        wanted = trained * spec.replay.share / (1 - spec.replay.share)
        replay_rows, replay_tokens = _replay_rows(spec, found.replay, tokens, wanted)
    total = trained + replay_tokens
    for part, source, count, amount in zip(spec.parts, found.parts, rows, expected, strict=True):
        available = _available(part, source)
        made.append(
            PlannedPart(
                task=part.task or source.name,
                source=source.name,
                available=available,
                rows=count,
                passes=count / available,
                tokens=amount,
                share=0.0 if part.held_out else amount / total,
                held_out=part.held_out,
            )
        )
    if spec.replay and found.replay:
        available = len(found.replay.usable) if isinstance(found.replay, Source) else None
        passes = replay_rows / available if available else 0.0
        share = replay_tokens / total
        name = found.replay.name
        made.append(PlannedPart("replay", name, available, replay_rows, passes, replay_tokens, share, replay=True))
    return MixPlan(tuple(made), sum(p.rows for p in made if not p.held_out), total)


def _check(spec: MixSpec, found: Ingredients) -> None:
    for part, source in zip(spec.parts, found.parts, strict=True):
        for template in part.ways:
            template.check(column.name for column in source.table.columns)


def _available(part: MixPart, source: Source) -> int:
    return min(len(source.usable), part.cap or len(source.usable))


def _part_rows(spec: MixSpec, sources: Sequence[Source]) -> list[int]:
    """Rows of each part; held-out parts are taken whole."""
    available = [_available(part, source) for part, source in zip(spec.parts, sources, strict=True)]
    trained = [i for i, part in enumerate(spec.parts) if not part.held_out]
    rates = np.array([_rate(spec, i, available[i]) for i in trained])
    rates /= rates.sum()
    once = floor(min(available[i] / rate for i, rate in zip(trained, rates, strict=True)) + 1e-6)
    most = None if isinstance(spec.mixing, ByWeights) else spec.mixing.maximum
    total = spec.rows or max(1, min(once, sum(min(available[i], most or available[i]) for i in trained)))
    counts = available.copy()
    for i, count in zip(trained, _rounded(rates * total, total), strict=True):
        counts[i] = count
    return counts


def _rate(spec: MixSpec, number: int, available: int) -> float:
    weight = spec.parts[number].weight
    match spec.mixing:
        case BySize(maximum=maximum):
            return weight * min(available, maximum or available)
        case ByTemperature(temperature=temperature, maximum=maximum):
            return weight * min(available, maximum or available) ** (1 / temperature)
        case ByWeights():
            return weight


def _rounded(exact: NDArray[np.float64], total: int) -> list[int]:
    """Whole numbers with the sum `total`: the largest remainders go up; no part is left out altogether."""
    counts = np.floor(exact + 1e-9).astype(np.int64)
    up = np.argsort(counts - exact, kind="stable")[: total - int(counts.sum())]
    counts[up] += 1
    return [max(1, int(count)) for count in counts]


def _mean_tokens(spec: MixSpec, number: int, source: Source, tokens: Tokens) -> float:
    """Tokens of a row, over as many rows as are sampled, evenly spaced."""
    step = max(1, len(source.usable) // _SAMPLED)
    rows = _rows_at(source, source.usable[::step])
    made = [instruct(c, row.values, spec.parts[number].ways, _key(spec, number, row.id, 0)) for row, c in rows]
    return float(np.mean(tokens(made)))


def _replay_rows(spec: MixSpec, replay: Source | World, tokens: Tokens, wanted: float) -> tuple[int, int]:
    """How many rows of general data come nearest to `wanted` tokens, and their tokens."""
    if isinstance(replay, World):
        # The very rows that will be drawn: of few rows the mean may be far from that of many.
        counted = np.cumsum(tokens(list(islice(replay.talk(spec.seed), _SAMPLED))))
        if wanted < counted[-1]:
            place = int(np.abs(counted - wanted).argmin())
            return place + 1, int(counted[place])
        mean = float(counted[-1]) / len(counted)
    else:
        step = max(1, len(replay.usable) // _SAMPLED)
        mean = float(np.mean(tokens([c for _, c in _rows_at(replay, replay.usable[::step])])))
    rows = max(1, round(wanted / mean))
    return rows, round(rows * mean)


def _rows_at(source: Source, places: NDArray[np.int64]) -> Iterator[tuple[Row, Conversation]]:
    """The rows at these places of the table, in order."""
    wanted = np.zeros(source.table.rows, bool)
    wanted[places] = True
    for row, here in zip(source.table.read(), wanted[: places.max(initial=-1) + 1], strict=False):
        if here and (conversation := _learned(row, source.mapping)):
            yield row, conversation


def _key(spec: MixSpec, number: int, row: int, turn: int) -> str:
    return f"{spec.seed} {number} {row} {turn}"


# Making it


@dataclass(frozen=True, slots=True)
class Mixed:
    """Rows written, and those kept apart (None where no part is held out)."""

    rows: int
    held_out: int | None


def mix(
    spec: MixSpec,
    found: Ingredients,
    planned: MixPlan,
    path: Path,
    held_out: Path,
    progress: Callable[[float], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Mixed:
    """Write what `planned` tells: columns `messages`, `source` and `task` (and `tools` where there are any).

    The parts come in a random order of rows, the rows of each part in that of its table: training shuffles anyway,
    and nothing larger than one number per row is held. Equal spec and data make an equal table. Rows of the parts
    that are held out go to a table of their own.
    """
    streams = [_drawn(spec, i, source, planned.parts[i].rows) for i, source in enumerate(found.parts)]
    if found.replay is not None and spec.replay is not None:
        streams.append(_replayed(spec, found.replay, planned.parts[-1].rows))
    trained = [i for i, part in enumerate(planned.parts) if not part.held_out]
    apart = [i for i, part in enumerate(planned.parts) if part.held_out]
    rng = np.random.default_rng([spec.seed, 1])
    order = rng.permutation(np.repeat(np.array(trained, np.int16), [planned.parts[i].rows for i in trained]))
    total = len(order) + sum(planned.parts[i].rows for i in apart)
    done = 0

    def write(target: Path, numbers: Iterator[int]) -> int:
        nonlocal done
        rows: list[Row] = []
        written = 0
        with TableWriter(target) as writer:
            for number in numbers:
                part = planned.parts[number]
                rows.append(_row(written + 1, next(streams[number]), part.source, part.task))
                written += 1
                if len(rows) == _BATCH:
                    writer.add(rows)
                    rows = []
                    if stop and stop():
                        raise Stopped("error.stopped")
                    if progress:
                        progress((done + written) / total)
            writer.add(rows)
        done += written
        return written

    made = write(path, iter(order.tolist()))
    kept = write(held_out, (i for i in apart for _ in range(planned.parts[i].rows))) if apart else None
    if progress:
        progress(1.0)
    return Mixed(made, kept)


def _drawn(spec: MixSpec, number: int, source: Source, count: int) -> Iterator[Conversation]:
    """`count` rows of a part: all of it over and over, and a random part of it for what is left."""
    part = spec.parts[number]
    templates = part.ways
    rng = np.random.default_rng([spec.seed, 0, number])
    own = np.sort(rng.permutation(source.usable)[: _available(part, source)])
    for turn, places in enumerate(_passes(own, count, rng)):
        for row, conversation in _rows_at(source, places):
            yield instruct(conversation, row.values, templates, _key(spec, number, row.id, turn))


def _passes(places: NDArray[np.int64], count: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    while count > 0:
        taken = places if count >= len(places) else rng.permutation(places)[:count]
        yield taken
        count -= len(taken)


def _replayed(spec: MixSpec, replay: Source | World, count: int) -> Iterator[Conversation]:
    if isinstance(replay, World):
        yield from islice(replay.talk(spec.seed), count)
        return
    rng = np.random.default_rng([spec.seed, 2])
    for places in _passes(replay.usable, count, rng):
        yield from (conversation for _, conversation in _rows_at(replay, places))


def _row(number: int, conversation: Conversation, source: str, task: str) -> Row:
    values: dict[str, Any] = {
        "messages": [_message(message) for message in conversation.messages],
        "source": source,
        "task": task,
    }
    if conversation.tools:
        values["tools"] = [dict(tool) for tool in conversation.tools]
    return Row(number, values)


def _message(message: Message) -> dict[str, Any]:
    """As OpenAI writes it."""
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        told["tool_calls"] = [
            {
                **({"id": call.id} if call.id else {}),
                "type": "function",
                "function": {"name": call.name, "arguments": dict(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.name:
        told["name"] = message.name
    if message.call_id:
        told["tool_call_id"] = message.call_id
    return told
