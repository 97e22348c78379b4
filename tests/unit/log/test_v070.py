"""Entries that carry the times of a v0.7.0 node."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import EntryRefusedError
from app.log.hlc import Stamp
from app.log.kinds import KINDS
from app.log.registers import Written
from app.log.state import EntityKey, encode_state
from app.log.workspace import Workspace
from tests.unit.log.shelf import Shelf
from tests.unit.log.strategies import LATER, PAYLOADS, Said, memories, write_of

KIND = KINDS["v070"]
ENTRY = Stamp(100, "aaaaaaaaaaaaaaaa.1")


def said(*writes, peer="old"):
    return {"peer": peer, "writes": list(writes)}


def row(memory, hlc):
    return {"hlc": hlc, "kind": "row", "payload": {"memory": write_of(memory)}}


@given(memories, st.integers(0, 99))
def test_what_a_row_writes_is_stamped_with_its_own_time(memory, hlc):
    (effect,) = KIND.effects(said(row(memory, hlc)), ENTRY)
    stamps = {cell.stamp for cell in effect.cells.values() if isinstance(cell, Written)}
    assert stamps == {Stamp(hlc, "v070:old")}
    if memory.version > 1:
        assert effect.cells["updates"] == {"v070:old": memory.version - 1}


@given(st.lists(st.builds(Said, st.just("v070"), PAYLOADS["v070"], LATER), max_size=5), st.data())
@settings(max_examples=60, deadline=None)
def test_whoever_receives_it_says_the_same(entries, data):
    """The same writes in entries of two nodes, then of either one: equal bytes."""
    others = [
        Said("v070", one.payload, Stamp(data.draw(st.integers(13, 40)), "bbbbbbbbbbbbbbbb.1"))
        for one in entries
    ]
    here, there = Shelf(), Shelf()
    here.apply(entries)
    there.apply(data.draw(st.permutations(others)))
    assert here.states == there.states
    here.apply(others)
    assert here.states == there.states


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"peer": "", "writes": []},
        {"peer": "x" * 129, "writes": []},
        {"peer": 5, "writes": []},
        {"peer": "old", "writes": 5},
        {"peer": "old", "writes": [5]},
        said({"hlc": 5, "kind": "store", "payload": {}}),
        said({"hlc": 5, "kind": "v070", "payload": said()}),
        said({"hlc": "5", "kind": "vote", "payload": {}}),
        said({"hlc": True, "kind": "vote", "payload": {}}),
        said({"hlc": -1, "kind": "vote", "payload": {}}),
        said({"hlc": 5, "kind": "vote", "payload": {}}),
        said({"hlc": 5, "kind": "row", "payload": {"memory": {"id": "m", "registers": {"x": 1}}}}),
    ],
)
def test_what_is_no_such_entry_is_refused(payload):
    with pytest.raises(EntryRefusedError):
        KIND.effects(payload, ENTRY)


def test_an_entry_is_later_than_what_it_carries():
    """Else an edit that somebody makes after having seen a row could lose to it."""
    vote = {"pending_id": "p", "agent_id": "a", "approved_at": "2026-06-01T00:00:00Z"}
    KIND.effects(said({"hlc": 99, "kind": "vote", "payload": vote}), ENTRY)
    for hlc in (100, 101):
        with pytest.raises(EntryRefusedError):
            KIND.effects(said({"hlc": hlc, "kind": "vote", "payload": vote}), ENTRY)


@given(memories)
def test_the_second_receiver_adds_nothing(memory):
    shelf = Shelf()
    shelf.apply([Said("v070", said(row(memory, 7)), ENTRY)])
    work = Workspace(shelf)
    work.apply("v070", said(row(memory, 7)), Stamp(200, "bbbbbbbbbbbbbbbb.1"))
    assert work.changes() == {}
    key = EntityKey("memory", memory.id)
    assert shelf.states[key] == encode_state(work.cells(key) or {})
