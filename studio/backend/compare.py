"""Models side by side: every column is a row of a batch, and all that share a base share one set of its weights."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio.backend.candidates import Candidate, candidates, find_adapter, find_weights
from studio.backend.datasets import Datasets
from studio.backend.engine import load_engine
from studio.backend.residence import Adapter, Lease, Residence, Weights, batch_key
from studio.data.records import Message
from studio.errors import InputError, ModelError, ResourceError
from studio.runs.contestants import Contestant
from studio.runs.events import Notice
from studio.runs.store import Store
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.models.generation import Answer, Generation

MOST_COLUMNS = 4
_UPDATE_SECONDS = 0.05

Apart = Literal["", "model", "tokens"]


@dataclass(frozen=True, slots=True)
class Column:
    """Who answers, and what: the turns end with the user's. Each column has a history of its own."""

    contestant: Contestant
    turns: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """One question to all columns. `system` goes before the turns of every contestant that brings no system message of
    its own. `examples_of`: the run whose training rows are shown to contestants that take some (`shots`)."""

    columns: tuple[Column, ...]
    system: str = ""
    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 128
    seed: int = 0
    examples_of: str = ""


@dataclass(frozen=True, slots=True)
class ColumnState:
    """One column's answer so far, and what gives it: `adapter_sha256` is the hash of the very bytes that were loaded,
    None for the base. `tokens` leaves out the end token; `seconds` count the model's work up to the last token.

    `identical`: base and adapter gave equal scores for the first token, so that the adapter does nothing here; None
    while unknown, and where no base stands beside it. `apart`: why it answers in a batch of its own, after the first:
    another base model, or other new tokens; empty for the first batch.
    `caution`: that its adapter, made elsewhere, says it was made for another base.
    """

    text: str
    tokens: int
    seconds: float
    first_token_seconds: float | None
    finished: bool
    name: str
    adapter_sha256: str | None
    identical: bool | None = None
    apart: Apart = ""
    caution: Notice | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Speed after the first token, whose time is mostly the prompt's; None below two tokens."""
        if self.tokens < 2 or self.first_token_seconds is None or self.seconds <= self.first_token_seconds:
            return None
        return (self.tokens - 1) / (self.seconds - self.first_token_seconds)


@dataclass(frozen=True, slots=True)
class CompareUpdate:
    """All columns at one moment."""

    columns: tuple[ColumnState, ...]
    done: bool


class Comparison:
    """Answers from base models and what was tuned of them; safe from any thread."""

    def __init__(
        self, settings: Settings, store: Store, datasets: Datasets, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._store = store
        self._datasets = datasets
        self._clock = clock
        self._settings = settings
        self._residence = Residence(settings)
        self._acting: set[str] = set()  # hashes of adapters that were seen to change scores

    # What there is to compare

    def candidates(self) -> tuple[Candidate, ...]:
        """Newest run first; of each run its result, then its checkpoints from the last to the first."""
        return candidates(self._store)

    def beside_base(self, run: str, step: int | None = None) -> tuple[Contestant, Contestant]:
        """The base of a run, and the run's result or one of its checkpoints. Raises InputError when there is none."""
        adapter = self.adapter(run, step)
        return Contestant(base=adapter.model), Contestant(base=adapter.model, run=run, step=step)

    def adapter(self, run: str, step: int | None = None) -> Adapter:
        """The adapter of a step; None: the run's result, or its newest checkpoint as long as there is none.

        Raises InputError when the run has no such adapter, or is a reward model, which answers nothing.
        """
        return find_adapter(self._store, run, step)

    def examples(self, run: str, limit: int = 6) -> tuple[tuple[tuple[Message, ...], str], ...]:
        """Prompts of the run's validation split, each with the expected answer."""
        spec = self._store.run(run).spec
        return self._datasets.examples(spec.data.version, spec.data.split, limit, spec.data.mapping)

    # Models in memory

    @contextmanager
    def lease(self, adapter: Adapter) -> Iterator[Lease]:
        """The adapter's base model with the adapter on it, kept in memory until the lease ends."""
        with self._residence.lease([Weights(adapter.model, adapter)]) as leases:
            yield leases[0]

    @contextmanager
    def lease_contestant(self, contestant: Contestant) -> Iterator[Lease]:
        """The weights of whoever answers, the base alone too, kept in memory until the lease ends.

        Waits for generations on another base to end. Raises ModelError when base or adapter are not those of the run,
        or do not fit each other, and InputError when there is no such run or checkpoint.
        """
        with self._residence.lease([find_weights(self._store, contestant)]) as leases:
            yield leases[0]

    def caution(self, contestant: Contestant) -> Notice | None:
        """That an adapter which was made elsewhere says it was made for another base, without loading it; None as well
        where folder or base cannot be read, of which is told when it is to answer. Raises ModelError: it was made for
        other weights."""
        from studio.models.adapter_base import check_base
        from studio.models.adapter_folder import look_at_adapter
        from studio.models.catalog import find_files

        if not contestant.folder:
            return None
        try:
            base = find_files(contestant.base.source, replace(self._settings, offline=True))
        except ModelError:
            return None
        return check_base(look_at_adapter(Path(contestant.folder.strip())), base, self._settings)

    def release(self) -> bool:
        """Give the memory of base model and adapters back, unless someone uses them; loaded again when needed."""
        return self._residence.release()

    def close(self) -> None:
        """Forget the models, also those in use; whoever uses one still keeps it alive until the end."""
        self._residence.close()

    # Answering

    def stream(self, request: CompareRequest) -> Iterator[CompareUpdate]:
        """All answers as they grow; the last update is `done`. Columns that cannot share a batch answer one batch after
        the other. Raises StudioError."""
        _check(request)
        asked = [self._asked(column, request) for column in request.columns]
        weights = [find_weights(self._store, column.contestant) for column in request.columns]
        groups = batches(weights)
        states = [_waiting(w, _why_apart(weights, groups, place)) for place, w in enumerate(weights)]
        for group in groups:
            with self._residence.lease([weights[place] for place in group]) as leases:
                prompts = [asked[place] for place in group]
                for answered in self._answers(request, [weights[place] for place in group], leases, prompts):
                    for place, state in zip(group, answered, strict=True):
                        states[place] = replace(state, apart=states[place].apart)
                    yield CompareUpdate(tuple(states), all(state.finished for state in states))

    def _asked(self, column: Column, request: CompareRequest) -> tuple[Message, ...]:
        """The turns with all that goes before them: a system message, and examples."""
        contestant = column.contestant
        system = contestant.system if contestant.system.strip() else request.system
        turns = column.turns
        if system.strip():
            turns = tuple(turn for turn in turns if turn.role != "system")
            head = (Message("system", system),)
        else:
            head = tuple(turn for turn in turns if turn.role == "system")
            turns = turns[len(head) :]
        return (*head, *self._shots(contestant, request), *turns)

    def _shots(self, contestant: Contestant, request: CompareRequest) -> Iterator[Message]:
        if not contestant.shots:
            return
        if not request.examples_of:
            raise InputError("error.compare.no_shots")
        data = self._store.run(request.examples_of).spec.data
        for messages, answer in self._datasets.shots(data.version, data.split, contestant.shots, data.mapping):
            yield from (message for message in messages if message.role != "system")
            yield Message("assistant", answer)

    def _answers(
        self,
        request: CompareRequest,
        weights: Sequence[Weights],
        leases: Sequence[Lease],
        asked: Sequence[tuple[Message, ...]],
    ) -> Iterator[list[ColumnState]]:
        load_engine()
        from studio.models.generation import Generation, Sampling, render_prompt

        prompts = [render_prompt(turns, lease.tokenizer) for turns, lease in zip(asked, leases, strict=True)]
        _check_room(weights, leases, prompts)

        def begin(rows: Sequence[Sequence[int]], whose: Sequence[Lease], tokens: int) -> Generation:
            return Generation(
                whose[0].model,
                [lease.tokenizer for lease in whose],
                rows,
                Sampling(request.temperature, request.top_p, tokens, request.seed),
                adapters=[lease.adapter_name for lease in whose],
                vocabularies=[lease.vocabulary for lease in whose],
                lock=whose[0].lock,
                clock=self._clock,
            )

        def states() -> list[ColumnState]:
            rows = zip(generation.answers, weights, leases, identical, strict=True)
            return [_state(*row) for row in rows]

        generation = begin(prompts, leases, request.max_new_tokens)
        identical: list[bool | None] = [None] * len(leases)
        shown = self._clock()
        yield states()
        with _memory_told():
            first = True
            while not generation.done:
                generation.step()
                if first:
                    identical, first = self._identical(generation, leases, prompts, begin), False
                if generation.done or self._clock() - shown >= _UPDATE_SECONDS:
                    yield states()
                    shown = self._clock()

    def _identical(
        self,
        generation: "Generation",
        leases: Sequence[Lease],
        prompts: Sequence[Sequence[int]],
        begin: "Callable[[Sequence[Sequence[int]], Sequence[Lease], int], Generation]",
    ) -> list[bool | None]:
        """Of each column whether its adapter does nothing. Only scores of one and the same prompt tell: where the base
        was asked something else, it is asked this too."""
        from studio.models.generation import scores_equal

        scores = generation.first_scores
        bases = [place for place, lease in enumerate(leases) if lease.adapter_sha256 is None]
        found: list[bool | None] = [None] * len(leases)
        if not bases or scores is None:
            return found
        base = leases[bases[0]]
        for place, lease in enumerate(leases):
            sha256 = lease.adapter_sha256
            if sha256 is None:
                continue
            if lease.vocabulary != base.vocabulary or sha256 in self._acting:  # new tokens are read otherwise
                found[place] = False
                continue
            beside = next((other for other in bases if prompts[other] == prompts[place]), None)
            if beside is not None:
                pair = scores[[beside, place]]
            else:
                probe = begin([prompts[place]] * 2, [base, lease], 1)
                probe.step()
                assert probe.first_scores is not None
                pair = probe.first_scores
            found[place] = scores_equal(pair, lease.model.dtype)
            if not found[place]:
                self._acting.add(sha256)
        return found


def batches(weights: Sequence[Weights]) -> list[list[int]]:
    """The columns in groups that can answer in one batch, in the order of each group's first. A base joins any group of
    its own."""
    found: dict[Any, list[int]] = {}
    for place, one in enumerate(weights):
        found.setdefault(batch_key(one), []).append(place)
    for key, columns in list(found.items()):
        alone = all(weights[place].adapter is None for place in columns)
        other = next((own for own in found if own != key and own[0] == key[0]), None)
        if alone and other is not None:
            found[other] += found.pop(key)
    return sorted(sorted(columns) for columns in found.values())


def _why_apart(weights: Sequence[Weights], groups: Sequence[Sequence[int]], place: int) -> Apart:
    if place in groups[0]:
        return ""
    first, own = weights[groups[0][0]], weights[place]
    return "tokens" if batch_key(first)[0] == batch_key(own)[0] else "model"


def _check(request: CompareRequest) -> None:
    if not 1 <= len(request.columns) <= MOST_COLUMNS:
        raise InputError("error.compare.columns", most=MOST_COLUMNS)
    for column in request.columns:
        turns = column.turns
        if not turns or turns[-1].role != "user" or not turns[-1].content.strip():
            raise InputError("error.compare.no_prompt")
    if request.temperature < 0 or not 0 < request.top_p <= 1 or request.max_new_tokens < 1 or request.seed < 0:
        raise InputError("error.compare.sampling")


def _check_room(weights: Sequence[Weights], leases: Sequence[Lease], prompts: Sequence[Sequence[int]]) -> None:
    from studio.models.generation import model_context

    context = model_context(leases[0].model)
    for one, lease, prompt in zip(weights, leases, prompts, strict=True):
        if len(prompt) >= context:
            name = one.name or lease.identity.name
            raise ModelError("error.compare.column_too_long", column=name, tokens=len(prompt), context=context)


def _waiting(weights: Weights, apart: Apart) -> ColumnState:
    return ColumnState("", 0, 0.0, None, False, weights.name or weights.base.source, None, None, apart)


def _state(answer: "Answer", weights: Weights, lease: Lease, identical: bool | None) -> ColumnState:
    return ColumnState(
        answer.text,
        answer.tokens,
        answer.seconds,
        answer.first_token_seconds,
        answer.finished,
        weights.name or lease.identity.name,
        lease.adapter_sha256,
        identical,
        caution=lease.caution,
    )


@contextmanager
def _memory_told() -> Iterator[None]:
    from studio.models.loading import free_memory, is_out_of_memory

    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        free_memory()
        raise ResourceError("error.compare.memory") from error
