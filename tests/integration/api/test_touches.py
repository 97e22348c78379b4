"""What recalls leave behind: gathered, bounded, kept when the store refuses, flushed on close."""

import asyncio

import pytest

from app.domain.errors import StoreFullError
from app.services.touches import Extensions, Touches
from app.store.sql.filters import MemoryFilter

FUTURE = "9999-01-01T00:00:00.000000+00:00"


async def some_memories(api, store, count):
    rows = [{"title": f"t{n}", "content": f"c{n}", "tier": "long"} for n in range(count)]
    reply = await api.post("/api/v1/memories/bulk", json=rows)
    return await store.get_many(reply.json()["ids"], MemoryFilter(now=FUTURE))


async def accesses(store, memory):
    return (await store.snapshot(memory.id)).memory.access_count


async def test_many_uses_become_one_entry(api, store, touches):
    one, two = await some_memories(api, store, 2)
    applied = await store.applied_after(0, 1_000)
    for _ in range(4):
        touches.note([one, two])
    touches.note([two])
    assert await touches.flush() == 2

    assert [await accesses(store, memory) for memory in (one, two)] == [4, 5]
    (new,) = await store.applied_after(applied[-1][0], 1_000)
    assert new[1].kind == "touch"
    assert await touches.flush() == 0


async def test_what_finds_no_room_is_dropped_and_counted(api, store, clock):
    memories = await some_memories(api, store, 3)
    small = Touches(store, clock, Extensions(), rows_max=2)
    small.note(memories)
    small.note(memories)

    assert small.dropped == 2
    assert await small.flush() == 2
    assert [await accesses(store, memory) for memory in memories] == [2, 2, 0]


class FullOnce:
    """A store whose disk is full for one write."""

    def __init__(self, store):
        self._store = store
        self.refusals = 0

    async def submit(self, command):
        if not self.refusals:
            self.refusals += 1
            raise StoreFullError("disk full")
        return await self._store.submit(command)


async def test_a_refused_flush_forgets_nothing(api, store, clock):
    (memory,) = await some_memories(api, store, 1)
    touches = Touches(FullOnce(store), clock, Extensions())
    touches.note([memory])
    with pytest.raises(StoreFullError):
        await touches.flush()
    touches.note([memory])
    await touches.flush()

    assert await accesses(store, memory) == 2


async def test_the_loop_outlives_a_full_disk_and_writes_what_waits_when_it_is_stopped(
    api, store, clock
):
    (memory,) = await some_memories(api, store, 1)
    full = FullOnce(store)
    touches = Touches(full, clock, Extensions(), interval_seconds=0.01)
    touches.note([memory])
    loop = asyncio.create_task(touches.run())
    async with asyncio.timeout(5):
        while not await accesses(store, memory):  # noqa: ASYNC110 - nothing signals a flush
            await asyncio.sleep(0)
        touches.note([memory])
        touches.stop()
        await loop

    assert full.refusals == 1
    assert await accesses(store, memory) == 2
