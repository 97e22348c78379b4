"""Digests: whether two nodes hold the same states, and in which bucket they differ.

A bucket's digest is the sum of its rows' hashes modulo 2^256 (the AdHash of Bellare and
Micciancio, "A new paradigm for collision-free hashing", EUROCRYPT 1997). So a change costs one
subtraction and one addition, the order of changes does not matter, and deltas add up.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.log.state import EntityKey

BUCKETS: Final = 256
DIGEST_BYTES: Final = 32
EMPTY: Final = bytes(DIGEST_BYTES)
_MODULUS: Final = 1 << (8 * DIGEST_BYTES)


def bucket_of(key: EntityKey) -> int:
    """The bucket of a state, 0 to 255: the first byte of SHA-256 over kind, NUL and key."""
    return sha256(f"{key.kind}\x00{key.key}".encode()).digest()[0]


def changed(digest: bytes, old_hash: bytes | None, new_hash: bytes | None) -> bytes:
    """`digest` after a row went from `old_hash` to `new_hash`; None is no row."""
    return folded((digest, delta(old_hash, new_hash)))


def delta(old_hash: bytes | None, new_hash: bytes | None) -> bytes:
    """What a row's change adds to its bucket's digest."""
    return _bytes(_number(new_hash) - _number(old_hash))


def folded(parts: Iterable[bytes]) -> bytes:
    """The sum of digests, deltas or row hashes, in any order."""
    return _bytes(sum(map(_number, parts)))


def _number(digest: bytes | None) -> int:
    if digest is None:
        return 0
    if len(digest) != DIGEST_BYTES:
        raise ValueError(f"a digest has {DIGEST_BYTES} bytes, not {len(digest)}")
    return int.from_bytes(digest)


def _bytes(number: int) -> bytes:
    return (number % _MODULUS).to_bytes(DIGEST_BYTES)
