"""Short-lived credentials: an issuer's word that a key belongs to a name.

A credential is CBOR, `{"claims": bytes, "sig": bytes}`; the issuer signed exactly those bytes of
claims, so nothing is encoded anew to verify it. As a header it is `v1=` and its base64. With
intermediates the chain goes before it, the one below the trusted issuer first: each link is a
credential whose subject issued the next.
"""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

CREDENTIAL_HEADER: Final = "x-memory-cred"
CHAIN_HEADER: Final = "x-memory-cred-chain"
VERSION: Final = 1
SKEW_SECONDS: Final = 30
CHAIN_MAX: Final = 1
"""Intermediates between a trusted issuer and a credential."""
_PREFIX: Final = "v1="
_HEADER_CHARACTERS_MAX: Final = 16_384
_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_SEPARATORS: Final = re.compile(r"[,\s]+")


class CredentialRefusedError(Exception):
    """A credential vouches for nobody.

    Codes: `malformed`, `unsupported_version`, `unknown_issuer`, `bad_signature`, `not_yet_valid`,
    `expired`, `wrong_trust_domain`, `name_mismatch`, `chain_too_deep`.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Claims:
    """What an issuer says. Times are Unix seconds."""

    subject: str
    public_key: bytes
    issuer: str
    trust_domain: str
    not_before: int
    not_after: int


@dataclass(frozen=True, slots=True)
class Credential:
    """Claims, and the bytes that were signed."""

    claims: Claims
    signed: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """The issuers that are believed."""

    issuers: Mapping[str, bytes]
    trust_domain: str | None = None

    def verify(self, header: str, chain: str | None, now: datetime) -> Claims:
        """What a request's headers prove.

        Raises:
            CredentialRefusedError: nothing.
        """
        leaf = read_credential(header)
        above = [] if chain is None else read_chain(chain)
        if len(above) > CHAIN_MAX:
            raise CredentialRefusedError("chain_too_deep")
        links = [*above, leaf]
        key = self.issuers.get(links[0].claims.issuer)
        if key is None:
            raise CredentialRefusedError("unknown_issuer")
        previous: Claims | None = None
        for link in links:
            self._check(link, previous, key, now)
            previous, key = link.claims, link.claims.public_key
        return leaf.claims

    def _check(self, link: Credential, above: Claims | None, key: bytes, now: datetime) -> None:
        claims = link.claims
        if above is not None and claims.issuer != above.subject:
            raise CredentialRefusedError("name_mismatch")
        wanted = self.trust_domain if above is None else above.trust_domain
        if wanted is not None and claims.trust_domain != wanted:
            raise CredentialRefusedError("wrong_trust_domain")
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(link.signature, link.signed)
        except (InvalidSignature, ValueError):
            raise CredentialRefusedError("bad_signature") from None
        seconds = now.timestamp()
        if seconds < claims.not_before - SKEW_SECONDS:
            raise CredentialRefusedError("not_yet_valid")
        if seconds > claims.not_after + SKEW_SECONDS:
            raise CredentialRefusedError("expired")


def read_bundle(folder: Path, trust_domain: str | None) -> TrustBundle:
    """The issuers whose keys lie in a folder, `<issuer>.pub` of 32 raw bytes; no subfolders.

    Raises:
        OSError: the folder or a key cannot be read.
        ValueError: a file is no key.
    """
    issuers: dict[str, bytes] = {}
    for file in sorted(folder.glob("*.pub")):
        raw = file.read_bytes()
        if len(raw) != _KEY_BYTES:
            raise ValueError(f"{file}: {len(raw)} bytes, want {_KEY_BYTES}")
        issuers[file.stem] = raw
    return TrustBundle(issuers, trust_domain)


def read_credential(header: str) -> Credential:
    """The credential in a header's value, not verified.

    Raises:
        CredentialRefusedError: `malformed` or `unsupported_version`.
    """
    value = header.strip()
    if not value.startswith(_PREFIX):
        raise CredentialRefusedError("unsupported_version")
    return _open(_decoded(value.removeprefix(_PREFIX)))


def read_chain(header: str) -> list[Credential]:
    """The intermediates in a header's value: a list of base64 texts, or one of a CBOR list.

    Raises:
        CredentialRefusedError: `malformed` or `unsupported_version`.
    """
    texts = [one for one in _SEPARATORS.split(header.strip()) if one]
    found: list[Credential] = []
    for text in texts:
        value = _decoded(text.removeprefix(_PREFIX))
        found.extend(map(_open, value) if isinstance(value, list) else [_open(value)])
    return found


def _decoded(text: str) -> object:
    if len(text) > _HEADER_CHARACTERS_MAX:
        raise CredentialRefusedError("malformed")
    try:
        return cbor2.loads(b64decode(text, validate=True))
    except (ValueError, cbor2.CBORDecodeError, RecursionError):
        raise CredentialRefusedError("malformed") from None


def _open(value: object) -> Credential:
    if not isinstance(value, dict):
        raise CredentialRefusedError("malformed")
    signed, signature = value.get("claims"), value.get("sig")
    if not isinstance(signed, bytes) or not isinstance(signature, bytes):
        raise CredentialRefusedError("malformed")
    if len(signature) != _SIGNATURE_BYTES:
        raise CredentialRefusedError("malformed")
    try:
        claims = cbor2.loads(signed)
    except (ValueError, cbor2.CBORDecodeError, RecursionError):
        raise CredentialRefusedError("malformed") from None
    return Credential(_claims(claims), signed, signature)


def _claims(value: object) -> Claims:
    if not isinstance(value, dict):
        raise CredentialRefusedError("malformed")
    if value.get("cred_version") != VERSION:
        raise CredentialRefusedError("unsupported_version")
    texts = [value.get(name) for name in ("subject_agent_id", "issuer_id", "trust_domain")]
    times = [value.get(name) for name in ("not_before", "not_after")]
    key = value.get("subject_pubkey")
    if isinstance(key, list) and all(isinstance(one, int) and 0 <= one < 256 for one in key):  # noqa: PLR2004 - a byte
        key = bytes(key)
    is_whole = all(isinstance(one, str) for one in texts) and all(
        isinstance(one, int) and not isinstance(one, bool) for one in times
    )
    if not is_whole or not isinstance(key, bytes) or len(key) != _KEY_BYTES:
        raise CredentialRefusedError("malformed")
    subject, issuer, domain = cast("list[str]", texts)
    not_before, not_after = cast("list[int]", times)
    return Claims(subject, key, issuer, domain, not_before, not_after)
