"""What the mesh and the surface of a running node are made of, besides the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from app.bootstrap.mesh_plan import (
    make_contexts,
    make_server_context,
    mesh_options,
    read_allowlist,
    read_own_credential,
    read_peers,
    read_trust,
)
from app.bootstrap.reloading import Reloadable, ReloadError
from app.bootstrap.sources import SystemClock, SystemDisk, SystemRandomness
from app.config.errors import ConfigRefusedError
from app.replication.attestation import AttestedScopes, parse_attestation
from app.replication.authentication import Authenticator
from app.replication.http_transport import Credentials, HttpTransport
from app.replication.node_key import Ed25519NodeKey, NodeKeyError, node_key_file, open_node_key
from app.replication.options import MeshOptionsError
from app.replication.pin_rows import PinRows, read_pins
from app.replication.pins import PeerTrust
from app.replication.request_proof import Prover, Verifier
from app.replication.vouching import Vouching
from app.services.keys import KeyDirectory, KeyFileError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from app.bootstrap.mesh_plan import FederationPlan
    from app.bootstrap.reloading import Watched
    from app.replication.allowlist import Allowlist
    from app.replication.credentials import TrustBundle
    from app.replication.mesh import Mesh
    from app.replication.peer_list import PeerAddress
    from app.replication.scopes import Scopes
    from app.store.protocol import Store

_NO_KEY: Final = b""
"""What a damaged key file holds: a key that nobody has."""
_Peers: TypeAlias = "tuple[tuple[PeerAddress, ...], dict[str, ssl.SSLContext | None]]"


@dataclass(slots=True)
class FederationParts:
    """What the mesh and the surface are made of, besides the store."""

    plan: FederationPlan
    key: Ed25519NodeKey
    trust: PeerTrust
    scopes: Scopes
    authenticator: Authenticator
    transports: list[HttpTransport]
    pins: PinRows
    vouching: Vouching
    credential: Callable[[], dict[str, str]]
    """Headers that vouch for `key`; none without a credential."""
    watched: Sequence[Watched]
    mesh: Mesh | None = None
    """Told when the list of peers changes, once there is one."""

    def trust_changed(self) -> None:
        """Let lost peers be tried again at once."""
        if self.mesh is not None:
            self.mesh.trust_changed()

    def sweep(self) -> None:
        """Drop clients whose time on the allowlist is over; learn where peers answer."""
        guard = self.plan.guard
        if guard is not None and guard.admission is not None:
            guard.admission.sweep()
        if self.mesh is not None:
            for url, lane in self.mesh.lanes.items():
                if lane.peer.node_id is not None:
                    self.trust.note_url(lane.peer.node_id, url)


async def open_federation(
    plan: FederationPlan, store: Store, local: Path, node_id: str
) -> FederationParts:
    """Make the parts; `local` is the file that stands for the store on this machine.

    Raises:
        ConfigRefusedError: the node's key, or a file of trust, cannot be used.
        StoreUnavailableError: the bindings cannot be read.
    """
    clock, settings = SystemClock(), plan.settings
    keys = None if plan.key_dir is None else KeyDirectory(plan.key_dir)
    try:
        key = _own_key(plan, keys, local)
        vouching = Vouching(_enrolled(keys), clock.now, read_trust(settings))
        headers = read_own_credential(settings)
        transports = _Transports(plan, Prover(node_id, key), headers)
    except (ReloadError, KeyFileError, NodeKeyError) as error:
        raise ConfigRefusedError(str(error)) from None
    attestation = parse_attestation(settings.peer_attestation)
    pins = PinRows(store)
    trust = PeerTrust(
        await read_pins(store),
        pins,
        vouching,
        clock.now,
        names_count=attestation.is_configured,
        enrolment_required=settings.require_peer_enrollment and not settings.allow_unenrolled_peers,
    )
    parts = FederationParts(
        plan=plan,
        key=key,
        trust=trust,
        scopes=AttestedScopes(attestation, trust.name_of),
        authenticator=Authenticator(trust, Verifier(node_id, SystemRandomness()), vouching),
        transports=transports.all,
        pins=pins,
        vouching=vouching,
        credential=lambda: transports.headers,
        watched=(),
    )
    parts.watched = [
        *_inbound(plan),
        *_outbound(parts, transports),
        *_vouchers(parts, transports, vouching),
    ]
    return parts


def _own_key(plan: FederationPlan, keys: KeyDirectory | None, local: Path) -> Ed25519NodeKey:
    enrolled = None if keys is None else keys.private_key(plan.options.identity)
    if enrolled is not None:
        return Ed25519NodeKey(enrolled)
    return open_node_key(node_key_file(local), SystemRandomness(), SystemDisk())


def _enrolled(keys: KeyDirectory | None) -> Callable[[str], bytes | None]:
    def find(name: str) -> bytes | None:
        try:
            key = None if keys is None else keys.public_key(name)
        except KeyFileError:
            return _NO_KEY
        return None if key is None else key.public_bytes_raw()

    return find


class _Transports:
    """One transport a peer, kept while the peer is, whatever certificates come and go."""

    def __init__(self, plan: FederationPlan, prover: Prover, headers: dict[str, str]) -> None:
        self.headers = headers
        self.peers = plan.peers
        self._settings = plan.settings
        self._credentials = Credentials(prover, lambda: self.headers, plan.api_key)
        self._by_url: dict[str, HttpTransport] = {}
        self.use(plan.peers, make_contexts(plan.settings, plan.peers))

    @property
    def all(self) -> list[HttpTransport]:
        return list(self._by_url.values())

    def use(self, peers: Sequence[PeerAddress], contexts: dict[str, ssl.SSLContext | None]) -> None:
        """Be for these peers, with these certificates, from now on."""
        found: dict[str, HttpTransport] = {}
        for peer in peers:
            known = self._by_url.get(peer.url)
            if known is None:
                known = HttpTransport(peer.url, contexts[peer.url], self._credentials)
            else:
                known.exchange(contexts[peer.url])
            found[peer.url] = known
        self.peers, self._by_url = tuple(peers), found


def _inbound(plan: FederationPlan) -> Iterator[Watched]:
    guard, tls, settings = plan.guard, plan.tls, plan.settings
    if guard is None:
        return
    admission = guard.admission

    async def use_context(new: ssl.SSLContext) -> None:
        guard.context.exchange(new)

    def own_files() -> Iterator[Path]:
        yield from filter(None, (tls.cert, tls.key))
        if admission is not None:
            yield from filter(None, (settings.quorum_ca_cert, tls.client_cert_dir))

    yield Reloadable(
        "server certificate", own_files, lambda: make_server_context(tls, settings), use_context
    )
    if admission is None or tls.mtls_allowlist is None:
        return
    path = tls.mtls_allowlist

    async def use_allowlist(new: Allowlist) -> None:
        admission.replace(new)
        admission.sweep()

    yield Reloadable("allowlist", lambda: [path], lambda: read_allowlist(path), use_allowlist)


def _outbound(parts: FederationParts, transports: _Transports) -> Iterator[Watched]:
    settings = parts.plan.settings

    def load_peers() -> _Peers:
        peers = read_peers(settings)
        try:
            mesh_options(settings, peers)
        except MeshOptionsError as error:
            raise ReloadError(str(error)) from None
        return peers, make_contexts(settings, peers)

    async def use_peers(new: _Peers) -> None:
        transports.use(*new)
        parts.transports = transports.all
        if parts.mesh is not None:
            await parts.mesh.set_peers(transports.all)

    async def use_contexts(new: dict[str, ssl.SSLContext | None]) -> None:
        transports.use(transports.peers, new)
        parts.trust_changed()

    if settings.peer_file is not None:
        file = settings.peer_file
        yield Reloadable("peer file", lambda: [file], load_peers, use_peers)
    certificates = (
        settings.quorum_client_cert,
        settings.quorum_client_key,
        settings.quorum_ca_cert,
    )
    yield Reloadable(
        "client certificate",
        lambda: filter(None, certificates),
        lambda: make_contexts(settings, transports.peers),
        use_contexts,
    )


def _vouchers(
    parts: FederationParts, transports: _Transports, vouching: Vouching
) -> Iterator[Watched]:
    settings = parts.plan.settings

    async def use_bundle(new: TrustBundle | None) -> None:
        vouching.bundle = new
        parts.trust_changed()

    async def use_credential(new: dict[str, str]) -> None:
        transports.headers = new
        parts.trust_changed()

    folder = settings.trust_bundle_dir
    yield Reloadable(
        "trust bundle", lambda: filter(None, (folder,)), lambda: read_trust(settings), use_bundle
    )
    own = (settings.cred_path, settings.cred_chain_path)
    yield Reloadable(
        "own credential",
        lambda: filter(None, own),
        lambda: read_own_credential(settings),
        use_credential,
    )
