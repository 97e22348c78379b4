"""Whatever the order, repetition and batching of entries, every node ends with the same bytes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.log.kinds import KINDS
from app.log.registers import Cells
from app.log.state import EntityKey, encode_state, join
from app.log.workspace import Workspace
from tests.unit.log.shelf import Shelf
from tests.unit.log.strategies import IDS, PAYLOADS, Said, said, stamps

CONTENDERS = ("store", "update", "delete", "archive", "restore", "purge", "touch", "promote")


def shelf_of(*batches: list[Said]) -> Shelf:
    shelf = Shelf()
    for batch in batches:
        shelf.apply(batch)
    return shelf


@st.composite
def deliveries(draw, entries: list[Said]) -> list[list[Said]]:
    """The same entries in another order, some twice, cut into batches."""
    repeated = draw(st.lists(st.sampled_from(entries), max_size=3)) if entries else []
    order = draw(st.permutations(entries + repeated))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=3)))
    edges = [0, *cuts, len(order)]
    return [order[start:end] for start, end in pairwise(edges)]


def assert_converges(entries: list[Said], data: st.DataObject) -> None:
    here = shelf_of(*([entry] for entry in entries))
    there = shelf_of(*data.draw(deliveries(entries)))
    assert here.states == there.states
    assert here.rows == there.rows
    assert here.others() == there.others()
    assert here.rows == here.fresh_rows()


def test_every_kind_has_a_strategy():
    """A new kind without one would escape every law below."""
    assert set(PAYLOADS) == set(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_entries_of_one_kind_converge_beside_stores(kind, data):
    entries = data.draw(
        st.lists(said(kind), min_size=1, max_size=4).flatmap(
            lambda some: st.lists(said("store"), max_size=2).map(lambda stores: some + stores)
        )
    )
    assert_converges(entries, data)


@given(st.lists(said(*sorted(KINDS)), max_size=9), st.data())
@settings(max_examples=80, deadline=None)
def test_entries_of_all_kinds_converge(entries, data):
    assert_converges(entries, data)


@given(st.lists(said(*CONTENDERS), min_size=2, max_size=10), st.data())
@settings(max_examples=120, deadline=None)
def test_memories_that_contend_for_names_converge(entries, data):
    assert_converges(entries, data)


@given(st.lists(said(*CONTENDERS), max_size=8))
@settings(max_examples=50, deadline=None)
def test_a_name_has_exactly_one_holder_and_the_others_say_who(entries):
    rows = shelf_of(entries).rows
    live = [row for row in rows.values() if row.is_live]
    shown = [(row.memory.namespace, row.memory.title) for row in live]
    assert len(shown) == len(set(shown))
    for row in live:
        holder = row.memory.metadata.get("name_conflict")
        if holder is None:
            continue
        winner = rows[str(holder)]
        assert winner.is_live
        assert "name_conflict" not in winner.memory.metadata
        assert row.memory.title == f"{winner.memory.title} ~{row.memory.id[:8]}"


def states_of(memory_id: str) -> st.SearchStrategy[Cells]:
    """States that entries can lead to."""
    key = EntityKey("memory", memory_id)

    def merged(entries: list[Said]) -> Cells:
        work = Workspace(Shelf())
        for entry in entries:
            work.apply(entry.kind, entry.payload, entry.stamp)
        return work.cells(key) or {}

    return st.lists(said(*CONTENDERS), max_size=5).map(merged)


@given(states_of(IDS[0]), states_of(IDS[0]), states_of(IDS[0]))
@settings(max_examples=50, deadline=None)
def test_joining_states_is_a_semilattice(a, b, c):
    ab = join("memory", a, b)
    assert encode_state(ab) == encode_state(join("memory", b, a))
    assert encode_state(join("memory", ab, c)) == encode_state(
        join("memory", a, join("memory", b, c))
    )
    assert join("memory", ab, a) is ab
    assert join("memory", ab, b) is ab


@given(st.lists(said(*CONTENDERS), max_size=6), stamps, st.data())
@settings(max_examples=50, deadline=None)
def test_nothing_that_comes_before_or_after_survives_a_purge(entries, stamp, data):
    purge = Said("purge", {"ids": list(IDS), "at": "2026-01-01T00:00:00Z"}, stamp)
    place = data.draw(st.integers(0, len(entries)))
    shelf = shelf_of([*entries[:place], purge, *entries[place:]])
    assert shelf.rows == {}
    for memory_id in IDS:
        cells = Workspace(shelf).cells(EntityKey("memory", memory_id))
        assert cells is not None
        assert set(cells) == {"life"}


@given(st.lists(said("store"), min_size=1, max_size=3), st.lists(said(*CONTENDERS), max_size=4))
@settings(max_examples=50, deadline=None)
def test_a_snapshot_is_one_of_bytes_too(stores, entries):
    """What states show does not depend on having been encoded and decoded."""
    work = Workspace(Shelf())
    for entry in stores + entries:
        work.apply(entry.kind, entry.payload, entry.stamp)
    shelf = Shelf()
    shelf.commit(work)
    assert {key: one for key in IDS if (one := work.snapshot(key)) is not None} == (
        shelf.fresh_rows()
    )
