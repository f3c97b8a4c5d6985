"""The kinds of numbers that GGUF can be written in on this machine, and those that llama.cpp itself writes."""

import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from studio.errors import ExportError, Stopped
from studio.export.proof import run_apart
from studio.runs.exports import NUMBERS

_QUANTIZE = Path(__file__).with_name("llama_cpp_quantize.py")
BY_LLAMA_CPP = ("Q6_K", "Q5_K_M", "Q4_K_M")
"""Kinds of numbers that the gguf library cannot write, but llama.cpp can."""


def has_llama_cpp() -> bool:
    """Whether llama-cpp-python is installed."""
    return importlib.util.find_spec("llama_cpp") is not None


def need_gguf() -> None:
    """Raises ExportError unless the gguf library is installed."""
    if importlib.util.find_spec("gguf") is None:
        raise ExportError("error.gguf.not_installed")


def kinds_here() -> dict[str, ExportError | None]:
    """Every kind of numbers that GGUF is written in: None, or why it cannot be on this machine."""
    try:
        need_gguf()
    except ExportError as error:
        return dict.fromkeys(NUMBERS["gguf"], error)
    missing = None if has_llama_cpp() else ExportError("error.gguf.kind_needs_llama_cpp", kinds=", ".join(BY_LLAMA_CPP))
    return {kind: missing if kind in BY_LLAMA_CPP else None for kind in NUMBERS["gguf"]}


def quantize(
    source: Path,
    target: Path,
    kind: str,
    size: int,
    tell: Callable[[float], None],
    stopping: Callable[[], bool],
) -> None:
    """Have llama.cpp write a GGUF file in fewer bits; it gets about `size` bytes long.

    Raises ExportError with llama.cpp's last words when it fails, Stopped.
    """

    def look() -> bool:
        tell(min(1.0, target.stat().st_size / size) if target.exists() else 0.0)
        return stopping()

    request = {"source": str(source), "target": str(target), "kind": kind, "threads": os.cpu_count() or 1}
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        try:
            run_apart(_QUANTIZE, request, Path(scratch), look)
            if look():
                raise Stopped("error.stopped")
        except ExportError as error:
            raise ExportError("error.gguf.quantize", kind=kind, reason=error.values.get("reason", "")) from error
