"""What operators see of the mesh."""

import asyncio

import pytest

from app.replication.copies import Copies
from app.replication.quorum import Quorum
from tests.unit.replication.cluster import Cluster, hours, settle
from tests.unit.replication.virtual_time import virtual


@virtual
async def test_a_healthy_mesh_lags_nowhere(cluster: Cluster):
    a, b, c = await cluster.full("abc", writes=2)
    await a.write()
    await b.write()
    await cluster.converge()
    await settle(6)
    status = await a.running.status()
    assert (status.nodes, status.needed, status.waiting_writes) == (3, 2, 0)
    assert (status.node_id, status.identity) == (a.node_id, "host:a")
    assert [one.url for one in status.peers] == ["sim://b", "sim://c"]
    assert [one.identity for one in status.peers] == ["host:b", "host:c"]
    assert [one.node_id for one in status.peers] == [b.node_id, c.node_id]
    for peer in status.peers:
        assert (peer.state, peer.failure, peer.lags, peer.watermark) == ("up", None, [], 1)
        assert (peer.heard_seconds_ago or 0.0) < 6
        assert abs(peer.clock_offset_ms or 0) <= 2
    assert status.lacks == []


@virtual
async def test_lag_is_told_in_entries_and_seconds(cluster: Cluster):
    a, b = await cluster.full("ab")
    await b.kill()
    await a.write()
    await settle(50)
    await a.write()
    status = await a.running.status()
    (lag,) = status.peers[0].lags
    assert (lag.origin, lag.entries) == (a.running.here.origin, 2)
    assert 49 <= (lag.seconds or 0) <= 51
    assert (status.peers[0].state, status.peers[0].failure) == ("down", "unreachable")


@virtual
async def test_what_we_lack_is_told(cluster: Cluster):
    a = cluster.add("a", ["b"])
    b = cluster.add("b", ["a"], catchup_seconds=30.0)
    for node in (a, b):
        await node.start()
    taken = b.store.append_foreign

    async def stuck(*_: object, **__: object) -> None:
        await asyncio.sleep(3_600)

    b.store.append_foreign = stuck  # type: ignore[method-assign,assignment] # a disk that hangs
    await a.write()
    await settle(20)
    (lack,) = (await b.running.status()).lacks
    assert (lack.origin, lack.entries) == (a.running.here.origin, 1)
    assert (lack.seconds or 0) > 5
    b.store.append_foreign = taken  # type: ignore[method-assign]


@virtual
async def test_a_wrong_clock_shows_and_alarms(cluster: Cluster, caplog: pytest.LogCaptureFixture):
    a, b = await cluster.full("ab")
    b.clock.skew = hours(0.5)
    await settle(6)
    status = await a.running.status()
    assert abs((status.peers[0].clock_offset_ms or 0) - 1_800_000) < 10
    assert status.peers[0].is_clock_off
    await settle(20)
    alarms = [one for one in caplog.messages if "clock of peer sim://b" in one]
    assert len(alarms) == 1
    b.clock.skew = hours(0)
    await settle(6)
    assert not (await a.running.status()).peers[0].is_clock_off


@virtual
async def test_a_thousand_waits_share_one_timer(cluster: Cluster):
    del cluster
    quorum = Quorum("own")
    quorum.join("p")
    copies = Copies(quorum, 2.0, lambda *_: ())
    loop = asyncio.get_running_loop()
    waits = [
        asyncio.create_task(copies.wait("00112233445566aa.1", (seq,), 2)) for seq in range(1, 1_001)
    ]
    await asyncio.sleep(0)
    timers = len(loop._scheduled)  # type: ignore[attr-defined] # what the loop waits for
    assert timers <= 2
    outcomes = await asyncio.gather(*waits)
    assert {one.reason for one in outcomes} == {"timeout"}
    assert loop.time() == 2.0
