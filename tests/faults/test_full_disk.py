"""A disk that fills up under a running node: writes are refused whole, until there is room.

The disk is a real, small file system in memory; the node is a real process.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from typing_extensions import override

from tests.faults.load import API, shown_by
from tests.faults.mounts import small_disk
from tests.faults.stores import faults_of
from tests.integration.node import Node

DISK_BYTES = 6 << 20
BALLAST_BYTES = 2 << 20
CONTENT = "word " * 10_000
WRITES_MAX = 1_000


@dataclass
class NodeOnDisk(Node):
    """A node whose database is elsewhere than its log and configuration."""

    disk: Path = field(default=Path("/nowhere"))

    @property
    @override
    def db(self) -> Path:
        return self.disk / "node.db"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeOnDisk]:
    with small_disk(tmp_path / "disk", DISK_BYTES) as disk:
        (disk / "ballast").write_bytes(bytes(BALLAST_BYTES))
        made = NodeOnDisk(tmp_path / "node", disk=disk)
        yield made
        made.close()


def store(client: httpx.Client, title: str) -> httpx.Response:
    body = {"title": title, "content": CONTENT + title, "namespace": "n"}
    return client.post("/memories", json=body)


def test_writes_on_a_full_disk_are_refused_whole_and_go_on_when_there_is_room(node: NodeOnDisk):
    node.start()
    stored: set[str] = set()
    with httpx.Client(base_url=node.url + API, timeout=60, trust_env=False) as client:
        reply = store(client, "0")
        while reply.status_code == 201:
            stored.add(reply.json()["title"])
            assert len(stored) < WRITES_MAX, "the disk never fills up"
            reply = store(client, str(len(stored)))
        assert reply.status_code == 503
        assert reply.json()["code"] == "STORE_FULL"
        assert int(reply.headers["retry-after"]) > 0
        # Again and again, as clients do: each is refused, none is kept in part.
        assert {store(client, "more").json()["code"] for _ in range(5)} == {"STORE_FULL"}
        assert set(shown_by(node.url, "n")) == stored, "reads go on meanwhile"

        (node.disk / "ballast").unlink()
        assert store(client, "after").status_code == 201
        stored.add("after")
        assert set(shown_by(node.url, "n")) == stored
    assert node.stop() == 0
    assert faults_of(node.db) == []


def test_a_node_killed_on_a_full_disk_starts_again_when_there_is_room(node: NodeOnDisk):
    node.start()
    stored: set[str] = set()
    with httpx.Client(base_url=node.url + API, timeout=60, trust_env=False) as client:
        while (reply := store(client, str(len(stored)))).status_code == 201:
            stored.add(reply.json()["title"])
    node.kill()
    (node.disk / "ballast").unlink()
    node.start()
    assert set(shown_by(node.url, "n")) == stored
    assert node.stop() == 0
    assert faults_of(node.db) == []
