"""`promote`: raise the tier and clear or set the expiry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.log.kinds.memory_writes import memory_effect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp
    from app.log.kinds.effect import Effect

_ALLOWED: Final = frozenset({"tier", "expires", "updates", "updated"})


class Promote:
    """Payload `{"memory": write}`."""

    name = "promote"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """Tier, expiry and the update counter."""
        return (memory_effect(payload.get("memory"), stamp, allowed=_ALLOWED),)
