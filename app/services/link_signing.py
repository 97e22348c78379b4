"""Signatures over links (semantics 1.6 and 1.9)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

import cbor2
from cryptography.exceptions import InvalidSignature

from app.services.keys import KeyFileError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from app.domain.memory import MemoryLink
    from app.services.keys import KeyDirectory

UNSIGNED: Final = "unsigned"
SELF_SIGNED: Final = "self_signed"
PEER_ATTESTED: Final = "peer_attested"


class LinkSigner(Protocol):
    """Signs the links that this node makes."""

    def signed(self, link: MemoryLink) -> MemoryLink:
        """The link as its signer observed it, with signature and attest level."""
        ...


@dataclass(frozen=True, slots=True)
class NoLinkSigner:
    """For a node without a key: links are observed by their maker and unsigned."""

    def signed(self, link: MemoryLink) -> MemoryLink:
        return replace(link, signature=None, attest_level=UNSIGNED)


@dataclass(frozen=True, slots=True)
class KeyLinkSigner:
    """Signs as `signer_id`, the node's own identity."""

    signer_id: str
    key: Ed25519PrivateKey

    def signed(self, link: MemoryLink) -> MemoryLink:
        observed = replace(link, observed_by=self.signer_id)
        signature = self.key.sign(signed_bytes(observed))
        return replace(observed, signature=signature, attest_level=SELF_SIGNED)


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """What looking at a link's signature showed; `signer` is None unless it verified."""

    is_present: bool
    holds: bool
    signer: str | None
    findings: tuple[str, ...]
    has_key: bool = False
    """Whether a key of the observer is enrolled, so that a signature that fails is a wrong one."""


@dataclass(frozen=True, slots=True)
class LinkVerifier:
    """Checks signatures against enrolled keys; without a directory no key is enrolled."""

    keys: KeyDirectory | None

    async def check(self, link: MemoryLink) -> SignatureCheck:
        """Never raises for a bad signature or key: that is a finding."""
        if link.signature is None:
            return SignatureCheck(False, False, None, ("the link is not signed",))
        observer = link.observed_by
        if observer is None:
            return _failed("the signature names no observer")
        try:
            key = (
                None
                if self.keys is None
                else await asyncio.to_thread(self.keys.public_key, observer)
            )
        except KeyFileError as error:
            return _failed(f"the key of '{observer}' is refused: {error.details['reason']}")
        if key is None:
            return _failed(f"no key is enrolled for '{observer}'")
        try:
            key.verify(link.signature, signed_bytes(link))
        except InvalidSignature:
            return _failed(f"the signature is not one of '{observer}' over this link", has_key=True)
        return SignatureCheck(True, True, observer, (), has_key=True)


def signed_bytes(link: MemoryLink) -> bytes:
    """What a link's signature covers: a CBOR map whose keys stand in plain lexicographic order.

    Not the length-first order of RFC 8949's older canonical form; absent values are null.
    """
    return cbor2.dumps(
        {
            "dst_id": link.target_id,
            "observed_by": link.observed_by,
            "relation": link.relation,
            "src_id": link.source_id,
            "valid_from": link.valid_from,
            "valid_until": link.valid_until,
        }
    )


def _failed(finding: str, *, has_key: bool = False) -> SignatureCheck:
    return SignatureCheck(True, False, None, (finding,), has_key)
