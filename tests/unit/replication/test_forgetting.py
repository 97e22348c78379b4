"""Tombstones go when everybody has what they stand against, and nothing comes back for it."""

import shutil

from app.log.state import EntityKey
from app.store.sqlite.identity import sidecar_path
from tests.contract.store.conftest import Change, Put, delete, memory, purge
from tests.unit.replication.cluster import Cluster, Node, settle
from tests.unit.replication.test_membership import HORIZON, QUICK, restart, states
from tests.unit.replication.virtual_time import virtual

LONG = 100.0
"""Until what everybody has is forgotten: the horizon, two rounds, and what clocks may differ."""


async def known(node: Node, *ids: str) -> list[str]:
    """Those of some memories whose states a node still holds."""
    rows = await node.store.states_of([EntityKey("memory", one) for one in ids])
    return [row.key for row in rows]


async def dropped(node: Node) -> int:
    return (await node.running.status()).forgotten.tombstones


@virtual
async def test_the_dead_are_forgotten_on_every_node_alike(cluster: Cluster):
    nodes = await cluster.full("abc", **QUICK)
    a, b, _ = nodes
    await a.write_many(20)
    await cluster.converge()
    await b.submit(delete("a-3", "a-4"))
    await a.submit(purge("a-5"))
    await cluster.converge()
    before = await known(a, "a-3", "a-4", "a-5", "a-6")
    assert len(before) == 4
    await settle(HORIZON)
    assert len(await known(a, "a-3", "a-4", "a-5")) == 3
    await settle(LONG)
    for node in nodes:
        assert await known(node, "a-3", "a-4", "a-5", "a-6") == ["a-6"]
        assert await node.shown("a-6") is not None
        assert await node.store.oldest_tombstones(1 << 62, 10) == []
    await cluster.converge()
    assert sorted([await dropped(node) for node in nodes]) == [0, 0, 3]
    entries = sum((await a.clocks()).values())
    await settle(LONG)
    assert sum((await a.clocks()).values()) == entries  # nothing dies, nothing is said
    for node in nodes:
        await node.stop()
        report = await (await node.start()).store.scrub(lambda *_: None)
        assert report.is_sound


@virtual
async def test_a_forgotten_id_may_be_used_again(cluster: Cluster):
    a, b, c = await cluster.full("abc", **QUICK)
    await a.write_many(2)
    await a.submit(delete("a-1"))
    await settle(HORIZON + LONG)
    assert await known(b, "a-1") == []
    await b.submit(Put(memory("a-1", content="once more")))
    await cluster.converge()
    for node in (a, b, c):
        found = await node.shown("a-1")
        assert found is not None
        assert found.content == "once more"


@virtual
async def test_a_member_that_is_away_holds_tombstones_back(cluster: Cluster):
    a, _, c = await cluster.full("abc", **{**QUICK, "horizon_seconds": 8 * HORIZON})
    await a.write_many(2)
    await settle(10)
    await c.stop()
    await a.submit(delete("a-1"))
    for node in (a, *cluster.up()):
        node.running.forgetting._options = cluster.options("x", [], **QUICK)
    await settle(LONG)
    assert (await states(a))["c"] == "joined"
    assert await known(a, "a-1") == ["a-1"]
    await c.start()
    await cluster.converge()
    assert await c.shown("a-1") is None


@virtual
async def test_who_returns_after_the_horizon_revives_nobody(cluster: Cluster):
    a, b, c = await cluster.full("abc", **QUICK)
    await a.write_many(10)
    await settle(10)
    cluster.network.part(["c"], ["a", "b"])
    await settle(1)
    await c.submit(Change("a-1", {"content": "edited in the dark"}))
    await c.submit(Change("a-2", {"content": "and this one lives"}))
    await c.write()
    await c.submit(Change("c-1", {"content": "written in the dark"}))
    await c.write()
    await c.submit(delete("c-2"))
    await settle(1)
    await a.submit(delete("a-1", "a-3"))
    await settle(HORIZON + LONG)
    assert await known(a, "a-1", "a-3") == []
    assert len(await known(c, "a-1", "a-3")) == 2
    await restart(a, b)
    cluster.network.heal()
    await settle(20)
    await cluster.converge()
    for node in (a, b, c):
        assert await states(node) == dict.fromkeys("abc", "joined")
        assert await known(node, "a-1", "a-3", "c-2") == []
        assert await node.shown("a-1") is None
        second, own = await node.shown("a-2"), await node.shown("c-1")
        assert second is not None
        assert second.content == "and this one lives"
        assert own is not None
        assert own.content == "written in the dark"
    assert (await c.running.status()).snapshots.dropped == 2
    for node in (a, b):
        rows = await node.store.quarantined(10)
        assert [one.code for one in rows] == ["below_tombstones"]
    await settle(70)
    await cluster.converge()
    assert [one.digests_equal for one in (await a.running.status()).peers] == [True, True]
    assert await known(a, "a-1") == []


@virtual
async def test_a_store_that_was_set_back_revives_nobody(cluster: Cluster):
    a, b, c = await cluster.full("abc", **QUICK)
    await a.write_many(10)
    await settle(10)
    await c.stop()
    shutil.copytree(c.path.parent, cluster.folder / "backup")
    await c.start()
    await b.submit(delete("a-1"))
    await settle(HORIZON + LONG)
    assert await known(c, "a-1") == []
    await c.stop()
    sidecar_path(c.path).unlink()
    shutil.rmtree(c.path.parent)
    shutil.copytree(cluster.folder / "backup", c.path.parent)
    await restart(a, b)
    await c.start()
    assert await known(c, "a-1") == ["a-1"]
    await settle(100)
    await cluster.converge()
    for node in (a, b, c):
        assert await known(node, "a-1") == []
        assert await node.shown("a-1") is None
        assert await node.shown("a-2") is not None


@virtual
async def test_a_new_node_learns_of_the_dead_by_their_absence(cluster: Cluster):
    a, b = await cluster.full("ab", **QUICK)
    await a.write_many(10)
    await a.submit(delete("a-1"))
    await settle(HORIZON + LONG)
    c = cluster.add("c", ["a", "b"], **QUICK)
    await c.start()
    await cluster.converge()
    await settle(40)
    assert await known(c, "a-1", "a-2") == ["a-2"]
    assert (await c.running.status()).quarantined == 0
    assert (await c.store.tombstone_floor()) == (await b.store.tombstone_floor()) > 0


@virtual
async def test_a_name_goes_to_whoever_is_left_when_a_memory_gives_way(cluster: Cluster):
    a, b = await cluster.full("ab", **QUICK)
    cluster.network.part(["a"], ["b"])
    await a.write(a.row(title="the plan"))
    await settle(0.1)
    await b.write(b.row(title="the plan"))
    cluster.network.heal()
    await cluster.converge()
    loser = await a.shown("b-1")
    assert loser is not None
    assert loser.title != "the plan"
    (row,) = await a.store.states_of([EntityKey("memory", "a-1")])
    assert await a.store.drop_states([row]) == 1
    assert await a.store.drop_states([row]) == 0
    winner = await a.shown("b-1")
    assert winner is not None
    assert winner.title == "the plan"
    assert await known(a, "a-1") == []
    await a.stop()
    assert (await (await a.start()).store.scrub(lambda *_: None)).is_sound
