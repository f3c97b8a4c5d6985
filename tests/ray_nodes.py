"""A Ray cluster on this machine: what the tests of checking, cleaning and training there start from."""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest


@cache
def _token() -> str:
    """Ray reads it once in a process."""
    return secrets.token_hex(32)


@contextmanager
def two_nodes() -> Iterator[str]:
    """The address of a head that does no work and two nodes that each do one thing at a time, heard on 127.0.0.1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # else whatever else this machine does comes first
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_ENABLE_AUTO_CONNECT", "0")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", _token())
        with tempfile.TemporaryDirectory(prefix="nodes", dir="/tmp") as folder:
            patch.setenv("RAY_TMPDIR", folder)
            (Path(folder) / "ray").mkdir()
            from ray.cluster_utils import Cluster

            options = {"include_dashboard": False, "object_store_memory": 200_000_000}
            cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **options})
            for _ in range(2):
                cluster.add_node(num_cpus=1, **options)
            yield str(cluster.address)
            cluster.shutdown()
