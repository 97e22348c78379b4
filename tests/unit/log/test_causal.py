"""Tokens: opaque to clients, exact to us, harmless whatever comes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.log.causal import ENTRIES_MAX, read_token, token_of
from app.log.cursor import VectorClock

ORIGINS = st.builds("{:016x}.{}".format, st.integers(0, 2**64 - 1), st.integers(1, 9_999_999_999))
CLOCKS = st.dictionaries(ORIGINS, st.integers(1, 2**59), max_size=ENTRIES_MAX).map(VectorClock)


@given(CLOCKS)
def test_a_token_is_read_as_it_was_written(seen: VectorClock):
    token = token_of(seen)
    assert token.isascii()
    assert token.isprintable()
    assert read_token(token) == seen
    assert read_token(f" {token} ") == seen


@given(st.text())
def test_any_text_is_a_clock_or_none(text: str):
    for one in (text, f"v1:{text}"):
        found = read_token(one)
        assert found is None or read_token(token_of(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v2",
        "v1:",
        "v1:00112233445566aa.1",
        "v1:00112233445566aa.1.0",
        "v1:00112233445566aa.0.1",
        "v1:v070:peer.1",
        "v1:00112233445566aa.1.5:00112233445566aa.1.5",
        "v1" + ":00112233445566aa.1.5" * 1_000,
    ],
)
def test_what_names_no_entry_is_none(text: str):
    assert read_token(text) is None
