"""The files of an export, target by target: what is written, and the proof of it."""

import os
import shutil
import tempfile
from pathlib import Path

from studio.backend.export_answers import Answered
from studio.backend.export_job import ExportJob
from studio.backend.work import Tell
from studio.errors import ExportError
from studio.runs.exports import Proof
from studio.runs.store import file_words


def write_files(job: ExportJob, found: Answered, tell: Tell) -> float | None:
    """The weights and what is needed to load them, into `staged`; what the proof needs beside them, into `scratch`.
    Returns the `weight_error` of a Proof."""
    match job.spec.target:
        case "adapter":
            _copy(job.tokenizer, job.staged)
            return _write_tuned(job, found)
        case "merged":
            _copy(job.tokenizer, job.staged)
            return _merge(job, found, job.staged, job.spec.kind, tell)
        case "gguf":
            return _write_gguf(job, found, tell)
        case "gguf-adapter":
            return _write_gguf_adapter(job, found, tell)


def _write_tuned(job: ExportJob, found: Answered) -> None:
    from studio.export import adapter as files

    adapter = job.source.adapter
    written = (
        files.write_model(adapter.folder, job.staged)
        if adapter.full
        else files.write_adapter(adapter.folder, job.staged, found.identity)
    )
    # Of an adapter that was made elsewhere the hash is of both files.
    if adapter.run and written != found.sha256:
        raise ExportError("error.export.changed", run=adapter.name)


def _merge(job: ExportJob, found: Answered, target: Path, numbers: str, tell: Tell) -> float | None:
    from studio.export.merged import merge
    from studio.models.loading import free_memory, read_tokenizer

    adapter, base = job.source.adapter, job.source.base
    error = merge(
        job.source.weights,
        None if adapter.full else adapter.folder,
        read_tokenizer(base.name, base.folder, adapter.model.chat_template).tokenizer,
        target,
        numbers,
        stops=found.expected.stops,
        held=job.source.held,
        tell=tell,
        stopping=job.stopping,
    )
    free_memory()
    return error


def _write_gguf(job: ExportJob, found: Answered, tell: Tell) -> float | None:
    """By way of a merged model, which takes half of the time."""
    from studio.export.ollama import write_modelfile

    merged = _merged(job)
    merged.mkdir()
    _copy(job.tokenizer, merged)
    error = _merge(job, found, merged, "float32", lambda share: tell(share / 2))
    _write_merged(job, found, lambda share: tell(0.5 + share / 2))
    write_modelfile(job.staged, _gguf_file(job).name, job.tokenizer, found.expected.stops)
    return error


def _write_merged(job: ExportJob, found: Answered, tell: Tell, *, mixed: bool = False) -> None:
    from studio.export.gguf_model import write_gguf

    write_gguf(
        _merged(job),
        _gguf_file(job),
        job.spec.kind,
        name=job.source.adapter.name,
        stops=found.expected.stops,
        mixed=mixed,
        tell=tell,
        stopping=job.stopping,
    )


def _write_gguf_adapter(job: ExportJob, found: Answered, tell: Tell) -> None:
    """And the base as GGUF beside it, for the proof."""
    from studio.export.gguf_adapter import write_gguf_adapter
    from studio.export.gguf_model import write_gguf

    adapter, source = job.source.adapter, job.source.base
    write_gguf_adapter(
        source.folder, adapter.folder, _gguf_file(job), job.spec.kind, name=adapter.name, stopping=job.stopping
    )
    base = job.scratch / "base"
    base.mkdir()
    _copy(source.folder, base)
    _copy(job.tokenizer, base)
    write_gguf(
        base,
        _proof_base(job),
        "F16",
        name=source.name,
        stops=found.expected.stops,
        tell=tell,
        stopping=job.stopping,
    )


def _gguf_file(job: ExportJob) -> Path:
    """Letters and digits of the run's name, and the kind of numbers, as such files are called."""
    part = "-lora" if job.spec.target == "gguf-adapter" else ""
    return job.staged / f"{file_words(job.source.adapter.name) or 'model'}{part}-{job.spec.kind}.gguf"


def _merged(job: ExportJob) -> Path:
    return job.scratch / "merged"


def _proof_base(job: ExportJob) -> Path:
    return job.scratch / "base.gguf"


# The proof


def prove_files(job: ExportJob, found: Answered, tell: Tell) -> Proof:
    """Asks what was written by the program that is to use it, and where all of it in 8 bits does not pass, once more
    with what costs most in 16. Raises ExportError when it does not load there."""
    proof = _prove(job, found)
    in_8_bits = (job.spec.target, job.spec.kind) == ("gguf", "Q8_0")
    if not proof.passed and in_8_bits and proof.rendered == proof.conversations:
        _gguf_file(job).unlink()
        _write_merged(job, found, lambda share: tell((1 + share) / 3), mixed=True)
        proof = _prove(job, found).model_copy(update={"mixed": True})
    shutil.rmtree(job.scratch)  # room for the zip
    return proof


def _prove(job: ExportJob, found: Answered) -> Proof:
    from studio.export.llama_cpp_proof import prove_gguf
    from studio.export.proof import prove

    room, source, kind = Path(tempfile.mkdtemp(dir=job.scratch)), job.source, job.spec.kind
    match job.spec.target:
        case "adapter":
            base = None if source.adapter.full else source.base.folder
            return prove(found.expected, base, job.staged, room, stopping=job.stopping)
        case "merged":
            return prove(found.expected, None, job.staged, room, numbers=kind, merged=True, stopping=job.stopping)
        case "gguf":
            return prove_gguf(found.expected, _gguf_file(job), room, kind=kind, stopping=job.stopping)
        case "gguf-adapter":
            base, adapter = _proof_base(job), _gguf_file(job)
            return prove_gguf(found.expected, base, room, adapter=adapter, kind=kind, stopping=job.stopping)


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
