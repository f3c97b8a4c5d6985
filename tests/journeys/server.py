"""A studio as a user starts it: its own process, its own workspace."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 90
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/")


@dataclass
class Server:
    """A running studio. `lines` is what it printed."""

    address: str
    workspace: Path
    process: subprocess.Popen[str]
    lines: list[str]
    seconds_to_start: float

    def kill(self) -> None:
        """As if the plug was pulled."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.kill()


def environment(**others: str) -> dict[str, str]:
    """The variables a user's shell would have; in tests one thread for each studio, as two run at a time."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", **others}


def start_studio(workspace: Path, *options: str, **variables: str) -> Server:
    """Start the command on a free port and wait for its address. `variables` are the shell's beside the usual."""
    began = time.monotonic()
    command = [sys.executable, "-m", "studio", "--workspace", str(workspace), "--no-browser", "--port", "0", *options]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(**variables), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines: list[str] = []
    address: list[str] = []
    known = threading.Event()

    def read() -> None:
        assert process.stdout
        for line in process.stdout:
            lines.append(line)
            if not address and (found := _ADDRESS.search(line)):
                address.append(found[0])
                known.set()
        known.set()

    threading.Thread(target=read, daemon=True).start()
    known.wait(_PATIENCE_SECONDS)
    if not address:
        process.kill()
        raise RuntimeError("the studio did not start:\n" + "".join(lines))
    return Server(address[0], workspace, process, lines, time.monotonic() - began)


@contextmanager
def running_studio(workspace: Path, *options: str, **variables: str) -> Iterator[Server]:
    """A studio for the length of a test."""
    server = start_studio(workspace, *options, **variables)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
