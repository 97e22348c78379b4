"""`embedding`: the vector of a memory's content, made once in the fleet.

It is no register: a vector is derived from content, enters no digest, and is
ignored once the content it was made from has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.log.kinds.effect import Effect, Vector, refuse, text
from app.log.kinds.memory_writes import checked_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp

DIM_MAX: Final = 8192
HALF_FLOAT_BYTES: Final = 2
CONTENT_HASH_BYTES: Final = 32


def vector_of(payload: Mapping[str, Value], stamp: Stamp) -> Vector:
    """The vector that an embedding entry carries.

    Raises:
        EntryRefusedError: malformed.
    """
    content_hash, data, dim = (payload.get(k) for k in ("content_hash", "vector", "dim"))
    if not isinstance(content_hash, bytes) or len(content_hash) != CONTENT_HASH_BYTES:
        raise refuse("content_hash is not 32 bytes")
    if not isinstance(dim, int) or isinstance(dim, bool) or not 1 <= dim <= DIM_MAX:
        raise refuse("dim is out of range")
    if not isinstance(data, bytes) or len(data) != dim * HALF_FLOAT_BYTES:
        raise refuse("vector does not hold dim half floats")
    memory_id = checked_id(text(payload, "memory_id"))
    return Vector(memory_id, content_hash, text(payload, "model"), dim, data, stamp)


class Embedding:
    """Payload `{"memory_id", "content_hash", "model", "dim", "vector"}`, f16 little-endian."""

    name = "embedding"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """No state; the payload is checked."""
        vector_of(payload, stamp)
        return ()
