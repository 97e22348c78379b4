"""What a store promises about writes."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.domain.errors import ConflictError, QuotaExceededError, StoreClosedError
from app.domain.memory import MemoryLink
from app.domain.timestamps import format_instant
from app.log import drafts
from app.log.entry import GENESIS_HASH, Draft, chain_hash
from app.store.protocol import Charge, QuotaLimits, Receipt, Store, View
from app.store.sql.filters import MemoryFilter, Viewer
from tests.contract.store.conftest import (
    START,
    Change,
    Put,
    Say,
    Stores,
    TestedStore,
    TurnedClock,
    archive,
    delete,
    memory,
    purge,
    restore,
)

EVERYTHING = MemoryFilter(now=format_instant(START))


async def titles(store: Store) -> dict[str, str]:
    page = await store.list_memories(EVERYTHING, 1_000, 0)
    return {one.id: one.title for one in page.memories}


async def found(store: Store, words: str) -> list[str]:
    return [hit.id for hit in await store.search_text(words, EVERYTHING, 50, every_term=True)]


async def test_a_stored_memory_is_read_back_whole(store: TestedStore):
    row = memory(
        "m1",
        tags=("a", "ü"),
        metadata={"agent_id": "alice", "nested": {"list": [1, None, "x"]}, "scope": "team"},
        citations=({"uri": "doc:x", "accessed_at": "2026-01-01T00:00:00Z"},),
        source_uri="doc:x",
        source_span={"start": 1, "end": 2},
        confidence=0.25,
        expires_at="2027-01-01T00:00:00.000000+00:00",
        access_count=3,
        version=4,
        memory_kind="claim",
        reflection_depth=2,
    )
    receipt = await store.submit(Put(row))
    assert receipt.result == row
    assert await store.get("m1", EVERYTHING) == row


async def test_a_refused_command_fails_alone_and_leaves_no_gap(store: TestedStore):
    refused = ConflictError("taken")
    outcomes = await store.submit_all(
        [Put(memory("m1")), Put(memory("m2"), error=refused), Put(memory("m3"))]
    )
    assert outcomes[1] is refused
    assert [one.seq for one in outcomes if isinstance(one, Receipt)] == [1, 2]
    assert set(await titles(store)) == {"m1", "m3"}


async def test_a_bug_in_one_command_does_not_take_others_down(
    store: TestedStore, caplog: pytest.LogCaptureFixture
):
    outcomes = await store.submit_all(
        [Put(memory("m1"), error=ZeroDivisionError()), Put(memory("m2"))]
    )
    assert isinstance(outcomes[0], ZeroDivisionError)
    assert isinstance(outcomes[1], Receipt)


async def test_a_hundred_writers_at_once_lose_nothing(store: TestedStore):
    async def write(writer: int) -> None:
        for number in range(5):
            await store.submit(Put(memory(f"w{writer}-{number}")))

    await asyncio.gather(*(write(writer) for writer in range(100)))
    assert len(await titles(store)) == 500
    clock = await store.clock()
    assert clock.as_dict() == {store.identity.origin: 500}


async def test_the_log_hashes_from_its_first_entry_to_its_head(store: TestedStore):
    await store.submit_all([Put(memory(f"m{number}")) for number in range(40)])
    await store.submit(purge("m3"))
    entries = await store.log_after(store.identity.origin, 0, 1_000)
    previous = GENESIS_HASH
    for number, entry in enumerate(entries, start=1):
        assert entry.seq == number
        assert entry.hash == chain_hash(previous, entry.header, entry.payload_hash)
        previous = entry.hash
    assert len(entries) == 41
    assert [one.seq for one in entries if one.payload is None] == [4]


async def test_an_update_moves_the_text_index_and_bumps_the_version(store: TestedStore):
    await store.submit(Put(memory("m1", content="apples and pears")))
    receipt = await store.submit(Change("m1", {"content": "plums", "tags": ("fruit",)}))
    assert receipt.result.version == 2
    assert await found(store, "apples") == []
    assert await found(store, "plums") == ["m1"]
    assert await found(store, "fruit") == ["m1"]


async def test_an_update_that_changes_nothing_appends_nothing(store: TestedStore):
    await store.submit(Put(memory("m1")))
    assert (await store.submit(Change("m1", {"title": "title of m1"}))).seq is None


async def test_two_memories_may_swap_their_titles_in_one_batch(store: TestedStore):
    await store.submit_all([Put(memory("m1", title="one")), Put(memory("m2", title="two"))])
    await store.submit_all([Change("m1", {"title": "two"}), Change("m2", {"title": "one"})])
    assert await titles(store) == {"m1": "two", "m2": "one"}


async def test_the_later_claimant_of_a_name_shows_an_alias_until_it_is_free(store: TestedStore):
    await store.submit(Put(memory("11111111-a", title="same")))
    later = await store.submit(Put(memory("22222222-b", title="same")))
    assert later.result.title == "same ~22222222"
    assert later.result.metadata["name_conflict"] == "11111111-a"
    await store.submit(delete("11111111-a"))
    assert await titles(store) == {"22222222-b": "same"}
    row = await store.get("22222222-b", EVERYTHING)
    assert row is not None
    assert "name_conflict" not in row.metadata


async def test_somebody_may_take_the_very_title_that_an_alias_shows(store: TestedStore):
    await store.submit_all(
        [
            Put(memory("11111111-a", title="same")),
            Put(memory("22222222-bb", title="same", content="pears")),
        ]
    )
    await store.submit(Put(memory("m3", title="same ~22222222", content="of m3")))
    shown = await titles(store)
    assert shown["m3"] == "same ~22222222"
    assert len(set(shown.values())) == 3
    assert shown["22222222-bb"] == "same ~22222222-bb"
    # What a row shows is what it is found by: the id's end has become part of the title.
    assert await found(store, "same 22222222 bb") == ["22222222-bb"]


async def test_a_common_word_of_titles_gives_the_newest(store: TestedStore):
    at = [format_instant(START + timedelta(seconds=number)) for number in range(700)]
    rows = [
        memory(f"m{n:03}", title=f"{'apples' if n % 2 else 'pears'} {n}", content="apples")
        for n in range(700)
    ]
    dated = [replace(one, created_at=when) for one, when in zip(rows, at, strict=True)]
    await store.submit_all([Put(one) for one in dated])
    found = await store.titled_like(["apple"], Viewer("alice"), "global", at[0])
    assert {one.id for one in found} == {f"m{n:03}" for n in range(661, 700, 2)}


async def test_a_deleted_memory_is_gone_and_stays_gone_under_updates(store: TestedStore):
    await store.submit(Put(memory("m1", content="apples")))
    await store.submit(delete("m1"))
    await store.submit(Change("m1", {"content": "pears"}))
    assert await titles(store) == {}
    assert await found(store, "pears") == []


async def test_an_archived_memory_comes_back_as_it_was(store: TestedStore):
    await store.submit(Put(memory("m1", content="apples", priority=9)))
    await store.submit(archive("m1"))
    assert await titles(store) == {}
    assert await found(store, "apples") == []
    await store.submit(restore("m1"))
    row = await store.get("m1", EVERYTHING)
    assert row is not None
    assert (row.content, row.priority) == ("apples", 9)
    assert await found(store, "apples") == ["m1"]


async def test_a_purged_memory_leaves_no_content_in_state_or_log(stores: Stores, tmp_path: Path):
    store = stores.open()
    await store.submit(Put(memory("m1", content="a-very-secret-text")))
    await store.submit(Change("m1", {"title": "a-very-secret-title"}))
    await store.submit(purge("m1"))
    assert await store.snapshot("m1") is None
    entries = await store.log_after(store.identity.origin, 0, 10)
    assert [one.payload is None for one in entries] == [True, True, False]
    assert (await store.scrub(lambda _done, _total: None)).is_sound


async def test_an_expired_row_is_hidden_collected_and_brought_back(
    store: TestedStore, clock: TurnedClock
):
    soon = "2026-06-01T12:01:00.000000+00:00"
    await store.submit(Put(memory("m1", content="apples", expires_at=soon)))
    clock.turn(minutes=2)
    later = MemoryFilter(now=clock.text())
    assert await store.get("m1", later) is None
    assert [one.id for one in await store.collect_expired(10, archive=True)] == ["m1"]
    assert await store.get("m1", EVERYTHING) is None
    assert (await store.scrub(lambda _done, _total: None)).is_sound
    await store.submit(Change("m1", {"expires_at": "2026-07-01T00:00:00.000000+00:00"}))
    assert await store.get("m1", later) is not None
    assert await found(store, "apples") == ["m1"]


async def test_collection_is_in_no_digest(store: TestedStore, clock: TurnedClock):
    await store.submit(Put(memory("m1", expires_at="2026-06-01T12:01:00.000000+00:00")))
    before = await store.digests()
    clock.turn(minutes=2)
    await store.collect_expired(10, archive=False)
    assert await store.digests() == before


async def test_a_closed_store_refuses_writes(stores: Stores):
    store = stores.open()
    await stores.close(store)
    with pytest.raises(StoreClosedError):
        await store.submit(Put(memory("m1")))


async def test_everything_queued_before_a_close_is_stored(stores: Stores):
    store = stores.open()
    waiting = asyncio.gather(*(store.submit(Put(memory(f"m{n}"))) for n in range(300)))
    await asyncio.sleep(0)
    await stores.close(store)
    assert len(await waiting) == 300
    assert len(await titles(stores.open())) == 300


async def test_a_link_that_is_made_again_is_open_again(store: TestedStore, clock: TurnedClock):
    ends = MemoryLink("m1", "m2", "related_to", clock.text(), valid_from=clock.text())
    await store.submit_all([Put(memory("m1")), Put(memory("m2"))])
    for make in (
        lambda _: drafts.link([ends], "alice"),
        lambda _: drafts.invalidate(ends, clock.text(), "alice"),
        lambda _: drafts.unlink([ends], "alice"),
        lambda _: drafts.link([ends], "alice"),
    ):
        await store.submit(Say(make))
    shown = await store.links_among(["m1", "m2"], "related_to")
    assert [one.valid_until for one in shown] == [None]


async def test_what_a_day_costs_adds_up_over_batches(store: TestedStore, clock: TurnedClock):
    limits = QuotaLimits(memories_per_day=2, storage_bytes=None, links_per_day=None)

    def charged(view: View) -> Draft:
        view.charge(Charge("alice", "global", memories=1), limits)
        return drafts.store(memory(f"m{view.now}"), "alice")

    for _ in range(2):
        await store.submit(Say(charged))
    with pytest.raises(QuotaExceededError):
        await store.submit(Say(charged))
    clock.turn(days=1)
    await store.submit(Say(charged))
