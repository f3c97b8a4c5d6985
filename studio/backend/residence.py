"""The models in memory: one base model, a few adapters on it, and whole models beside it. Who answers holds a lease."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.backend.engine import load_engine
from studio.errors import ModelError, ResourceError
from studio.runs.events import Notice, Started
from studio.runs.spec import ModelSpec
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.models.catalog import ModelIdentity
    from studio.models.loading import AdapterFile, LoadedModel
    from studio.models.new_tokens import NewTokens

_KEPT_ADAPTERS = 4
_WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Adapter:
    """Where an adapter lies, or (`full`) a whole model, and what the record says of it and its base. One that was made
    elsewhere is of no run: `run` is empty, and nothing of it is recorded."""

    run: str
    name: str
    step: int | None
    folder: Path
    sha256: str | None
    model: ModelSpec
    started: Started | None
    full: bool


@dataclass(frozen=True, slots=True)
class Weights:
    """What computes an answer: a base model, and what was tuned of it, if anything. The base's chat template is the one
    that questions are written in."""

    base: ModelSpec
    adapter: Adapter | None = None

    @property
    def name(self) -> str:
        """How the record calls what was tuned; empty for the base."""
        if self.adapter is None:
            return ""
        return self.adapter.name if self.adapter.step is None else f"{self.adapter.name} #{self.adapter.step}"


@dataclass(frozen=True, slots=True)
class Lease:
    """A model that will not be unloaded while it is held. `lock` is taken for each step of a generation.

    `model` is called with the name of an adapter for each row (PEFT's `adapter_names`); this one's is `adapter_name`.
    `adapter_sha256` is the hash of the very bytes that were loaded, None for the base. `caution`: that an adapter which
    was made elsewhere says it was made for another base. The base came with `base_rows`
    rows of embeddings. Where rows are for new tokens, this one may choose from `vocabulary` tokens alone.
    """

    model: Any
    tokenizer: Any
    base_rows: int
    vocabulary: int | None
    identity: "ModelIdentity"
    adapter_name: str
    adapter_sha256: str | None
    lock: threading.Lock
    caution: Notice | None = None


BatchKey = tuple[ModelSpec, "NewTokens | None", bool]


def batch_key(weights: Weights) -> BatchKey:
    """Equal for weights that can answer in one batch: those of one base model, and of one set of new tokens, which
    adapters have in their base and whole models in themselves. Of a base without new tokens the second is None: it can
    join any batch of that base. Which chat template is used is a matter of the tokenizer alone."""
    load_engine()
    from studio.models.new_tokens import read_new_tokens

    update: dict[str, Any] = {"chat_template": "own", "adapter": "", "adapter_step": 0, "adapter_folder": ""}
    new = read_new_tokens(weights.adapter.folder) if weights.adapter else None
    full = weights.adapter is not None and weights.adapter.full
    return weights.base.model_copy(update=update), new, full and new is not None


@dataclass(slots=True)
class _Resident:
    """The one base model in memory, with a row for each of the new tokens, if any. `plain` is its own tokenizer; it
    came with `rows` rows. `adapters` maps hash to uses, oldest use first; those that are whole models are kept in
    `tuned`. `bases` counts who uses the base alone."""

    key: tuple[ModelSpec, "NewTokens | None"]
    loaded: "LoadedModel"
    plain: Any
    rows: int
    model: Any
    adapters: "OrderedDict[str, int]"
    tuned: dict[str, Any]
    bases: int = 0
    cautions: dict[str, Notice] = field(default_factory=dict)

    @property
    def users(self) -> int:
        return sum(self.adapters.values()) + self.bases

    def take(self, sha256: str | None) -> None:
        if sha256 is None:
            self.bases += 1
        else:
            self.adapters[sha256] += 1

    def give_back(self, sha256: str | None) -> None:
        if sha256 is None:
            self.bases -= 1
        else:
            self.adapters[sha256] -= 1


class Residence:
    """Keeps one base model and a few adapters; safe from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._changing = threading.Condition()
        self._stepping = threading.Lock()
        self._resident: _Resident | None = None

    @contextmanager
    def lease(self, batch: Sequence[Weights]) -> Iterator[tuple[Lease, ...]]:
        """The weights of a batch, kept in memory until the lease ends: one lease each, with one and the same model.

        Waits for generations on another base to end. Raises ModelError when a base or an adapter is not that of its
        run, or does not fit. The weights must be able to share a batch (`batch_key`).
        """
        from studio.models.new_tokens import first_new_id

        keys = [batch_key(weights) for weights in batch]
        new = next((key[1] for key in keys if key[1] is not None), None)
        in_base = next((key[1] for key in keys if not key[2] and key[1] is not None), None)
        taken: list[str | None] = []
        with self._changing:
            resident = self._hold(keys[0][0], in_base)
            try:
                for weights in batch:
                    sha256 = self._attach(resident, weights)
                    resident.take(sha256)
                    taken.append(sha256)
            except BaseException:
                self._end(resident, taken)
                raise
        try:
            model = _answering(resident, [sha256 for sha256 in taken if sha256 is not None])
            leases = []
            for weights, sha256 in zip(batch, taken, strict=True):
                tokenizer = _tokenizer(resident, weights, new)
                leases.append(
                    Lease(
                        model,
                        tokenizer,
                        resident.rows,
                        None if new is None else first_new_id(tokenizer),
                        resident.loaded.identity,
                        _row_name(sha256),
                        sha256,
                        self._stepping,
                        None if sha256 is None else resident.cautions.get(sha256),
                    )
                )
            yield tuple(leases)
        finally:
            with self._changing:
                self._end(resident, taken)

    def _end(self, resident: _Resident, taken: Sequence[str | None]) -> None:
        for sha256 in taken:
            resident.give_back(sha256)
        self._changing.notify_all()

    def _hold(self, model: ModelSpec, new: "NewTokens | None") -> _Resident:
        """The base model with these new tokens, loaded in place of any other."""
        from studio.models.device import detect_device
        from studio.models.loading import load_model
        from studio.models.new_tokens import with_new_tokens

        key = (model, new)
        if self._resident is not None and self._resident.key == key:
            return self._resident
        self._release()
        plain = load_model(model.source, self._settings, detect_device(), model.precision)
        embedding: Any = plain.model.get_input_embeddings()
        rows = int(embedding.weight.shape[0])
        loaded = with_new_tokens(plain, new)
        self._resident = _Resident(key, loaded, plain.tokenizer, rows, loaded.model, OrderedDict(), {})
        return self._resident

    def _attach(self, resident: _Resident, weights: Weights) -> str | None:
        """Read the adapter, put it on the model unless it is there, and let go of the one unused longest."""
        from studio.models.loading import attach_adapter

        adapter = weights.adapter
        if adapter is None:
            return None
        try:
            check_fingerprint(adapter, resident.loaded.identity)
        except ModelError:
            self._resident = None
            raise
        if adapter.full:
            return self._load_beside(resident, adapter)
        read = self._read(resident, weights)
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

    def _read(self, resident: _Resident, weights: Weights) -> "AdapterFile":
        """The adapter's bytes. Of one that was made elsewhere it is told first what stands in its way."""
        from studio.models.loading import read_adapter

        adapter = weights.adapter
        assert adapter is not None
        if adapter.started is not None:
            read = read_adapter(adapter.folder)
            check_weights(adapter, read.sha256)
            return read
        from studio.models.adapter_base import check_base
        from studio.models.adapter_folder import look_at_adapter, misfit
        from studio.models.catalog import find_files
        from studio.models.shape import read_shape

        found = look_at_adapter(adapter.folder)
        if found.problems:
            raise found.problems[0]
        files = find_files(weights.base.source, self._settings)
        if wrong := misfit(found, files.name, read_shape(files.folder)):
            raise wrong
        caution = check_base(found, files, self._settings)
        read = read_adapter(adapter.folder, whole=True)
        resident.cautions.pop(read.sha256, None)
        if caution is not None:
            resident.cautions[read.sha256] = caution
        return read

    def _load_beside(self, resident: _Resident, adapter: Adapter) -> str:
        """The whole model of a run, in place of any other that nobody uses."""
        from studio.models.device import detect_device
        from studio.models.folder import file_sha256
        from studio.models.loading import MODEL_WEIGHTS, free_memory, load_tuned

        file = adapter.folder / MODEL_WEIGHTS
        if not file.is_file():
            raise ModelError("error.adapter.missing", folder=str(adapter.folder))
        sha256 = file_sha256(file)
        check_weights(adapter, sha256)
        if sha256 not in resident.tuned:
            for idle in [sha for sha in resident.tuned if not resident.adapters[sha]]:
                del resident.tuned[idle], resident.adapters[idle]
            free_memory()
            resident.tuned[sha256] = load_tuned(adapter.folder, resident.loaded, detect_device())
            resident.adapters[sha256] = 0
        resident.adapters.move_to_end(sha256)
        return sha256

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


def check_fingerprint(adapter: Adapter, base: "ModelIdentity") -> None:
    """Raises ModelError when the base is not the one that the run was trained on."""
    started = adapter.started
    if started is not None and base.fingerprint != started.base_fingerprint:
        raise ModelError("error.compare.base_changed", run=adapter.name, base=started.base_name)


def check_weights(adapter: Adapter, sha256: str) -> None:
    """Raises ModelError when the tuned weights are not those that the run recorded."""
    if adapter.sha256 is not None and sha256 != adapter.sha256:
        raise ModelError("error.adapter.changed", run=adapter.name, folder=str(adapter.folder))


def _tokenizer(resident: _Resident, weights: Weights, new: "NewTokens | None") -> Any:
    """The tokenizer of these weights: of the base its own, whatever rows for new tokens stand in memory."""
    from studio.models.loading import with_template
    from studio.models.new_tokens import extended_tokenizer

    adapter = weights.adapter
    if adapter is None:
        return with_template(resident.plain, weights.base.chat_template)
    if adapter.full:
        return extended_tokenizer(with_template(resident.plain, weights.base.chat_template), new)
    return with_template(resident.loaded.tokenizer, weights.base.chat_template)


def _answering(resident: _Resident, adapters: Sequence[str]) -> Any:
    """What takes the name of an adapter for each row."""
    from peft import PeftModel

    from studio.models.beside import Beside, OneAdapter, mixes

    apart: dict[str, Any] = {}
    for sha256 in dict.fromkeys(adapters):
        name = _adapter_name(sha256)
        if sha256 in resident.tuned:
            apart[name] = resident.tuned[sha256]
        elif not mixes(resident.model, name):
            apart[name] = OneAdapter(resident.model, name)
    if not apart and isinstance(resident.model, PeftModel):
        return resident.model
    return Beside(lambda: resident.model, apart)


def _row_name(sha256: str | None) -> str:
    from studio.models.generation import BASE

    return BASE if sha256 is None else _adapter_name(sha256)


def _adapter_name(sha256: str) -> str:
    return f"adapter_{sha256[:16]}"
