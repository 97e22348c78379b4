"""Who calls: by the certificate that is bound to a node, else by a proof of the node's key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.replication.messages import Hello, Method, decode_message
from app.replication.ports import Caller, UntrustedPeerError
from app.replication.request_proof import ProofRefusedError, read_proof

if TYPE_CHECKING:
    from app.replication.pins import PeerTrust
    from app.replication.request_proof import Challenge, Verifier
    from app.replication.vouching import Vouching


@dataclass(frozen=True, slots=True)
class Evidence:
    """What came with a request, beside its body."""

    address: str
    fingerprint: str | None
    """Of the client certificate, as the handshake proved it."""
    authorization: str | None
    """The `Authorization` header."""
    credential: str | None = None
    """The `X-Memory-Cred` header of a hello, and below the one of its chain."""
    chain: str | None = None


class Authenticator:
    """Names the callers of one node."""

    def __init__(self, trust: PeerTrust, verifier: Verifier, vouching: Vouching) -> None:
        self._trust = trust
        self._verifier = verifier
        self._vouching = vouching

    @property
    def challenge(self) -> Challenge:
        """What a caller must sign."""
        return self._verifier.challenge

    def caller(self, method: Method, body: bytes, evidence: Evidence) -> Caller:
        """The caller of a request. For anything but a hello it is a bound node.

        Raises:
            ProofRefusedError: nothing proves who it is, or the proof does not hold.
            UntrustedPeerError: it is somebody whom nobody is bound to.
            MalformedMessageError: a hello that is none.
        """
        fingerprint = evidence.fingerprint
        is_hello = method is Method.HELLO
        if fingerprint is not None and not is_hello:
            bound = self._trust.bound_to(fingerprint)
            if bound is not None:
                return Caller(fingerprint, bound.node_id, evidence.address)
        if evidence.authorization is None:
            raise ProofRefusedError("proof_required")
        proof = read_proof(evidence.authorization)
        pinned = self._trust.key_of(proof.node_id)
        key = decode_message(Hello, body).public_key if is_hello else pinned
        if key is None:
            raise UntrustedPeerError("peer_unknown", f"{proof.node_id} never said hello")
        self._verifier.check(proof, key, method.value, body)
        if key == pinned:  # a stranger's hello may come twice: it changes nothing
            self._verifier.use(proof)
        if is_hello and evidence.credential is not None:
            self._vouching.show(evidence.credential, evidence.chain)
        if fingerprint is not None and not is_hello:
            self._trust.bind_certificate(fingerprint, proof.node_id)
        return Caller(fingerprint, proof.node_id, evidence.address)
