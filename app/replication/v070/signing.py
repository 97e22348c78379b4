"""`x-memory-sig` and `x-memory-nonce`: what a signature covers, and how the headers are written."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Signer(Protocol):
    """An Ed25519 private key."""

    def sign(self, data: bytes, /) -> bytes:
        """64 bytes."""
        ...


PEER_HEADER: Final = "x-peer-id"
SIGNATURE_HEADER: Final = "x-memory-sig"
NONCE_HEADER: Final = "x-memory-nonce"
SIGNATURE_BYTES: Final = 64
_ALGORITHM: Final = "ed25519="


class SignatureHeaderError(ValueError):
    """The header holds no signature; `tag` is v0.7.0's word for why."""

    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.tag = tag


def pull_text(method: str, path: str, query: str) -> bytes:
    """What stands in for the body of a request that has none."""
    return f"{method}\n{path}\n{query}".encode("utf-8", "surrogatepass")


def signed_bytes(body: bytes, nonce: str | None) -> bytes:
    """What a signature covers."""
    return body if nonce is None else body + b"\x00" + nonce.encode("utf-8", "surrogatepass")


def parse_signature(header: str) -> bytes:
    """The 64 bytes of a header; what follows a `;` is ignored.

    Raises:
        SignatureHeaderError: with `x_memory_sig_unknown_algorithm` or `x_memory_sig_malformed`.
    """
    text = header.partition(";")[0].strip()
    if not text.startswith(_ALGORITHM):
        raise SignatureHeaderError("x_memory_sig_unknown_algorithm")
    try:
        signature = base64.b64decode(text.removeprefix(_ALGORITHM), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureHeaderError("x_memory_sig_malformed") from error
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureHeaderError("x_memory_sig_malformed")
    return signature


def signing_headers(signer: Signer, body: bytes, nonce: str) -> Mapping[str, str]:
    """The two headers of a request."""
    signature = base64.b64encode(signer.sign(signed_bytes(body, nonce))).decode("ascii")
    return {SIGNATURE_HEADER: _ALGORITHM + signature, NONCE_HEADER: nonce}
