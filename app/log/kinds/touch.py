"""`touch`: what recalls leave behind, many memories in one entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.log.kinds.effect import Effect, items
from app.log.kinds.memory_writes import memory_effect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp

_ALLOWED: Final = frozenset({"accesses", "accessed", "touched_expires"})


class Touch:
    """Payload `{"memories": [write]}`: this origin's access totals, never increments."""

    name = "touch"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """Counters and maxima only, so nothing here can lose to a concurrent write."""
        return [memory_effect(one, stamp, allowed=_ALLOWED) for one in items(payload, "memories")]
