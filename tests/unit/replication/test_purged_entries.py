"""An entry that named a purged memory beside others is a hole; what it said of them comes yet."""

import logging

import pytest
from typing_extensions import override

from app.domain.memory import MemoryLink
from app.domain.timestamps import format_instant
from app.log import drafts
from app.log.state import EntityKey
from app.replication.messages import Method
from tests.contract.store.conftest import START, Say, memory, purge
from tests.unit.replication.cluster import Cluster, Node, settle
from tests.unit.replication.test_comparing import Limited
from tests.unit.replication.virtual_time import virtual

SOON = 5.0


def consolidation(made: str, *sources: str) -> Say:
    at = format_instant(START)
    links = [MemoryLink(made, one, "derived_from", at) for one in sources]
    return Say(lambda view: drafts.consolidate(memory(made), sources, links, "alice", view.now))


def standard(namespace: str, row: str) -> Say:
    writes = [drafts.store_write(memory(row))]
    return Say(lambda view: drafts.standard_set(namespace, row, None, view.now, writes, "alice"))


class Withholding(Limited):
    """What is theirs to read is nothing at all."""

    @override
    def may_read(self, node_id: str, namespace: str) -> bool:
        del node_id, namespace
        return False


async def is_equal(*nodes: Node) -> bool:
    found = [await node.store.digests() for node in nodes]
    return all(one == found[0] for one in found)


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]


@virtual
async def test_who_was_away_hears_what_a_purged_summary_did_to_its_sources(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
):
    a, b, c = await cluster.full("abc")
    for _ in range(3):
        await a.write()
    await cluster.converge()
    await c.stop()
    await a.submit(consolidation("made", "a-1", "a-2"))
    await settle(1)
    await a.submit(purge("made"))
    await cluster.converge()
    caplog.clear()
    await c.start()
    await cluster.meet()
    await settle(SOON)
    assert await is_equal(a, b, c)
    for node in (a, b, c):
        shown = [one for one in ("a-1", "a-2", "a-3", "made") if await node.shown(one)]
        assert shown == ["a-3"]
    assert alarms(caplog) == []


@virtual
async def test_a_purge_that_overtakes_its_entry_leaves_nobody_behind(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
):
    a, b, c = await cluster.full("abc")
    for _ in range(3):
        await a.write()
    await cluster.converge()
    caplog.clear()
    await a.submit(consolidation("made", "a-1", "a-2"))
    await a.submit(purge("made"))  # before anything was sent
    await cluster.meet()
    await settle(SOON)
    assert await is_equal(a, b, c)
    assert await b.shown("a-1") is None
    assert alarms(caplog) == []


@virtual
async def test_a_namespace_keeps_what_was_said_of_its_standard(cluster: Cluster):
    a, b, c = await cluster.full("abc")
    await c.stop()
    await a.submit(standard("team", "rules"))
    await settle(1)
    await a.submit(purge("rules"))
    await cluster.converge()
    await c.start()
    await cluster.meet()
    await settle(SOON)
    assert await is_equal(a, b, c)
    (row,) = await a.store.states_of([EntityKey("standard", "team")])
    assert list(await c.store.states_of([EntityKey("standard", "team")])) == [row]


@virtual
async def test_holes_are_followed_up_while_others_write(cluster: Cluster):
    a, b, c = await cluster.full("abc")
    for _ in range(3):
        await a.write()
    await cluster.converge()
    await c.stop()
    await a.submit(consolidation("made", "a-1", "a-2"))
    await settle(1)
    await a.submit(purge("made"))
    await cluster.converge()
    await c.start()
    for _ in range(400):
        await b.write()
        await settle(0.05)
    assert await c.shown("a-1") is None
    await cluster.converge()


@virtual
async def test_holes_of_a_scope_are_not_asked_about_for_ever(cluster: Cluster):
    a, b = cluster.add("a", ["b"]), cluster.add("b", ["a"])
    a.scopes = Withholding()
    for node in (a, b):
        await node.start()
    for _ in range(100):
        await a.write()
        await settle(1)
    assert cluster.network.calls["b", "a", Method.DIGEST] <= 12
