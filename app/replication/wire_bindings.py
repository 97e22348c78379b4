"""What the mesh knows of peers that speak v0.7.0's wire: by certificate and by credential."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

if TYPE_CHECKING:
    from app.replication.pins import PeerTrust
    from app.replication.vouching import Vouching


class WireBindings:
    """The bindings of nodes, by the names that v0.7.0 knows peers by."""

    def __init__(self, trust: PeerTrust, vouching: Vouching) -> None:
        self._trust = trust
        self._vouching = vouching

    def holder_of(self, fingerprint: str, /) -> str | None:
        """The peer that a client certificate is bound to."""
        pin = self._trust.bound_to(fingerprint)
        return None if pin is None else pin.name

    def vouched_key(
        self, peer: str, credential: str, chain: str | None, /
    ) -> Ed25519PublicKey | None:
        """The key that a credential binds to a peer; None if it proves nothing here."""
        claims = self._vouching.show(credential, chain)
        if claims is None or claims.subject != peer:
            return None
        return Ed25519PublicKey.from_public_bytes(claims.public_key)
