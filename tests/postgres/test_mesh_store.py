"""Nodes that share a schema, as the mesh sees them: one store, an origin each."""

import asyncio

from app.domain.errors import StoreUnavailableError
from app.log import drafts
from app.log.entry import GENESIS_HASH, Entry, seal
from app.log.epochs import EpochReason
from app.log.hlc import pack
from app.store.protocol import ForeignOutcome, OriginHead
from tests.contract.store.conftest import Put, memory
from tests.postgres.fixtures import Ask
from tests.postgres.nodes import Nodes, is_sound, put
from tests.postgres.test_writer import NOW_MS, PEER, nodes

__all__ = ["nodes"]  # the fixture


def chain(count: int, origin: str = PEER, titles: str = "title of") -> list[Entry]:
    entries: list[Entry] = []
    previous = GENESIS_HASH
    for number in range(1, count + 1):
        row = memory(f"p{number}", title=f"{titles} p{number}")
        entry = seal(drafts.store(row, "bob"), origin, number, pack(NOW_MS) + number, previous)
        entries.append(entry)
        previous = entry.hash
    return entries


async def test_nodes_on_one_schema_are_one_store_and_know_which_origin_is_theirs(nodes: Nodes):
    two = [nodes.start(), nodes.start()]
    assert two[0].store_id == two[1].store_id
    for number, node in enumerate(two):
        await put(node, f"m{number}")
    for node in two:
        mine = {one.origin: one.is_self for one in await node.heads()}
        assert mine == {one.identity.origin: one is node for one in two}


async def test_a_log_that_two_nodes_receive_at_once_is_kept_once(nodes: Nodes):
    two = [nodes.start(), nodes.start()]
    entries = chain(120)

    async def receive(number: int) -> ForeignOutcome:
        outcome = ForeignOutcome({}, (), 0)
        for start in range(0, len(entries), 15):
            # The same names are asked for beside it, so that batches differ.
            await two[number].submit(Put(memory(f"m{number}-{start}", title=f"title of p{start}")))
            outcome = await two[number].append_foreign(entries[start : start + 15])
            assert outcome.refused == []
        return outcome

    outcomes = await asyncio.gather(receive(0), receive(1))
    assert [one.decided_up_to for one in outcomes] == [{PEER: 120}] * 2
    log = await two[0].log_after(PEER, 0, 200)
    assert [one.hash for one in log] == [one.hash for one in entries]
    assert await is_sound(two[1])


async def test_a_node_takes_nothing_of_an_origin_that_another_writes_into_the_same_store(
    nodes: Nodes,
):
    two = [nodes.start(), nodes.start()]
    await put(two[0], "m1")
    theirs = two[0].identity.origin
    ahead = chain(3, origin=theirs)[1:]
    assert (await two[1].append_foreign(ahead)).applied == 0
    twin = await two[1].append_foreign(chain(1, origin=theirs))
    assert [one.code for one in twin.refused] == ["fork"]
    assert (await two[0].submit(Put(memory("m2")))).seq == 2
    assert await is_sound(two[0])


async def test_a_renewed_origin_leaves_the_others_of_the_schema_alone(nodes: Nodes, tmp_path):
    two = [nodes.start(tmp_path / "one"), nodes.start(tmp_path / "two")]
    for number, node in enumerate(two):
        await put(node, f"m{number}")
    before = two[0].identity
    renewed = await two[0].renew_origin(EpochReason.PEER_AHEAD, {before.node_id: 4})
    assert renewed == f"{before.node_id}.5"
    await asyncio.gather(put(two[0], "m2"), put(two[1], "m3"))
    assert (await two[1].clock()).as_dict() == {
        before.origin: 1,
        renewed: 1,
        two[1].identity.origin: 2,
    }
    await nodes.stop(two[0])
    again = nodes.start(tmp_path / "one")
    assert again.identity.origin == renewed
    # What the old epoch lost elsewhere comes back like anybody's.
    head = next(one for one in await again.heads() if one.origin == before.origin)
    assert not head.is_self
    lost = seal(
        drafts.store(memory("lost"), "alice"), before.origin, 2, pack(NOW_MS) + 9, head.hash
    )
    assert (await again.append_foreign([lost])).applied == 1
    assert await is_sound(again)


async def test_a_renewal_survives_a_connection_that_was_lost(nodes: Nodes, ask: Ask, tmp_path):
    node = nodes.start(tmp_path / "one")
    await put(node, "m1")
    before = node.identity
    ask(
        nodes.url,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    try:
        renewed = await node.renew_origin(EpochReason.FORK, {})
    except StoreUnavailableError:  # it may only find out that the connection is gone
        renewed = await node.renew_origin(EpochReason.FORK, {})
    await put(node, "m2")
    heads = {one.origin: one for one in await node.heads()}
    assert isinstance(heads[renewed], OriginHead)
    assert (heads[before.origin].seq, heads[renewed].seq, heads[renewed].is_self) == (1, 1, True)
    assert await is_sound(node)


async def test_names_that_the_server_cannot_hold_page_and_come_back_as_they_are(nodes: Nodes):
    node = nodes.start()
    await put(node, "m\x001", "m\ufffe2", "m3")
    found = []
    after = None
    while page := await node.states_after(after, 1):
        found += [one.key for one in page]
        after = (page[-1].kind, page[-1].key)
    assert sorted(found) == sorted(["m\x001", "m\ufffe2", "m3"])
    assert {key.key for key, _ in await node.bucket_rows(range(256))} == set(found)
