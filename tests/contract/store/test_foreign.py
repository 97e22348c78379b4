"""What a store promises about a peer's entries: convergence, quarantine, no forks."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.memory import Memory
from app.domain.timestamps import format_instant
from app.log import drafts
from app.log.entry import GENESIS_HASH, Draft, Entry, open_entry, seal
from app.log.hlc import pack
from app.log.kinds import KINDS
from app.log.kinds.effect import Effect, refuse
from app.store.protocol import Command, Store
from app.store.sql.filters import MemoryFilter
from app.store.sqlite.adapter import SqliteStore
from tests.contract.store.conftest import (
    START,
    Change,
    PostgresStores,
    Put,
    Say,
    SqliteStores,
    Stores,
    TestedStore,
    TurnedClock,
    archive,
    delete,
    memory,
    new_database,
    purge,
    restore,
)

EVERYTHING = MemoryFilter(now=format_instant(START))
PEER = "00112233445566aa.1"
NOW_MS = int(START.timestamp() * 1000)


async def pull(source: TestedStore, target: TestedStore, step: int = 7) -> None:
    """Give `target` everything that `source` has, in small batches."""
    theirs = await source.clock()
    for origin in theirs.origins():
        while True:
            mine = (await target.clock())[origin]
            entries = await source.log_after(origin, mine, step)
            if not entries:
                break
            outcome = await target.append_foreign(entries)
            if origin == target.identity.origin:
                break
            assert outcome.refused == []


async def rows(store: Store) -> list[Memory]:
    page = await store.oldest_first(EVERYTHING, 1_000, 0)
    return sorted(page.memories, key=lambda one: one.id)


def peer_chain(*made: Draft, hlc: int = pack(NOW_MS)) -> list[Entry]:
    entries: list[Entry] = []
    previous = GENESIS_HASH
    for number, draft in enumerate(made, start=1):
        entry = seal(draft, PEER, number, hlc + number, previous)
        entries.append(entry)
        previous = entry.hash
    return entries


def stored(memory_id: str) -> Draft:
    return drafts.store(memory(memory_id), "bob")


async def test_a_peers_entries_are_applied_once_in_order(store: TestedStore):
    entries = peer_chain(stored("p1"), stored("p2"))
    outcome = await store.append_foreign(entries)
    assert (outcome.decided_up_to, outcome.applied) == ({PEER: 2}, 2)
    again = await store.append_foreign(entries)
    assert (again.decided_up_to, again.applied) == ({PEER: 2}, 0)
    assert len(await rows(store)) == 2
    assert [one.hash for one in await store.log_after(PEER, 0, 10)] == [e.hash for e in entries]


async def test_a_gap_stops_an_origin_until_it_is_filled(store: TestedStore):
    entries = peer_chain(stored("p1"), stored("p2"), stored("p3"))
    outcome = await store.append_foreign([entries[0], entries[2]])
    assert outcome.decided_up_to == {PEER: 1}
    assert (await store.append_foreign(entries[1:])).decided_up_to == {PEER: 3}


async def test_a_malformed_payload_is_quarantined_and_passed(store: TestedStore):
    bad = Draft("store", "bob", ("p1",), {"memory": {"id": "p1", "registers": {"tier": [9, 0]}}})
    outcome = await store.append_foreign(peer_chain(bad, stored("p2")))
    assert outcome.decided_up_to == {PEER: 2}
    assert [(one.seq, one.code) for one in outcome.refused] == [(1, "malformed_payload")]
    assert [one.id for one in (await store.oldest_first(EVERYTHING, 9, 0)).memories] == ["p2"]


async def test_a_stamp_from_the_future_is_quarantined_and_moves_no_clock(store: TestedStore):
    day = 24 * 3_600_000
    outcome = await store.append_foreign(peer_chain(stored("p1"), hlc=pack(NOW_MS + day)))
    assert [one.code for one in outcome.refused] == ["future_stamp"]
    assert await rows(store) == []
    await store.submit(Put(memory("m1")))
    mine = (await store.log_after(store.identity.origin, 0, 1))[0]
    assert mine.hlc < pack(NOW_MS + 60_000)


async def test_what_waited_for_its_time_is_applied_when_it_comes(
    store: TestedStore, clock: TurnedClock
):
    hour = 3_600_000
    await store.append_foreign(peer_chain(stored("p1"), hlc=pack(NOW_MS + hour)))
    assert await store.retry_quarantine() == 0
    clock.turn(hours=1)
    assert await store.retry_quarantine() == 1
    assert [one.id for one in (await store.oldest_first(EVERYTHING, 9, 0)).memories] == ["p1"]
    assert await store.retry_quarantine() == 0


async def test_what_an_older_release_did_not_understand_is_applied_by_a_newer_one(
    store: TestedStore, monkeypatch: pytest.MonkeyPatch
):
    """The older one knows the kind, and not the register that the entry writes."""

    class Older:
        name = "store"

        def effects(self, *_: object) -> Sequence[Effect]:
            raise refuse("an unknown register")

    with monkeypatch.context() as patched:
        patched.setattr("app.log.workspace.KINDS", {**KINDS, "store": Older()})
        await store.append_foreign(peer_chain(stored("p1")))
        assert await store.retry_quarantine(is_new_release=True) == 0
    assert await store.retry_quarantine() == 0
    assert await rows(store) == []
    assert await store.retry_quarantine(is_new_release=True) == 1
    assert [one.id for one in (await store.oldest_first(EVERYTHING, 9, 0)).memories] == ["p1"]
    assert await store.quarantined_count() == 0


async def test_a_second_history_of_a_number_is_a_fork_and_changes_nothing(store: TestedStore):
    await store.append_foreign(peer_chain(stored("p1")))
    outcome = await store.append_foreign(peer_chain(stored("other"), stored("p2")))
    assert [one.code for one in outcome.refused] == ["fork"]
    assert outcome.decided_up_to == {PEER: 1}
    assert [one.id for one in (await store.oldest_first(EVERYTHING, 9, 0)).memories] == ["p1"]


async def test_an_entry_whose_hash_does_not_continue_the_chain_stops_its_origin(store: TestedStore):
    first, second = peer_chain(stored("p1"), stored("p2"))
    outcome = await store.append_foreign([first, replace(second, hash=bytes(32))])
    assert outcome.decided_up_to == {PEER: 1}
    assert [one.code for one in outcome.refused] == ["broken_chain"]


async def test_an_unknown_kind_is_kept_for_others_and_changes_nothing(store: TestedStore):
    entries = peer_chain(Draft("from_the_future", "bob", ("p1",), {"x": [1, 2]}), stored("p2"))
    outcome = await store.append_foreign(entries)
    assert (outcome.decided_up_to, outcome.refused) == ({PEER: 2}, [])
    kept = (await store.log_after(PEER, 0, 1))[0]
    assert open_entry(kept.header, kept.payload, kept.payload_hash, kept.hash) == entries[0]


async def test_an_update_may_arrive_before_its_create(store: TestedStore):
    early = Draft(
        "update",
        "bob",
        ("p1",),
        {"memory": {"id": "p1", "registers": {"tags": ["early"], "updates": 1}}},
    )
    other = seal(stored("p1"), "ffee000000000000.1", 1, pack(NOW_MS), GENESIS_HASH)
    await store.append_foreign(peer_chain(early, hlc=pack(NOW_MS + 5)))
    assert await rows(store) == []
    await store.append_foreign([other])
    row = await store.get("p1", EVERYTHING)
    assert row is not None
    assert (row.tags, row.version) == (("early",), 2)


async def test_a_hole_is_kept_as_a_header_and_passed(store: TestedStore):
    first, second = peer_chain(stored("p1"), stored("p2"))
    outcome = await store.append_foreign([replace(first, payload=None), second])
    assert outcome.decided_up_to == {PEER: 2}
    assert [one.id for one in (await store.oldest_first(EVERYTHING, 9, 0)).memories] == ["p2"]


async def test_two_nodes_that_exchange_logs_hold_the_same_bytes(stores: Stores, clock: TurnedClock):
    left, right = stores.open("left"), stores.open("right")
    await left.submit_all([Put(memory(f"l{n}", title=f"title {n}")) for n in range(20)])
    await right.submit_all([Put(memory(f"r{n}", title=f"title {n}")) for n in range(20)])
    await pull(left, right)
    await pull(right, left)
    for number in range(5):
        await left.submit(Change(f"r{number}", {"content": "left"}))
        clock.turn(milliseconds=1)
        await right.submit(Change(f"r{number}", {"content": "right", "tags": ("t",)}))
    await left.submit(delete("l7"))
    await right.submit(Change("l7", {"content": "unaware"}))
    await right.submit(purge("l8"))
    await left.submit(Change("l8", {"content": "unaware"}))
    await pull(left, right)
    await pull(right, left)
    assert (await left.clock()) == (await right.clock())
    assert await left.digests() == await right.digests()
    assert await rows(left) == await rows(right)
    for node in (left, right):
        assert (await node.scrub(lambda _done, _total: None)).is_sound


IDS = ("m1", "m2", "m3")
Script = list[tuple[str, str, str, int]]

steps = st.lists(
    st.tuples(
        st.sampled_from(("left", "right")),
        st.sampled_from(("put", "title", "body", "delete", "archive", "restore", "purge", "pull")),
        st.sampled_from(IDS),
        st.integers(0, 2),
    ),
    max_size=25,
)


async def run(node: TestedStore, verb: str, memory_id: str, number: int) -> None:
    made: dict[str, Command[Memory] | Command[None]] = {
        # Stores without asking back: a purged memory stays away.
        "put": Say(lambda _: drafts.store(memory(memory_id, title=f"title {number}"), "alice")),
        "title": Change(memory_id, {"title": f"title {number}"}),
        "body": Change(memory_id, {"content": f"words {number}"}),
        "delete": delete(memory_id),
        "archive": archive(memory_id),
        "restore": restore(memory_id),
        "purge": purge(memory_id),
    }
    await node.submit(made[verb])  # type: ignore[misc]  # one of two results, both unused


async def converge(stores: Stores, script: Script) -> None:
    nodes = {"left": stores.open("left"), "right": stores.open("right")}
    try:
        for side, verb, memory_id, number in script:
            node = nodes[side]
            if verb == "pull":
                other = nodes["right" if side == "left" else "left"]
                await pull(other, node, step=2)
            elif verb == "put" or await node.snapshot(memory_id) is not None:
                await run(node, verb, memory_id, number)
        await pull(nodes["left"], nodes["right"])
        await pull(nodes["right"], nodes["left"])
        assert await nodes["left"].digests() == await nodes["right"].digests()
        assert await rows(nodes["left"]) == await rows(nodes["right"])
        for node in nodes.values():
            assert (await node.scrub(lambda _done, _total: None)).is_sound
            if isinstance(node, SqliteStore):
                await node.check()
    finally:
        await stores.close_all()


FIXTURES_MADE_ONCE = [HealthCheck.function_scoped_fixture]


@settings(max_examples=60, deadline=None, suppress_health_check=FIXTURES_MADE_ONCE)
@given(script=steps)
async def test_any_history_on_two_nodes_converges_and_projects_soundly(tmp_path_factory, script):
    folder = tmp_path_factory.mktemp("pair")
    await converge(SqliteStores(TurnedClock(), folder=folder, inline=True), script)


@settings(max_examples=15, deadline=None, suppress_health_check=FIXTURES_MADE_ONCE)
@given(script=steps)
async def test_any_history_converges_and_projects_soundly_on_postgresql(request, script):
    create = new_database(request)
    await converge(PostgresStores(TurnedClock(), create=create, inline=True), script)
