"""`store --sign`: the author's signature over what is stored (semantics 1.8)."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.bootstrap.sources import SystemClock
from app.domain.errors import InvalidInputError
from app.domain.memory import Memory
from app.domain.timestamps import format_instant
from app.services.attestation import signed_bytes
from app.services.keys import KeyDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.cli.session import Session
    from app.domain.memory import Json

_KEYS_BELOW_HOME: Final = Path(".config/ai-memory/keys")


def sign(session: Session, body: Mapping[str, Json]) -> Mapping[str, Json]:
    """What to add to a store's body so that the node can tell who wrote it.

    Raises:
        InvalidInputError: the agent has no private key on this machine.
        KeyFileError: its key file may not be used.
    """
    home = Path(session.environ.get("HOME") or ".")
    folder = session.settings.identity.key_dir or home / _KEYS_BELOW_HOME
    key = KeyDirectory(folder).private_key(session.agent_id)
    if key is None:
        raise InvalidInputError(f"--sign: no private key of {session.agent_id} in {folder}")
    created_at = format_instant(SystemClock().now())
    signature = key.sign(signed_bytes(_row(body, created_at), session.agent_id, created_at))
    return {"signature": base64.b64encode(signature).decode(), "created_at": created_at}


def _row(body: Mapping[str, Json], created_at: str) -> Memory:
    """A memory with the fields that are signed."""
    return Memory(
        id="",
        tier=str(body["tier"]),
        namespace=str(body["namespace"]),
        title=str(body["title"]),
        content=str(body["content"]),
        tags=(),
        priority=0,
        confidence=0.0,
        source="",
        access_count=0,
        created_at=created_at,
        updated_at=created_at,
        memory_kind=str(body["kind"]),
    )
