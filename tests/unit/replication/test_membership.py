"""Who belongs to the fleet, and what is forgotten because everybody who does has it."""

import logging

import pytest

from app.replication.messages import Method
from app.replication.ports import UntrustedPeerError
from tests.unit.replication.cluster import Cluster, Node, settle
from tests.unit.replication.virtual_time import virtual

HORIZON = 30.0
QUICK = {"members_seconds": 1.0, "housekeeping_seconds": 5.0, "horizon_seconds": HORIZON}


async def states(node: Node) -> dict[str, str]:
    names = {one.node_id: one.name for one in node.cluster.nodes.values()}
    return {names[one.node_id] or "": one.state for one in await node.store.members()}


async def kept(node: Node) -> int:
    """How many entries its log holds."""
    return sum(head.seq - head.floor for head in await node.store.heads())


async def restart(*nodes: Node) -> None:
    """Stop and start, so that nothing that was truncated is still in memory."""
    for node in nodes:
        await node.stop()
        await node.start()


@virtual
async def test_nodes_that_meet_say_that_they_joined_once(cluster: Cluster):
    nodes = await cluster.full("abc", **QUICK)
    await settle(20)
    for node in nodes:
        assert await states(node) == dict.fromkeys("abc", "joined")
        status = await node.running.status()
        assert status.warnings == []
        (own,) = (one for one in status.members if one.is_self)
        assert own.identity == f"host:{node.name}"
    assert sum((await nodes[0].clocks()).values()) == 3


@virtual
async def test_a_node_alone_writes_no_such_entry(cluster: Cluster):
    alone = await cluster.add("a", [], **QUICK).start()
    waiting = await cluster.add("b", ["c"], **QUICK).start()
    await settle(20)
    for node in (alone, waiting):
        assert await node.clocks() == {}
        assert (await node.running.status()).members == []


@virtual
async def test_who_is_called_and_calls_nobody_is_a_member_too(cluster: Cluster):
    hub = await cluster.add("hub", [], **QUICK).start()
    leaf = await cluster.add("leaf", ["hub"], **QUICK).start()
    await settle(10)
    assert (await states(hub))["hub"] == (await states(hub))["leaf"] == "joined"
    assert (await leaf.running.status()).warnings == []


@virtual
async def test_who_leaves_is_waited_for_no_longer_and_talks_to_nobody(cluster: Cluster):
    a, b, c = await cluster.full("abc", writes=2, **QUICK)
    await settle(10)
    await c.write()
    await c.running.leave()
    await settle(10)
    assert (await states(a))["c"] == "left"
    assert await a.shown("c-1") is not None
    assert (await c.running.status()).peers == []
    assert (await c.copies(c.running.default_needed)).is_met
    with pytest.raises(UntrustedPeerError):
        await c.running.answer(Method.HELLO, b"", None)  # type: ignore[arg-type] # not looked at
    assert any("which is left" in one for one in (await b.running.status()).warnings)
    assert "has left the fleet" in (await c.running.status()).warnings[0]
    await settle(30)
    assert (await states(b))["c"] == "left"
    await c.stop()
    await c.start()  # with its peers still in its options
    await settle(30)
    assert (await states(b))["c"] == "joined"
    await cluster.converge()
    assert await b.shown("c-2") is not None


@virtual
async def test_who_is_silent_beyond_the_horizon_is_expired_by_one_node(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
):
    a, b, c = await cluster.full("abc", **QUICK)
    await settle(10)
    await c.stop()
    await settle(HORIZON - 5)
    assert (await states(a))["c"] == "joined"
    (silent,) = (
        one
        for one in (await a.running.status()).members
        if one.silent_seconds and one.silent_seconds > 15
    )
    assert silent.identity == "host:c"
    await settle(20)
    assert await states(a) == await states(b) == {"a": "joined", "b": "joined", "c": "expired"}
    assert sorted(one.running.membership.expired for one in (a, b)) == [0, 1]
    assert len([one for one in caplog.records if one.levelno == logging.ERROR]) == 1
    await c.start()
    await settle(10)
    await cluster.converge()
    assert await states(c) == dict.fromkeys("abc", "joined")


@virtual
async def test_a_node_that_others_hear_of_is_not_silent(cluster: Cluster):
    a = cluster.add("a", ["b"], **QUICK)
    b = cluster.add("b", ["a", "c"], **QUICK)
    c = cluster.add("c", ["b"], **QUICK)
    for node in (a, b, c):
        await node.start()
    await settle(2.5 * HORIZON)
    for node in (a, b, c):
        assert await states(node) == dict.fromkeys("abc", "joined")
    assert any("none of this node's peers" in one for one in (await a.running.status()).warnings)


@virtual
async def test_the_log_is_cut_where_everybody_has_it_and_it_is_old(cluster: Cluster):
    a, b, c = await cluster.full("abc", **QUICK)
    await a.write_many(100)
    await b.write_many(10)
    await cluster.converge()
    await settle(HORIZON - 10)
    assert await kept(a) == 113
    await settle(30)
    assert [await kept(node) for node in (a, b, c)] == [0, 0, 0]
    assert (await a.running.status()).log_truncated.entries == 113
    await a.write()
    await cluster.converge()
    assert await c.shown("a-101") is not None
    await restart(a)
    await a.write()
    await cluster.converge()
    assert await c.shown("a-102") is not None


@virtual
async def test_a_member_that_is_away_holds_the_log_back_until_it_expires(cluster: Cluster):
    a, b, c = await cluster.full("abc", **QUICK)
    await settle(10)
    await c.stop()
    await a.write_many(50)
    await settle(HORIZON)
    assert await kept(a) >= 50
    await settle(2 * HORIZON)
    assert (await states(a))["c"] == "expired"
    assert await kept(a) == await kept(b) == 0
    await restart(a, b)
    await c.start()
    await settle(10)
    assert (await c.running.status()).snapshots.finished == 1
    assert await c.shown("a-50") == await a.shown("a-50")
    await cluster.converge()
    assert (await states(a))["c"] == "joined"


@virtual
async def test_who_was_alone_for_long_keeps_what_only_it_has(cluster: Cluster):
    a, b, c = await cluster.full("abc", **QUICK)
    await settle(10)
    cluster.network.part(["c"], ["a", "b"])
    await c.write_many(20)
    await a.write()
    await settle(4 * HORIZON)
    assert (await states(c))["a"] == "expired"
    assert (await states(a))["c"] == "expired"
    cluster.network.heal()
    await settle(20)
    await cluster.converge()
    for node in (a, b, c):
        assert await node.shown("c-20") is not None
        assert await node.shown("a-1") is not None
        assert await states(node) == dict.fromkeys("abc", "joined")


@virtual
async def test_a_follower_in_the_store_holds_the_log_back(cluster: Cluster):
    a, b = await cluster.full("ab", **QUICK)
    await a.write_many(30)
    origin = a.running.here.origin

    async def followed() -> dict[str, int]:
        return {origin: 12}

    a.store.followed = followed  # type: ignore[method-assign] # PostgreSQL's graph, behind
    await settle(2 * HORIZON)
    assert {one.floor for one in await a.store.heads() if one.origin == origin} == {12}
    assert await kept(b) == 0


@virtual
async def test_no_clock_can_make_a_node_heard_of_for_ever(cluster: Cluster):
    a, b, c = await cluster.full("abc", **QUICK)
    await settle(10)
    b.running.gossip.told({str(c.node_id): {"": 1 << 60}})
    await c.stop()
    await settle(2 * HORIZON)
    assert (await states(a))["c"] == "expired"
    assert (await states(b))["c"] == "expired"
