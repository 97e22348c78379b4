"""Peers of v0.7.0: how this node calls them, and what the mesh tells of those who call."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.bootstrap.sources import SystemClock, SystemIds
from app.replication.v070.client import V070Client, V070Credentials
from app.replication.v070.peer import OldPeer, V070Peer
from app.services.keys import KeyDirectory
from app.services.sync import V070Here

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

    from app.bootstrap.mesh_parts import FederationParts
    from app.replication.v070.signing import Signer
    from app.services.sync import SyncService
    from app.store.protocol import Store

CALL_SECONDS: Final = 30.0
"""How long a v0.7.0 node may take over a push or a page: it does one thing at a time."""


@dataclass(frozen=True, slots=True)
class OldPeers:
    """Opens them by their addresses."""

    parts: FederationParts
    store: Store
    sync: SyncService

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[OldPeer]:
        """The peer, for as long as its lane talks to it."""
        parts = self.parts
        identity = parts.plan.options.identity
        transport = next(one for one in parts.transports if one.url == url)
        signer: Signer | None = parts.key
        if not parts.credential():
            # A key that nobody could have enrolled would only have the request refused.
            signer = own_signer(parts.plan.key_dir, identity)
        credentials = V070Credentials(
            identity, SystemIds(), signer, parts.plan.api_key, parts.credential
        )
        async with old_client(url, transport.context, credentials) as client:
            here = V070Here(self.sync, url)
            yield OldPeer(V070Peer(client, identity, self.store, here, SystemClock()), here)


def own_signer(folder: Path | None, identity: str) -> Signer | None:
    """The key in the key folder that v0.7.0 nodes may have been given.

    Raises:
        KeyFileError: it is damaged, or others may read it.
    """
    return None if folder is None else KeyDirectory(folder).private_key(identity)


@asynccontextmanager
async def old_client(
    url: str, context: ssl.SSLContext | None, credentials: V070Credentials
) -> AsyncIterator[V070Client]:
    """A client with connections of its own; `context` is None for an `http://` address."""
    async with httpx.AsyncClient(
        verify=True if context is None else context,
        trust_env=False,
        limits=httpx.Limits(max_connections=2, max_keepalive_connections=1),
    ) as http:
        yield V070Client(http, url, credentials, CALL_SECONDS)


@dataclass(frozen=True, slots=True)
class KnownPeers:
    """The mesh's `Bindings`."""

    parts: FederationParts

    def holder_of(self, fingerprint: str, /) -> str | None:
        """The peer that a client certificate is bound to."""
        pin = self.parts.trust.bound_to(fingerprint)
        return None if pin is None else pin.name or None

    def vouched_key(
        self, peer: str, credential: str, chain: str | None, /
    ) -> Ed25519PublicKey | None:
        """The key that a credential binds to a peer; None if it proves nothing here."""
        claims = self.parts.vouching.show(credential, chain)
        if claims is None or claims.subject != peer:
            return None
        return Ed25519PublicKey.from_public_bytes(claims.public_key)
