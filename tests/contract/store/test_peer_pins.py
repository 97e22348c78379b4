"""Bindings of peers are rows of a store like any other: put, replaced, dropped, and read again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app.replication.pin_rows import PinRows, read_pins
from app.replication.pins import PeerPin

SEEN = datetime(2026, 11, 22, 10, 30, 15, 123456, tzinfo=UTC)
PLAIN = PeerPin("a" * 16, "host:a", bytes(range(32)), None, SEEN, SEEN)
GUARDED = PeerPin("b" * 16, "host:b", bytes(32), "1" * 64, SEEN, SEEN, "https://node-b:9077")


async def test_bindings_are_kept_as_they_are_at_last(store):
    rows = PinRows(store)
    rows.put(PLAIN)
    rows.put(GUARDED)
    await rows.flush()
    assert {pin.node_id: pin for pin in await read_pins(store)} == {
        PLAIN.node_id: PLAIN,
        GUARDED.node_id: GUARDED,
    }
    renewed = replace(GUARDED, fingerprint="2" * 64, last_seen=SEEN + timedelta(days=1))
    rows.put(replace(renewed, name="passing"))
    rows.put(renewed)
    rows.drop(PLAIN.node_id)
    await rows.flush()
    assert list(await read_pins(store)) == [renewed]


async def test_writing_them_makes_no_entry(store):
    before = await store.clock()
    rows = PinRows(store)
    rows.put(PLAIN)
    await rows.flush()
    await rows.flush()
    assert await store.clock() == before
