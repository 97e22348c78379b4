"""A node without peers of its own takes part in the mesh of whoever has it for a peer."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.waiting import wait_for
from tests.mesh.seeing import MEMORIES, allow_admins, client_of, status_of, wait_until_equal
from tools.fleet.fleet import Fleet, FleetNode, FleetOptions


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Plain HTTP on loopback; node-a has node-b for its peer, and node-b nobody."""
    made = Fleet(tmp_path / "fleet", FleetOptions(nodes=2, tls=False))
    allow_admins(made)
    without(made["node-b"], "--quorum-peers", "--quorum-writes")
    try:
        yield made
    finally:
        made.close()


def without(node: FleetNode, *flags: str) -> None:
    for flag in flags:
        place = node.command.index(flag)
        del node.command[place : place + 2]


def store(client: httpx.Client, title: str) -> httpx.Response:
    return client.post(MEMORIES, json={"title": title, "content": f"of {title}", "tier": "long"})


def titles(fleet: Fleet, node: FleetNode) -> set[str]:
    with client_of(fleet, node) as client:
        return {one["title"] for one in client.get(MEMORIES).json()["memories"]}


def is_up(fleet: Fleet, node: FleetNode) -> bool:
    return [one["state"] for one in status_of(fleet, node)["peers"]] == ["up"]


def test_a_node_without_peers_is_a_peer_of_those_that_have_it(fleet: Fleet):
    a, b = fleet
    fleet.start(b.name)
    with client_of(fleet, b) as client:
        assert client.get("/api/v1/health").json()["federation_enabled"] is False
        # Nobody but a peer that says hello begins a mesh.
        assert client.post("/api/v2/fed/append", content=b"").json() == {"error": "peer_unknown"}
        assert not status_of(fleet, b)["enabled"]
    fleet.start(a.name)
    wait_for(lambda: is_up(fleet, a), "a peer that answers")
    with client_of(fleet, a) as client:
        answer = store(client, "by a")
        assert answer.status_code == 201, answer.text
        assert answer.json()["quorum_acks"] == 2
    assert status_of(fleet, b)["enabled"]
    assert titles(fleet, b) == {"by a"}
    with client_of(fleet, b) as client:
        assert store(client, "by b").status_code == 201
    wait_until_equal(fleet)
    assert titles(fleet, a) == titles(fleet, b) == {"by a", "by b"}

    b.stop()
    fleet.start(b.name)
    assert status_of(fleet, b)["enabled"]
    wait_for(lambda: is_up(fleet, a), "a peer that is back")
    with client_of(fleet, a) as client:
        assert store(client, "once more").json()["quorum_acks"] == 2
    wait_until_equal(fleet)


def test_a_node_that_asks_for_enrolment_takes_nobody_without(fleet: Fleet):
    a, b = fleet
    b.environment["AI_MEMORY_FED_REQUIRE_PEER_ENROLLMENT"] = "1"
    fleet.start()
    wait_for(
        lambda: "peer_not_enrolled" in str(status_of(fleet, a)["peers"][0]["detail"]), "a refusal"
    )
    with client_of(fleet, a) as client:
        missed = store(client, "alone")
        assert missed.status_code == 503
        assert missed.json()["error"] == "quorum_not_met"
    assert titles(fleet, b) == set()
