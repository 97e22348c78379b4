"""Vector clocks join as a lattice, never skip a number, and name exactly what is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.log.cursor import VectorClock

CLOCKS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 5)).map(VectorClock)


@given(CLOCKS, CLOCKS, CLOCKS)
def test_joining_is_commutative_associative_and_idempotent(a, b, c):
    assert a.joined(b) == b.joined(a)
    assert a.joined(b).joined(c) == a.joined(b.joined(c))
    assert a.joined(a) == a


@given(CLOCKS, CLOCKS)
def test_the_join_is_the_least_clock_that_covers_both(a, b):
    joined = a.joined(b)
    assert joined.covers(a)
    assert joined.covers(b)
    assert all(joined[origin] in (a[origin], b[origin]) for origin in joined.origins())


@given(CLOCKS, CLOCKS)
def test_covering_both_ways_is_equality(a, b):
    assert (a.covers(b) and b.covers(a)) == (a == b)
    assert a != b or hash(a) == hash(b)


@given(CLOCKS, CLOCKS)
def test_appending_what_is_missing_reaches_the_join(a, b):
    clock = a
    for origin, (first, last) in a.missing_from(b).items():
        for seq in range(first, last + 1):
            clock = clock.advanced(origin, seq)
    assert clock == a.joined(b)
    assert clock.missing_from(b) == {}


@given(CLOCKS, st.sampled_from("abcd"), st.integers(-1, 8))
def test_a_cursor_moves_by_one_and_never_skips(clock, origin, seq):
    if seq == clock[origin] + 1:
        assert clock.advanced(origin, seq)[origin] == seq
    else:
        with pytest.raises(ValueError, match="does not follow"):
            clock.advanced(origin, seq)


@given(CLOCKS)
def test_a_clock_survives_the_wire(clock):
    wire = clock.as_dict()
    assert VectorClock(wire) == clock
    assert list(wire) == sorted(wire)
    assert 0 not in wire.values()
