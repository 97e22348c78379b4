"""What a store promises about forgetting the dead: by an entry, alike in every order, for good."""

from collections.abc import Sequence
from itertools import count
from random import Random

from app.log import drafts
from app.log.entry import GENESIS_HASH, Draft, Entry, seal
from app.log.forgetting import MARGIN
from app.log.hlc import pack
from app.log.state import EntityKey
from tests.contract.store.conftest import (
    START,
    Put,
    Say,
    Stores,
    TestedStore,
    archive,
    delete,
    memory,
    purge,
)
from tests.contract.store.test_foreign import rows
from tests.contract.store.test_log import is_sound

NOW_MS = int(START.timestamp() * 1000)
HOUR_MS = 3_600_000
OLD = pack(NOW_MS - 10 * HOUR_MS)
BELOW = pack(NOW_MS - 5 * HOUR_MS)
MEMBER = "00112233445566aa.1"
OTHER = "00112233445566bb.1"
EXPIRED = "00112233445566cc.1"
CHARGED = "00112233445566dd.1"
AT = "2026-05-31T00:00:00.000000+00:00"


def said(origin: str, hlc: int, *made: Draft) -> list[Entry]:
    """Entries of one origin, from a clock on."""
    entries: list[Entry] = []
    previous = GENESIS_HASH
    for number, draft in enumerate(made, start=1):
        entry = seal(draft, origin, number, hlc + number, previous)
        entries.append(entry)
        previous = entry.hash
    return entries


def made(memory_id: str, **changes: object) -> Draft:
    return drafts.store(memory(memory_id, **changes), "bob", is_new=True)


def died(*ids: str) -> Draft:
    return drafts.delete(ids, "bob", AT, archived=False, reason="delete")


def retitled(memory_id: str, title: str) -> Draft:
    write = {"id": memory_id, "registers": {"name": ["north", title]}}
    return Draft("update", "bob", (memory_id,), {"memory": write})  # type: ignore[dict-item] # plain values


def forget(below: int = BELOW) -> list[Entry]:
    return said(CHARGED, pack(NOW_MS), drafts.forget(below, "node:dd"))


async def known(store: TestedStore, *ids: str) -> list[str]:
    return sorted(
        row.key for row in await store.states_of([EntityKey("memory", one) for one in ids])
    )


async def test_the_dead_below_the_floor_are_dropped_and_nothing_else(store: TestedStore):
    await store.append_foreign(
        said(
            MEMBER,
            OLD,
            made("p1"),
            made("p2"),
            made("p3"),
            died("p1"),
            drafts.purge(["p3"], "bob", AT),
        )
    )
    await store.submit(Put(memory("m1")))
    await store.submit(delete("m1"))
    await store.submit_all([Put(memory("m2")), Put(memory("m3"))])
    await store.submit_all([archive("m2"), purge("m3")])
    deaths = await store.oldest_tombstones(BELOW, 10)
    assert deaths == [OLD + 4, OLD + 5]
    assert await store.oldest_tombstones(BELOW, 1) == deaths[:1]
    assert await store.tombstone_floor() == 0
    assert (await store.append_foreign(forget())).refused == []
    assert await store.tombstone_floor() == BELOW
    assert await known(store, "p1", "p2", "p3", "m1", "m2", "m3") == ["m1", "m2", "m3", "p2"]
    assert await store.oldest_tombstones(BELOW, 10) == []
    assert await is_sound(store)


async def test_a_node_may_forget_by_its_own_entry(store: TestedStore):
    await store.append_foreign(said(MEMBER, OLD, made("p1"), died("p1")))
    await store.submit(Say(lambda _: drafts.forget(BELOW, "node:me")))
    assert await known(store, "p1") == []
    assert await is_sound(store)


async def test_a_floor_that_is_not_long_past_is_refused(store: TestedStore):
    await store.append_foreign(said(MEMBER, OLD, made("p1"), died("p1")))
    entries = said(CHARGED, pack(NOW_MS), drafts.forget(pack(NOW_MS) - MARGIN + 9, "node:dd"))
    (refused,) = (await store.append_foreign(entries)).refused
    assert refused.code == "malformed_payload"
    assert await known(store, "p1") == ["p1"]


async def test_what_comes_late_revives_nobody_and_fresh_rows_get_in(store: TestedStore):
    await store.append_foreign(said(MEMBER, OLD, made("p1"), made("p2"), died("p1")))
    await store.append_foreign(forget())
    late = said(
        EXPIRED,
        OLD,
        retitled("p1", "back again"),
        retitled("p2", "renamed"),
        drafts.store(memory("p1"), "bob"),
        made("x1", title="fresh"),
        retitled("x1", "fresher"),
        died("p1", "never heard of"),
        made("x2", title="short-lived"),
        died("x2"),
    )
    outcome = await store.append_foreign(late)
    assert [(one.seq, one.code) for one in outcome.refused] == [
        (1, "below_tombstones"),
        (3, "below_tombstones"),
    ]
    assert sorted((row.id, row.title) for row in await rows(store)) == [
        ("p2", "renamed"),
        ("x1", "fresher"),
    ]
    assert await known(store, "p1", "never heard of", "x2") == []
    assert await is_sound(store)


async def test_states_of_the_forgotten_are_left_out(stores: Stores):
    behind, store = stores.open("behind"), stores.open()
    for one in (behind, store):
        await one.append_foreign(said(MEMBER, OLD, made("p1"), made("p2"), died("p1")))
    await store.append_foreign(forget())
    dead = await behind.states_of([EntityKey("memory", "p1")])
    assert await store.join_states(dead) == 0
    assert await known(store, "p1") == []
    floor = await store.states_of([EntityKey("floor", "tombstones")])
    assert await behind.join_states(floor) == 1
    assert await known(behind, "p1") == []
    assert await behind.digests() == await store.digests()


async def test_any_order_leaves_the_same(stores: Stores):
    """The base is everywhere before the floor is said; all else comes as it comes."""
    ids = [f"p{number}" for number in range(8)]
    base = said(MEMBER, OLD, *(made(one) for one in ids), died(*ids[:3]), retitled("p4", "four"))
    news = said(
        OTHER,
        pack(NOW_MS) - MARGIN,
        retitled("p5", "five"),
        made("q1"),
        died("p6", "q1"),
        drafts.store(memory("p3", title="anew"), "bob"),
    )
    late = said(
        EXPIRED, OLD, retitled("p1", "late"), made("x1"), died("p7"), retitled("p4", "later")
    )
    numbers = count()
    digests = []
    for seed in range(6):
        store = stores.open(f"node{next(numbers)}")
        await store.append_foreign(base)
        streams: list[Sequence[Entry]] = [news, late, forget()]
        random = Random(seed)
        places = [0] * len(streams)
        while left := [no for no, one in enumerate(streams) if places[no] < len(one)]:
            no = random.choice(left)
            size = random.randrange(1, 4)
            await store.append_foreign(streams[no][places[no] : places[no] + size])
            places[no] += size
        assert await known(store, "p0", "p1", "p2") == []
        assert await is_sound(store)
        digests.append(await store.digests())
    assert all(one == digests[0] for one in digests)
