"""What several nodes promise together, on virtual time."""

from app.replication.durability import Outcome
from app.replication.messages import Method
from tests.unit.replication.cluster import Cluster, settle
from tests.unit.replication.virtual_time import virtual


@virtual
async def test_a_write_is_on_every_node_a_moment_later(cluster: Cluster):
    a, b, c = await cluster.full("abc")
    await a.write()
    await b.write()
    assert await cluster.converge() < 0.1
    assert len(await c.clocks()) == 2


@virtual
async def test_a_quorum_is_met_when_peers_have_it_on_disk(cluster: Cluster):
    a, b, c = await cluster.full("abc", writes=3)
    receipt = await a.write()
    outcome = await a.running.wait(receipt.origin, receipt.seqs, 3)
    assert outcome == Outcome(3, 3)
    assert (await b.clocks())[receipt.origin] == (await c.clocks())[receipt.origin] == receipt.seq


@virtual
async def test_a_healthy_mesh_pushes_nothing_twice_and_pulls_nothing(cluster: Cluster):
    nodes = await cluster.full("abcd")
    for _ in range(50):
        for node in nodes:
            await node.write()
        await settle(0.01)
    await cluster.converge()
    await settle(20)
    assert [node.running.receiver.counts.known for node in nodes] == [0, 0, 0, 0]
    assert [node.running.receiver.counts.applied for node in nodes] == [150] * 4
    assert [node.running.puller.counts.pages for node in nodes] == [0] * 4


@virtual
async def test_a_line_of_nodes_converges(cluster: Cluster):
    a = cluster.add("a", ["b"])
    b = cluster.add("b", ["a", "c"])
    c = cluster.add("c", ["b"])
    for node in (a, b, c):
        await node.start()
    await a.write()
    await c.write()
    await cluster.converge(within=5)
    for _ in range(20):
        await a.write()
        await settle(0.1)
    assert await cluster.converge() < 0.5  # by now b knows that c relies on it
    assert cluster.network.calls["c", "b", Method.LOG] > 0


@virtual
async def test_a_node_that_was_down_gets_everything_at_once(cluster: Cluster):
    a, b = await cluster.full("ab")
    await b.stop()
    await a.write_many(1_000)
    await b.start()
    assert await cluster.converge() < 3
