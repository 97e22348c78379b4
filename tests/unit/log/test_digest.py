"""Digests depend on what is held, never on how it came to be held."""

from __future__ import annotations

from collections import Counter
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.log.digest import BUCKETS, EMPTY, bucket_of, changed, delta, folded
from app.log.state import EntityKey, row_hash

HASHES = st.binary(min_size=32, max_size=32)


@given(st.lists(HASHES, max_size=8), st.randoms())
def test_the_order_in_which_rows_arrive_does_not_matter(rows, random):
    shuffled = rows[:]
    random.shuffle(shuffled)
    one = reduce(lambda digest, row: changed(digest, None, row), rows, EMPTY)
    other = reduce(lambda digest, row: changed(digest, None, row), shuffled, EMPTY)
    assert one == other == folded(rows)


@given(HASHES, st.none() | HASHES, st.none() | HASHES, st.none() | HASHES)
def test_two_changes_of_a_row_equal_the_one_from_first_to_last(digest, first, second, third):
    assert changed(changed(digest, first, second), second, third) == changed(digest, first, third)


@given(HASHES, HASHES)
def test_a_row_that_comes_and_goes_leaves_no_trace(digest, row):
    assert changed(changed(digest, None, row), row, None) == digest
    assert changed(digest, row, row) == digest


@given(st.lists(st.tuples(st.none() | HASHES, st.none() | HASHES), max_size=6), HASHES)
def test_deltas_kept_apart_fold_into_the_same_digest(changes, digest):
    at_once = reduce(lambda one, change: changed(one, *change), changes, digest)
    later = folded([digest, *(delta(old, new) for old, new in changes)])
    assert at_once == later


def test_the_same_state_under_another_key_changes_the_digest():
    hashes = {
        row_hash(EntityKey(kind, key), b"state") for kind in ("memory", "link") for key in "ab"
    }
    assert len(hashes) == 4


def test_buckets_are_a_byte_and_fill_evenly():
    counts = Counter(bucket_of(EntityKey("memory", str(number))) for number in range(25_600))
    assert set(counts) == set(range(BUCKETS))
    assert max(counts.values()) < 2 * 100


def test_a_key_has_the_bucket_that_the_wire_promises():
    """SHA-256 of `memory NUL a` starts with 0x5b; nodes must agree for ever."""
    assert bucket_of(EntityKey("memory", "a")) == 0x5B


def test_a_digest_of_another_width_is_a_programming_error():
    with pytest.raises(ValueError, match="32 bytes"):
        changed(b"short", None, EMPTY)
