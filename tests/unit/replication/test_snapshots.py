"""A node that is behind every log takes the states, then the tail."""

import asyncio

from app.replication import showing
from app.replication.messages import Method
from app.replication.ports import Failure, PeerCallError
from tests.contract.store.conftest import delete
from tests.unit.replication.cluster import Call, Cluster, Node, settle
from tests.unit.replication.test_comparing import equal
from tests.unit.replication.virtual_time import virtual


async def truncate(*nodes: Node) -> None:
    """Forget all entries that are there, also those that are still in memory."""
    for node in nodes:
        await node.store.truncate_log(await node.clocks())
        await node.kill()
    await asyncio.gather(*(node.start() for node in nodes))


async def behind(cluster: Cluster) -> tuple[Node, Node, Node]:
    """Nodes a and b whose logs are gone, and c that has seen none of it."""
    a, b, c = await cluster.full("abc")
    await c.stop()
    await a.write_many(300, content="x" * 500)
    await b.write_many(50)
    await a.submit(delete("a-5"))
    await settle(1)
    await truncate(a, b)
    return a, b, c


@virtual
async def test_a_new_node_takes_the_states_and_goes_on_with_the_tail(cluster: Cluster):
    a, b, c = await behind(cluster)
    await a.write(a.row(title="after the cut"))
    await c.start()
    await cluster.converge()
    assert await c.shown("a-300") == await a.shown("a-300")
    assert await c.shown("a-5") is None
    await c.write()
    await a.write()
    await cluster.converge()
    status = await c.running.status()
    assert (status.snapshots.finished, status.truncated) == (1, {})
    assert (await a.running.status()).snapshots.finished == 0
    await settle(6)
    assert (await b.running.status()).peers[1].lags == []


@virtual
async def test_what_only_the_late_one_has_is_kept(cluster: Cluster):
    a, b, c = await cluster.full("abc")
    cluster.network.part(["c"], ["a", "b"])
    await c.write()
    await a.write_many(20)
    await settle(2)
    await truncate(a, b)
    cluster.network.heal()
    await cluster.converge()
    assert await a.shown("c-1") is not None
    assert await c.shown("a-20") is not None


@virtual
async def test_a_snapshot_that_breaks_goes_on_where_it_was(cluster: Cluster, monkeypatch):
    monkeypatch.setattr(showing, "SNAPSHOT_BYTES_MAX", 30_000)
    a, b, c = await behind(cluster)
    pages = 0

    def breaks(call: Call) -> PeerCallError | None:
        nonlocal pages
        if call.method is not Method.SNAPSHOT:
            return None
        pages += 1
        return PeerCallError(Failure.TIMEOUT, "no answer") if pages == 4 else None

    cluster.network.before = breaks
    await c.start()
    loaded = asyncio.create_task(write_on(a))
    await settle(5)
    loaded.cancel()
    await cluster.converge()
    taken = (await c.running.status()).snapshots
    assert (taken.finished, taken.failures) == (1, 1)
    assert taken.pages == pages - 1
    assert await equal(a, b, c)


async def write_on(node: Node) -> None:
    while True:
        await node.write()
        await asyncio.sleep(0.1)
