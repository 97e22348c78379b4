"""What a writer is told about its copies, and when. Weaknesses W13 to W29 of the original."""

import asyncio

import pytest

from app.replication.copies import Copies
from app.replication.durability import Durability, PeerOutcome
from app.replication.messages import Method
from app.replication.options import MeshOptions, MeshOptionsError
from app.replication.ports import Failure, PeerCallError
from app.replication.quorum import Quorum
from tests.unit.replication.cluster import Call, Cluster, hours, settle
from tests.unit.replication.virtual_time import virtual


def peers(count: int) -> tuple[str, ...]:
    return tuple(f"sim://p{number}" for number in range(count))


@pytest.mark.parametrize("nodes", range(1, 10))
def test_w24_what_is_needed_of_n_nodes(nodes: int):
    table = {one: one.needed(nodes) for one in Durability}
    assert table == {
        Durability.LOCAL: 1,
        Durability.ONE: min(2, nodes),
        Durability.MAJORITY: nodes // 2 + 1,
        Durability.ALL: nodes,
    }
    assert MeshOptions("n", peers(nodes - 1), writes=nodes).needed == nodes
    assert MeshOptions("n", peers(nodes - 1)).needed == 1
    with pytest.raises(MeshOptionsError, match="--quorum-writes"):
        MeshOptions("n", peers(nodes - 1), writes=nodes + 1)


def test_a_peer_named_twice_is_refused():
    with pytest.raises(MeshOptionsError, match="sim://p0 twice"):
        MeshOptions("n", ("sim://p0", "sim://p0"))


@virtual
async def test_w24_one_copy_waits_for_nobody_and_still_travels(cluster: Cluster):
    a, b = await cluster.full("ab", writes=1)
    cluster.network.delays["a", "b"] = 1.0
    began = asyncio.get_running_loop().time()
    assert (await a.copies(1)).is_met
    assert asyncio.get_running_loop().time() == began
    await cluster.converge()
    assert await b.shown("a-1") is not None


@virtual
async def test_w14_a_peer_that_skips_an_entry_does_not_satisfy_a_quorum(cluster: Cluster):
    a, _ = await cluster.full("ab", writes=2)
    a.clock.skew = hours(24)  # b keeps every entry of a apart as one of the future
    outcome = await a.copies(2)
    assert (outcome.got, outcome.needed, outcome.reason) == (1, 2, "refused")
    assert [(one.peer, one.status) for one in outcome.peers] == [("sim://b", "refused")]


@virtual
async def test_w14_a_refusal_counts_though_its_ack_was_lost(cluster: Cluster):
    a, b = await cluster.full("ab", writes=2, timeout_seconds=0.5)
    a.clock.skew = hours(24)
    cluster.network.delays["b", "a"] = 0.6  # b stores it, a hears of no ack
    assert not (await a.copies(2)).is_met
    cluster.network.delays.clear()
    await settle(5)
    assert (await b.clocks())[a.running.here.origin] == 1
    outcome = await a.running.wait(a.running.here.origin, (1,), 2)
    assert (outcome.got, outcome.reason) == (1, "refused")


@virtual
async def test_an_ack_that_was_lost_costs_nothing(cluster: Cluster):
    a, b = await cluster.full("ab", writes=2, timeout_seconds=0.5)
    cluster.network.delays["b", "a"] = 0.6
    receipt = await a.write()
    await settle(0.9)
    cluster.network.delays.clear()
    await settle(3)
    assert (await a.running.wait(receipt.origin, receipt.seqs, 2)).is_met
    assert b.running.receiver.counts.known == 0


@virtual
async def test_w25_a_miss_that_is_certain_is_told_at_once(cluster: Cluster):
    a, b, c = await cluster.full("abc", writes=2)
    await b.kill()
    await c.kill()
    await settle(6)  # the next signs of life fail
    began = asyncio.get_running_loop().time()
    outcome = await a.copies(2)
    assert asyncio.get_running_loop().time() - began < 0.05
    assert (outcome.got, outcome.needed, outcome.reason) == (1, 2, "unreachable")
    assert [(one.peer, one.status) for one in outcome.peers] == [
        ("sim://b", "unreachable"),
        ("sim://c", "unreachable"),
    ]


@virtual
async def test_w25_a_peer_that_dies_under_a_write_ends_its_wait(cluster: Cluster):
    a, b = await cluster.full("ab", writes=2)
    await b.kill()
    began = asyncio.get_running_loop().time()
    outcome = await a.copies(2)
    assert outcome.reason == "unreachable"
    assert asyncio.get_running_loop().time() - began < 0.1


@virtual
async def test_w25_a_silent_peer_costs_the_timeout_and_no_more(cluster: Cluster):
    a, b, c = await cluster.full("abc", writes=3)
    cluster.network.part([a.name], [b.name])
    began = asyncio.get_running_loop().time()
    outcome = await a.copies(3)
    assert outcome.reason in {"timeout", "unreachable"}
    assert 1.9 < asyncio.get_running_loop().time() - began < 2.1
    assert outcome.got == 2
    assert PeerOutcome("sim://c", "acked", None, outcome.peers[1].milliseconds) in outcome.peers
    # From now on the lane is known to be down, and nobody waits for it.
    await settle(0.5)
    began = asyncio.get_running_loop().time()
    assert (await a.copies(3)).reason == "unreachable"
    assert asyncio.get_running_loop().time() - began < 0.1
    assert c.mesh is not None


@virtual
async def test_w26_a_peer_that_refuses_for_good_is_left_alone(cluster: Cluster):
    a, b = await cluster.full("ab", writes=2)

    def refuse(call: Call) -> PeerCallError | None:
        if (call.source, call.method) == ("a", Method.APPEND):
            return PeerCallError(Failure.REFUSED, "400")
        return None

    cluster.network.before = refuse
    cluster.network.calls.clear()
    began = asyncio.get_running_loop().time()
    outcome = await a.copies(2)
    assert asyncio.get_running_loop().time() - began < 0.1
    assert (outcome.reason, outcome.peers[0].status) == ("refused", "refused")
    cluster.network.part(["b"], ["a"])  # not even b's own calls wake the lane
    await settle(10)
    assert cluster.network.calls["a", "b", Method.APPEND] == 1
    assert b.mesh is not None


@virtual
async def test_w26_transient_failures_back_off_and_end(cluster: Cluster):
    a, b = await cluster.full("ab")
    await b.kill()
    await settle(6)
    cluster.network.calls.clear()
    await settle(60)
    assert 30 <= cluster.network.calls["a", "b", Method.HELLO] <= 75  # one or two seconds apart
    await b.start()
    await a.write()
    assert await cluster.converge() < 0.5  # b's own hello ended the wait


@virtual
async def test_w27_writers_share_pushes_and_waiters_share_acks(cluster: Cluster):
    a, *_ = await cluster.full("abc", writes=2)

    async def client() -> None:
        for _ in range(5):
            assert (await a.copies(2)).is_met

    before = len(asyncio.all_tasks())
    clients = [asyncio.create_task(client()) for _ in range(100)]
    await settle(0.001)
    assert len(asyncio.all_tasks()) - before - len(clients) <= 12  # no task for each write
    await asyncio.gather(*clients)
    for lane in a.running.lanes.values():
        assert lane.counts.entries >= 25 * lane.counts.batches


@virtual
async def test_a_lone_writer_waits_for_no_company(cluster: Cluster):
    a, _ = await cluster.full("ab", writes=2, batch_seconds=1.0)
    cluster.network.delay = (0.001, 0.001)
    for _ in range(5):
        began = asyncio.get_running_loop().time()
        assert (await a.copies(2)).is_met
        assert asyncio.get_running_loop().time() - began < 0.01
        await settle()


@virtual
async def test_w29_what_was_committed_leaves_before_a_node_stops(cluster: Cluster):
    a, b = await cluster.full("ab")
    cluster.network.delays["a", "b"] = 0.1
    await a.write_many(500)
    await a.stop()
    assert sum((await b.clocks()).values()) == 500


@virtual
async def test_w13_peers_are_who_they_are_and_not_where_they_stand_in_the_list(cluster: Cluster):
    a, b, c = await cluster.full("abc")
    await c.kill()
    for _ in range(5):
        await a.write()
    await settle()
    await a.stop()
    a.options = MeshOptions("host:a", ("sim://c", "sim://b"))
    await a.start()
    await c.start()
    await cluster.converge()
    assert b.running.receiver.counts.known == 0


@virtual
async def test_peers_may_come_and_go_under_load(cluster: Cluster):
    a, b = await cluster.full("ab")
    c = await cluster.add("c", ["a", "b"]).start()
    await a.write()
    await a.running.set_peers([*a.wires("b"), *a.wires("c")])
    assert a.running.nodes == 3
    assert (await a.copies(3)).is_met
    await a.running.set_peers(a.wires("c"))
    assert (await a.copies(2)).is_met
    assert list(a.running.lanes) == ["sim://c"]
    a.running.options = MeshOptions("host:a", ("sim://c",), writes=2)
    with pytest.raises(MeshOptionsError):
        await a.running.set_peers([])
    assert list(a.running.lanes) == ["sim://c"]
    assert b.mesh is not None
    assert c.mesh is not None


@virtual
async def test_a_write_that_nobody_waits_for_any_more_leaves_nothing_behind(cluster: Cluster):
    a, b = await cluster.full("ab")
    cluster.network.part([a.name], [b.name])
    receipt = await a.write()
    waiting = asyncio.create_task(a.running.wait(receipt.origin, receipt.seqs, 2))
    await settle(0.1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (await a.running.status()).waiting_writes == 0


@virtual
async def test_a_copy_that_comes_in_the_turn_of_the_timeout_counts(cluster: Cluster):
    """A busy loop runs the timer first and reads the ack that was there before it after that."""
    quorum = Quorum("own")
    quorum.join("sim://b")
    copies = Copies(quorum, 2.0, lambda *_: ())
    waiting = asyncio.create_task(copies.wait("a.1", [7], needed=2))
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    loop.call_at(loop.time() + 2.0, lambda: copies.settle(quorum.acked("sim://b", [("a.1", 7)])))
    outcome = await waiting
    assert (outcome.got, outcome.reason) == (2, None)
