"""`studio push` as a shell runs it, to a Hub that a server in this process plays."""

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.backend.exports import Export
from studio.runs.events import Queued
from studio.runs.exports import Proof
from studio.runs.spec import RunSpec
from studio.runs.store import Store
from tests.hub_server import TOKEN, StandIn, running

ROOT = Path(__file__).parents[1]
REPO = ("model", "owner/support")


@pytest.fixture
def hub() -> Iterator[StandIn]:
    with running(StandIn()) as server:
        yield server


@pytest.fixture
def export(tmp_path: Path) -> Path:
    made = tmp_path / "export"
    made.mkdir()
    (made / "README.md").write_text("---\nlicense: mit\n---\n# Card\n", encoding="utf-8")
    (made / "adapter_model.safetensors").write_bytes(bytes(50_000))
    return made


@pytest.fixture
def variables(hub: StandIn, tmp_path: Path) -> dict[str, str]:
    """The shell's environment; the machine has no token of its own."""
    return {
        **os.environ,
        "HF_ENDPOINT": hub.address,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "hf"),
        "STUDIO_WORKSPACE": str(tmp_path / "workspace"),
    }


def words(*given: object) -> list[str]:
    return [sys.executable, "-m", "studio", "push", *map(str, given)]


def run(variables: dict[str, str], *given: object) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        words(*given, "--json"), cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 1, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def test_an_export_is_pushed_private(hub: StandIn, export: Path, variables: dict[str, str], tmp_path: Path) -> None:
    code, told, shown = run(variables | {"HF_TOKEN": TOKEN}, export, "--to", "owner/support", "--yes")
    there = hub.repositories[REPO]
    assert (code, told["pushed"], told["commit"], told["private"]) == (0, True, there.head, True)
    assert there.private
    assert there.files["adapter_model.safetensors"] == bytes(50_000)
    assert all(part in shown for part in ("adapter_model.safetensors", "50,000 B", "mit", "Only you"))
    assert TOKEN not in shown + json.dumps(told)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in kept if TOKEN.encode() in path.read_bytes()] == []


def test_nobody_who_could_agree(hub: StandIn, export: Path, variables: dict[str, str]) -> None:
    code, told, _ = run(variables | {"HF_TOKEN": TOKEN}, export, "--to", "owner/support", "--public")
    assert (code, told["key"]) == (2, "error.hub.not_agreed")
    assert REPO not in hub.repositories


def test_nobody_who_could_give_a_token(hub: StandIn, export: Path, variables: dict[str, str]) -> None:
    code, told, _ = run(variables, export, "--to", "owner/support", "--yes")
    assert (code, told["key"]) == (2, "error.hub.token_missing")
    assert hub.asked == []


def test_a_run_by_its_id(hub: StandIn, export: Path, variables: dict[str, str], tmp_path: Path) -> None:
    run_id = "20260101-120000-abc123"
    store = Store(tmp_path / "workspace")
    store.add_run(run_id, "Support", RunSpec(), Queued())
    store.close()
    known = variables | {"HF_TOKEN": TOKEN}
    assert run(known, run_id, "--to", "owner/support", "--yes")[1]["key"] == "error.hub.not_exported"
    exports = tmp_path / "workspace" / "exports"
    exports.mkdir(exist_ok=True)
    _record(export.rename(exports / f"support-{run_id}"), run_id)
    assert run(known, run_id, "--to", "owner/support", "--yes")[0] == 0
    assert (exports / f"support-{run_id}.pushed.json").is_file()
    (exports / f"support-{run_id}-gguf").mkdir()
    _record(exports / f"support-{run_id}-gguf", run_id)
    assert run(known, run_id, "--to", "owner/support", "--yes")[1]["key"] == "error.hub.several"
    assert run(known, "nothing", "--to", "owner/support", "--yes")[1]["key"] == "error.run.unknown"


def _record(path: Path, run_id: str) -> None:
    """What the workspace keeps of an export."""
    made = Export(path=path, bytes=1, sha256="", proof=Proof(prompts=1, equal=1, passed=True), run=run_id)
    path.with_name(f"{path.name}.json").write_text(made.model_dump_json(), encoding="utf-8")


@pytest.mark.parametrize(("answer", "pushed"), [("y", True), ("", False), ("n", False)])
def test_somebody_at_a_terminal(
    hub: StandIn, export: Path, variables: dict[str, str], answer: str, pushed: bool
) -> None:
    """Asked for a token, which is not shown, and whether it is meant."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        command = words(export, "--to", "owner/support")
        os.execve(command[0], command, variables)
    shown = _read_until(terminal, "(it is not shown, and not kept)")
    os.write(terminal, f"{TOKEN}\n".encode())
    shown += _read_until(terminal, "[y/N]")
    os.write(terminal, f"{answer}\n".encode())
    shown += _read_until(terminal, None)
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == (0 if pushed else 1), shown
    assert (REPO in hub.repositories) is pushed
    assert TOKEN not in shown


def _read_until(terminal: int, words: str | None) -> str:
    """What a terminal shows, up to these words or to its end."""
    shown, end = "", time.monotonic() + 60
    while words is None or words not in shown:
        assert time.monotonic() < end, shown
        try:
            read = os.read(terminal, 4096)
        except OSError:  # its other end is closed
            read = b""
        if not read:
            assert words is None, shown
            break
        shown += read.decode(errors="replace")
    return shown
