"""Reads on replicas: as fresh as their client asks for, and answered whatever becomes of them."""

import time
from pathlib import Path

import httpx
import pytest

from app.domain.errors import StoreUnavailableError
from app.store.consistency import having_seen, may_lag
from app.store.postgres.adapter import PostgresStore
from app.store.postgres.replicas import REST_SECONDS
from app.store.protocol import ReplicaReads
from app.store.sql.filters import MemoryFilter
from app.store.writing.written import Written, noting
from tests.contract.store.conftest import START, Put, memory
from tests.postgres.fixtures import Ask
from tests.postgres.nodes import Nodes, put, start_over
from tests.postgres.pairs import PATIENCE_SECONDS, Pair, await_true
from tests.postgres.serving import MakeServing

EVERYTHING = MemoryFilter(now=START.isoformat())
NOTHING_SEEN = "v1"


def reading(pair: Pair) -> Nodes:
    nodes = Nodes(pair.primary.url())
    nodes.read_url = pair.standby.url()
    return nodes


def pause(pair: Pair) -> None:
    """The standby goes on receiving, and shows nothing new."""
    pair.standby.execute("SELECT pg_wal_replay_pause()")


def resume(pair: Pair) -> None:
    pair.standby.execute("SELECT pg_wal_replay_resume()")
    pair.wait_for_replay()


async def shows(node: PostgresStore, memory_id: str, token: str | None = None) -> bool:
    """Whether a read that may lag finds a memory."""
    with having_seen(token):
        return await may_lag(node.get)(memory_id, EVERYTHING) is not None


async def written(node: PostgresStore, memory_id: str) -> str:
    """Write a memory; what its client is given for it."""
    with noting(Written()) as noted:
        await node.submit(Put(memory(memory_id)))
    assert noted.token is not None
    return noted.token


def counted(node: PostgresStore) -> ReplicaReads:
    found = node.replica_reads
    assert found is not None
    return found


async def close_all(nodes: Nodes) -> None:
    for node in list(nodes.running):
        await nodes.stop(node)


async def test_a_node_shows_what_it_wrote_wherever_it_reads(pair: Pair):
    nodes = reading(pair)
    node, other = nodes.start(), nodes.start()
    first = await written(node, "m1")
    pair.wait_for_replay()
    assert await shows(node, "m1")
    assert counted(node).replica == 1
    pause(pair)

    # Its own writes: from the primary, as long as the replica lacks them.
    await put(node, "m2")
    nodes.clock.turn(seconds=1)
    assert await shows(node, "m2")
    assert (counted(node).replica, counted(node).behind) == (1, 1)
    assert await shows(node, "m2")  # just found to be behind: not asked again at once
    assert counted(node).primary == 1
    # A client that names what it has seen is given no more than that.
    nodes.clock.turn(seconds=1)
    assert not await shows(node, "m2", first)
    assert not await shows(node, "m2", NOTHING_SEEN)

    # Another node's writes: to whoever brings their token.
    theirs = await written(other, "m3")
    assert not await shows(node, "m3", first)
    assert await shows(node, "m3", theirs)
    assert await shows(node, "m3", "from a later version")
    nodes.clock.turn(seconds=1)
    assert await shows(node, "m3", "v1:00112233445566aa.1.5")  # nobody knows that one

    resume(pair)
    nodes.clock.turn(seconds=1)
    before = counted(node).replica
    assert await shows(node, "m2")
    assert await shows(node, "m3", theirs)
    assert counted(node).replica == before + 2
    # What decides about a write never lags.
    pause(pair)
    await put(other, "m4")
    assert await node.get("m4", EVERYTHING) is not None
    await close_all(nodes)


async def test_replicas_may_come_and_go(pair: Pair):
    nodes = reading(pair)
    pair.standby.halt()
    node = nodes.start()
    await put(node, "m1")
    assert await shows(node, "m1")
    assert counted(node).failed == 1
    assert "no server listens there" in str(counted(node).problem)
    begun = time.monotonic()
    for _ in range(100):
        assert await shows(node, "m1")
    assert time.monotonic() - begun < 2  # a dead replica is left alone
    assert counted(node).failed == 1

    pair.standby.start()
    pair.wait_for_replay()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not counted(node).replica:
        assert time.monotonic() < deadline
        nodes.clock.turn(seconds=REST_SECONDS)
        assert await shows(node, "m1")
    assert counted(node).problem is None

    pair.standby.halt()
    assert await shows(node, "m1")
    pair.standby.start()
    pair.wait_for_replay()
    deadline, before = time.monotonic() + PATIENCE_SECONDS, counted(node).replica
    while counted(node).replica == before:
        assert time.monotonic() < deadline
        nodes.clock.turn(seconds=REST_SECONDS)
        assert await shows(node, "m1")

    # Without a primary, what the replica has is still answered.
    pair.primary.halt()
    assert await shows(node, "m1")
    with pytest.raises(StoreUnavailableError):
        await node.submit(Put(memory("m2")))
    assert await shows(node, "m1")
    await close_all(nodes)


async def test_a_server_of_another_history_is_not_read(pair: Pair):
    """A former primary has more in its write-ahead log than the new one, and yet not the same."""
    nodes = Nodes(pair.url)
    nodes.read_url = pair.primary.url()
    node = nodes.start()
    await put(node, "m1")
    pair.wait_for_replay()
    pair.cut()
    await put(node, "lost")
    pair.fail_over()
    (pair.primary.data / "standby.signal").touch()
    pair.primary.start()
    await start_over(node, "m2")
    for _ in range(3):
        nodes.clock.turn(seconds=REST_SECONDS)
        assert await shows(node, "m2")
        nodes.clock.turn(seconds=REST_SECONDS)
        assert not await shows(node, "lost", NOTHING_SEEN)
    assert counted(node).replica == 0
    await close_all(nodes)


async def test_another_store_is_not_read(postgres_databases, postgres_server, postgres_template):
    one, other = (
        postgres_server.url(postgres_databases.create(postgres_template)) for _ in range(2)
    )
    nodes = Nodes(one)
    nodes.read_url = other
    node = nodes.start()
    assert not await shows(node, "m1", NOTHING_SEEN)
    assert (counted(node).replica, counted(node).behind) == (0, 1)
    await close_all(nodes)


def test_clients_hand_on_what_they_wrote(pair: Pair, make_serving: MakeServing, ask: Ask):
    served = [
        make_serving(pair.primary.url(), "--store-read-url", pair.standby.url()).start()
        for _ in range(2)
    ]
    one, other = (
        httpx.Client(base_url=f"{node.url}/api/v1", trust_env=False, timeout=30) for node in served
    )

    def asked_of_replicas() -> int:
        return int(one.get("/stats").json()["replica_reads"]["replica"])

    def titles(client: httpx.Client, token: str | None) -> list[set[str]]:
        """What every read that may lag finds."""
        headers = {} if token is None else {"X-Ai-Memory-Token": token}
        found = []
        for path, parameters in (
            ("/memories", {}),
            ("/search", {"q": "heron"}),
            ("/recall", {"context": "a heron"}),
        ):
            reply = client.get(path, params=parameters, headers=headers)
            assert reply.status_code == 200, reply.text
            body = reply.json()
            rows = body.get("memories", body.get("results", []))
            found.append({row["title"] for row in rows})
        return found

    with one, other:
        stored = one.post("/memories", json={"title": "first", "content": "a heron"})
        first = stored.headers["x-ai-memory-token"]
        assert "x-ai-memory-token" not in one.get("/memories").headers
        pair.wait_for_replay()
        await_true(lambda: (titles(one, None), asked_of_replicas())[1] >= 3, "reads on the replica")
        pause(pair)
        bulk = [{"title": "second", "content": "another heron"}]
        second = other.post("/memories/bulk", json=bulk).headers["x-ai-memory-token"]
        both = {"first", "second"}
        time.sleep(0.05)
        assert titles(one, first) == [{"first"}] * 3
        assert titles(one, second) == [both] * 3
        assert titles(other, None) == [both] * 3
        found = one.get(f"/memories/{stored.json()['id']}", headers={"X-Ai-Memory-Token": first})
        assert found.json()["title"] == "first"
        pair.standby.halt()
        assert titles(one, None) == [both] * 3
        reads = one.get("/stats").json()["replica_reads"]
        assert reads["failed"] >= 1
        assert reads["problem"]


def test_replicas_are_of_a_server(make_serving: MakeServing, tmp_path: Path):
    node = make_serving(f"sqlite://{tmp_path}/a.db", "--store-read-url", "postgresql://127.0.0.1/x")
    node.launch()
    assert node.wait(PATIENCE_SECONDS) != 0
    assert "store_read_url is for a store on PostgreSQL only" in node.log
