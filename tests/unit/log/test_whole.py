"""Whole states from elsewhere: what entries can make passes, and nothing that cannot be shown."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import EntryRefusedError
from app.log.canonical import Value
from app.log.forgetting import latest_stamp
from app.log.hlc import Stamp
from app.log.kinds import KINDS
from app.log.kinds.links import link_key
from app.log.registers import Written
from app.log.state import EntityKey, encode_state
from app.log.whole import opened_state
from tests.unit.log.strategies import said
from tests.unit.log.test_merge_laws import shelf_of

STAMP = Stamp(7, "a.1")
LINK = link_key("m1", "m2", "related_to").key


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_every_state_that_entries_make_is_opened_as_it_is(kind, data):
    entries = data.draw(st.lists(said(kind), min_size=1, max_size=4))
    beside = data.draw(st.lists(said(*sorted(KINDS)), max_size=4))
    for key, state in shelf_of(entries, beside).states.items():
        opened, cells = opened_state(key.kind, key.key, state)
        assert opened == key
        assert encode_state(cells) == state


@pytest.mark.parametrize(
    ("kind", "key", "register", "value"),
    [
        ("memory", "", "tags", []),
        ("memory", "m1", "tags", [1]),
        ("memory", "m1", "life", [0, "purged", None, None]),
        ("memory", "m1", "meta.x", [1, 2]),
        ("link", LINK, "life", "archived"),
        ("link", LINK, "facts", ["2026-06-01T12:00:00Z", None, None, "text", None]),
        ("link", LINK, "valid_until", "tomorrow"),
        ("link", link_key("m1", "m1", "related_to").key, "life", "live"),
        ("link", link_key("m1", "m2", "adores").key, "life", "live"),
        ("link", "m1", "life", "live"),
        ("alias", "m1", "life", "live"),
        ("alias", "m1\x1falias", "life", "live"),
        ("standard", "work", "binding", ["m1", None]),
        ("member", "ffee000000000000", "membership", ["present", None]),
        ("pending", "p1", "request", []),
        ("pending", "p1", "decision", [2, "alice", "now"]),
        ("pending", "p1", "vote.alice", 7),
    ],
)
def test_what_no_entry_could_have_written_is_refused(kind, key, register, value: Value):
    state = encode_state({register: Written(value, STAMP)})
    with pytest.raises(EntryRefusedError) as caught:
        opened_state(kind, key, state)
    assert caught.value.details["reason"] == "malformed_payload"


def test_counters_are_totals_of_origins():
    for value in (7, {"a.1": -1}, {"a.1": "many"}):
        with pytest.raises(EntryRefusedError):
            opened_state("memory", "m1", encode_state({"accesses": value}))  # type: ignore[dict-item]  # what no entry writes
    key, cells = opened_state("memory", "m1", encode_state({"accesses": {"a.1": 3}}))
    assert (key, cells) == (EntityKey("memory", "m1"), {"accesses": {"a.1": 3}})


def test_a_kind_to_come_and_bytes_that_are_no_state_are_refused():
    for kind, state in (("horse", encode_state({})), ("memory", b"\xff"), ("memory", b"\x01")):
        with pytest.raises(EntryRefusedError):
            opened_state(kind, "m1", state)


def test_the_latest_stamp_is_that_of_the_newest_register():
    assert latest_stamp({}) == 0
    cells = {"tags": Written([], Stamp(3, "a.1")), "expires": Written(None, Stamp(9, "a.1"))}
    assert latest_stamp({**cells, "accesses": {"a.1": 99}}) == 9
