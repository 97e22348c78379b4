"""States that drifted apart are found, alarmed and brought together (weakness W17)."""

import asyncio
import logging
from collections.abc import Sequence

import apsw
import pytest
from typing_extensions import override

from app.log.digest import bucket_of, changed
from app.log.hlc import Stamp, pack
from app.log.registers import Written
from app.log.state import EntityKey, decode_state, encode_state, row_hash
from app.replication.messages import Method
from app.replication.scopes import EveryScope
from app.store.protocol import StateRow
from tests.unit.replication.cluster import Cluster, Node, hours, settle
from tests.unit.replication.virtual_time import START, virtual

ROUND = 31.0


class Limited(EveryScope):
    """Nobody may see everything."""

    @override
    def is_limited(self, node_id: str) -> bool:
        del node_id
        return True


async def equal(*nodes: Node) -> bool:
    found = [await node.store.digests() for node in nodes]
    return all(one == found[0] for one in found)


def sql(node: Node, statement: str, values: Sequence[str | bytes | int] = ()) -> None:
    """What somebody does to the file behind the node's back."""
    connection = apsw.Connection(str(node.path))
    connection.execute(statement, values)
    connection.close()


async def lose(node: Node, memory_id: str) -> None:
    """Remove a state, and its part of the digest, as a crash of a bad disk may."""
    key = EntityKey("memory", memory_id)
    (row,) = await node.store.states_of([key])
    bucket = bucket_of(key)
    digest = (await node.store.digests())[bucket]
    await node.kill()
    sql(node, "DELETE FROM memory_state WHERE id = ?", (memory_id,))
    sql(node, "DELETE FROM memories WHERE id = ?", (memory_id,))
    sql(
        node,
        "UPDATE digest_buckets SET digest = ? WHERE bucket = ?",
        (changed(digest, row.row_hash, None), bucket),
    )
    await node.start()


async def change_unsaid(node: Node, memory_id: str) -> None:
    """Change a state without any entry that says so, as adopting an older database does."""
    key = EntityKey("memory", memory_id)
    (row,) = await node.store.states_of([key])
    cells = decode_state("memory", row.state)
    stamp = Stamp(pack(int(START.timestamp() * 1000) + 1_000, 0), "v070")
    cells["tags"] = Written(["unsaid"], stamp)
    state = encode_state(cells)
    assert await node.store.join_states([StateRow(*key, state, row_hash(key, state))]) == 1


@virtual
async def test_equal_states_are_told_and_cost_one_question(cluster: Cluster):
    a, b = await cluster.full("ab")
    await a.write_many(50)
    await cluster.converge()
    await settle(ROUND)
    (peer,) = (await a.running.status()).peers
    assert peer.digests_equal is True
    assert peer.compared_seconds_ago is not None
    assert peer.compared_seconds_ago < ROUND
    calls = cluster.network.calls
    assert calls["a", "b", Method.DIGEST] == calls["b", "a", Method.DIGEST] == 1
    assert calls["a", "b", Method.BUCKET] == 0
    assert (await b.running.status()).repaired.repairs == 0


@virtual
async def test_w17_a_lost_state_comes_back_and_is_alarmed_once(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
):
    a, b, c = await cluster.full("abc")
    await a.write_many(20)
    await cluster.converge()
    await lose(b, "a-7")
    assert await b.shown("a-7") is None
    caplog.clear()
    await settle(3 * ROUND)
    assert await equal(a, b, c)
    assert await b.shown("a-7") == await a.shown("a-7")
    status = await b.running.status()
    assert status.repaired.rows == 1
    assert [one.digests_equal for one in status.peers] == [True, True]
    alarms = [one for one in caplog.records if one.levelno >= logging.ERROR]
    # Each of the two sound nodes may see it once, and the damaged one once a peer.
    assert 1 <= len(alarms) <= 4


@virtual
async def test_what_no_entry_says_reaches_everybody(cluster: Cluster):
    a, b, c = await cluster.full("abc")
    await a.write_many(5)
    await cluster.converge()
    await change_unsaid(a, "a-2")
    await change_unsaid(c, "a-3")
    await settle(3 * ROUND)
    assert await equal(a, b, c)
    for memory_id in ("a-2", "a-3"):
        shown = await b.shown(memory_id)
        assert shown is not None
        assert shown.tags == ("unsaid",)


@virtual
async def test_under_load_drift_is_found_and_nothing_else(cluster: Cluster):
    a, b = await cluster.full("ab", catchup_seconds=1.0)
    await a.write_many(50)
    await cluster.converge()
    await change_unsaid(a, "a-2")

    async def load(node: Node) -> None:
        while True:
            await node.write()
            await asyncio.sleep(0.02)

    writers = [asyncio.create_task(load(node)) for node in (a, b)]
    await settle(5)
    for writer in writers:
        writer.cancel()
    assert (await b.running.status()).repaired.rows == 1
    assert (await a.running.status()).repaired.rows == 0
    await cluster.converge()


@virtual
async def test_what_is_kept_apart_is_no_drift(cluster: Cluster, caplog: pytest.LogCaptureFixture):
    a, b = await cluster.full("ab")
    a.clock.skew = hours(1)
    await a.write(a.row(title="from later"))
    await b.write()
    await cluster.meet()
    await settle(ROUND)
    assert (await b.running.status()).quarantined == 1
    assert not [one for one in caplog.records if "states differ" in one.getMessage()]
    assert (await b.running.status()).repaired.rows == 0
    assert await b.shown("a-1") is None


@virtual
async def test_a_limited_peer_is_not_compared_with_and_sees_no_states(cluster: Cluster):
    a, b = await cluster.full("ab")
    await a.stop()
    a.scopes = Limited()
    await a.start()
    await a.write()
    await settle(2 * ROUND)
    assert (await a.running.status()).peers[0].digests_equal is None
    assert (await b.running.status()).peers[0].digests_equal is None
    assert cluster.network.calls["a", "b", Method.DIGEST] == 0
    assert cluster.network.calls["b", "a", Method.BUCKET] == 0
