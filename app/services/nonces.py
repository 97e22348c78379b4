"""Nonces that were used once for a link, so that a verification cannot be replayed."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import Final

NONCES_MAX: Final = 100_000  # semantics 1.9


class NonceCache:
    """The latest fingerprints, first in, first out; local to this process."""

    def __init__(self, size: int = NONCES_MAX) -> None:
        self._size = size
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def use(self, link_id: str, nonce: str) -> bool:
        """Remember the nonce; False when it was used for this link before."""
        fingerprint = _fingerprint(link_id.encode(), b"", nonce.encode("utf-8", "surrogatepass"))
        if fingerprint in self._seen:
            return False
        self._seen[fingerprint] = None
        if len(self._seen) > self._size:
            self._seen.popitem(last=False)
        return True


def _fingerprint(*parts: bytes) -> bytes:
    """SHA-256 over the parts, each after its length in four big-endian bytes."""
    return sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
