"""One value has one form, and nothing but plain values comes out of bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.log.canonical import CanonicalError, Value, decode, encode, encode_sorted

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES: st.SearchStrategy[Value] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_encoding_after_decoding_gives_the_same_bytes(value):
    data = encode(value)
    assert encode(decode(data)) == data


@given(st.dictionaries(st.text(), st.integers() | st.text(), max_size=6), st.randoms())
def test_the_order_of_keys_leaves_no_trace(value, random):
    keys = list(value)
    random.shuffle(keys)
    assert encode({key: value[key] for key in keys}) == encode(value)


@given(st.dictionaries(st.text(), st.integers() | st.text(), max_size=6))
def test_the_cheap_encoding_of_sorted_keys_is_the_canonical_one(value):
    ordered = dict(
        sorted(value.items(), key=lambda item: (len(item[0].encode()), item[0].encode()))
    )
    assert encode_sorted(ordered) == encode(value)


@given(st.binary(max_size=60))
def test_any_bytes_decode_to_a_value_or_are_refused(data):
    try:
        value = decode(data)
    except CanonicalError:
        return
    assert encode(decode(encode(value))) == encode(value)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("0102", "bytes follow"),
        ("", "premature end"),
        ("f7", "not a value"),
        ("e0", "not a value"),
        ("a10102", "key"),
        ("a1410102", "not a text"),
        ("a2616101616102", "Duplicate"),
        ("c074323031332d30332d32315432303a30343a30305a", "tag"),
        ("d81c81d81d00", "tag"),
        ("d9010281010a", "tag"),
        ("9f01ff", "indefinite"),
        ("81" * 500 + "01", "depth"),
    ],
)
def test_what_is_not_plain_is_refused(data, why):
    """Tags would bring dates, sets and cycles; other keys and endless nesting break callers."""
    with pytest.raises(CanonicalError, match=why):
        decode(bytes.fromhex(data))


def test_big_integers_are_plain():
    assert decode(encode(1 << 80)) == 1 << 80


def test_a_text_that_utf8_cannot_carry_has_no_bytes():
    with pytest.raises(CanonicalError):
        encode({"title": "\ud800"})
