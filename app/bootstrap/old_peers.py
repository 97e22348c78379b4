"""Peers of v0.7.0: how this node calls them, and what the mesh tells of those who call."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.bootstrap.mesh_plan import make_contexts, read_peers
from app.bootstrap.reloading import ReloadError
from app.bootstrap.sources import SystemClock, SystemIds
from app.config.errors import ConfigRefusedError
from app.domain.timestamps import format_instant
from app.replication.peer_list import PeerAddress
from app.replication.v070.client import V070Client, V070Credentials
from app.replication.v070.daemon import LocalNode, Reconciler, reconcile
from app.replication.v070.peer import OldPeer, V070Peer
from app.services.keys import KeyDirectory
from app.services.sync import V070Here

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from app.bootstrap.mesh_parts import FederationParts
    from app.config.sections.federation import Federation
    from app.config.settings import Settings
    from app.replication.v070.daemon import Open
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


@dataclass(frozen=True, slots=True)
class DaemonPlan:
    """What `sync-daemon` is told; certificates are settings."""

    urls: Sequence[str]
    interval_seconds: int
    batch_rows: int
    api_key: str | None = None

    def unverifiable(self, federation: Federation) -> Sequence[str]:
        """Peers of whose certificates nothing is known.

        Raises:
            ConfigRefusedError: the peer file cannot be used.
        """
        if federation.quorum_ca_cert is not None:
            return ()
        found = self.addresses(federation)
        return [one.url for one in found if one.pin is None and one.url.startswith("https://")]

    def addresses(self, federation: Federation) -> Sequence[PeerAddress]:
        """The peers, with their pins from the peer file.

        Raises:
            ConfigRefusedError: the file cannot be used.
        """
        try:
            pins = {one.url: one.pin for one in read_peers(federation)}
        except ReloadError as error:
            raise ConfigRefusedError(str(error)) from None
        return [PeerAddress(url, pins.get(url)) for url in self.urls]

    def contexts(self, federation: Federation) -> dict[str, ssl.SSLContext | None]:
        """TLS to each peer.

        Raises:
            ConfigRefusedError: a file cannot be used.
        """
        try:
            return make_contexts(federation, self.addresses(federation))
        except ReloadError as error:
            raise ConfigRefusedError(str(error)) from None


async def run_daemon(
    plan: DaemonPlan, settings: Settings, open_: Open, say: Callable[[str], None]
) -> None:
    """Reconcile until SIGINT or SIGTERM.

    Raises:
        ConfigRefusedError: a certificate, key or the peer file cannot be used.
        AiMemoryError: the store cannot be opened.
    """
    contexts = plan.contexts(settings.federation)
    node = LocalNode(open_)
    # Also says at once when the store cannot be used at all.
    identity = (await node.position(plan.urls[0])).identity
    credentials = V070Credentials(
        identity, SystemIds(), own_signer(settings.identity.key_dir, identity), plan.api_key
    )
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        peers = [
            Reconciler(
                node,
                await stack.enter_async_context(old_client(url, contexts[url], credentials)),
                lambda: format_instant(clock.now()),
                plan.batch_rows,
            )
            for url in plan.urls
        ]
        running = asyncio.create_task(reconcile(peers, plan.interval_seconds, say))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, running.cancel)
        with suppress(asyncio.CancelledError):
            await running
