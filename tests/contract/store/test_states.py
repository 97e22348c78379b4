"""What a store promises about whole states: read in order, joined like entries, and checked."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from app.domain.text import content_hash
from app.domain.timestamps import format_instant
from app.log import drafts
from app.log.canonical import Value
from app.log.digest import bucket_of
from app.log.entry import Draft
from app.log.hlc import Stamp, pack
from app.log.registers import Written
from app.log.state import EntityKey, decode_state, encode_state
from app.store.protocol import LogTruncatedError, MemberRow, OriginHead, StateRow, VectorRow
from app.store.sql.filters import MemoryFilter
from tests.contract.store.conftest import (
    DIM,
    MODEL,
    START,
    Put,
    Say,
    Stores,
    TestedStore,
    TurnedClock,
    archive,
    delete,
    memory,
    purge,
)
from tests.contract.store.moving import links
from tests.contract.store.test_foreign import pull, rows

EVERYTHING = MemoryFilter(now=format_instant(START))
NOW_MS = int(START.timestamp() * 1000)
NODE = "00112233445566aa"


def vector(memory_id: str) -> Say:
    row = memory(memory_id)
    halves = np.array([1, 0, 0, int(memory_id[1:] or 0)], dtype="<f2").tobytes()
    made = drafts.embedding(
        memory_id, content_hash(row.title, row.content), MODEL, DIM, halves, "system"
    )
    return Say(lambda _: made)


def member(node_id: str, state: str) -> Say:
    payload = {"node_id": node_id, "state": state, "detail": {"name": "a"}}
    return Say(lambda _: Draft("member", "system", (node_id,), payload))  # type: ignore[arg-type]  # plain values


async def fill(store: TestedStore, rows: int = 30) -> None:
    ids = [f"m{number}" for number in range(rows)]
    await store.submit_all([Put(memory(one)) for one in ids])
    await store.submit_all([vector(one) for one in ids[::3]])
    await store.submit(Say(lambda _: drafts.link(links(Random(1), ids), "alice")))
    at = format_instant(START)
    entity = replace(memory("entity"), tags=("entity",), metadata={"kind": "entity"})
    await store.submit(Say(lambda _: drafts.alias(entity, ["E", "ent"], "alice", at, new=True)))
    await store.submit(Say(lambda _: drafts.standard_set("team/a", "m1", None, at, [], "alice")))
    await store.submit(member(NODE, "joined"))
    await store.submit(archive("m2"))
    await store.submit(delete("m3"))
    await store.submit(purge("m4"))


async def pages(store: TestedStore, max_bytes: int) -> list[StateRow]:
    found: list[StateRow] = []
    after = None
    while page := await store.states_after(after, max_bytes):
        found += page
        after = (page[-1].kind, page[-1].key)
    return found


async def is_sound(store: TestedStore) -> bool:
    return (await store.scrub(lambda _done, _total: None)).is_sound


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("max_bytes", [1, 3_000, 1 << 20])
async def test_pages_of_states_bring_each_once(store: TestedStore, max_bytes):
    await fill(store)
    found = await pages(store, max_bytes)
    kinds = [one.kind for one in found]
    assert kinds == sorted(kinds)
    assert {"alias", "link", "member", "memory", "standard"} == set(kinds)
    keys = [EntityKey(one.kind, one.key) for one in found]
    assert len(set(keys)) == len(keys)
    assert kinds.count("memory") == 31
    assert sorted(await store.states_of(keys), key=repr) == sorted(found, key=repr)
    hashes = {EntityKey(one.kind, one.key): one.row_hash for one in found}
    buckets = {bucket_of(one) for one in keys}
    assert dict(await store.bucket_rows(buckets)) == hashes
    some = {bucket_of(keys[0]), bucket_of(keys[-1])}
    assert {bucket_of(key) for key, _ in await store.bucket_rows(some)} == some


async def test_states_and_vectors_that_are_not_there_are_left_out(store: TestedStore):
    await fill(store, 6)
    asked = [EntityKey("memory", "m1"), EntityKey("memory", "x"), EntityKey("link", "x")]
    assert [one.key for one in await store.states_of(asked)] == ["m1"]
    found = await store.vectors_of(["m0", "m1", "x"])
    assert [(one.memory_id, one.model, one.dim) for one in found] == [("m0", MODEL, DIM)]
    assert await store.states_of([]) == []
    assert await store.vectors_of([]) == []
    assert await store.bucket_rows([]) == []


# --- joining -----------------------------------------------------------------------------------


async def snapshot_of(source: TestedStore, target: TestedStore) -> None:
    """What a node does that is far behind."""
    heads = await source.heads()
    after = None
    while page := await source.states_after(after, 5_000):
        ids = [one.key for one in page if one.kind == "memory"]
        await target.join_states(page, vectors=await source.vectors_of(ids))
        after = (page[-1].kind, page[-1].key)
    await target.join_states([], heads=heads)


async def test_a_snapshot_makes_a_store_the_same_and_its_tail_goes_on(stores: Stores):
    left, right = stores.open("left"), stores.open("right")
    await fill(left)
    await right.submit(Put(memory("r1", title="title of m1")))
    await snapshot_of(left, right)
    left_origin = left.identity.origin
    assert (await right.clock())[left_origin] == (await left.clock())[left_origin]
    head = next(one for one in await right.heads() if one.origin == left_origin)
    assert head.floor == head.seq
    with pytest.raises(LogTruncatedError):
        await right.log_run(left_origin, 0, 1 << 20)
    assert await right.log_run(left_origin, head.seq, 1 << 20) is None
    await left.submit(Put(memory("later")))
    await pull(left, right)
    await pull(right, left)
    assert await left.clock() == await right.clock()
    assert await left.digests() == await right.digests()
    assert await rows(left) == await rows(right)
    assert await left.members() == await right.members()
    near = [1.0, 0.0, 0.0, 9.0]
    assert [one.id for one in await right.search_vector(near, EVERYTHING, 3)] == [
        one.id for one in await left.search_vector(near, EVERYTHING, 3)
    ]
    hits = await right.search_text("content", EVERYTHING, 50, every_term=True)
    assert len(hits) == len(await rows(right))
    for store in (left, right):
        assert await is_sound(store)


async def test_joining_again_changes_nothing_and_appends_nothing(stores: Stores):
    left, right = stores.open("left"), stores.open("right")
    await fill(left)
    states = await pages(left, 1 << 20)
    assert await right.join_states(states) == len(states)
    assert await right.join_states(states) == 0
    assert (await right.clock()).as_dict() == {}
    assert await left.digests() == await right.digests()


async def test_an_older_head_and_the_own_one_are_left_as_they_are(stores: Stores):
    left, right = stores.open("left"), stores.open("right")
    await left.submit_all([Put(memory("m1")), Put(memory("m2"))])
    old = await left.heads()
    await left.submit(Put(memory("m3")))
    await pull(left, right)
    own = OriginHead(right.identity.origin, 9, bytes(32), 1)
    await right.join_states([], heads=[*old, own])
    assert (await right.clock()).as_dict() == {left.identity.origin: 3}
    assert len(await right.log_after(left.identity.origin, 0, 9)) == 3
    assert (await right.submit(Put(memory("r1")))).seq == 1
    assert await is_sound(right)


async def test_what_is_joined_is_older_than_what_is_written_after(stores: Stores):
    left, right = stores.open("left"), stores.open("right")
    await left.submit(Put(memory("m1")))
    (state,) = await left.states_of([EntityKey("memory", "m1")])
    cells = decode_state("memory", state.state)
    ahead = Stamp(pack(NOW_MS + 50_000), left.identity.origin)
    cells["tags"] = Written(["ahead"], ahead)
    await right.join_states([StateRow("memory", "m1", encode_state(cells), b"")])
    receipt = await right.submit(Put(memory("m2")))
    (entry,) = await right.log_after(receipt.origin, 0, 1)
    assert entry.hlc > ahead.hlc


async def test_states_that_cannot_be_shown_are_left_out_one_by_one(stores: Stores, caplog):
    left, right = stores.open("left"), stores.open("right")
    await fill(left, 6)
    good = await pages(left, 1 << 20)

    def spoilt(kind: str, register: str, value: Value) -> StateRow:
        one = next(row for row in good if row.kind == kind and row.key not in {"m3", "m4"})
        cells = decode_state(kind, one.state)
        old = cells[register]
        cells[register] = Written(value, old.stamp) if isinstance(old, Written) else value
        return StateRow(kind, one.key, encode_state(cells), one.row_hash)

    near = Stamp(pack(NOW_MS), left.identity.origin)
    far = Stamp(pack(NOW_MS + 3_600_000), left.identity.origin)
    at = format_instant(START)
    future = encode_state({"life": Written("live", far), "created": Written(at, far)})
    bad = [
        spoilt("memory", "body", ["only a text"]),
        spoilt("memory", "created", "yesterday"),
        spoilt("memory", "life", [1, "live", None, None]),
        spoilt("link", "facts", [1, 2, 3, 4, 5]),
        spoilt("member", "membership", ["king", None]),
        spoilt("standard", "binding", ["m1", 7, "today"]),
        spoilt("alias", "created", "today"),
        StateRow("link", "no link", good[0].state, b""),
        StateRow("memory", "", good[0].state, b""),
        StateRow("memory", "m1", b"\xff", b""),
        StateRow("horse", "m1", good[0].state, b""),
        StateRow("alias", "m1\x1fhalf", encode_state({"life": Written("live", near)}), b""),
        StateRow("alias", "m1\x1ffuture", future, b""),
    ]
    assert await right.join_states(bad) == 0
    assert len(caplog.records) == len(bad)
    assert await right.join_states([*bad, *good]) == len(good)
    assert await left.digests() == await right.digests()
    assert await is_sound(right)


async def test_a_vector_of_another_text_or_form_is_not_kept(stores: Stores):
    left, right = stores.open("left"), stores.open("right")
    await left.submit(Put(memory("m1")))
    await left.submit(vector("m1"))
    states = await pages(left, 1 << 20)
    (good,) = await left.vectors_of(["m1"])
    for bad in (
        replace(good, content_hash=bytes(32)),
        replace(good, model="another:4"),
        replace(good, vector=b"short"),
        replace(good, stamp="no stamp"),
    ):
        await right.join_states(states, vectors=[bad])
        assert await right.vectors_of(["m1"]) == []
    await right.join_states([], vectors=[good])
    assert await right.vectors_of(["m1"]) == [
        VectorRow("m1", good.stamp, good.content_hash, MODEL, DIM, good.vector)
    ]


# --- members -----------------------------------------------------------------------------------


async def test_members_are_what_was_last_said_of_each_node(store: TestedStore, clock: TurnedClock):
    await store.submit(member(NODE, "joined"))
    await store.submit(member("ffee000000000000", "joined"))
    clock.turn(minutes=1)
    await store.submit(member(NODE, "expired"))
    assert [replace(one, updated_at="") for one in await store.members()] == [
        MemberRow(NODE, "expired", {"name": "a"}, ""),
        MemberRow("ffee000000000000", "joined", {"name": "a"}, ""),
    ]
    assert (await store.members())[0].updated_at > (await store.members())[1].updated_at


async def test_members_cursors_only_move_forward(store: TestedStore):
    assert await store.member_cursors() == {}
    await store.note_cursors({NODE: {"a.1": 5, "b.1": 2}, "ffee000000000000": {"a.1": 1}})
    await store.note_cursors({NODE: {"a.1": 3, "b.1": 4, "c.1": 0}})
    await store.note_cursors({})
    assert await store.member_cursors() == {
        NODE: {"a.1": 5, "b.1": 4},
        "ffee000000000000": {"a.1": 1},
    }


# --- mending -----------------------------------------------------------------------------------


async def test_putting_sound_states_in_their_own_place_changes_nothing(store: TestedStore):
    await fill(store)
    found = await pages(store, 1 << 20)
    shown, digests = await rows(store), await store.digests()
    ids = [one.key for one in found if one.kind == "memory"]
    vectors = await store.vectors_of(ids)
    clock = await store.clock()
    assert await store.mend(found) == len(found)
    assert await pages(store, 1 << 20) == found
    assert await rows(store) == shown
    assert await store.digests() == digests
    assert sorted(await store.vectors_of(ids), key=repr) == sorted(vectors, key=repr)
    assert await store.clock() == clock
    assert await is_sound(store)
    assert (await store.clocked_digests()) == (clock, digests)


async def test_a_state_that_is_put_in_place_replaces_what_stands_there(stores: Stores):
    here, there = stores.open("here"), stores.open("there")
    await there.submit(Put(memory("m1", title="sound")))
    await here.submit(Put(memory("m1", title="wrong")))
    await here.submit(Put(memory("m2", title="sound")))
    (state,) = await there.states_of([EntityKey("memory", "m1")])
    assert await here.mend([state]) == 1
    assert await here.states_of([EntityKey("memory", "m1")]) == [state]
    titles = sorted(one.title for one in await rows(here))
    assert titles == ["sound", "sound ~m2"]
    assert await is_sound(here)
    assert await here.mend([StateRow("memory", "m1", b"no state", b"")]) == 0
    assert await is_sound(here)
