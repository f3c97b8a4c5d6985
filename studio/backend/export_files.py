"""The files of an export, target by target: what the run answers, what is written, and the proof of it."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.backend.compare import Comparison
from studio.backend.residence import Adapter, check_fingerprint, check_weights
from studio.errors import ExportError
from studio.export.conversations import PROMPTS
from studio.runs.contestants import Contestant
from studio.runs.exports import ExportSpec, Proof
from studio.runs.spec import LoraSpec
from studio.runs.store import Store, file_words
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.export.proof import Expected
    from studio.models.catalog import ModelFiles, ModelIdentity

Stopping = Callable[[], bool]
Tell = Callable[[float], None]
_CANDIDATES = 4  # times as many prompts are looked at as are asked: some are too long


@dataclass(frozen=True, slots=True)
class Source:
    """What is exported: an adapter and its base, or a whole model that was tuned of it. `held`: the numbers that a run
    computed in which held its base in 4 bits."""

    adapter: Adapter
    base: "ModelFiles"
    held: str | None = None

    @property
    def weights(self) -> "ModelFiles":
        """Whose weights the adapter is merged into; of a whole model its own."""
        if not self.adapter.full:
            return self.base
        from studio.models.folder import read_config, weight_files

        folder = self.adapter.folder
        return replace(self.base, folder=folder, config=read_config(folder), weights=weight_files(folder), hashes={})


@dataclass(frozen=True, slots=True)
class Answered:
    """What the run's adapter answers, and on which base. `sha256`: of the weights that were tuned, of a model by itself
    its fingerprint. `vocabulary`: rows
    that the embedding needs, where there are new tokens; None where the base has them all."""

    identity: "ModelIdentity"
    expected: "Expected"
    sha256: str
    vocabulary: int | None


def find_source(adapter: Adapter, store: Store, settings: Settings) -> Source:
    """Raises ModelError when the base model is not there any more, or damaged."""
    from studio.models.catalog import find_files

    base = find_files(adapter.model.source, settings)
    tuner = store.run(adapter.run).spec.tuner if adapter.run else None
    if not isinstance(tuner, LoraSpec) or tuner.quantisation == "none":
        return Source(adapter, base)
    from studio.models.device import detect_device
    from studio.models.folder import count_parameters

    parameters = count_parameters(base.folder, base.weights)
    return Source(adapter, base, detect_device().numbers(adapter.model.precision, parameters))


# What the run answers


def answered(
    source: Source,
    spec: ExportSpec,
    compare: Comparison,
    settings: Settings,
    tokenizer_folder: Path,
    tell: Tell,
    stopping: Stopping,
) -> Answered:
    """Asks the run; its tokenizer is written on the way. Of a base that was held in 4 bits the answers are those of
    these 4 bits, but for the adapter by itself, which is for the base as everybody has it."""
    from studio.export.adapter import write_tokenizer
    from studio.export.proof import expect

    adapter = source.adapter
    asked = compare.examples(adapter.run, spec.prompts * _CANDIDATES) if adapter.run else PROMPTS
    if source.held and spec.target != "adapter":
        compare.release()
        return _answered_in_four_bits(source, spec, asked, settings, tokenizer_folder, tell, stopping)
    if adapter.full and not adapter.run:
        held = compare.lease_contestant(Contestant(base=adapter.model))  # the model itself: nothing lies beside it
    else:
        held = compare.lease(adapter)
    with held as lease:
        options: dict[str, Any] = {"tell": tell, "stopping": stopping}
        expected = expect(lease.model, lease.tokenizer, lease.adapter_name, asked, spec.prompts, lease.lock, **options)
        write_tokenizer(lease.tokenizer, tokenizer_folder)
        rows = max(lease.tokenizer.get_vocab().values()) + 1
        sha256 = lease.adapter_sha256 or lease.identity.fingerprint
        found = Answered(lease.identity, expected, sha256, rows if rows > lease.base_rows else None)
    compare.release()  # one base model in memory is enough, and merging and proof load their own
    return found


def _answered_in_four_bits(
    source: Source,
    spec: ExportSpec,
    asked: Sequence[Any],
    settings: Settings,
    tokenizer_folder: Path,
    tell: Tell,
    stopping: Stopping,
) -> Answered:
    from studio.export.adapter import write_tokenizer
    from studio.export.proof import expect
    from studio.models.device import detect_device
    from studio.models.loading import attach_adapter, free_memory, load_model, read_adapter
    from studio.models.new_tokens import read_new_tokens, with_new_tokens

    adapter, own = source.adapter, source.adapter.model
    loaded = load_model(own.source, settings, detect_device(), own.precision, "nf4", chat_template=own.chat_template)
    check_fingerprint(adapter, loaded.identity)
    embedding: Any = loaded.model.get_input_embeddings()
    rows = int(embedding.weight.shape[0])
    loaded = with_new_tokens(loaded, read_new_tokens(adapter.folder))
    read = read_adapter(adapter.folder)
    check_weights(adapter, read.sha256)
    model = attach_adapter(loaded.model, read, "tuned")
    expected = expect(model, loaded.tokenizer, None, asked, spec.prompts, tell=tell, stopping=stopping)
    write_tokenizer(loaded.tokenizer, tokenizer_folder)
    needed = max(loaded.tokenizer.get_vocab().values()) + 1
    found = Answered(loaded.identity, expected, read.sha256, needed if needed > rows else None)
    del model, loaded, embedding
    free_memory()
    return found


# What is written


def write_files(
    source: Source,
    spec: ExportSpec,
    found: Answered,
    tokenizer_folder: Path,
    staged: Path,
    scratch: Path,
    tell: Tell,
    stopping: Stopping,
) -> float | None:
    """The weights and what is needed to load them, into `staged`; what the proof needs beside them, into `scratch`.
    Returns the `weight_error` of a Proof."""
    match spec.target:
        case "adapter":
            _copy(tokenizer_folder, staged)
            return _write_tuned(source, found, staged)
        case "merged":
            _copy(tokenizer_folder, staged)
            return _merge(source, spec.kind, found, staged, tell, stopping)
        case "gguf":
            return _write_gguf(source, spec, found, tokenizer_folder, staged, scratch, tell, stopping)
        case "gguf-adapter":
            _write_gguf_adapter(source, spec, found, tokenizer_folder, staged, scratch, tell, stopping)
    return None


def _write_tuned(source: Source, found: Answered, staged: Path) -> None:
    from studio.export import adapter as files

    adapter = source.adapter
    written = (
        files.write_model(adapter.folder, staged)
        if adapter.full
        else files.write_adapter(adapter.folder, staged, found.identity)
    )
    # Of an adapter that was made elsewhere the hash is of both files.
    if adapter.run and written != found.sha256:
        raise ExportError("error.export.changed", run=adapter.name)


def _merge(source: Source, numbers: str, found: Answered, target: Path, tell: Tell, stopping: Stopping) -> float | None:
    from studio.export.merged import merge
    from studio.models.loading import free_memory, read_tokenizer

    base = source.base
    done = merge(
        source.weights,
        None if source.adapter.full else source.adapter.folder,
        read_tokenizer(base.name, base.folder, source.adapter.model.chat_template).tokenizer,
        target,
        numbers,
        stops=found.expected.stops,
        held=source.held,
        tell=tell,
        stopping=stopping,
    )
    free_memory()
    return done.weight_error


def _write_gguf(
    source: Source,
    spec: ExportSpec,
    found: Answered,
    tokenizer_folder: Path,
    staged: Path,
    scratch: Path,
    tell: Tell,
    stopping: Stopping,
) -> float | None:
    from studio.export.gguf_model import write_gguf
    from studio.export.ollama import write_modelfile

    merged = scratch / "merged"
    merged.mkdir()
    _copy(tokenizer_folder, merged)
    error = _merge(source, "float32", found, merged, lambda share: tell(share / 2), stopping)
    file = staged / gguf_name(source.adapter, spec)
    later: Tell = lambda share: tell(0.5 + share / 2)  # noqa: E731
    stops = found.expected.stops
    write_gguf(merged, file, spec.kind, name=source.adapter.name, stops=stops, tell=later, stopping=stopping)
    write_modelfile(staged, file.name, tokenizer_folder, stops)
    shutil.rmtree(merged)
    return error


def _write_gguf_adapter(
    source: Source,
    spec: ExportSpec,
    found: Answered,
    tokenizer_folder: Path,
    staged: Path,
    scratch: Path,
    tell: Tell,
    stopping: Stopping,
) -> None:
    from studio.export.gguf_adapter import write_gguf_adapter
    from studio.export.gguf_model import write_gguf

    adapter = source.adapter
    file = staged / gguf_name(adapter, spec)
    write_gguf_adapter(source.base.folder, adapter.folder, file, spec.kind, name=adapter.name)
    base = scratch / "base"
    base.mkdir()
    _copy(source.base.folder, base)
    _copy(tokenizer_folder, base)
    stops = found.expected.stops
    write_gguf(base, scratch / "base.gguf", "F16", name=source.base.name, stops=stops, tell=tell, stopping=stopping)


def gguf_name(adapter: Adapter, spec: ExportSpec) -> str:
    """Letters and digits of the run's name, and the kind of numbers, as such files are called."""
    part = "-lora" if spec.target == "gguf-adapter" else ""
    return f"{file_words(adapter.name) or 'model'}{part}-{spec.kind}.gguf"


# The proof


def prove_files(
    source: Source, spec: ExportSpec, found: Answered, staged: Path, scratch: Path, stopping: Stopping
) -> Proof:
    """Asks what lies in `staged` by the program that is to use it. Raises ExportError when it does not load there."""
    from studio.export.proof import prove

    room = scratch / "proof"
    room.mkdir()
    match spec.target:
        case "adapter":
            base = None if source.adapter.full else source.base.folder
            return prove(found.expected, base, staged, room, stopping=stopping)
        case "merged":
            return prove(found.expected, None, staged, room, numbers=spec.kind, merged=True, stopping=stopping)
        case _:
            from studio.export.llama_cpp_proof import prove_gguf

            file = staged / gguf_name(source.adapter, spec)
            alone = spec.target == "gguf"
            return prove_gguf(
                found.expected,
                file if alone else scratch / "base.gguf",
                room,
                adapter=None if alone else file,
                kind=spec.kind,
                stopping=stopping,
            )


def _copy(source: Path, target: Path) -> None:
    """The files of a folder, linked where that can be: they are only read."""
    for path in source.iterdir():
        if not path.is_file():
            continue
        place = target / path.name
        place.unlink(missing_ok=True)
        try:
            os.link(path.resolve(), place)
        except OSError:  # another disk, or one that knows no links
            shutil.copyfile(path, place)
