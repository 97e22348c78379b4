"""Signatures over the head of an origin's chain: one a batch, and every entry below is covered.

The keys come in through two small ports that the Ed25519 keys of `cryptography` fit as they
are, so this package stays free of the library. The message starts with a domain of its own, so
that no other signature of the same key can be passed off as one of these (RFC 8032 section 8.3
asks for such a context).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from app.log.entry import Entry

DOMAIN: Final = b"ai-memory log head v1\x00"
SIGNATURE_BYTES: Final = 64
_HASH_BYTES: Final = 32


class SigningKey(Protocol):
    """A private key."""

    def sign(self, data: bytes, /) -> bytes:
        """The signature over `data`."""
        ...


class VerifyingKey(Protocol):
    """A public key."""

    def verify(self, signature: bytes, data: bytes, /) -> None:
        """Raise the library's error unless `signature` was made over `data` by this key's twin."""
        ...


def head_message(origin: str, seq: int, entry_hash: bytes) -> bytes:
    """The signed bytes: domain, length of the origin (2 bytes), origin, seq (8 bytes), hash.

    Raises:
        ValueError: the hash is not 32 bytes.
    """
    if len(entry_hash) != _HASH_BYTES:
        raise ValueError(f"a hash has {_HASH_BYTES} bytes, not {len(entry_hash)}")
    name = origin.encode()
    return b"".join((DOMAIN, len(name).to_bytes(2), name, seq.to_bytes(8), entry_hash))


def sign_head(key: SigningKey, head: Entry) -> bytes:
    """The signature over everything up to and including `head`."""
    return key.sign(head_message(head.origin, head.seq, head.hash))


def is_signed(key: VerifyingKey, signature: bytes, head: Entry, invalid: type[Exception]) -> bool:
    """Whether `key`'s twin signed `head`; `invalid` is what the key's library raises if not."""
    try:
        key.verify(signature, head_message(head.origin, head.seq, head.hash))
    except invalid:
        return False
    return True
