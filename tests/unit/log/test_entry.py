"""Entries survive the wire unchanged, and any change of them shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import EntryRefusedError
from app.log.canonical import Value, encode
from app.log.entry import (
    ENTITY_IDS_MAX,
    GENESIS_HASH,
    PAYLOAD_BYTES_MAX,
    Draft,
    Entry,
    decode_payload,
    follows,
    open_entry,
    seal,
)
from tests.unit.log.strategies import PAYLOADS, ids

ORIGIN = "0123456789abcdef.3"
DRAFTS = st.sampled_from(sorted(PAYLOADS)).flatmap(
    lambda kind: st.builds(
        Draft,
        st.just(kind),
        st.text(max_size=5),
        st.lists(ids, max_size=2).map(tuple),
        PAYLOADS[kind],
    )
)


def chain(drafts: list[Draft]) -> list[Entry]:
    entries: list[Entry] = []
    for seq, draft in enumerate(drafts, 1):
        previous = entries[-1].hash if entries else GENESIS_HASH
        entries.append(seal(draft, ORIGIN, seq, 100 + seq, previous))
    return entries


def verifies(entries: list[Entry]) -> bool:
    hashes = [GENESIS_HASH, *(entry.hash for entry in entries)]
    return all(follows(entry, before) for before, entry in zip(hashes, entries, strict=False))


def reopened(entry: Entry) -> Entry:
    return open_entry(entry.header, entry.payload, entry.payload_hash, entry.hash)


def refused(fields: dict[str, Value]) -> str:
    with pytest.raises(EntryRefusedError) as caught:
        open_entry(encode(fields), None, bytes(32), bytes(32))
    return str(caught.value.details["reason"])


@given(st.lists(DRAFTS, max_size=4))
@settings(max_examples=50)
def test_a_sealed_chain_opens_to_the_same_entries_and_verifies(drafts):
    entries = chain(drafts)
    assert [reopened(entry) for entry in entries] == entries
    assert verifies(entries)
    assert [encode(decode_payload(one)) for one in entries] == [encode(d.payload) for d in drafts]


@given(st.lists(DRAFTS, min_size=2, max_size=3), st.data())
@settings(max_examples=50)
def test_a_changed_header_breaks_the_chain(drafts, data):
    entries = chain(drafts)
    place = data.draw(st.integers(0, len(entries) - 1))
    header = bytearray(entries[place].header)
    header[data.draw(st.integers(0, len(header) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    entries[place] = replace(entries[place], header=bytes(header))
    assert not verifies(entries)


@given(DRAFTS, st.data())
@settings(max_examples=50)
def test_a_changed_payload_is_refused(draft, data):
    entry = chain([draft])[0]
    assert entry.payload is not None
    payload = bytearray(entry.payload)
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(EntryRefusedError) as caught:
        reopened(replace(entry, payload=bytes(payload)))
    assert caught.value.details["reason"] == "payload_mismatch"


@given(st.lists(DRAFTS, min_size=3, max_size=4), st.data())
@settings(max_examples=50)
def test_dropped_or_swapped_entries_break_the_chain(drafts, data):
    entries = chain(drafts)
    place = data.draw(st.integers(0, len(entries) - 2))
    assert not verifies(entries[:place] + entries[place + 1 :])
    entries[place], entries[place + 1] = entries[place + 1], entries[place]
    assert not verifies(entries)


@given(st.lists(DRAFTS, min_size=1, max_size=3))
@settings(max_examples=50)
def test_blanked_payloads_leave_the_chain_whole(drafts):
    """A purge erases content on every node and the chain still proves what was there."""
    blanked = [reopened(replace(entry, payload=None)) for entry in chain(drafts)]
    assert verifies(blanked)
    with pytest.raises(EntryRefusedError) as caught:
        decode_payload(blanked[0])
    assert caught.value.details["reason"] == "payload_missing"


HEADER: dict[str, Value] = {
    "v": 1,
    "origin": ORIGIN,
    "seq": 1,
    "hlc": 1,
    "kind": "store",
    "actor": "a",
    "policy_seq": 0,
    "entity_ids": ["x"],
}


def test_unknown_kinds_and_header_fields_are_kept():
    data = encode({**HEADER, "v": 2, "kind": "dream", "mood": "blue"})
    entry = open_entry(data, None, bytes(32), bytes(32))
    assert entry.kind == "dream"
    assert entry.header == data


@pytest.mark.parametrize(
    "change",
    [
        {"origin": "UPPER.1"},
        {"origin": "no-epoch"},
        {"origin": 5},
        {"seq": 0},
        {"seq": 1 << 63},
        {"seq": True},
        {"hlc": -1},
        {"hlc": 1 << 63},
        {"kind": "With Space"},
        {"actor": None},
        {"policy_seq": "1"},
        {"entity_ids": "x"},
        {"entity_ids": [5]},
        {"entity_ids": ["x"] * (ENTITY_IDS_MAX + 1)},
    ],
)
def test_a_header_with_a_wrong_field_is_refused(change):
    assert refused({**HEADER, **change}) == "malformed_header"


@pytest.mark.parametrize("missing", sorted(set(HEADER) - {"v"}))
def test_a_header_without_a_field_is_refused(missing):
    assert (
        refused({key: one for key, one in HEADER.items() if key != missing}) == "malformed_header"
    )


@given(st.binary(max_size=80), st.none() | st.binary(max_size=8), st.binary(max_size=33))
def test_no_bytes_do_more_than_be_refused(header, payload, some_hash):
    with pytest.raises(EntryRefusedError):
        open_entry(header, payload, some_hash, bytes(31))


@pytest.mark.parametrize(("payload_hash", "entry_hash"), [(bytes(31), bytes(32)), (bytes(32), b"")])
def test_a_hash_of_another_width_is_refused(payload_hash, entry_hash):
    """Else bytes could move between the parts that are hashed in a row."""
    with pytest.raises(EntryRefusedError, match="32 bytes"):
        open_entry(encode(HEADER), None, payload_hash, entry_hash)


def test_a_huge_payload_is_refused():
    with pytest.raises(EntryRefusedError) as caught:
        open_entry(encode(HEADER), bytes(PAYLOAD_BYTES_MAX + 1), bytes(32), bytes(32))
    assert caught.value.details["reason"] == "payload_too_large"


@pytest.mark.parametrize("payload", [b"\xff", encode([1]), encode(None)])
def test_a_payload_that_is_no_map_is_refused(payload):
    entry = replace(chain([Draft("store", "a", (), {})])[0], payload=payload)
    with pytest.raises(EntryRefusedError) as caught:
        decode_payload(entry)
    assert caught.value.details["reason"] == "malformed_payload"
