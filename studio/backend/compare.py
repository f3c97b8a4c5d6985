"""Base and tuned model side by side: two rows of one batch, one set of base weights in memory."""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.backend.datasets import Datasets
from studio.backend.engine import load_engine
from studio.data.records import Message
from studio.errors import InputError, ModelError, ResourceError
from studio.runs.events import Checkpoint, RunState, Started
from studio.runs.spec import ModelSpec
from studio.runs.store import RunRecord, Store
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.models.catalog import ModelIdentity
    from studio.models.generation import Answer
    from studio.models.loading import LoadedModel
    from studio.models.new_tokens import NewTokens

_KEPT_ADAPTERS = 4
_WAIT_SECONDS = 60.0
_UPDATE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Contestant:
    """What can stand beside its base: a run's result (`step` None) or one of its checkpoints, an adapter or, `full`, a
    whole model.

    `adapter_sha256` is the recorded hash of its weights file; None for a checkpoint, whose hash is told when it runs.
    """

    run: str
    name: str
    step: int | None
    adapter_sha256: str | None
    base: str
    validation_loss: float | None = None
    full: bool = False
    validation_reward: float | None = None


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """One question to both sides. The turns end with the user's; each side has a history of its own."""

    run: str
    step: int | None
    base_turns: tuple[Message, ...]
    tuned_turns: tuple[Message, ...]
    system: str = ""
    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 128
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ColumnState:
    """One side's answer so far, and what gives it: `adapter_sha256` is the hash of the very bytes that were loaded,
    None for the base. `tokens` leaves out the end token; `seconds` count the model's work up to the last token."""

    text: str
    tokens: int
    seconds: float
    first_token_seconds: float | None
    finished: bool
    name: str
    adapter_sha256: str | None

    @property
    def tokens_per_second(self) -> float | None:
        """Speed after the first token, whose time is mostly the prompt's; None below two tokens."""
        if self.tokens < 2 or self.first_token_seconds is None or self.seconds <= self.first_token_seconds:
            return None
        return (self.tokens - 1) / (self.seconds - self.first_token_seconds)


@dataclass(frozen=True, slots=True)
class CompareUpdate:
    """Both sides at one moment. `identical`: base and adapter gave equal scores for the first token, so that the
    adapter does nothing here; None while unknown."""

    base: ColumnState
    tuned: ColumnState
    done: bool
    identical: bool | None


@dataclass(frozen=True, slots=True)
class Adapter:
    """Where a contestant's adapter lies, or its whole model, and what the record says of it and its base."""

    run: str
    name: str
    step: int | None
    folder: Path
    sha256: str | None
    model: ModelSpec
    started: Started
    full: bool


@dataclass(slots=True)
class _Resident:
    """The one base model in memory, with a row for each of the new tokens, if any. `plain` is its own tokenizer; it
    came with `rows` rows. `adapters` maps hash to uses, oldest use first; those that are whole models are kept in
    `tuned`."""

    key: tuple[ModelSpec, "NewTokens | None"]
    loaded: "LoadedModel"
    plain: Any
    rows: int
    model: Any
    adapters: "OrderedDict[str, int]"
    tuned: dict[str, Any]

    @property
    def users(self) -> int:
        return sum(self.adapters.values())


@dataclass(frozen=True, slots=True)
class Lease:
    """A model that will not be unloaded while it is held. `lock` is taken for each step of a generation. The base has a
    tokenizer of its own where the run has new tokens; it came with `base_rows` rows of embeddings."""

    model: Any
    tokenizer: Any
    base_tokenizer: Any
    base_rows: int
    identity: "ModelIdentity"
    adapter_name: str
    adapter_sha256: str
    lock: threading.Lock


class Comparison:
    """Answers from base and adapter together. Keeps one base model and a few adapters; safe from any thread."""

    def __init__(
        self, settings: Settings, store: Store, datasets: Datasets, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._settings = settings
        self._store = store
        self._datasets = datasets
        self._clock = clock
        self._changing = threading.Condition()
        self._stepping = threading.Lock()
        self._resident: _Resident | None = None

    # What there is to compare

    def contestants(self) -> tuple[Contestant, ...]:
        """Newest run first; of each run its result, then its checkpoints from the last to the first."""
        outlines = self._store.outlines()
        return tuple(
            contestant
            for record in self._store.runs()
            if record.spec.method.writes
            for contestant in _contestants(record, outlines.get(record.id, RunState()))
        )

    def adapter(self, run: str, step: int | None = None) -> Adapter:
        """The adapter of a step; None: the run's result, or its newest checkpoint as long as there is none.

        Raises InputError when the run has no such adapter, or is a reward model, which answers nothing.
        """
        record = self._store.run(run)
        # What the run went on from is part of its own adapter.
        model = record.spec.model.model_copy(update={"adapter": "", "adapter_step": 0, "adapter_folder": ""})
        if not record.spec.method.writes:
            raise InputError("error.run.scores", run=record.name)
        full = record.spec.tuner.kind == "full"
        state = self._store.outlines().get(run, RunState())
        started = state.started
        kept = state.ended.adapter if state.ended else None
        if step is None and kept is not None and state.ended is not None and started is not None:
            folder = self._store.run_folder(run) / kept
            return Adapter(run, record.name, None, folder, state.ended.adapter_sha256, model, started, full)
        checkpoint = _checkpoint(state.checkpoints, step)
        if checkpoint is None or started is None:
            key = "error.run.no_adapter" if step is None else "error.run.no_checkpoint"
            raise InputError(key, run=record.name, step=step)
        folder = self._store.run_folder(run) / checkpoint.path
        return Adapter(run, record.name, checkpoint.step, folder, None, model, started, full)

    def examples(self, run: str, limit: int = 6) -> tuple[tuple[tuple[Message, ...], str], ...]:
        """Prompts of the run's validation split, each with the expected answer."""
        spec = self._store.run(run).spec
        return self._datasets.examples(spec.data.version, spec.data.split, limit, spec.data.mapping)

    # Answering

    def stream(self, request: CompareRequest) -> Iterator[CompareUpdate]:
        """Both answers as they grow; the last update is `done`. Raises StudioError."""
        for turns in (request.base_turns, request.tuned_turns):
            if not turns or turns[-1].role != "user" or not turns[-1].content.strip():
                raise InputError("error.compare.no_prompt")
        if request.temperature < 0 or not 0 < request.top_p <= 1 or request.max_new_tokens < 1 or request.seed < 0:
            raise InputError("error.compare.sampling")
        adapter = self.adapter(request.run, request.step)
        with self.lease(adapter) as lease:
            yield from self._answers(request, adapter, lease)

    def _answers(self, request: CompareRequest, adapter: Adapter, lease: Lease) -> Iterator[CompareUpdate]:
        load_engine()
        from studio.models.generation import BASE, Generation, Sampling, render_prompt, scores_equal
        from studio.models.new_tokens import first_new_id

        prompts = [
            render_prompt(_with_system(turns, request.system), tokenizer)
            for turns, tokenizer in (
                (request.base_turns, lease.base_tokenizer),
                (request.tuned_turns, lease.tokenizer),
            )
        ]
        adapters = [BASE, lease.adapter_name]
        extended = lease.tokenizer is not lease.base_tokenizer
        vocabularies = [first_new_id(lease.base_tokenizer), first_new_id(lease.tokenizer)] if extended else None

        def begin(rows: Sequence[Sequence[int]], tokens: int) -> Generation:
            sampling = Sampling(request.temperature, request.top_p, tokens, request.seed)
            return Generation(
                lease.model,
                lease.tokenizer,
                rows,
                sampling,
                adapters=adapters,
                vocabularies=vocabularies,
                lock=lease.lock,
                clock=self._clock,
            )

        generation = begin(prompts, request.max_new_tokens)
        identical = False if extended else None  # with new tokens it reads and writes otherwise
        shown = self._clock()
        yield _update(generation.answers, adapter, lease, identical)
        with _memory_told():
            while not generation.done:
                generation.step()
                if identical is None:
                    # Only scores of one and the same prompt tell whether the adapter does anything.
                    probe = generation
                    if prompts[0] != prompts[1]:
                        probe = begin([prompts[1], prompts[1]], 1)
                        probe.step()
                    identical = scores_equal(probe.first_scores, lease.model.dtype)
                if generation.done or self._clock() - shown >= _UPDATE_SECONDS:
                    yield _update(generation.answers, adapter, lease, identical)
                    shown = self._clock()

    # Models in memory

    @contextmanager
    def lease(self, adapter: Adapter) -> Iterator[Lease]:
        """The adapter's base model with the adapter on it, kept in memory until the lease ends.

        Waits for generations on another base to end. Raises ModelError when base or adapter are not those of the run.
        """
        from studio.models.loading import with_template
        from studio.models.new_tokens import extended_tokenizer, read_new_tokens

        new = read_new_tokens(adapter.folder)
        with self._changing:
            # A whole model has its own rows for new tokens; an adapter needs them in its base.
            resident = self._hold(adapter.model, None if adapter.full else new)
            if resident.loaded.identity.fingerprint != adapter.started.base_fingerprint:
                self._resident = None
                raise ModelError("error.compare.base_changed", run=adapter.name, base=adapter.started.base_name)
            sha256 = self._attach(resident, adapter)
            resident.adapters[sha256] += 1
        try:
            plain = tokenizer = with_template(resident.plain, adapter.model.chat_template)
            if resident.loaded.tokenizer is not resident.plain:
                tokenizer = with_template(resident.loaded.tokenizer, adapter.model.chat_template)
            yield Lease(
                self._answering(resident, sha256),
                extended_tokenizer(tokenizer, new) if adapter.full else tokenizer,
                plain,
                resident.rows,
                resident.loaded.identity,
                _adapter_name(sha256),
                sha256,
                self._stepping,
            )
        finally:
            with self._changing:
                resident.adapters[sha256] -= 1
                self._changing.notify_all()

    def _hold(self, model: ModelSpec, new: "NewTokens | None") -> _Resident:
        """The base model with these new tokens, loaded in place of any other. Which chat template is used is a matter
        of the tokenizer alone."""
        load_engine()
        from studio.models.device import detect_device
        from studio.models.loading import load_model
        from studio.models.new_tokens import with_new_tokens

        key = (model.model_copy(update={"chat_template": "own"}), new)
        if self._resident is not None and self._resident.key == key:
            return self._resident
        self._release()
        plain = load_model(model.source, self._settings, detect_device(), model.precision)
        embedding: Any = plain.model.get_input_embeddings()
        rows = int(embedding.weight.shape[0])
        loaded = with_new_tokens(plain, new)
        self._resident = _Resident(key, loaded, plain.tokenizer, rows, loaded.model, OrderedDict(), {})
        return self._resident

    def _attach(self, resident: _Resident, adapter: Adapter) -> str:
        """Read the adapter, put it on the model unless it is there, and let go of the one unused longest."""
        from studio.models.loading import attach_adapter, read_adapter

        if adapter.full:
            return self._load_beside(resident, adapter)
        read = read_adapter(adapter.folder)
        if adapter.sha256 is not None and read.sha256 != adapter.sha256:
            raise ModelError("error.adapter.changed", run=adapter.name, folder=str(adapter.folder))
        if read.sha256 not in resident.adapters:
            with self._stepping:
                resident.model = attach_adapter(resident.model, read, _adapter_name(read.sha256))
                resident.adapters[read.sha256] = 0
                on_base = {sha: users for sha, users in resident.adapters.items() if sha not in resident.tuned}
                idle = [sha for sha, users in on_base.items() if not users and sha != read.sha256]
                for sha in idle[: max(0, len(on_base) - _KEPT_ADAPTERS)]:
                    resident.model.delete_adapter(_adapter_name(sha))
                    del resident.adapters[sha]
        resident.adapters.move_to_end(read.sha256)
        return read.sha256

    def _load_beside(self, resident: _Resident, adapter: Adapter) -> str:
        """The whole model of a run, in place of any other that nobody uses."""
        from studio.models.device import detect_device
        from studio.models.folder import file_sha256
        from studio.models.loading import MODEL_WEIGHTS, free_memory, load_tuned

        file = adapter.folder / MODEL_WEIGHTS
        if not file.is_file():
            raise ModelError("error.adapter.missing", folder=str(adapter.folder))
        sha256 = file_sha256(file)
        if adapter.sha256 is not None and sha256 != adapter.sha256:
            raise ModelError("error.adapter.changed", run=adapter.name, folder=str(adapter.folder))
        if sha256 not in resident.tuned:
            for idle in [sha for sha in resident.tuned if not resident.adapters[sha]]:
                del resident.tuned[idle], resident.adapters[idle]
            free_memory()
            resident.tuned[sha256] = load_tuned(adapter.folder, resident.loaded, detect_device())
            resident.adapters[sha256] = 0
        resident.adapters.move_to_end(sha256)
        return sha256

    @staticmethod
    def _answering(resident: _Resident, sha256: str) -> Any:
        """What takes the name of an adapter for each row."""
        from studio.models.beside import Beside, OneAdapter, mixes

        if sha256 in resident.tuned:
            return Beside(resident.model, resident.tuned[sha256])
        name = _adapter_name(sha256)
        return (
            resident.model if mixes(resident.model, name) else Beside(resident.model, OneAdapter(resident.model, name))
        )

    def _release(self) -> None:
        """Forget the base model once nobody uses it."""
        if self._resident is None:
            return
        if not self._changing.wait_for(lambda: self._resident is None or not self._resident.users, _WAIT_SECONDS):
            raise ResourceError("error.compare.busy")
        self._resident = None
        from studio.models.loading import free_memory

        free_memory()

    def release(self) -> bool:
        """Give the memory of base model and adapters back, unless someone uses them; loaded again when needed."""
        with self._changing:
            if self._resident is None or self._resident.users:
                return False
            self._release()
            return True

    def close(self) -> None:
        """Forget the models, also those in use; whoever uses one still keeps it alive until the end."""
        with self._changing:
            self._resident = None


def _with_system(turns: tuple[Message, ...], system: str) -> tuple[Message, ...]:
    """The turns under this system message; blank: under the one they bring, if any."""
    if not system.strip():
        return turns
    return (Message("system", system), *(turn for turn in turns if turn.role != "system"))


def _contestants(record: RunRecord, state: RunState) -> Iterator[Contestant]:
    if state.started is None:
        return
    run, name, base = record.id, record.name, state.started.base_name
    full = record.spec.tuner.kind == "full"
    if state.ended is not None and state.ended.adapter is not None:
        loss, reward = state.ended.validation_loss, state.ended.validation_reward
        yield Contestant(run, name, None, state.ended.adapter_sha256, base, loss, full, reward)
    for checkpoint in reversed(state.checkpoints):
        loss, reward = checkpoint.validation_loss, checkpoint.validation_reward
        yield Contestant(run, name, checkpoint.step, None, base, loss, full, reward)


def _checkpoint(checkpoints: Sequence[Checkpoint], step: int | None) -> Checkpoint | None:
    if step is None:
        return checkpoints[-1] if checkpoints else None
    return next((c for c in checkpoints if c.step == step), None)


def _adapter_name(sha256: str) -> str:
    return f"adapter_{sha256[:16]}"


def _update(answers: Sequence["Answer"], adapter: Adapter, lease: Lease, identical: bool | None) -> CompareUpdate:
    name = adapter.name if adapter.step is None else f"{adapter.name} #{adapter.step}"
    base, tuned = (
        ColumnState(a.text, a.tokens, a.seconds, a.first_token_seconds, a.finished, "", None) for a in answers
    )
    return CompareUpdate(
        replace(base, name=lease.identity.name),
        replace(tuned, name=name, adapter_sha256=lease.adapter_sha256),
        all(a.finished for a in answers),
        identical,
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


# What differs


@dataclass(frozen=True, slots=True)
class DiffSpan:
    """A piece of an answer. `changed`: the other answer has something else, or nothing, here."""

    text: str
    changed: bool


# Words where a script has spaces between them; single characters of scripts that have none.
_PIECES = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u0e00-\u0e7f]|\s+|\w+?(?=[\u3040-\u30ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u0e00-\u0e7f])|\w+|[^\w\s]"
)
_MAX_PIECES = 10_000


def difference(a: str, b: str) -> tuple[tuple[DiffSpan, ...], tuple[DiffSpan, ...]]:
    """Both texts in spans, those marked that differ: the fewest pieces are. The spans of a text joined are the text."""
    left, right = _PIECES.findall(a), _PIECES.findall(b)
    if max(len(left), len(right)) > _MAX_PIECES:
        left, right = a.splitlines(keepends=True), b.splitlines(keepends=True)
    common_left, common_right = _common(left, right)
    return _spans(left, common_left), _spans(right, common_right)


def _common(a: Sequence[str], b: Sequence[str]) -> tuple[set[int], set[int]]:
    """Places of a longest common subsequence in both.

    Bit-parallel (Hyyrö 2004, "Bit-parallel LCS-length computation revisited"): a row of the table is one integer, so
    that answers of thousands of pieces take milliseconds.
    """
    places: dict[str, int] = {}
    for i, piece in enumerate(a):
        places[piece] = places.get(piece, 0) | 1 << i
    full = (1 << len(a)) - 1
    row, rows = full, []
    for piece in b:
        found = row & places.get(piece, 0)
        row = ((row + found) | (row - found)) & full
        rows.append(row)
    common_a: set[int] = set()
    common_b: set[int] = set()
    i, j = len(a), len(b)
    while i and j:
        if rows[j - 1] >> (i - 1) & 1:
            i -= 1
            continue
        j -= 1
        if not j or rows[j - 1] >> (i - 1) & 1:
            i -= 1
            common_a.add(i)
            common_b.add(j)
    return common_a, common_b


def _spans(pieces: Sequence[str], common: set[int]) -> tuple[DiffSpan, ...]:
    runs = groupby(range(len(pieces)), key=lambda i: i not in common)
    return tuple(DiffSpan("".join(pieces[i] for i in places), changed) for changed, places in runs)
