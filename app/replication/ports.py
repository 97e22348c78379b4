"""What the mesh needs of the world: calls to peers, and who they are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from app.replication.messages import Method


class Failure(StrEnum):
    """Why a call failed, as clients and operators read it."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    THROTTLED = "throttled"
    TOO_LARGE = "too_large"
    """The peer takes no body of this size (413): the same in smaller pieces may pass."""
    INCOMPATIBLE = "incompatible"


class PeerCallError(Exception):
    """A call to a peer failed. `detail` names no secret."""

    def __init__(
        self,
        failure: Failure,
        detail: str,
        *,
        retry_after_seconds: float | None = None,
        status: int | None = None,
    ) -> None:
        """`status` is that of the peer's answer, if there was one."""
        super().__init__(f"{failure.value}: {detail}")
        self.failure = failure
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.status = status

    @property
    def is_permanent(self) -> bool:
        """Whether the same call would fail again until somebody changes something."""
        return self.failure in {Failure.REFUSED, Failure.INCOMPATIBLE}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls us, as the transport proves it.

    `fingerprint` is the SHA-256 of a client certificate in hexadecimal digits; without TLS it is
    None and `node_id` comes from a signature.
    """

    fingerprint: str | None
    node_id: str | None
    address: str


class Transport(Protocol):
    """Carries calls to one peer over one kept connection."""

    @property
    def url(self) -> str:
        """Where the peer is, as configured."""
        ...

    async def call(self, method: Method, body: bytes, timeout_seconds: float) -> bytes:
        """Send a request, return the answer's body.

        Raises:
            PeerCallError: no answer, or a refusal.
        """
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...


class NodeKey(Protocol):
    """This node's Ed25519 key."""

    @property
    def public_bytes(self) -> bytes:
        """32 bytes."""
        ...

    def sign(self, data: bytes, /) -> bytes:
        """64 bytes."""
        ...


class Trust(Protocol):
    """Which peers are known, and by what keys."""

    def admit(self, caller: Caller, node_id: str, public_key: bytes, name: str = "") -> None:
        """A hello from `caller`, who says to be `node_id`: check against what is bound, or pin it.

        `name` is the identity that the hello gives.

        Raises:
            UntrustedPeerError: the certificate, key or id is bound otherwise, or not welcome.
        """
        ...

    def node_of(self, caller: Caller) -> str:
        """The node id bound to a caller that said hello before.

        Raises:
            UntrustedPeerError: nobody is bound to it.
        """
        ...

    def key_of(self, node_id: str) -> bytes | None:
        """The pinned public key of a node, if one is known."""
        ...


class UntrustedPeerError(Exception):
    """A peer is not who it says, or is not welcome. `code` travels in the answer (403)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
