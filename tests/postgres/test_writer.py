"""The writer on PostgreSQL: nodes that share a schema, lost connections, who writes as whom."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typing_extensions import override

from app.domain.errors import StoreUnavailableError
from app.domain.text import content_hash
from app.domain.timestamps import format_instant
from app.log import drafts
from app.log.digest import BUCKETS, EMPTY
from app.log.entry import GENESIS_HASH, Draft, seal
from app.log.epochs import EpochReason
from app.log.hlc import pack
from app.services.caller import Caller
from app.services.commands.memories import Changes, StoreMemory, UpdateMemory
from app.store.postgres import schema
from app.store.postgres.transactions import REST_SECONDS
from app.store.postgres.url import PostgresUrl
from app.store.protocol import QuotaLimits, Receipt, View
from app.store.sql.filters import MemoryFilter
from app.store.writing.statements import Query
from tests.contract.store.conftest import (
    MODEL,
    START,
    Change,
    Put,
    Say,
    SqliteStores,
    memory,
)
from tests.postgres.fixtures import Ask
from tests.postgres.nodes import Nodes, is_sound, put
from tools.postgres.cluster import Cluster

EVERYTHING = MemoryFilter(now=format_instant(START))
PEER = "00112233445566aa.1"
UNLIMITED = QuotaLimits(None, None, None)
NOW_MS = int(START.timestamp() * 1000)
END_OTHERS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
ROWS_READ_IN_FULL = (
    "SELECT sum(seq_tup_read) FROM pg_stat_user_tables"
    " WHERE relname IN"
    " ('memories', 'memory_state', 'name_claims', 'text_duplicates', 'log_entries')"
)
SETTING = Query("SELECT current_setting('synchronous_commit')")


@pytest.fixture
async def nodes(postgres_database: str) -> AsyncIterator[Nodes]:
    found = Nodes(postgres_database)
    yield found
    for node in list(found.running):
        await found.stop(node)


def _said(draft: Draft, _view: View) -> Draft:
    return draft


# --- several nodes on one schema ---------------------------------------------------------------


async def test_nodes_on_one_schema_write_gap_free_logs_of_their_own(nodes: Nodes):
    two = [nodes.start(), nodes.start()]
    await asyncio.gather(
        *(put(node, f"{name}-{step}") for step in range(40) for name, node in enumerate(two))
    )
    origins = [node.identity.origin for node in two]
    assert len(set(origins)) == 2
    for origin in origins:
        log = await two[0].log_after(origin, 0, 100)
        assert [one.seq for one in log] == list(range(1, 41))
    assert (await two[0].clock()).as_dict() == dict.fromkeys(origins, 40)
    assert await is_sound(two[1])


async def test_nodes_that_change_the_same_rows_lose_nothing(nodes: Nodes):
    two = [nodes.start(), nodes.start()]
    ids = [f"m{number}" for number in range(8)]
    await put(two[0], *ids)
    changes = [
        # Opposite orders, so that batches meet in the middle.
        (node, Change(one, {"metadata": {"agent_id": "alice", f"{name}-{step}": step}}))
        for step in range(10)
        for name, (node, order) in enumerate(zip(two, (ids, ids[::-1]), strict=True))
        for one in order
    ]
    await asyncio.gather(*(node.submit(change) for node, change in changes))
    for one in ids:
        found = await two[0].get(one, EVERYTHING)
        assert found is not None
        # A change sees what was committed before it, whoever wrote it: only the last keys stand.
        assert found.version == 21
    assert await is_sound(two[0])


async def test_batches_that_meet_on_rows_and_names_wait_and_never_lock_each_other_out(
    nodes: Nodes, ask: Ask
):
    """A deadlock would be dissolved and tried again, but each costs the server a second."""
    two = [nodes.start(), nodes.start()]
    ids = [f"m{number}" for number in range(8)]
    owner = Caller("alice")
    await put(two[0], *ids)
    for step in range(40):
        by_name = [
            StoreMemory(
                memory(f"new {step} {one}", title=f"title of {one}", content=f"{step}"),
                owner,
                "merge",
                UNLIMITED,
                text_key=None,
            )
            for one in ids
        ]
        by_id = [
            UpdateMemory(one, Changes(content=f"{step} by id"), owner) for one in reversed(ids)
        ]
        # Both nodes send both, so that batches meet whatever each holds first.
        answers = await asyncio.gather(
            two[step % 2].submit_all([*by_name]),
            two[1 - step % 2].submit_all([*by_id]),
        )
        for answer in (one for many in answers for one in many):
            assert isinstance(answer, Receipt), answer
    for node in two:
        await nodes.stop(node)  # a connection that ends tells its counts
    found = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert ask(nodes.url, found) == [(0,)]


async def test_a_batch_that_failed_costs_later_ones_nothing(nodes: Nodes):
    node = nodes.start()
    refused = memory("refused", title="".join(map(chr, range(0x4E00, 0x9000))))
    for step in range(14):
        # The driver prepares a statement at its sixth use; one of these falls into a failed batch.
        with pytest.raises(StoreUnavailableError):
            await node.submit(Put(refused))
        await put(node, f"m{step}")
    assert await is_sound(node)


async def test_one_of_two_nodes_gets_a_name_and_the_other_is_told(nodes: Nodes):
    two = [nodes.start(), nodes.start()]
    for step in range(15):
        answers = await asyncio.gather(
            *(
                node.submit(Put(memory(f"{name}-{step}", title=f"title {step}")))
                for name, node in enumerate(two)
            )
        )
        shown = {
            one.title
            for answer in answers
            if (one := await two[0].get(answer.result.id, EVERYTHING)) is not None
        }
        assert f"title {step}" in shown
        assert len(shown) == 2
    assert await is_sound(two[0])


async def test_nodes_fold_their_digests_once(nodes: Nodes, ask: Ask):
    two = [nodes.start(), nodes.start()]
    await asyncio.gather(*(put(node, f"{name}") for name, node in enumerate(two)))
    before = await two[0].digests()
    assert len(before) == BUCKETS
    assert before.count(EMPTY) == BUCKETS - 2
    nodes.clock.turn(seconds=REST_SECONDS + 1)
    await asyncio.gather(*(put(node, f"{name} again") for name, node in enumerate(two)))
    await put(two[0], "last")
    assert ask(nodes.url, "SELECT count(*) FROM digest_buckets")[0][0] > 0
    assert ask(nodes.url, "SELECT count(*) FROM digest_deltas")[0][0] < 5
    assert await two[0].digests() == await two[1].digests() != before
    assert await is_sound(two[0])


# --- who writes as whom ------------------------------------------------------------------------


async def test_a_node_that_starts_again_goes_on_with_the_log_that_it_left(nodes: Nodes):
    first = nodes.start()
    await put(first, "m1")
    origin = first.identity.origin
    await nodes.stop(first)
    again = nodes.start()
    assert again.identity.origin == origin
    receipt = await again.submit(Put(memory("m2")))
    assert (receipt.origin, receipt.seq) == (origin, 2)
    assert await is_sound(again)


async def test_a_node_with_a_file_is_who_the_file_says_and_without_it_somebody_new(
    nodes: Nodes, tmp_path: Path
):
    first = nodes.start(tmp_path / "node")
    origin = first.identity.origin
    await nodes.stop(first)
    again = nodes.start(tmp_path / "node")
    assert again.identity.origin == origin
    await nodes.stop(again)
    (tmp_path / "node").unlink()
    assert nodes.start(tmp_path / "node").identity.node_id != first.identity.node_id


async def test_a_node_on_another_server_or_timeline_starts_an_epoch(
    nodes: Nodes, ask: Ask, tmp_path: Path
):
    first = nodes.start(tmp_path / "node")
    await put(first, "m1")
    await nodes.stop(first)
    ask(nodes.url, "UPDATE node_leases SET server = '1:1'")
    again = nodes.start(tmp_path / "node")
    assert again.identity.reason is EpochReason.DATABASE_CHANGED
    assert again.identity.origin == f"{first.identity.node_id}.2"
    assert (await again.submit(Put(memory("m2")))).seq == 1
    # Behind a pooler the server can change without a connection being lost.
    ask(nodes.url, "UPDATE node_leases SET server = '1:7'")
    receipt = await again.submit(Put(memory("m3")))
    assert (receipt.origin, receipt.seq) == (f"{first.identity.node_id}.3", 1)
    assert await is_sound(again)


async def test_a_node_without_a_file_is_somebody_new_on_another_server(nodes: Nodes, ask: Ask):
    """The other server may have lost an epoch that the node's row would count to again."""
    first = nodes.start()
    await put(first, "m1")
    await nodes.stop(first)
    ask(nodes.url, "UPDATE node_leases SET server = '1:1'")
    assert nodes.start().identity.node_id != first.identity.node_id


async def test_a_node_whose_origin_was_taken_goes_on_as_another(nodes: Nodes, ask: Ask):
    slow = nodes.start()
    await put(slow, "m1")
    before = slow.identity.origin
    ask(nodes.url, "UPDATE node_leases SET leased_until = now() - interval '1 second'")
    other = nodes.start()
    assert other.identity.origin == before
    await asyncio.gather(put(slow, "m2", "m3"), put(other, "m4"))
    assert slow.identity.origin != before
    assert (await slow.clock()).as_dict() == {before: 2, slow.identity.origin: 2}
    assert await is_sound(slow)


async def test_a_server_that_lost_entries_is_met_with_a_new_epoch(nodes: Nodes, ask: Ask):
    node = nodes.start()
    await put(node, "m1", "m2")
    before = node.identity
    head = (await node.log_after(before.origin, 0, 1))[0]
    ask(nodes.url, "DELETE FROM log_entries WHERE seq = 2")
    ask(nodes.url, "UPDATE log_origins SET head_seq = 1, head_hash = %s", [head.hash])
    receipt = await node.submit(Put(memory("m3")))
    assert (receipt.origin, receipt.seq) == (f"{before.node_id}.{before.epoch + 1}", 1)
    ask(nodes.url, END_OTHERS)
    assert (await node.submit(Put(memory("m4")))).seq == 2


# --- connections -------------------------------------------------------------------------------


async def test_a_connection_that_was_lost_between_batches_costs_nothing(nodes: Nodes, ask: Ask):
    node = nodes.start()
    await put(node, "m1")
    ask(nodes.url, END_OTHERS)
    await put(node, "m2")
    assert (await node.clock()).as_dict() == {node.identity.origin: 2}


async def test_a_connection_lost_inside_a_batch_fails_it_and_nothing_is_kept(
    nodes: Nodes, ask: Ask
):
    node = nodes.start()
    await put(node, "m1")

    class Cut(Put):
        @override
        def decide(self, view):
            ask(nodes.url, END_OTHERS)
            return super().decide(view)

    with pytest.raises(StoreUnavailableError) as caught:
        await node.submit(Cut(memory("m2")))
    assert "retry_after_seconds" in caught.value.details
    await put(node, "m3")
    log = await node.log_after(node.identity.origin, 0, 10)
    assert [one.entity_ids for one in log] == [("m1",), ("m3",)]


async def test_a_node_outlives_its_server(postgres_cluster: Cluster, make_on_cluster):
    nodes = make_on_cluster()
    node = nodes.start()
    await put(node, "m1")
    postgres_cluster.halt()
    answers = await node.submit_all([Put(memory("m2")), Put(memory("m3"))])
    assert all(isinstance(one, StoreUnavailableError) for one in answers)
    postgres_cluster.start()
    await put(node, "m4")
    assert await node.get("m1", EVERYTHING) is not None
    assert await node.get("m2", EVERYTHING) is None
    assert await is_sound(node)
    postgres_cluster.halt()
    await nodes.stop(node)
    postgres_cluster.start()


@pytest.fixture
def make_on_cluster(postgres_cluster: Cluster) -> Callable[[], Nodes]:
    def make() -> Nodes:
        postgres_cluster.execute("CREATE DATABASE outlived")
        url = postgres_cluster.url("outlived")
        schema.migrate(PostgresUrl.parse(url), lambda _: None)
        return Nodes(url)

    return make


# --- what a batch is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "used"),
    [
        ("off", "on"),
        *((one, one) for one in ("local", "remote_write", "on", "remote_apply")),
    ],
)
async def test_a_batch_waits_for_the_disk_and_for_standbys_as_the_operator_says(
    nodes: Nodes, ask: Ask, default: str, used: str
):
    name = PostgresUrl.parse(nodes.url).database
    ask(nodes.url, f"ALTER DATABASE {name} SET synchronous_commit = {default}")
    node = nodes.start()
    seen: list[str] = []

    class Look(Put):
        @override
        def decide(self, view):
            seen.append(view.transaction.read(SETTING, ())[0][0])
            return super().decide(view)

    await node.submit(Look(memory("m1")))
    assert seen == [used]


async def test_a_batch_looks_its_keys_up_also_where_the_server_never_saw_a_large_table(
    nodes: Nodes, ask: Ask
):
    node = nodes.start()
    # Statements are planned for good at about the tenth batch, when the tables are small.
    for step in range(20):
        await put(node, f"early-{step}")
    await put(node, *(f"m{number}" for number in range(500)))
    before = ask(nodes.url, ROWS_READ_IN_FULL)[0][0]
    for step in range(10):
        await put(node, f"late-{step}")
    await nodes.stop(node)  # what it counted is known when its connections end
    assert ask(nodes.url, ROWS_READ_IN_FULL)[0][0] - before < 500


async def test_text_that_the_server_cannot_hold_is_kept_in_the_state(nodes: Nodes):
    node = nodes.start()
    row = memory(
        "m1",
        content="a\x00b",
        metadata={"agent_id": "alice", "key": "c\x00d\\u0000"},
        tags=("e\x00f",),
    )
    draft = drafts.store(row, "alice")
    entry = seal(draft, PEER, 1, pack(NOW_MS), GENESIS_HASH)
    outcome = await node.append_foreign([entry])
    assert (outcome.applied, outcome.refused) == (1, [])
    state = await node.snapshot("m1")
    assert state is not None
    assert (state.memory.content, state.memory.metadata["key"]) == ("a\x00b", "c\x00d\\u0000")
    shown = await node.get("m1", EVERYTHING)
    assert shown is not None
    assert (shown.content, shown.tags) == ("a\ufffdb", ("e\ufffdf",))
    assert shown.metadata["key"] == "c\ufffdd\\u0000"
    assert await is_sound(node)


async def test_a_vector_is_shown_where_it_fits_and_kept_where_it_does_not(nodes: Nodes, ask: Ask):
    node = nodes.start()
    await put(node, "m1", "m2")
    for one, dim in (("m1", 384), ("m2", 4)):
        halves = np.ones(dim, dtype="<f2").tobytes()
        row = memory(one)
        made = drafts.embedding(
            one, content_hash(row.title, row.content), MODEL, dim, halves, "alice"
        )
        await node.submit(Say(partial(_said, made)))
    shown = ask(nodes.url, "SELECT id, vector_dims(embedding) FROM memories ORDER BY id")
    assert shown == [("m1", 384), ("m2", None)]
    kept = ask(nodes.url, "SELECT memory_id, dim FROM memory_vectors ORDER BY memory_id")
    assert kept == [("m1", 384), ("m2", 4)]
    await node.submit(Change("m1", {"content": "other words"}))
    assert ask(nodes.url, "SELECT count(*) FROM memory_vectors")[0][0] == 1
    assert ask(nodes.url, "SELECT count(*) FROM memories WHERE embedding IS NOT NULL") == [(0,)]
    assert await is_sound(node)


async def test_names_that_the_server_cannot_hold_are_still_told_apart(nodes: Nodes, tmp_path: Path):
    rows = [
        memory("m1", title="a\x00b"),
        memory("m2", title="a\x00b"),
        memory("m3", title="a\ufffdb"),
        memory("m4", title="a\ufffe0b"),
        memory("m\x005", title="c"),
        memory("m\x005", title="d"),
    ]
    digest, entries = GENESIS_HASH, []
    for seq, row in enumerate(rows, 1):
        made = drafts.store(row, "alice")
        entries.append(seal(made, PEER, seq, pack(NOW_MS, seq), digest))
        digest = entries[-1].hash
    node = nodes.start()
    other = SqliteStores(nodes.clock, folder=tmp_path, inline=False).open()
    try:
        for one in entries:
            for store in (node, other):
                assert (await store.append_foreign([one])).applied == 1
        assert await node.digests() == await other.digests()
    finally:
        await other.close()
    page = await node.list_memories(EVERYTHING, 10, 0)
    assert len(page.memories) == 5
    assert [one.title for one in page.memories if "name_conflict" in one.metadata] == [
        "a\ufffe0b ~m2"
    ]
    assert await is_sound(node)


async def test_a_row_that_the_schema_refuses_fails_alone(nodes: Nodes):
    node = nodes.start()
    bad = memory("m2", title="t" * 20_000 + "".join(map(chr, range(0x4E00, 0x9000))))
    answers = await node.submit_all([Put(memory("m1")), Put(bad), Put(memory("m3"))])
    assert [isinstance(one, Receipt) for one in answers] == [True, False, True]
    assert (await node.clock()).as_dict() == {node.identity.origin: 2}
    assert await is_sound(node)
