"""Who sends a sync request, and whether that is proven (federation 3.3 and 3.4).

Enrolment is the switch, as in v0.7.0: a peer whose key lies in the key folder must sign, one
without a key need not, unless enrolment is required.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.exceptions import InvalidSignature

from app.domain.agent_id import validate_agent_id
from app.domain.errors import ForbiddenError, InvalidInputError, UnauthenticatedError
from app.replication.attestation import PeerAttestation
from app.replication.v070.nonces import Nonces, ReplayedNonceError
from app.replication.v070.signing import SignatureHeaderError, parse_signature, signed_bytes

if TYPE_CHECKING:
    from app.replication.v070.nonces import SeenNonce

_LOGGER = logging.getLogger(__name__)
_WARNED_MAX: Final = 1_024
_CERTIFICATES_MAX: Final = 1_024


class Verifier(Protocol):
    """An Ed25519 public key."""

    def verify(self, signature: bytes, data: bytes, /) -> None:
        """Pass if the signature is one over the data.

        Raises:
            InvalidSignature: it is not.
        """
        ...


class PeerKeys(Protocol):
    """Which peers are enrolled."""

    def public_key(self, peer: str, /) -> Verifier | None:
        """The key of a peer, or None when it is not enrolled."""
        ...


@dataclass(frozen=True, slots=True)
class GateRules:
    """What an operator asks of v0.7.0 peers."""

    require_sig: bool = True
    require_nonce: bool = True
    require_enrollment: bool = False
    trust_body_agent_id: bool = False
    sync_trust_peer: bool = False
    attestation: PeerAttestation = field(default_factory=PeerAttestation)


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """What the gate looks at. `signable` is the body, or what stands in for it."""

    signable: bytes
    peer_header: str | None
    signature: str | None
    nonce: str | None
    fingerprint: str | None = None
    """SHA-256 of the client certificate, as the handshake proved it."""
    credential: str | None = None
    chain: str | None = None
    is_local: bool = False
    """It came over the control socket: whoever can do that can open the file."""


@dataclass(frozen=True, slots=True)
class SyncPeer:
    """Who sends. `is_proven`: by signature, certificate or control socket."""

    name: str | None
    is_proven: bool = False
    is_local: bool = False
    seen: SeenNonce | None = None
    """The nonce that this request used up, and with it `gone` are to be forgotten."""
    gone: tuple[SeenNonce, ...] = ()


class Bindings(Protocol):
    """What the mesh knows of peers: whose certificate is whose, and what vouches for a key."""

    def holder_of(self, fingerprint: str, /) -> str | None:
        """The peer that a client certificate is bound to."""
        ...

    def vouched_key(self, peer: str, credential: str, chain: str | None, /) -> Verifier | None:
        """The key that a credential binds to a peer; None if it proves nothing here."""
        ...


class SyncGate:
    """Lets peers in.

    A v0.7.0 node never says hello, so the first name that comes with a certificate is bound to it
    here, for as long as the process runs.
    """

    def __init__(
        self,
        rules: GateRules,
        keys: PeerKeys | None = None,
        nonces: Nonces | None = None,
    ) -> None:
        self.rules = rules
        self.nonces = Nonces() if nonces is None else nonces
        self.bindings: Bindings | None = None
        """Those of the mesh, once it runs."""
        self._keys = keys
        self._bound: dict[str, str] = {}
        self._warned: set[str] = set()

    def admit(self, request: SyncRequest, now_ms: int) -> SyncPeer:
        """The peer behind a request. Reads a key file.

        Raises:
            UnauthenticatedError: with v0.7.0's tag as its message.
            ForbiddenError: the header names another peer than the certificate.
        """
        if request.is_local:
            return SyncPeer(None, is_proven=True, is_local=True)
        shown = _peer_id(request.peer_header)
        bound = None
        if request.fingerprint is not None:
            bound = self._holder(request.fingerprint)
            if bound is None and shown is None:
                raise ForbiddenError("peer_id_header_missing", claimed=None, peer_header=None)
        peer = shown or bound
        key = None if peer is None else self._key(request, peer)
        if peer is None or key is None:
            found = self._unenrolled(request, peer)
        else:
            found = self._enrolled(request, peer, key, now_ms)
        if request.fingerprint is None or peer is None:
            return found
        self._require_binding(request.fingerprint, peer, bound)
        return replace(found, is_proven=True)

    def _holder(self, fingerprint: str) -> str | None:
        known = None if self.bindings is None else self.bindings.holder_of(fingerprint)
        return known or self._bound.get(fingerprint)

    def _key(self, request: SyncRequest, peer: str) -> Verifier | None:
        if request.credential is not None and self.bindings is not None:
            vouched = self.bindings.vouched_key(peer, request.credential, request.chain)
            if vouched is not None:
                return vouched
        return None if self._keys is None else self._keys.public_key(peer)

    def _require_binding(self, fingerprint: str, peer: str, bound: str | None) -> None:
        if bound is None and (
            peer in self._bound.values() or len(self._bound) >= _CERTIFICATES_MAX
        ):
            bound = "another certificate"
        if bound is not None and bound != peer:
            raise ForbiddenError(
                "x_peer_id_mismatch",
                claimed=peer,
                peer_header=bound,
                note="certificate and name are bound otherwise",
            )
        if bound is None:
            self._bound[fingerprint] = peer
            _LOGGER.warning("sync peer %s is bound to certificate %s…", peer, fingerprint[:12])

    def check_sender(self, peer: SyncPeer, sender: str) -> None:
        """Whether a peer may push in the name that the body gives.

        Raises:
            ForbiddenError: with `claimed`, `peer_header` and `note`.
        """
        if peer.is_local or self.rules.trust_body_agent_id:
            return
        if peer.name is None:
            raise ForbiddenError(
                "peer_id_header_missing",
                claimed=sender,
                peer_header=None,
                note="send X-Peer-Id, or set AI_MEMORY_FED_TRUST_BODY_AGENT_ID=1",
            )
        scope = self.rules.attestation.scope_of(peer.name)
        if sender != peer.name and (scope is None or sender not in scope.allowed_sender_agent_ids):
            raise ForbiddenError(
                "sender_agent_id_mismatch",
                claimed=sender,
                peer_header=peer.name,
                note="list the sender for this peer in AI_MEMORY_FED_PEER_ATTESTATION",
            )

    def _unenrolled(self, request: SyncRequest, peer: str | None) -> SyncPeer:
        if self.rules.require_enrollment:
            raise UnauthenticatedError("peer_not_enrolled")
        if request.signature is not None and self.rules.require_sig:
            raise UnauthenticatedError("x_memory_sig_no_enrolled_key")
        name = peer or ""
        if name not in self._warned and len(self._warned) < _WARNED_MAX:
            self._warned.add(name)
            _LOGGER.warning("sync peer %s is not enrolled: nothing proves who it is", name or "?")
        return SyncPeer(peer)

    def _enrolled(self, request: SyncRequest, peer: str, key: Verifier, now_ms: int) -> SyncPeer:
        if self._is_unlisted(peer):
            raise UnauthenticatedError("x_peer_id_not_in_allowlist")
        if request.signature is None:
            if self.rules.require_sig:
                raise UnauthenticatedError("x_memory_sig_missing")
            return SyncPeer(peer)
        try:
            signature = parse_signature(request.signature)
        except SignatureHeaderError as error:
            raise UnauthenticatedError(error.tag) from error
        if request.nonce is None and self.rules.require_nonce:
            raise UnauthenticatedError("x_memory_nonce_missing")
        try:
            key.verify(signature, signed_bytes(request.signable, request.nonce))
        except InvalidSignature as error:
            raise UnauthenticatedError("x_memory_sig_bad_signature") from error
        if request.nonce is None:
            return SyncPeer(peer, is_proven=True)
        try:
            seen, gone = self.nonces.use(peer, request.nonce, now_ms)
        except ReplayedNonceError as error:
            raise UnauthenticatedError("x_memory_nonce_replay") from error
        return SyncPeer(peer, is_proven=True, seen=seen, gone=tuple(gone))

    def _is_unlisted(self, peer: str) -> bool:
        attestation = self.rules.attestation
        return (
            self.rules.require_enrollment
            and attestation.is_configured
            and attestation.scope_of(peer) is None
        )


def _peer_id(header: str | None) -> str | None:
    """The header's id; what is none counts as absent."""
    if header is None:
        return None
    try:
        return validate_agent_id(header, reserved_allowed=True)
    except InvalidInputError:
        return None
