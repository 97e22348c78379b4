"""What the settings say of peers and TLS, checked before anything listens, and read again later."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from app.bootstrap.reloading import ReloadError
from app.bootstrap.sources import SystemClock
from app.config.errors import ConfigRefusedError
from app.replication.admission import ClientAdmission, Guard
from app.replication.allowlist import FingerprintError, parse_allowlist
from app.replication.credentials import CHAIN_HEADER, CREDENTIAL_HEADER, read_bundle
from app.replication.durability import Durability
from app.replication.options import MeshOptions, MeshOptionsError
from app.replication.peer_list import PeerListError, join_peers, parse_peer_file
from app.replication.tls import (
    Anchors,
    KeyPair,
    LiveContext,
    TlsFileError,
    client_context,
    pinned_context,
    server_context,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from pathlib import Path

    from app.config.resolve import Resolution
    from app.config.sections.federation import Federation, Tls
    from app.replication.allowlist import Allowlist
    from app.replication.credentials import TrustBundle
    from app.replication.peer_list import PeerAddress

_HOST_PREFIX: Final = "host:"
_UNKNOWN_HOST: Final = "unknown-host"
_HTTPS: Final = "https://"


@dataclass(frozen=True, slots=True)
class FederationPlan:
    """What an operator decided, and whether it can be: made before anything listens."""

    settings: Federation
    tls: Tls
    options: MeshOptions
    peers: tuple[PeerAddress, ...]
    api_key: str | None = field(repr=False)
    key_dir: Path | None
    guard: Guard | None
    """TLS of the public port."""

    @property
    def is_meshed(self) -> bool:
        """Whether this node has peers, or may be one."""
        has_peers = bool(self.peers) or self.settings.peer_file is not None
        return has_peers or self.guard is not None

    @property
    def readable_peers(self) -> tuple[str, ...]:
        """Peers on other machines that are not spoken to over TLS."""
        plain = (peer.url for peer in self.peers if not peer.url.startswith(_HTTPS))
        return tuple(url for url in plain if not is_loopback(urlsplit(url).hostname or ""))

    @property
    def has_client_certificates(self) -> bool:
        """Whether nobody without an allowlisted certificate gets in."""
        return self.guard is not None and self.guard.admission is not None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def plan_federation(resolution: Resolution) -> FederationPlan:
    """Check everything that the settings say of peers and TLS.

    Raises:
        ConfigRefusedError: settings contradict each other, or a file cannot be used.
    """
    settings, tls = resolution.settings.federation, resolution.settings.tls
    _check_pairs(settings, tls)
    key = resolution.settings.api_key
    try:
        peers = read_peers(settings)
        options = mesh_options(settings, peers)
        guard = _guard(tls, settings)
        make_contexts(settings, peers)
    except (MeshOptionsError, ReloadError) as error:
        raise ConfigRefusedError(str(error)) from None
    return FederationPlan(
        settings=settings,
        tls=tls,
        options=options,
        peers=peers,
        api_key=None if key is None else key.reveal(),
        key_dir=resolution.settings.identity.key_dir,
        guard=guard,
    )


def _check_pairs(settings: Federation, tls: Tls) -> None:
    if (tls.cert is None) != (tls.key is None):
        raise ConfigRefusedError("--tls-cert and --tls-key go together")
    if tls.mtls_allowlist is not None and tls.cert is None:
        raise ConfigRefusedError("--mtls-allowlist needs --tls-cert and --tls-key")
    if tls.client_cert_dir is not None and tls.mtls_allowlist is None:
        raise ConfigRefusedError("--mtls-client-cert-dir needs --mtls-allowlist")
    if settings.quorum_client_key is not None and settings.quorum_client_cert is None:
        raise ConfigRefusedError("--quorum-client-key needs --quorum-client-cert")


def mesh_options(settings: Federation, peers: Sequence[PeerAddress]) -> MeshOptions:
    """The mesh's options, for these peers.

    Raises:
        MeshOptionsError: more copies are asked for than there are nodes.
    """
    return MeshOptions(
        identity=settings.identity or _HOST_PREFIX + (socket.gethostname() or _UNKNOWN_HOST),
        peers=tuple(peer.url for peer in peers),
        writes=settings.quorum_writes,
        durability=None if settings.durability is None else Durability(settings.durability),
        timeout_seconds=settings.quorum_timeout_ms / 1_000,
        batch_bytes=settings.batch_bytes,
        batch_seconds=settings.batch_ms / 1_000,
        catchup_seconds=float(settings.catchup_interval_secs),
        max_offset_ms=settings.max_clock_offset_ms,
        horizon_seconds=settings.log_retention_hours * 3_600.0,
        takeover_seconds=float(settings.vector_takeover_secs),
    )


def _text(path: Path, what: str) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise ReloadError(f"{what} {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ReloadError(f"{what} {path} is not UTF-8") from None


def read_peers(settings: Federation) -> tuple[PeerAddress, ...]:
    """The peers of the setting and of the peer file.

    Raises:
        ReloadError: the file cannot be used, or a peer is named twice.
    """
    path = settings.peer_file
    try:
        listed = () if path is None else parse_peer_file(_text(path, "the peer file"))
    except PeerListError as error:
        raise ReloadError(f"the peer file {path}: {error}") from None
    try:
        return join_peers(settings.quorum_peers, listed)
    except PeerListError as error:
        raise ReloadError(str(error)) from None


def read_allowlist(path: Path) -> Allowlist:
    """The clients that may connect.

    Raises:
        ReloadError: the file cannot be used.
    """
    try:
        return parse_allowlist(_text(path, "the allowlist"))
    except FingerprintError as error:
        raise ReloadError(f"the allowlist {path}: {error}") from None


def make_server_context(tls: Tls, settings: Federation) -> ssl.SSLContext:
    """TLS of the public port, as the files are now.

    Raises:
        ReloadError: a file cannot be used.
    """
    assert tls.cert is not None
    clients = None
    if tls.mtls_allowlist is not None:
        clients = Anchors(settings.quorum_ca_cert, tls.client_cert_dir)
    try:
        return server_context(KeyPair(tls.cert, tls.key), clients)
    except TlsFileError as error:
        raise ReloadError(str(error)) from None


def _guard(tls: Tls, settings: Federation) -> Guard | None:
    if tls.cert is None:
        return None
    context = LiveContext(make_server_context(tls, settings))
    if tls.mtls_allowlist is None:
        return Guard(context)
    return Guard(context, ClientAdmission(read_allowlist(tls.mtls_allowlist), SystemClock()))


def make_contexts(
    settings: Federation, peers: Sequence[PeerAddress]
) -> dict[str, ssl.SSLContext | None]:
    """TLS to each peer, by its address, None without; those without a pin share one.

    Raises:
        ReloadError: a file cannot be used.
    """
    own = None
    if settings.quorum_client_cert is not None:
        own = KeyPair(settings.quorum_client_cert, settings.quorum_client_key)
    shared: ssl.SSLContext | None = None
    found: dict[str, ssl.SSLContext | None] = {}
    try:
        for peer in peers:
            if not peer.url.startswith(_HTTPS):
                found[peer.url] = None
            elif peer.pin is not None:
                found[peer.url] = pinned_context(own, peer.pin)
            else:
                shared = shared or client_context(own, Anchors(settings.quorum_ca_cert))
                found[peer.url] = shared
    except TlsFileError as error:
        raise ReloadError(str(error)) from None
    return found


def read_trust(settings: Federation) -> TrustBundle | None:
    """The issuers whose credentials count; None if none are configured.

    Raises:
        ReloadError: the folder cannot be used.
    """
    folder = settings.trust_bundle_dir
    if folder is None:
        return None
    try:
        return read_bundle(folder, settings.trust_domain)
    except (OSError, ValueError) as error:
        raise ReloadError(f"the trust bundle {folder}: {error}") from None


def read_own_credential(settings: Federation) -> dict[str, str]:
    """The headers that vouch for this node.

    Raises:
        ReloadError: a file cannot be read.
    """
    found: dict[str, str] = {}
    places = ((CREDENTIAL_HEADER, settings.cred_path), (CHAIN_HEADER, settings.cred_chain_path))
    for header, path in places:
        if path is not None:
            found[header] = ",".join(_text(path, "the credential").split())
    return found
