"""The kinds of numbers that GGUF can be written in on this machine, and those that llama.cpp itself writes."""

import importlib.metadata
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from studio.errors import ExportError, Stopped
from studio.export.gguf_look import BY_LLAMA_CPP
from studio.runs.exports import NUMBERS

_POLL_SECONDS = 0.1
# In a process of its own: a fault in llama.cpp ends that one only, and it can be stopped at any time.
_SCRIPT = """
import sys
import llama_cpp
source, target, kind, threads = sys.argv[1:]
params = llama_cpp.llama_model_quantize_default_params()
params.nthread = int(threads)
params.ftype = getattr(llama_cpp, "LLAMA_FTYPE_MOSTLY_" + kind)
sys.exit(llama_cpp.llama_model_quantize(source.encode(), target.encode(), params))
"""


def has_llama_cpp() -> bool:
    """Whether llama-cpp-python is installed."""
    return importlib.util.find_spec("llama_cpp") is not None


def llama_cpp_name() -> str:
    """The program that reads GGUF here, with its version."""
    return f"llama-cpp-python {importlib.metadata.version('llama-cpp-python')}"


def kinds_here() -> dict[str, ExportError | None]:
    """Every kind of numbers that GGUF is written in: None, or why it cannot be on this machine."""
    if importlib.util.find_spec("gguf") is None:
        return dict.fromkeys(NUMBERS["gguf"], ExportError("error.gguf.not_installed"))
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

    Raises ExportError with what llama.cpp says when it fails, Stopped.
    """
    log = target.with_suffix(".log")
    with log.open("wb") as opened:
        running = subprocess.Popen(
            [sys.executable, "-P", "-c", _SCRIPT, str(source), str(target), kind, "0"],
            stdin=subprocess.DEVNULL,
            stdout=opened,
            stderr=subprocess.STDOUT,
        )
        try:
            while running.poll() is None:
                if stopping():
                    raise Stopped("error.stopped")
                tell(min(1.0, target.stat().st_size / size) if target.exists() else 0.0)
                time.sleep(_POLL_SECONDS)
        finally:
            if running.poll() is None:
                running.kill()
                running.wait()
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    log.unlink()
    if running.returncode != 0:
        reason = said[-1] if said else f"exit {running.returncode}"
        raise ExportError("error.gguf.quantize", kind=kind, reason=reason[:300])
