"""Nonces of signed requests that were seen, so that a captured one cannot be sent again.

A v0.7.0 nonce names no time, so what is forgotten can be replayed. The oldest go when a peer has
many, never one younger than the window unless the peer sends more than it ever should.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW_MS: Final = 300_000
PER_PEER: Final = 10_000
PER_PEER_MAX: Final = 50_000
PEERS_MAX: Final = 1_024


class SeenNonce(NamedTuple):
    """One nonce of one peer, as it is kept."""

    peer: str
    fingerprint: bytes
    """SHA-256 over peer and nonce, each after its length in four big-endian bytes."""
    seen_ms: int


class ReplayedNonceError(Exception):
    """The peer has used this nonce before."""


class Nonces:
    """The latest nonces of each peer; every step costs the same, however many there are."""

    def __init__(self, per_peer: int = PER_PEER, per_peer_max: int = PER_PEER_MAX) -> None:
        self._per_peer = per_peer
        self._per_peer_max = per_peer_max
        self._peers: OrderedDict[str, OrderedDict[bytes, int]] = OrderedDict()

    def load(self, seen: Iterable[SeenNonce]) -> None:
        """Take over what an earlier process kept, oldest first."""
        for one in seen:
            self._peers.setdefault(one.peer, OrderedDict()).setdefault(one.fingerprint, one.seen_ms)

    def use(self, peer: str, nonce: str, now_ms: int) -> tuple[SeenNonce, list[SeenNonce]]:
        """Remember a nonce; also says which ones gave way.

        Raises:
            ReplayedNonceError: it was used before.
        """
        seen = self._peers.setdefault(peer, OrderedDict())
        self._peers.move_to_end(peer)
        fingerprint = fingerprint_of(peer, nonce)
        if fingerprint in seen:
            raise ReplayedNonceError(nonce)
        seen[fingerprint] = now_ms
        gone: list[SeenNonce] = []
        while self._is_over(seen, now_ms):
            old, at = seen.popitem(last=False)
            gone.append(SeenNonce(peer, old, at))
        if len(self._peers) > PEERS_MAX:
            quiet, its = self._peers.popitem(last=False)
            gone.extend(SeenNonce(quiet, old, at) for old, at in its.items())
        return SeenNonce(peer, fingerprint, now_ms), gone

    def forget(self, seen: SeenNonce) -> None:
        """Its request came to nothing, and may be sent again as it was."""
        self._peers.get(seen.peer, OrderedDict()).pop(seen.fingerprint, None)

    def _is_over(self, seen: OrderedDict[bytes, int], now_ms: int) -> bool:
        if len(seen) <= self._per_peer:
            return False
        oldest = next(iter(seen.values()))
        return oldest <= now_ms - WINDOW_MS or len(seen) > self._per_peer_max


def fingerprint_of(peer: str, nonce: str) -> bytes:
    """What is kept of a nonce."""
    parts = (peer.encode(), nonce.encode("utf-8", "surrogatepass"))
    return sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
