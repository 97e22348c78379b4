"""A signature over a chain's head proves every entry below it, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.log.entry import Draft, seal
from app.log.signing import SIGNATURE_BYTES, head_message, is_signed, sign_head

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
HEAD = seal(Draft("purge", "a", (), {}), "0123456789abcdef.1", 7, 1, bytes(32))


def test_the_signature_of_a_head_verifies():
    signature = sign_head(KEY, HEAD)
    assert len(signature) == SIGNATURE_BYTES
    assert is_signed(KEY.public_key(), signature, HEAD, InvalidSignature)


@pytest.mark.parametrize(
    "change", [{"origin": "0123456789abcdef.2"}, {"seq": 8}, {"hash": bytes(32)}]
)
def test_it_does_not_cover_another_head(change):
    signature = sign_head(KEY, HEAD)
    other = replace(HEAD, **change)
    assert not is_signed(KEY.public_key(), signature, other, InvalidSignature)


def test_another_key_does_not_verify():
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    signature = sign_head(stranger, HEAD)
    assert not is_signed(KEY.public_key(), signature, HEAD, InvalidSignature)


def test_no_two_heads_share_a_message():
    """The origin's length is part of it, so its end cannot be read as a number's beginning."""
    assert head_message("a.1", 1, bytes(32)) != head_message("a.1\x00", 1, bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        head_message("a.1", 1, b"")
