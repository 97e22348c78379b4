"""`store`: a new memory, all registers at once. Also the explicit re-create of a deleted id.

`new` in the payload says that the author had never heard of the id (see `app.log.forgetting`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.log.kinds.effect import Effect, refuse
from app.log.kinds.memory_writes import memory_effect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp

_REQUIRED = ("name", "body", "tags", "priority", "confidence", "tier", "life", "created")


class Store:
    """Payload `{"memory": write}`."""

    name = "store"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """One memory with every register that a row needs."""
        effect = memory_effect(payload.get("memory"), stamp)
        missing = [register for register in _REQUIRED if register not in effect.cells]
        if missing:
            raise refuse(f"a store lacks {', '.join(missing)}")
        return (effect,)
