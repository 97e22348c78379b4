"""Whatever changes a node, by HTTP or by a command, changes its peers: W=0, so nobody waited."""

import json
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from tests.faults.waiting import wait_for
from tests.mesh.fleets import connected
from tests.mesh.seeing import (
    AGENT,
    MEMORIES,
    client_of,
    is_connected,
    status_of,
    wait_until_equal,
)
from tools.fleet.fleet import Fleet, FleetNode, FleetOptions

NAMESPACE = "team/travel"
BULK_ROWS = 300


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three nodes; no write waits for a copy."""
    options = FleetOptions(nodes=3, quorum_writes=0)
    with connected(tmp_path_factory.mktemp("fleet"), options) as made:
        yield made


@pytest.fixture
def here(fleet: Fleet) -> Iterator[httpx.Client]:
    """A client of the node that is changed."""
    with client_of(fleet, fleet["node-a"]) as made:
        yield made


@pytest.fixture
def there(fleet: Fleet) -> Iterator[httpx.Client]:
    """A client of one that is not."""
    with client_of(fleet, fleet["node-c"]) as made:
        yield made


def did(reply: httpx.Response) -> dict[str, Any]:
    """The body of a success."""
    assert reply.is_success, reply.text
    found: dict[str, Any] = reply.json()
    return found


def stored(client: httpx.Client, title: str, **more: object) -> str:
    body = {"title": title, "content": f"about {title}", "namespace": NAMESPACE, **more}
    return str(did(client.post(MEMORIES, json=body))["id"])


def row(client: httpx.Client, memory_id: str) -> dict[str, Any]:
    found = did(client.get(f"{MEMORIES}/{memory_id}"))
    memory: dict[str, Any] = found["memory"]
    return memory


def is_gone(client: httpx.Client, memory_id: str) -> bool:
    return client.get(f"{MEMORIES}/{memory_id}").status_code == 404


def archive_of(client: httpx.Client) -> set[str]:
    rows = did(client.get("/api/v1/archive", params={"limit": 200}))["archived"]
    return {one["id"] for one in rows}


def links_of(client: httpx.Client, memory_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = did(client.get(f"/api/v1/links/{memory_id}"))["links"]
    return found


def test_memories(fleet: Fleet, here: httpx.Client, there: httpx.Client):
    kept, promoted, deleted, archived, restored = (
        stored(here, f"memory {n}", tier="short") for n in range(5)
    )
    forgotten = stored(here, "unwanted")
    wait_until_equal(fleet)
    assert row(there, deleted)["content"] == "about memory 2"
    did(here.put(f"{MEMORIES}/{kept}", json={"content": "changed", "tags": ["x"], "priority": 9}))
    did(here.post(f"{MEMORIES}/{promoted}/promote"))
    did(here.delete(f"{MEMORIES}/{deleted}"))
    did(here.post("/api/v1/archive", json={"ids": [archived, restored]}))
    wait_until_equal(fleet)
    assert {archived, restored} <= archive_of(there)
    did(here.post(f"/api/v1/archive/{restored}/restore"))
    did(here.post("/api/v1/forget", json={"pattern": "unwanted", "namespace": NAMESPACE}))
    wait_until_equal(fleet)
    changed = row(there, kept)
    assert (changed["content"], changed["tags"], changed["priority"]) == ("changed", ["x"], 9)
    assert row(there, promoted)["tier"] == "long"
    assert all(is_gone(there, one) for one in (deleted, archived, forgotten))
    assert row(there, restored)["content"] == "about memory 4"
    did(here.delete("/api/v1/archive"))
    wait_until_equal(fleet)
    assert archive_of(there) == set()
    assert is_gone(there, archived)


def test_links_and_their_ends(fleet: Fleet, here: httpx.Client, there: httpx.Client):
    one, two, three = (stored(here, f"end {n}") for n in range(3))
    for target in (two, three):
        did(here.post("/api/v1/links", json={"source_id": one, "target_id": target}))
    wait_until_equal(fleet)
    assert {link["target_id"] for link in links_of(there, one)} == {two, three}
    did(here.request("DELETE", "/api/v1/links", json={"source_id": one, "target_id": two}))
    ended = {"source_id": one, "target_id": three, "relation": "related_to"}
    did(here.post("/api/v1/kg/invalidate", json=ended))
    wait_until_equal(fleet)
    assert [link["target_id"] for link in links_of(there, one)] in ([], [three])
    assert links_of(there, one) == links_of(here, one)


def test_consolidation(fleet: Fleet, here: httpx.Client, there: httpx.Client):
    sources = [stored(here, f"part {n}") for n in range(3)]
    body = {"ids": sources, "title": "the whole", "summary": "all parts", "namespace": NAMESPACE}
    made = did(here.post("/api/v1/consolidate", json=body))["id"]
    wait_until_equal(fleet)
    assert row(there, made)["content"] == "all parts"
    assert all(is_gone(there, one) for one in sources)


def test_standards_of_namespaces(fleet: Fleet, here: httpx.Client, there: httpx.Client):
    standard, path = stored(here, "a standard"), "/api/v1/namespaces/org-legal/standard"
    did(here.post(path, json={"id": standard, "governance": {"write": "owner"}}))
    wait_until_equal(fleet)
    found = did(there.get(path))
    assert found == did(here.get(path))
    assert found["standard_id"] == standard
    did(here.delete(path))
    wait_until_equal(fleet)
    assert there.get(path).text.replace(" ", "") == here.get(path).text.replace(" ", "")
    assert standard not in there.get(path).text


def test_agents_their_keys_messages_and_entities(
    fleet: Fleet, here: httpx.Client, there: httpx.Client
):
    body = {"agent_id": "ai:traveller", "agent_type": "ai:claude", "capabilities": ["walk"]}
    did(here.post("/api/v1/agents", json=body))
    key = {"pubkey_b64": b64encode(bytes(range(32))).decode()}
    did(here.put("/api/v1/agents/ai:traveller/pubkey", json=key))
    message = {"target_agent_id": AGENT, "title": "hello", "payload": "over there"}
    did(here.post("/api/v1/notify", json=message))
    entity = {"canonical_name": "The Node", "namespace": NAMESPACE, "aliases": ["node"]}
    did(here.post("/api/v1/entities", json=entity))
    wait_until_equal(fleet)
    assert "ai:traveller" in {one["agent_id"] for one in did(there.get("/api/v1/agents"))["agents"]}
    assert "over there" in there.get("/api/v1/inbox").text
    alias = {"alias": "node", "namespace": NAMESPACE}
    assert did(there.get("/api/v1/entities/by_alias", params=alias))["found"]


def test_rows_in_bulk_and_by_import(fleet: Fleet, here: httpx.Client, there: httpx.Client):
    rows = [
        {"title": f"bulk {n}", "content": f"row {n}", "namespace": "bulk"} for n in range(BULK_ROWS)
    ]
    reply = here.post("/api/v1/memories/bulk", json=rows, headers={"X-Durability": "all"})
    assert did(reply)["quorum_acks"] == 3
    ids = reply.json()["ids"]
    assert [row(there, one)["content"] for one in ids] == [one["content"] for one in rows]


def test_nothing_was_sent_twice(fleet: Fleet):
    """W16: healthy peers were sent rows again."""
    for node in fleet:
        assert status_of(fleet, node)["received_known"] == 0


def test_commands_through_the_node_and_beside_it(fleet: Fleet, there: httpx.Client):
    """W43: writes of the command line bypassed the mesh."""
    node = fleet["node-a"]
    before = told(node, "store", "-T", "while up", "-c", "by a command", "-n", "cli")["id"]
    wait_until_equal(fleet)
    assert visible(fleet, before) == "by a command"
    node.stop()
    after = told(node, "store", "-T", "while down", "-c", "beside the node", "-n", "cli")["id"]
    assert told(node, "delete", before)
    fleet.start(node.name)
    wait_for(partial(is_connected, fleet), "a mesh")
    wait_until_equal(fleet)
    assert visible(fleet, after) == "beside the node"
    assert visible(fleet, before) is None


def told(node: FleetNode, *words: str) -> dict[str, Any]:
    """What a command answers, run as somebody with access to the node's file."""
    start = node.command[: node.command.index("serve")]
    done = subprocess.run(
        [*start, "--agent-id", AGENT, "--json", *words],
        env=node.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def visible(fleet: Fleet, memory_id: str) -> str | None:
    """What the last node's own command line shows of a memory; None for nothing."""
    node = fleet["node-c"]
    start = node.command[: node.command.index("serve")]
    done = subprocess.run(
        [*start, "--agent-id", AGENT, "--json", "get", memory_id],
        env=node.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout)["memory"]["content"] if done.returncode == 0 else None
