"""A Ray cluster of two workers finds and cleans what one process does, in order, whatever ends a worker."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studio.__main__ import main
from studio.data.changes import read_changes
from studio.data.checks import CheckOptions
from studio.data.cleaning import CHANGES_FILE, TABLE_FILE, CleanReport, Surroundings, clean
from studio.data.cluster import on_cluster
from studio.data.recipe import CleanSpec
from studio.data.scan import scan
from studio.data.scan_workers import Spread, in_this_process
from studio.data.table_writer import META
from studio.data.tables import Outline, Row, Table, write_table
from studio.errors import FaultError, InputError, ResourceError, Stopped
from tests.data.planted import Planted
from tests.data.planted_sets import planted_pairs
from tests.ray_nodes import two_nodes

ROOT = Path(__file__).parents[2]
GROUP_ROWS = 200


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with two_nodes() as address:
        yield address


@pytest.fixture(scope="module")
def cluster(address: str) -> Iterator[Spread]:
    with on_cluster(address) as spread:
        yield spread


@pytest.fixture(scope="module")
def planted() -> Planted:
    return planted_pairs(2_000, 25)


@pytest.fixture(scope="module")
def table(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Table:
    """In ten row groups."""
    folder = tmp_path_factory.mktemp("planted")
    write_table([Row(i, values) for i, values in enumerate(planted.rows, 1)], folder / "one.parquet")
    with pq.ParquetFile(folder / "one.parquet") as file:
        rows = file.read()
        with pq.ParquetWriter(folder / "table.parquet", rows.schema) as writer:
            writer.write_table(rows, row_group_size=GROUP_ROWS)
            writer.add_key_value_metadata({META: file.metadata.metadata[META]})
    made = Table(folder / "table.parquet")
    assert made.groups >= 10
    return made


def test_it_finds_the_same(cluster: Spread, table: Table, planted: Planted) -> None:
    told: list[float] = []
    one = scan(table, planted.mapping, CheckOptions(), spread=in_this_process)
    there = scan(table, planted.mapping, CheckOptions(), spread=cluster, progress=told.append)
    assert len(one.keys) > 20
    assert there.findings == one.findings
    assert there.keys == one.keys
    assert all(np.array_equal(there.rows(key), one.rows(key)) for key in one.keys)
    assert there.features.equals(one.features)
    assert told == sorted(told)
    assert len(told) > table.groups
    assert told[-1] == 1.0


RECIPE = """steps:
- drop_blank
- mask_emails
- repair_text
- fix: replace
  find: the
  replace_with: THE
- drop_duplicates
- drop_near_duplicates
- fix: filter
  action: drop
  where: {by: finding, finding: cut_off}
- strip_html
"""


def test_it_cleans_the_same(cluster: Spread, table: Table, planted: Planted, tmp_path: Path) -> None:
    recipe = CleanSpec.from_yaml(RECIPE, "recipe.yaml")

    def cleaned(name: str, spread: Spread) -> tuple[CleanReport, str, Any]:
        (tmp_path / name).mkdir()
        report = clean(table, planted.mapping, recipe, tmp_path / name, Surroundings(spread=spread))
        return report, Table(tmp_path / name / TABLE_FILE).fingerprint(), read_changes([tmp_path / name / CHANGES_FILE])

    one, there = cleaned("one", in_this_process), cleaned("there", cluster)
    assert there == one
    assert one[0].changes > 200


# Jobs that are not the studio's travel by value: their classes are made where they are used.


def test_both_nodes_work_and_not_the_head(cluster: Spread, table: Table) -> None:
    @dataclass
    class Where:
        table: Outline
        cost: ClassVar[int] = 1

        def run(self, chunk: int, shard: pa.Table) -> tuple[int, int, int, str]:
            import ray

            time.sleep(0.1)
            return chunk, shard.num_rows, shard["id"][0].as_py(), ray.get_runtime_context().get_node_id()

    import ray

    made = list(cluster(Where(table.outline), None))
    assert [(chunk, first) for chunk, _, first, _ in made] == [(i, i * GROUP_ROWS + 1) for i in range(table.groups)]
    assert sum(rows for _, rows, _, _ in made) == table.rows
    nodes = {node for *_, node in made}
    assert len(nodes) == 2
    assert ray.get_runtime_context().get_node_id() not in nodes


def test_a_row_group_whose_worker_is_killed_is_done_again(cluster: Spread, table: Table, tmp_path: Path) -> None:
    @dataclass
    class Dies:
        table: Outline
        cost: ClassVar[int] = 1
        died: Path

        def run(self, chunk: int, shard: pa.Table) -> int:
            if chunk == 3 and not self.died.exists():
                self.died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return chunk

    assert list(cluster(Dies(table.outline, tmp_path / "died"), None)) == list(range(table.groups))
    assert (tmp_path / "died").exists()


def test_a_row_group_that_always_ends_its_worker_is_told(cluster: Spread, table: Table) -> None:
    @dataclass
    class Dies:
        table: Outline
        cost: ClassVar[int] = 1

        def run(self, chunk: int, shard: pa.Table) -> int:
            if chunk == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return chunk

    made: list[int] = []
    with pytest.raises(ResourceError) as caught:
        made.extend(cluster(Dies(table.outline), None))
    assert caught.value.values["part"] == 4


def test_what_goes_wrong_in_the_work_is_raised(cluster: Spread, table: Table) -> None:
    @dataclass
    class Fails:
        table: Outline
        cost: ClassVar[int] = 1
        error: Exception

        def run(self, chunk: int, shard: pa.Table) -> int:
            raise self.error

    with pytest.raises(InputError, match="nowhere"):
        list(cluster(Fails(table.outline, InputError("error.cli.no_file", file="nowhere")), None))
    with pytest.raises(FaultError, match="No module named 'ftfy'"):
        list(cluster(Fails(table.outline, ModuleNotFoundError("No module named 'ftfy'")), None))


def test_it_can_be_stopped_while_a_worker_hangs(cluster: Spread, table: Table, tmp_path: Path) -> None:
    @dataclass
    class Hangs:
        table: Outline
        cost: ClassVar[int] = 1
        hung: Path

        def run(self, chunk: int, shard: pa.Table) -> int:
            self.hung.touch()
            time.sleep(600)
            return chunk

    @dataclass
    class Runs:
        table: Outline
        cost: ClassVar[int] = 1

        def run(self, chunk: int, shard: pa.Table) -> int:
            return chunk

    job = Hangs(table.outline, tmp_path / "hung")
    asked: list[float] = []

    def stop() -> bool:
        if job.hung.exists():
            asked.append(time.monotonic())
        return bool(asked)

    with pytest.raises(Stopped):
        list(cluster(job, stop))
    assert time.monotonic() - asked[0] < 10
    assert list(cluster(Runs(table.outline), None)) == list(range(table.groups))  # no worker is left hanging


def test_no_rows_no_work(cluster: Spread, tmp_path: Path, planted: Planted) -> None:
    write_table([], tmp_path / "empty.parquet")
    empty = Table(tmp_path / "empty.parquet")
    assert scan(empty, planted.mapping, CheckOptions(), spread=cluster).findings == (
        scan(empty, planted.mapping, CheckOptions(), spread=in_this_process).findings
    )


# Where there is no cluster


def refused(address: str) -> InputError | FaultError:
    with pytest.raises((InputError, FaultError)) as caught, on_cluster(address):
        pass
    return caught.value


@pytest.mark.parametrize("address", ["", "host", "host:", ":6379", "host:port", "host:99999", "ray://host:10001"])
def test_what_is_no_address_is_told(address: str) -> None:
    assert refused(address).key == "error.cluster.address"


def test_nobody_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    told = refused(f"127.0.0.1:{free}")
    assert told.key == "error.cluster.unreachable"
    assert f"127.0.0.1:{free}" in told.message()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 505 \r\n\r\n", b""])
def test_another_server_is_told(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as line:
                line.recv(100)
                line.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert refused(f"127.0.0.1:{server.getsockname()[1]}").key == "error.cluster.other"
        thread.join()


def test_without_ray_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    told = refused("local")
    assert told.key == "error.cluster.missing"
    assert "pip install 'ray[data,train]" in told.message()


# The command line starts one of its own


def told_while(command: list[str], environment: dict[str, str]) -> tuple[str, set[str], dict[psutil.Process, str]]:
    """What it prints, the addresses it and its processes listen at, and those processes with their names."""
    heard: set[str] = set()
    seen: dict[psutil.Process, str] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=ROOT, text=True) as process:
        own = psutil.Process(process.pid)
        while process.poll() is None:
            for one in [own, *own.children(recursive=True)]:
                with suppress(psutil.Error):
                    seen[one] = one.name()
                    heard |= {c.laddr.ip for c in one.net_connections() if c.status == psutil.CONN_LISTEN}
            time.sleep(1)
        assert process.stdout is not None
        return process.stdout.read(), heard, seen


def test_a_local_cluster_is_heard_here_only_and_leaves_nothing(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, recipe, home = tmp_path / "data.jsonl", tmp_path / "recipe.yaml", tmp_path / "home"
    data.write_text("".join(json.dumps(row) + "\n" for row in planted.rows), encoding="utf-8")
    recipe.write_text("steps: [drop_blank, mask_emails, drop_duplicates]", encoding="utf-8")
    home.mkdir()
    words = ["data", "clean", str(data), "--recipe", str(recipe), "--json", "--to"]
    assert main([*words, str(tmp_path / "here.jsonl")]) == 0
    here = capsys.readouterr().out
    before = set(Path("/tmp").glob("ray*"))
    more = [str(tmp_path / "there.jsonl"), "--cluster", "local"]
    there, heard, seen = told_while(
        [sys.executable, "-m", "studio", *words, *more], {**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT)}
    )
    assert there == here.replace("here.jsonl", "there.jsonl")
    assert (tmp_path / "there.jsonl").read_bytes() == (tmp_path / "here.jsonl").read_bytes()
    assert {address.removeprefix("::ffff:") for address in heard} == {"127.0.0.1"}
    names = " ".join(seen.values())
    assert "raylet" in names
    assert "_Foreman" in names
    assert psutil.wait_procs(seen, timeout=5)[1] == []
    assert set(Path("/tmp").glob("ray*")) == before
    assert not (home / ".ray").exists()


@pytest.mark.parametrize("command", [["check"], ["clean", "--recipe", "recipe.yaml", "--to", "out.jsonl"]])
def test_both_commands_go_to_the_cluster(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text("steps: [drop_blank]", encoding="utf-8")
    Path("data.jsonl").write_text('{"question": "q", "answer": "a"}\n', encoding="utf-8")
    assert main(["data", *command[:1], "data.jsonl", *command[1:], "--cluster", "nowhere", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["key"] == "error.cluster.address"
