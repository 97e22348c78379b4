"""What a store promises about its log: heads, runs to hand on, floors, and who hears of news."""

import asyncio
from dataclasses import replace

import pytest

from app.domain.timestamps import format_instant
from app.log import drafts
from app.log.causal import read_token
from app.log.cursor import VectorClock
from app.log.entry import GENESIS_HASH, Draft, Entry, follows, seal
from app.log.hlc import pack
from app.store.protocol import LogTruncatedError, OriginHead, SignedHead, Veto
from app.store.sql.filters import MemoryFilter
from app.store.writing.written import Written, noting
from tests.contract.store.conftest import (
    START,
    Put,
    Stores,
    TestedStore,
    TurnedClock,
    memory,
    purge,
)

PEER = "00112233445566aa.1"
NOW_MS = int(START.timestamp() * 1000)
WHOLE = 1 << 20
EVERYTHING = MemoryFilter(now=format_instant(START))


def stored(memory_id: str, **changes: object) -> Draft:
    return drafts.store(memory(memory_id, **changes), "bob")


def chain(*made: Draft, origin: str = PEER, ahead_ms: int = 0) -> list[Entry]:
    entries: list[Entry] = []
    previous = GENESIS_HASH
    for number, draft in enumerate(made, start=1):
        entry = seal(draft, origin, number, pack(NOW_MS + ahead_ms) + number, previous)
        entries.append(entry)
        previous = entry.hash
    return entries


async def head(store: TestedStore, origin: str) -> OriginHead:
    return next(one for one in await store.heads() if one.origin == origin)


async def is_sound(store: TestedStore) -> bool:
    return (await store.scrub(lambda _done, _total: None)).is_sound


# --- heads and runs ----------------------------------------------------------------------------


async def test_heads_name_the_end_of_every_log_and_whose_the_own_one_is(store: TestedStore):
    entries = chain(stored("p1"), stored("p2"))
    await store.append_foreign(entries)
    await store.submit(Put(memory("m1")))
    own = store.identity.origin
    (mine,) = await store.log_after(own, 0, 10)
    assert sorted(await store.heads(), key=lambda one: one.seq) == [
        OriginHead(own, 1, mine.hash, mine.hlc, is_self=True),
        OriginHead(PEER, 2, entries[1].hash, entries[1].hlc),
    ]


async def test_a_run_continues_what_was_asked_for_and_ends_at_the_log(stores: Stores):
    store = stores.open()
    await store.submit_all([Put(memory(f"m{number}")) for number in range(90)])
    own = store.identity.origin
    for _ in ("from memory", "from the tables"):
        whole = await store.log_after(own, 0, 100)
        for after in (0, 1, 41, 89):
            run = await store.log_run(own, after, WHOLE)
            assert run is not None
            assert list(run.entries) == whole[after:]
            assert follows(run.entries[0], run.after_hash)
        assert await store.log_run(own, 90, WHOLE) is None
        await stores.close(store)
        store = stores.open()
    assert await store.log_run("ffee000000000000.1", 0, WHOLE) is None


@pytest.mark.parametrize("max_bytes", [1, 2_000, 40_000])
async def test_a_run_keeps_to_its_bytes_and_brings_at_least_one_entry(stores: Stores, max_bytes):
    store = stores.open()
    texts = {f"m{number}": "x" * (50 if number % 3 else 5_000) for number in range(40)}
    await store.submit_all([Put(memory(one, content=text)) for one, text in texts.items()])
    origin = store.identity.origin
    for _ in ("from memory", "from the tables"):
        seen = 0
        while (run := await store.log_run(origin, seen, max_bytes)) is not None:
            size = sum(len(one.header) + len(one.payload or b"") for one in run.entries)
            assert run.entries
            assert len(run.entries) == 1 or size <= max_bytes
            assert [one.seq for one in run.entries] == [
                seen + number for number in range(1, len(run.entries) + 1)
            ]
            seen += len(run.entries)
        assert seen == 40
        await stores.close(store)
        store = stores.open()


async def test_a_foreign_run_ends_where_its_origin_signed_if_that_fits(store: TestedStore):
    entries = chain(*(stored(f"p{number}") for number in range(6)))
    signatures = [SignedHead(PEER, 2, b"\x02" * 64), SignedHead(PEER, 4, b"\x04" * 64)]
    # Signatures over what is not here, or of whom nobody sent anything, are not kept.
    nowhere = [SignedHead(PEER, 9, b"\x09" * 64), SignedHead("ffee000000000000.1", 1, b"x" * 64)]
    await store.append_foreign(entries, signed=[*signatures, *nowhere])
    run = await store.log_run(PEER, 0, WHOLE)
    assert run is not None
    assert (list(run.entries), run.signature) == (entries[:4], b"\x04" * 64)
    short = await store.log_run(PEER, 0, 1)
    assert short is not None
    assert (list(short.entries), short.signature) == (entries[:1], None)
    rest = await store.log_run(PEER, 4, WHOLE)
    assert rest is not None
    assert (list(rest.entries), rest.signature) == (entries[4:], None)


async def test_what_was_purged_travels_as_a_hash_and_arrives_as_one(stores: Stores):
    left, right = stores.open("left"), stores.open("right")
    await left.submit(Put(memory("m1", content="a-very-secret-text")))
    await left.submit(Put(memory("m2")))
    await left.submit(purge("m1"))
    run = await left.log_run(left.identity.origin, 0, WHOLE)
    assert run is not None
    assert [one.payload is None for one in run.entries] == [True, False, False]
    outcome = await right.append_foreign(run.entries)
    assert (outcome.decided_up_to, outcome.refused) == ({left.identity.origin: 3}, [])
    again = await right.log_run(left.identity.origin, 0, WHOLE)
    assert again is not None
    assert again.entries == run.entries
    assert await left.digests() == await right.digests()
    assert await is_sound(right)


# --- news --------------------------------------------------------------------------------------


async def test_watchers_hear_of_own_and_foreign_entries_and_of_nothing_else(store: TestedStore):
    heard: list[str] = []
    for name in ("one", "two"):
        store.watch_log(lambda name=name: heard.append(name))  # type: ignore[misc]  # a default binds the name
    await store.submit(Put(memory("m1")))
    await asyncio.sleep(0)
    assert heard == ["one", "two"]
    await store.append_foreign(chain(stored("p1")))
    await asyncio.sleep(0)
    assert heard == ["one", "two"] * 2
    await store.append_foreign(chain(stored("p1")))
    await store.retry_quarantine()
    await store.note_cursors({"00112233445566aa": {PEER: 1}})
    await asyncio.sleep(0)
    assert heard == ["one", "two"] * 2


async def test_what_is_heard_of_can_be_read(store: TestedStore):
    seqs: list[int] = []
    waiting = asyncio.Event()
    store.watch_log(waiting.set)

    async def follow() -> None:
        while sum(seqs) < 200:
            await waiting.wait()
            waiting.clear()
            while run := await store.log_run(store.identity.origin, sum(seqs), 30_000):
                seqs.append(len(run.entries))

    following = asyncio.create_task(follow())
    await asyncio.gather(*(store.submit(Put(memory(f"m{number}"))) for number in range(200)))
    await asyncio.wait_for(following, 20)


async def test_a_request_knows_what_it_wrote(store: TestedStore):
    with noting(Written()) as written:
        first = await store.submit(Put(memory("m1")))
        await store.submit_all([Put(memory(f"n{number}")) for number in range(3)])
    await store.submit(Put(memory("elsewhere")))
    origin = store.identity.origin
    assert list(first.seqs) == [1]
    assert written.runs == [(origin, range(number, number + 1)) for number in range(1, 5)]
    assert read_token(written.token or "") == VectorClock({origin: 4})


# --- what is refused stays refused -------------------------------------------------------------


async def test_a_veto_keeps_an_entry_from_taking_effect_and_not_from_being_passed(
    store: TestedStore, clock: TurnedClock
):
    entries = chain(stored("p1"), stored("p2"), ahead_ms=3_600_000)
    veto = {(PEER, 1): Veto("out_of_scope", "namespace secret")}
    outcome = await store.append_foreign(entries, vetoes=veto)
    assert outcome.decided_up_to == {PEER: 2}
    assert [(one.seq, one.code) for one in outcome.refused] == [
        (1, "out_of_scope"),
        (2, "future_stamp"),
    ]
    clock.turn(hours=2)
    # Time lets in what only waited for it.
    assert await store.retry_quarantine() == 1
    assert await store.snapshot("p1") is None
    assert await store.snapshot("p2") is not None
    assert [(one.seq, one.code, one.detail) for one in await store.quarantined(9)] == [
        (1, "out_of_scope", "namespace secret")
    ]
    assert await store.quarantined_count() == 1


async def test_what_was_refused_is_refused_again_when_an_answer_was_lost(store: TestedStore):
    bad = Draft("store", "bob", ("p1",), {"memory": {"id": "p1", "registers": {"tier": [9, 0]}}})
    entries = chain(bad, stored("p2"))
    first = await store.append_foreign(entries)
    assert (await store.append_foreign(entries)).refused == first.refused
    together = await asyncio.gather(*(store.append_foreign(entries) for _ in range(3)))
    assert [one.refused for one in together] == [first.refused] * 3


async def test_a_fork_does_not_take_the_place_of_an_entry_that_waits(
    store: TestedStore, clock: TurnedClock
):
    await store.append_foreign(chain(stored("p1"), ahead_ms=3_600_000))
    forked = await store.append_foreign(chain(stored("other"), ahead_ms=3_600_000))
    assert [one.code for one in forked.refused] == ["fork"]
    clock.turn(hours=2)
    assert await store.retry_quarantine() == 1
    assert await store.snapshot("p1") is not None
    assert await store.snapshot("other") is None


async def test_a_broken_chain_is_forgiven_when_the_true_entry_comes(store: TestedStore):
    first, second = chain(stored("p1"), stored("p2"))
    await store.append_foreign([first, replace(second, hash=bytes(32))])
    assert [one.code for one in await store.quarantined(9)] == ["broken_chain"]
    assert (await store.append_foreign([second])).refused == []
    assert await store.quarantined(9) == []
    assert await store.quarantined_count() == 0


async def test_a_fork_of_the_own_log_is_reported(store: TestedStore):
    await store.submit(Put(memory("m1")))
    twin = chain(stored("twin"), origin=store.identity.origin)
    outcome = await store.append_foreign(twin)
    assert [one.code for one in outcome.refused] == ["fork"]
    assert await store.snapshot("twin") is None
    ahead = chain(stored("x"), stored("y"), origin=store.identity.origin)[1:]
    assert (await store.append_foreign(ahead)).refused == []
    assert (await store.clock())[store.identity.origin] == 1


async def test_names_are_settled_for_a_whole_batch_of_contenders(store: TestedStore):
    await store.submit_all([Put(memory(f"m{n}", title=f"title {n}")) for n in range(10)])
    made = [stored(f"p{n}", title=f"title {n}") for n in range(10)]
    outcome = await store.append_foreign(chain(*made, ahead_ms=30_000))
    assert outcome.applied == 10
    shown = [await store.snapshot(f"p{n}") for n in range(10)]
    assert all(one is not None for one in shown)
    hits = await store.search_text("title", EVERYTHING, 50, every_term=True)
    assert len(hits) == 20
    assert await is_sound(store)


# --- floors ------------------------------------------------------------------------------------


async def test_a_truncated_log_begins_at_its_floor_and_goes_on(stores: Stores):
    store = stores.open()
    await store.submit_all([Put(memory(f"m{number}")) for number in range(10)])
    own = store.identity.origin
    whole = await store.log_after(own, 0, 10)
    await store.append_foreign(
        chain(stored("p1"), stored("p2")), signed=[SignedHead(PEER, 1, b"x")]
    )
    assert await store.truncate_log({own: 4, PEER: 9, "ffee000000000000.1": 3}) == 6
    assert await store.truncate_log({own: 3}) == 0
    assert [one.origin for one in await store.heads()] == sorted([own, PEER])
    await stores.close(store)
    store = stores.open()
    assert (await head(store, own)).floor == 4
    with pytest.raises(LogTruncatedError) as caught:
        await store.log_run(own, 3, WHOLE)
    assert caught.value.details == {"origin": own, "floor": 4}
    with pytest.raises(LogTruncatedError):
        await store.log_after(own, 0, 10)
    run = await store.log_run(own, 4, WHOLE)
    assert run is not None
    assert list(run.entries) == whole[4:]
    assert run.after_hash == whole[3].hash
    assert (await head(store, PEER)).floor == (await head(store, PEER)).seq == 2
    receipt = await store.submit(Put(memory("after")))
    assert receipt.seq == 11
    more = chain(stored("p1"), stored("p2"), stored("p3"))
    assert (await store.append_foreign(more)).decided_up_to == {PEER: 3}
    assert await is_sound(store)


async def test_a_log_may_be_truncated_in_steps(store: TestedStore, monkeypatch):
    monkeypatch.setattr("app.store.writing.truncating.STEP_ENTRIES", 3)
    await store.submit_all([Put(memory(f"m{number}")) for number in range(10)])
    await store.append_foreign(chain(stored("p1"), stored("p2")))
    own = store.identity.origin
    assert await store.truncate_log({own: 8, PEER: 1}) == 9
    assert (await head(store, own)).floor == 8
    assert [one.seq for one in await store.log_after(own, 8, 10)] == [9, 10]
    assert await is_sound(store)


async def test_only_what_is_old_enough_is_truncated(store: TestedStore):
    await store.append_foreign(chain(*(stored(f"p{number}") for number in range(6))))
    stamps = [one.hlc for one in await store.log_after(PEER, 0, 10)]
    assert await store.truncate_log({PEER: 5}, stamps[0]) == 0
    assert await store.truncate_log({PEER: 5}, stamps[3]) == 3
    assert await store.truncate_log({PEER: 5}, stamps[3]) == 0
    assert await store.truncate_log({PEER: 4}, stamps[5]) == 1
    assert [one.seq for one in await store.log_after(PEER, 4, 10)] == [5, 6]
    assert await is_sound(store)


async def test_nothing_follows_the_log_where_there_is_no_graph(store: TestedStore):
    await store.submit(Put(memory("a")))
    assert await store.followed() == {}
