"""What a run answers before it is exported: what every program that uses the export has to answer too."""

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.backend.compare import Comparison
from studio.backend.export_job import ExportJob
from studio.backend.residence import Adapter, Lease, check_fingerprint, check_weights
from studio.backend.work import Tell
from studio.export.conversations import PROMPTS
from studio.runs.contestants import Contestant
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.export.proof import Expected, Prompt
    from studio.models.catalog import ModelIdentity

_CANDIDATES = 4  # times as many prompts are looked at as are asked: some are too long


@dataclass(frozen=True, slots=True)
class Answered:
    """What the run's adapter answers, and on which base. `sha256`: of the weights that were tuned, of a model by itself
    its fingerprint. `vocabulary`: rows that the embedding needs, where there are new tokens; None where the base has
    them all."""

    identity: "ModelIdentity"
    expected: "Expected"
    sha256: str
    vocabulary: int | None


def ask_run(job: ExportJob, compare: Comparison, settings: Settings, tell: Tell) -> Answered:
    """Asks the run; its tokenizer is written on the way. Of a base that was held in 4 bits the answers are those of
    these 4 bits, but for an adapter by itself, which is for the base as everybody has it."""
    from studio.models.loading import free_memory

    adapter, spec = job.source.adapter, job.spec
    prompts = compare.examples(adapter.run, spec.prompts * _CANDIDATES) if adapter.run else PROMPTS
    if job.source.held and spec.target not in ("adapter", "gguf-adapter"):
        compare.release()
        found = _ask(_load_in_four_bits(adapter, settings), job, prompts, tell)
        free_memory()
        return found
    with _lease(adapter, compare) as lease:
        found = _ask(lease, job, prompts, tell)
    del lease  # it would keep the model
    compare.release()  # one base model in memory is enough, and merging and proof load their own
    return found


def _lease(adapter: Adapter, compare: Comparison) -> AbstractContextManager[Lease]:
    if adapter.full and not adapter.run:
        return compare.lease_contestant(Contestant(base=adapter.model))  # the model itself: nothing lies beside it
    return compare.lease(adapter)


def _load_in_four_bits(adapter: Adapter, settings: Settings) -> Lease:
    """The adapter on its base in 4 bits, which nobody else uses."""
    from studio.models.device import detect_device
    from studio.models.loading import attach_adapter, load_model, read_adapter
    from studio.models.new_tokens import first_new_id, read_new_tokens, with_new_tokens

    own, new = adapter.model, read_new_tokens(adapter.folder)
    plain = load_model(own.source, settings, detect_device(), own.precision, "nf4", chat_template=own.chat_template)
    check_fingerprint(adapter, plain.identity)
    embedding: Any = plain.model.get_input_embeddings()
    rows = int(embedding.weight.shape[0])
    loaded = with_new_tokens(plain, new)
    read = read_adapter(adapter.folder)
    check_weights(adapter, read.sha256)
    return Lease(
        model=attach_adapter(loaded.model, read, "tuned"),
        tokenizer=loaded.tokenizer,
        base_rows=rows,
        vocabulary=None if new is None else first_new_id(loaded.tokenizer),
        identity=loaded.identity,
        adapter_name="",  # it is asked as it is: not every adapter can be named row by row
        adapter_sha256=read.sha256,
        lock=threading.Lock(),
    )


def _ask(lease: Lease, job: ExportJob, prompts: "Sequence[Prompt]", tell: Tell) -> Answered:
    from studio.export.adapter import write_tokenizer
    from studio.export.proof import expect

    expected = expect(
        lease.model,
        lease.tokenizer,
        lease.adapter_name,
        prompts,
        job.spec.prompts,
        lease.lock,
        tell=tell,
        stopping=job.stopping,
    )
    write_tokenizer(lease.tokenizer, job.tokenizer)
    rows = max(lease.tokenizer.get_vocab().values()) + 1
    sha256 = lease.adapter_sha256 or lease.identity.fingerprint
    return Answered(lease.identity, expected, sha256, rows if rows > lease.base_rows else None)
