"""Signatures of authors over what they store (semantics 1.8)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.domain.errors import AttestationError, InvalidInputError
from app.domain.timestamps import TimestampError, format_instant, parse_instant
from app.services.new_memory import attested
from app.store.sql.filters import MemoryFilter

if TYPE_CHECKING:
    from app.domain.memory import Memory
    from app.services.new_memory import NewMemory
    from app.store.protocol import Store

AGENTS_NAMESPACE: Final = "_agents"
CLAIMED: Final = "claimed"
AGENT_ATTESTED: Final = "agent_attested"

_WINDOW: Final = timedelta(seconds=300)
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Attestation:
    """Verifies signed stores. `required` refuses every store that is not `agent_attested`."""

    store: Store
    required: bool = False

    async def apply(self, row: Memory, new: NewMemory, agent_id: str, now: datetime) -> Memory:
        """The row as its signature allows.

        Raises:
            InvalidInputError: `created_at` is no time, or the signature no signature.
            AttestationError: late, wrong, or missing although required.
        """
        if new.signature is None or new.created_at is None:
            if self.required:
                raise AttestationError("a signature is required", hint="sign with a bound key")
            return row
        signed_at, signature = _instant(new.created_at), _decoded(new.signature)
        if abs(now - signed_at) > _WINDOW:
            raise AttestationError(
                "created_at lies outside the window of 300 seconds", created_at=new.created_at
            )
        created_at = format_instant(signed_at)
        bound = await self._bound_key(agent_id, now)
        if bound is None:
            if self.required:
                raise AttestationError("no key is bound to this agent", agent_id=agent_id)
            return attested(row, created_at, CLAIMED)
        try:
            bound.verify(signature, signed_bytes(row, agent_id, new.created_at))
        except InvalidSignature as error:
            raise AttestationError("the signature does not verify", agent_id=agent_id) from error
        return attested(row, created_at, AGENT_ATTESTED)

    async def _bound_key(self, agent_id: str, now: datetime) -> Ed25519PublicKey | None:
        found = await self.store.list_memories(
            MemoryFilter(
                now=format_instant(now),
                namespaces=(AGENTS_NAMESPACE,),
                title=f"agent:{agent_id}",
            ),
            1,
            0,
        )
        text = found.memories[0].metadata.get("agent_pubkey") if found.memories else None
        if text is None:
            return None
        try:
            key = base64.b64decode(str(text), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != _KEY_BYTES:
            raise AttestationError("the key bound to this agent is damaged", agent_id=agent_id)
        return Ed25519PublicKey.from_public_bytes(key)


def signed_bytes(row: Memory, agent_id: str, created_at: str) -> bytes:
    """The envelope: a CBOR map whose keys stand in plain lexicographic order."""
    return cbor2.dumps(
        {
            "agent_id": agent_id,
            "content_sha256": sha256(row.content.encode()).digest(),
            "created_at": created_at,
            "kind": row.memory_kind,
            "namespace": row.namespace,
            "title": row.title,
        }
    )


def _decoded(signature: str) -> bytes:
    try:
        return base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError("signature is not base64", fields=["signature"]) from error


def _instant(created_at: str) -> datetime:
    try:
        return parse_instant(created_at)
    except TimestampError as error:
        raise InvalidInputError(
            f"created_at is not valid RFC3339: '{created_at}'", fields=["created_at"]
        ) from error
