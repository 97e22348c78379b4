"""What a client hears of a write's copies, over real HTTP, whether its node has peers or not."""

import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import httpx
import pytest

from tests.faults.waiting import wait_for
from tests.mesh.fleets import connected
from tests.mesh.seeing import (
    MEMORIES,
    client_of,
    is_connected,
    status_of,
    wait_until_equal,
)
from tools.fleet.fleet import Fleet, FleetNode, FleetOptions

KNOWN_DEAD_SECONDS_MAX = 0.2


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three nodes, two copies of each write."""
    options = FleetOptions(nodes=3, quorum_writes=2)
    with connected(tmp_path_factory.mktemp("fleet"), options) as made:
        yield made


@pytest.fixture
def node(fleet: Fleet) -> FleetNode:
    """The node that clients talk to."""
    return fleet["node-a"]


@pytest.fixture
def client(fleet: Fleet, node: FleetNode) -> Iterator[httpx.Client]:
    """A client of it."""
    with client_of(fleet, node) as made:
        yield made


@pytest.fixture
def lonely(fleet: Fleet, node: FleetNode) -> Iterator[None]:
    """Its peers are dead while the test runs, and it knows."""
    others = [one for one in fleet if one is not node]
    for one in others:
        one.kill()
    wait_for(lambda: not has_peers(fleet, node), "peers that are down")
    yield
    fleet.start(*(one.name for one in others if one.process is None))
    wait_for(partial(is_connected, fleet), "a mesh")
    wait_until_equal(fleet)


def has_peers(fleet: Fleet, node: FleetNode) -> bool:
    return "up" in {one["state"] for one in status_of(fleet, node)["peers"]}


def memory(title: str, content: str = "text") -> dict[str, str]:
    return {"title": title, "content": content, "namespace": "durable"}


def titled(client: httpx.Client, title: str) -> list[str]:
    """Ids of the rows with this title."""
    reply = client.get(MEMORIES, params={"namespace": "durable", "limit": 200}).json()
    return [one["id"] for one in reply["memories"] if one["title"] == title]


def test_a_success_says_how_many_nodes_hold_it(client: httpx.Client):
    reply = client.post(MEMORIES, json=memory("success"))
    body = reply.json()
    assert reply.status_code == 201
    assert body["quorum_acks"] in {2, 3}
    assert body["durability"] == {2: "majority", 3: "all"}[body["quorum_acks"]]
    later = client.put(f"{MEMORIES}/{body['id']}", json={"content": "changed"}).json()
    assert later["seq"] > body["seq"]


@pytest.mark.parametrize(
    ("asked", "at_least"), [("local", 1), ("one", 2), ("majority", 2), ("all", 3)]
)
def test_a_request_may_ask_for_more_or_less(client: httpx.Client, asked: str, at_least: int):
    reply = client.post(MEMORIES, json=memory(f"asks {asked}"), headers={"X-Durability": asked})
    assert reply.status_code == 201
    assert reply.json()["quorum_acks"] >= at_least


def test_w30_what_was_written_at_one_node_is_read_and_changed_at_another(
    fleet: Fleet, client: httpx.Client
):
    """W30: nothing tied a client's reads at one node to its writes at another."""
    with client_of(fleet, fleet["node-b"]) as other:
        for number in range(30):
            stored = client.post(
                MEMORIES, json=memory(f"seen {number}"), headers={"X-Durability": "local"}
            )
            token = {"X-Ai-Memory-Token": stored.headers["X-Ai-Memory-Token"]}
            path = f"{MEMORIES}/{stored.json()['id']}"
            assert other.get(path, headers=token).status_code == 200
            changed = other.put(path, json={"content": f"{number}"}, headers=token)
            token = {"X-Ai-Memory-Token": changed.headers["X-Ai-Memory-Token"]}
            read = client.get(path, headers=token).json()
            assert read["memory"]["content"] == f"{number}"


def test_w30_a_node_that_lacks_what_its_client_saw_says_so(client: httpx.Client):
    stored = client.post(MEMORIES, json=memory("ahead"))
    token = stored.headers["X-Ai-Memory-Token"]
    ahead = token.rpartition(".")[0] + ".999999999"
    read = client.get(f"{MEMORIES}/{stored.json()['id']}", headers={"X-Ai-Memory-Token": ahead})
    assert (read.status_code, read.json()["code"]) == (412, "NOT_SEEN_YET")
    assert read.headers["Retry-After"] == "1"
    origin = token.removeprefix("v1:").rpartition(".")[0]
    assert read.json()["known"][origin] >= stored.json()["seq"]


def test_w41_metrics_tell_of_copies_and_peers(fleet: Fleet, client: httpx.Client):
    """W41: nothing measured how far peers are, or what a quorum costs."""
    before = scraped(client)
    assert client.post(MEMORIES, json=memory("measured")).status_code == 201
    wait_until_equal(fleet)
    here = scraped(client)
    assert changed(before, here, "quorum_ack_seconds_count") == 1
    assert changed(before, here, 'replication_quorum_ack_total{result="ok"}') == 1
    ups = {name: value for name, value in here.items() if name.startswith("ai_memory_peer_up{")}
    assert list(ups.values()) == [1, 1]
    for series in ("replication_lag_entries", "replication_lag_seconds", "digest_mismatch"):
        found = [one for name, one in here.items() if name.startswith(f"ai_memory_{series}{{")]
        assert found == [0, 0], series
    with client_of(fleet, fleet["node-b"]) as other:
        there = scraped(other)
    assert there["ai_memory_apply_seconds_count"] > 0
    assert there["ai_memory_federation_received_entries"] > 0
    assert there["ai_memory_quarantine_depth"] == 0


def scraped(client: httpx.Client) -> dict[str, float]:
    """Series with its labels → value."""
    lines = client.get("/metrics").text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {series: float(value) for series, _, value in pairs}


def changed(before: dict[str, float], after: dict[str, float], series: str) -> float:
    """By how much one grew."""
    name = f"ai_memory_{series}"
    return after[name] - before.get(name, 0)


def test_an_unknown_durability_is_refused_and_writes_nothing(client: httpx.Client):
    reply = client.post(MEMORIES, json=memory("some"), headers={"X-Durability": "some"})
    assert reply.status_code == 400
    assert "local, one, majority, all" in reply.json()["error"]
    assert titled(client, "some") == []


@pytest.mark.usefixtures("lonely")
def test_a_miss_is_told_at_once_and_the_row_is_kept(client: httpx.Client):
    began = time.monotonic()
    reply = client.post(MEMORIES, json=memory("missed"))
    took = time.monotonic() - began
    body = reply.json()
    assert reply.status_code == 503
    assert reply.headers["Retry-After"] == "2"
    assert took < KNOWN_DEAD_SECONDS_MAX
    assert (body["error"], body["got"], body["needed"]) == ("quorum_not_met", 1, 2)
    assert body["reason"] == "unreachable"
    assert body["durability"] == "local"
    assert isinstance(body["seq"], int)
    assert [one["status"] for one in body["peers"]] == ["unreachable"] * 2
    assert client.get(f"{MEMORIES}/{body['id']}").json()["memory"]["content"] == "text"


@pytest.mark.usefixtures("lonely")
def test_a_dead_mesh_takes_what_asks_for_no_copies(client: httpx.Client):
    local = client.post(MEMORIES, json=memory("alone"), headers={"X-Durability": "local"})
    assert local.status_code == 201
    assert (local.json()["quorum_acks"], local.json()["durability"]) == (1, "local")
    everywhere = client.post(MEMORIES, json=memory("not all"), headers={"X-Durability": "all"})
    assert (everywhere.status_code, everywhere.json()["needed"]) == (503, 3)


@pytest.mark.usefixtures("lonely")
def test_a_retry_of_a_miss_is_the_same_write(fleet: Fleet, client: httpx.Client):
    """W22: a retry stored a second row."""
    again = partial(
        client.post, MEMORIES, json=memory("again"), headers={"Idempotency-Key": "retry-of-a-miss"}
    )
    misses = [again() for _ in range(3)]
    assert {one.status_code for one in misses} == {503}
    fleet.start("node-b")
    wait_for(lambda: has_peers(fleet, fleet["node-a"]), "a peer")
    met = again()
    assert met.status_code == 201
    assert {one.json()["id"] for one in [*misses, met]} == set(titled(client, "again"))
    assert {one.json()["seq"] for one in misses} == {met.json()["seq"]}
    assert (met.json()["quorum_acks"], met.headers["Idempotency-Replayed"]) == (2, "true")


def test_a_keys_second_use_with_another_body_is_refused(client: httpx.Client):
    key = {"Idempotency-Key": "two bodies"}
    first = client.post(MEMORIES, json=memory("first body"), headers=key)
    second = client.post(MEMORIES, json=memory("second body"), headers=key)
    assert (first.status_code, second.status_code) == (201, 422)
    assert second.json()["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert titled(client, "second body") == []


def test_a_key_in_use_is_refused_until_its_first_request_is_answered(
    fleet: Fleet, client: httpx.Client
):
    key = {"Idempotency-Key": "at once"}
    others = [one for one in fleet if one.name != "node-a"]
    first: list[httpx.Response] = []

    def ask() -> None:
        with client_of(fleet, fleet["node-a"]) as own:
            first.append(own.post(MEMORIES, json=memory("at once"), headers=key))

    for one in others:
        one.signal(signal.SIGSTOP)
    try:
        asking = threading.Thread(target=ask)
        asking.start()
        wait_for(lambda: bool(titled(client, "at once")), "the first request's row")
        second = client.post(MEMORIES, json=memory("at once"), headers=key)
        assert (second.status_code, second.headers["Retry-After"]) == (409, "1")
        assert second.json()["code"] == "IDEMPOTENCY_KEY_IN_PROGRESS"
        asking.join()
        assert (first[0].status_code, first[0].json()["reason"]) in {
            (503, "timeout"),
            (503, "unreachable"),
        }
    finally:
        for one in others:
            one.signal(signal.SIGCONT)
    wait_for(partial(is_connected, fleet), "a mesh")
    assert client.post(MEMORIES, json=memory("at once"), headers=key).status_code == 201
    assert len(titled(client, "at once")) == 1


def test_a_key_outlives_the_node_and_not_its_day(fleet: Fleet, node: FleetNode):
    key = {"Idempotency-Key": "a day"}
    with client_of(fleet, node) as client:
        first = client.post(MEMORIES, json=memory("before"), headers=key).json()
    node.kill()
    fleet.start(node.name)
    with client_of(fleet, node) as client:
        again = client.post(MEMORIES, json=memory("before"), headers=key)
        assert again.json()["id"] == first["id"]
        assert again.headers["Idempotency-Replayed"] == "true"
    node.stop()
    with closing(sqlite3.connect(node.db)) as store, store:
        ((expires,),) = store.execute(
            "SELECT expires_at FROM idempotency_keys WHERE key = 'a day'"
        ).fetchall()
        made = store.execute(
            "SELECT created_at FROM memories WHERE id = ?", (first["id"],)
        ).fetchone()[0]
        assert expires[11:19] >= made[11:19]
        assert expires[:10] > made[:10]
        store.execute("UPDATE idempotency_keys SET expires_at = ? WHERE key = 'a day'", (made,))
    fleet.start(node.name)
    wait_for(partial(is_connected, fleet), "a mesh")
    with client_of(fleet, node) as client:
        reply = client.post(MEMORIES, json=memory("after a day"), headers=key)
        assert reply.status_code == 201
        assert reply.json()["id"] != first["id"]
