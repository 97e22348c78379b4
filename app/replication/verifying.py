"""Whether a node signed the head of a run."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.log.signing import is_signed

if TYPE_CHECKING:
    from app.log.entry import Entry


def is_head_signed(public_key: bytes, signature: bytes, head: Entry) -> bool:
    """Whether the holder of a raw Ed25519 key signed everything up to and including `head`."""
    return is_signed(_key(public_key), signature, head, InvalidSignature)


@lru_cache(maxsize=256)
def _key(public_key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public_key)
