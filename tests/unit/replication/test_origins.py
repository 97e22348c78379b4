"""No number is given away twice, and nobody counts copies of another history."""

import asyncio
import shutil

from app.log.epochs import EpochReason
from app.replication.guard import RENEWALS_MAX
from app.replication.lane import Block
from app.replication.messages import Hello, Method, decode_message, encode_message
from app.replication.ports import Caller
from tests.contract.store.conftest import Put
from tests.unit.replication.cluster import Call, Cluster, Node, settle
from tests.unit.replication.virtual_time import virtual


async def set_back(node: Node, count: int) -> None:
    """Put a node's files, the sidecar among them, back to where they were before `count` writes.

    What a snapshot of a whole machine does: nothing on it can tell.
    """
    await node.stop()
    kept = node.path.parent.with_suffix(".kept")
    shutil.copytree(node.path.parent, kept)
    await node.start()
    await node.write_many(count)
    await node.cluster.converge()
    await node.kill()
    shutil.rmtree(node.path.parent)
    shutil.move(kept, node.path.parent)


@virtual
async def test_a_machine_that_was_set_back_writes_under_a_new_origin(cluster: Cluster):
    a, b = await cluster.full("ab", writes=2)
    await a.write_many(5)
    spent = a.running.here.origin
    await set_back(a, 7)
    await a.start()  # says hello before anybody can write
    assert a.running.here.origin != spent
    assert (await a.copies(2)).is_met
    await cluster.converge()
    assert (await a.clocks())[spent] == 12  # and has back what it lost
    assert b.running.here.clock == a.running.here.clock
    assert (await a.running.status()).renewals == 1


@virtual
async def test_a_machine_that_was_set_back_and_wrote_alone_counts_no_false_copies(
    cluster: Cluster,
):
    a, b = await cluster.full("ab", writes=2)
    await a.write_many(5)
    spent = a.running.here.origin
    await set_back(a, 7)
    cluster.network.part(["a"], ["b"])
    await a.start()
    await a.write_many(20)  # numbers 6 to 25, of which b holds 6 to 12 of another history
    receipt = await a.write()
    cluster.network.heal()
    waiting = asyncio.create_task(a.running.wait(receipt.origin, (9,), 2))
    await settle(3)
    assert not (await waiting).is_met
    assert not (await a.running.wait(receipt.origin, (9,), 2)).is_met
    assert a.running.here.origin != spent
    assert (await a.copies(2)).is_met
    status = await a.running.status()
    assert status.peers[0].blocked == {spent: Block.OTHER_HISTORY.value}
    assert b.running.here.origin != spent


@virtual
async def test_a_twin_that_runs_beside_its_original_is_found_out(cluster: Cluster):
    a, b = await cluster.full("ab", writes=2)
    twin = cluster.add("t", ["b"], writes=2)
    await a.write_many(3)
    await a.stop()
    shutil.copytree(a.path.parent, twin.path.parent)
    twin.key = a.key
    await a.start()
    await twin.start()
    assert twin.running.here.origin == a.running.here.origin
    assert (await a.copies(2)).is_met
    outcome = await twin.copies(2)  # the same number, another entry
    assert not outcome.is_met
    assert twin.running.here.origin != a.running.here.origin
    assert (await twin.copies(2)).is_met
    assert b.running.here[a.running.here.origin] == 4


@virtual
async def test_a_peer_that_lies_about_our_origin_costs_a_few_epochs(cluster: Cluster):
    a, b = await cluster.full("ab")
    await a.write()
    await settle()
    for _ in range(3 * RENEWALS_MAX):
        hello = await b.hello()
        lie = {**hello.clock, a.running.here.origin: 1_000_000}
        await a.running.answer(
            Method.HELLO,
            encode_message(replaced(hello, clock=lie)),
            Caller(None, b.node_id, "b"),
        )
    assert a.running.guard.renewals == RENEWALS_MAX
    await a.write()
    await cluster.converge()


@virtual
async def test_a_peer_that_lost_its_disk_gets_everything_again(cluster: Cluster):
    a, b = await cluster.full("ab", writes=2)
    await a.write_many(20)
    await cluster.converge()
    await b.kill()
    shutil.rmtree(b.path.parent)
    await b.start()
    assert (await a.copies(2)).is_met
    await cluster.converge()
    assert sum((await b.clocks()).values()) == 21


@virtual
async def test_what_a_peer_lost_is_no_copy_any_more(cluster: Cluster):
    a, b = await cluster.full("ab", writes=2)
    assert (await a.copies(2)).is_met
    await b.kill()
    shutil.rmtree(b.path.parent)
    cluster.network.delays["a", "b"] = 0.4
    await b.start()
    origin = a.running.here.origin
    await settle(0.1)  # b is back and has nothing yet
    assert not (await a.running.wait(origin, (1,), 3)).is_met
    await cluster.converge()
    assert (await a.running.wait(origin, (1,), 2)).is_met


@virtual
async def test_two_nodes_on_one_store_hold_one_copy_and_push_to_nobody_twice(cluster: Cluster):
    a, b, c = await cluster.full("abc", writes=2)
    # b and c say that they share a store, as nodes on one database do.
    for node in (b, c):
        node.claims_store = "one database"
    await a.kill()
    await b.kill()
    await c.kill()
    await b.start()
    await c.start()
    await a.start()
    receipt = await a.write()
    assert (await a.running.wait(receipt.origin, receipt.seqs, 2)).is_met
    outcome = await a.running.wait(receipt.origin, receipt.seqs, 3)
    assert (outcome.got, outcome.reason) == (2, "unreachable")
    pushed = [lane.counts.entries for lane in a.running.lanes.values()]
    assert sorted(pushed) == [0, 1]


@virtual
async def test_a_node_that_is_its_own_peer_is_told_so(cluster: Cluster):
    a = await cluster.add("a", ["a"], writes=2).start()
    outcome = await a.copies(2)
    assert (outcome.got, outcome.reason) == (1, "refused")
    status = await a.running.status()
    assert status.peers[0].state == "refusing"


@virtual
async def test_a_peer_of_another_protocol_is_left_alone_and_shown(cluster: Cluster):
    a, _ = await cluster.full("ab")

    def newer(call: Call, answer: bytes) -> bytes:
        if (call.target, call.method) != ("b", Method.HELLO):
            return answer
        return encode_message(replaced(decode_message(Hello, answer), protocol=2))

    cluster.network.answered = newer
    await a.stop()
    await a.start()
    status = await a.running.status()
    assert (status.peers[0].state, status.peers[0].failure) == ("refusing", "incompatible")
    assert "protocol 2" in (status.peers[0].detail or "")


@virtual
async def test_an_answer_with_another_key_than_the_bound_one_is_refused(cluster: Cluster):
    a, b = await cluster.full("ab")
    assert b.node_id is not None
    a.trust.keys[b.node_id] = bytes(32)
    await a.stop()
    await a.start()
    status = await a.running.status()
    assert (status.peers[0].state, status.peers[0].failure) == ("refusing", "refused")


@virtual
async def test_a_renewed_origin_keeps_what_peers_hold_of_the_old_one(cluster: Cluster):
    a, b = await cluster.full("ab", writes=2)
    receipt = await a.write()
    assert (await a.running.wait(receipt.origin, receipt.seqs, 2)).is_met
    await a.store.renew_origin(EpochReason.RESTORED, {})
    await settle(0.2)
    made = await a.store.submit(Put(a.row()))
    assert made.origin != receipt.origin
    assert (await a.running.wait(made.origin, made.seqs, 2)).is_met
    assert (await a.running.wait(receipt.origin, receipt.seqs, 2)).is_met
    assert b.running.receiver.counts.known == 0


def replaced(hello: Hello, **changes: object) -> Hello:
    fields = {name: getattr(hello, name) for name in hello.__struct_fields__}
    return Hello(**{**fields, **changes})
