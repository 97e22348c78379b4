"""Instants, not texts."""

from hypothesis import given
from hypothesis import strategies as st

from app.log.hlc import Stamp, wall_milliseconds
from app.replication.v070.times import instant_of, is_ahead, stamp_of

NOW = "2026-06-01T00:00:00.000000+00:00"


def test_order_is_that_of_time():
    texts = [
        "2026-06-01T00:00:00Z",
        "2026-06-01T00:00:00.000000001+00:00",
        "2026-06-01T05:00:00.9+05:00",
        "2026-06-01T00:00:00.900000001Z",
        "2026-05-31T23:00:01-01:00",
        "2026-06-01 00:00:01.5z",
    ]
    instants = [instant_of(one) for one in texts]
    assert instants == sorted(instants)
    assert len(set(instants)) == len(texts)


@given(st.integers(0, 9_999_999), st.sampled_from(("Z", "+00:00", "+05:30", "-11:00")))
def test_a_stamp_is_the_millisecond_and_the_peer(number, offset):
    text = f"2026-06-01T00:00:00.{number:07}{offset}"
    stamp = stamp_of(text, "p")
    assert stamp.origin == "v070:p"
    assert wall_milliseconds(stamp.hlc) == instant_of(text).microseconds // 1_000
    assert stamp.hlc & 0xFFFF == 0


def test_times_before_1970_are_the_first():
    assert stamp_of("1969-01-01T00:00:00Z", "p") == Stamp(0, "v070:p")


def test_a_minute_of_difference_is_tolerated():
    assert not is_ahead("2026-06-01T00:01:00Z", NOW)
    assert is_ahead("2026-06-01T00:01:00.001Z", NOW)
    assert not is_ahead("2000-06-01T00:01:00Z", NOW)
