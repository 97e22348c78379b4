"""What is an Ed25519 public key and what is not."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ed25519 import is_public_key

P = 2**255 - 19


@given(st.binary(min_size=32, max_size=32))
def test_the_public_half_of_every_private_key_is_one(seed):
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()

    assert is_public_key(key)


@given(st.integers(0, 2**255 - 20))
def test_about_half_of_all_numbers_are_and_the_sign_makes_no_difference(y):
    """-x is on the curve whenever x is, except that zero has one sign only."""
    plain = y.to_bytes(32, "little")
    negative = (y | 1 << 255).to_bytes(32, "little")

    assert is_public_key(plain) == is_public_key(negative) or y in {1, P - 1}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        # RFC 8032, 7.1, test 1.
        (
            bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
            True,
        ),
        ((1).to_bytes(32, "little"), True),  # the neutral point
        ((1 | 1 << 255).to_bytes(32, "little"), False),  # x = 0 written as negative
        (P.to_bytes(32, "little"), False),  # y = 0, not in its least form
        ((2).to_bytes(32, "little"), False),  # no x belongs to it
        (b"\xff" * 32, False),
    ],
)
def test_known_points(key, expected):
    assert is_public_key(key) is expected
