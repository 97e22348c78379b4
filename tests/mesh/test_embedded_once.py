"""Three nodes with a real embedder: each text is embedded once, and found by its meaning on all."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.faults.waiting import wait_for
from tests.mesh.seeing import (
    MEMORIES,
    allow_admins,
    client_of,
    is_connected,
    status_of,
    wait_until_equal,
)
from tools.fleet.fleet import Fleet, FleetNode, FleetOptions

TAKEOVER_SECONDS = 15
EMBEDDED_SECONDS_MAX = 60.0
MEANT = {
    "node-a": ("The cat sleeps on the warm windowsill.", "where does our pet take a nap"),
    "node-b": ("Invoices are paid within thirty days.", "deadline for settling bills"),
    "node-c": ("The bridge was closed after heavy rain.", "a road that flooding made impassable"),
}
FILLERS = 12


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    options = FleetOptions(
        nodes=3,
        quorum_writes=3,
        tier="semantic",
        arguments=("--vector-takeover-secs", str(TAKEOVER_SECONDS)),
    )
    made = Fleet(tmp_path / "fleet", options)
    allow_admins(made)
    try:
        made.start()
        wait_for(partial(is_connected, made), "a mesh")
        yield made
    finally:
        made.close()


def gauge(fleet: Fleet, node: FleetNode, name: str) -> int:
    with client_of(fleet, node) as client:
        lines = client.get("/metrics").text.splitlines()
    return int(float(next(one for one in lines if one.startswith(f"{name} ")).split()[1]))


def made(fleet: Fleet, *nodes: FleetNode) -> int:
    """Vectors that these nodes computed."""
    return sum(gauge(fleet, one, "ai_memory_embeddings_made") for one in nodes or fleet)


def backlog(fleet: Fleet, node: FleetNode) -> int:
    with client_of(fleet, node) as client:
        return int(client.get("/api/v1/stats").json()["embedding_backlog"])


def wait_until_embedded(fleet: Fleet, *nodes: FleetNode) -> None:
    wait_for(
        lambda: not any(backlog(fleet, one) for one in nodes or fleet),
        "a vector for every text",
        EMBEDDED_SECONDS_MAX,
    )


def store(client: httpx.Client, title: str, content: str) -> None:
    row = {"title": title, "content": content, "namespace": "meaning", "tier": "long"}
    answer = client.post(MEMORIES, json=row)
    assert answer.status_code == 201, answer.text


def write(fleet: Fleet, node: FleetNode, count: int, what: str) -> None:
    rows = [
        {
            "title": f"{what} {node.name} {number}",
            "content": f"Ledger line {number} of {what}: {number * 7919} units. " * 10,
            "namespace": "fillers",
            "tier": "long",
        }
        for number in range(count)
    ]
    with client_of(fleet, node) as client:
        answer = client.post(f"{MEMORIES}/bulk", json=rows)
        assert answer.json()["created"] == count, answer.text


def best(fleet: Fleet, node: FleetNode, question: str) -> str:
    with client_of(fleet, node) as client:
        asked = {"context": question, "namespace": "meaning", "limit": 1}
        return str(client.post("/api/v1/recall", json=asked).json()["memories"][0]["content"])


def test_the_fleet_embeds_once_whatever_happens_to_an_author(fleet: Fleet):
    a, b, c = fleet
    for node in fleet:
        with client_of(fleet, node) as client:
            store(client, f"of {node.name}", MEANT[node.name][0])
        write(fleet, node, FILLERS, "first")
    rows = len(MEANT) * (1 + FILLERS)
    wait_until_equal(fleet)
    wait_until_embedded(fleet)
    assert made(fleet) == rows
    assert [made(fleet, one) for one in fleet] == [1 + FILLERS] * 3
    for node in fleet:
        assert {best(fleet, node, question) for _, question in MEANT.values()} == {
            content for content, _ in MEANT.values()
        }

    # An author dies with texts that have copies and no vectors.
    write(fleet, c, 80, "second")
    c.kill()
    before = made(fleet, a, b)
    wait_for(lambda: status_of(fleet, a)["digest"] == status_of(fleet, b)["digest"], "equality")
    left = backlog(fleet, a)
    assert left == backlog(fleet, b)
    assert left > 0
    wait_until_embedded(fleet, a, b)
    assert made(fleet, a, b) - before == left
    assert made(fleet, a) > 1 + FILLERS
    assert made(fleet, b) > 1 + FILLERS

    # It comes back, and takes what the others made.
    fleet.start(c.name)
    wait_until_equal(fleet)
    wait_until_embedded(fleet)
    assert made(fleet, c) == 0
    assert made(fleet, a, b) - before == left
