"""Stamps only rise, whatever the wall clock does, and a peer far ahead moves nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.log.hlc import (
    COUNTER_MAX,
    HLC_MAX,
    MAX_OFFSET_MS,
    HlcTooFarAheadError,
    HybridClock,
    Stamp,
    pack,
    parse_stamp,
    wall_milliseconds,
)

WALLS = st.integers(0, (1 << 46) - 1)


@given(st.lists(WALLS, min_size=2))
def test_every_tick_is_above_the_last_even_when_the_wall_clock_goes_back(walls):
    clock = HybridClock()
    ticks = [clock.tick(wall) for wall in walls]
    assert all(later > earlier for earlier, later in pairwise(ticks))
    assert clock.last == ticks[-1]


@given(WALLS)
def test_a_clock_that_is_not_behind_the_wall_shows_the_wall(wall):
    assert wall_milliseconds(HybridClock().tick(wall + 1)) == wall + 1


@given(WALLS, st.integers(0, MAX_OFFSET_MS), st.integers(0, COUNTER_MAX))
def test_a_tick_after_an_observation_exceeds_it(now, ahead, counter):
    clock = HybridClock()
    remote = pack(now + ahead, counter)
    clock.observe(remote, now)
    assert clock.tick(now) > remote


@given(WALLS, st.integers(1, 1 << 40), st.integers(0, HLC_MAX))
def test_a_stamp_beyond_the_offset_is_refused_and_moves_nothing(now, beyond, last):
    clock = HybridClock(last)
    with pytest.raises(HlcTooFarAheadError):
        clock.observe(pack(now + MAX_OFFSET_MS + beyond), now)
    assert clock.last == last


def test_a_full_counter_carries_into_the_milliseconds():
    clock = HybridClock(pack(5, COUNTER_MAX))
    assert clock.tick(5) == pack(6, 0)


STAMPS = st.builds(Stamp, st.integers(0, HLC_MAX), st.sampled_from(("a.1", "b.2", "v070:x")))


@given(STAMPS, STAMPS)
def test_stamp_text_reads_back_and_sorts_as_stamps_do(left, right):
    assert parse_stamp(left.text()) == left
    assert (left.text() < right.text()) == (left < right)


@pytest.mark.parametrize(
    "text",
    ["", "0" * 16, "0" * 16 + ".", "0" * 15 + ".a", "+" + "0" * 15 + ".a", "0x" + "0" * 14 + ".a"],
)
def test_what_is_no_stamp_is_refused(text):
    with pytest.raises(ValueError, match="not a stamp"):
        parse_stamp(text)
