"""`doctor` on a PostgreSQL store: what an acknowledged write is worth there."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.node import REPOSITORY, own_environment
from tools.postgres.cluster import Cluster

DATABASE = "doctored"


@pytest.fixture
def address(postgres_cluster: Cluster) -> Iterator[str]:
    """A database whose commits need not wait for the disk, with a store in it."""
    postgres_cluster.execute(f"CREATE DATABASE {DATABASE}")
    postgres_cluster.execute(f"ALTER DATABASE {DATABASE} SET synchronous_commit = off")
    yield postgres_cluster.url(DATABASE)
    postgres_cluster.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture
def run(address: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app", *words],
            cwd=tmp_path,
            env=own_environment(
                tmp_path, {"PYTHONPATH": str(REPOSITORY), "AI_MEMORY_STORE_URL": address}
            ),
            capture_output=True,
            text=True,
            check=False,
        )

    return command


def test_a_server_that_does_not_flush_is_a_warning(run, address: str, postgres_cluster: Cluster):
    assert run("schema-init", "--store-url", address).returncode == 0
    warned = _durability(run)
    assert (warned["severity"], dict(warned["facts"])["fsync"]) == ("warning", "off")
    postgres_cluster.halt()
    postgres_cluster.start({"fsync": "on"})
    try:
        flushing = _durability(run)
    finally:
        postgres_cluster.halt()
        postgres_cluster.start()
    assert flushing["severity"] == "info"
    assert flushing["facts"] == [["fsync", "on"], ["synchronous_commit", "off"]]
    assert "wait for the disk all the same" in flushing["note"]


def _durability(run):
    done = run("doctor", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = (one for one in json.loads(done.stdout)["sections"] if one["name"] == "Durability")
    return found
